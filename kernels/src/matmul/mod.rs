//! Matrix products: linear layers with everything that is fused into them, and their gradients.

mod ahead;
mod block;
mod byte_block;
mod bytes;
mod epilogue;
mod factor;
#[cfg(feature = "gradients")]
mod gradient;
mod left;
mod linear;
mod matrix_tile;
mod packed;
#[cfg(feature = "gradients")]
mod packing;
mod plan;
mod product;
mod tile;
#[cfg(feature = "gradients")]
mod windows;

pub use epilogue::Epilogue;
#[cfg(feature = "gradients")]
pub(crate) use gradient::{transposed_product, Right, TransposedProduct};
pub use packed::PackedMatrix;
#[cfg(feature = "gradients")]
pub(crate) use packing::{copy, Panels};
#[cfg(feature = "gradients")]
pub(crate) use tile::{product, product_transposed, STRIDE};
pub(crate) use tile::{product_in_rows, COLUMNS, DEPTH, ROWS};
#[cfg(feature = "gradients")]
pub use windows::Window;
#[cfg(feature = "gradients")]
pub(crate) use windows::{Windows, TAPS};
