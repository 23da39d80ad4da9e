//! The GPU side against the CPU side: same numbers, in order on the host's streams, without leaks.
//!
//! Every test needs an NVIDIA GPU. Without one it says so and passes. Without the feature `cuda` there are none.
#![cfg(feature = "cuda")]

mod engine;
mod host;
mod inject;
mod transfer;

use candle_core::Device;

/// The first GPU, opened as an engine opens it; `None`, with a printed reason, where there is none.
fn gpu(test: &str) -> Option<Device> {
    if omniid::cuda::device_count() == 0 {
        println!("{test}: skipped, there is no CUDA device");
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
