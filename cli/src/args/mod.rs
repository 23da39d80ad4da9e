//! Options that several commands share.

mod generator;
mod model;
mod photo;

pub use generator::{GeneratorArgs, SamplingArgs};
pub use model::{device, identity_precisions, parse_device, precisions, LimitArgs, ModelArgs};
pub use photo::{NoteArgs, Person, PersonArgs, PhotoArgs};
