//! `omniid generate`: pictures of an identity in new poses and expressions.

mod person;

use crate::args::{GeneratorArgs, PhotoArgs, SamplingArgs};
use crate::failure::Outcome;
use crate::memory;
use crate::output::{self, bytes_text};
use crate::photos::PassedOver;
use crate::picture::{save_png, Cell, PictureTarget, Sheet};
use crate::progress::{cancelled, Bar};
use crate::views::{self, NamedView};
use crate::wildcards::expand;
use image::RgbImage;
use omniid_minihost::{GenerateOptions, Generator, View};
use person::{Person, Sources};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Instant;

const EXAMPLES: &str = "\
Single photos together show one person. Every folder is a person of its own, and so is every identity file.

Examples:
  omniid generate examples/photos/person-1/*.jpg --out sheet.png
  omniid generate anna.omniid ben.omniid --views front,smile,\"three-quarter left+smile\" --out sheet.png
  omniid generate photos/anna --views all --steps 8 --separate pictures --out sheet.png
  omniid generate people/ict-2 --truth people/truth.jsonl --out sheet.png";

#[derive(clap::Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{}", views::help()))]
pub struct Args {
    /// Photos, folders of photos, and identities (.omniid); - for standard input.
    #[arg(required = true, value_name = "PHOTO")]
    inputs: Vec<PathBuf>,
    /// The contact sheet to write: the photos as the model sees them, below them the generated views. Its name says
    /// the format: PNG, JPEG, WebP, BMP or TIFF; - is standard output.
    #[arg(short, long, visible_alias = "output", value_name = "FILE")]
    out: PathBuf,
    /// Views to draw, separated by commas, or "all" [default: eight poses and expressions].
    #[arg(long = "views", alias = "view", value_name = "VIEW", value_delimiter = ',')]
    views: Vec<String>,
    /// The truth of rendered people (truth.jsonl of `omniid render`): their studio pictures become the views, and stand
    /// below what was generated. The inputs must be folders of these people.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["views", "crop", "margin", "face"])]
    truth: Option<PathBuf>,
    /// Also write every generated picture into this folder, in its own size; it is made if it is missing.
    #[arg(long, value_name = "FOLDER")]
    separate: Option<PathBuf>,
    /// Side of a picture on the sheet, in pixels.
    #[arg(long, value_name = "PIXELS", default_value_t = 160, value_parser = clap::value_parser!(u32).range(16..=1024))]
    cell: u32,
    /// Pictures in a row of the sheet.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    columns: u32,
    /// Replace the sheet if it exists.
    #[arg(long)]
    force: bool,
    /// Print a JSON report.
    #[arg(long)]
    json: bool,
    /// No progress bar.
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    photo: PhotoArgs,
    #[command(flatten)]
    generator: GeneratorArgs,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Report {
    sheet: String,
    model: String,
    /// Rows and columns of a generated picture.
    size: usize,
    people: Vec<PersonLine>,
    steps: usize,
    guidance: f64,
    seed: u64,
    scale: f32,
    /// Reading the model.
    open_seconds: f64,
    /// Photos to identities.
    encode_seconds: f64,
    /// Identities to pictures.
    generate_seconds: f64,
    /// Everything, the sheet included.
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_memory_bytes: Option<u64>,
}

#[derive(Serialize)]
struct PersonLine {
    name: String,
    /// Photos in the identity.
    photos: usize,
    /// What should be known about photos that were used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    /// Photos that could not be used, and why.
    left_out: Vec<String>,
    /// What lay beside the photos in their folder.
    not_used: PassedOver,
    views: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<String>,
}

pub fn run(args: Args) -> Outcome {
    let start = Instant::now();
    let target = PictureTarget::new(&args.out, args.force, args.json)?;
    let views = views::parse(&args.views)?;
    let sources = Sources::find(
        &expand(&args.inputs),
        args.photo.recursive,
        args.truth.as_deref(),
        &args.generator.model.limits.limits(),
    )?;
    let _claim = args.separate.as_deref().map(output::make_folder).transpose()?;
    let generator = args.generator.open(args.quiet)?;
    let opened = start.elapsed().as_secs_f64();
    let people = sources.identities(&generator, &views, &args)?;
    let encoded = start.elapsed().as_secs_f64();
    let options = args.sampling.options();
    let mut drawn = Vec::new();
    let bar = Bar::with_time_left(args.quiet);
    for person in &people {
        drawn.push(draw(&generator, person, &options, &bar)?);
    }
    drop(bar);
    let generated = start.elapsed().as_secs_f64();
    let mut lines = Vec::new();
    for (person, pictures) in people.iter().zip(&drawn) {
        let files = match &args.separate {
            Some(folder) => separate(folder, person, pictures)?,
            None => Vec::new(),
        };
        lines.push(PersonLine {
            name: person.name.clone(),
            photos: person.identity.provenance().photos,
            notes: person.notes.clone(),
            left_out: person.left_out.clone(),
            not_used: person.not_used.clone(),
            views: person.views.iter().map(|view| view.name.clone()).collect(),
            files,
        });
    }
    let size = generator.host().config().size;
    target.write(&sheet(&args, &options, size, &people, &drawn))?;
    let report = Report {
        sheet: target.target().name(),
        model: generator.engine().info().fingerprint.clone(),
        size,
        people: lines,
        steps: options.steps,
        guidance: options.guidance,
        seed: options.seed,
        scale: options.identity_scale,
        open_seconds: opened,
        encode_seconds: encoded - opened,
        generate_seconds: generated - encoded,
        seconds: start.elapsed().as_secs_f64(),
        peak_memory_bytes: memory::peak(),
    };
    if args.json {
        return output::print_json(&report);
    }
    for person in &report.people {
        for line in &person.notes {
            tell!("{line}");
        }
        for line in &person.left_out {
            tell!("left out  {line}");
        }
        person.not_used.tell();
    }
    tell!("{}", report.cost());
    target.target().report(format!(
        "{}: {} of {} px",
        report.sheet,
        report
            .people
            .iter()
            .map(|person| format!(
                "{} from {} photo(s) in {} views",
                person.name,
                person.photos,
                person.views.len()
            ))
            .collect::<Vec<_>>()
            .join(", "),
        report.size
    ))
}

impl Report {
    /// Time and memory as text.
    fn cost(&self) -> String {
        let memory = self
            .peak_memory_bytes
            .map(|bytes| format!(", at most {} of memory", bytes_text(bytes)));
        format!(
            "{:.1} s (opening {:.1}, encoding {:.1}, generating {:.1}){}",
            self.seconds,
            self.open_seconds,
            self.encode_seconds,
            self.generate_seconds,
            memory.unwrap_or_default()
        )
    }
}

/// The person in every view.
fn draw(generator: &Generator, person: &Person, options: &GenerateOptions, bar: &Bar) -> Outcome<Vec<RgbImage>> {
    let views: Vec<View> = person.views.iter().map(|view| view.view).collect();
    let what = format!("drawing {}", person.name);
    let pictures = generator.generate(&person.identity, &views, options, |done, passes| {
        if bar.show(&what, done as u64, passes as u64).is_break() {
            return Err(cancelled("generating"));
        }
        Ok(())
    })?;
    Ok(pictures)
}

/// Writes a person's pictures one by one and says where.
fn separate(folder: &Path, person: &Person, pictures: &[RgbImage]) -> Outcome<Vec<String>> {
    let plain = |text: &str| -> String {
        text.chars()
            .map(|letter| {
                if letter.is_alphanumeric() || letter == '.' {
                    letter
                } else {
                    '-'
                }
            })
            .collect()
    };
    let mut files = Vec::new();
    for (place, (view, picture)) in person.views.iter().zip(pictures).enumerate() {
        let name = format!("{}-{:02}-{}.png", plain(&person.name), place + 1, plain(&view.name));
        let path = folder.join(name);
        save_png(picture, &path)?;
        files.push(path.display().to_string());
    }
    Ok(files)
}

fn sheet(args: &Args, options: &GenerateOptions, size: usize, people: &[Person], drawn: &[Vec<RgbImage>]) -> RgbImage {
    let mut sheet = Sheet::new(args.cell, args.columns as usize);
    for (person, pictures) in people.iter().zip(drawn) {
        let count = person.identity.provenance().photos;
        if person.photos.is_empty() {
            sheet.group(format!("{} - identity of {count} photos", person.name), Vec::new());
        } else {
            let cells = person.photos.iter().map(|(name, crop)| Cell::new(name, crop.clone()));
            sheet.group(format!("{} - {count} photos", person.name), cells.collect());
        }
        let captioned = |pictures: &[RgbImage]| -> Vec<Cell> {
            let pairs = person.views.iter().zip(pictures);
            pairs
                .map(|(view, picture)| Cell::new(&view.name, picture.clone()))
                .collect()
        };
        sheet.group("generated", captioned(pictures));
        if !person.truth.is_empty() {
            sheet.group("truth", captioned(&person.truth));
        }
    }
    sheet.footer(format!(
        "{size} px, {} steps, guidance {}, seed {}, scale {}",
        options.steps, options.guidance, options.seed, options.identity_scale
    ));
    sheet.draw()
}
