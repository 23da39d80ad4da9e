//! From a trained model to a native checkpoint, the file that [`omniid::engine::Engine`] opens.

use crate::config::RunConfig;
use crate::data::Dataset;
use crate::tokens::{encoder_weights, token_mean};
use candle_core::{DType, Tensor};
use omniid::checkpoint::write_safetensors;
use omniid::encoder::EncoderConfig;
use omniid::engine::{HostConfig, NativeConfig};
use omniid::Result;
use std::collections::BTreeMap;
use std::path::Path;

/// What a native checkpoint holds besides the encoder.
#[derive(Default)]
pub struct Extras {
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
    extras: &Extras,
) -> Result<()> {
    let encoder = encoder_weights(weights)?;
    let mean = token_mean(config, &encoder, people, inputs)?;
    let mut tensors = encoder.into_iter().collect::<Vec<_>>();
    tensors.push(("encoder.token_mean".to_string(), mean));
    tensors.extend(extras.tensors.iter().cloned());
    let tensors = tensors
        .into_iter()
        .map(|(name, tensor)| Ok((name, tensor.to_dtype(dtype)?)))
        .collect::<Result<Vec<_>>>()?;
    let native = NativeConfig {
        name: config.name.clone(),
        backbone: Some(config.model.backbone()),
        pixels: crate::config::ModelConfig::PIXELS,
        crop: config.model.crop(),
        encoder: EncoderConfig::OmniId(config.model.encoder()),
        recogniser: None,
        parser: None,
        host: extras.host.clone(),
    };
    write_safetensors(path, &tensors, &native.to_metadata()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{planes, Reading};
    use crate::data::toy_people;
    use crate::model::IdentityModel;
    use crate::tokens::tests::{parameters, weights};
    use candle_core::Device;
    use omniid::engine::{EncodeOptions, Engine, EngineOptions, Source};
    use omniid::face::CropMode;
    use omniid::Photo;

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
            let extras = Extras::default();
            // Variables, as in training, not the constants that export uses.
            let model = IdentityModel::load(&config.model, parameters.builder())?;
            let pictures = &people.people[0].pictures;
            let photos = pictures.iter().map(|picture| (picture, Reading::PLAIN));
            let photos = planes(&photos.collect::<Vec<_>>(), 32);
            let photos = Tensor::from_vec(photos, &[1, 3, 3, 32, 32][..], &Device::Cpu)?;
            let expected = model.tokens(&photos)?.flatten_all()?.to_vec1::<f32>()?;
            let pngs = pictures.iter().map(|picture| {
                let image = image::RgbImage::from_raw(32, 32, picture.pixels.clone()).expect("a square picture");
                let mut bytes = std::io::Cursor::new(Vec::new());
                image
                    .write_to(&mut bytes, image::ImageFormat::Png)
                    .expect("memory is writable");
                bytes.into_inner()
            });
            let pngs = pngs.collect::<Vec<_>>();
            let photos = pngs.iter().map(|png| Photo::from_bytes(png)).collect::<Vec<_>>();
            let options = EncodeOptions::default().with_crop(CropMode::None);
            for (dtype, most) in [(DType::F32, 1e-4), (DType::F16, 2e-2)] {
                export(&path, &config, &weights, &people, 3, dtype, &extras)?;
                let engine = Engine::open(EngineOptions::new(Source::from(path.clone())))?;
                let identity = engine.encode(&photos, &options)?.identity;
                assert_eq!((identity.token_count(), identity.width()), (16, 96));
                for (a, b) in identity.values().iter().zip(&expected) {
                    assert!((a - b).abs() < most, "{a} against {b} with {dtype:?}");
                }
            }
        }
        Ok(())
    }
}
