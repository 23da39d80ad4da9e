//! Layer normalisation with its gradients.

use super::storage::{candle, require, values, with_values};
use crate::elementwise::layer_norm_gradient;
use crate::error::{Error, Result};
use crate::{self as kernel, ThreadPool};
use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};

/// Normalises the last dimension of `x` `[…, width]` to mean 0 and variance 1, then multiplies by `weight` `[width]`
/// and adds `bias` `[width]`. Differentiable in all three.
///
/// # Errors
/// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the shapes do not fit or a tensor is not f32 on the CPU.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, epsilon: f64) -> Result<Tensor> {
    require("layer norm", &[("x", x), ("the weight", weight), ("the bias", bias)])?;
    let width = x.dims().last().copied().unwrap_or(0);
    if width == 0 || weight.dims() != [width] || bias.dims() != [width] {
        return Err(Error::mismatch(format!(
            "layer norm of a tensor of shape {:?} got a weight of shape {:?} and a bias of shape {:?}",
            x.dims(),
            weight.dims(),
            bias.dims()
        )));
    }
    let epsilon = epsilon as f32;
    Ok(x.apply_op3(weight, bias, LayerNorm { epsilon })?)
}

struct LayerNorm {
    epsilon: f32,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = values(x, x_layout)?;
        let (weight, bias) = (values(weight, weight_layout)?, values(bias, bias_layout)?);
        let mut y = vec![0.0_f32; x.len()];
        kernel::layer_norm(ThreadPool::global(), &x, &weight, Some(&bias), self.epsilon, &mut y).map_err(candle)?;
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let width = weight.elem_count();
        let mut dx = vec![0.0_f32; x.elem_count()];
        let (mut dw, mut db) = (vec![0.0_f32; width], vec![0.0_f32; width]);
        with_values(x, |x| {
            with_values(weight, |weight| {
                with_values(gradient, |gradient| {
                    layer_norm_gradient(
                        ThreadPool::global(),
                        x,
                        weight,
                        self.epsilon,
                        gradient,
                        &mut dx,
                        &mut dw,
                        &mut db,
                    )
                    .map_err(candle)
                })
            })
        })?;
        let give = |of: &Tensor, values: Vec<f32>| {
            of.track_op()
                .then(|| Tensor::from_vec(values, of.shape(), of.device()))
                .transpose()
        };
        Ok((give(x, dx)?, give(weight, dw)?, give(bias, db)?))
    }
}
