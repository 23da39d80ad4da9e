//! Where identities of a checkpoint are compared.

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::identity::similarity::SimilaritySpace;
use candle_core::{DType, Device};

const PROJECTION: &str = "projection";

/// The space of an encoder with mean identity `mean` whose identities have `values` values, and of the checkpoint's
/// part `similarity`, if it has one: `projection` `[directions, values]`.
///
/// The part is no part of the fingerprint: tokens do not depend on it, so identities stay valid with other directions.
pub(super) fn similarity_space(
    part: Option<&Checkpoint>,
    mean: Option<Vec<f32>>,
    values: usize,
) -> Result<SimilaritySpace> {
    let Some(part) = part else {
        return SimilaritySpace::new(mean, 0, Vec::new());
    };
    if let Some(name) = part.names().find(|name| *name != PROJECTION) {
        return Err(Error::format(format!("unexpected tensor similarity.{name}")));
    }
    let directions = match part.shape(PROJECTION) {
        Some([directions, width]) if (1..=values).contains(directions) && *width == values => *directions,
        shape => {
            return Err(Error::format(format!(
            "tensor similarity.{PROJECTION} has shape {shape:?}, expected [directions, {values}] with 1 to {values} \
                 directions"
        )))
        }
    };
    let projection = part.read_weights(PROJECTION, DType::F32, &Device::Cpu, false)?;
    SimilaritySpace::new(mean, directions, projection.flatten_all()?.to_vec1::<f32>()?)
        .map_err(|error| error.context(format!("tensor similarity.{PROJECTION}")))
}
