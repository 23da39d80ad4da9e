//! `omniid extend`

use super::encode::make;
use crate::args::{NoteArgs, PersonArgs};
use crate::failure::Outcome;
use crate::output;
use omniid::identity::Identity;
use std::path::PathBuf;

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
    /// The identity to write.
    #[arg(short, long, value_name = "FILE", required_unless_present = "in_place")]
    output: Option<PathBuf>,
    /// Replace the identity itself, in one step.
    #[arg(long, conflicts_with = "output")]
    in_place: bool,
    /// Replace the output if it exists.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    person: PersonArgs,
    #[command(flatten)]
    notes: NoteArgs,
}

pub fn run(args: Args) -> Outcome {
    let (target, force) = match args.output {
        Some(path) => (path, args.force),
        None => (args.identity.clone(), true),
    };
    output::check_target(&target, force)?;
    let identity = Identity::load(&args.identity, &args.person.model.limits.limits())?;
    make(
        &args.person,
        &args.notes,
        &target,
        |engine, photos, options, progress| engine.extend_with_progress(&identity, photos, options, progress),
    )
}
