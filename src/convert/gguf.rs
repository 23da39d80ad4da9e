//! Identity tokens as a GGUF file, for hosts on ggml that project keys and values themselves.
//!
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, version 3.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::identity::Identity;
use crate::precision::Precision;
use crate::tensor_file::save_bytes_atomically;
use candle_core::Tensor;
use half::{bf16, f16};
use std::path::Path;

/// Tensor of the identity's tokens, `[tokens, context]`; in ggml `ne = [context, tokens]`.
pub const GGUF_TOKENS: &str = "ip_adapter.tokens";
/// Tensor of the tokens of the unconditional side, of the same shape.
pub const GGUF_UNCONDITIONAL_TOKENS: &str = "ip_adapter.unconditional_tokens";

/// Data of each tensor begins at a multiple of this.
const ALIGNMENT: usize = 32;

/// What [`to_gguf`] wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GgufTokens {
    /// Number of tokens of each side.
    pub tokens: usize,
    /// Width of the tokens: what the host's key and value projections read.
    pub width: usize,
    /// Size of the file in bytes.
    pub bytes: u64,
}

/// Writes what an adapter's key and value projections read, of an identity ([`GGUF_TOKENS`]) and of the unconditional
/// side ([`GGUF_UNCONDITIONAL_TOKENS`]), as a GGUF file: the identity's tokens behind the adapter's own projection, as
/// [`Engine::host_tokens`] gives them.
///
/// With `negative` the unconditional side is that identity's. The metadata have `general.architecture` = `ip_adapter`,
/// `omniid.model` (the model's fingerprint) and `omniid.host`.
///
/// # Errors
/// As [`Engine::host_tokens`]; [`Mismatch`](crate::ErrorKind::Mismatch) when the two sides have different shapes;
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a token that the number type cannot hold; [`Io`](crate::ErrorKind::Io) naming the path. After an error there is no new file.
pub fn to_gguf(
    engine: &Engine,
    identity: &Identity,
    negative: Option<&Identity>,
    precision: Precision,
    output: impl AsRef<Path>,
) -> Result<GgufTokens> {
    let (own_unconditional, tokens) = engine.host_tokens(identity)?;
    let unconditional = match negative {
        Some(negative) => engine.host_tokens(negative)?.1,
        None => own_unconditional,
    };
    if tokens.dims() != unconditional.dims() {
        return Err(Error::mismatch(format!(
            "GGUF: the identity has tokens {:?}, the unconditional side {:?}; they must be alike",
            tokens.dims(),
            unconditional.dims()
        )));
    }
    let (count, width) = tokens.dims2()?;
    let metadata = [
        ("general.architecture", "ip_adapter"),
        ("omniid.model", engine.info().fingerprint.as_str()),
        ("omniid.host", engine.host().map_or("", |host| host.name())),
    ];
    let tensors = [(GGUF_TOKENS, &tokens), (GGUF_UNCONDITIONAL_TOKENS, &unconditional)];
    let bytes = gguf_to_bytes(&metadata, &tensors, precision)?;
    save_bytes_atomically(output.as_ref(), &bytes)?;
    Ok(GgufTokens {
        tokens: count,
        width,
        bytes: bytes.len() as u64,
    })
}

/// A GGUF file of texts and small f32 tensors.
///
/// # Errors
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a value that the number type cannot hold.
pub fn gguf_to_bytes(metadata: &[(&str, &str)], tensors: &[(&str, &Tensor)], precision: Precision) -> Result<Vec<u8>> {
    // Numbers of ggml_type.
    let number_type: u32 = match precision.stored()? {
        Precision::F32 => 0,
        Precision::F16 => 1,
        Precision::Bf16 | Precision::Int8 => 30,
    };
    const STRING: u32 = 8;
    let mut file = Vec::new();
    file.extend_from_slice(b"GGUF");
    file.extend_from_slice(&3u32.to_le_bytes());
    file.extend_from_slice(&(tensors.len() as u64).to_le_bytes());
    file.extend_from_slice(&(metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        text(&mut file, key);
        file.extend_from_slice(&STRING.to_le_bytes());
        text(&mut file, value);
    }
    let mut data = Vec::new();
    for (name, tensor) in tensors {
        text(&mut file, name);
        let dims = tensor.dims();
        file.extend_from_slice(&(dims.len() as u32).to_le_bytes());
        // The innermost dimension first.
        for dim in dims.iter().rev() {
            file.extend_from_slice(&(*dim as u64).to_le_bytes());
        }
        file.extend_from_slice(&number_type.to_le_bytes());
        file.extend_from_slice(&(data.len() as u64).to_le_bytes());
        for value in tensor.flatten_all()?.to_vec1::<f32>()? {
            narrow(&mut data, value, precision).map_err(|error| error.context(name))?;
        }
        data.resize(data.len().next_multiple_of(ALIGNMENT), 0);
    }
    file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
    file.append(&mut data);
    Ok(file)
}

fn text(file: &mut Vec<u8>, text: &str) {
    file.extend_from_slice(&(text.len() as u64).to_le_bytes());
    file.extend_from_slice(text.as_bytes());
}

fn narrow(data: &mut Vec<u8>, value: f32, precision: Precision) -> Result<()> {
    let narrowed = match precision {
        Precision::F16 => {
            let narrowed = f16::from_f32(value);
            data.extend_from_slice(&narrowed.to_le_bytes());
            narrowed.to_f32()
        }
        Precision::Bf16 | Precision::Int8 => {
            let narrowed = bf16::from_f32(value);
            data.extend_from_slice(&narrowed.to_le_bytes());
            narrowed.to_f32()
        }
        Precision::F32 => {
            data.extend_from_slice(&value.to_le_bytes());
            value
        }
    };
    if !narrowed.is_finite() {
        return Err(Error::invalid(format!("{value} has no place in {precision}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn the_bytes_are_those_of_the_format() {
        let tensor = Tensor::new(&[[1f32, -2.0, 0.5]], &Device::Cpu).unwrap();
        let file = gguf_to_bytes(&[("a", "bc")], &[("t", &tensor), ("u", &tensor)], Precision::F16).unwrap();
        assert_eq!(file[..4], *b"GGUF");
        let number = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
        assert_eq!((file[4], number(8), number(16)), (3, 2, 1));
        // Key and value of the metadata, then of each tensor name, rank, sizes, type and place.
        assert_eq!((number(24), file[32], file[33], number(37)), (1, b'a', 8, 2));
        assert_eq!((number(47), file[55], file[56]), (1, b't', 2));
        assert_eq!((number(60), number(68), file[76], number(80)), (3, 1, 1, 0));
        assert_eq!(number(80 + 8 + 9 + 4 + 16 + 4), 32);
        let data = &file[file.len() - 64..];
        assert_eq!(data[..8], [0, 0x3c, 0, 0xc0, 0, 0x38, 0, 0]);
        assert_eq!(data[..32], data[32..]);
        assert_eq!(file.len() % 32, 0);
    }

    #[test]
    fn what_a_number_type_cannot_hold_is_refused() {
        let tensor = Tensor::new(&[[1e6f32]], &Device::Cpu).unwrap();
        let error = gguf_to_bytes(&[], &[("t", &tensor)], Precision::F16).unwrap_err();
        assert!(error.message().contains("t: 1000000 has no place in f16"), "{error}");
        gguf_to_bytes(&[], &[("t", &tensor)], Precision::Bf16).unwrap();
    }
}
