//! Identities as the image embeddings that diffusers and ComfyUI take instead of photos.
//!
//! Both hosts project such embeddings with the adapter's `image_proj`, so they must be what that part reads: the
//! tokens of an Omni-ID identity, whose adapter is a full-face one (see [`to_full_face`](super::to_full_face)).
//! Identities of other encoders have that projection behind them already and are refused.

use crate::checkpoint;
use crate::encoder::EncoderKind;
use crate::engine::{EngineOptions, Parts};
use crate::error::{Error, Result};
use crate::identity::{Identity, Provenance};
use crate::precision::Precision;
use crate::tensor_file::{torch_to_bytes, DenseTensor, TorchObject};
use candle_core::{DType, Device, Tensor};
use std::path::Path;

/// Metadata key that marks a safetensors file as embeddings.
pub const EMBEDDINGS_KEY: &str = "omniid.embeddings";

/// Version of the safetensors form.
const VERSION: &str = "1";

/// The average identity of a native model, which its engine shows to the unconditional side by itself: a
/// [`Negative::Identity`] for the model's own identities.
///
/// # Errors
/// [`Unsupported`](crate::ErrorKind::Unsupported) for a checkpoint that brings none; as
/// [`Engine::open`](crate::engine::Engine::open) for files that cannot be read.
pub fn mean_identity(source: &EngineOptions) -> Result<Identity> {
    const NAME: &str = "token_mean";
    let parts = Parts::find(source)?;
    let shape = match parts.encoder.shape(NAME) {
        Some(&[tokens, width]) if parts.encoder_config.kind() == EncoderKind::OmniId => [tokens, width],
        _ => return Err(Error::unsupported("the checkpoint brings no mean identity")),
    };
    let tensor = parts.encoder.tensor(NAME, DType::F32, &Device::Cpu)?;
    let values = tensor.flatten_all()?.to_vec1::<f32>()?;
    let provenance = Provenance {
        model: parts.fingerprint,
        photos: 1,
        label: "mean".to_string(),
        ..Provenance::default()
    };
    Identity::new(EncoderKind::OmniId, shape, values, Vec::new(), provenance)
}

/// What the unconditional side of classifier-free guidance sees.
#[derive(Debug, Clone, Copy)]
pub enum Negative<'a> {
    /// Tokens that are zero, before the adapter's projection. What the engine itself shows when the model brings no
    /// mean identity.
    ZeroTokens,
    /// Another identity of the same model: a negative example. It stands against each of the identities.
    Identity(&'a Identity),
}

/// Precomputed image embeddings, `[identities, tokens, width]`, for both sides of guidance.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    identities: usize,
    tokens: usize,
    width: usize,
    positive: Vec<f32>,
    negative: Vec<f32>,
    model: String,
}

impl Embeddings {
    /// Puts identities of one model side by side. Both hosts concatenate their tokens into one sequence.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for no identity,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for identities that are not Omni-ID's,
    /// [`Mismatch`](crate::ErrorKind::Mismatch) for identities of different models or shapes.
    pub fn new(identities: &[&Identity], negative: Negative<'_>) -> Result<Self> {
        let Some(first) = identities.first() else {
            return Err(Error::invalid("embeddings: 0 identities given, expected at least 1"));
        };
        let shape = [first.token_count(), first.width()];
        let check = |identity: &Identity| {
            if identity.kind() != EncoderKind::OmniId {
                return Err(Error::unsupported(format!(
                    "embeddings of {}: its encoder is {:?}, whose tokens are context tokens already; \
                     diffusers and ComfyUI would project them a second time. Only Omni-ID identities can be handed \
                     over as embeddings",
                    identity.title(),
                    identity.kind().name()
                )));
            }
            identity.check_model(&first.provenance().model)?;
            let found = [identity.token_count(), identity.width()];
            if found != shape {
                return Err(Error::mismatch(format!(
                    "embeddings: {} has tokens {found:?}, the first one has {shape:?}",
                    identity.title()
                )));
            }
            Ok(())
        };
        let mut positive = Vec::with_capacity(identities.len() * first.values().len());
        for identity in identities {
            check(identity)?;
            positive.extend_from_slice(identity.values());
        }
        let negative = match negative {
            Negative::ZeroTokens => vec![0.0; positive.len()],
            Negative::Identity(other) => {
                check(other).map_err(|error| error.context("negative"))?;
                other.values().repeat(identities.len())
            }
        };
        let [tokens, width] = shape;
        let model = first.provenance().model.clone();
        Ok(Self {
            identities: identities.len(),
            tokens,
            width,
            positive,
            negative,
            model,
        })
    }

    /// For `ip_adapter_image_embeds` of diffusers: `[2, identities, tokens, width]` with the negative side first, or
    /// `[1, identities, tokens, width]` for pipelines that run without guidance.
    pub fn diffusers(&self, guidance: bool) -> DenseTensor {
        let sides = if guidance { 2 } else { 1 };
        let mut values = if guidance { self.negative.clone() } else { Vec::new() };
        values.extend_from_slice(&self.positive);
        DenseTensor {
            shape: vec![sides, self.identities, self.tokens, self.width],
            values,
        }
    }

    /// For ComfyUI's "IPAdapter Embeds" node, `[identities, tokens, width]` each: `pos_embed` and `neg_embed`. Both
    /// are needed: without the second the node encodes a black picture to another number of tokens.
    pub fn comfyui(&self) -> [DenseTensor; 2] {
        [&self.positive, &self.negative].map(|values| DenseTensor {
            shape: vec![self.identities, self.tokens, self.width],
            values: values.clone(),
        })
    }

