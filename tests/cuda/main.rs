//! The GPU side against the CPU side: same numbers, in order on the host's streams, without leaks.
//!
//! Every test needs an NVIDIA GPU. Without one it is recorded as skipped. Without the feature `cuda` there are none.
#![cfg(feature = "cuda")]

mod engine;
mod host;
mod inject;
mod transfer;

use candle_core::Device;
use omniid_test_support::{skip, Missing};

/// The first GPU, opened as an engine opens it; `None`, recorded as a skipped test, where there is none.
fn gpu() -> Option<Device> {
    if omniid::cuda::device_count() == 0 {
        skip(
            Missing::Hardware,
            "there is no CUDA device",
            "run scripts/cuda-build test beside an NVIDIA GPU",
        );
        return None;
    }
    Some(omniid::cuda::open(0).expect("device 0"))
}

#[test]
fn opening_a_device_that_does_not_exist_names_it() {
    let error = omniid::cuda::open(4096).unwrap_err();
    assert_eq!(error.kind(), omniid::ErrorKind::Device);
    assert!(error.message().contains("4096"), "{error}");
}
