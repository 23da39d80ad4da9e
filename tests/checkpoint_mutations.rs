//! Random damage to checkpoints and to pickle programs: nothing may panic, and what is accepted must be readable.
//!
//! A few thousand cases by default, the same ones each time. `OMNIID_MUTATION_SECONDS=120` goes on for two minutes
//! with other cases. The coverage-guided targets lie in `fuzz/`.

use candle_core::{DType, Device};
use omniid::checkpoint::Checkpoint;
use omniid::Limits;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

const STEMS: [&str; 5] = ["dtypes", "strided", "nested", "state_dict", "parameters"];

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/containers");
    std::fs::read(folder.join(name)).unwrap()
}

/// Changes, inserts, removes or repeats bytes at a few random places.
fn mutate(bytes: &mut Vec<u8>, random: &mut StdRng) {
    const TELLING: [u8; 14] = *b"(.}])tRQqhcb\x00\xff";
    for _ in 0..random.random_range(1..6) {
        if bytes.is_empty() {
            return;
        }
        let at = random.random_range(0..bytes.len());
        match random.random_range(0..6) {
            0 => bytes[at] = random.random(),
            1 => bytes[at] ^= 1 << random.random_range(0..8),
            2 => bytes[at] = TELLING[random.random_range(0..TELLING.len())],
            3 => bytes.insert(at, TELLING[random.random_range(0..TELLING.len())]),
            4 => drop(bytes.remove(at)),
            _ => {
                let end = (at + random.random_range(1..40)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                let to = random.random_range(0..=bytes.len());
                bytes.splice(to..to, part);
            }
        }
    }
}

/// Whether the checkpoint was accepted. Then every tensor must be readable, unless a checksum tells that it was changed.
fn survives(bytes: Vec<u8>) -> bool {
    let limits = Limits::default().with_max_decoded_bytes(1 << 20);
    let Ok(checkpoint) = Checkpoint::open(bytes, &limits) else {
        return false;
    };
    let changed = |error: omniid::Error| assert!(error.message().contains("checksum"), "{error}");
    let _ = checkpoint.describe().map_err(changed);
    let _ = checkpoint.adapter_view();
    for name in checkpoint.names() {
        let shape = checkpoint.info(name).unwrap().shape;
        match checkpoint.tensor(name, DType::F32, &Device::Cpu) {
            Ok(tensor) => assert_eq!(tensor.dims(), shape, "{name}"),
            Err(error) => changed(error),
        }
    }
    true
}

/// Runs `case` the given number of times, or for the time set in the environment. Returns how often it was true.
fn repeat(times: usize, mut case: impl FnMut(&mut StdRng) -> bool) -> usize {
    let seconds = std::env::var("OMNIID_MUTATION_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let (start, mut accepted, mut round) = (Instant::now(), 0, 0);
    while seconds.map_or(round < times, |seconds| start.elapsed() < Duration::from_secs(seconds)) {
        let mut random = StdRng::seed_from_u64(round as u64);
        accepted += usize::from(case(&mut random));
        round += 1;
    }
    println!("{round} cases, {accepted} accepted, {:.0?}", start.elapsed());
    accepted
}

#[test]
fn damaged_safetensors_are_survived() {
    let files = STEMS.map(|stem| fixture(&format!("{stem}.safetensors")));
    let accepted = repeat(5000, |random| {
        let mut bytes = files[random.random_range(0..files.len())].clone();
        let length = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        // Only the header is damaged, and its length corrected: so the damage gets past the first check.
        let mut header = bytes[8..length].to_vec();
        mutate(&mut header, random);
        bytes.splice(8..length, header.iter().copied());
        bytes[..8].copy_from_slice(&(header.len() as u64).to_le_bytes());
        survives(bytes)
    });
    assert!(
        accepted > 0,
        "no damaged file was accepted: the damage does not reach the tensors"
    );
}

/// The files of an archive, by name.
fn unpack(bytes: Vec<u8>) -> Vec<(String, Vec<u8>)> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut files = Vec::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).unwrap();
        let mut contents = Vec::new();
        file.read_to_end(&mut contents).unwrap();
        files.push((file.name().unwrap().to_string(), contents));
    }
    files
}

#[test]
fn damaged_pickles_are_survived() {
    let archives = STEMS.map(|stem| unpack(fixture(&format!("{stem}.bin"))));
    let accepted = repeat(5000, |random| {
        let archive = &archives[random.random_range(0..archives.len())];
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for (name, contents) in archive {
            let mut contents = contents.clone();
            if name.ends_with("data.pkl") {
                mutate(&mut contents, random);
            }
            zip.start_file(name.as_str(), stored).unwrap();
            zip.write_all(&contents).unwrap();
        }
        survives(zip.finish().unwrap().into_inner())
    });
    assert!(
        accepted > 0,
        "no damaged file was accepted: the damage does not reach the tensors"
    );
}
