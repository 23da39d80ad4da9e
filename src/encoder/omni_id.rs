//! The native encoder.

use super::block::FeedForward;
use super::OmniIdConfig;
use crate::error::{Error, Result};
use candle_core::{DType, Tensor};
use candle_nn::{Init, VarBuilder};
use omniid_kernels::layers::{
    activation_dtype, attention, attention_weights, load_parameter, LayerNorm, Linear,
};

/// The Omni-ID encoder (arXiv 2412.09694, section "Omni-ID encoder"): learned queries read the image features of
/// all photos of one person at once.
///
/// Each of `depth` blocks is pre-norm: cross-attention of the queries to the features of all photos, concatenated;
/// self-attention among the queries; feed-forward with exact GELU. A last norm and, if the token width differs, a
/// linear layer follow. The result has a fixed size, does not depend on the order of the photos, and its cost is
/// linear in their number. There is no code for the photo's index. `key_position`, if present, is added to the
/// normalised features for the keys only, the same for every photo: a query can look at a place of the face.
///
/// | key | shape | |
/// |---|---|---|
/// | `queries` | [queries, width] | |
/// | `key_position` | [key tokens, feature width] | if configured |
/// | `blocks.{i}.cross_attention.norm_queries.{weight,bias}` | \[width\] | |
/// | `blocks.{i}.cross_attention.norm_features.{weight,bias}` | [feature width] | |
/// | `blocks.{i}.cross_attention.to_q.weight` | [heads · head width, width] | |
/// | `blocks.{i}.cross_attention.{to_k,to_v}.weight` | [heads · head width, feature width] | |
/// | `blocks.{i}.cross_attention.to_out.weight` | [width, heads · head width] | |
/// | `blocks.{i}.self_attention.norm.{weight,bias}` | \[width\] | |
/// | `blocks.{i}.self_attention.{to_q,to_k,to_v}.weight` | [heads · head width, width] | |
/// | `blocks.{i}.self_attention.to_out.weight` | [width, heads · head width] | |
/// | `blocks.{i}.feed_forward.norm.{weight,bias}` | \[width\] | |
/// | `blocks.{i}.feed_forward.up.weight` | [multiplier · width, width] | |
/// | `blocks.{i}.feed_forward.down.weight` | [width, multiplier · width] | |
/// | `norm_out.{weight,bias}` | \[width\] | |
/// | `proj_out.{weight,bias}` | [token width, width], [token width] | if token width ≠ width |
/// | `token_mean` | [queries, token width] | optional: mean identity of the training data |
///
/// Key tokens are the feature tokens of one photo, without the class token if it is not included.
pub struct OmniId {
    config: OmniIdConfig,
    queries: Tensor,
    key_position: Option<Tensor>,
    blocks: Vec<Block>,
    norm_out: LayerNorm,
    proj_out: Option<Linear>,
    token_mean: Option<Tensor>,
    dtype: DType,
}

struct Block {
    cross_attention: CrossAttention,
    self_attention: SelfAttention,
    feed_forward: FeedForward,
}

pub(super) struct CrossAttention {
    norm_queries: LayerNorm,
    norm_features: LayerNorm,
    projections: Projections,
}

struct SelfAttention {
    norm: LayerNorm,
    projections: Projections,
}

struct Projections {
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
    heads: usize,
}

impl OmniId {
    /// Reads the encoder under the prefix of `vb`. Variables (`candle_nn::VarMap`) stay differentiable.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) when sizes are impossible, or a tensor is missing or has
    /// another shape.
    pub fn load(config: &OmniIdConfig, vb: VarBuilder) -> Result<Self> {
        config.validate()?;
        let width = config.width;
        let init = Init::Randn {
            mean: 0.0,
            stdev: 1.0,
        };
        let key_position = if config.key_position {
            Some(load_parameter(
                &vb,
                &[config.key_tokens(), config.feature_width],
                "key_position",
                init,
            )?)
        } else {
            None
        };
        let proj_out = if config.has_projection() {
            Some(Linear::load(width, config.token_width, true, vb.pp("proj_out"))?)
        } else {
            None
        };
        let token_mean = if vb.contains_tensor("token_mean") {
            let shape = [config.queries, config.token_width];
            Some(load_parameter(&vb, &shape, "token_mean", Init::Const(0.0))?)
        } else {
            None
        };
        Ok(Self {
            queries: load_parameter(&vb, &[config.queries, width], "queries", init)?,
            key_position,
            blocks: (0..config.depth)
                .map(|i| Block::load(config, vb.pp(format!("blocks.{i}"))))
                .collect::<Result<_>>()?,
            norm_out: LayerNorm::load(width, 1e-5, vb.pp("norm_out"))?,
            proj_out,
            token_mean,
            dtype: activation_dtype(vb.device(), vb.dtype()),
            config: config.clone(),
        })
    }

