//! Files that are no models: the message shows what they are and says what to do.

use super::*;
use omniid::face::FaceDetector;
use std::io::Write;

fn opened(bytes: &[u8]) -> omniid::Result<Checkpoint> {
    Checkpoint::open(bytes.to_vec(), &Limits::default())
}

#[test]
fn texts_are_shown() {
    let texts = [
        (
            "{\"error\":\"Repository not found\"}",
            "{\"error\":\"Repository not found\"}",
            "/resolve/",
        ),
        (
            "{\"err\": {\"code\": 404, \"text\": \"not found\"}}",
            "\"code\": 404",
            "/resolve/",
        ),
        (
            "Access to model a/b is restricted.",
            "Access to model a/b",
            "access token",
        ),
        (
            "Invalid username or password: Unauthorized",
            "Invalid username",
            "access token",
        ),
        (
            "<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code></Error>",
            "<Error><Code>AccessDenied",
            "access token",
        ),
        (
            "<!DOCTYPE html><html>\n<title>Login</title>",
            "HTML page: <!DOCTYPE html><html> <title>",
            "download",
        ),
        (
            "\u{feff}{\n  \"hidden_size\": 1280\n}",
            "{ \"hidden_size\": 1280 }",
            ".safetensors",
        ),
        (
            "https://huggingface.co/x/y",
            "https://huggingface.co/x/y",
            ".safetensors",
        ),
        ("Größe: 12 Äpfel", "Größe: 12 Äpfel", ".safetensors"),
    ];
    for (text, shown, next) in texts {
        let error = refused(text, opened(text.as_bytes()), ErrorKind::Format, &[shown, next]);
        assert!(error.remedy().is_some(), "{error}");
    }
    // A long one is cut, also in the middle of a character.
    let long = "ä".repeat(5000);
    let error = refused(
        "long",
        opened(long.as_bytes()),
        ErrorKind::Format,
        &["the file is text: ää", "…"],
    );
    assert!(error.message().len() < 600, "{error}");
}

#[test]
fn other_files_are_named() {
    let mut tar = vec![0; 512];
    tar[..5].copy_from_slice(b"model");
    tar[257..262].copy_from_slice(b"ustar");
    let files: [(&[u8], &str); 12] = [
        (b"", "empty (0 bytes)"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "a PDF document"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "a gzip archive"),
        (&tar, "a tar archive"),
        (b"7z\xbc\xaf\x27\x1c\0\x04", "a 7z archive"),
        (b"\x89PNG\r\n\x1a\n\0\0", "a PNG picture"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "a WebP picture"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC or AVIF picture"),
        (b"GGUF\x03\0\0\0\0\0\0\0", "a GGUF file"),
        (b"\x93NUMPY\x01\0v\0", "a NumPy array"),
        (b"\x08\x07\x12\x07pytorch\x1a\x05", "an ONNX graph"),
        (&[0; 4096], "nothing but zeros"),
    ];
    for (bytes, what) in files {
        let error = refused(what, opened(bytes), ErrorKind::Format, &[what]);
        assert!(error.remedy().is_some(), "{error}");
    }
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("readme.txt", zip::write::SimpleFileOptions::default())
        .unwrap();
    zip.write_all(b"hello").unwrap();
    let zip = zip.finish().unwrap().into_inner();
    refused(
        "zip",
        opened(&zip),
        ErrorKind::Format,
        &["without data.pkl", "unpack it first"],
    );
}

#[test]
fn downloads_that_are_not_finished_say_how_much_is_missing() {
    let whole = bytes(&adapter());
    for cut in [1, 100, 30_000] {
        let error = opened(&whole[..whole.len() - cut]);
        let words = [
            format!("{cut} of {} bytes are missing", whole.len()),
            "download the file again".to_string(),
        ];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        refused("cut", error, ErrorKind::Format, &words);
    }
    refused(
        "header",
        opened(&whole[..200]),
        ErrorKind::Format,
        &["bytes are missing"],
    );
    let appended = [whole.clone(), vec![0; 77]].concat();
    refused("appended", opened(&appended), ErrorKind::Format, &["77 bytes follow"]);
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "m.safetensors.part",
        "Unconfirmed 1.crdownload",
        "m.safetensors.incomplete",
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let words = [name, "not finished", "let the download finish"];
        refused(
            name,
            Checkpoint::open(&path, &Limits::default()),
            ErrorKind::Format,
            &words,
        );
    }
    let path = folder.path().join("m.safetensors");
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    std::fs::write(folder.path().join("m.safetensors.aria2"), "x").unwrap();
    let words = ["m.safetensors.aria2", "not finished"];
    refused(
        "aria2",
        Checkpoint::open(&path, &Limits::default()),
        ErrorKind::Format,
        &words,
    );
}

/// The adapter as `torch.save` writes it.
fn torch_adapter() -> Vec<u8> {
    super::float8::torch_file(&adapter(), "FloatStorage", None, |tensor| {
        let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    })
}

/// Where the bytes of the largest storage begin, and how many there are.
fn largest_storage(file: &[u8]) -> (usize, usize) {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(file)).unwrap();
    let places = (0..archive.len()).map(|index| {
        let entry = archive.by_index_raw(index).unwrap();
        (entry.size() as usize, entry.data_start().unwrap() as usize)
    });
    let (size, start) = places.max().unwrap();
    (start, size)
}

