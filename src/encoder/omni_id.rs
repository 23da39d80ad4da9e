//! The native encoder.

use super::block::{FeedForward, EPSILON};
use super::kind::{Description, EncoderInput, GraphInputs, Interface, Network, TokenCount};
use super::omni_id_places::{grid, place_code};
use super::{EncodeSettings, Features, OmniIdConfig};
use crate::error::{Error, Result};
use crate::onnx::{Graph, Value};
use crate::tensor_file::Shapes;
use candle_core::{DType, Tensor};
use omniid_kernels::layers::{attention, attention_weights, Initial, LayerNorm, Linear, Weights};

/// The Omni-ID encoder (arXiv 2412.09694, section "Omni-ID encoder"): learned queries read the image features of
/// all photos of one person at once.
///
/// Each of `depth` blocks is pre-norm: cross-attention of the queries to the features of all photos, concatenated;
/// self-attention among the queries; feed-forward with exact GELU. A last norm and, if the token width differs, a
/// linear layer follow. The result has a fixed size, does not depend on the order of the photos, and its cost is
/// linear in their number. There is no code for the photo's index. `key_position`, if present, is added to the
/// normalised features for the keys only, the same for every photo: a query can look at a place of the face.
#[derive(Debug)]
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

#[derive(Debug)]
struct Block {
    cross_attention: CrossAttention,
    self_attention: SelfAttention,
    feed_forward: FeedForward,
}

#[derive(Debug)]
pub(super) struct CrossAttention {
    norm_queries: LayerNorm,
    norm_features: LayerNorm,
    projections: Projections,
}

#[derive(Debug)]
struct SelfAttention {
    norm: LayerNorm,
    projections: Projections,
}

#[derive(Debug)]
struct Projections {
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
    heads: usize,
}

impl Description for OmniId {
    type Config = OmniIdConfig;

    const TITLE: &'static str = "OmniID checkpoint";

    const FIXED_SIZE: bool = true;

    const HAS_GRAPH: bool = true;

    fn infer(_: &Shapes) -> Result<OmniIdConfig> {
        Err(Error::unsupported(
            "an Omni-ID encoder is described by the metadata of its checkpoint, not by its tensors",
        ))
    }

    fn interface(config: &OmniIdConfig) -> Interface {
        let tokens = TokenCount::PerIdentity(config.queries);
        Interface::of_image(
            EncoderInput::Penultimate,
            config.feature_width,
            tokens,
            config.token_width,
        )
    }

    /// Queries start with standard deviation 1: smaller ones stay one and the same vector in training. With
    /// `key_position`, queries start at places of a regular grid instead: both carry the same code of the place, and
    /// `to_q` and `to_k` of cross-attention start equal on it, so each query first looks around its own place.
    fn build(config: &OmniIdConfig, weights: &Weights) -> Result<Self> {
        config.validate()?;
        let width = config.width;
        // Codes are worked out for a new network only: sizes in a file that is being read may be anything.
        let codes = |codes: &dyn Fn() -> Vec<f32>| match config.key_position && weights.is_list() {
            true => Initial::Values(codes()),
            false => Initial::Normal(1.0),
        };
        let queries = codes(&|| place_code(&grid(config.queries), width, config));
        let queries = weights.parameter("queries", &[config.queries, width], queries)?;
        let key_position = if config.key_position {
            let shape = [config.key_tokens(), config.feature_width];
            Some(weights.parameter("key_position", &shape, codes(&|| key_codes(config)))?)
        } else {
            None
        };
        let blocks = weights.pp("blocks");
        Ok(Self {
            queries,
            key_position,
            blocks: (0..config.depth)
                .map(|i| Block::build(config, i, &blocks.pp(i).block()))
                .collect::<Result<_>>()?,
            norm_out: weights.layer_norm("norm_out", width, EPSILON)?,
            proj_out: match config.has_projection() {
                true => Some(weights.linear("proj_out", width, config.token_width, true)?),
                false => None,
            },
            token_mean: weights.optional("token_mean", &[config.queries, config.token_width])?,
            dtype: weights.activation_dtype(),
            config: config.clone(),
        })
    }

    fn config(&self) -> &OmniIdConfig {
        &self.config
    }
}

impl Network for OmniId {
    fn encode_photo(&self, photo: &Features, _: &EncodeSettings) -> Result<Tensor> {
        self.forward(std::slice::from_ref(photo.image()?))
    }

    fn encode(&self, photos: &[Features], _: &EncodeSettings) -> Result<Tensor> {
        let images = photos.iter().map(|photo| photo.image().cloned());
        self.forward(&images.collect::<Result<Vec<_>>>()?)
    }

