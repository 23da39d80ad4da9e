//! The transformers between the residual blocks: self-attention, cross-attention with the identity hook, feed-forward.

use super::layers::{pointwise, Grid, GroupNorm};
use super::{Passage, UNetConfig};
use candle_core::{DType, Tensor, D};
use candle_nn::VarBuilder;
use omniid::host::HostSpec;
use omniid::{Error, Result};
use omniid_kernels::layers::{attention, ops, LayerNorm, Linear};

/// diffusers' numbers for the norms inside transformers.
const GROUP_EPSILON: f64 = 1e-6;
const LAYER_EPSILON: f64 = 1e-5;

/// diffusers' `Transformer2DModel`.
#[derive(Debug, Clone)]
pub(super) struct Transformer {
    norm: GroupNorm,
    proj_in: Linear,
    blocks: Vec<Block>,
    proj_out: Linear,
}

#[derive(Debug, Clone)]
struct Block {
    norm1: LayerNorm,
    attn1: Attention,
    norm2: LayerNorm,
    attn2: Attention,
    norm3: LayerNorm,
    ff_in: Linear,
    ff_out: Linear,
    /// Place of `attn2` in the host's layer table.
    layer: usize,
}

#[derive(Debug, Clone)]
struct Attention {
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
    heads: usize,
}

impl Transformer {
    pub fn load(config: &UNetConfig, host: &HostSpec, width: usize, heads: usize, vb: VarBuilder) -> Result<Self> {
        let convolution = !config.use_linear_projection;
        let blocks = (0..config.transformer_layers_per_block).map(|i| {
            let vb = vb.pp("transformer_blocks").pp(i);
            let name = format!("{}.attn2", vb.prefix());
            let layer = host
                .layers()
                .iter()
                .position(|layer| name.ends_with(&layer.name))
                .ok_or_else(|| Error::internal(format!("layer {name:?} is not in the host's table")))?;
            Block::load(width, heads, config.cross_attention_dim, layer, vb)
        });
        Ok(Self {
            norm: GroupNorm::load(width, config.norm_num_groups, GROUP_EPSILON, false, vb.pp("norm"))?,
            proj_in: pointwise(width, width, convolution, vb.pp("proj_in"))?,
            blocks: blocks.collect::<Result<_>>()?,
            proj_out: pointwise(width, width, convolution, vb.pp("proj_out"))?,
        })
    }

    pub fn forward(&self, x: &Grid, passage: &Passage<'_>) -> Result<Grid> {
        let mut tokens = self.proj_in.forward(&self.norm.forward(&x.tokens)?)?;
        for block in &self.blocks {
            tokens = block.forward(tokens, passage)?;
        }
        Ok(x.with(self.proj_out.forward_add(&tokens, &x.tokens)?))
    }
}

impl Block {
    fn load(width: usize, heads: usize, context: usize, layer: usize, vb: VarBuilder) -> Result<Self> {
        let norm = |name: &str| LayerNorm::load(width, LAYER_EPSILON, vb.pp(name));
        Ok(Self {
            norm1: norm("norm1")?,
            attn1: Attention::load(width, width, heads, vb.pp("attn1"))?,
            norm2: norm("norm2")?,
            attn2: Attention::load(width, context, heads, vb.pp("attn2"))?,
            norm3: norm("norm3")?,
            ff_in: Linear::load(width, 8 * width, true, vb.pp("ff.net.0.proj"))?,
            ff_out: Linear::load(4 * width, width, true, vb.pp("ff.net.2"))?,
            layer,
        })
    }

    fn forward(&self, x: Tensor, passage: &Passage<'_>) -> Result<Tensor> {
        let n = self.norm1.forward(&x)?;
        let (_, attended) = self.attn1.attend(&n, &n)?;
        let x = self.attn1.to_out.forward_add(&attended, &x)?;
        let (query, mut attended) = self.attn2.attend(&self.norm2.forward(&x)?, passage.context)?;
        if let Some(hook) = passage.hook {
            attended = hook.apply(self.layer, &query, attended)?;
        }
        let x = self.attn2.to_out.forward_add(&attended, &x)?;
        let h = geglu(&self.ff_in.forward(&self.norm3.forward(&x)?)?)?;
        self.ff_out.forward_add(&h, &x)
    }
}

impl Attention {
    fn load(width: usize, context: usize, heads: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            to_q: Linear::load(width, width, false, vb.pp("to_q"))?,
            to_k: Linear::load(context, width, false, vb.pp("to_k"))?,
            to_v: Linear::load(context, width, false, vb.pp("to_v"))?,
            to_out: Linear::load(width, width, true, vb.pp("to_out.0"))?,
            heads,
        })
    }

    /// Queries, and the attention's result before the output projection.
    fn attend(&self, x: &Tensor, context: &Tensor) -> Result<(Tensor, Tensor)> {
        let query = self.to_q.forward(x)?;
        let (key, value) = (self.to_k.forward(context)?, self.to_v.forward(context)?);
        let attended = attention(&query, &key, &value, self.heads)?;
        Ok((query, attended))
    }
}

/// The first half of the channels times GELU of the second half.
fn geglu(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() && x.dtype() == DType::F32 {
        return ops::geglu(x);
    }
    let half = x.dim(D::Minus1)? / 2;
    let value = x.narrow(D::Minus1, 0, half)?;
    let gate = x.narrow(D::Minus1, half, half)?.contiguous()?;
    Ok((value * gate.gelu_erf()?)?)
}
