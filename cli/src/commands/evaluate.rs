//! `omniid evaluate`: what a model can and cannot do, in tables.

mod sheets;
mod summary;

use super::render::{people, AssetArgs, StyleArg};
use crate::args::{first_named, GeneratorArgs, SamplingArgs, Seed};
use crate::detector;
use crate::dropped;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::picture::save_png;
use crate::progress::Bar;
use omniid::checkpoint::save_bytes_atomically;
use omniid::face::FaceDetector;
use omniid::{Error, Limits};
use omniid_training::data::photos::{file_hash, load_photos, PhotoOptions};
use omniid_training::data::Dataset;
use omniid_training::evaluate::{
    evaluate_people, EvaluatedModel, Evaluation, GenerationOptions, ModelName, Progress, SuiteOptions, TestPeople,
    Verifier, FORMAT_VERSION,
};
use omniid_training::render::RenderConfig;
use std::path::{Path, PathBuf};
use std::time::Instant;

const EXAMPLES: &str = "\
Writes into FOLDER:
  evaluation.md     tables to read
  evaluation.json   the same for programs
  *.png             pictures of the first people of each group: photos, truth, what was drawn; of people with two or
                    three photos, views drawn from all of them beside the photos (*-from-all.png)

Rendered test people need the head models (--assets); photos need nothing else. The verifier is a published face
recogniser that takes no part in training (MobileFaceNet with the names of its safetensors file); without it, only pixels and
tokens are compared.

Examples:
  omniid evaluate --assets assets --verifier assets/eval/mobilefacenet.safetensors --photos assets/eval/orl \
      --photos assets/eval/london --also-detector yunet.onnx --inputs 1,2,3,5,7 --out evaluation
  omniid evaluate -c model.safetensors --minihost minihost.safetensors --assets assets --people 50 --drawn 16 --out quick
  omniid evaluate -c encoder.safetensors --no-pictures --photos my-photos --out tokens";

/// The report for programs; its presence says that a folder holds an evaluation.
pub const JSON: &str = "evaluation.json";

/// Far away from every seed that anything was trained on.
const FIRST_SEED: u64 = 1_000_000_000;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Folder to write into; it is made if it is missing.
    #[arg(short, long, value_name = "FOLDER")]
    out: PathBuf,
    #[command(flatten)]
    assets: AssetArgs,
    /// Rendered people; 0 renders none.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    people: u32,
    /// People of each group whose pictures are drawn: the expensive part.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    drawn: u32,
    /// Seed of the first rendered person; -1 for any, which is printed.
    #[arg(long, value_name = "N", default_value_t = Seed::from(FIRST_SEED), value_parser = Seed::parse)]
    first_seed: Seed,
    /// How rendered people look.
    #[arg(long, value_name = "STYLE", default_value = "classic")]
    style: StyleArg,
    /// Numbers of photos that identities are made of.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 3, 5, 7],
          value_parser = clap::value_parser!(u16).range(1..=64))]
    inputs: Vec<u16>,
    /// Numbers of photos whose single identities are averaged, of --inputs [default: the largest].
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=64))]
    averaged: Vec<u16>,
    /// Pictures drawn of a person from each identity.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    targets: u16,
    /// Numbers of photos of the sets that are told apart.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 3, 5],
          value_parser = clap::value_parser!(u16).range(1..=64))]
    sets: Vec<u16>,
    /// Folder of photos, one folder per person, such as the ORL faces; may be given several times.
    #[arg(long = "photos", visible_alias = "orl", value_name = "FOLDER")]
    photos: Vec<PathBuf>,
    /// Cut the photos out by this detector, too, and tell people apart again: YuNet, or a native checkpoint.
    #[arg(long, value_name = "FILE")]
    also_detector: Option<PathBuf>,
    /// Face recogniser that judges who is shown.
    #[arg(long, value_name = "FILE", env = "OMNIID_VERIFIER", hide_env_values = true)]
    verifier: Option<PathBuf>,
    /// Evaluate the identity model alone, without drawing pictures.
    #[arg(long)]
    no_pictures: bool,
    /// Draws of people behind every interval.
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    resamples: u32,
    /// Write every person's means into the JSON report, too, to compare models person by person.
    #[arg(long)]
    per_person: bool,
    /// Replace an earlier evaluation in the folder.
    #[arg(long)]
    force: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// No progress bar.
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    generator: GeneratorArgs,
}

