//! Pictures to look at: grids, contact sheets, PNG files.

mod grid;
mod sheet;

pub use grid::{levels, Grid};
pub use sheet::contact_sheet;

use image::RgbImage;
use omniid::checkpoint::save_bytes_atomically;
use omniid::{Error, Result};
use std::path::Path;

/// Writes a PNG, atomically.
///
/// # Errors
/// [`ErrorKind::Io`](omniid::ErrorKind::Io) naming the path.
pub fn save(picture: &RgbImage, path: &Path) -> Result<()> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, image::ImageFormat::Png)
        .map_err(|error| Error::internal(format!("{}: {error}", path.display())))?;
    save_bytes_atomically(path, bytes.get_ref())
}
