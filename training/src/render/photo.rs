//! What one photo shows and how it was taken.

use omniid_minihost::View;

use super::augment::Augmentation;
use super::light::Lighting;

/// Where the head lies in the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Framing {
    /// The five points lie on the face template, then jitter about the picture's centre.
    Aligned {
        /// Factor; 1 for none.
        scale: f32,
        /// Shift in picture widths.
        shift: [f32; 2],
        /// Clockwise, radians.
        rotation: f32,
    },
    /// Anywhere.
    Loose {
        /// Where the point between the ears lies, in picture widths.
        centre: [f32; 2],
        /// Height of the head in picture widths.
        head: f32,
    },
}

/// What is behind the head.
#[derive(Debug, Clone, PartialEq)]
pub enum Background {
    /// A vertical gradient whose halves have the mean colours of `View::background`; nothing else.
    Plain,
    /// A gradient at any angle with blobs and noise.
    Busy {
        /// sRGB 0…1 at the two ends.
        colours: [[f32; 3]; 2],
        /// Direction of the gradient, radians.
        angle: f32,
        /// Soft or sharp round shapes: centre x, y and radius in picture widths, sRGB colour, sharpness 0…1.
        blobs: Vec<([f32; 3], [f32; 3], f32)>,
        /// Strength of smooth noise, sRGB 0…1.
        noise: f32,
        /// Of the noise.
        seed: u64,
    },
    /// Things of all sizes in front of each other, as in photographs.
    Scene {
        /// Which things.
        seed: u64,
    },
}

/// One photo of one person: everything but who it is. Sampled by a `PhotoDistribution`.
#[derive(Debug, Clone, PartialEq)]
pub struct PhotoSpec {
    /// Pose, expression, gaze, glasses. Its points, light and background are written by the renderer; `background` is
    /// read when the background is [`Background::Plain`].
    pub view: View,
    /// Distance of the camera, centimetres: 35 distorts, 150 is nearly parallel.
    pub distance: f32,
    /// Where the head lies.
    pub framing: Framing,
    /// The light.
    pub lighting: Lighting,
    /// What is behind.
    pub background: Background,
    /// Linear RGB of dyed hair; `None` is the person's own colour.
    pub hair_colour: Option<[f32; 3]>,
    /// Faults of camera and file.
    pub augmentation: Augmentation,
}

impl Default for PhotoSpec {
    /// A frontal studio picture.
    fn default() -> Self {
        let view = View::default();
        Self {
            view,
            distance: 90.0,
            framing: Framing::Aligned {
                scale: 1.0,
                shift: [0.0; 2],
                rotation: 0.0,
            },
            lighting: Lighting::from_harmonics(&view.light),
            background: Background::Plain,
            hair_colour: None,
            augmentation: Augmentation::default(),
        }
    }
}
