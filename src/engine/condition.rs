//! Identities to per-layer keys and values for a host.

use super::Engine;
use crate::adapter::Adapter;
use crate::conditioning::{Conditioning, ConditioningOptions, IdentityInput, Mask, StepRange, Unconditional};
use crate::encoder::{EncodeSettings, EncoderInput, EncoderKind, Features};
use crate::error::{Error, Result};
use crate::host::HostFamily;
use crate::identity::{Combine, Identity};
use crate::progress::{self, ProgressFn};
use crate::remedy;
use crate::setters::setters;
use crate::vit::VisionConfig;
use candle_core::{DType, Device, Tensor};
use std::sync::OnceLock;

/// One identity for [`Engine::condition`], and how it acts.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConditioningInput<'a> {
    /// The person.
    pub identity: &'a Identity,
    /// Weight of the identity. 0 leaves it out.
    pub scale: f32,
    /// Where in the picture; everywhere by default.
    pub mask: Option<Mask>,
    /// When during sampling; always by default.
    pub steps: StepRange,
    /// What unconditional rows see instead.
    pub unconditional: Unconditional<'a>,
    /// An identity that unconditional rows see instead; overrides `unconditional`.
    pub negative: Option<&'a Identity>,
    /// A second identity for the composition layers, see [`IdentityInput::composition`].
    pub composition: Option<&'a Identity>,
}

impl<'a> ConditioningInput<'a> {
    /// An identity at weight 1, everywhere, at every step, with the checkpoint's own unconditional side.
    pub fn new(identity: &'a Identity) -> Self {
        Self {
            identity,
            scale: 1.0,
            mask: None,
            steps: StepRange::Always,
            unconditional: Unconditional::Default,
            negative: None,
            composition: None,
        }
    }
}

setters!(ConditioningInput<'a> {
    with_scale: scale = plain f32,
    with_mask: mask = option Mask,
    with_steps: steps = plain StepRange,
    with_unconditional: unconditional = plain Unconditional<'a>,
    with_negative: negative = option &'a Identity,
    with_composition: composition = option &'a Identity,
});

impl<'a> From<&'a Identity> for ConditioningInput<'a> {
    fn from(identity: &'a Identity) -> Self {
        Self::new(identity)
    }
}

/// Layers of PuLID's image encoder that are read.
const LEVELS: usize = 5;

/// Unconditional tokens that cost a pass through a network, so that they are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Synthetic {
    ZeroEmbedding,
    ZeroPixels,
    BlackImage,
    ZeroFeatures,
}

impl Synthetic {
    pub(super) const COUNT: usize = 4;
}

impl Engine {
    /// Projects the keys and values of one or several identities for every layer of the host, once.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for no identities or a scale that is not
    /// finite, [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when another model made an identity or the
    /// adapter is for another host, [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) when the checkpoint
    /// has no adapter, the host is not known, or the unconditional variant does not exist for this encoder.
    pub fn condition<'i, I: Into<ConditioningInput<'i>>>(
        &self,
        identities: impl IntoIterator<Item = I>,
        options: &ConditioningOptions,
    ) -> Result<Conditioning> {
        self.condition_with_progress(identities, options, &mut progress::ignore)
    }

