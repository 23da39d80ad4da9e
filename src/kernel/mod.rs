//! CPU compute kernels: a worker pool, strided attention, linear layers with fused activation, layer norm.
//!
//! The kernels work on slices and strided views and know nothing of tensors libraries. Each is written once
//! over vector lanes and compiled for AVX-512 (with bf16 dot products where present), AVX2 and portable code;
//! which one runs is decided at run time, see [`Isa`].

mod activation;
mod activation_gradient;
mod attention;
mod attention_block;
mod attention_gradient;
mod attention_gradient_block;
mod element;
mod isa;
mod lanes;
mod lanes_portable;
#[cfg(target_arch = "x86_64")]
mod lanes_x86;
mod linear;
mod linear_block;
mod norm;
mod norm_gradient;
mod outer_product;
mod packing;
mod pool;
pub(crate) mod scoped;
mod scratch;
mod tile;
mod view;

pub use activation::Activation;
pub use activation_gradient::{activate, activation_gradient, gate, gate_gradient};
pub use attention::{attention, AttentionInput, KeyValue, OutputMode};
pub use attention_gradient::{attention_gradient, AttentionGradientInput, AttentionGradients};
pub use element::{Element, Scalar};
pub use isa::Isa;
pub use linear::{linear, Combine, Epilogue, PackedMatrix};
pub use norm::{add_assign, layer_norm};
pub use norm_gradient::layer_norm_gradient;
pub use outer_product::{transposed_product, TransposedProduct};
pub use pool::ThreadPool;
pub use view::{TensorView, TensorViewMut};
