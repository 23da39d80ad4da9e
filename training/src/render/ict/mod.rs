//! People from the ICT-FaceKit head: scan-derived shape modes and blendshapes, painted by us.

mod assets;
mod expression;
mod features;
mod hair;
mod paint;
mod person;

pub(crate) use assets::Ict;
pub(crate) use person::{prepare, HairStyles};
