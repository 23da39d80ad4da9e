//! `omniid fit-histograms`: directions in which faces are compared by orientation histograms.

use crate::args::ModelArgs;
use crate::failure::{Failure, Outcome};
use crate::output::{self, bytes_text, Target};
use crate::progress::{with_bar, Bar};
use omniid::convert::{to_native_with_progress, NativeOptions};
use omniid::face::hog::SIDE;
use omniid_training::data::Dataset;
use omniid_training::histograms::{histogram_space, HistogramOptions};
use omniid_training::run::dataset_files;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Instant;

const EXAMPLES: &str = "\
Histograms of oriented gradients of a face (Dalal and Triggs 2005) are compared in the directions in which the people of
a training set differ more than the pictures of one person do. No network takes part, and the identities of the model
stay as they are. `omniid compare --histograms` and `omniid report` use the directions.

Examples:
  omniid render --assets assets --people 4000 --size 64 --dataset people.safetensors
  omniid fit-histograms people.safetensors -o model.safetensors
  omniid fit-histograms people.safetensors -c omniid.safetensors -o omniid-histograms.safetensors --directions 64";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Training set of rendered people, a file or a folder of files, which `omniid render --dataset` writes; people with
    /// two pictures or more count.
    #[arg(value_name = "DATASET")]
    people: PathBuf,
    /// The native checkpoint to write: the model with the directions.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Directions; fewer than people.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=1024))]
    directions: u16,
    /// How far the covariance of one person's pictures is shrunk towards equal variance, above 0 to 1.
    #[arg(long, value_name = "X", default_value_t = 0.1, value_parser = crate::args::finite::<f64>)]
    shrinkage: f64,
    /// Replace the output if it exists.
    #[arg(long)]
    force: bool,
    /// Print a JSON report.
    #[arg(long)]
    json: bool,
    /// No progress bar.
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    model: ModelArgs,
}

#[derive(Serialize)]
struct Report {
    output: String,
    model: String,
    people: usize,
    pictures: usize,
    directions: usize,
    bytes: u64,
    seconds: f64,
}

pub fn run(args: Args) -> Outcome {
    let start = Instant::now();
    if !(args.shrinkage > 0.0 && args.shrinkage <= 1.0) {
        return Err(Failure::usage(format!(
            "--shrinkage {}: expected above 0 and at most 1",
            args.shrinkage
        )));
    }
    output::no_standard_output(&args.output)?;
    let target = Target::new(&args.output, args.force, args.json)?;
    let source = args.model.engine_options()?;
    let people = load(&args.people)?;
    let options = HistogramOptions {
        directions: usize::from(args.directions),
        shrinkage: args.shrinkage,
    };
    let bar = Bar::with_time_left(args.quiet);
    let space = histogram_space(&people, &options, &mut |done, all| {
        bar.show("describing people", done as u64, all as u64)
    })?;
    drop(bar);
    let directions = space.directions();
    let native = NativeOptions::default().with_histograms(space);
    let done = with_bar(args.quiet, |progress| {
        to_native_with_progress(&source, &native, &args.output, progress)
    })?;
    let report = Report {
        output: target.name(),
        model: done.fingerprint,
        people: people.people.len(),
        pictures: people.picture_count(),
        directions,
        bytes: done.bytes,
        seconds: start.elapsed().as_secs_f64(),
    };
    if args.json {
        return output::print_json(&report);
    }
    output::print(format!(
        "{}: {} directions from {} pictures of {} people, {}, model {} ({:.0} s)",
        report.output,
        report.directions,
        report.pictures,
        report.people,
        bytes_text(report.bytes),
        report.model,
        report.seconds
    ))
}

/// The people of a file, or of a folder's files; large pictures at the size of the histograms, which saves memory.
fn load(path: &Path) -> Outcome<Dataset> {
    let mut all = Dataset::default();
    for file in dataset_files(&[path.to_path_buf()])? {
        let people = Dataset::load(&file)?;
        all.append(match people.size > SIDE {
            true => people.resized(SIDE)?,
            false => people,
        })?;
    }
    Ok(all)
}
