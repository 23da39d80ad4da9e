//! Faces: finding them, and cutting the photo so that the encoder sees the person.
//!
//! [`FaceDetector`] is the YuNet network. [`prepare`] goes from a [`Photo`](crate::Photo) to the square picture for
//! the encoder, and says which face it used.

pub mod crop;
mod depthwise;
mod detector;
mod file;
pub mod hog;
pub mod keypoints;
mod mode;
mod network;
mod onnx;
mod orientation;
pub mod parsing;
mod refine;
mod report;
mod select;
pub(crate) mod warp;

pub use crate::photo::{Face, FaceBox, Landmarks};
pub use detector::{DetectOptions, Detection, FaceDetector};
pub use mode::CropMode;
pub use report::PhotoReport;
pub use select::{cut, prepare, CropOptions};
pub(crate) use select::{cut_face, prepare_photo, Prepared, MAX_FACES};