    fn graph(&self, graph: &mut Graph, inputs: &GraphInputs) -> Result<Value> {
        let features = match self.config.include_class_token {
            true => inputs.image()?.clone(),
            false => graph.slice(inputs.image()?, 1, 1, None),
        };
        let position = self.key_position.as_ref().map(|position| graph.parameter(position));
        let position = position.transpose()?;
        let queries = graph.parameter(&self.queries)?;
        let mut x = graph.reshape(&queries, &[1, -1, self.config.width as i64]);
        for block in &self.blocks {
            x = block.cross_attention.graph(graph, &x, &features, position.as_ref())?;
            x = block.self_attention.graph(graph, &x)?;
            x = block.feed_forward.graph(graph, &x)?;
        }
        let x = graph.layer_norm(&self.norm_out, &x)?;
        let x = match &self.proj_out {
            Some(proj_out) => graph.linear(proj_out, &x)?,
            None => x,
        };
        Ok(graph.reshape(&x, &[-1, self.config.token_width as i64]))
    }

    fn token_mean(&self) -> Option<&Tensor> {
        self.token_mean.as_ref()
    }
}

/// Codes of the places of all key tokens. The class token has no place.
fn key_codes(config: &OmniIdConfig) -> Vec<f32> {
    let mut codes = vec![0.0; config.feature_width * usize::from(config.include_class_token)];
    codes.extend(place_code(
        &grid(config.feature_tokens - 1),
        config.feature_width,
        config,
    ));
    codes
}

impl OmniId {
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
                photo.detach().flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?,
                photo.clone(),
            ))
        })
        .collect::<Result<Vec<_>>>()?;
    keyed.sort_by(|(a, _), (b, _)| {
        let differing = a.iter().zip(b).map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne());
        differing.unwrap_or(std::cmp::Ordering::Equal)
    });
    Ok(keyed.into_iter().map(|(_, photo)| photo).collect())
}

impl Block {
    fn build(config: &OmniIdConfig, i: usize, weights: &Weights) -> Result<Self> {
        let (width, features) = (config.width, config.feature_width);
        let (cross, own) = (weights.pp("cross_attention"), weights.pp("self_attention"));
        // Queries and keys of one stream agree in the columns of the place code.
        let place = |input: usize| match (Initial::fan_in(input), config.key_position) {
            (Initial::TruncatedNormal(std), true) => Initial::Columns {
                stream: format!("blocks.{i}.cross_attention.place"),
                std,
            },
            (initial, _) => initial,
        };
        Ok(Self {
            cross_attention: CrossAttention {
                norm_queries: cross.layer_norm("norm_queries", width, EPSILON)?,
                norm_features: cross.layer_norm("norm_features", features, EPSILON)?,
                projections: Projections::build(config, features, place, &cross)?,
            },
            self_attention: SelfAttention {
                norm: own.layer_norm("norm", width, EPSILON)?,
                projections: Projections::build(config, width, Initial::fan_in, &own)?,
            },
            feed_forward: FeedForward::build(
                width,
                config.feed_forward_multiplier * width,
                ["norm", "up", "down"],
                &weights.pp("feed_forward"),
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

    /// [`CrossAttention::forward`] of one person in a graph; `features` are `[photos, keys of one photo, feature width]`
    /// and `position` is of one photo.
    fn graph(&self, graph: &mut Graph, x: &Value, features: &Value, position: Option<&Value>) -> Result<Value> {
        let values = graph.layer_norm(&self.norm_features, features)?;
        let keys = match position {
            Some(position) => graph.add(&values, position),
            None => values.clone(),
        };
        // One sequence of all photos.
        let shape = [1, -1, self.norm_features.width() as i64];
        let (keys, values) = (graph.reshape(&keys, &shape), graph.reshape(&values, &shape));
        let queries = graph.layer_norm(&self.norm_queries, x)?;
        self.projections.graph(graph, x, &queries, &keys, &values)
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
        let (normal, own) = (self.norm.forward(x)?, &self.projections);
        let [q, k, v] = Linear::forward_all([&own.to_q, &own.to_k, &own.to_v], &normal)?;
        own.to_out.forward_add(&attention(&q, &k, &v, own.heads)?, x)
    }

    /// [`SelfAttention::forward`] in a graph.
    fn graph(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let normal = graph.layer_norm(&self.norm, x)?;
        self.projections.graph(graph, x, &normal, &normal, &normal)
    }
}

impl Projections {
    /// `start` gives the initialisation of `to_q` and `to_k` for their input widths.
    fn build(
        config: &OmniIdConfig,
        key_width: usize,
        start: impl Fn(usize) -> Initial,
        weights: &Weights,
    ) -> Result<Self> {
        let (width, inner) = (config.width, config.inner_width());
        let from = |name: &str, input| weights.linear_from(name, &[inner, input], false, start(input));
        Ok(Self {
            to_q: from("to_q", width)?,
            to_k: from("to_k", key_width)?,
            to_v: weights.linear("to_v", key_width, inner, false)?,
            to_out: weights.linear("to_out", inner, width, false)?,
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

    /// [`Projections::add_to`] in a graph.
    fn graph(&self, graph: &mut Graph, x: &Value, queries: &Value, keys: &Value, values: &Value) -> Result<Value> {
        let q = graph.linear(&self.to_q, queries)?;
        let k = graph.linear(&self.to_k, keys)?;
        let v = graph.linear(&self.to_v, values)?;
        let mixed = graph.attention(&q, &k, &v, self.heads, self.to_q.output_width());
        graph.linear_add(&self.to_out, &mixed, x)
    }
}
