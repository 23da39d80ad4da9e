//! Layers whose identity tokens are attended to together with the image's own keys: InstantX' adapter for SD3.5.
//!
//! `out += scale · softmax(q [K_image; K]ᵀ / √head_dim) [V_image; V]`, where q and K_image are the host's, before its own
//! normalisation, normalised by the adapter's `norm_q` and `norm_k`. K and V are made of tokens that the denoising
//! timestep modulates (`norm_ip`). Source: `SD3IPAdapterJointAttnProcessor2_0` of diffusers.

use super::Linear;
use crate::error::Result;
use crate::host::HostLayer;
use candle_core::{DType, Tensor, D};
use omniid_kernels::layers::{Activation, Initial, Weights};

/// Epsilon of all normalisations.
pub(crate) const EPSILON: f64 = 1e-6;

/// What a layer for joint attention has beside its projections.
#[derive(Debug, Clone)]
pub struct JointLayer {
    /// `norm_ip.linear`: the timestep's embedding `[1, time width]` to shift and scale of the tokens, `[1, 2 · context]`.
    pub modulation: Linear,
    /// `norm_q`: weight of the normalisation of the host's queries, `[head_dim]`.
    pub query_norm: Tensor,
    /// `norm_k`: the same for the host's keys.
    pub key_norm: Tensor,
    /// `norm_ip_k`: the same for the identity's keys.
    pub identity_key_norm: Tensor,
}

impl JointLayer {
    /// Reads a layer. `weights` is where its tensors are.
    pub(super) fn load(layer: &HostLayer, time_width: usize, weights: &Weights<'_>) -> Result<Self> {
        let norm = |name: &str| weights.tensor(name, &[layer.head_dim], Initial::Constant(1.0));
        Ok(Self {
            modulation: weights.linear("norm_ip.linear", time_width, 2 * layer.context, true)?,
            query_norm: norm("norm_q.weight")?,
            key_norm: norm("norm_k.weight")?,
            identity_key_norm: norm("norm_ip_k.weight")?,
        })
    }

    /// Width of the timestep's embedding.
    pub fn time_width(&self) -> usize {
        self.modulation.input_width()
    }

    /// Tokens `[tokens, context]`, normalised and modulated by the timestep's embedding `[1, time width]`.
    ///
    /// # Errors
    /// Those of the device; [`Mismatch`](crate::ErrorKind::Mismatch) for an embedding of another width.
    pub fn modulate(&self, tokens: &Tensor, embedding: &Tensor) -> Result<Tensor> {
        let width = tokens.dim(1)?;
        let active = Activation::Silu.forward(&embedding.to_dtype(DType::F32)?)?;
        let change = self.modulation.forward(&active)?;
        let (shift, scale) = (
            change.narrow(1, 0, width)?,
            change.narrow(1, width, width)?.affine(1.0, 1.0)?,
        );
        let centred = tokens.broadcast_sub(&tokens.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let normal = centred.broadcast_div(&(variance + EPSILON)?.sqrt()?)?;
        Ok(normal.broadcast_mul(&scale)?.broadcast_add(&shift)?)
    }
}
