//! Identity tokens of a data set's people: their mean, the directions in which they differ, and validation.

mod similarity;
mod validation;

pub use similarity::{similarity_projection, PROJECTION};
pub use validation::{ValidationPeople, ValidationTokens, Whose, AT_ONCE};

use crate::batch::{planes, Reading};
use crate::config::RunConfig;
use crate::data::Dataset;
use crate::model::IdentityModel;
use crate::statistics::mean;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use omniid::{Error, Result};
use std::collections::BTreeMap;

/// The weights of image encoder and identity encoder alone, in host memory.
pub(crate) fn encoder_weights(weights: &BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>> {
    let ours = |name: &str| name.starts_with("backbone.") || name.starts_with("encoder.");
    weights
        .iter()
        .filter(|(name, _)| ours(name))
        .map(|(name, tensor)| Ok((name.clone(), tensor.to_device(&Device::Cpu)?)))
        .collect()
}

/// The encoder with weights `weights` (by native name, in host memory), to read pictures of `people`.
///
/// # Errors
/// [`ErrorKind::Format`](omniid::ErrorKind::Format) when a tensor is missing,
/// [`ErrorKind::Mismatch`](omniid::ErrorKind::Mismatch) when the pictures have another size.
pub(crate) fn encoder_for(
    config: &RunConfig,
    weights: &BTreeMap<String, Tensor>,
    people: &Dataset,
) -> Result<IdentityModel> {
    let size = config.model.image_size;
    if people.size as usize != size && !people.people.is_empty() {
        return Err(Error::mismatch(format!(
            "pictures of side {} for a model of side {size}",
            people.size
        )));
    }
    let tensors = weights.clone().into_iter().collect();
    IdentityModel::load(
        &config.model,
        VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu),
    )
}

/// Tokens `[sets, queries · token width]` of sets of pictures (person of `people` and places), equally many in each.
fn encode(model: &IdentityModel, people: &Dataset, sets: &[(usize, Vec<usize>)], device: &Device) -> Result<Tensor> {
    let size = people.size as usize;
    let photos = sets
        .iter()
        .flat_map(|(person, places)| {
            let pictures = &people.people[*person].pictures;
            places.iter().map(|place| (&pictures[*place], Reading::PLAIN))
        })
        .collect::<Vec<_>>();
    let shape = [sets.len(), photos.len() / sets.len().max(1), 3, size, size];
    let photos = Tensor::from_vec(planes(&photos, size), &shape[..], device)?;
    Ok(model.tokens(&photos)?.to_dtype(DType::F32)?.flatten_from(1)?)
}

/// Mean tokens `[queries, token width]` of `people`, each from up to `inputs` photos.
///
/// # Errors
/// As [`run::export`](crate::run::export::export), without writing.
pub fn token_mean(
    config: &RunConfig,
    weights: &BTreeMap<String, Tensor>,
    people: &Dataset,
    inputs: usize,
) -> Result<Tensor> {
    let model = encoder_for(config, weights, people)?;
    // People with equally many photos are encoded together.
    let mut counts = BTreeMap::<usize, Vec<(usize, Vec<usize>)>>::new();
    for (place, person) in people.people.iter().enumerate() {
        let mut photos = person.inputs();
        photos.truncate(inputs.max(1));
        if !photos.is_empty() {
            counts.entry(photos.len()).or_default().push((place, photos));
        }
    }
    let mut rows = Vec::new();
    for sets in counts.values() {
        for sets in sets.chunks(AT_ONCE) {
            let tokens = encode(&model, people, sets, &Device::Cpu)?.to_vec2::<f32>()?;
            // Sums of partial sums keep thousands of people exact enough.
            rows.push((sets.len() as f64, mean(tokens)));
        }
    }
    let total: f64 = rows.iter().map(|(people, _)| people).sum();
    if total == 0.0 {
        return Err(Error::invalid(
            "the mean identity needs people with photos, there are none",
        ));
    }
    let shape = (config.model.queries, config.model.token_width);
    let mut mean = vec![0f64; shape.0 * shape.1];
    for (people, row) in &rows {
        for (mean, value) in mean.iter_mut().zip(row) {
            *mean += people / total * f64::from(*value);
        }
    }
    let mean = mean.into_iter().map(|value| value as f32).collect::<Vec<_>>();
    Ok(Tensor::from_vec(mean, shape, &Device::Cpu)?)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::data::toy_people;
    use crate::model::identity_parameters;
    use crate::optimisation::{ParameterGroup, Parameters};

    /// Random weights of the encoder.
    pub(crate) fn parameters(config: &RunConfig) -> Result<Parameters> {
        let group = ParameterGroup {
            name: "encoder".to_string(),
            rate: 1.0,
            weight_decay: 0.0,
        };
        Parameters::new(&identity_parameters(&config.model, 0)?, &[group], 7, &Device::Cpu)
    }

    pub(crate) fn weights(parameters: &Parameters) -> BTreeMap<String, Tensor> {
        let tensors = parameters.iter();
        tensors
            .map(|(name, parameter)| (name.to_string(), parameter.tensor().detach()))
            .collect()
    }

    #[test]
    fn the_mean_is_over_people_whatever_their_photos() -> Result<()> {
        let config = RunConfig::from_toml(crate::config::preset("tiny").expect("a preset"))?;
        let weights = weights(&parameters(&config)?);
        let mut people = toy_people(3, 3, 32, 3);
        people.people[1].pictures.truncate(1);
        let mean = |people: &Dataset| -> Result<Vec<f32>> {
            Ok(token_mean(&config, &weights, people, 2)?.flatten_all()?.to_vec1()?)
        };
        let all = mean(&people)?;
        let each = people
            .people
            .iter()
            .map(|person| {
                mean(&Dataset {
                    size: 32,
                    people: vec![person.clone()],
                })
            })
            .collect::<Result<Vec<_>>>()?;
        for (i, value) in all.iter().enumerate() {
            let expected = each.iter().map(|row| row[i]).sum::<f32>() / 3.0;
            assert!((value - expected).abs() < 1e-5);
        }
        assert!(mean(&Dataset::new(32)).is_err());
        Ok(())
    }
}