    /// [`Engine::condition`], with a callback that is told about each layer and can cancel between two.
    ///
    /// # Errors
    /// As [`Engine::condition`]; [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled).
    pub fn condition_with_progress<'i, I: Into<ConditioningInput<'i>>>(
        &self,
        identities: impl IntoIterator<Item = I>,
        options: &ConditioningOptions,
        progress: ProgressFn<'_>,
    ) -> Result<Conditioning> {
        let identities: Vec<ConditioningInput<'i>> = identities.into_iter().map(I::into).collect();
        if identities.is_empty() {
            return Err(Error::invalid("conditioning: 0 identities given, expected at least 1"));
        }
        for (index, input) in identities.iter().enumerate() {
            for identity in [Some(input.identity), input.negative, input.composition]
                .into_iter()
                .flatten()
            {
                self.check_identity(identity)
                    .map_err(|error| error.context(format!("conditioning, identity {index}")))?;
            }
        }
        let host = self.inner.host.as_ref().ok_or_else(|| {
            Error::unsupported("conditioning: the host is not known from the checkpoint")
                .with_remedy(remedy::HOST_TABLE)
        })?;
        let adapter = self.adapter()?;
        if self.inner.info.encoder.needs_timestep() {
            let conditioning = self.condition_at_timesteps(adapter, host, &identities, options, progress)?;
            return Ok(conditioning.with_fingerprint(&self.inner.info.fingerprint));
        }
        let tensors = identities
            .iter()
            .map(|input| {
                let unconditional = match input.negative {
                    Some(negative) => Some(self.tokens(negative)?),
                    None => self.unconditional(&input.unconditional, input.identity)?,
                };
                let composition = input.composition.map(|identity| self.tokens(identity)).transpose()?;
                Ok((self.tokens(input.identity)?, unconditional, composition))
            })
            .collect::<Result<Vec<_>>>()?;
        let inputs: Vec<IdentityInput<'_>> = identities
            .iter()
            .zip(&tensors)
            .map(|(input, (tokens, unconditional, composition))| IdentityInput {
                tokens,
                unconditional: unconditional.as_ref(),
                composition: composition.as_ref(),
                scale: input.scale,
                mask: input.mask.clone(),
                steps: input.steps,
                timesteps: &[],
            })
            .collect();
        let conditioning = Conditioning::new_with_progress(adapter, host, &inputs, options, progress)?;
        Ok(conditioning.with_fingerprint(&self.inner.info.fingerprint))
    }

    /// The tokens of an identity on the engine's device, `[tokens, token width]`, f32 on the CPU.
    pub fn tokens(&self, identity: &Identity) -> Result<Tensor> {
        let shape = (identity.token_count(), identity.width());
        self.place(&Tensor::from_slice(identity.values(), shape, &Device::Cpu)?)
    }

    /// The tokens of an identity for a host that reads them itself, as InstantID's ControlNet does in place of a text:
    /// of the unconditional side and of the identity, each `[tokens, token width]`, f32 in host memory.
    ///
    /// The unconditional side is the checkpoint's own ([`Unconditional::Default`]). It is repeated up to the length of
    /// the identity's, which attention to it does not notice.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when another model made the identity.
    pub fn context_tokens(&self, identity: &Identity) -> Result<(Tensor, Tensor)> {
        self.check_identity(identity)?;
        let own = self.tokens(identity)?;
        let mut unconditional = match self.unconditional(&Unconditional::Default, identity)? {
            Some(tokens) => tokens,
            None => self.zero_tokens(identity)?,
        };
        let (count, length) = (own.dim(0)?, unconditional.dim(0)?.max(1));
        if count > length && count % length == 0 {
            unconditional = unconditional.repeat((count / length, 1))?;
        }
        let to_host = |tokens: Tensor| -> Result<Tensor> {
            Ok(tokens.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.contiguous()?)
        };
        Ok((to_host(unconditional)?, to_host(own)?))
    }

    /// What the adapter's key and value projections read, of the unconditional side and of the identity, each
    /// `[tokens, context]`, f32 in host memory: [`context_tokens`](Self::context_tokens) behind the adapter's own
    /// projection (Omni-ID, full-face), if it has one. For hosts that project keys and values themselves.
    ///
    /// # Errors
    /// As there, and [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for an adapter of the residual stream, one
    /// whose keys depend on the timestep, and a checkpoint without an adapter.
    pub fn host_tokens(&self, identity: &Identity) -> Result<(Tensor, Tensor)> {
        let adapter = self.adapter()?;
        if adapter.is_residual() || adapter.time_width().is_some() {
            return Err(Error::unsupported(
                "tokens for a host: this adapter's keys and values are not a projection of tokens alone",
            ));
        }
        let (unconditional, own) = self.context_tokens(identity)?;
        let project = |tokens: &Tensor| -> Result<Tensor> {
            let context = adapter.context(&self.place(tokens)?)?;
            Ok(context.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.contiguous()?)
        };
        Ok((project(&unconditional)?, project(&own)?))
    }

