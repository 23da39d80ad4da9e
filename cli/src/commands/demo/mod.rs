//! `omniid demo`: the whole way on a small model, photos to injection.

mod host;
mod model;
mod pictures;

use crate::commands::compare::Matrix;
use crate::failure::{Failure, Outcome};
use crate::output::{self, bytes_text};
use crate::picture::save_png;
use crate::progress::with_bar;
use omniid::conditioning::{ConditionOptions, Mask};
use omniid::engine::{ConditionInput, EncodeOptions, Encoded, Engine, EngineOptions, PhotoOutcome, Source};
use omniid::face::{CropMode, FaceDetector};
use omniid::identity::file::Precision;
use omniid::photo::Photo;
use omniid::Limits;
use std::path::{Path, PathBuf};
use std::time::Instant;

const EXAMPLES: &str = "\
Writes into the output folder, replacing what an earlier run left there:
  clip-vision/            a CLIP image encoder in Hugging Face's format, random weights
  ip-adapter.safetensors  an IP-Adapter (full-face) in the public format, random weights
  host.json               the small host's layer table, for --host
  NAME.omniid             one identity per folder of photos
  photos.png              the photos as the image encoder saw them
  similarity.png          the similarity of the identities
  attention.png           where the first host layer looked in the first person's photos";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The folder to write into.
    #[arg(short, long, value_name = "FOLDER", default_value = "demo-output")]
    out: PathBuf,
    /// A folder with one folder of photos per person.
    #[arg(long, value_name = "FOLDER", default_value = "examples/photos")]
    photos: PathBuf,
    /// Face detector: with it, photos are cropped to the face.
    #[arg(long, value_name = "FILE", env = "OMNIID_DETECTOR", hide_env_values = true)]
    detector: Option<PathBuf>,
    /// Denoising steps.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    steps: u32,
    /// Seed of all random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// No progress bar.
    #[arg(short, long)]
    quiet: bool,
}

/// One person: the folder's name, the photos, and later the identity.
pub(super) struct Person {
    pub name: String,
    pub photos: Vec<PathBuf>,
}

pub fn run(args: Args) -> Outcome {
    let people = find_people(&args.photos)?;
    output::make_folder(&args.out)?;
    output::check_target(&args.out.join("photos.png"), true)?;
    output::print(
        "This demonstration uses random, untrained weights: every number below is computed as it would be with a \
         real model, but the similarities and pictures mean nothing.\n",
    )?;

    let files = model::write(&args.out, args.seed)?;
    output::print(format!(
        "1. Wrote a small checkpoint in the public format ({}), for a host with {} cross-attention layers.",
        bytes_text(files.bytes),
        files.host.layer_count()
    ))?;

    let mut options = EngineOptions::new(files.adapter.as_path());
    options.image_encoder = Some(Source::Path(files.image_encoder));
    options.detector = args.detector.clone().map(Source::Path);
    options.host = Some(files.host);
    let start = Instant::now();
    let engine = with_bar(args.quiet, |reporter| Engine::open(options, reporter))?;
    output::print(format!(
        "2. Opened it in {:.2} s: encoder {}, {} tokens of width {} per photo, model {}.",
        start.elapsed().as_secs_f64(),
        engine.info().kind.name(),
        engine.info().tokens,
        engine.info().token_width,
        engine.info().fingerprint
    ))?;

    let crop = if args.detector.is_some() {
        CropMode::face()
    } else {
        CropMode::Center
    };
    let encoded = encode(&engine, &people, &crop, &args)?;
    let names: Vec<String> = people.iter().map(|person| person.name.clone()).collect();
    let identities: Vec<_> = encoded.iter().map(|encoded| encoded.identity.clone()).collect();
    let matrix = Matrix::new(names, &identities, Some(&engine))?;
    output::print(format!(
        "\n4. Similarity of the identities (untrained, so without meaning):\n{}",
        matrix.table()
    ))?;
    inject(&engine, &people, &encoded, &crop, &args)?;

    let detector = match &args.detector {
        Some(path) => Some(FaceDetector::open(path, &Limits::default())?),
        None => None,
    };
    save_png(
        &pictures::sheet(&people, &crop, detector.as_ref())?,
        &args.out.join("photos.png"),
    )?;
    save_png(
        &crate::picture::matrix_picture(&matrix.names, &matrix.similarity),
        &args.out.join("similarity.png"),
    )?;
    output::print(format!(
        "\nLook into {}: identities (.omniid), photos.png, similarity.png, attention.png and the checkpoint.\nTry: \
         omniid inspect {}",
        args.out.display(),
        args.out.join(format!("{}.omniid", people[0].name)).display()
    ))
}

