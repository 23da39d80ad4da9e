//! Face embeddings from the command line: arrays of numpy, as `numpy.save` writes insightface's.

use crate::failure::Outcome;
use crate::numpy;
use omniid::photo::Photo;
use omniid::recogniser::{EmbeddingForm, FaceEmbedding};
use omniid::{Error, Result};
use std::io::Read;
use std::path::Path;

/// Largest file that is read: 4096 embeddings of 512 numbers have 8 MB.
const MAX_BYTES: u64 = 64 << 20;

/// How far from 1 the length of a normalised embedding may be. Raw ones have lengths of about 5 to 30.
const TOLERANCE: f64 = 1e-3;

/// The photos that a file stands for: one for each row of an array `[photos, dimension]`, or one for `[dimension]`.
/// Rows of length 1 are taken for normalised ones.
pub fn photos(path: &Path, network: &str) -> Outcome<Vec<Photo<'static>>> {
    let rows = read(path).map_err(|error| error.context(path.display()))?;
    let count = rows.len();
    let mut photos = Vec::with_capacity(count);
    for (index, values) in rows.into_iter().enumerate() {
        let length = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        let form = match (length - 1.0).abs() <= TOLERANCE {
            true => EmbeddingForm::Normalised,
            false => EmbeddingForm::Raw,
        };
        let name = match count {
            1 => path.display().to_string(),
            _ => format!("{}, row {index}", path.display()),
        };
        let embedding = FaceEmbedding::new(network, form, values).map_err(|error| error.context(&name))?;
        photos.push(Photo::from_embedding(embedding).with_name(name));
    }
    Ok(photos)
}

fn read(path: &Path) -> Result<Vec<Vec<f32>>> {
    let file = std::fs::File::open(path).map_err(|error| Error::io(path, error))?;
    let mut bytes = Vec::new();
    let count = file.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    if count.map_err(|error| Error::io(path, error))? as u64 > MAX_BYTES {
        return Err(Error::limit(format!("more than {MAX_BYTES} bytes")));
    }
    numpy::parse(&bytes)
}
