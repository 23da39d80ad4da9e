//! What a file is, by its first bytes, and what to say when it is no checkpoint.

use super::safetensors;
use crate::error::{Error, Result};
use crate::remedy;
use omniid_kernels::Remedy;

/// Bytes from the begin of a file that [`of`] looks at.
pub(super) const HEAD: usize = 1024;

/// Characters of a text file that a message shows.
const SHOWN: usize = 160;

/// The file format that tensors came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Container {
    /// A safetensors file.
    Safetensors,
    /// A zip archive written by `torch.save`.
    Torch,
}

impl Container {
    /// A display name: `safetensors` or `PyTorch zip`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Torch => "PyTorch zip",
        }
    }
}

/// Beginnings of files that people hand over instead of a checkpoint: where, what, and what it means.
const OTHERS: [(usize, &[u8], &str, Option<Remedy>); 26] = [
    (
        0,
        b"version https://git-lfs",
        "a Git LFS pointer",
        Some(remedy::GIT_LFS),
    ),
    (0, b"GGUF", "a GGUF file", None),
    (0, b"\x89HDF", "an HDF5 file", None),
    (0, b"\x93NUMPY", "a NumPy array", None),
    (4, b"TFL3", "a TensorFlow Lite model", None),
    (0, b"\x89PNG", "a PNG picture", None),
    (0, b"\xff\xd8\xff", "a JPEG picture", None),
    (0, b"GIF8", "a GIF picture", None),
    (8, b"WEBP", "a WebP picture", None),
    (4, b"ftyp", "a HEIC or AVIF picture, or a film", None),
    (0, b"II*\0", "a TIFF picture", None),
    (0, b"MM\0*", "a TIFF picture", None),
    (0, b"%PDF", "a PDF document", None),
    (0, b"\x1f\x8b", "a gzip archive", Some(remedy::ARCHIVE)),
    (0, b"BZh", "a bzip2 archive", Some(remedy::ARCHIVE)),
    (0, b"\xfd7zXZ", "an xz archive", Some(remedy::ARCHIVE)),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive", Some(remedy::ARCHIVE)),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", Some(remedy::ARCHIVE)),
    (0, b"Rar!", "a RAR archive", Some(remedy::ARCHIVE)),
    (257, b"ustar", "a tar archive", Some(remedy::ARCHIVE)),
    (0, b"\x7fELF", "a program", None),
    (0, b"MZ", "a Windows program", None),
    (0, b"SQLite format 3", "an SQLite database", None),
    (0, b"ggml", "an old ggml file", None),
    (0, b"lmgg", "an old ggml file", None),
    (0, b"tjgg", "an old ggml file", None),
];

/// The container of a file of `length` bytes that begins with `head`, which holds the first [`HEAD`] bytes or all.
///
/// # Errors
/// `Format` or `Unsupported`, saying what the file is instead.
pub(super) fn of(head: &[u8], length: usize) -> Result<Container> {
    if head.starts_with(b"PK\x03\x04") {
        return Ok(Container::Torch);
    }
    // A text with a brace at the right place would claim a header of exabytes.
    if safetensors::looks_like(head) && text(head, length).is_none() {
        return Ok(Container::Safetensors);
    }
    if head.starts_with(b"\x80") && head.get(1).is_some_and(|&protocol| (1..=5).contains(&protocol)) {
        return Err(
            Error::unsupported("a PyTorch file in the old format (before 1.6)").with_remedy(remedy::OLD_PYTORCH_FILE)
        );
    }
    if let Some(error) = instead_of(Expected::Checkpoint, head, length) {
        return Err(error);
    }
    let shown = head
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .join(" ");
    Err(Error::format(format!(
        "neither safetensors nor a PyTorch zip archive: {length} bytes, beginning with {shown:?}"
    ))
    .with_remedy(remedy::WEIGHTS_FILE))
}

/// What a file that is something else was given as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Weights, as safetensors or of PyTorch.
    Checkpoint,
    /// A face detector, as safetensors or ONNX.
    Detector,
    /// A face recognition network, as ONNX, safetensors or of PyTorch.
    Recogniser,
    /// A face parsing network, as ONNX, safetensors or of PyTorch.
    Parser,
}

