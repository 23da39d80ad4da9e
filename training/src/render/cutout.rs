//! Heads without a background, for pasting into other pictures.

use omniid::Result;
use omniid_minihost::View;

use super::draw::{check_size, with_canvas};
use super::person::Person;
use super::photo::PhotoSpec;

/// A rendered person without a background, and the truth about it.
#[derive(Debug, Clone)]
pub struct CutOut {
    /// Side of the picture, pixels.
    pub size: u32,
    /// Red, green, blue and cover of each pixel, 0…255, row by row; the colours (sRGB) are multiplied by the cover.
    /// Head, hair, neck and clothes cover.
    pub pixels: Vec<[u8; 4]>,
    /// Pose, expression, gaze, glasses.
    pub view: View,
    /// The 68 landmarks, pixels from the left and upper edge; also where the head hides them.
    pub landmarks68: [[f32; 2]; 68],
}

impl Person {
    /// Takes a photo of `size` × `size` pixels (16 to [`LARGEST`](super::LARGEST)) without background and without
    /// faults of the camera. Same person, photo and size: same bytes.
    ///
    /// # Errors
    /// As [`Person::render`].
    pub fn cut_out(&self, photo: &PhotoSpec, size: u32) -> Result<CutOut> {
        check_size(size)?;
        with_canvas(|canvas| {
            let samples = self.supersampling(size);
            canvas.start(size * samples);
            let truth = canvas.draw(self, photo, size, samples)?;
            Ok(CutOut {
                size,
                pixels: canvas.layer(size, samples),
                view: photo.view,
                landmarks68: truth.landmarks,
            })
        })
    }
}