#[test]
fn damaged_pytorch_files_are_refused_by_their_checksums() {
    let whole = torch_adapter();
    let (start, size) = largest_storage(&whole);
    let healthy = Engine::open(options(whole.clone(), bytes(&clip()))).unwrap();
    assert_eq!(results(&healthy).unwrap(), reference());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapter.bin");
    for (at, length) in [(start + 4099, 4096), (start + size - 1, 1), (start, 3)] {
        let mut damaged = whole.clone();
        for byte in &mut damaged[at..at + length] {
            *byte = if length > 3 { 0 } else { *byte ^ 1 };
        }
        let words = ["checksum", "download or copy the whole file again"];
        let outcome = Engine::open(options(damaged.clone(), bytes(&clip()))).and_then(|engine| results(&engine));
        refused("memory", outcome, ErrorKind::Format, &words);
        std::fs::write(&path, &damaged).unwrap();
        let outcome = Engine::open(options(path.as_path(), bytes(&clip()))).and_then(|engine| results(&engine));
        refused("file", outcome, ErrorKind::Format, &words);
    }
}

/// `torch.save` writes 0 for each checksum when it is told not to compute them.
#[test]
fn checksums_of_zero_are_not_looked_at() {
    let mut file = torch_adapter();
    for (mark, place) in [(b"PK\x01\x02", 16), (b"PK\x03\x04", 14)] {
        let found: Vec<usize> = (0..file.len() - 4).filter(|&at| file[at..].starts_with(mark)).collect();
        assert!(found.len() > 10);
        for at in found {
            file[at + place..at + place + 4].fill(0);
        }
    }
    let engine = Engine::open(options(file, bytes(&clip()))).unwrap();
    assert_eq!(results(&engine).unwrap(), reference());
}

#[test]
fn pytorch_files_without_their_end_are_called_truncated() {
    let whole = torch_adapter();
    assert!(opened(&whole).is_ok());
    for left in [
        whole.len() / 5,
        whole.len() / 2,
        whole.len() * 4 / 5,
        whole.len() - 30,
        whole.len() - 1,
    ] {
        let words = [
            &format!("ends too early, after {left} bytes"),
            "download the file again",
        ];
        refused("cut", opened(&whole[..left]), ErrorKind::Format, &words);
        let padded = [&whole[..left], &[0; 100_000]].concat();
        let words = ["nothing but zeros", "let the download finish"];
        refused("padded", opened(&padded), ErrorKind::Format, &words);
    }
}

#[test]
fn files_that_are_no_face_detectors_are_named() {
    let files: [(&[u8], &str, &str); 10] = [
        (b"", "empty (0 bytes)", "download the file again"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "a gzip archive", "unpack it first"),
        (
            b"<!DOCTYPE html><html>\n<title>Login</title>",
            "an HTML page: <!DOCTYPE html>",
            "/resolve/",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 232589\n",
            "a Git LFS pointer",
            "git lfs pull",
        ),
        (
            b"{\"error\":\"Repository not found\"}",
            "Repository not found",
            "/resolve/",
        ),
        (
            b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>",
            "AccessDenied",
            "access token",
        ),
        (&[0; 4096], "nothing but zeros", "let the download finish"),
        (b"PK\x03\x04\x14\0\0\0", "zip archive", "YuNet as safetensors or ONNX"),
        (
            b"\x89PNG\r\n\x1a\n\0\0",
            "a PNG picture",
            "YuNet as safetensors or ONNX",
        ),
        (b"\x08\x07\x12\x07pytorch", "no graph", "ONNX"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("detector.onnx");
    for (bytes, what, next) in files {
        let from_memory = FaceDetector::from_bytes(bytes, &Limits::default());
        let error = refused(what, from_memory, ErrorKind::Format, &[what, next]);
        assert!(!error.message().contains("Protobuf"), "{error}");
        std::fs::write(&path, bytes).unwrap();
        let from_file = FaceDetector::open(&path, &Limits::default());
        refused(what, from_file, ErrorKind::Format, &[what, next, "detector.onnx"]);
    }
    let large = [&b"\x1f\x8b\x08"[..], &vec![7; 17 << 20]].concat();
    let outcome = FaceDetector::from_bytes(&large, &Limits::default());
    refused("large", outcome, ErrorKind::Format, &["a gzip archive"]);
}

#[test]
fn what_lightning_keeps_beside_the_weights_is_passed_over() {
    // A dictionary with settings of classes that are never made, and the tensors under "state_dict".
    let inner = torch_adapter();
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(inner)).unwrap();
    let mut program = Vec::new();
    std::io::Read::read_to_end(&mut archive.by_name("archive/data.pkl").unwrap(), &mut program).unwrap();
    let text = |text: &str| [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let mut outer = vec![0x80, 2, b'}', b'('];
    let settings: [(&str, &[u8]); 4] = [
        ("epoch", b"K\x07"),
        ("pytorch-lightning_version", b"U\x052.4.0"),
        ("hyper_parameters", b"cargparse\nNamespace\n)\x81}b"),
        ("path", b"cpathlib\nPosixPath\n(U\x01/tR"),
    ];
    for (key, value) in settings {
        outer.extend(text(key));
        outer.extend_from_slice(value);
    }
    outer.extend(text("state_dict"));
    outer.extend_from_slice(&program[2..program.len() - 1]);
    outer.extend_from_slice(b"u.");
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).unwrap();
        let name = file.name().unwrap().to_string();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut file, &mut content).unwrap();
        if name.ends_with("data.pkl") {
            content.clone_from(&outer);
        }
        zip.start_file(name, stored).unwrap();
        zip.write_all(&content).unwrap();
    }
    let file = zip.finish().unwrap().into_inner();
    let engine = Engine::open(options(file, bytes(&clip()))).unwrap();
    assert_eq!(results(&engine).unwrap(), reference());
}
