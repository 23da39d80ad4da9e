//! What OmniID computes on the processor: kernels and the layers made of them, forward and backward.
//!
//! A part of [OmniID](https://docs.rs/omniid) that its own crates share. It has no stable interface: use `omniid`.
//!
//! The kernels are a worker pool, strided attention, linear layers with fused activation, convolutions and layer normalisation. They
//! work on slices and strided views and know nothing of any tensor library; [`layers`] puts them behind candle tensors.
//! Each is written once over vector lanes and compiled for AVX-512 (with bf16 dot products where present), AVX2, NEON
//! (with dot products of bytes and with bf16 where present) and portable code; which one runs is decided at run time.
//! The environment variable `OMNIID_ISA` chooses a weaker one: `portable`, `avx2`, `avx2_vnni`, `avx512`, `avx512_bf16` on
//! x86-64; `portable`, `neon`, `neon_dot`, `neon_bf16` on 64-bit ARM.
//!
//! The feature `gradients` adds what training needs: the backward passes and the differentiable operations. The
//! plugin is built without it.

#![warn(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]

// Numbers are read as they lie in files: little-endian, with lengths of 64 bits.
#[cfg(not(all(target_endian = "little", target_pointer_width = "64")))]
compile_error!("OmniID is made for 64-bit little-endian processors, such as x86-64 and ARM64");

mod attention;
mod convolution;
mod element;
mod elementwise;
pub mod error;
pub mod layers;
mod matmul;
mod pages;
mod remedy;
mod simd;
mod threads;
mod view;

pub use attention::{attention, AttentionInput, KeyValue, OutputMode};
pub use convolution::{Convolution, ConvolutionShape, DepthwiseConvolution, Finish};
pub use element::{Element, Scalar};
pub use elementwise::{layer_norm, rms_norm, Activation};
pub use error::{Error, ErrorKind, Remedy, Result};
#[cfg(feature = "gradients")]
pub use matmul::Window;
pub use matmul::{Epilogue, PackedMatrix};
#[cfg(feature = "gradients")]
pub use threads::keep_freed_memory;
pub use threads::{threads_asked_for, ThreadPool};
pub use view::{Place, TensorView, TensorViewMut};