    /// The sizes.
    pub fn config(&self) -> &OmniIdConfig {
        &self.config
    }

    /// Mean tokens `[queries, token width]` of the training data, if the checkpoint holds them: subtracted before
    /// two identities are compared, and used as "no identity".
    pub fn token_mean(&self) -> Option<&Tensor> {
        self.token_mean.as_ref()
    }

    /// Identity tokens `[queries, token width]` from one person's photos, each `[feature tokens, feature width]`
    /// with the class token first.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for no photos;
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when features have another shape.
    pub fn forward(&self, photos: &[Tensor]) -> Result<Tensor> {
        if photos.is_empty() {
            return Err(Error::invalid(
                "an identity needs the features of at least one photo, got none",
            ));
        }
        if let Some(other) = photos.iter().find(|photo| photo.dims() != photos[0].dims()) {
            return Err(Error::mismatch(format!(
                "features of one photo have shape {:?}, of another {:?}; they must come from one image encoder",
                photos[0].dims(),
                other.dims()
            )));
        }
        let features = Tensor::stack(&sorted(photos)?, 0)?.unsqueeze(0)?;
        Ok(self.forward_batch(&features)?.squeeze(0)?)
    }

    /// Identity tokens `[persons, queries, token width]` of several persons with equally many photos each:
    /// `[persons, photos, feature tokens, feature width]`.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when features have another shape.
    pub fn forward_batch(&self, features: &Tensor) -> Result<Tensor> {
        self.forward_watched(features, |_, _, _, _| Ok(()))
    }

    /// [`OmniId::forward_batch`], showing `watch` each cross-attention with its queries, features and key positions.
    pub(super) fn forward_watched(
        &self,
        features: &Tensor,
        mut watch: impl FnMut(&CrossAttention, &Tensor, &Tensor, Option<&Tensor>) -> Result<()>,
    ) -> Result<Tensor> {
        let config = &self.config;
        let (persons, photos, tokens) = match *features.dims() {
            [persons, photos, tokens, width]
                if persons > 0
                    && photos > 0
                    && width == config.feature_width
                    && (tokens == config.feature_tokens || (self.key_position.is_none() && tokens > 1)) =>
            {
                (persons, photos, tokens)
            }
            _ => {
                return Err(Error::mismatch(format!(
                    "the Omni-ID encoder takes features of shape [{}, {}] for each of one or more photos, got {:?} \
                     for [persons, photos, tokens, width]",
                    config.feature_tokens,
                    config.feature_width,
                    features.dims()
                )))
            }
        };
        let skip = usize::from(!config.include_class_token);
        let keys = tokens - skip;
        let z = features.to_dtype(self.dtype)?.narrow(2, skip, keys)?.reshape((
            persons,
            photos * keys,
            config.feature_width,
        ))?;
        let position = match &self.key_position {
            Some(position) => Some(position.repeat((photos, 1))?),
            None => None,
        };
        let mut x = self.queries.unsqueeze(0)?.repeat((persons, 1, 1))?;
        for block in &self.blocks {
            watch(&block.cross_attention, &x, &z, position.as_ref())?;
            x = block.cross_attention.forward(&x, &z, position.as_ref())?;
            x = block.self_attention.forward(&x)?;
            x = block.feed_forward.forward(&x)?;
        }
        let x = self.norm_out.forward(&x)?;
        match &self.proj_out {
            Some(proj_out) => proj_out.forward(&x),
            None => Ok(x),
        }
    }
}

