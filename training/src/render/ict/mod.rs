//! People from the ICT-FaceKit head: scan-derived shape modes and blendshapes, painted by us.

mod assets;
mod expression;
mod eye;
mod features;
mod lifelike;
mod paint;
mod person;
mod transfer;

pub(crate) use assets::Ict;
pub(crate) use lifelike::{prepare as prepare_lifelike, Lifelike};
pub(crate) use person::{prepare, HairStyles};
