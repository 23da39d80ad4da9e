//! Files of small networks that may come as ONNX, as named tensors, or as a part of a native checkpoint.

use super::backing::OpenFile;
use super::{check_file_name, Checkpoint, Content, Source};
use crate::error::{Error, Result};
use serde::de::DeserializeOwned;
use std::path::Path;

/// Metadata key of a native checkpoint's configuration.
const CONFIG_KEY: &str = "omniid.config";

/// Hands the whole content of a file to `parse`; errors name the file.
///
/// # Errors
/// `Io`, `InvalidArgument` for what is no file, `LimitExceeded` above `most` bytes, and those of `parse`.
pub(crate) fn read<T>(source: &Source, most: u64, parse: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
    match &source.0 {
        Content::Bytes(bytes) => parse(bytes),
        Content::Path(path) => {
            parse(&read_file(path, most)?).map_err(|error| match error.message().contains(&*path.to_string_lossy()) {
                true => error,
                false => error.context(path.display()),
            })
        }
    }
}

fn read_file(path: &Path, most: u64) -> Result<Vec<u8>> {
    let bytes = first_bytes(path, most + 1)?;
    if bytes.len() as u64 > most {
        return Err(Error::limit(format!(
            "{}: the file has more than {most} bytes, which no such network has",
            path.display()
        )));
    }
    Ok(bytes)
}

/// The bytes of a file, but at most `most`, of one version of it.
///
/// # Errors
/// `Io`, also when the file was changed meanwhile; `InvalidArgument` for what is no file.
pub(crate) fn first_bytes(path: &Path, most: u64) -> Result<Vec<u8>> {
    check_file_name(path)?;
    // A pipe would block while it is opened.
    let kind = std::fs::metadata(path).map_err(|error| Error::io(path, error))?;
    if !kind.is_file() {
        return Err(Error::invalid(format!("{}: is not a regular file", path.display())));
    }
    OpenFile::open(path)?.first_bytes(most)
}

/// Whether a file begins as named tensors do, in safetensors or of PyTorch.
pub(crate) fn is_checkpoint(bytes: &[u8]) -> bool {
    Checkpoint::is_safetensors(bytes) || bytes.starts_with(b"PK\x03\x04")
}

/// The part of a native checkpoint with this prefix, and its configuration; `None` when there is none.
///
/// # Errors
/// `Format` for a configuration that does not fit.
pub(crate) fn native<T: DeserializeOwned>(file: &Checkpoint, part: &str) -> Result<Option<(T, Checkpoint)>> {
    let weights = file.sub(part);
    let Some(text) = file.metadata().get(CONFIG_KEY).filter(|_| !weights.is_empty()) else {
        return Ok(None);
    };
    let wrong = |error: serde_json::Error| Error::format(format!("{}: {CONFIG_KEY}: {part}: {error}", file.label()));
    let mut config: serde_json::Value = serde_json::from_str(text).map_err(wrong)?;
    let config = config.get_mut(part).map(serde_json::Value::take).unwrap_or_default();
    Ok(Some((serde_json::from_value(config).map_err(wrong)?, weights)))
}
