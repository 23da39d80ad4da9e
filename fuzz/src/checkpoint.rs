//! Any bytes as a checkpoint: opened, recognised, described, every tensor read.

use candle_core::{DType, Device};
use omniid::checkpoint::{recognise, Checkpoint};
use omniid::Limits;

pub fn run(bytes: &[u8]) {
    let limits = Limits::default().with_max_decoded_bytes(1 << 24);
    let Ok(checkpoint) = Checkpoint::open(bytes.to_vec(), &limits) else {
        return;
    };
    let _ = recognise(&checkpoint);
    let _ = checkpoint.describe().map(|description| description.to_string());
    let _ = checkpoint.adapter_view();
    let _ = checkpoint.clip_vision_view().map(|view| view.fingerprint(&[]));
    read_tensors(&checkpoint, 64);
}

/// Reads the first tensors. Of what was accepted everything can be read, unless a checksum speaks against it.
pub fn read_tensors(checkpoint: &Checkpoint, most: usize) {
    for name in checkpoint.names().take(most) {
        let info = checkpoint.info(name).expect("a listed tensor");
        match checkpoint.tensor(name, DType::F32, &Device::Cpu) {
            Ok(tensor) => assert_eq!(tensor.dims(), info.shape),
            Err(error) => assert!(error.message().contains("checksum"), "{error}"),
        }
    }
}
