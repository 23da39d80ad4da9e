//! Any bytes as a face detector, recogniser or parser: ONNX, safetensors or a PyTorch file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use omniid::face::parsing::FaceParser;
use omniid::face::FaceDetector;
use omniid::recogniser::FaceRecogniser;
use omniid::Limits;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default().with_max_decoded_bytes(1 << 24);
    let _ = FaceDetector::from_bytes(bytes, &limits);
    let _ = FaceRecogniser::open(bytes.to_vec(), &limits);
    let _ = FaceParser::open(bytes.to_vec(), &limits);
});
