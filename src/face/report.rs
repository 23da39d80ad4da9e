//! What became of one photo.

use super::mode::CropMode;
use crate::error::Error;
use crate::photo::{Face, FaceBox, PhotoNote};

/// What became of one photo: how it was cut, or why it could not be used.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PhotoReport {
    /// [`Photo::name`](crate::Photo::name); empty for an image without a name, see [`cut`](super::cut).
    pub name: String,
    /// The crop that was made: [`CropMode::Face`] where [`CropMode::Aligned`] was asked for and only a box was given.
    pub crop: CropMode,
    /// The face that was used, in pixels of the upright photo. `None` when the crop needs none or only a box was given.
    pub face: Option<Face>,
    /// The box that was cut around, in pixels of the upright photo. `None` when the crop needs no face.
    pub bounds: Option<FaceBox>,
    /// How many faces of useful size the detector found. `None` when it was not asked.
    pub faces_found: Option<usize>,
    /// The faces of useful size that the detector found, the largest first.
    pub(crate) candidates: Vec<Face>,
    /// Degrees clockwise by which the photo had to be turned for the face to be upright: 0, 90, 180 or 270.
    pub rotation: u32,
    /// How alike the photo is to the others of its set, −1 to 1. `None` when there was nothing to compare it with.
    pub similarity: Option<f32>,
    /// What should be known although the photo was used. Empty when it was left out.
    pub notes: Vec<PhotoNote>,
    /// Why the photo was left out. `None` when it was used.
    pub error: Option<Error>,
}

impl PhotoReport {
    pub(super) fn new(crop: CropMode) -> Self {
        Self {
            name: String::new(),
            crop,
            face: None,
            bounds: None,
            faces_found: None,
            candidates: Vec::new(),
            rotation: 0,
            similarity: None,
            notes: Vec::new(),
            error: None,
        }
    }

    /// The report on a photo of which only the face embedding is used.
    pub(crate) fn of_embedding(name: String) -> Self {
        Self {
            name,
            ..Self::new(CropMode::None)
        }
    }

    /// The report on a photo that was left out.
    pub(crate) fn left_out(name: String, crop: CropMode, error: Error) -> Self {
        Self {
            name,
            error: Some(error),
            ..Self::new(crop)
        }
    }

    /// The report on the photo that is `factor` times as large.
    pub(super) fn scaled(self, factor: f32) -> Self {
        Self {
            face: self.face.map(|face| face.scaled(factor)),
            bounds: self.bounds.map(|bounds| bounds.scaled(factor)),
            candidates: self.candidates.iter().map(|face| face.scaled(factor)).collect(),
            ..self
        }
    }

    /// Whether the photo was used.
    pub fn is_used(&self) -> bool {
        self.error.is_none()
    }

    /// Why the photo was left out, or the notes on one that was used, joined by semicolons. May be empty.
    pub fn reason(&self) -> String {
        match &self.error {
            Some(error) => error.message().to_string(),
            None => {
                let notes: Vec<String> = self.notes.iter().map(ToString::to_string).collect();
                notes.join("; ")
            }
        }
    }
}
