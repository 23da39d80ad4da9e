//! Options that several commands share.

mod generator;
mod model;
mod numbers;
mod photo;

pub use generator::{GeneratorArgs, SamplingArgs};
pub use model::{device, identity_precisions, parse_device, precisions, LimitArgs, ModelArgs};
pub use numbers::{threads, whole, with_negative_numbers, Seed};
pub use photo::{NoteArgs, Person, PersonArgs, PhotoArgs};
