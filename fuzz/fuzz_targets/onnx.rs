//! Any bytes as a face detector file, ONNX or safetensors.
#![no_main]

use libfuzzer_sys::fuzz_target;
use omniid::face::FaceDetector;
use omniid::Limits;

fuzz_target!(|bytes: &[u8]| {
    let _ = FaceDetector::from_bytes(bytes, &Limits::default());
});
