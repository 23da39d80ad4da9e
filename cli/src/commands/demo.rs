//! `omniid demo`: the whole way on the weights inside the program, photos to pictures.

use super::{attention, compare::Matrix};
use crate::args::{GeneratorArgs, SamplingArgs};
use crate::failure::{Failure, Outcome};
use crate::output::{self, bytes_text};
use crate::picture::{matrix_picture, save_png, Cell, Sheet};
use crate::progress::{cancelled, with_bar, Bar};
use crate::remedy;
use crate::views::{self, NamedView};
use crate::{crops, examples, memory, photos};
use image::RgbImage;
use omniid::engine::{EncodeOptions, Encoded, Engine};
use omniid::identity::Identity;
use omniid::photo::Photo;
use omniid_minihost::{GenerateOptions, Generator, View};
use omniid_training::data::scan::is_system_entry;
use std::path::{Path, PathBuf};
use std::time::Instant;

const EXAMPLES: &str = "\
Writes into the output folder, replacing what an earlier run left there:
  NAME.omniid      one identity per folder of photos, of up to four of them
  NAME.png         the person in new views: from one photo, and from up to four
  similarity.png   how alike the identities are, two of each person from different photos
  attention.png    which query of the encoder looks where in the first person's photos";

/// Photos of an identity, where there are as many.
const SEVERAL: usize = 4;

/// Views of a sheet, poses and expressions.
const VIEWS: [&str; 6] = ["front", "three-quarter left", "right", "down", "smile", "surprise"];

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The folder to write into.
    #[arg(short, long, value_name = "FOLDER", default_value = "demo-output")]
    out: PathBuf,
    /// A folder with one folder of photos per person [default: six rendered people inside the program].
    #[arg(long, value_name = "FOLDER")]
    photos: Option<PathBuf>,
    /// No progress bar.
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    generator: GeneratorArgs,
}

/// One folder of photos and what became of it.
struct Person {
    name: String,
    photos: Vec<Photo<'static>>,
    one: Identity,
    several: Encoded,
    /// Of photos that are in neither of the others.
    others: Option<Identity>,
}

pub fn run(args: Args) -> Outcome {
    let start = Instant::now();
    let folders = match &args.photos {
        Some(folder) => find_people(folder)?,
        None => examples::people(),
    };
    let _claim = output::make_folder(&args.out)?;
    output::check_target(&args.out.join("similarity.png"), true)?;
    let generator = args.generator.open(args.quiet)?;
    let engine = generator.engine();
    let info = engine.info();
    let size = generator.host().config().size;
    output::print(format!(
        "1. Opened {} in {:.1} s: {} identity tokens of width {}, a generator of {size} px with {} cross-attention \
         layers, model {}.",
        if info.name.is_empty() { "a model" } else { &info.name },
        start.elapsed().as_secs_f64(),
        info.tokens,
        info.token_width,
        generator.host().host().layer_count(),
        info.fingerprint
    ))?;

    let encoding = Instant::now();
    let mut people = Vec::new();
    for (name, photos) in folders {
        people.push(encode(engine, name, photos, &args)?);
    }
    output::print(format!(
        "2. Encoded {} people, each from one photo, from up to {SEVERAL}, and from others, in {:.1} s:",
        people.len(),
        encoding.elapsed().as_secs_f64()
    ))?;
    for person in &people {
        let used = person.several.photos.iter().filter(|photo| photo.is_used()).count();
        output::print(format!(
            "   {}: {used} of {} photos → {}",
            person.name,
            person.several.photos.len(),
            args.out.join(format!("{}.omniid", person.name)).display()
        ))?;
        for line in photos::notes(&person.several.photos) {
            output::print(format!("      {line}"))?;
        }
        for photo in &person.several.photos {
            if let Some(error) = &photo.error {
                output::print(format!("      left out  {error}"))?;
            }
        }
    }
    compare(engine, &people, &args)?;

    let drawing = Instant::now();
    let options = args.sampling.options();
    let named = views::parse(&VIEWS.map(str::to_string))?;
    let bar = Bar::with_time_left(args.quiet);
    for person in &people {
        let sheet = sheet(&generator, person, &named, &options, &bar)?;
        save_png(&sheet, &args.out.join(format!("{}.png", person.name)))?;
    }
    drop(bar);
    output::print(format!(
        "4. Drew everybody in {} views from one photo and from several, {} pictures in {:.1} s.",
        named.len(),
        2 * named.len() * people.len(),
        drawing.elapsed().as_secs_f64()
    ))?;
    attend(engine, &people, &args)?;
    let memory = memory::peak().map(|bytes| format!(", at most {} of memory", bytes_text(bytes)));
    output::print(format!(
        "\nTogether {:.1} s{}. Look into {}.\n{}",
        start.elapsed().as_secs_f64(),
        memory.unwrap_or_default(),
        args.out.display(),
        words(size)
    ))
}

/// What to expect of the pictures.
fn words(size: usize) -> String {
    format!(
        "\nWhat you see is a small model: pictures of {size} px, trained on rendered people only. It shows what identity \
         conditioning does and what more photos add; it is no portrait painter, and real faces are farther from its \
         training than the example people, who are rendered too. models/README.md has the measurements.\nTry your own \
         photos: omniid generate YOUR-PHOTOS/*.jpg --out sheet.png"
    )
}

