//! People from MakeHuman's public files: artist-made morph targets, painted skins, fitted hair, brows, eyes, teeth.

mod assets;
mod clothes;
mod expression;
mod hair;
mod identity;
mod landmarks;
mod person;
mod skin;
mod target;

pub(crate) use assets::MakeHuman;
pub(crate) use person::{prepare, MakeHumanHead};
pub use target::Target;
