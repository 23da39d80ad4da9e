//! The affine map with its gradients.

use super::autocast::product_element;
use super::storage::{candle, require, values, with_values};
use crate::elementwise::{activate, activation_gradient};
use crate::error::{Error, Result};
use crate::matmul::{transposed_product, Right, TransposedProduct};
use crate::{Activation, Element, Epilogue, PackedMatrix, ThreadPool};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Shape, Tensor};
use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

/// y = x Wᵀ + b: `x` `[…, input]`, `weight` `[output, input]`, `bias` `[output]`, result `[…, output]`.
///
/// Differentiable in all three. The products have the number type of [`autocast`](crate::layers::autocast).
///
/// # Errors
/// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the shapes do not fit or a tensor is not f32 on the CPU.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    run(x, weight, bias, None)
}

/// `activation(`[`linear`]`)`, in one operation: the gradient before the activation never becomes a tensor.
///
/// # Errors
/// As [`linear`].
pub fn linear_with_activation(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    activation: Activation,
) -> Result<Tensor> {
    run(x, weight, bias, Some(activation))
}

fn run(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, activation: Option<Activation>) -> Result<Tensor> {
    require("a linear layer", &[("x", x), ("the weight", weight)])?;
    let &[output, input] = weight.dims() else {
        return Err(Error::mismatch(format!(
            "a linear weight has shape {:?}, not two dimensions",
            weight.dims()
        )));
    };
    if x.dims().last() != Some(&input) || input == 0 || output == 0 {
        return Err(Error::mismatch(format!(
            "a linear weight of shape [{output}, {input}] got a tensor of shape {:?}",
            x.dims()
        )));
    }
    let op = Linear {
        activation,
        element: product_element(),
        trains: x.track_op() || weight.track_op() || bias.is_some_and(Tensor::track_op),
        before: Mutex::default(),
    };
    Ok(match bias {
        None => x.apply_op2(weight, op)?,
        Some(bias) => {
            require("a linear layer", &[("the bias", bias)])?;
            if bias.dims() != [output] {
                return Err(Error::mismatch(format!(
                    "a linear bias has shape {:?}, its weight has {output} rows",
                    bias.dims()
                )));
            }
            x.apply_op3(weight, bias, op)?
        }
    })
}

struct Linear {
    activation: Option<Activation>,
    element: Element,
    /// Whether a backward pass may follow.
    trains: bool,
    /// The values before the activation, kept for the backward pass.
    before: Mutex<Vec<f32>>,
}

impl Linear {
    fn forward(
        &self,
        (x, x_layout): (&CpuStorage, &Layout),
        (weight, weight_layout): (&CpuStorage, &Layout),
        bias: Option<(&CpuStorage, &Layout)>,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (output, input) = weight_layout.shape().dims2()?;
        let pool = ThreadPool::global();
        let bias = bias.map(|(bias, layout)| values(bias, layout)).transpose()?;
        let weight = values(weight, weight_layout)?;
        let weight = PackedMatrix::pack_f32(pool, &weight, output, input, self.element).map_err(candle)?;
        let x = values(x, x_layout)?;
        let kept = self.activation.filter(|_| self.trains);
        let epilogue = Epilogue {
            bias: bias.as_deref(),
            activation: self.activation.filter(|_| !self.trains),
            ..Default::default()
        };
        let mut y = vec![0.0_f32; x.len() / input * output];
        weight.forward(pool, &x, &mut y, epilogue).map_err(candle)?;
        if let Some(activation) = kept {
            let mut before = vec![0.0_f32; y.len()];
            activate(pool, activation, &y, &mut before).map_err(candle)?;
            std::mem::swap(&mut y, &mut before);
            *self.before.lock().unwrap_or_else(PoisonError::into_inner) = before;
        }
        let mut shape = x_layout.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = output;
        }
        Ok((CpuStorage::F32(y), Shape::from(shape)))
    }

    fn backward(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        gradient: &Tensor,
    ) -> candle_core::Result<[Option<Tensor>; 3]> {
        let (output, input) = weight.dims2()?;
        let pool = ThreadPool::global();
        with_values(gradient, |gradient| {
            let mut gradient = Cow::Borrowed(gradient);
            if let Some(activation) = self.activation {
                let before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
                let mut inner = vec![0.0_f32; before.len()];
                activation_gradient(pool, activation, &before, &gradient, &mut inner).map_err(candle)?;
                gradient = Cow::Owned(inner);
            }
            let x_gradient = if x.track_op() {
                let weight = with_values(weight, |weight| {
                    PackedMatrix::pack_transposed(pool, weight, input, output, self.element).map_err(candle)
                })?;
                let mut to = vec![0.0_f32; x.elem_count()];
                weight
                    .forward(pool, &gradient, &mut to, Epilogue::default())
                    .map_err(candle)?;
                Some(Tensor::from_vec(to, x.shape(), x.device())?)
            } else {
                None
            };
            let trains = weight.track_op() || bias.is_some_and(Tensor::track_op);
            let (weight_gradient, bias_gradient) = if trains {
                let mut product = vec![0.0_f32; output * input];
                let mut sums = vec![0.0_f32; output];
                with_values(x, |x| {
                    let operands = TransposedProduct {
                        left: &gradient,
                        right: Right::Rows(x),
                        outputs: output,
                        inputs: input,
                        element: self.element,
                        product: &mut product,
                        column_sums: bias.is_some().then_some(&mut sums),
                    };
                    transposed_product(pool, operands).map_err(candle)
                })?;
                (
                    Some(Tensor::from_vec(product, (output, input), x.device())?),
                    Some(Tensor::from_vec(sums, output, x.device())?),
                )
            } else {
                (None, None)
            };
            Ok([
                x_gradient,
                weight_gradient.filter(|_| weight.track_op()),
                bias_gradient.filter(|_| bias.is_some_and(Tensor::track_op)),
            ])
        })
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.forward((x, x_layout), (weight, weight_layout), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let [x, weight, _] = self.backward(x, weight, None, gradient)?;
        Ok((x, weight))
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
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
        self.forward((x, x_layout), (weight, weight_layout), Some((bias, bias_layout)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [x, weight, bias] = self.backward(x, weight, Some(bias), gradient)?;
        Ok((x, weight, bias))
    }
}
