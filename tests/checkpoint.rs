//! Reading checkpoints: PyTorch files against the safetensors library, and hostile input.
//!
//! The fixtures are written by `tests/parity/containers.py` with torch and the safetensors library.

use candle_core::{DType, Device, Tensor};
use omniid::checkpoint::{safetensors_to_bytes, Checkpoint, Container, OutputTensor, SafetensorsWriter};
use omniid::{ErrorKind, Limits};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/containers")
        .join(name)
}

fn open(name: &str) -> Checkpoint {
    Checkpoint::open(fixture(name), &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn refused(name: &str) -> omniid::Error {
    Checkpoint::open(fixture(name), &Limits::default()).expect_err(name)
}

/// The safetensors library reads the file; every tensor must agree bit by bit.
fn assert_equals_safetensors(file: &Checkpoint, reference: &str) {
    let bytes = std::fs::read(fixture(reference)).unwrap();
    let expected = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut names: Vec<_> = expected.names().into_iter().map(str::to_string).collect();
    names.sort();
    assert_eq!(file.names().collect::<Vec<_>>(), names, "{reference}");
    for name in names {
        let view = expected.tensor(&name).unwrap();
        assert_eq!(file.info(&name).unwrap().shape, view.shape(), "{name}");
        assert_eq!(&*file.bytes(&name).unwrap(), view.data(), "{name}");
    }
}

#[test]
fn torch_files_equal_their_safetensors_twins_bit_by_bit() {
    for stem in ["dtypes", "strided", "nested", "state_dict", "parameters"] {
        let twin = format!("{stem}.safetensors");
        let file = open(&format!("{stem}.bin"));
        assert_eq!(file.container(), Container::Torch);
        assert_equals_safetensors(&file, &twin);
        let mapped = open(&twin);
        assert_eq!(mapped.container(), Container::Safetensors);
        assert_equals_safetensors(&mapped, &twin);
        assert_eq!(mapped.metadata()["made by"], "containers.py");
        assert_eq!(
            file.fingerprint(&[]).unwrap(),
            mapped.fingerprint(&[]).unwrap(),
            "{stem}"
        );
        let bytes = std::fs::read(fixture(&format!("{stem}.bin"))).unwrap();
        assert_equals_safetensors(&Checkpoint::open(bytes, &Limits::default()).unwrap(), &twin);
    }
    assert_equals_safetensors(&open("deflated.bin"), "nested.safetensors");
    assert_equals_safetensors(&open("protocol4.bin"), "nested.safetensors");
}

/// `torch.save([torch.ones(2)], …)`: how embeddings are saved.
#[test]
fn tensors_of_a_list_are_called_by_their_place() {
    let file = open("list.bin");
    assert_eq!(file.names().collect::<Vec<_>>(), ["0"]);
    assert_eq!(
        *file.bytes("0").unwrap(),
        [1f32.to_le_bytes(), 1f32.to_le_bytes()].concat()
    );
}

#[test]
fn types_are_kept_and_converted() {
    let file = open("dtypes.bin");
    let types = [
        ("f32", DType::F32),
        ("f16", DType::F16),
        ("bf16", DType::BF16),
        ("f64", DType::F64),
        ("i64", DType::I64),
        ("i32", DType::I32),
        ("i16", DType::I16),
        ("u8", DType::U8),
        ("bool", DType::U8),
        ("scalar", DType::F32),
    ];
    for (name, dtype) in types {
        assert_eq!(file.info(name).unwrap().dtype, dtype, "{name}");
    }
    let integers = file
        .tensor("i64", DType::F32, &Device::Cpu)
        .unwrap()
        .to_vec1::<f32>()
        .unwrap();
    assert_eq!(integers, [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0]);
    assert_eq!(file.tensor("empty", DType::F16, &Device::Cpu).unwrap().dims(), [0, 4]);
    let error = file.tensor("f32", DType::I64, &Device::Cpu).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn aliases_are_unified_and_the_file_names_kept() {
    let file = open("alias.bin");
    assert_eq!(
        file.names().collect::<Vec<_>>(),
        ["image_proj.latents", "ip_adapter.0.to_k_ip.weight"]
    );
    let origin = file.origin("ip_adapter.0.to_k_ip.weight");
    assert_eq!(origin, Some("adapter_modules.0.adapter_modules.to_k_ip.weight"));
    assert!(file.sub("image_proj").names().eq(["latents"]));
    let builder = file.sub("image_proj").var_builder(DType::F32, &Device::Cpu).0;
    let error = omniid::Error::from(builder.get((1, 3, 2), "latents").unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Format);
    assert!(error.message().contains("image_proj.image_proj.latents"), "{error}");
}

#[test]
fn pickles_that_are_no_tensors_are_refused_by_name() {
    let error = refused("malicious.bin");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("posix.system"), "{error}");
    let error = refused("module.bin");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("torch.nn.modules.linear.Linear"), "{error}");
    let error = refused("legacy.bin");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("torch.save"), "{error}");
    let error = refused("expanded.bin");
    assert!(error.message().contains("expanded"), "{error}");
}

