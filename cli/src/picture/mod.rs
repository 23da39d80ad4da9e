//! Pictures to look at: boxes on photos, matrices as heat maps, sheets of thumbnails.

mod canvas;
mod file;
mod font;
mod heat;
mod sheet;

pub use canvas::Canvas;
pub use file::{save_png, PictureTarget};
pub use heat::{heat_colour, matrix_picture, overlay_heat};
pub use sheet::{Cell, Sheet};