pub fn run(args: Args) -> Outcome {
    let start = Instant::now();
    if args.people == 0 && args.photos.is_empty() {
        return Err(Failure::usage(
            "nobody to evaluate on: --people 0 and no --photos FOLDER",
        ));
    }
    if let Some(count) = args.averaged.iter().find(|count| !args.inputs.contains(count)) {
        return Err(Failure::usage(format!("--averaged {count} is none of --inputs")));
    }
    let unused: [(bool, &[&str], &str); 3] = [
        (
            args.no_pictures,
            &[
                "--drawn",
                "--averaged",
                "--per-person",
                "--minihost",
                "--steps",
                "--guidance",
                "--scale",
                "--seed",
            ],
            "no picture is drawn (--no-pictures)",
        ),
        (
            args.people == 0,
            &["--first-seed", "--style"],
            "nobody is rendered (--people 0)",
        ),
        (
            args.photos.is_empty(),
            &["--detector", "--also-detector"],
            "there are no photos (--photos FOLDER)",
        ),
    ];
    for (is_unused, options, why) in unused {
        if let (true, Some(option)) = (is_unused, first_named(options)) {
            return Err(Failure::usage(format!("{option} has no effect: {why}")));
        }
    }
    output::check_in_folder(&args.out, JSON, args.force)?;
    let limits = args.generator.model.limits.limits();
    let options = args.options();
    let first_seed = args.first_seed.announced();
    let source = args.generator.model.source()?;
    let opening = Bar::busy(args.quiet, "opening the models");
    let model = EvaluatedModel::open(source.clone(), args.generator.model.device)?;
    let host = if args.no_pictures {
        None
    } else {
        Some(args.generator.open_host()?)
    };
    let verifier = args.verifier.as_deref().map(Verifier::open).transpose()?;
    drop(opening);
    let _claim = output::make_folder(&args.out)?;
    let size = match &host {
        Some((host, _)) => host.config().size as u32,
        None => model
            .config()
            .backbone
            .as_ref()
            .map_or(0, |backbone| backbone.image_size as u32),
    };
    let mut people = Vec::new();
    let bar = Bar::with_time_left(args.quiet);
    let mut step = |what: &str, done: usize, total: usize| bar.show(what, done as u64, total as u64);
    let mut evaluate = |group: TestPeople<'_>, options: &SuiteOptions, drawn: bool| -> Outcome {
        let host = host.as_ref().map(|(host, _)| host).filter(|_| drawn);
        let mut progress = Progress::new(&mut step);
        let (report, examples) = evaluate_people(&model, host, verifier.as_ref(), &group, options, &mut progress)?;
        let path = args.out.join(picture_name(&group.name));
        if !examples.unseen.is_empty() {
            save_png(&sheets::beside_truth(&examples.unseen), &path)?;
        }
        if !examples.from_all.is_empty() {
            let name = picture_name(&format!("{} from all", group.name));
            save_png(&sheets::beside_photos(&examples.from_all), &args.out.join(name))?;
        }
        people.push(report);
        Ok(())
    };
    if args.people > 0 {
        let dataset = rendered(&args, &options, first_seed, size)?;
        let group = TestPeople {
            name: "Rendered people".to_string(),
            dataset: &dataset,
            photos: false,
        };
        evaluate(group, &options, true)?;
    }
    for folder in &args.photos {
        let own = args.generator.model.parts.detector.as_deref();
        for (also, detector) in [(false, own), (true, args.also_detector.as_deref())] {
            if also && detector.is_none() {
                continue;
            }
            let name = match detector.filter(|_| also) {
                Some(detector) => format!("{}, detector {}", group_name(folder), folder_name(detector)),
                None => group_name(folder),
            };
            let detector = detector::of(detector, &source, &limits)?;
            let dataset = photographed(folder, &name, &detector, &args, size, &limits)?;
            let group = TestPeople {
                name,
                dataset: &dataset,
                photos: true,
            };
            evaluate(group, &for_photos(&options, &dataset), !also)?;
        }
    }
    drop(bar);
    let evaluation = Evaluation {
        format: FORMAT_VERSION,
        version: env!("CARGO_PKG_VERSION").to_string(),
        commit: option_env!("OMNIID_COMMIT").unwrap_or("unknown").to_string(),
        model: ModelName {
            name: model.config().name.clone(),
            fingerprint: model.fingerprint().to_string(),
        },
        minihost: host.map(|(host, fingerprint)| ModelName {
            name: format!("minihost of {} px", host.config().size),
            fingerprint,
        }),
        verifier: args.verifier.as_deref().map(verifier_name).transpose()?,
        first_seed,
        resamples: args.resamples as usize,
        seconds: start.elapsed().as_secs_f64(),
        people,
    };
    let text =
        serde_json::to_string_pretty(&evaluation).map_err(|error| Error::internal(format!("JSON report: {error}")))?;
    let markdown = args.out.join("evaluation.md");
    write(&args.out.join(JSON), &text)?;
    write(&markdown, &evaluation.markdown())?;
    if args.json {
        return output::print(text);
    }
    let mut summary = String::new();
    for group in &evaluation.people {
        summary.push_str(&summary::line(group));
    }
    output::print(format!("{summary}{} ({:.0} s)", markdown.display(), evaluation.seconds))
}

