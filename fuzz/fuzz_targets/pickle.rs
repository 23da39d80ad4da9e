//! Any bytes as the pickle program of a PyTorch file, in a sound archive with four small storages.
#![no_main]

use candle_core::{DType, Device};
use libfuzzer_sys::fuzz_target;
use omniid::checkpoint::Checkpoint;
use omniid::Limits;
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fn archive(program: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut add = |name: &str, contents: &[u8]| {
        zip.start_file(name, stored).expect("a new entry");
        zip.write_all(contents).expect("memory takes everything");
    };
    add("archive/data.pkl", program);
    for key in ["0", "1", "2", "3"] {
        add(&format!("archive/data/{key}"), &[0x3c; 256]);
    }
    zip.finish().expect("a finished archive").into_inner()
}

fuzz_target!(|program: &[u8]| {
    let Ok(checkpoint) = Checkpoint::open(archive(program), &Limits::default()) else { return };
    let _ = checkpoint.describe().map(|description| description.to_string());
    for name in checkpoint.names().take(16) {
        let info = checkpoint.info(name).expect("a listed tensor");
        let tensor = checkpoint.tensor(name, DType::F32, &Device::Cpu).expect("every type becomes f32");
        assert_eq!(tensor.dims(), info.shape);
    }
});