/// The folders of photos below `root`, by name.
fn find_people(root: &Path) -> Outcome<Vec<(String, Vec<Photo<'static>>)>> {
    let missing = |reason: String| {
        Failure::usage(format!(
            "{}: {reason}; expected a folder with one folder of photos per person",
            root.display()
        ))
        .with_remedy(remedy::DEMO_PHOTOS)
    };
    let entries = std::fs::read_dir(root).map_err(|error| missing(error.to_string()))?;
    let mut folders: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir() && !path.file_name().is_some_and(is_system_entry))
        .collect();
    folders.sort();
    let mut people = Vec::new();
    for folder in folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match photos::search(&folder, false)? {
            found if found.photos.is_empty() => tell!("not used  {}: no photos", folder.display()),
            found => {
                found.passed_over.tell();
                people.push((name, found.photos.into_iter().map(Photo::from).collect()));
            }
        }
    }
    if people.len() < 2 {
        return Err(missing(format!(
            "{} folder(s) with photos, at least 2 expected",
            people.len()
        )));
    }
    Ok(people)
}

fn encode(engine: &Engine, name: String, photos: Vec<Photo<'static>>, args: &Args) -> Outcome<Person> {
    let options = EncodeOptions::default()
        .with_label(name.clone())
        .with_keep_features(false);
    let encode = |photos: &[Photo<'static>]| {
        with_bar(args.quiet, |progress| {
            engine.encode_with_progress(photos, &options, progress)
        })
    };
    let (first, rest) = photos.split_at(photos.len().min(SEVERAL));
    let several = encode(first)?;
    // The first photo that shows a face: another one may have been left out.
    let usable = several.photos.iter().position(omniid::engine::PhotoReport::is_used);
    let one = encode(&first[usable.unwrap_or(0)..][..1])?.identity;
    // Few photos are no reason to stop.
    let others = match rest {
        [] => None,
        rest => encode(&rest[..rest.len().min(SEVERAL)])
            .ok()
            .map(|encoded| encoded.identity),
    };
    several.identity.save(args.out.join(format!("{name}.omniid")))?;
    Ok(Person {
        name,
        photos: first.to_vec(),
        one,
        several,
        others,
    })
}

/// Similarity of everybody with everybody, from different photos where there are enough.
fn compare(engine: &Engine, people: &[Person], args: &Args) -> Outcome {
    let mut names = Vec::new();
    let mut identities = Vec::new();
    let mut owners = Vec::new();
    for (place, person) in people.iter().enumerate() {
        names.push(person.name.clone());
        identities.push(person.several.identity.clone());
        owners.push(place);
        if let Some(others) = &person.others {
            names.push(format!("{}'", person.name));
            identities.push(others.clone());
            owners.push(place);
        }
    }
    let matrix = Matrix::new(names, &identities, Some(engine))?;
    let mean = |same: bool| {
        let pairs = (0..owners.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
        let values: Vec<f32> = pairs
            .filter(|(i, j)| (owners[*i] == owners[*j]) == same)
            .map(|(i, j)| matrix.similarity[i][j])
            .collect();
        match values.len() {
            0 => "not known".to_string(),
            count => format!("{:.2}", values.iter().sum::<f32>() / count as f32),
        }
    };
    save_png(
        &matrix_picture(&matrix.names, &matrix.similarity),
        &args.out.join("similarity.png"),
    )?;
    output::print(format!(
        "3. Mean similarity of two identities of one person {}, of two people {}; a name with ' is of other photos:\n{}",
        mean(true),
        mean(false),
        matrix.table()
    ))
}

/// Photos, and what was drawn from one and from several.
fn sheet(
    generator: &Generator,
    person: &Person,
    named: &[NamedView],
    options: &GenerateOptions,
    bar: &Bar,
) -> Outcome<RgbImage> {
    const SIDE: u32 = 160;
    let views: Vec<View> = named.iter().map(|view| view.view).collect();
    let engine = generator.engine();
    let mut sheet = Sheet::new(SIDE, named.len());
    let crops = crops::of(&person.photos, &person.several, SIDE, engine.limits())?;
    let cells = crops.into_iter().map(|(name, crop)| Cell::new(name, crop)).collect();
    sheet.group(format!("{}: photos", person.name), cells);
    let what = format!("drawing {}", person.name);
    for identity in [&person.one, &person.several.identity] {
        let pictures = generator.generate(identity, &views, options, |done, passes| {
            match bar.show(&what, done as u64, passes as u64).is_break() {
                true => Err(cancelled("drawing")),
                false => Ok(()),
            }
        })?;
        let cells = named
            .iter()
            .zip(pictures)
            .map(|(view, picture)| Cell::new(&view.name, picture));
        let count = identity.provenance().photos;
        sheet.group(format!("generated from {count} photo(s)"), cells.collect());
    }
    Ok(sheet.draw())
}

/// Where the encoder looks in the first person's photos; only Omni-ID encoders can tell.
fn attend(engine: &Engine, people: &[Person], args: &Args) -> Outcome {
    let Some(person) = people.first() else {
        return Ok(());
    };
    let used: Vec<Photo<'static>> = person
        .photos
        .iter()
        .zip(&person.several.photos)
        .filter(|(_, report)| report.is_used())
        .map(|(photo, _)| photo.clone())
        .collect();
    let maps = with_bar(args.quiet, |progress| {
        engine.attention_maps_with_progress(&used, &EncodeOptions::default(), progress)
    })?;
    save_png(&attention::overview(&maps, 6), &args.out.join("attention.png"))?;
    output::print(format!(
        "5. Drew where the encoder looks in {}'s photos: attention.png.",
        person.name
    ))
}
