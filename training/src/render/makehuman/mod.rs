//! People from MakeHuman's public files: artist-made morph targets, painted skins, fitted hair, brows, eyes, teeth.

mod assets;
mod axis;
mod base_mesh;
mod clothes;
mod expression;
mod files;
mod hair;
mod identity;
mod lifelike;
mod part;
mod person;
mod skin;
mod target;

pub(crate) use assets::MakeHuman;
pub(crate) use base_mesh::{pivot, to_centimetres};
pub(crate) use identity::macro_shape;
pub(crate) use lifelike::{prepare as prepare_lifelike, Lifelike};
pub(crate) use person::prepare;
