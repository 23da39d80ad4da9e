//! The safetensors container: eight bytes of header length, a JSON header, the tensors' bytes.
//!
//! Format: <https://github.com/huggingface/safetensors#format>. The `safetensors` crate checks the header: offsets
//! are contiguous, do not overlap, cover the file exactly and agree with shape and type.

use super::element;
use super::entry::{Entry, Storage};
use crate::error::{Error, Result};
use crate::limits::Limits;
use safetensors::SafeTensors;
use std::collections::BTreeMap;

/// Bytes before the header.
const PREFIX: usize = 8;

/// Tensors and metadata of a container.
pub(super) type Parsed = (BTreeMap<String, Entry>, BTreeMap<String, String>);

/// The length of the JSON header, as the first eight bytes claim it. `None` for fewer bytes.
pub(super) fn claimed_header(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(..PREFIX)?.try_into().ok()?))
}

/// Whether `bytes` begin as a safetensors file does.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    bytes.get(PREFIX) == Some(&b'{')
}

/// Reads the header.
///
/// # Errors
/// `LimitExceeded` for a longer header than allowed, `Unsupported` for an element type that candle cannot hold,
/// `Format` for everything that is not as the format demands.
pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Result<Parsed> {
    let claimed = claimed_header(bytes).unwrap_or(0);
    let available = bytes.len().saturating_sub(PREFIX) as u64;
    if claimed > available {
        return Err(Error::format(format!(
            "safetensors: the header claims {claimed} bytes, but {available} follow: the file is truncated or damaged"
        )));
    }
    if claimed > limits.max_header_bytes {
        return Err(Error::limit(format!(
            "safetensors: header of {claimed} bytes, at most {} allowed",
            limits.max_header_bytes
        )));
    }
    let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| {
        let hint = match error {
            safetensors::SafeTensorError::MetadataIncompleteBuffer => {
                ": the tensors do not end where the file ends (truncated, or bytes were appended)"
            }
            _ => "",
        };
        Error::format(format!("safetensors: {error}{hint}"))
    })?;
    let data = PREFIX + header;
    let mut tensors = BTreeMap::new();
    for (name, info) in metadata.tensors() {
        let dtype = element::from_safetensors(info.dtype).ok_or_else(|| {
            Error::unsupported(format!(
                "safetensors: tensor {name:?} has elements of type {}",
                info.dtype
            ))
        })?;
        let (start, end) = info.data_offsets;
        let range = data.saturating_add(start)..data.saturating_add(end);
        let entry = Entry::contiguous(&name, dtype, info.shape.clone(), Storage::Range(range))?;
        tensors.insert(name, entry);
    }
    let texts = metadata.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok((tensors, texts))
}
