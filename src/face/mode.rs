//! The ways in which photos are cut.

use super::crop::TEMPLATE_CENTER;
use crate::error::{Error, Result};

/// Largest [`CropMode::Face`] margin: nine times the face.
const MAX_MARGIN: f32 = 4.0;

/// How a photo is cut before it is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum CropMode {
    /// The photo as it is: CLIP's own preparation, which scales the short side and cuts out the centre.
    #[default]
    None,
    /// The largest square in the middle. Faces are not looked for.
    Center,
    /// A square around the face with `margin` times the face's longer side on every side (0 to 4; 0.5 shows head and
    /// hair). A face that lies on its side or on its head is turned upright in steps of 90 degrees.
    Face {
        /// Part of the face's longer side that is added on each side.
        margin: f32,
    },
    /// The face turned upright, scaled and shifted so that its landmarks lie on the ArcFace template.
    Aligned {
        /// 1 is the template as published, which cuts off hair and chin; 0.5 shows twice as much.
        scale: f32,
        /// The point of the 112-pixel template that lies in the middle of the crop; as published (56, 56).
        center: [f32; 2],
    },
}

impl CropMode {
    /// A face crop with the default margin of 0.5.
    pub fn face() -> Self {
        Self::Face { margin: 0.5 }
    }

    /// An aligned crop on the template as published.
    pub fn aligned() -> Self {
        Self::Aligned {
            scale: 1.0,
            center: TEMPLATE_CENTER,
        }
    }

    /// The name of the mode without its numbers: `none`, `center`, `face` or `aligned`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Center => "center",
            Self::Face { .. } => "face",
            Self::Aligned { .. } => "aligned",
        }
    }

    /// Whether this mode has to know where the face is.
    pub fn needs_face(self) -> bool {
        matches!(self, Self::Face { .. } | Self::Aligned { .. })
    }

    /// Fails for a margin or scale outside of what [`prepare`](super::prepare) takes.
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::Face { margin } if !(0.0..=MAX_MARGIN).contains(&margin) => Err(Error::invalid(format!(
                "face margin {margin} must be between 0 and {MAX_MARGIN}"
            ))),
            Self::Aligned { scale, .. } if !(0.1..=4.0).contains(&scale) => Err(Error::invalid(format!(
                "alignment scale {scale} must be between 0.1 and 4"
            ))),
            Self::Aligned { center, .. } if !center.iter().all(|place| (0.0..=112.0).contains(place)) => {
                Err(Error::invalid(format!(
                    "alignment center {}, {} must lie in the template, 0 to 112",
                    center[0], center[1]
                )))
            }
            _ => Ok(()),
        }
    }
}

/// The mode and its numbers, as in `face with margin 0.5`.
impl std::fmt::Display for CropMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::None | Self::Center => Ok(()),
            Self::Face { margin } => write!(f, " with margin {margin}"),
            Self::Aligned { scale, .. } => write!(f, " with scale {scale}"),
        }
    }
}
