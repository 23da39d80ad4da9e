//! Arrays of numpy (`.npy`), in memory. Also compiled into the fuzz target `face_embeddings`.

use omniid::{Error, Result};

/// The rows of an array `[rows, columns]`, or the one row of `[columns]`, of float32 or float64. The file has a magic
/// number, a version, the length of its header, a Python dictionary and the numbers.
///
/// # Errors
/// [`Format`](omniid::ErrorKind::Format) for anything else.
/// Source: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.
pub fn parse(bytes: &[u8]) -> Result<Vec<Vec<f32>>> {
    let damaged = || Error::format("no array of numpy (.npy)");
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or_else(damaged)?;
    let (version, rest) = rest.split_at_checked(2).ok_or_else(damaged)?;
    let size = if version[0] == 1 { 2 } else { 4 };
    let (length, rest) = rest.split_at_checked(size).ok_or_else(damaged)?;
    let length = length
        .iter()
        .rev()
        .fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
    let (header, data) = rest.split_at_checked(length).ok_or_else(damaged)?;
    let header = std::str::from_utf8(header).map_err(|_| damaged())?;
    let after = |key: &str| {
        header
            .split_once(&format!("'{key}':"))
            .map(|(_, rest)| rest.trim_start())
    };
    let quoted = |text: &str| text.split('\'').nth(1).map(str::to_string);
    let kind = after("descr").and_then(quoted).ok_or_else(damaged)?;
    let shape = after("shape")
        .and_then(|rest| rest.strip_prefix('('))
        .and_then(|rest| rest.split_once(')'));
    let shape: Vec<usize> = shape
        .ok_or_else(damaged)?
        .0
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().map_err(|_| damaged()))
        .collect::<Result<_>>()?;
    let (rows, columns) = match shape[..] {
        [columns] => (1, columns),
        [rows, columns] => (rows, columns),
        _ => {
            return Err(Error::format(format!(
                "an array of shape {shape:?}, expected [dimension] or [photos, dimension]"
            )))
        }
    };
    let turned = rows > 1 && after("fortran_order").is_none_or(|rest| !rest.starts_with("False"));
    let width = match kind.as_str() {
        "<f4" if !turned => 4,
        "<f8" if !turned => 8,
        _ => {
            return Err(Error::format(format!(
                "an array of {kind:?}, expected float32 or float64, little-endian, row by row"
            )))
        }
    };
    let expected = rows.checked_mul(columns).and_then(|count| count.checked_mul(width));
    if expected != Some(data.len()) || columns == 0 || rows == 0 {
        return Err(Error::format(format!(
            "an array of shape {shape:?} and {} bytes of numbers, which do not fit together",
            data.len()
        )));
    }
    let number = |bytes: &[u8]| match *bytes {
        [a, b, c, d] => f32::from_le_bytes([a, b, c, d]),
        [a, b, c, d, e, f, g, h] => f64::from_le_bytes([a, b, c, d, e, f, g, h]) as f32,
        _ => f32::NAN,
    };
    let rows = data.chunks_exact(columns * width);
    Ok(rows.map(|row| row.chunks_exact(width).map(number).collect()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file that `numpy.save` writes, version 1.
    fn file(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let length = (header.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
    }

    #[test]
    fn arrays_of_numpy() {
        let single: Vec<u8> = [3f32, -4.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(parse(&file("<f4", "(2,)", &single)).unwrap(), [[3.0, -4.0]]);
        assert_eq!(parse(&file("<f4", "(2, 1)", &single)).unwrap(), [[3.0], [-4.0]]);
        let double: Vec<u8> = [0.5f64].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(parse(&file("<f8", "(1, 1)", &double)).unwrap(), [[0.5]]);
        for bad in [
            b"PK\x03\x04".to_vec(),
            file("<f4", "(3,)", &single),
            file("<i4", "(2,)", &single),
            file("<f4", "(1, 1, 2)", &single),
            file("<f4", "(0,)", &[]),
            file("<f4", "(99999999999999999999,)", &single),
            b"\x93NUMPY\x01\x00\xff\xff{}".to_vec(),
        ] {
            assert!(parse(&bad).is_err());
        }
    }
}