/// The photos in an order that depends on their features alone.
///
/// Sums in floating point depend on the order of their terms in the last bits, and 16-bit products amplify that.
/// Sorting makes the identity the same to the last bit for every order of the same photos.
fn sorted(photos: &[Tensor]) -> Result<Vec<Tensor>> {
    let mut keyed = photos
        .iter()
        .map(|photo| {
            Ok((
                photo
                    .detach()
                    .flatten_all()?
                    .to_dtype(DType::F32)?
                    .to_vec1::<f32>()?,
                photo.clone(),
            ))
        })
        .collect::<Result<Vec<_>>>()?;
    keyed.sort_by(|(a, _), (b, _)| {
        let differing = a
            .iter()
            .zip(b)
            .map(|(a, b)| a.total_cmp(b))
            .find(|order| order.is_ne());
        differing.unwrap_or(std::cmp::Ordering::Equal)
    });
    Ok(keyed.into_iter().map(|(_, photo)| photo).collect())
}

impl Block {
    fn load(config: &OmniIdConfig, vb: VarBuilder) -> Result<Self> {
        let width = config.width;
        let cross = vb.pp("cross_attention");
        let own = vb.pp("self_attention");
        Ok(Self {
            cross_attention: CrossAttention {
                norm_queries: LayerNorm::load(width, 1e-5, cross.pp("norm_queries"))?,
                norm_features: LayerNorm::load(config.feature_width, 1e-5, cross.pp("norm_features"))?,
                projections: Projections::load(config, config.feature_width, cross)?,
            },
            self_attention: SelfAttention {
                norm: LayerNorm::load(width, 1e-5, own.pp("norm"))?,
                projections: Projections::load(config, width, own)?,
            },
            feed_forward: FeedForward::load(
                width,
                config.feed_forward_multiplier * width,
                ["norm", "up", "down"],
                vb.pp("feed_forward"),
            )?,
        })
    }
}

impl CrossAttention {
    /// `x` `[persons, queries, width]`, `z` `[persons, keys, feature width]`, `position` `[keys, feature width]`.
    fn forward(&self, x: &Tensor, z: &Tensor, position: Option<&Tensor>) -> Result<Tensor> {
        let (keys, values) = self.keys_and_values(z, position)?;
        self.projections
            .add_to(x, &self.norm_queries.forward(x)?, &keys, &values)
    }

    /// What the projections to keys and to values read.
    fn keys_and_values(&self, z: &Tensor, position: Option<&Tensor>) -> Result<(Tensor, Tensor)> {
        let values = self.norm_features.forward(z)?;
        let keys = match position {
            Some(position) => values.broadcast_add(position)?,
            None => values.clone(),
        };
        Ok((keys, values))
    }

    /// The share of its attention that each query gives to each key, the mean over heads:
    /// `[persons, queries, keys]`, each row with sum 1. Shapes of the arguments as in [`CrossAttention::forward`].
    pub(super) fn weights(&self, x: &Tensor, z: &Tensor, position: Option<&Tensor>) -> Result<Tensor> {
        let (keys, _) = self.keys_and_values(z, position)?;
        let q = self.projections.to_q.forward(&self.norm_queries.forward(x)?)?;
        let k = self.projections.to_k.forward(&keys)?;
        attention_weights(&q, &k, self.projections.heads)
    }
}

impl SelfAttention {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let normal = self.norm.forward(x)?;
        self.projections.add_to(x, &normal, &normal, &normal)
    }
}

impl Projections {
    fn load(config: &OmniIdConfig, key_width: usize, vb: VarBuilder) -> Result<Self> {
        let inner = config.inner_width();
        Ok(Self {
            to_q: Linear::load(config.width, inner, false, vb.pp("to_q"))?,
            to_k: Linear::load(key_width, inner, false, vb.pp("to_k"))?,
            to_v: Linear::load(key_width, inner, false, vb.pp("to_v"))?,
            to_out: Linear::load(inner, config.width, false, vb.pp("to_out"))?,
            heads: config.heads,
        })
    }

    /// `x` plus the attention of `queries` to `keys` and `values`.
    fn add_to(&self, x: &Tensor, queries: &Tensor, keys: &Tensor, values: &Tensor) -> Result<Tensor> {
        let (q, k, v) = (
            self.to_q.forward(queries)?,
            self.to_k.forward(keys)?,
            self.to_v.forward(values)?,
        );
        self.to_out.forward_add(&attention(&q, &k, &v, self.heads)?, x)
    }
}
