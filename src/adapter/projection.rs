//! The adapter's affine maps.
//!
//! They run once per identity, so their weights stay as the checkpoint stores them: that costs nothing at loading
//! and lets them be written out again without loss.

use crate::error::{Error, Result};
use candle_core::{Tensor, D};
use candle_nn::{Init, VarBuilder};

/// y = x Wᵀ + b. The weight keeps its dtype; the product has the dtype of the input.
#[derive(Debug, Clone)]
pub struct Affine {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Affine {
    /// Reads `weight` `[output, input]` and, if asked for, `bias` `[output]`.
    ///
    /// # Errors
    /// [`Format`](crate::ErrorKind::Format) when one is missing or has another shape.
    pub fn load(input: usize, output: usize, bias: bool, vb: VarBuilder) -> Result<Self> {
        let stdev = 1.0 / (input.max(1) as f64).sqrt();
        let weight = vb.get_with_hints((output, input), "weight", Init::Randn { mean: 0.0, stdev })?;
        let bias = if bias {
            Some(vb.get_with_hints(output, "bias", Init::Const(0.0))?)
        } else {
            None
        };
        Ok(Self { weight, bias })
    }

    /// From `weight` `[output, input]` and `bias` `[output]`.
    ///
    /// # Errors
    /// [`Mismatch`](crate::ErrorKind::Mismatch) when the shapes do not fit.
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        let fits =
            matches!(weight.dims(), [output, _] if bias.as_ref().is_none_or(|bias| bias.dims() == [*output]));
        if !fits {
            return Err(Error::mismatch(format!(
                "an affine map needs weight [output, input] and bias [output], found {:?} and {:?}",
                weight.dims(),
                bias.as_ref().map(Tensor::dims)
            )));
        }
        Ok(Self { weight, bias })
    }

    /// Width of the input.
    pub fn input_width(&self) -> usize {
        self.weight.dims().last().copied().unwrap_or(0)
    }

    /// Width of the output.
    pub fn output_width(&self) -> usize {
        self.weight.dims().first().copied().unwrap_or(0)
    }

    /// `[output, input]`.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// `[output]`.
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// `x` `[…, input]` to `[…, output]`.
    ///
    /// # Errors
    /// [`Mismatch`](crate::ErrorKind::Mismatch) when the last dimension of `x` is not the input width.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let input = self.input_width();
        if x.dims().last() != Some(&input) {
            return Err(Error::mismatch(format!(
                "tokens of width {input} are needed, found shape {:?}",
                x.dims()
            )));
        }
        let rows = x.elem_count() / input.max(1);
        let weight = self.weight.to_dtype(x.dtype())?;
        let y = x.reshape((rows, input))?.matmul(&weight.t()?)?;
        let y = match &self.bias {
            Some(bias) => y.broadcast_add(&bias.to_dtype(x.dtype())?)?,
            None => y,
        };
        let mut shape = x.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = self.output_width();
        }
        Ok(y.reshape(shape)?)
    }

    pub(super) fn tensors(&self, prefix: &str) -> Vec<(String, Tensor)> {
        let mut tensors = vec![(format!("{prefix}.weight"), self.weight.clone())];
        tensors.extend(
            self.bias
                .iter()
                .map(|bias| (format!("{prefix}.bias"), bias.clone())),
        );
        tensors
    }
}

/// Identity tokens to context tokens, token by token: Linear, GELU (exact), Linear, LayerNorm. The same network and
/// the same tensor numbers as the projection of a full-face IP-Adapter.
#[derive(Debug, Clone)]
pub struct TokenProjection {
    hidden: Affine,
    output: Affine,
    norm_weight: Tensor,
    norm_bias: Tensor,
}

/// PyTorch's default, which the format leaves unsaid.
const LAYER_NORM_EPS: f64 = 1e-5;

impl TokenProjection {
    /// Reads `0.{weight,bias}` `[width, width]`, `2.{weight,bias}` `[context, width]` and `3.{weight,bias}` `[context]`.
    ///
    /// # Errors
    /// [`Format`](crate::ErrorKind::Format) when one is missing or has another shape.
    pub fn load(width: usize, context: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            hidden: Affine::load(width, width, true, vb.pp("0"))?,
            output: Affine::load(width, context, true, vb.pp("2"))?,
            norm_weight: vb.pp("3").get_with_hints(context, "weight", Init::Const(1.0))?,
            norm_bias: vb.pp("3").get_with_hints(context, "bias", Init::Const(0.0))?,
        })
    }

    /// Width of the identity tokens.
    pub fn input_width(&self) -> usize {
        self.hidden.input_width()
    }

    /// Width of the context tokens.
    pub fn output_width(&self) -> usize {
        self.output.output_width()
    }

    /// `[…, tokens, width]` to `[…, tokens, context]`, in the dtype of the input.
    ///
    /// # Errors
    /// [`Mismatch`](crate::ErrorKind::Mismatch) when the tokens have another width.
    pub fn forward(&self, tokens: &Tensor) -> Result<Tensor> {
        let x = self.output.forward(&self.hidden.forward(tokens)?.gelu_erf()?)?;
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let unit = centred.broadcast_div(&(variance + LAYER_NORM_EPS)?.sqrt()?)?;
        let scaled = unit.broadcast_mul(&self.norm_weight.to_dtype(x.dtype())?)?;
        Ok(scaled.broadcast_add(&self.norm_bias.to_dtype(x.dtype())?)?)
    }

    pub(super) fn tensors(&self, prefix: &str) -> Vec<(String, Tensor)> {
        let mut tensors = self.hidden.tensors(&format!("{prefix}.0"));
        tensors.extend(self.output.tensors(&format!("{prefix}.2")));
        tensors.push((format!("{prefix}.3.weight"), self.norm_weight.clone()));
        tensors.push((format!("{prefix}.3.bias"), self.norm_bias.clone()));
        tensors
    }
}