/// The folders of photos below `root`, by name.
fn find_people(root: &Path) -> Outcome<Vec<Person>> {
    let missing = |reason: String| {
        Failure::usage(format!(
            "{}: {reason}. The demo needs a folder with one folder of photos per person; run it in the repository's \
             root, where examples/photos is, or give --photos FOLDER",
            root.display()
        ))
    };
    let entries = std::fs::read_dir(root).map_err(|error| missing(error.to_string()))?;
    let mut folders: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    let mut people = Vec::new();
    for folder in folders {
        let name = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if let Ok(photos) = crate::photos::collect(&[folder], false) {
            people.push(Person { name, photos });
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

fn encode(engine: &Engine, people: &[Person], crop: &CropMode, args: &Args) -> Outcome<Vec<Encoded>> {
    output::print(format!("\n3. Encoding {} people:", people.len()))?;
    let mut all = Vec::with_capacity(people.len());
    for person in people {
        let photos: Vec<Photo> = person
            .photos
            .iter()
            .map(|path| Photo::from(path.as_path()))
            .collect();
        let options = EncodeOptions {
            crop: Some(*crop),
            label: person.name.clone(),
            consent: "rendered example, nobody real".to_string(),
            ..EncodeOptions::default()
        };
        let start = Instant::now();
        let encoded = with_bar(args.quiet, |reporter| engine.encode(&photos, &options, reporter))?;
        let seconds = start.elapsed().as_secs_f64();
        let file = args.out.join(format!("{}.omniid", person.name));
        encoded.identity.save(&file, Precision::F32)?;
        let norm = encoded
            .identity
            .values()
            .iter()
            .map(|value| value * value)
            .sum::<f32>()
            .sqrt();
        output::print(format!(
            "   {}: {} tokens from {} of {} photos in {seconds:.2} s, norm {norm:.2} → {}",
            person.name,
            encoded.identity.token_count(),
            encoded.photos.iter().filter(|photo| photo.is_used()).count(),
            photos.len(),
            file.display()
        ))?;
        for photo in &encoded.photos {
            match &photo.outcome {
                PhotoOutcome::Used { .. } => output::print(format!("      used      {}", photo.name))?,
                PhotoOutcome::Skipped { reason, .. } => {
                    output::print(format!("      left out  {}: {reason}", photo.name))?;
                }
            }
        }
        all.push(encoded);
    }
    Ok(all)
}

/// Conditions the first two people, one for each half of the picture, and runs the host.
fn inject(engine: &Engine, people: &[Person], encoded: &[Encoded], crop: &CropMode, args: &Args) -> Outcome {
    let side = host::LATENT_SIDE;
    let half = |left: bool| -> Outcome<Mask> {
        let values: Vec<f32> = (0..side * side)
            .map(|cell| {
                if (cell % side < side / 2) == left {
                    1.0
                } else {
                    0.0
                }
            })
            .collect();
        Ok(Mask::new(side, side, &values)?)
    };
    let mut inputs = [
        ConditionInput::new(&encoded[0].identity),
        ConditionInput::new(&encoded[1].identity),
    ];
    inputs[0].mask = Some(half(true)?);
    inputs[1].mask = Some(half(false)?);
    let start = Instant::now();
    let conditioning = with_bar(args.quiet, |reporter| {
        engine.condition(&inputs, &ConditionOptions::default(), reporter)
    })?;
    output::print(format!(
        "5. Projected keys and values of {} (left half) and {} (right half) for {} layers, once, in {:.1} ms: {}.",
        people[0].name,
        people[1].name,
        conditioning.layer_count(),
        start.elapsed().as_secs_f64() * 1e3,
        bytes_text(conditioning.byte_size() as u64)
    ))?;
    let mut host = host::Host::new(&conditioning, args.seed)?;
    let attention = host.attention_to(&conditioning, 0)?;
    output::print(format!(
        "6. Running the host for {} steps; each row: what injection added, relative to the layers' own output.\n   \
         step  sigma   conditional  unconditional       time",
        args.steps
    ))?;
    for step in 0..args.steps {
        let done = host.step(&conditioning, step, args.steps)?;
        output::print(format!(
            "   {:>4}  {:>5.2}  {:>11.4}  {:>13.4}  {:>6.2} ms",
            step + 1,
            done.sigma,
            done.conditional,
            done.unconditional,
            done.milliseconds
        ))?;
    }
    let picture = pictures::attention(
        engine,
        &people[0],
        &encoded[0],
        crop,
        &attention,
        args.detector.as_deref(),
    )?;
    save_png(&picture, &args.out.join("attention.png"))
}
