//! The Masked Transformer Decoder.

use crate::batch::condition_length;
use crate::config::{MaskedConfig, ModelConfig};
use crate::model::{is_matrix, under};
use crate::optimisation::ParameterSpec;
use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};
use omniid::Result;
use omniid_kernels::layers::{attention, load_parameter, Activation, Initial, LayerNorm, Linear, TensorSpec};

const EPSILON: f64 = 1e-5;

/// Rebuilds hidden patches of a target from the person's identity tokens, few visible patches and the condition.
///
/// A hidden patch is a query: one learned vector plus the code of its place. Blocks of cross-attention and
/// feed-forward follow, without attention among hidden patches (CrossMAE, Fu et al. 2024), so any subset of them can
/// be decoded. Keys and values are the identity tokens, the visible patches and one condition token, each kind with a
/// vector of its own added. Identity tokens are projected once per person and serve all of the person's targets.
pub struct MaskedDecoder {
    token_projection: Linear,
    token_kind: Tensor,
    patch_projection: Linear,
    patch_kind: Tensor,
    condition: Option<ConditionToken>,
    hidden_patch: Tensor,
    blocks: Vec<Block>,
    norm_out: LayerNorm,
    out: Linear,
    width: usize,
}

/// Two linear layers from the numbers of a view to one token.
struct ConditionToken {
    up: Linear,
    down: Linear,
    kind: Tensor,
}

struct Block {
    norm_queries: LayerNorm,
    norm_context: LayerNorm,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
    heads: usize,
    norm_inner: LayerNorm,
    up: Linear,
    down: Linear,
}

/// What the decoder is given about the targets of a step, in tensors. `all` is people · targets.
pub struct Targets {
    /// Visible patches `[all, visible, 3 · patch²]`; none when nothing is visible.
    pub visible: Option<Tensor>,
    /// Codes of their places `[all, visible, width]`.
    pub visible_places: Option<Tensor>,
    /// Codes of the places to decode `[all, decoded, width]`.
    pub places: Tensor,
    /// Conditions `[all, condition length]`.
    pub condition: Option<Tensor>,
}

impl MaskedDecoder {
    /// Loads the decoder under the prefix of `vb`.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](omniid::ErrorKind::Format) when a tensor is missing or has another shape.
    pub fn load(config: &MaskedConfig, model: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        let width = config.width;
        let pixels = 3 * model.patch_size * model.patch_size;
        let vector = |name: &str| load_parameter(&vb, &[width], name, Init::Const(0.0));
        let length = condition_length(config.condition);
        let condition = if length > 0 {
            Some(ConditionToken {
                up: Linear::load(length, width, true, vb.pp("condition.up"))?.with_activation(Activation::Silu),
                down: Linear::load(width, width, true, vb.pp("condition.down"))?,
                kind: vector("condition_kind")?,
            })
        } else {
            None
        };
        Ok(Self {
            token_projection: Linear::load(model.token_width, width, true, vb.pp("token_projection"))?,
            token_kind: vector("token_kind")?,
            patch_projection: Linear::load(pixels, width, true, vb.pp("patch_projection"))?,
            patch_kind: vector("patch_kind")?,
            condition,
            hidden_patch: vector("hidden_patch")?,
            blocks: (0..config.depth)
                .map(|i| Block::load(config, vb.pp(format!("blocks.{i}"))))
                .collect::<Result<_>>()?,
            norm_out: LayerNorm::load(width, EPSILON, vb.pp("norm_out"))?,
            out: Linear::load(width, pixels, true, vb.pp("out"))?,
            width,
        })
    }

    /// Decoded patches `[people · targets, decoded, 3 · patch²]` (−1…1) from tokens `[people, kept, token width]`,
    /// which may be any subset of a person's tokens.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](omniid::ErrorKind::Mismatch) when shapes do not fit.
    pub fn forward(&self, tokens: &Tensor, targets: &Targets) -> Result<Tensor> {
        let people = tokens.dim(0)?;
        let (all, decoded, _) = targets.places.dims3()?;
        let each = all / people.max(1);
        let identity = self.token_projection.forward(tokens)?.broadcast_add(&self.token_kind)?;
        let mut local = Vec::new();
        if let (Some(visible), Some(places)) = (&targets.visible, &targets.visible_places) {
            let patches = self.patch_projection.forward(visible)?;
            local.push((patches + places)?.broadcast_add(&self.patch_kind)?);
        }
        if let (Some(condition), Some(token)) = (&targets.condition, &self.condition) {
            let token_values = token.down.forward(&token.up.forward(condition)?)?;
            let token_values = token_values.broadcast_add(&token.kind)?;
            local.push(token_values.reshape((all, 1, self.width))?);
        }
        let local = match local.len() {
            0 => None,
            1 => local.pop(),
            _ => Some(Tensor::cat(&local, 1)?),
        };
        let mut x = targets.places.broadcast_add(&self.hidden_patch)?;
        for block in &self.blocks {
            x = block.forward(&x, &identity, local.as_ref(), each)?;
        }
        let x = self.norm_out.forward(&x)?;
        debug_assert_eq!(x.dims(), [all, decoded, self.width]);
        self.out.forward(&x)
    }
}

