//! Pictures to look at: boxes on photos, matrices as heat maps, sheets of thumbnails.

mod canvas;
mod font;
mod heat;
mod sheet;

pub use canvas::Canvas;
pub use heat::{matrix_picture, overlay_heat};
pub use sheet::{Cell, Sheet};

use crate::failure::{Failure, Outcome};
use image::{ImageFormat, RgbImage};
use omniid::checkpoint::save_bytes_atomically;
use omniid::Error;
use std::io::Cursor;
use std::path::Path;

/// Writes a picture as PNG, in one step.
pub fn save_png(image: &RgbImage, path: &Path) -> Outcome {
    let mut bytes = Cursor::new(Vec::new());
    image
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|error| Failure::Library(Error::internal(format!("PNG: {error}"))))?;
    Ok(save_bytes_atomically(path, bytes.get_ref())?)
}
