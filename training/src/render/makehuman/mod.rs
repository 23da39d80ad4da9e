//! People from MakeHuman's public files: artist-made morph targets, painted skins, fitted hair, brows, eyes, teeth.

mod assets;
mod axis;
mod base_mesh;
mod clothes;
mod expression;
mod files;
mod hair;
mod identity;
mod part;
mod person;
mod skin;
mod target;

pub(crate) use assets::MakeHuman;
pub(crate) use person::prepare;
