//! What a family of heads provides to make a person.

use omniid::Result;

use super::camera::rotation;
use super::lifelike::Locks;
use super::look::Look;
use super::mesh::{Layer, Shape};
use super::style::Style;
use super::vector::{Mat3, Vec3};

/// The shape of one person, whatever the photo asks for.
pub(crate) trait Head: Send + Sync {
    /// All layers' vertices, in the layers' order, without normals. `gaze` as for [`gaze_rotation`].
    fn shape(&self, expression: &[f32; 12], gaze: [f32; 2]) -> Result<Shape>;
}

/// What of a person stays the same from photo to photo, apart from the shape.
pub(crate) struct Appearance {
    pub layers: Vec<Layer>,
    pub look: Look,
    /// 68 landmarks of the family's average head, centimetres.
    pub mean_points: Vec<Vec3>,
    /// The layer of the hair and the mean brightness of its texture.
    pub hair: Option<(usize, f32)>,
    /// The first vertices, which can be under clothes.
    pub skin_vertices: usize,
    /// Hair that grows on the first vertices. Its layers are added by the person.
    pub locks: Vec<Locks>,
    /// Of the person.
    pub style: Style,
    /// Shine of grown hair, 0…1.
    pub hair_gloss: f32,
    /// Whether glasses are usually worn; `None` leaves it to each photo.
    pub glasses: Option<bool>,
}

/// The rotation of the eyes in the head: right and up of the picture are positive.
pub(crate) fn gaze_rotation(gaze: [f32; 2]) -> Mat3 {
    rotation(gaze[0], gaze[1], 0.0)
}
