//! Layer normalisation.

use super::cpu;
use crate::error::{Error, Result};
use crate::{self as kernel, ThreadPool};
use candle_core::{DType, Tensor, D};

/// Normalises the last dimension to mean 0 and variance 1, then scales and shifts it.
///
/// Mean and variance are computed in f32 on every device.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
    /// Whether it computes with candle's operations only.
    composed: bool,
}

impl LayerNorm {
    pub(super) fn new(weight: Tensor, bias: Tensor, epsilon: f64, composed: bool) -> Self {
        Self {
            weight,
            bias,
            epsilon,
            composed,
        }
    }

    /// The width of the last dimension.
    pub fn width(&self) -> usize {
        self.weight.elem_count()
    }

    /// What the normalised values are multiplied by, `[width]`.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// What is added then, `[width]`.
    pub fn bias(&self) -> &Tensor {
        &self.bias
    }

    /// What is added to the variance.
    pub fn epsilon(&self) -> f64 {
        self.epsilon
    }

    /// Normalises `x` `[…, width]`. The result has the shape and the dtype of `x`.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the last dimension of `x` is not the width.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let width = self.width();
        if x.dims().last() != Some(&width) {
            return Err(Error::mismatch(format!(
                "layer norm of width {width} got a tensor of shape {:?}",
                x.dims()
            )));
        }
        let trains = x.track_op() || self.weight.track_op() || self.bias.track_op();
        if !self.composed && !trains && x.dtype() == self.weight.dtype() {
            if cpu::is_f32(&[x]) {
                return self.forward_cpu(x);
            }
            let x = x.contiguous()?;
            return Ok(candle_nn::ops::layer_norm(
                &x,
                &self.weight,
                &self.bias,
                self.epsilon as f32,
            )?);
        }
        #[cfg(feature = "gradients")]
        if !self.composed && cpu::is_f32(&[x, &self.weight, &self.bias]) {
            return super::ops::layer_norm(x, &self.weight, &self.bias, self.epsilon);
        }
        // candle's fused operation has no gradient, so training elsewhere takes the long way.
        let wide = x.to_dtype(DType::F32)?;
        let centred = wide.broadcast_sub(&wide.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let normal = centred.broadcast_div(&(variance + self.epsilon)?.sqrt()?)?;
        let scaled = normal.broadcast_mul(&self.weight.to_dtype(DType::F32)?)?;
        Ok(scaled
            .broadcast_add(&self.bias.to_dtype(DType::F32)?)?
            .to_dtype(x.dtype())?)
    }

    /// Normalises rows `[rows, width]` into `output` of the same length, in the caller's memory.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) when a length does not fit;
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) for weights on another device.
    pub fn forward_rows(&self, input: &[f32], output: &mut [f32]) -> Result<()> {
        cpu::with_values(&self.weight, |weight| {
            cpu::with_values(&self.bias, |bias| {
                let pool = ThreadPool::global();
                kernel::layer_norm(pool, input, weight, Some(bias), self.epsilon as f32, output)
            })
        })
    }

    fn forward_cpu(&self, x: &Tensor) -> Result<Tensor> {
        let output = cpu::with_values(x, |input| {
            cpu::with_values(&self.weight, |weight| {
                cpu::with_values(&self.bias, |bias| {
                    let pool = ThreadPool::global();
                    crate::elementwise::layer_norm_of(pool, input, weight, Some(bias), self.epsilon as f32)
                })
            })
        })?;
        Ok(Tensor::from_vec(output, x.shape(), x.device())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    fn layer(trainable: bool) -> Result<LayerNorm> {
        let device = Device::Cpu;
        let weight = Tensor::new(&[1f32, 2.0, 0.5, 1.0], &device)?;
        let bias = Tensor::new(&[0f32, 1.0, 0.0, -1.0], &device)?;
        let weight = match trainable {
            true => Var::from_tensor(&weight)?.as_tensor().clone(),
            false => weight,
        };
        Ok(LayerNorm::new(weight, bias, 1e-5, false))
    }

    #[test]
    fn both_ways_equal_the_formula() -> Result<()> {
        // Mean 2.5, variance 1.25, by hand.
        let x = Tensor::new(&[[1f32, 2.0, 3.0, 4.0]], &Device::Cpu)?;
        let s = 1.0 / (1.25f32 + 1e-5).sqrt();
        let expected = [-1.5 * s, 1.0 - 0.5 * s * 2.0, 0.5 * s * 0.5, 1.5 * s - 1.0];
        for trainable in [false, true] {
            let y = layer(trainable)?.forward(&x)?.flatten_all()?.to_vec1::<f32>()?;
            for (a, b) in y.iter().zip(expected) {
                assert!((a - b).abs() < 1e-6, "trainable {trainable}: {a} against {b}");
            }
        }
        Ok(())
    }

    #[test]
    fn wrong_width_is_refused() -> Result<()> {
        let x = Tensor::zeros((2, 3), DType::F32, &Device::Cpu)?;
        let error = layer(false)?.forward(&x).expect_err("width 3 is not 4");
        assert_eq!(error.kind(), crate::ErrorKind::Mismatch);
        Ok(())
    }
}
