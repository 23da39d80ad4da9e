//! The affine layer.

use super::{load_parameter, load_tensor, Activation};
use crate::error::{Error, Result};
use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};

/// y = activation(x Wᵀ + b), with the bias and the activation optional.
///
/// The weight is stored in the dtype of the [`VarBuilder`]; the product has the dtype of the input.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
    activation: Option<Activation>,
    input: usize,
    output: usize,
}

impl Linear {
    /// Reads `weight [output, input]` and, if asked for, `bias [output]`.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) when one is missing or has another shape.
    pub fn load(input: usize, output: usize, bias: bool, vb: VarBuilder) -> Result<Self> {
        let stdev = 1.0 / (input.max(1) as f64).sqrt();
        let weight = load_tensor(&vb, &[output, input], "weight", Init::Randn { mean: 0.0, stdev })?;
        let bias = if bias {
            Some(load_parameter(&vb, &[output], "bias", Init::Const(0.0))?)
        } else {
            None
        };
        Self::from_tensors(weight, bias)
    }

    /// A layer from `weight` `[output, input]` and `bias` `[output]`.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the shapes do not fit.
    pub fn from_tensors(weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        let &[output, input] = weight.dims() else {
            return Err(Error::mismatch(format!(
                "a linear weight has shape {:?}, not two dimensions",
                weight.dims()
            )));
        };
        if let Some(bias) = bias.as_ref().filter(|bias| bias.dims() != [output]) {
            return Err(Error::mismatch(format!(
                "a linear bias has shape {:?}, its weight has {output} rows",
                bias.dims()
            )));
        }
        Ok(Self {
            weight,
            bias,
            activation: None,
            input,
            output,
        })
    }

    /// The same layer with `activation` applied to its result.
    pub fn with_activation(mut self, activation: Activation) -> Self {
        self.activation = Some(activation);
        self
    }

    /// Width of the input.
    pub fn input_width(&self) -> usize {
        self.input
    }

    /// Width of the output.
    pub fn output_width(&self) -> usize {
        self.output
    }

    /// `x` `[…, input]` to `[…, output]`, in the dtype of `x`.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the last dimension of `x` is not the input width.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let Some((&last, leading)) = x.dims().split_last() else {
            return Err(Error::mismatch(
                "a linear layer got a scalar; it needs at least one dimension",
            ));
        };
        if last != self.input {
            return Err(Error::mismatch(format!(
                "a linear layer of input width {} got a tensor of shape {:?}",
                self.input,
                x.dims()
            )));
        }
        let rows: usize = leading.iter().product();
        let mut shape = leading.to_vec();
        shape.push(self.output);
        let weight = self.weight.to_dtype(x.dtype())?;
        let mut y = x.reshape((rows, self.input))?.matmul(&weight.t()?)?;
        if let Some(bias) = &self.bias {
            y = y.broadcast_add(&bias.to_dtype(x.dtype())?)?;
        }
        if let Some(activation) = self.activation {
            y = activation.forward(&y)?;
        }
        Ok(y.reshape(shape)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Var};

    fn example(dtype: DType) -> Result<Linear> {
        let weight = Tensor::new(&[[1f32, 2.0], [0.5, -1.0], [0.0, 4.0]], &Device::Cpu)?.to_dtype(dtype)?;
        let bias = Tensor::new(&[0.5f32, 0.0, -1.0], &Device::Cpu)?;
        Linear::from_tensors(weight, Some(bias))
    }

    #[test]
    fn every_weight_type_gives_the_product() -> Result<()> {
        // All numbers are exact in bf16, so the three storage types agree to the last bit.
        let x = Tensor::new(&[[[1f32, 1.0], [2.0, -0.5]]], &Device::Cpu)?;
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            let y = example(dtype)?.forward(&x)?;
            assert_eq!(y.dims(), [1, 2, 3]);
            assert_eq!(
                y.flatten_all()?.to_vec1::<f32>()?,
                [3.5, -0.5, 3.0, 1.5, 1.5, -3.0],
                "{dtype:?}"
            );
        }
        Ok(())
    }

    #[test]
    fn the_activation_comes_after_the_bias() -> Result<()> {
        let x = Tensor::new(&[[1f32, 1.0]], &Device::Cpu)?;
        let plain = example(DType::F32)?.forward(&x)?;
        let fused = example(DType::F32)?
            .with_activation(Activation::Silu)
            .forward(&x)?;
        let expected = Activation::Silu
            .forward(&plain)?
            .flatten_all()?
            .to_vec1::<f32>()?;
        for (a, b) in fused.flatten_all()?.to_vec1::<f32>()?.iter().zip(expected) {
            assert!((a - b).abs() < 1e-6, "{a} against {b}");
        }
        Ok(())
    }

    #[test]
    fn a_variable_gets_its_gradient() -> Result<()> {
        let weight = Var::from_tensor(&Tensor::new(&[[1f32, 2.0]], &Device::Cpu)?)?;
        let layer = Linear::from_tensors(weight.as_tensor().clone(), None)?;
        let x = Tensor::new(&[[3f32, 5.0], [1.0, 1.0]], &Device::Cpu)?;
        let gradients = layer.forward(&x)?.sum_all()?.backward()?;
        let gradient = gradients
            .get(weight.as_tensor())
            .expect("the weight takes part in the sum");
        assert_eq!(gradient.to_vec2::<f32>()?, [[4.0, 6.0]]);
        Ok(())
    }

    #[test]
    fn wrong_widths_are_refused() -> Result<()> {
        let x = Tensor::zeros((1, 3), DType::F32, &Device::Cpu)?;
        let error = example(DType::F32)?.forward(&x).expect_err("3 is not 2");
        assert!(error.message().contains("input width 2"), "{error}");
        let weight = Tensor::zeros((2, 2), DType::F32, &Device::Cpu)?;
        let bias = Tensor::zeros(3, DType::F32, &Device::Cpu)?;
        assert!(Linear::from_tensors(weight, Some(bias)).is_err());
        Ok(())
    }
}
