//! What the networks of convolutions have in common: their layers, and their weights on the way from a published file.

mod layer;
mod tensors;
mod torch;
mod walk;

pub(crate) use layer::{same, Buffer, Buffers, Extras, Layer, Output, Size};
pub(crate) use tensors::{Affine, BatchNorm, Tensors};
pub(crate) use torch::TorchReader;
pub(crate) use walk::{Convolution, Reading, Walk};
