//! From a trained model to a native checkpoint, the file that [`omniid::engine::Engine`] opens.

use crate::config::RunConfig;
use crate::data::Dataset;
use crate::measures::mean_row;
use crate::model::IdentityModel;
use crate::pixels::{planes, Reading};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use omniid::checkpoint::write_safetensors;
use omniid::encoder::EncoderConfig;
use omniid::engine::{HostConfig, NativeConfig};
use omniid::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// People whose photos are encoded at once.
const AT_ONCE: usize = 16;

/// What a native checkpoint holds besides the encoder.
#[derive(Default)]
pub struct Parts {
    /// Tensors under their native names: `adapter.…`, `detector.…`, `similarity.…`.
    pub tensors: Vec<(String, Tensor)>,
    /// The host that the adapter is for. Needed with adapter tensors.
    pub host: Option<HostConfig>,
}

/// Writes the encoder with weights `weights` (by native name; others are ignored) and the mean tokens of `people`,
/// from up to `inputs` photos of each, as `dtype`: f32, f16 or bf16.
///
/// # Errors
/// [`ErrorKind::Format`](omniid::ErrorKind::Format) when a tensor of the encoder is missing,
/// [`ErrorKind::InvalidArgument`](omniid::ErrorKind::InvalidArgument) when nobody in `people` has a photo,
/// [`ErrorKind::Io`](omniid::ErrorKind::Io) naming the path.
pub fn export(
    path: &Path,
    config: &RunConfig,
    weights: &BTreeMap<String, Tensor>,
    people: &Dataset,
    inputs: usize,
    dtype: DType,
    parts: &Parts,
) -> Result<()> {
    let encoder = encoder_weights(weights)?;
    let mean = token_mean(config, &encoder, people, inputs)?;
    let mut tensors = encoder.into_iter().collect::<Vec<_>>();
    tensors.push(("encoder.token_mean".to_string(), mean));
    tensors.extend(parts.tensors.iter().cloned());
    let tensors = tensors
        .into_iter()
        .map(|(name, tensor)| Ok((name, tensor.to_dtype(dtype)?)))
        .collect::<Result<Vec<_>>>()?;
    let native = NativeConfig {
        name: config.name.clone(),
        backbone: config.model.backbone(),
        pixels: crate::config::ModelConfig::PIXELS,
        crop: config.model.crop(),
        encoder: EncoderConfig::OmniId(config.model.encoder()),
        host: parts.host.clone(),
    };
    write_safetensors(path, &tensors, &native.to_metadata()?)
}

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

/// Mean tokens `[queries, token width]` of `people`, each from up to `inputs` photos.
///
/// # Errors
/// As [`export`], without writing.
pub fn token_mean(
    config: &RunConfig,
    weights: &BTreeMap<String, Tensor>,
    people: &Dataset,
    inputs: usize,
) -> Result<Tensor> {
    let model = encoder_for(config, weights, people)?;
    let (size, each) = (
        config.model.image_size,
        config.model.queries * config.model.token_width,
    );
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
    for (count, sets) in &counts {
        for part in sets.chunks(AT_ONCE) {
            let photos = part
                .iter()
                .flat_map(|(person, places)| {
                    let pictures = &people.people[*person].pictures;
                    places
                        .iter()
                        .map(move |place| (&pictures[*place], Reading::PLAIN))
                })
                .collect::<Vec<_>>();
            let shape = [part.len(), *count, 3, size, size];
            let photos = Tensor::from_vec(planes(&photos, size), &shape[..], &Device::Cpu)?;
            let tokens = model.tokens(&photos)?.flatten_all()?.to_vec1::<f32>()?;
            // Sums of part sums keep thousands of people exact enough.
            let mean = mean_row(&tokens, each);
            rows.push((part.len() as f64, mean));
        }
    }
    let total: f64 = rows.iter().map(|(people, _)| people).sum();
    if total == 0.0 {
        return Err(Error::invalid(
            "the mean identity needs people with photos, there are none",
        ));
    }
    let mut mean = vec![0f64; each];
    for (people, row) in &rows {
        for (mean, value) in mean.iter_mut().zip(row) {
            *mean += people / total * f64::from(*value);
        }
    }
    let mean = mean.into_iter().map(|value| value as f32).collect::<Vec<_>>();
    let shape = (config.model.queries, config.model.token_width);
    Ok(Tensor::from_vec(mean, shape, &Device::Cpu)?)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::identity_parameters;
    use crate::parameters::{ParameterGroup, Parameters};
    use crate::toy::toy_people;
    use omniid::engine::{EncodeOptions, Engine, EngineOptions, Source};
    use omniid::face::CropMode;
    use omniid::progress::Reporter;
    use omniid::Photo;

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
    fn the_engine_gives_the_tokens_of_the_trainer() -> Result<()> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut config = RunConfig::from_toml(crate::config::preset("tiny").expect("a preset"))?;
        let people = toy_people(5, 3, 32, 3);
        for anchored_queries in [false, true] {
            config.model.anchored_queries = anchored_queries;
            let parameters = parameters(&config)?;
            let weights = weights(&parameters);
            let path = folder.path().join("model.safetensors");
            let parts = Parts::default();
            // Variables, as in training, not the constants that export uses.
            let model = IdentityModel::load(&config.model, parameters.builder())?;
            let pictures = &people.people[0].pictures;
            let photos = pictures.iter().map(|picture| (picture, Reading::PLAIN));
            let photos = planes(&photos.collect::<Vec<_>>(), 32);
            let photos = Tensor::from_vec(photos, &[1, 3, 3, 32, 32][..], &Device::Cpu)?;
            let expected = model.tokens(&photos)?.flatten_all()?.to_vec1::<f32>()?;
            let pngs = pictures.iter().map(|picture| {
                let image =
                    image::RgbImage::from_raw(32, 32, picture.pixels.clone()).expect("a square picture");
                let mut bytes = std::io::Cursor::new(Vec::new());
                image
                    .write_to(&mut bytes, image::ImageFormat::Png)
                    .expect("memory is writable");
                bytes.into_inner()
            });
            let pngs = pngs.collect::<Vec<_>>();
            let photos = pngs.iter().map(|png| Photo::from_bytes(png)).collect::<Vec<_>>();
            let options = EncodeOptions {
                crop: Some(CropMode::None),
                ..EncodeOptions::default()
            };
            for (dtype, most) in [(DType::F32, 1e-4), (DType::F16, 2e-2)] {
                export(&path, &config, &weights, &people, 3, dtype, &parts)?;
                let engine = Engine::open(
                    EngineOptions::new(Source::Path(path.clone())),
                    &mut Reporter::silent(),
                )?;
                let identity = engine
                    .encode(&photos, &options, &mut Reporter::silent())?
                    .identity;
                assert_eq!((identity.token_count(), identity.width()), (16, 96));
                for (a, b) in identity.values().iter().zip(&expected) {
                    assert!((a - b).abs() < most, "{a} against {b} with {dtype:?}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn the_mean_is_over_people_whatever_their_photos() -> Result<()> {
        let config = RunConfig::from_toml(crate::config::preset("tiny").expect("a preset"))?;
        let weights = weights(&parameters(&config)?);
        let mut people = toy_people(3, 3, 32, 3);
        people.people[1].pictures.truncate(1);
        let mean = |people: &Dataset| -> Result<Vec<f32>> {
            Ok(token_mean(&config, &weights, people, 2)?
                .flatten_all()?
                .to_vec1()?)
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
