//! What OmniID computes on the processor: kernels and the layers made of them, forward and backward.
//!
//! A part of [OmniID](https://docs.rs/omniid) that its own crates share. It has no stable interface: use `omniid`.
//!
//! The kernels are a worker pool, strided attention, linear layers with fused activation, convolutions and layer normalisation. They
//! work on slices and strided views and know nothing of any tensor library; [`layers`] puts them behind candle tensors.
//! Each is written once over vector lanes and compiled for AVX-512 (with bf16 dot products where present), AVX2 and
//! portable code; which one runs is decided at run time. The environment variable `OMNIID_ISA` (`portable`, `avx2`,
//! `avx512`) chooses a weaker one.
//!
//! The feature `gradients` adds what training needs: the backward passes and the differentiable operations. The
//! plugin is built without it.

#![warn(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]

mod attention;
mod convolution;
mod element;
mod elementwise;
pub mod error;
pub mod layers;
mod matmul;
mod remedy;
mod simd;
mod threads;
mod view;

pub use attention::{attention, AttentionInput, KeyValue, OutputMode};
pub use convolution::{Convolution, ConvolutionShape, DepthwiseConvolution, Finish};
pub use element::{Element, Scalar};
pub use elementwise::{layer_norm, rms_norm, Activation};
pub use error::{Error, ErrorKind, Remedy, Result};
pub use matmul::{Epilogue, PackedMatrix};
pub use threads::{threads_asked_for, ThreadPool};
pub use view::{Place, TensorView, TensorViewMut};
