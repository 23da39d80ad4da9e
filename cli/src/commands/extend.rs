//! `omniid extend`

use super::encode::report;
use crate::args::{ModelArgs, NoteArgs, PhotoArgs};
use crate::failure::Outcome;
use crate::output;
use crate::progress::with_bar;
use omniid::identity::Identity;
use std::path::PathBuf;
use std::time::Instant;

const EXAMPLES: &str = "\
The result equals encoding all photos at once. Label and consent note stay unless new ones are given.

Examples:
  omniid extend -c omniid.safetensors anna.omniid new-photo.jpg -o anna-2.omniid
  omniid extend -c omniid.safetensors anna.omniid holiday/ --in-place";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The identity to extend.
    identity: PathBuf,
    /// More photos of the same person, and folders of them.
    #[arg(required = true, value_name = "PHOTO")]
    photos: Vec<PathBuf>,
    /// The identity to write.
    #[arg(short, long, value_name = "FILE", required_unless_present = "in_place")]
    output: Option<PathBuf>,
    /// Replace the identity itself, in one step.
    #[arg(long, conflicts_with = "output")]
    in_place: bool,
    /// Replace the output if it exists.
    #[arg(long)]
    force: bool,
    /// Print a JSON report instead of text.
    #[arg(long)]
    json: bool,
    /// No progress bar.
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    photo: PhotoArgs,
    #[command(flatten)]
    notes: NoteArgs,
    #[command(flatten)]
    model: ModelArgs,
}

pub fn run(args: Args) -> Outcome {
    let (target, force) = match args.output {
        Some(path) => (path, args.force),
        None => (args.identity.clone(), true),
    };
    output::check_target(&target, force)?;
    let identity = Identity::load(&args.identity, &args.model.limits.limits())?;
    let photos = args.photo.collect(&args.photos)?;
    let mut options = args.photo.encode_options()?;
    args.notes.fill(&mut options);
    let engine = args.model.open(args.quiet)?;
    let start = Instant::now();
    let encoded = with_bar(args.quiet, |progress| {
        engine.extend_with_progress(&identity, &photos, &options, progress)
    })?;
    let seconds = start.elapsed().as_secs_f64();
    encoded.identity.save_as(&target, args.notes.store)?;
    report(&target, &engine, &encoded, seconds, args.json)
}