#[test]
fn every_truncation_is_an_error() {
    for name in [
        "nested.safetensors",
        "dtypes.safetensors",
        "nested.bin",
        "strided.bin",
        "deflated.bin",
    ] {
        let whole = std::fs::read(fixture(name)).unwrap();
        for length in 0..whole.len() {
            let error = match Checkpoint::open(whole[..length].to_vec(), &Limits::default()) {
                Ok(_) => panic!("{name} cut to {length} of {} bytes was read", whole.len()),
                Err(error) => error,
            };
            assert!(
                matches!(error.kind(), ErrorKind::Format | ErrorKind::Unsupported),
                "{name} {length}: {error}"
            );
        }
    }
}

#[test]
fn every_flipped_bit_is_survived() {
    for name in ["nested.safetensors", "nested.bin", "strided.bin", "deflated.bin"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        for position in 0..whole.len() {
            for bit in [0u8, 3, 7] {
                let mut bytes = whole.clone();
                bytes[position] ^= 1 << bit;
                let Ok(file) = Checkpoint::open(bytes, &Limits::default()) else {
                    continue;
                };
                for tensor in file.names() {
                    let shape = file.info(tensor).unwrap().shape;
                    match file.tensor(tensor, DType::F32, &Device::Cpu) {
                        Ok(loaded) => assert_eq!(loaded.dims(), shape, "{name} byte {position} bit {bit}"),
                        // The checksums of a zip archive tell, also when the bit belongs to one of them.
                        Err(error) => {
                            assert_eq!(
                                error.kind(),
                                ErrorKind::Format,
                                "{name} byte {position} bit {bit}: {error}"
                            );
                            assert!(
                                name.ends_with(".bin") && error.message().contains("checksum"),
                                "{error}"
                            );
                        }
                    }
                }
                let _ = file.describe();
            }
        }
    }
}

