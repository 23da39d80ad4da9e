//! `omniid render`: synthetic people with exact ground truth.

use crate::args::Seed;
use crate::failure::{Failure, Outcome};
use crate::output::{self, Target};
use crate::picture::PictureTarget;
use crate::progress::Bar;
use crate::remedy;
use clap::ValueEnum;
use image::RgbImage;
use omniid::checkpoint::save_bytes_atomically;
use omniid::Error;
use omniid_training::data::Dataset;
use omniid_training::pictures::contact_sheet;
use omniid_training::render::{render_folder, render_people, Assets, Family, RenderConfig, Style, LARGEST, TRUTH_FILE};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Instant;

const EXAMPLES: &str = "\
A person follows from the family and the seed, a picture from the person and its number: the same command gives the
same bytes on every machine with the same arithmetic. A person's first pictures are inputs, in which everything varies as
in photos that people bring; the others are targets, studio pictures that the truth determines, the first of them frontal.

Written into FOLDER:
  <family>-<seed>/<n>.png   the pictures, aligned crops as the training uses them
  truth.jsonl               a line per picture: pose, expression, light and so on, five points, 68 landmarks

Examples:
  omniid render people --assets assets --people 20 --size 256
  omniid render people --assets assets --seed 500 --inputs 3 --targets 8 --family ict --sheet people.png
  omniid render --assets assets --people 4000 --size 64 --dataset train.safetensors
  omniid render --assets assets --style lifelike --people 12 --size 192 --sheet people.png
  omniid render --assets assets --style lifelike --people 20000 --size 96 --dataset people --people-per-file 1000";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Folder to write pictures and truth into; it is made if it is missing.
    #[arg(value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Training set to write, for `omniid train`.
    #[arg(long, value_name = "FILE")]
    dataset: Option<PathBuf>,
    /// Split the training set into files of so many people; DATASET then names a folder. Files that are there are kept,
    /// so that the same command goes on where it was stopped, and one file's people are in memory at a time. Even, so
    /// that the heads take turns as in one file.
    #[arg(long, value_name = "N", requires = "dataset", conflicts_with = "sheet", value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    people_per_file: Option<u32>,
    /// Contact sheet to write: a row for each of the first people. Its name says the format: PNG, JPEG, WebP, BMP or
    /// TIFF.
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
    #[command(flatten)]
    assets: AssetArgs,
    /// How many people.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    people: u32,
    /// Seed of the first person; the others follow. The shipped model is trained on seeds below a million.
    /// -1 stands for any, which is printed.
    #[arg(long, value_name = "N", default_value_t = Seed::from(1), value_parser = Seed::parse)]
    seed: Seed,
    /// Pictures per person in which everything varies.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(0..=1000))]
    inputs: u32,
    /// Studio pictures per person.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(0..=1000))]
    targets: u32,
    /// Side of a picture in pixels.
    #[arg(long, value_name = "PIXELS", default_value_t = 64, value_parser = clap::value_parser!(u32).range(8..=i64::from(LARGEST)))]
    size: u32,
    /// Heads to use; may be given several times [default: all that the assets have, by turns].
    #[arg(long = "family", value_name = "FAMILY")]
    families: Vec<FamilyArg>,
    /// How people and photos look. Each style has its own people.
    #[arg(long, value_name = "STYLE", default_value = "classic")]
    style: StyleArg,
    /// Times of life that a person's pictures are from, by turns; with --style lifelike. Each has its own hair, beard,
    /// weight and make-up.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=16))]
    moments: u16,
    /// Years by which these times may lie apart from the first, either way.
    #[arg(long, value_name = "YEARS", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=40))]
    years: u16,
    /// Replace what an earlier run left.
    #[arg(long)]
    force: bool,
    /// Print a JSON report.
    #[arg(long)]
    json: bool,
    /// No progress bar.
    #[arg(short, long)]
    quiet: bool,
}

