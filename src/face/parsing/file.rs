//! Files of face parsing networks.

use super::config::ParserConfig;
use super::{onnx, torch};
use crate::error::Result;
use crate::limits::Limits;
use crate::tensor_file::{instead_of, network_file, Checkpoint, Expected, Source};

/// Largest file that is read. The published ones have 50 to 100 MB.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Prefix of the network's tensors in a native checkpoint, and its place in the configuration there.
const PART: &str = "parser";

/// The network of a file, and its weights under the names of the native format.
///
/// # Errors
/// See [`FaceParser::open`](super::FaceParser::open).
pub(super) fn read(source: &Source, limits: &Limits) -> Result<(ParserConfig, Checkpoint)> {
    network_file::read(source, MAX_FILE_BYTES, |bytes| {
        if !network_file::is_checkpoint(bytes) {
            // ONNX files have no mark of their own, so what else it is is asked only afterwards.
            return onnx::read(bytes)
                .map_err(|error| instead_of(Expected::Parser, bytes, bytes.len()).unwrap_or(error));
        }
        let file = Checkpoint::open(source, limits)?;
        match network_file::native(&file, PART)? {
            Some(part) => Ok(part),
            None => torch::read(&file),
        }
    })
}
