//! Any bytes as a face detector, recogniser or parser: ONNX, safetensors or a PyTorch file.

use omniid::face::parsing::FaceParser;
use omniid::face::FaceDetector;
use omniid::recogniser::FaceRecogniser;
use omniid::Limits;

pub fn run(bytes: &[u8]) {
    let limits = Limits::default().with_max_decoded_bytes(1 << 24);
    let _ = FaceDetector::from_bytes(bytes, &limits);
    let _ = FaceRecogniser::open(bytes.to_vec(), &limits);
    let _ = FaceParser::open(bytes.to_vec(), &limits);
}
