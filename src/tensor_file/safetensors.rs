//! The safetensors container: eight bytes of header length, a JSON header, the tensors' bytes.
//!
//! Format: <https://github.com/huggingface/safetensors#format>. The `safetensors` crate checks the header: offsets
//! are contiguous, do not overlap and agree with shape and type; that they cover the file exactly is checked here.

use super::backing::Backing;
use super::element::Element;
use super::entry::{Entry, Storage};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::remedy;
use safetensors::tensor::Metadata;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes before the header.
const PREFIX: usize = 8;

/// Tensors and metadata of a container.
pub(super) type Parsed = (BTreeMap<String, Entry>, BTreeMap<String, String>);

/// Whether `bytes` begin as a safetensors file does.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    bytes.get(PREFIX) == Some(&b'{')
}

/// Reads the header.
///
/// # Errors
/// `LimitExceeded` for a longer header than allowed, `Unsupported` for an element type that is not read, `Format` for
/// everything that is not as the format demands.
pub(super) fn parse(backing: &Arc<Backing>, limits: &Limits) -> Result<Parsed> {
    let length = backing.len();
    let prefix = backing.read(0..PREFIX.min(length))?;
    let prefix: Option<[u8; PREFIX]> = prefix.as_ref().try_into().ok();
    let claimed = prefix.map_or(0, u64::from_le_bytes);
    let available = length.saturating_sub(PREFIX) as u64;
    if claimed > available {
        return Err(Error::format(format!(
            "safetensors: the header claims {claimed} bytes, but {available} follow: at least {} bytes are missing, \
             the file is truncated or damaged",
            claimed - available
        ))
        .with_remedy(remedy::FAILED_DOWNLOAD));
    }
    if claimed > limits.max_header_bytes {
        return Err(Error::limit(format!(
            "safetensors: header of {claimed} bytes, at most {} allowed",
            limits.max_header_bytes
        )));
    }
    // Not more than what is there, so it fits.
    let data = PREFIX + claimed as usize;
    let header = backing.read(PREFIX..data)?;
    let text = std::str::from_utf8(&header)
        .map_err(|error| Error::format(format!("safetensors: the header is not UTF-8: {error}")))?;
    let metadata: Metadata =
        serde_json::from_str(text).map_err(|error| Error::format(format!("safetensors: invalid header: {error}")))?;
    check_length(length, data, &metadata)?;
    let mut tensors = BTreeMap::new();
    for (name, info) in metadata.tensors() {
        let element = Element::from_safetensors(info.dtype)
            .map_err(|error| error.context(format!("safetensors: tensor {name:?}")))?;
        let (start, end) = info.data_offsets;
        let range = data.saturating_add(start)..data.saturating_add(end);
        let storage = Storage::Range(backing.clone(), range, None);
        let entry = Entry::contiguous(&name, element, info.shape.clone(), storage)?;
        tensors.insert(name, entry);
    }
    let texts = metadata.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok((tensors, texts))
}

/// The tensors, which begin at byte `data`, must end where the file of `length` bytes ends.
fn check_length(length: usize, data: usize, metadata: &Metadata) -> Result<()> {
    let needed = data.saturating_add(metadata.data_len());
    if needed > length {
        return Err(Error::format(format!(
            "safetensors: the tensors do not end where the file ends: {} of {needed} bytes are missing (truncated)",
            needed - length
        ))
        .with_remedy(remedy::FAILED_DOWNLOAD));
    }
    if needed < length {
        return Err(Error::format(format!(
            "safetensors: the tensors do not end where the file ends: {} bytes follow them (bytes were appended)",
            length - needed
        ))
        .with_remedy(remedy::FAILED_DOWNLOAD));
    }
    Ok(())
}
