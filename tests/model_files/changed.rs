//! A file that changes while an engine lives is an error when it is read again, and never the end of the process. On
//! Windows it cannot change: the system refuses the writer.

use super::*;
use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::time::{Duration, SystemTime};

/// What happens to the file, and a word of the message.
type Change<'a> = (&'a str, &'a dyn Fn(&Path) -> std::io::Result<()>, &'a str);

/// The adapter as a file of its container, and an engine that has read everything but the layers.
fn opened(folder: &Path, name: &str, content: &[u8]) -> (std::path::PathBuf, Engine) {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    // Files are written faster than the clock of the file system ticks.
    let before = SystemTime::now() - Duration::from_secs(60);
    OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(before)
        .unwrap();
    let engine = Engine::open(options(path.clone(), bytes(&clip()))).unwrap();
    (path, engine)
}

/// The tensors as `torch.save` would write them, uncompressed.
fn torch() -> Vec<u8> {
    super::float8::torch_file(&adapter(), "FloatStorage", None, |tensor| {
        let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    })
}

#[test]
fn a_file_that_is_written_to_is_an_error_at_the_first_condition() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [("a.safetensors", bytes(&adapter())), ("a.bin", torch())] {
        let length = content.len();
        let changes: [Change; 5] = [
            (
                "truncated",
                &|path| OpenOptions::new().write(true).open(path)?.set_len(20),
                "→ 20 bytes",
            ),
            ("emptied", &|path| std::fs::File::create(path).map(drop), "→ 0 bytes"),
            (
                "rewritten in place",
                &|path| {
                    let mut file = OpenOptions::new().write(true).open(path)?;
                    file.seek(SeekFrom::Start(length as u64 / 2))?;
                    file.write_all(&[7; 100])
                },
                "still",
            ),
            (
                "grown",
                &|path| {
                    let mut file = OpenOptions::new().append(true).open(path)?;
                    file.write_all(b"more")
                },
                "bytes",
            ),
            (
                "replaced by something shorter in place",
                &|path| std::fs::write(path, "{\"error\": \"not found\"}"),
                "→ 22 bytes",
            ),
        ];
        for (case, change, word) in changes {
            let (path, engine) = opened(folder.path(), name, &content);
            let changed = change(&path);
            if cfg!(windows) {
                const SHARING_VIOLATION: i32 = 32;
                let error = changed.expect_err(case);
                assert_eq!(error.raw_os_error(), Some(SHARING_VIOLATION), "{case}: {error}");
                assert_eq!(results(&engine).unwrap(), reference(), "{case}");
                continue;
            }
            changed.unwrap();
            let words = [name, "changed after it was opened", word, "open it again"];
            refused(case, results(&engine), ErrorKind::Io, &words);
            // Again, and from another thread: still an error.
            refused(case, results(&engine.clone()), ErrorKind::Io, &words);
            std::fs::write(&path, &content).unwrap();
        }
    }
}

#[test]
#[cfg(unix)]
fn a_file_that_is_replaced_or_deleted_goes_on_being_used() {
    let folder = tempfile::tempdir().unwrap();
    let content = bytes(&adapter());
    let (path, engine) = opened(folder.path(), "renamed.safetensors", &content);
    let other = folder.path().join("other");
    std::fs::write(&other, "another file").unwrap();
    std::fs::rename(&other, &path).unwrap();
    assert_eq!(results(&engine).unwrap(), reference());
    let (path, engine) = opened(folder.path(), "deleted.safetensors", &content);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(results(&engine).unwrap(), reference());
    let (path, engine) = opened(folder.path(), "moved.safetensors", &content);
    std::fs::rename(&path, folder.path().join("elsewhere")).unwrap();
    assert_eq!(results(&engine).unwrap(), reference());
}

#[test]
#[cfg(not(windows))]
fn checkpoints_say_that_their_file_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    save(&path, &adapter());
    let file = Checkpoint::open(&path, &Limits::default()).unwrap();
    OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(30_000)
        .unwrap();
    let words = ["x.safetensors", "→ 30000 bytes"];
    for name in ["image_proj.latents", "ip_adapter.5.to_v_ip.weight"] {
        refused(name, file.bytes(name), ErrorKind::Io, &words);
        refused(name, file.tensor(name, DType::F16, &Device::Cpu), ErrorKind::Io, &words);
    }
    refused("fingerprint", file.fingerprint(&[]), ErrorKind::Io, &words);
    let outputs = omniid::checkpoint::OutputTensor::all_of(&file, Some(DType::BF16)).unwrap();
    let writer = omniid::checkpoint::SafetensorsWriter::new(outputs, &Default::default()).unwrap();
    let target = folder.path().join("y.safetensors");
    refused("conversion", writer.save(&target, |_, _| Ok(())), ErrorKind::Io, &words);
    assert!(!target.exists());
}

#[test]
#[cfg(target_os = "linux")]
fn devices_and_pipes_are_no_files() {
    for path in ["/dev/null", "/dev/zero"] {
        let opened = Checkpoint::open(path, &Limits::default());
        refused(path, opened, ErrorKind::InvalidArgument, &[path, "pipe or a device"]);
    }
}
