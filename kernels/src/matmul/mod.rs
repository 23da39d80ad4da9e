//! Matrix products: linear layers with everything that is fused into them, and their gradients.

mod block;
mod byte_block;
mod bytes;
mod epilogue;
#[cfg(feature = "gradients")]
mod gradient;
mod left;
mod linear;
mod matrix_tile;
#[cfg(feature = "gradients")]
mod packing;
mod plan;
mod tile;

pub use epilogue::Epilogue;
#[cfg(feature = "gradients")]
pub(crate) use gradient::{transposed_product, TransposedProduct};
pub use linear::PackedMatrix;
#[cfg(feature = "gradients")]
pub(crate) use tile::product_transposed;
pub(crate) use tile::{product, product_in_rows, COLUMNS, DEPTH, ROWS, STRIDE};
