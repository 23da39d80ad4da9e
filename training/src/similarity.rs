//! The directions in which a trained model's identities are compared.
//!
//! Fitted after the training, to tokens of single pictures of the training people: the encoder itself is trained by
//! generative losses alone and stays as it is.

use crate::config::RunConfig;
use crate::data::Dataset;
use crate::discriminant::Scatter;
use crate::model::IdentityModel;
use crate::pixels::{planes, Reading};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use omniid::error::{Error, Result};
use std::collections::BTreeMap;

/// Pictures that are encoded at once, about.
const AT_ONCE: usize = 192;

/// The tensor `similarity_projection` `[directions, queries · token width]` of an encoder with weights `weights` (by
/// native name), from all pictures of `people`; those with one picture are left out. Of `n` people there are `n - 1`
/// directions at most, whatever the configuration says; of fewer than two there is nothing to learn.
///
/// # Errors
/// As [`export`](crate::export::export).
pub fn similarity_projection(
    config: &RunConfig,
    weights: &BTreeMap<String, Tensor>,
    people: &Dataset,
) -> Result<Option<Tensor>> {
    let usable = people.people.iter().filter(|person| person.pictures.len() > 1);
    let usable: Vec<_> = usable.map(|person| &person.pictures).collect();
    let directions = config.similarity.directions.min(usable.len().saturating_sub(1));
    if directions == 0 {
        return Ok(None);
    }
    let builder = VarBuilder::from_tensors(weights.clone().into_iter().collect(), DType::F32, &Device::Cpu);
    let model = IdentityModel::load(&config.model, builder)?;
    let size = config.model.image_size;
    if people.size as usize != size {
        return Err(Error::mismatch(format!(
            "pictures of side {} for a model of side {size}",
            people.size
        )));
    }
    let values = config.model.queries * config.model.token_width;
    let mut scatter = Scatter::new(values)?;
    let mut rest = usable.as_slice();
    while !rest.is_empty() {
        let mut pictures = 0;
        let together = rest.iter().take_while(|own| {
            let fits = pictures == 0 || pictures + own.len() <= AT_ONCE;
            pictures += own.len();
            fits
        });
        let (part, others) = rest.split_at(together.count());
        rest = others;
        let photos: Vec<_> = part
            .iter()
            .flat_map(|own| own.iter().map(|picture| (picture, Reading::PLAIN)))
            .collect();
        let shape = [photos.len(), 1, 3, size, size];
        let photos = Tensor::from_vec(planes(&photos, size), &shape[..], &Device::Cpu)?;
        let tokens = model.tokens(&photos)?.flatten_from(1)?;
        let counts: Vec<usize> = part.iter().map(|own| own.len()).collect();
        scatter.add(&tokens, &counts)?;
    }
    scatter
        .directions(directions, config.similarity.shrinkage)
        .map(Some)
}
