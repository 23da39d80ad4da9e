//! Vector lanes: every kernel is written once over [`Lanes`] and compiled for each instruction set.

mod bytes;
mod dispatch;
mod isa;
mod lanes;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use bytes::{dispatch_bytes, ByteIsa};
pub(crate) use dispatch::dispatch;
pub(crate) use isa::Isa;
#[cfg(feature = "gradients")]
pub(crate) use lanes::exp2;
pub(crate) use lanes::{
    exp, exp2_bounded, load_element, load_first, load_one, store_element, store_first, store_one, widen, Kernel, Lanes,
};
