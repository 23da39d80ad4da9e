//! Any bytes as a checkpoint: opened, recognised, described, every tensor read.
#![no_main]

use candle_core::{DType, Device};
use libfuzzer_sys::fuzz_target;
use omniid::checkpoint::{recognise, Checkpoint};
use omniid::Limits;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default().with_max_decoded_bytes(1 << 24);
    let Ok(checkpoint) = Checkpoint::open(bytes.to_vec(), &limits) else { return };
    let _ = recognise(&checkpoint);
    let _ = checkpoint.describe().map(|description| description.to_string());
    let _ = checkpoint.adapter_view();
    let _ = checkpoint.clip_vision_view().map(|view| view.fingerprint(&[]));
    for name in checkpoint.names().take(64) {
        let info = checkpoint.info(name).expect("a listed tensor");
        let tensor = checkpoint.tensor(name, DType::F32, &Device::Cpu).expect("every type becomes f32");
        assert_eq!(tensor.dims(), info.shape);
    }
});
