//! What OmniID computes on the processor: kernels and the layers made of them, forward and backward.
//!
//! A part of [OmniID](https://docs.rs/omniid) that its own crates share. It has no stable interface: use `omniid`.
//!
//! The kernels are a worker pool, strided attention, linear layers with fused activation and layer normalisation. They
//! work on slices and strided views and know nothing of any tensor library; [`layers`] puts them behind candle tensors. Each is written once
//! over vector lanes and compiled for AVX-512 (with bf16 dot products where present), AVX2 and portable code;
//! which one runs is decided at run time, see [`Isa`].

#![warn(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]

mod activation;
mod activation_gradient;
mod attention;
mod attention_block;
mod attention_gradient;
mod attention_gradient_block;
mod element;
pub mod error;
mod isa;
mod lanes;
mod lanes_portable;
#[cfg(target_arch = "x86_64")]
mod lanes_x86;
pub mod layers;
mod linear;
mod linear_block;
mod norm;
mod norm_gradient;
mod outer_product;
mod packing;
mod pool;
mod scoped;
mod scratch;
mod tile;
mod view;

pub use activation::Activation;
pub use activation_gradient::{activate, activation_gradient, gate, gate_gradient};
pub use attention::{attention, AttentionInput, KeyValue, OutputMode};
pub use attention_gradient::{attention_gradient, AttentionGradientInput, AttentionGradients};
pub use element::{Element, Scalar};
pub use error::{Error, ErrorKind, Result};
pub use isa::Isa;
pub use linear::{linear, Combine, Epilogue, PackedMatrix};
pub use norm::{add_assign, layer_norm};
pub use norm_gradient::layer_norm_gradient;
pub use outer_product::{transposed_product, TransposedProduct};
pub use pool::ThreadPool;
pub use view::{TensorView, TensorViewMut};
