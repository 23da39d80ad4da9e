//! Files of face recognition networks.

use super::config::RecogniserConfig;
use super::{licence, onnx, torch};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::remedy;
use crate::tensor_file::{instead_of, Checkpoint, Content, Expected, Source};
use std::io::Read;
use std::path::Path;

/// Largest file that is read. An IResNet-200 in f32 has 0.5 GB, and no ONNX file more than 2 GB.
const MAX_FILE_BYTES: u64 = 2 << 30;

/// Prefix of the network's tensors in a native checkpoint, and its place in the configuration there.
const PART: &str = "recogniser";

/// Metadata key of a native checkpoint's configuration.
const CONFIG_KEY: &str = "omniid.config";

/// The network of a file, and its weights under the names of the native format.
///
/// # Errors
/// See [`FaceRecogniser::open`](super::FaceRecogniser::open).
pub(super) fn read(source: &Source, limits: &Limits) -> Result<(RecogniserConfig, Checkpoint)> {
    let read;
    let bytes: &[u8] = match &source.0 {
        Content::Bytes(bytes) => bytes,
        Content::Path(path) => {
            read = read_file(path)?;
            &read
        }
    };
    let outcome = read_bytes(source, bytes, limits);
    match source.path() {
        Some(path) => outcome.map_err(|error| match error.message().contains(&*path.to_string_lossy()) {
            true => error,
            false => error.context(path.display()),
        }),
        None => outcome,
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    let file = std::fs::File::open(path).map_err(|error| Error::io(path, error))?;
    let metadata = file.metadata().map_err(|error| Error::io(path, error))?;
    if !metadata.is_file() {
        return Err(Error::invalid(format!("{}: is not a regular file", path.display()))
            .with_remedy(remedy::FACE_RECOGNISER_FILE));
    }
    let mut bytes = Vec::new();
    let count = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
    let count = count.map_err(|error| Error::io(path, error))?;
    if count as u64 > MAX_FILE_BYTES {
        return Err(Error::limit(format!(
            "{}: the file has more than {MAX_FILE_BYTES} bytes, which no face recognition network has",
            path.display()
        )));
    }
    Ok(bytes)
}

fn read_bytes(source: &Source, bytes: &[u8], limits: &Limits) -> Result<(RecogniserConfig, Checkpoint)> {
    let (mut config, weights) = if Checkpoint::is_safetensors(bytes) || bytes.starts_with(b"PK\x03\x04") {
        let file = Checkpoint::open(source, limits)?;
        match native(&file)? {
            Some(part) => return Ok(part),
            None => torch::read(&file)?,
        }
    } else {
        // ONNX files have no mark of their own, so what else it is is asked only afterwards.
        onnx::read(bytes).map_err(|error| instead_of(Expected::Recogniser, bytes, bytes.len()).unwrap_or(error))?
    };
    config.licence = licence::UNKNOWN.to_string();
    if let Some(file) = licence::published(bytes) {
        config.name = file.name.to_string();
        config.licence = file.licence.to_string();
        log::info!(
            "{} {}: its authors state about its use: {} ({})",
            config.architecture,
            file.name,
            file.licence,
            file.source
        );
    } else {
        log::info!(
            "{}: the file is none of the known ones; whether its authors allow your use is not known",
            config.architecture
        );
    }
    config.fingerprint = weights.fingerprint(&[])?;
    Ok((config, weights))
}

/// The network in a native checkpoint.
fn native(file: &Checkpoint) -> Result<Option<(RecogniserConfig, Checkpoint)>> {
    let part = file.sub(PART);
    let Some(text) = file.metadata().get(CONFIG_KEY).filter(|_| !part.is_empty()) else {
        return Ok(None);
    };
    let wrong = |error: serde_json::Error| Error::format(format!("{CONFIG_KEY}: {PART}: {error}"));
    let mut config: serde_json::Value = serde_json::from_str(text).map_err(wrong)?;
    let config = config.get_mut(PART).map(serde_json::Value::take).unwrap_or_default();
    let config = serde_json::from_value(config).map_err(wrong)?;
    Ok(Some((config, part)))
}
