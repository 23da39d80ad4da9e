//! What the text readers share.

use std::path::Path;

use omniid::{Error, ErrorKind, Result};

/// The text of a file; bytes that are not UTF-8 are replaced (some files carry names in old encodings).
pub(crate) fn read(path: &Path) -> Result<String> {
    let bytes =
        std::fs::read(path).map_err(|e| Error::new(ErrorKind::Io, format!("reading {}: {e}", path.display())))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The first `N` words as numbers; more words are ignored.
pub(crate) fn numbers<'a, const N: usize>(words: impl Iterator<Item = &'a str>) -> Result<[f32; N]> {
    let mut numbers = [0.0; N];
    let mut found = 0;
    for (place, word) in numbers.iter_mut().zip(words) {
        *place = number(word)?;
        found += 1;
    }
    if found < N {
        return Err(Error::format(format!("{found} numbers, {N} are needed")));
    }
    Ok(numbers)
}

pub(crate) fn number(word: &str) -> Result<f32> {
    word.parse::<f32>()
        .ok()
        .filter(|number| number.is_finite())
        .ok_or_else(|| Error::format(format!("{word:?} is not a number")))
}

pub(crate) fn vertex(word: &str, count: usize) -> Result<u32> {
    word.parse::<u32>()
        .ok()
        .filter(|&index| (index as usize) < count)
        .ok_or_else(|| Error::format(format!("{word:?} is not a vertex of the base mesh, which has {count}")))
}