    /// The adapter, read at the first call and kept.
    ///
    /// No lock is held meanwhile: of two threads that need it first at the same time both read it, and one of the two
    /// is kept.
    fn adapter(&self) -> Result<&Adapter> {
        if let Some(adapter) = self.inner.adapter.get() {
            return Ok(adapter);
        }
        let (source, host) = match (&self.inner.adapter_source, &self.inner.host) {
            (Some(source), Some(host)) => (source, host),
            _ => {
                return Err(Error::unsupported(
                    "conditioning: the checkpoint holds no adapter for a host",
                ))
            }
        };
        let (dtype, device) = (self.inner.info.precision.dtype(), &self.inner.device);
        let adapter = source
            .checkpoint
            .build_with_empty_layers(dtype, device, |weights| Adapter::load(&source.layout, host, weights))
            .map_err(|error| error.context("adapter"))?;
        Ok(self.inner.adapter.get_or_init(|| adapter))
    }

    /// Tokens for unconditional rows, or `None` to leave them alone.
    fn unconditional(&self, variant: &Unconditional<'_>, identity: &Identity) -> Result<Option<Tensor>> {
        let kind = self.inner.info.kind;
        let input = self.inner.encoder.input();
        let reads_patches = matches!(
            input,
            EncoderInput::Penultimate | EncoderInput::HiddenStates | EncoderInput::LastHiddenState
        );
        // Levels of an image encoder and its class embedding come from a face, never from a picture of one colour.
        let is_plain = matches!(input, EncoderInput::Penultimate | EncoderInput::ImageEmbeds);
        let synthetic = match variant {
            Unconditional::Default => match self.default_unconditional() {
                Some(synthetic) => synthetic,
                None if self.inner.similarity_space.mean().is_some() => return self.mean_tokens().map(Some),
                None => return self.zero_tokens(identity).map(Some),
            },
            Unconditional::None => return Ok(None),
            Unconditional::ZeroTokens => return self.zero_tokens(identity).map(Some),
            Unconditional::MeanTokens => return self.mean_tokens().map(Some),
            Unconditional::Tokens(tokens) => return self.place(tokens).map(Some),
            Unconditional::ZeroEmbedding if !reads_patches => Synthetic::ZeroEmbedding,
            Unconditional::ZeroFeatures if reads_patches => Synthetic::ZeroFeatures,
            Unconditional::ZeroPixels if is_plain => Synthetic::ZeroPixels,
            Unconditional::BlackImage if is_plain => Synthetic::BlackImage,
            other => {
                let name = match other {
                    Unconditional::ZeroEmbedding => "zero embedding",
                    Unconditional::ZeroPixels => "zero pixels",
                    Unconditional::BlackImage => "black image",
                    _ => "zero features",
                };
                return Err(Error::unsupported(format!(
                    "unconditional {name:?} does not exist for the {} encoder",
                    kind.name()
                )));
            }
        };
        self.synthetic(synthetic, identity).map(Some)
    }

    /// What the reference code of this checkpoint's family does; `None` for Omni-ID, which has no public one.
    fn default_unconditional(&self) -> Option<Synthetic> {
        let flux = self
            .inner
            .host
            .as_ref()
            .is_some_and(|host| host.family() == HostFamily::Flux);
        if self.inner.info.kind == EncoderKind::OmniId {
            return None;
        }
        Some(match self.inner.encoder.input() {
            // XLabs; InstantX projects zeros.
            EncoderInput::ImageEmbeds if flux && self.inner.info.kind == EncoderKind::Projection => {
                Synthetic::BlackImage
            }
            EncoderInput::Penultimate => Synthetic::ZeroPixels,
            EncoderInput::HiddenStates => Synthetic::ZeroFeatures,
            _ => Synthetic::ZeroEmbedding,
        })
    }

