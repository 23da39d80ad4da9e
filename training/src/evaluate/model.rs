//! The model that is evaluated, run by the plugin's own engine.

use candle_core::{DType, Device};
use image::RgbImage;
use omniid::checkpoint::{safetensors_to_bytes, Checkpoint};
use omniid::engine::{
    untrained_tensors, BadPhoto, DeviceChoice, EncodeOptions, Engine, EngineOptions, NativeConfig, Source, Strangers,
};
use omniid::face::CropMode;
use omniid::identity::Identity;
use omniid::photo::{ChannelOrder, PixelBuffer};
use omniid::{Limits, Photo, Result};

/// A trained model with what its evaluation needs.
#[derive(Clone)]
pub struct EvaluatedModel {
    engine: Engine,
    config: NativeConfig,
    token_mean: Option<Vec<f32>>,
    device: DeviceChoice,
}

impl EvaluatedModel {
    /// Opens a native checkpoint.
    ///
    /// # Errors
    /// Those of [`Engine::open`]; [`ErrorKind::Unsupported`](omniid::ErrorKind::Unsupported) for checkpoints that are
    /// not native.
    pub fn open(source: impl Into<Source>, device: DeviceChoice) -> Result<Self> {
        let source = source.into();
        let checkpoint = Checkpoint::open(&source, &Limits::default())?;
        const MEAN: &str = "encoder.token_mean";
        let config = NativeConfig::from_metadata(checkpoint.metadata())?;
        let token_mean = if checkpoint.contains(MEAN) {
            let mean = checkpoint.tensor(MEAN, DType::F32, &Device::Cpu)?;
            Some(mean.flatten_all()?.to_vec1::<f32>()?)
        } else {
            None
        };
        let options = EngineOptions::new(source).with_device(device);
        Ok(Self {
            engine: Engine::open(options)?,
            config,
            token_mean,
            device,
        })
    }

    /// A model of the same shape with random weights: what the architecture alone can do.
    ///
    /// # Errors
    /// Those of writing and opening a checkpoint.
    pub fn untrained_like(&self, seed: u64) -> Result<Self> {
        let config = NativeConfig {
            host: None,
            ..self.config.clone()
        };
        let bytes = safetensors_to_bytes(&untrained_tensors(&config, seed)?, &config.to_metadata()?)?;
        Self::open(bytes, self.device)
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The configuration in the checkpoint.
    pub fn config(&self) -> &NativeConfig {
        &self.config
    }

    /// Fingerprint of image encoder and identity encoder.
    pub fn fingerprint(&self) -> &str {
        &self.engine.info().fingerprint
    }

    /// Number and width of the tokens of an identity.
    pub fn shape(&self) -> [usize; 2] {
        [self.engine.info().tokens, self.engine.info().token_width]
    }

    /// The mean tokens of the training data, flat, if the checkpoint has them.
    pub fn token_mean(&self) -> Option<&[f32]> {
        self.token_mean.as_deref()
    }

    /// One identity of pictures that are cropped already, as those of a [`Dataset`](crate::data::Dataset).
    ///
    /// # Errors
    /// Those of [`Engine::encode`].
    pub fn identity(&self, pictures: &[&RgbImage]) -> Result<Identity> {
        let photos = pictures
            .iter()
            .map(|picture| {
                let (width, height) = picture.dimensions();
                let samples = picture.as_raw().as_slice();
                Ok(Photo::from_pixels(PixelBuffer::new(
                    samples,
                    width,
                    height,
                    0,
                    ChannelOrder::Rgb,
                )?))
            })
            .collect::<Result<Vec<_>>>()?;
        let options = EncodeOptions::default()
            .with_crop(CropMode::None)
            .with_batch_size(16)
            .with_keep_features(false)
            .with_bad_photo(BadPhoto::Fail)
            // Crops, whose person is known.
            .with_strangers(Strangers::Ignore);
        let encoded = self.engine.encode(&photos, &options)?;
        Ok(encoded.identity)
    }

    /// The tokens of [`EvaluatedModel::identity`], `[tokens, width]` row by row.
    ///
    /// # Errors
    /// As [`EvaluatedModel::identity`].
    pub fn tokens(&self, pictures: &[&RgbImage]) -> Result<Vec<f32>> {
        Ok(self.identity(pictures)?.values().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_model;
    use super::*;

    #[test]
    fn an_untrained_model_differs_by_its_seed_only() {
        let model = test_model::model(3);
        let pictures = test_model::pictures(2);
        let same: Vec<&RgbImage> = pictures.iter().collect();
        let [tokens, width] = model.shape();
        let values = model.tokens(&same).unwrap();
        assert_eq!(values.len(), tokens * width);
        let a = model.untrained_like(11).unwrap();
        assert_eq!(a.shape(), model.shape());
        assert_ne!(a.tokens(&same).unwrap(), values);
        assert_eq!(
            a.tokens(&same).unwrap(),
            model.untrained_like(11).unwrap().tokens(&same).unwrap()
        );
        assert_ne!(a.fingerprint(), model.fingerprint());
    }
}