impl Block {
    fn load(config: &MaskedConfig, vb: VarBuilder) -> Result<Self> {
        let width = config.width;
        let square = |name: &str| Linear::load(width, width, false, vb.pp(name));
        Ok(Self {
            norm_queries: LayerNorm::load(width, EPSILON, vb.pp("norm_queries"))?,
            norm_context: LayerNorm::load(width, EPSILON, vb.pp("norm_context"))?,
            to_q: square("to_q")?,
            to_k: square("to_k")?,
            to_v: square("to_v")?,
            to_out: square("to_out")?,
            heads: config.heads,
            norm_inner: LayerNorm::load(width, EPSILON, vb.pp("norm_inner"))?,
            up: Linear::load(width, 4 * width, true, vb.pp("up"))?.with_activation(Activation::Gelu),
            down: Linear::load(4 * width, width, true, vb.pp("down"))?,
        })
    }

    /// `x` `[people · each, decoded, width]`, `identity` `[people, tokens, width]`, `local`
    /// `[people · each, local tokens, width]`.
    fn forward(&self, x: &Tensor, identity: &Tensor, local: Option<&Tensor>, each: usize) -> Result<Tensor> {
        let (people, tokens, width) = identity.dims3()?;
        let identity = self.norm_context.forward(identity)?;
        let local = local.map(|local| self.norm_context.forward(local)).transpose()?;
        let project = |layer: &Linear| -> Result<Tensor> {
            let shared = layer
                .forward(&identity)?
                .unsqueeze(1)?
                .broadcast_as((people, each, tokens, width))?
                .reshape((people * each, tokens, width))?;
            Ok(match &local {
                Some(local) => Tensor::cat(&[&shared, &layer.forward(local)?], 1)?,
                None => shared,
            })
        };
        let query = self.to_q.forward(&self.norm_queries.forward(x)?)?;
        let read = attention(&query, &project(&self.to_k)?, &project(&self.to_v)?, self.heads)?;
        let x = self.to_out.forward_add(&read, x)?;
        let inner = self.up.forward(&self.norm_inner.forward(&x)?)?;
        self.down.forward_add(&inner, &x)
    }
}

/// Every tensor of a [`MaskedDecoder`] under `decoder.`, in group `group`.
pub fn decoder_parameters(config: &MaskedConfig, model: &ModelConfig, group: usize) -> Vec<ParameterSpec> {
    let width = config.width;
    let pixels = 3 * model.patch_size * model.patch_size;
    let mut specs = Vec::new();
    let affine = |specs: &mut Vec<TensorSpec>, name: &str, output: usize, input: usize| {
        specs.push(TensorSpec::linear(format!("{name}.weight"), output, input));
        specs.push(TensorSpec::new(
            format!("{name}.bias"),
            &[output],
            Initial::Constant(0.0),
        ));
    };
    let norm = |specs: &mut Vec<TensorSpec>, name: &str| {
        for (tail, value) in [("weight", 1.0), ("bias", 0.0)] {
            specs.push(TensorSpec::new(
                format!("{name}.{tail}"),
                &[width],
                Initial::Constant(value),
            ));
        }
    };
    affine(&mut specs, "token_projection", width, model.token_width);
    affine(&mut specs, "patch_projection", width, pixels);
    let mut vectors = vec!["token_kind", "patch_kind", "hidden_patch"];
    let length = condition_length(config.condition);
    if length > 0 {
        affine(&mut specs, "condition.up", width, length);
        affine(&mut specs, "condition.down", width, width);
        vectors.push("condition_kind");
    }
    for name in vectors {
        specs.push(TensorSpec::new(name, &[width], Initial::TruncatedNormal(0.02)));
    }
    for i in 0..config.depth {
        let block = format!("blocks.{i}");
        for name in ["norm_queries", "norm_context", "norm_inner"] {
            norm(&mut specs, &format!("{block}.{name}"));
        }
        for name in ["to_q", "to_k", "to_v", "to_out"] {
            specs.push(TensorSpec::linear(format!("{block}.{name}.weight"), width, width));
        }
        affine(&mut specs, &format!("{block}.up"), 4 * width, width);
        affine(&mut specs, &format!("{block}.down"), width, 4 * width);
    }
    norm(&mut specs, "norm_out");
    affine(&mut specs, "out", pixels, width);
    specs
        .into_iter()
        .map(|spec| ParameterSpec {
            decays: is_matrix(&spec),
            trained: true,
            spec: under("decoder", spec),
            group,
        })
        .collect()
}
