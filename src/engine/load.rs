//! Loading the parts of a model: at once, or, for the image encoder, when it is first needed.

use crate::checkpoint::{Checkpoint, Weights};
use crate::encoder::EncoderInput;
use crate::error::{Error, Result};
use crate::precision::Precision;
use crate::vit::{VisionConfig, VisionTransformer};
use candle_core::{DType, Device, Tensor};
use std::sync::OnceLock;

/// Loads one part and refuses tensors that it does not know: a misspelt key must not go unnoticed.
pub(super) fn load<T>(
    checkpoint: &Checkpoint,
    what: &str,
    precision: Precision,
    device: &Device,
    build: impl Fn(&Weights<'static>) -> Result<T>,
) -> Result<T> {
    let loaded = match precision {
        // What does not become bytes stays exact.
        Precision::Int8 => checkpoint.build(DType::F32, device, |weights| build(&weights.with_quantised_blocks())),
        other => checkpoint.build(other.dtype(), device, build),
    };
    loaded.map_err(|error| error.context(what))
}

/// The part of an image encoder's network at which PuLID looks: the inputs of every sixth's first block, blocks 4, 8,
/// 12, 16 and 20 of 24.
const LEVELS: usize = 5;

/// What an image encoder makes of pictures.
pub(super) struct ImageFeatures {
    /// `[photos, tokens, width]`
    pub(super) tokens: Tensor,
    /// `[photos, width]`: the L2-normalised image embedding, for an encoder that reads hidden states.
    pub(super) embedding: Option<Tensor>,
}

/// An image encoder and what it takes to load it.
pub(super) struct Backbone {
    checkpoint: Checkpoint,
    config: VisionConfig,
    input: EncoderInput,
    precision: Precision,
    device: Device,
    loaded: OnceLock<VisionTransformer>,
}

impl Backbone {
    /// An image encoder that nothing was read of yet.
    pub(super) fn deferred(
        checkpoint: Checkpoint,
        config: VisionConfig,
        input: EncoderInput,
        precision: Precision,
        device: Device,
    ) -> Self {
        Self {
            checkpoint,
            config,
            input,
            precision,
            device,
            loaded: OnceLock::new(),
        }
    }

    /// Where its weights come from.
    pub(super) fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
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
            self.precision,
            &self.device,
            |weights| match self.input {
                EncoderInput::ImageEmbeds | EncoderInput::HiddenStates | EncoderInput::LastHiddenState => {
                    VisionTransformer::load(&self.config, weights)
                }
                EncoderInput::Penultimate => VisionTransformer::load_for_penultimate(&self.config, weights),
                input => Err(Error::unsupported(format!("an image encoder for {input:?}"))),
            },
        )?;
        Ok(self.loaded.get_or_init(|| loaded))
    }

    /// What the identity encoder reads of pictures `[photos, 3, size, size]`: see [`EncoderInput`].
    pub(super) fn features(&self, pixels: &Tensor) -> Result<ImageFeatures> {
        let model = self.get()?;
        let tokens = match self.input {
            EncoderInput::Penultimate => model.penultimate(pixels)?,
            EncoderInput::ImageEmbeds => model.image_embeds(pixels)?.unsqueeze(1)?,
            EncoderInput::LastHiddenState => model.last_hidden_state(pixels)?,
            EncoderInput::HiddenStates => {
                let layers = self.config.num_hidden_layers;
                let levels: Vec<usize> = (1..=LEVELS).map(|level| level * layers / (LEVELS + 1)).collect();
                let (states, embeds) = model.levels_and_embeds(pixels, &levels)?;
                let length = embeds.to_dtype(DType::F32)?.sqr()?.sum_keepdim(1)?.sqrt()?;
                let embedding = embeds.broadcast_div(&length.to_dtype(embeds.dtype())?)?;
                return Ok(ImageFeatures {
                    tokens: Tensor::cat(&states, 1)?,
                    embedding: Some(embedding),
                });
            }
            EncoderInput::Nothing => return Err(Error::internal("an image encoder that nothing is read from")),
        };
        Ok(ImageFeatures {
            tokens,
            embedding: None,
        })
    }
}
