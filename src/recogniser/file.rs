//! Files of face recognition networks.

use super::config::RecogniserConfig;
use super::{licence, onnx, torch};
use crate::error::Result;
use crate::limits::Limits;
use crate::tensor_file::{instead_of, network_file, Checkpoint, Expected, Source};

/// Largest file that is read. An IResNet-200 in f32 has 0.5 GB, and no ONNX file more than 2 GB.
const MAX_FILE_BYTES: u64 = 2 << 30;

/// Prefix of the network's tensors in a native checkpoint, and its place in the configuration there.
const PART: &str = "recogniser";

/// The network of a file, and its weights under the names of the native format.
///
/// # Errors
/// See [`FaceRecogniser::open`](super::FaceRecogniser::open).
pub(super) fn read(source: &Source, limits: &Limits) -> Result<(RecogniserConfig, Checkpoint)> {
    network_file::read(source, MAX_FILE_BYTES, |bytes| read_bytes(source, bytes, limits))
}

fn read_bytes(source: &Source, bytes: &[u8], limits: &Limits) -> Result<(RecogniserConfig, Checkpoint)> {
    let (mut config, weights) = if network_file::is_checkpoint(bytes) {
        let file = Checkpoint::open(source, limits)?;
        match network_file::native(&file, PART)? {
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