impl Expected {
    fn name(self) -> &'static str {
        match self {
            Self::Checkpoint => "a checkpoint",
            Self::Detector => "a face detector",
            Self::Recogniser => "a face recognition network",
            Self::Parser => "a face parser",
        }
    }

    fn formats(self) -> &'static str {
        match self {
            Self::Checkpoint => "safetensors or a PyTorch file",
            Self::Detector => "YuNet as safetensors or ONNX",
            Self::Parser => "BiSeNet as ONNX, safetensors or a PyTorch file",
            Self::Recogniser => "IResNet, SFace or IR-SE50 as ONNX, safetensors or a PyTorch file",
        }
    }

    /// `error` with `remedy`, or else with the advice which file to give.
    fn advise(self, error: Error, remedy: Option<Remedy>) -> Error {
        match (remedy, self) {
            (Some(remedy), _) => error.with_remedy(remedy),
            (None, Self::Checkpoint) => error.with_remedy(remedy::WEIGHTS_FILE),
            (None, Self::Detector) => error,
            (None, Self::Recogniser) => error.with_remedy(remedy::FACE_RECOGNISER_FILE),
            (None, Self::Parser) => error.with_remedy(remedy::FACE_PARSER_FILE),
        }
    }
}

/// What to say of a file of `length` bytes that begins with `head` and is known to be something else than `expected`;
/// `None` when the begin does not tell.
pub(crate) fn instead_of(expected: Expected, head: &[u8], length: usize) -> Option<Error> {
    let head = head.get(..HEAD).unwrap_or(head);
    if length == 0 {
        return Some(Error::format("the file is empty (0 bytes)").with_remedy(remedy::FAILED_DOWNLOAD));
    }
    let zip: (usize, &[u8], &str, Option<Remedy>) = (0, b"PK\x03\x04", "a PyTorch file or another zip archive", None);
    let onnx: Option<(usize, &[u8], &str, Option<Remedy>)> = is_onnx(head).then_some((
        0,
        &[],
        "an ONNX graph (only face detectors, recognisers and parsers are read from ONNX)",
        None,
    ));
    let known = OTHERS.iter().chain([&zip]).chain(&onnx);
    let found = known
        .filter(|(_, _, what, _)| expected == Expected::Checkpoint || !what.contains("ONNX"))
        .find(|(at, magic, _, _)| head.get(*at..).is_some_and(|rest| rest.starts_with(magic)));
    if let Some((_, _, what, remedy)) = found {
        let (name, formats) = (expected.name(), expected.formats());
        let error = Error::format(format!("not {name} but {what}, expected {formats}"));
        return Some(expected.advise(error, *remedy));
    }
    if let Some(text) = text(head, length) {
        return Some(text_error(expected, &text));
    }
    let zeros = head.iter().all(|&byte| byte == 0);
    zeros.then(|| {
        Error::format(format!(
            "the file of {length} bytes begins with nothing but zeros: a download reserved its space and stopped"
        ))
        .with_remedy(remedy::UNFINISHED_DOWNLOAD)
    })
}

/// Whether a file begins as ONNX graphs do, which have no mark: the version of the format (3 to 13 so far), then the name
/// of the program that wrote it, or at once the graph. The length of a safetensors header may have the same three bytes,
/// but ends with zeros.
fn is_onnx(head: &[u8]) -> bool {
    matches!(head, [0x08, 3..=13, 0x12 | 0x3a, ..]) && head.get(3..8) != Some(&[0; 5])
}

/// The begin of a text file on one line; `None` for binary content.
fn text(head: &[u8], length: usize) -> Option<String> {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character may be cut at the end of what was read.
        Err(error) if head.len() - error.valid_up_to() < 4 && length > head.len() => {
            std::str::from_utf8(head.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    let control = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0c' | '\x1b');
    if valid.chars().any(control) || valid.trim().is_empty() {
        return None;
    }
    Some(valid.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// What a text file given as `expected` probably is.
fn text_error(expected: Expected, text: &str) -> Error {
    let begin: String = text.chars().take(SHOWN).collect();
    let more = if begin.len() < text.len() { "…" } else { "" };
    let lower = begin.to_ascii_lowercase();
    let has = |part: &str| lower.contains(part);
    let what = if lower.starts_with("<!doctype") || lower.starts_with("<html") {
        "an HTML page"
    } else {
        "text"
    };
    let refused = [
        "restricted",
        "gated",
        "unauthorized",
        "authenticat",
        "accessdenied",
        "access denied",
        "forbidden",
    ];
    let next = if refused.iter().any(|word| has(word)) {
        Some(remedy::REFUSED_DOWNLOAD)
    } else if has("not found") || has("notfound") || has("\"error\"") || has("<error") || what == "an HTML page" {
        Some(remedy::DOWNLOAD_ADDRESS)
    } else {
        None
    };
    // Two whole messages, so that the page of messages can be compared with them.
    let message = match expected {
        Expected::Checkpoint => format!("not a checkpoint, the file is {what}: {begin}{more}"),
        Expected::Detector => format!("not a face detector, the file is {what}: {begin}{more}"),
        Expected::Parser => format!("not a face parser, the file is {what}: {begin}{more}"),
        Expected::Recogniser => format!("not a face recognition network, the file is {what}: {begin}{more}"),
    };
    expected.advise(Error::format(message), next)
}
