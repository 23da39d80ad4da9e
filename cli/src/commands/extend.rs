//! `omniid extend`

use super::encode::make;
use crate::args::{NoteArgs, PersonArgs};
use crate::failure::{Failure, Outcome};
use crate::input::{self, Input};
use crate::output::Target;
use omniid::identity::Identity;
use omniid::ErrorKind;
use std::path::PathBuf;

const EXAMPLES: &str = "\
The result equals encoding all photos at once. Label and consent note stay unless new ones are given.

Examples:
  omniid extend -c omniid.safetensors anna.omniid new-photo.jpg -o anna-2.omniid
  omniid extend -c omniid.safetensors anna.omniid holiday/ --in-place";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The identity to extend; - for standard input, with --output.
    identity: PathBuf,
    /// The identity to write; - for standard output.
    #[arg(short, long, value_name = "FILE", required_unless_present = "in_place")]
    output: Option<PathBuf>,
    /// Replace the identity itself, in one step, after any other process that does so.
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
    // Before the identity is read: nobody may change it in between.
    let target = match &args.output {
        Some(path) => Target::new(path, args.force, args.person.json)?,
        None if input::is_pipe(&args.identity) => {
            return Err(Failure::usage(format!(
                "{} cannot be replaced by --in-place, --output FILE is needed",
                input::name(&args.identity)
            )))
        }
        None => Target::in_place(&args.identity)?,
    };
    let limits = args.person.model.limits.limits();
    let identity = Identity::load(Input::open(&args.identity, &limits)?.into_source(), &limits)?;
    let name = input::name(&args.identity);
    make(
        &args.person,
        &args.notes,
        &target,
        |engine, photos, options, progress| {
            engine
                .extend_with_progress(&identity, photos, options, progress)
                .map_err(|error| match error.kind() {
                    // The identity is to blame; its label may be empty or the same as another one's.
                    ErrorKind::Mismatch | ErrorKind::Unsupported => error.context(&name),
                    _ => error,
                })
        },
    )
}