impl Args {
    fn options(&self) -> SuiteOptions {
        let numbers = |list: &[u16]| {
            let mut numbers: Vec<usize> = list.iter().map(|number| usize::from(*number)).collect();
            numbers.sort_unstable();
            numbers.dedup();
            numbers
        };
        SuiteOptions {
            drawn_people: self.drawn as usize,
            set_photos: numbers(&self.sets),
            verified_photos: verified(&self.sets),
            generation: GenerationOptions {
                counts: numbers(&self.inputs),
                averaged: numbers(&self.averaged),
                targets: usize::from(self.targets),
                generate: self.sampling.options(),
                resamples: self.resamples as usize,
                examples: sheets::PEOPLE,
                portraits: sheets::portraits(),
                per_person: self.per_person,
                ..GenerationOptions::default()
            },
            resamples: self.resamples as usize,
            ..SuiteOptions::default()
        }
    }
}

/// Photos of a person that are told apart: enough for two sets of the most.
fn verified(sets: &[u16]) -> usize {
    2 * sets.iter().copied().max().map_or(1, usize::from)
}

/// Photos have no targets of their own: where a person has too few for the most inputs, fewer are read.
fn for_photos(options: &SuiteOptions, dataset: &Dataset) -> SuiteOptions {
    let mut options = options.clone();
    // One photo is compared with, one drawn; at least two people must have as many.
    let mut photos: Vec<usize> = dataset.people.iter().map(|person| person.pictures.len()).collect();
    photos.sort_unstable_by(|a, b| b.cmp(a));
    let usable = photos.get(1).copied().unwrap_or(0);
    options
        .generation
        .counts
        .retain(|count| *count == 1 || count + 2 <= usable);
    let counts = &options.generation.counts;
    options.generation.averaged.retain(|count| counts.contains(count));
    options
}

/// Renders people whom nothing was trained on, with enough pictures for everything.
fn rendered(args: &Args, options: &SuiteOptions, first_seed: u64, size: u32) -> Outcome<Dataset> {
    let most = options.generation.counts.iter().copied().max().unwrap_or(1);
    let config = RenderConfig {
        people: args.people as usize,
        first_seed,
        inputs_per_person: most.max(options.verified_photos),
        // The first one is compared with.
        targets_per_person: 1 + options.generation.targets,
        size,
        style: args.style.into(),
        ..RenderConfig::default()
    };
    people(&args.assets.open()?, &config, "rendering people", args.quiet)
}

/// The people in a folder of photos, for the group `name`.
fn photographed(
    folder: &Path,
    name: &str,
    detector: &FaceDetector,
    args: &Args,
    size: u32,
    limits: &Limits,
) -> Outcome<Dataset> {
    let options = PhotoOptions {
        size,
        limits: *limits,
        ..PhotoOptions::default()
    };
    let bar = Bar::with_time_left(args.quiet);
    let (dataset, report) = load_photos(folder, detector, &options, &mut |done, all| {
        bar.show("preparing photos", done as u64, all as u64)
    })?;
    bar.line(&format!("{}: {report}", folder.display()));
    let list = picture_name(name);
    dropped::tell(&report, &args.out.join(list).with_extension("dropped.txt"), &bar)?;
    if dataset.people.len() < 2 {
        return Err(Failure::usage(format!(
            "{}: {} people with at least {} usable photos, expected 2: of every person one photo is read and another \
             one drawn",
            folder.display(),
            dataset.people.len(),
            options.min_photos
        )));
    }
    Ok(dataset)
}

fn verifier_name(path: &Path) -> Outcome<ModelName> {
    let hash = file_hash(path)?;
    Ok(ModelName {
        name: "MobileFaceNet".to_string(),
        fingerprint: hash.chars().take(32).collect(),
    })
}

fn group_name(folder: &Path) -> String {
    format!("Photos: {}", folder_name(folder))
}

fn folder_name(folder: &Path) -> String {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| folder.display().to_string())
}

fn picture_name(group: &str) -> String {
    let plain = |letter: char| if letter.is_alphanumeric() { letter } else { '-' };
    let mut name: String = group.to_lowercase().chars().map(plain).collect();
    while name.contains("--") {
        name = name.replace("--", "-");
    }
    format!("{name}.png")
}

fn write(path: &Path, text: &str) -> Outcome {
    Ok(save_bytes_atomically(path, text.as_bytes())?)
}
