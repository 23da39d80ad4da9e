//! Loading the parts of a model: at once, or, for the image encoder, when it is first needed.

use crate::checkpoint::{Checkpoint, Weights};
use crate::encoder::EncoderInput;
use crate::error::{Error, Result};
use crate::vit::{VisionConfig, VisionTransformer};
use candle_core::{DType, Device};
use std::sync::OnceLock;

/// Loads one part and refuses tensors that it does not know: a misspelt key must not go unnoticed.
pub(super) fn load<T>(
    checkpoint: &Checkpoint,
    what: &str,
    dtype: DType,
    device: &Device,
    build: impl Fn(&Weights<'static>) -> Result<T>,
) -> Result<T> {
    checkpoint
        .build(dtype, device, build)
        .map_err(|error| error.context(what))
}

/// An image encoder and what it takes to load it.
pub(super) struct Backbone {
    checkpoint: Checkpoint,
    config: VisionConfig,
    input: EncoderInput,
    dtype: DType,
    device: Device,
    loaded: OnceLock<VisionTransformer>,
}

impl Backbone {
    /// An image encoder that nothing was read of yet.
    pub(super) fn deferred(
        checkpoint: Checkpoint,
        config: VisionConfig,
        input: EncoderInput,
        dtype: DType,
        device: Device,
    ) -> Self {
        Self {
            checkpoint,
            config,
            input,
            dtype,
            device,
            loaded: OnceLock::new(),
        }
    }

    /// The image encoder, as much of it as the identity encoder needs: a complete model may hold more. Loaded by the
    /// first call. No lock is held meanwhile: threads that come at the same time load it twice, and one copy is kept.
    pub(super) fn get(&self) -> Result<&VisionTransformer> {
        if let Some(loaded) = self.loaded.get() {
            return Ok(loaded);
        }
        let loaded = load(
            &self.checkpoint,
            "image encoder",
            self.dtype,
            &self.device,
            |weights| match self.input {
                EncoderInput::ImageEmbeds => VisionTransformer::load(&self.config, weights),
                EncoderInput::Penultimate => VisionTransformer::load_for_penultimate(&self.config, weights),
                input => Err(Error::unsupported(format!("an image encoder for {input:?}"))),
            },
        )?;
        Ok(self.loaded.get_or_init(|| loaded))
    }
}