    /// Writes [`Embeddings::diffusers`] as a safetensors file: tensor `image_embeds`, the model's fingerprint in the
    /// metadata. In Python: `ip_adapter_image_embeds=[load_file(path)["image_embeds"]]`.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) naming the path.
    pub fn save_diffusers(&self, path: impl AsRef<Path>, guidance: bool, precision: Precision) -> Result<()> {
        let DenseTensor { shape, values } = self.diffusers(guidance);
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(precision.dtype())?;
        let metadata = [
            (EMBEDDINGS_KEY.to_string(), VERSION.to_string()),
            ("omniid.model".to_string(), self.model.clone()),
            // Loaders of transformers and diffusers ask which framework's layout it is.
            ("format".to_string(), "pt".to_string()),
        ];
        checkpoint::write_safetensors(path.as_ref(), &[("image_embeds".to_string(), tensor)], &metadata.into())
    }

    /// Writes [`Embeddings::diffusers`] the way `torch.save` writes the list that pipelines take: in Python
    /// `ip_adapter_image_embeds=torch.load(path)`.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) naming the path.
    pub fn save_diffusers_torch(&self, path: impl AsRef<Path>, guidance: bool, precision: Precision) -> Result<()> {
        save(
            path.as_ref(),
            &torch_to_bytes(&[self.diffusers(guidance)], TorchObject::List, precision)?,
        )
    }

    /// Writes [`Embeddings::comfyui`] as two `.ipadpt` files, for two "IPAdapter Load Embeds" nodes.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) naming the path. The first file may have been written then.
    pub fn save_comfyui(
        &self,
        positive: impl AsRef<Path>,
        negative: impl AsRef<Path>,
        precision: Precision,
    ) -> Result<()> {
        let [first, second] = self.comfyui();
        save(
            positive.as_ref(),
            &torch_to_bytes(&[first], TorchObject::Tensor, precision)?,
        )?;
        save(
            negative.as_ref(),
            &torch_to_bytes(&[second], TorchObject::Tensor, precision)?,
        )
    }
}

fn save(path: &Path, bytes: &[u8]) -> Result<()> {
    checkpoint::save_atomically(path, |out| {
        out.write_all(bytes)
            .map_err(|error| Error::new(crate::ErrorKind::Io, error.to_string()).with_source(error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, Limits};

    fn identity(kind: EncoderKind, model: &str, values: &[f32]) -> Identity {
        let provenance = Provenance {
            model: model.into(),
            photos: 1,
            ..Provenance::default()
        };
        Identity::new(kind, [2, 2], values.to_vec(), Vec::new(), provenance).unwrap()
    }

    #[test]
    fn negative_comes_first_for_diffusers() {
        let a = identity(EncoderKind::OmniId, "m", &[1., 2., 3., 4.]);
        let b = identity(EncoderKind::OmniId, "m", &[5., 6., 7., 8.]);
        let both = Embeddings::new(&[&a, &b], Negative::ZeroTokens).unwrap();
        let tensor = both.diffusers(true);
        assert_eq!(tensor.shape, [2, 2, 2, 2]);
        assert_eq!(tensor.values[..8], [0.0; 8]);
        assert_eq!(tensor.values[8..], [1., 2., 3., 4., 5., 6., 7., 8.]);
        let one = Embeddings::new(&[&a], Negative::Identity(&b)).unwrap();
        assert_eq!(one.diffusers(true).values, [5., 6., 7., 8., 1., 2., 3., 4.]);
        assert_eq!(one.diffusers(false).shape, [1, 1, 2, 2]);
        assert_eq!(one.diffusers(false).values, [1., 2., 3., 4.]);
        let [positive, negative] = one.comfyui();
        assert_eq!(
            (&positive.shape[..], &positive.values[..]),
            (&[1, 2, 2][..], &[1., 2., 3., 4.][..])
        );
        assert_eq!(
            (&negative.shape[..], &negative.values[..]),
            (&[1, 2, 2][..], &[5., 6., 7., 8.][..])
        );
    }

    #[test]
    fn what_the_hosts_cannot_use_is_refused() {
        let a = identity(EncoderKind::OmniId, "m", &[1., 2., 3., 4.]);
        let other = identity(EncoderKind::OmniId, "n", &[1., 2., 3., 4.]);
        let plus = identity(EncoderKind::Resampler, "m", &[1., 2., 3., 4.]);
        let kind = |result: Result<Embeddings>| result.unwrap_err().kind();
        assert_eq!(
            kind(Embeddings::new(&[], Negative::ZeroTokens)),
            ErrorKind::InvalidArgument
        );
        assert_eq!(
            kind(Embeddings::new(&[&a, &other], Negative::ZeroTokens)),
            ErrorKind::Mismatch
        );
        assert_eq!(
            kind(Embeddings::new(&[&a], Negative::Identity(&other))),
            ErrorKind::Mismatch
        );
        assert_eq!(
            kind(Embeddings::new(&[&plus], Negative::ZeroTokens)),
            ErrorKind::Unsupported
        );
    }

    #[test]
    fn the_safetensors_form_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let a = identity(EncoderKind::OmniId, "m", &[1., 2., 3., 4.]);
        Embeddings::new(&[&a], Negative::ZeroTokens)
            .unwrap()
            .save_diffusers(&path, true, Precision::F16)
            .unwrap();
        let file = checkpoint::Checkpoint::open(&path, &Limits::default()).unwrap();
        assert_eq!(file.metadata()["omniid.model"], "m");
        let tensor = file
            .tensor("image_embeds", candle_core::DType::F32, &Device::Cpu)
            .unwrap();
        assert_eq!(tensor.dims(), [2, 1, 2, 2]);
        assert_eq!(
            tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
            [0., 0., 0., 0., 1., 2., 3., 4.]
        );
    }
}