fn raw(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn lying_headers_are_format_errors() {
    let sound = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    assert!(Checkpoint::open(raw(sound, 8), &Limits::default()).is_ok());
    let lies = [
        (sound, 7),
        (sound, 9),
        (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 8),
        (r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, 8),
        (
            r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#,
            0,
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]}}"#,
            8,
        ),
        (r#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#, 8),
        (
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615]}}"#,
            8,
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
            12,
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}"#,
            16,
        ),
        (r#"{"a":{"dtype":"Q9","shape":[2],"data_offsets":[0,8]}}"#, 8),
        (r#"{"a":{"dtype":"F32","shape":[2]"#, 8),
        (r#"{"a":17}"#, 0),
        (r#"{"__metadata__":{"a":1}}"#, 0),
    ];
    for (header, data) in lies {
        let error = Checkpoint::open(raw(header, data), &Limits::default()).expect_err(header);
        assert_eq!(error.kind(), ErrorKind::Format, "{header}: {error}");
    }
    for length in [u64::MAX, 1 << 40, sound.len() as u64 + 9] {
        let mut bytes = raw(sound, 8);
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        let error = Checkpoint::open(bytes, &Limits::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format, "{error}");
    }
    for name in ["I8", "U16", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"] {
        let (bits, size) = if name == "U16" { (2, 4) } else { (1, 2) };
        let eight = format!(r#"{{"a":{{"dtype":"{name}","shape":[2],"data_offsets":[0,{size}]}}}}"#);
        let error = Checkpoint::open(raw(&eight, 2 * bits), &Limits::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        for part in ["\"a\"", name, "F8_E4M3", "not quantised"] {
            assert!(error.message().contains(part), "{error}");
        }
    }
}

#[test]
fn limits_hold() {
    let header = Limits::default().with_max_header_bytes(60);
    for name in ["nested.safetensors", "nested.bin"] {
        let error = Checkpoint::open(fixture(name), &header).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{name}: {error}");
        assert!(error.message().contains(name), "{error}");
    }
    let unpacked = Limits::default().with_max_decoded_bytes(40);
    let error = Checkpoint::open(fixture("deflated.bin"), &unpacked).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
    assert!(
        Checkpoint::open(fixture("nested.bin"), &unpacked).is_ok(),
        "stored tensors are not unpacked"
    );
}

#[test]
fn other_files_are_named() {
    for (bytes, part) in [
        (&b""[..], "0 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"<!DOCTYPE html><html></html>", "HTML"),
        (b"GGUF\x03\0\0\0\0\0\0\0", "GGUF"),
        (b"\x01\x02\x03\x04\x05\x06\x07\x08\x09", "01 02 03"),
        (b"PK\x03\x04", "zip"),
    ] {
        let error = Checkpoint::open(bytes.to_vec(), &Limits::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format);
        assert!(error.message().contains(part), "{error}");
    }
    let missing = Checkpoint::open(fixture("missing.safetensors"), &Limits::default()).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Io);
    assert!(missing.message().contains("missing.safetensors"), "{missing}");
    let folder = Checkpoint::open(fixture(""), &Limits::default()).unwrap_err();
    assert_eq!(folder.kind(), ErrorKind::InvalidArgument);
}

fn sample() -> (Vec<(String, Tensor)>, BTreeMap<String, String>) {
    let ramp = Tensor::arange(0f32, 6., &Device::Cpu).unwrap().reshape((2, 3)).unwrap();
    let tensors = vec![
        ("half".to_string(), ramp.to_dtype(DType::F16).unwrap()),
        ("transposed \"quoted\"".to_string(), ramp.t().unwrap()),
        ("brain".to_string(), ramp.to_dtype(DType::BF16).unwrap()),
        ("ids".to_string(), Tensor::new(&[1i64, -2], &Device::Cpu).unwrap()),
        (
            "empty".to_string(),
            Tensor::zeros((0, 2), DType::F32, &Device::Cpu).unwrap(),
        ),
    ];
    (
        tensors,
        [("note".to_string(), "line\nbreak \"and\" ünïcode".to_string())].into(),
    )
}

#[test]
fn written_files_are_read_by_the_safetensors_library() {
    let (tensors, metadata) = sample();
    let bytes = safetensors_to_bytes(&tensors, &metadata).unwrap();
    let (header, parsed) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header % 8, 0);
    assert_eq!(parsed.metadata().as_ref().unwrap()["note"], metadata["note"]);
    let library = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(library.len(), tensors.len());
    let transposed = library.tensor("transposed \"quoted\"").unwrap();
    assert_eq!(transposed.shape(), [3, 2]);
    let values: Vec<f32> = transposed
        .data()
        .chunks_exact(4)
        .map(|c| f32::from_le_bytes(c.try_into().unwrap()))
        .collect();
    assert_eq!(values, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    omniid::checkpoint::write_safetensors(&path, &tensors, &metadata).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    let double = vec![tensors[0].clone(), tensors[0].clone()];
    assert_eq!(
        safetensors_to_bytes(&double, &metadata).unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
}

#[test]
fn conversion_keeps_values_names_and_metadata() {
    let source = open("dtypes.safetensors");
    let writer = SafetensorsWriter::new(
        OutputTensor::all_of(&source, Some(DType::F16)).unwrap(),
        source.metadata(),
    );
    let bytes = writer.unwrap().to_bytes().unwrap();
    let converted = Checkpoint::open(bytes, &Limits::default()).unwrap();
    assert_eq!(converted.metadata(), source.metadata());
    assert!(converted.names().eq(source.names()));
    assert_eq!(converted.info("f32").unwrap().dtype, DType::F16);
    assert_eq!(converted.info("i64").unwrap().dtype, DType::I64);
    let wide = source
        .tensor("f32", DType::F32, &Device::Cpu)
        .unwrap()
        .to_dtype(DType::F16)
        .unwrap();
    let got = converted.tensor("f32", DType::F16, &Device::Cpu).unwrap();
    assert_eq!(
        got.to_vec2::<half::f16>().unwrap(),
        wide.to_vec2::<half::f16>().unwrap()
    );
}

/// Accepts a number of bytes, then fails as a full disk does.
struct Full(usize);

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0 == 0 {
            return Err(std::io::Error::other("no space left"));
        }
        let written = bytes.len().min(self.0);
        self.0 -= written;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_error_wherever_it_strikes() {
    let (tensors, metadata) = sample();
    let outputs = tensors
        .iter()
        .map(|(name, tensor)| OutputTensor::new(name, tensor))
        .collect();
    let writer = SafetensorsWriter::new(outputs, &metadata).unwrap();
    for room in 0..writer.size() {
        let error = writer.write_to(&mut Full(room), |_, _| Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{room}");
        assert!(error.message().contains("no space left"), "{error}");
    }
    writer.write_to(&mut Full(writer.size()), |_, _| Ok(())).unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn writing_to_a_full_device_names_the_path() {
    use std::os::unix::fs::FileTypeExt;
    let (tensors, metadata) = sample();
    let full = Path::new("/dev/full");
    let error = omniid::checkpoint::write_safetensors(full, &tensors, &metadata).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.message().contains("/dev/full"), "{error}");
    assert!(
        std::fs::metadata(full).unwrap().file_type().is_char_device(),
        "the device was replaced"
    );
}

#[test]
fn a_failed_save_leaves_the_old_file_and_nothing_else() {
    let (tensors, metadata) = sample();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    std::fs::write(&path, "before").unwrap();
    let outputs = tensors
        .iter()
        .map(|(name, tensor)| OutputTensor::new(name, tensor))
        .collect();
    let writer = SafetensorsWriter::new(outputs, &metadata).unwrap();
    let stop = |done: usize, _| match done {
        3 => Err(omniid::Error::new(ErrorKind::Cancelled, "stopped")),
        _ => Ok(()),
    };
    assert_eq!(writer.save(&path, stop).unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(std::fs::read(&path).unwrap(), b"before");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let nowhere = folder.path().join("missing/x.safetensors");
    let error = writer.save(&nowhere, |_, _| Ok(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.message().contains("missing"), "{error}");
    assert_eq!(
        writer.save(folder.path(), |_, _| Ok(())).unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
}

/// What a file holds is read, not mapped: nobody who truncates it can kill this process.
#[test]
#[cfg(target_os = "linux")]
fn a_file_is_read_and_never_mapped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("large.safetensors");
    let large = Tensor::ones(8 << 20, DType::F32, &Device::Cpu).unwrap();
    omniid::checkpoint::write_safetensors(&path, &[("a".to_string(), large)], &BTreeMap::new()).unwrap();
    let file = Checkpoint::open(&path, &Limits::default()).unwrap();
    let copy = file.tensor("a", DType::F16, &Device::Cpu).unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.contains(path.to_str().unwrap()), "{maps}");
    let sum = copy.to_dtype(DType::F32).unwrap().sum_all().unwrap();
    assert_eq!(sum.to_scalar::<f32>().unwrap(), (8 << 20) as f32);
    let bytes = file.bytes("a").unwrap();
    assert_eq!(bytes.iter().filter(|&&byte| byte == 0x3f).count(), 8 << 20);
}
