//! Options that several commands share.

mod generator;
mod model;
mod numbers;
mod photo;

pub use generator::{GeneratorArgs, SamplingArgs};
pub use model::{device, identity_precisions, parse_device, stored_precisions, variants, LimitArgs, ModelArgs};
pub use numbers::{finite, threads, whole, with_negative_numbers, Seed};
pub use photo::{NoteArgs, Person, PersonArgs, PhotoArgs};

/// Of these options, the first that stands on the command line. Values from environment variables do not count: they
/// are meant for every command, whether it needs them or not.
pub fn first_named<'a>(options: &[&'a str]) -> Option<&'a str> {
    let given: Vec<String> = std::env::args_os()
        .filter_map(|argument| argument.into_string().ok())
        .collect();
    let is_named = |option: &str| {
        given.iter().any(|argument| {
            argument
                .strip_prefix(option)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        })
    };
    options.iter().copied().find(|option| is_named(option))
}
