//! 3×3 convolution of pictures as tokens, with its gradients.

use super::autocast::product_element;
use super::storage::{candle, require, values, with_values};
use crate::convolution::Convolution3x3;
use crate::error::{Error, Result};
use crate::{ThreadPool, Window};
use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};

/// Convolution with a 3×3 kernel and padding 1: `x` `[batch, height · width, inputs]`, `weight`
/// `[outputs, inputs, 3, 3]`, `bias` `[outputs]`, result `[batch, windows, outputs]`, row by row.
///
/// Differentiable in all three. The products have the number type of [`autocast`](crate::layers::autocast). No matrix
/// of windows is ever in memory.
///
/// # Errors
/// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the shapes do not fit or a tensor is not f32 on the CPU.
pub fn convolution(x: &Tensor, weight: &Tensor, bias: &Tensor, window: Window) -> Result<Tensor> {
    require("a convolution", &[("x", x), ("the weight", weight), ("the bias", bias)])?;
    let fits = match (x.dims(), weight.dims(), bias.dims()) {
        (&[_, places, inputs], &[outputs, depth, 3, 3], &[biases]) => {
            window.height.checked_mul(window.width) == Some(places)
                && inputs == depth
                && outputs == biases
                && inputs > 0
                && outputs > 0
        }
        _ => false,
    };
    if !fits || window.check().is_err() {
        return Err(Error::mismatch(format!(
            "a convolution with {window:?} got tensors of shapes {:?}, {:?} and {:?}",
            x.dims(),
            weight.dims(),
            bias.dims()
        )));
    }
    let operation = Convolution(Convolution3x3 {
        window,
        inputs: weight.dim(1)?,
        outputs: weight.dim(0)?,
        element: product_element(),
    });
    Ok(x.apply_op3(weight, bias, operation)?)
}

struct Convolution(Convolution3x3);

impl CustomOp3 for Convolution {
    fn name(&self) -> &'static str {
        "convolution"
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
        let (batch, _, _) = x_layout.shape().dims3()?;
        let (x, weight, bias) = (
            values(x, x_layout)?,
            values(weight, weight_layout)?,
            values(bias, bias_layout)?,
        );
        let output = self
            .0
            .forward(ThreadPool::global(), &x, &weight, &bias)
            .map_err(candle)?;
        let (rows, columns) = self.0.window.output();
        Ok((
            CpuStorage::F32(output),
            Shape::from((batch, rows * columns, self.0.outputs)),
        ))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let pool = ThreadPool::global();
        with_values(gradient, |gradient| {
            let x_gradient = if x.track_op() {
                let to = with_values(weight, |weight| {
                    self.0.input_gradient(pool, gradient, weight).map_err(candle)
                })?;
                Some(Tensor::from_vec(to, x.shape(), x.device())?)
            } else {
                None
            };
            if !weight.track_op() && !bias.track_op() {
                return Ok((x_gradient, None, None));
            }
            let [product, sums] = with_values(x, |x| self.0.weight_gradient(pool, x, gradient).map_err(candle))?;
            let product = Tensor::from_vec(product, weight.shape(), x.device())?;
            let sums = Tensor::from_vec(sums, bias.shape(), x.device())?;
            Ok((
                x_gradient,
                Some(product).filter(|_| weight.track_op()),
                Some(sums).filter(|_| bias.track_op()),
            ))
        })
    }
}