    fn zero_tokens(&self, identity: &Identity) -> Result<Tensor> {
        self.place(&Tensor::zeros(
            (identity.token_count(), identity.width()),
            DType::F32,
            &Device::Cpu,
        )?)
    }

    fn mean_tokens(&self) -> Result<Tensor> {
        let mean = self.inner.similarity_space.mean().ok_or_else(|| {
            Error::unsupported("unconditional variant mean tokens: the checkpoint brings no mean identity")
        })?;
        let shape = (self.inner.info.tokens, self.inner.info.token_width);
        self.place(&Tensor::from_slice(mean, shape, &Device::Cpu)?)
    }

    /// Runs a synthetic picture or feature through the model, or takes the result of an earlier run. As for
    /// [`Engine::adapter`], no lock is held meanwhile. A face embedding is zero then.
    ///
    /// The tokens depend on the shortcut scale of the identity; only those for the usual one are kept.
    fn synthetic(&self, which: Synthetic, identity: &Identity) -> Result<Tensor> {
        let settings = self.settings(identity.making())?;
        let together = self.inner.info.kind == EncoderKind::FaceIdPortraitUnnorm;
        let keep = settings == EncodeSettings::default() && !together;
        let kept = keep.then(|| &self.inner.synthetic[which as usize]);
        if let Some(tokens) = kept.and_then(OnceLock::get) {
            return Ok(tokens.clone());
        }
        let encoder = &self.inner.encoder;
        let tokens = match which {
            // Portrait (unnorm) reads the embeddings of all photos together, and its reference as many zero embeddings.
            Synthetic::ZeroEmbedding if together => {
                let embeddings = match identity.making().combine {
                    Combine::Concatenate => identity.provenance().photos.max(1),
                    _ => 1,
                };
                let width = encoder.face().map_or(0, |face| face.dimension);
                let zero = self.place(&Tensor::zeros(width, DType::F32, &Device::Cpu)?)?;
                encoder.encode_with(&vec![Features::of_embedding(zero); embeddings], &settings)?
            }
            Synthetic::ZeroEmbedding | Synthetic::ZeroFeatures => {
                encoder.encode_zeros_with(self.feature_tokens(), &self.inner.device, &settings)?
            }
            Synthetic::ZeroPixels | Synthetic::BlackImage => {
                let mut features = Features::of_image(self.plain_picture(which)?);
                if let Some(face) = encoder.face() {
                    features.embedding = Some(self.place(&Tensor::zeros(face.dimension, DType::F32, &Device::Cpu)?)?);
                    features.form = face.form;
                }
                encoder.encode_with(&[features], &settings)?
            }
        };
        Ok(match kept {
            Some(kept) => kept.get_or_init(|| tokens).clone(),
            None => tokens,
        })
    }

    /// Feature tokens that the image encoder gives for a photo; 0 without one.
    pub(super) fn feature_tokens(&self) -> usize {
        let tokens = self.inner.info.backbone.as_ref().map_or(0, VisionConfig::token_count);
        match self.inner.encoder.input() {
            EncoderInput::HiddenStates => LEVELS * tokens,
            _ => tokens,
        }
    }

    /// The backbone's features of a picture of one colour.
    fn plain_picture(&self, which: Synthetic) -> Result<Tensor> {
        let processor = &self.inner.processor;
        let area = (processor.size as usize).pow(2);
        let level = |channel: usize| match which {
            Synthetic::BlackImage => -processor.mean[channel] / processor.std[channel],
            _ => 0.0,
        };
        let pixels: Vec<f32> = (0..3)
            .flat_map(|channel| std::iter::repeat_n(level(channel), area))
            .collect();
        let size = processor.size as usize;
        let pixels = self.place(&Tensor::from_vec(pixels, (1, 3, size, size), &Device::Cpu)?)?;
        Ok(self.backbone_features(&pixels)?.tokens.squeeze(0)?)
    }
}
