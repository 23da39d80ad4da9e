//! A face detector of YuNet's architecture, trained on rendered people.
//!
//! The published YuNet weights were trained on photos of real people and stay loadable; these are ours to ship.

mod canvas;
mod clutter;
pub mod heads;
pub mod loss;
pub mod network;
pub mod norm;
pub mod objective;
pub mod ops;
mod picture;
mod run;
pub mod scene;
pub mod truth;
mod vectorised;

pub use objective::{held_out_scenes, judging, FaceDetection};
pub use picture::draw_faces;
pub use run::{train_detector, DetectorReport, DETECTOR_FILE};

#[cfg(test)]
mod tests;
