//! A face detector of YuNet's architecture, trained on rendered people.
//!
//! The published YuNet weights were trained on photos of real people and stay loadable; these are ours to ship.

mod canvas;
mod clutter;
mod comparison;
pub mod heads;
pub mod loss;
pub mod network;
pub mod norm;
pub mod objective;
pub mod ops;
mod picture;
mod portrait;
mod run;
pub mod scene;
mod scores;
pub mod truth;
mod unfold;
mod vectorised;

pub use comparison::{
    compare_detectors, portraits, test_images, Agreement, DetectorComparison, DetectorScores, DetectorTest,
    PortraitScores,
};
pub use objective::{evaluation_options, held_out_scenes, FaceDetection};
pub use picture::draw_faces;
pub use run::{train_detector, DetectorReport, DETECTOR_FILE};
pub use scores::{evaluate_detector, landmark_distance, DetectionScores, FaceGroup, LabelledFace, LabelledPicture};

#[cfg(test)]
mod tests;
