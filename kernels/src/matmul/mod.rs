//! Matrix products: linear layers with everything that is fused into them, and their gradients.

mod block;
#[cfg(feature = "gradients")]
mod gradient;
mod linear;
#[cfg(feature = "gradients")]
mod packing;
mod tile;

pub use block::Epilogue;
#[cfg(feature = "gradients")]
pub(crate) use gradient::{transposed_product, TransposedProduct};
pub use linear::PackedMatrix;
#[cfg(feature = "gradients")]
pub(crate) use tile::product_transposed;
pub(crate) use tile::{product, product_in_rows, COLUMNS, DEPTH, ROWS, STRIDE};
