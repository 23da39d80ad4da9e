//! Activations with their gradients.

use super::storage::{candle, require, values, with_values};
use crate::elementwise::{activate, activation_gradient, gate, gate_gradient};
use crate::error::{Error, Result};
use crate::{Activation, ThreadPool};
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

/// Applies `function` to every element of `x`, in one pass forward and one backward.
///
/// # Errors
/// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when `x` is not f32 on the CPU.
pub fn activation(x: &Tensor, function: Activation) -> Result<Tensor> {
    require("an activation", &[("x", x)])?;
    Ok(x.apply_op1(Elementwise(function))?)
}

/// The gated unit GEGLU (Shazeer 2020) of diffusion U-Nets: `x` `[…, 2 · width]` holds values, then gates; the
/// result `[…, width]` is values · gelu(gates), with the exact GELU.
///
/// # Errors
/// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the last dimension is odd or `x` is not f32 on the CPU.
pub fn geglu(x: &Tensor) -> Result<Tensor> {
    require("GEGLU", &[("x", x)])?;
    match x.dims().last() {
        Some(&width) if width > 0 && width % 2 == 0 => Ok(x.apply_op1(Gated(Activation::Gelu))?),
        _ => Err(Error::mismatch(format!(
            "GEGLU got a tensor of shape {:?}; its last dimension must be even",
            x.dims()
        ))),
    }
}

struct Elementwise(Activation);

impl CustomOp1 for Elementwise {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = values(x, layout)?;
        let mut y = vec![0.0_f32; x.len()];
        activate(ThreadPool::global(), self.0, &x, &mut y).map_err(candle)?;
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _result: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let mut to = vec![0.0_f32; x.elem_count()];
        with_values(x, |x| {
            with_values(gradient, |gradient| {
                activation_gradient(ThreadPool::global(), self.0, x, gradient, &mut to).map_err(candle)
            })
        })?;
        Ok(Some(Tensor::from_vec(to, x.shape(), x.device())?))
    }
}

struct Gated(Activation);

impl CustomOp1 for Gated {
    fn name(&self) -> &'static str {
        "gated-activation"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let mut shape = layout.dims().to_vec();
        let width = shape.last().map_or(1, |last| last / 2);
        if let Some(last) = shape.last_mut() {
            *last = width;
        }
        let x = values(x, layout)?;
        let mut y = vec![0.0_f32; x.len() / 2];
        gate(ThreadPool::global(), self.0, &x, width, &mut y).map_err(candle)?;
        Ok((CpuStorage::F32(y), Shape::from(shape)))
    }

    fn bwd(&self, x: &Tensor, result: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let width = result.dims().last().copied().unwrap_or(1);
        let mut to = vec![0.0_f32; x.elem_count()];
        with_values(x, |x| {
            with_values(gradient, |gradient| {
                gate_gradient(ThreadPool::global(), self.0, x, width, gradient, &mut to).map_err(candle)
            })
        })?;
        Ok(Some(Tensor::from_vec(to, x.shape(), x.device())?))
    }
}