/// The heads that people are made of.
#[derive(clap::Args, Clone)]
pub struct AssetArgs {
    /// Folder of the head models, with makehuman/ or ict_facekit/ or both in it.
    #[arg(
        long = "assets",
        value_name = "FOLDER",
        env = "OMNIID_ASSETS",
        hide_env_values = true
    )]
    folder: Option<PathBuf>,
}

impl AssetArgs {
    /// Whether a folder was named.
    pub fn is_given(&self) -> bool {
        self.folder.is_some()
    }

    /// Reads the head models and says what is missing.
    pub fn open(&self) -> Outcome<Assets> {
        let folder = self
            .folder
            .as_deref()
            .ok_or_else(|| Failure::usage("no head models to render people with").with_remedy(remedy::ASSETS))?;
        let assets = Assets::open(folder)?;
        for line in assets.report() {
            tell!("note: {line}");
        }
        Ok(assets)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FamilyArg {
    /// Artist-made morph targets with painted skins and hair (CC0).
    #[value(name = "makehuman")]
    MakeHuman,
    /// Scan-derived shapes with blendshapes (MIT, USC ICT).
    Ict,
}

impl From<FamilyArg> for Family {
    fn from(arg: FamilyArg) -> Self {
        match arg {
            FamilyArg::MakeHuman => Self::MakeHuman,
            FamilyArg::Ict => Self::Ict,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StyleArg {
    /// What the built-in model was trained on first.
    Classic,
    /// Nearer to photos: traits that belong together, grown hair and beards, relief of the skin, light and backgrounds
    /// of photographs.
    Lifelike,
}

impl From<StyleArg> for Style {
    fn from(arg: StyleArg) -> Self {
        match arg {
            StyleArg::Classic => Self::Classic,
            StyleArg::Lifelike => Self::Lifelike,
        }
    }
}

#[derive(Serialize)]
struct Report {
    people: usize,
    pictures: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dataset: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sheet: Option<String>,
    seconds: f64,
}

/// People on a contact sheet.
const SHEET_PEOPLE: usize = 12;

pub fn run(args: Args) -> Outcome {
    if args.out.is_none() && args.dataset.is_none() && args.sheet.is_none() {
        return Err(Failure::usage("nothing to write").with_remedy(remedy::RENDER_OUTPUT));
    }
    if args.inputs + args.targets == 0 {
        return Err(Failure::usage("--inputs 0 and --targets 0: no pictures"));
    }
    if args.style == StyleArg::Classic && (args.moments > 1 || args.years > 0) {
        return Err(Failure::usage("--moments and --years need --style lifelike"));
    }
    if args.moments == 1 && args.years > 0 {
        return Err(Failure::usage("--years has no effect with --moments 1"));
    }
    if args.people_per_file.is_some_and(|people| people % 2 == 1) {
        return Err(Failure::usage(
            "--people-per-file is odd: each kind of head has half of the people of a file",
        ));
    }
    let dataset_target = match &args.dataset {
        Some(_) if args.people_per_file.is_some() => None,
        Some(path) => {
            output::no_standard_output(path)?;
            Some(Target::new(path, args.force, args.json)?)
        }
        None => None,
    };
    let sheet_target = match &args.sheet {
        Some(path) => Some(PictureTarget::new(path, args.force, args.json)?),
        None => None,
    };
    if let Some(folder) = &args.out {
        output::check_in_folder(folder, TRUTH_FILE, args.force)?;
    }
    let assets = args.assets.open()?;
    let start = Instant::now();
    let config = RenderConfig {
        people: args.people as usize,
        first_seed: args.seed.announced(),
        inputs_per_person: args.inputs as usize,
        targets_per_person: args.targets as usize,
        size: args.size,
        families: args.families.iter().copied().map(Family::from).collect(),
        style: args.style.into(),
        moments: usize::from(args.moments),
        years: f32::from(args.years),
    };
    if let Some(folder) = &args.out {
        let _claim = output::make_folder(folder)?;
        let bar = Bar::with_time_left(args.quiet);
        render_folder(&assets, &config, folder, &|done, all| {
            bar.show("rendering people", done as u64, all as u64).is_continue()
        })?;
    }
    if let (Some(folder), Some(people)) = (&args.dataset, args.people_per_file) {
        write_parts(&assets, &config, folder, people as usize, &args)?;
    }
    if let Some(target) = &dataset_target {
        let dataset = people(&assets, &config, "rendering people", args.quiet)?;
        dataset.save(target.path())?;
    }
    if let Some(target) = &sheet_target {
        let some = RenderConfig {
            people: config.people.min(SHEET_PEOPLE),
            ..config.clone()
        };
        let dataset = people(&assets, &some, "rendering the sheet", args.quiet)?;
        let pictures: Vec<RgbImage> = dataset
            .people
            .iter()
            .flat_map(|person| &person.pictures)
            .filter_map(|picture| RgbImage::from_raw(args.size, args.size, picture.pixels.clone()))
            .collect();
        target.write(&contact_sheet(&pictures, (args.inputs + args.targets) as usize))?;
    }
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let report = Report {
        people: config.people,
        pictures: config.people * (config.inputs_per_person + config.targets_per_person),
        folder: path(&args.out),
        dataset: path(&args.dataset),
        sheet: path(&args.sheet),
        seconds: start.elapsed().as_secs_f64(),
    };
    if args.json {
        return output::print_json(&report);
    }
    let places = [&report.folder, &report.dataset, &report.sheet];
    output::print(format!(
        "{} people, {} pictures of {} px in {:.1} s: {}",
        report.people,
        report.pictures,
        args.size,
        report.seconds,
        places.into_iter().flatten().cloned().collect::<Vec<_>>().join(", ")
    ))
}

/// What a folder of parts was rendered with.
const PARTS_FILE: &str = "render.json";

/// Writes a training set as files of so many people; those that are there already are kept.
fn write_parts(assets: &Assets, config: &RenderConfig, folder: &Path, people: usize, args: &Args) -> Outcome {
    let _claim = output::make_folder(folder)?;
    let settings = serde_json::json!({ "people_per_file": people, "render": config });
    let place = folder.join(PARTS_FILE);
    let before: Option<serde_json::Value> = std::fs::read(&place)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    // More people may follow later.
    let same = |mut before: serde_json::Value| {
        before["render"]["people"] = settings["render"]["people"].clone();
        before == settings
    };
    let parts = config.people.div_ceil(people);
    let name = |part: usize| {
        let first = config.first_seed.wrapping_add((part * people) as u64);
        folder.join(format!("people-{first:010}.safetensors"))
    };
    let people_before = before.as_ref().and_then(|before| before["render"]["people"].as_u64());
    let people_before = people_before.unwrap_or(0) as usize;
    let fresh = before.is_none_or(|before| !same(before));
    if fresh && !args.force && (0..parts).any(|part| name(part).exists()) {
        let message = format!("{} holds people rendered with other options", folder.display());
        return Err(Failure::usage(message).with_remedy(remedy::FORCE));
    }
    let text = serde_json::to_vec_pretty(&settings).map_err(|error| Error::internal(error.to_string()))?;
    save_bytes_atomically(&place, &text)?;
    let bar = Bar::with_time_left(args.quiet);
    let mut before = 0;
    for part in 0..parts {
        let count = people.min(config.people - part * people);
        // A file that was the last of a smaller set is not full.
        let whole = people_before.saturating_sub(part * people).min(people) >= count;
        if fresh || !whole || !name(part).exists() {
            let some = RenderConfig {
                people: count,
                first_seed: config.first_seed.wrapping_add((part * people) as u64),
                ..config.clone()
            };
            let dataset = render_people(assets, &some, &|done, _| {
                bar.show("rendering people", (before + done) as u64, config.people as u64)
                    .is_continue()
            })?;
            dataset.save(&name(part))?;
        }
        before += count;
    }
    Ok(())
}

/// Renders a set in memory.
pub fn people(assets: &Assets, config: &RenderConfig, what: &str, quiet: bool) -> Outcome<Dataset> {
    let bar = Bar::with_time_left(quiet);
    Ok(render_people(assets, config, &|done, all| {
        bar.show(what, done as u64, all as u64).is_continue()
    })?)
}
