//! The affine layer.

use super::{cpu, Activation};
use crate::error::{Error, Result};
use crate::{Element, Epilogue, PackedMatrix, ThreadPool};
use candle_core::{DType, Device, Tensor};
use std::sync::Arc;

/// y = activation(x Wᵀ + b), with the bias and the activation optional.
///
/// The weight has the dtype of the tensor it is made from; the product has the dtype of the input. A weight on the
/// CPU that is no variable is packed for the CPU kernel, the tensor it came from is dropped, and the layer has no
/// gradient. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Weight,
    activation: Option<Activation>,
    input: usize,
    output: usize,
}

#[derive(Debug, Clone)]
enum Weight {
    /// Differentiable: on the CPU by the kernels, else by candle.
    Plain { weight: Tensor, bias: Option<Tensor> },
    /// Differentiable, always by candle.
    Stored { weight: Tensor, bias: Option<Tensor> },
    /// For inference on the CPU.
    Packed(Arc<Packed>),
}

#[derive(Debug)]
struct Packed {
    weight: PackedMatrix,
    bias: Option<Vec<f32>>,
}

impl Linear {
    /// A layer from `weight` `[output, input]` and `bias` `[output]` that keeps them as they are stored.
    ///
    /// The weight is converted to the dtype of the input at every call and the product is candle's, differentiable. For
    /// layers that run once, and whose weights are handed out again.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the shapes do not fit.
    pub fn stored(weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        let [output, input] = check_shapes(&weight, bias.as_ref())?;
        Ok(Self {
            weight: Weight::Stored { weight, bias },
            activation: None,
            input,
            output,
        })
    }

    /// A layer from `weight` `[output, input]` and `bias` `[output]`.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the shapes do not fit.
    pub fn from_tensors(weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        let [output, input] = check_shapes(&weight, bias.as_ref())?;
        let element = Element::try_from(weight.dtype());
        let trains = weight.track_op() || bias.as_ref().is_some_and(Tensor::track_op);
        let weight = match element {
            Ok(element) if weight.device().is_cpu() && !trains => {
                Weight::Packed(Arc::new(Packed::new(weight, bias, element)?))
            }
            _ => Weight::Plain { weight, bias },
        };
        Ok(Self {
            weight,
            activation: None,
            input,
            output,
        })
    }

    /// [`Linear::from_tensors`] with the weight as bytes, one scale for each output; see [`PackedMatrix::quantise`].
    /// A weight that is no f32 tensor on the CPU, is a variable, or has more inputs than bytes can have, stays as it is.
    ///
    /// # Errors
    /// As [`Linear::from_tensors`].
    pub fn quantised(weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        let [output, input] = check_shapes(&weight, bias.as_ref())?;
        let trains = weight.track_op() || bias.as_ref().is_some_and(Tensor::track_op);
        if trains || !cpu::is_f32(&[&weight]) || input > PackedMatrix::MOST_QUANTISED_INPUTS {
            return Self::from_tensors(weight, bias);
        }
        let packed = Packed {
            weight: cpu::with_values::<f32, _>(&weight, |values| {
                PackedMatrix::quantise(ThreadPool::global(), values, output, input)
            })?,
            bias: bias_values(bias)?,
        };
        Ok(Self {
            weight: Weight::Packed(Arc::new(packed)),
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

    /// The weight `[output, input]`; `None` when it was packed.
    pub fn weight(&self) -> Option<&Tensor> {
        match &self.weight {
            Weight::Plain { weight, .. } | Weight::Stored { weight, .. } => Some(weight),
            Weight::Packed(_) => None,
        }
    }

    /// The bias `[output]`; `None` when there is none or it was packed.
    pub fn bias(&self) -> Option<&Tensor> {
        match &self.weight {
            Weight::Plain { bias, .. } | Weight::Stored { bias, .. } => bias.as_ref(),
            Weight::Packed(_) => None,
        }
    }

    /// What is applied to the result.
    pub fn activation(&self) -> Option<Activation> {
        self.activation
    }

    /// Whether the layer has a bias.
    pub fn has_bias(&self) -> bool {
        match &self.weight {
            Weight::Plain { bias, .. } | Weight::Stored { bias, .. } => bias.is_some(),
            Weight::Packed(packed) => packed.bias.is_some(),
        }
    }

    /// `x` `[…, input]` to `[…, output]`, in the dtype of `x`.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the last dimension of `x` is not the input width or
    /// `x` is on another device; [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) when a gradient should
    /// pass through a packed layer.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.run(x, None)
    }

    /// [`Linear::forward`] plus `residual` `[…, output]`, in one pass where the weight is packed.
    ///
    /// # Errors
    /// As [`Linear::forward`]; also when `residual` has another shape than the result.
    pub fn forward_add(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        self.run(x, Some(residual))
    }

    /// [`Linear::forward`] of several layers that read the same `x`. Packed weights share the work on it.
    ///
    /// # Errors
    /// As [`Linear::forward`].
    pub fn forward_all<const N: usize>(layers: [&Self; N], x: &Tensor) -> Result<[Tensor; N]> {
        let mut products = Vec::with_capacity(N);
        for layer in layers {
            if let (Weight::Packed(packed), true) = (&layer.weight, x.dims().last() == Some(&layer.input)) {
                products.push((&packed.weight, packed.epilogue(layer.activation, None)));
            }
        }
        let outputs = match <[_; N]>::try_from(products) {
            Ok(products) if !x.track_op() => {
                let wide = x.to_dtype(DType::F32)?;
                let outputs = cpu::with_values::<f32, _>(&wide, |input| {
                    PackedMatrix::products(ThreadPool::global(), input, products)
                })?;
                let leading = x.dims().split_last().map_or(&[][..], |(_, leading)| leading);
                let tensors = outputs.into_iter().zip(layers).map(|(output, layer)| {
                    let shape = [leading, &[layer.output]].concat();
                    Ok(Tensor::from_vec(output, shape, x.device())?.to_dtype(x.dtype())?)
                });
                tensors.collect::<Result<Vec<_>>>()?
            }
            _ => layers.iter().map(|layer| layer.forward(x)).collect::<Result<_>>()?,
        };
        let outputs = outputs.try_into();
        outputs.map_err(|_| Error::internal("as many layers as outputs"))
    }

    /// `second` of this layer of `x`, plus `residual`: as [`Linear::forward`] and [`Linear::forward_add`]. Where both
    /// weights are packed, what lies between is no tensor.
    ///
    /// # Errors
    /// As [`Linear::forward_add`].
    pub fn forward_then_add(&self, second: &Self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        if let (Weight::Packed(up), Weight::Packed(down)) = (&self.weight, &second.weight) {
            let shape = x
                .dims()
                .split_last()
                .map(|(_, leading)| [leading, &[second.output]].concat());
            let fits = x.dims().last() == Some(&self.input) && shape.as_deref() == Some(residual.dims());
            if fits && cpu::is_f32(&[x, residual]) && !x.track_op() && !residual.track_op() {
                let output = cpu::with_values::<f32, _>(x, |input| {
                    cpu::with_values::<f32, _>(residual, |residual| {
                        let then = down.epilogue(second.activation, Some(residual));
                        let first = up.epilogue(self.activation, None);
                        let pool = ThreadPool::global();
                        up.weight.product_of_product(pool, input, first, (&down.weight, then))
                    })
                })?;
                return Ok(Tensor::from_vec(output, residual.shape(), x.device())?);
            }
        }
        second.forward_add(&self.forward(x)?, residual)
    }

    /// Rows `[rows, input]` to `output` `[rows, output]`, plus `residual` `[rows, output]` if there is one, in the
    /// caller's memory. Nothing is allocated where the weight is packed; other weights on the CPU take the long way.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) when a length does not fit;
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) for weights on another device.
    pub fn forward_rows(&self, input: &[f32], output: &mut [f32], residual: Option<&[f32]>) -> Result<()> {
        if let Weight::Packed(packed) = &self.weight {
            let epilogue = packed.epilogue(self.activation, residual);
            return packed.weight.forward(ThreadPool::global(), input, output, epilogue);
        }
        let rows = input.len() / self.input.max(1);
        let x = Tensor::from_slice(input, (rows, self.input), &Device::Cpu)?;
        let y = self.forward(&x)?.to_dtype(DType::F32)?;
        cpu::with_values::<f32, _>(&y, |values| {
            if values.len() != output.len() || residual.is_some_and(|residual| residual.len() != output.len()) {
                return Err(Error::invalid(format!(
                    "{} values of a linear layer into {}",
                    values.len(),
                    output.len()
                )));
            }
            output.copy_from_slice(values);
            for (sum, value) in output.iter_mut().zip(residual.unwrap_or_default()) {
                *sum += value;
            }
            Ok(())
        })
    }

    fn run(&self, x: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
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
        let mut shape = leading.to_vec();
        shape.push(self.output);
        if let Some(residual) = residual.filter(|residual| residual.dims() != shape) {
            return Err(Error::mismatch(format!(
                "a linear layer with a result of shape {shape:?} got a residual of shape {:?}",
                residual.dims()
            )));
        }
        match &self.weight {
            Weight::Packed(packed) => packed.run(x, residual, self.activation, shape),
            #[cfg(feature = "gradients")]
            Weight::Plain { weight, bias } if cpu::is_f32(&[x, weight]) => {
                use super::ops;
                let bias = bias.as_ref();
                let y = match self.activation {
                    Some(activation) => ops::linear_with_activation(x, weight, bias, activation)?,
                    None => ops::linear(x, weight, bias)?,
                };
                Ok(match residual {
                    Some(residual) => (residual + y)?,
                    None => y,
                })
            }
            Weight::Plain { weight, bias } | Weight::Stored { weight, bias } => {
                let rows: usize = leading.iter().product();
                let weight = weight.to_dtype(x.dtype())?;
                let mut y = x.reshape((rows, self.input))?.matmul(&weight.t()?)?;
                if let Some(bias) = bias {
                    y = y.broadcast_add(&bias.to_dtype(x.dtype())?)?;
                }
                if let Some(activation) = self.activation {
                    y = activation.composed(&y)?;
                }
                let y = y.reshape(shape)?;
                Ok(match residual {
                    Some(residual) => (residual + y)?,
                    None => y,
                })
            }
        }
    }
}

/// Output and input width.
fn check_shapes(weight: &Tensor, bias: Option<&Tensor>) -> Result<[usize; 2]> {
    let &[output, input] = weight.dims() else {
        return Err(Error::mismatch(format!(
            "a linear weight has shape {:?}, not two dimensions",
            weight.dims()
        )));
    };
    match bias.filter(|bias| bias.dims() != [output]) {
        Some(bias) => Err(Error::mismatch(format!(
            "a linear bias has shape {:?}, its weight has {output} rows",
            bias.dims()
        ))),
        None => Ok([output, input]),
    }
}

fn bias_values(bias: Option<Tensor>) -> Result<Option<Vec<f32>>> {
    match bias {
        Some(bias) => Ok(Some(bias.to_dtype(DType::F32)?.to_vec1()?)),
        None => Ok(None),
    }
}

impl Packed {
    fn new(weight: Tensor, bias: Option<Tensor>, element: Element) -> Result<Self> {
        let (output, input) = weight.dims2()?;
        let weight = match element {
            Element::F32 => {
                cpu::with_values::<f32, _>(&weight, |values| PackedMatrix::pack(values, output, input, element))?
            }
            Element::F16 => {
                cpu::with_values::<half::f16, _>(&weight, |values| PackedMatrix::pack(values, output, input, element))?
            }
            Element::BF16 => {
                cpu::with_values::<half::bf16, _>(&weight, |values| PackedMatrix::pack(values, output, input, element))?
            }
        };
        Ok(Self {
            weight,
            bias: bias_values(bias)?,
        })
    }

    fn epilogue<'a>(&'a self, activation: Option<Activation>, residual: Option<&'a [f32]>) -> Epilogue<'a> {
        Epilogue {
            bias: self.bias.as_deref(),
            activation,
            residual,
        }
    }

    fn run(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        activation: Option<Activation>,
        shape: Vec<usize>,
    ) -> Result<Tensor> {
        if x.track_op() || residual.is_some_and(Tensor::track_op) {
            return Err(Error::unsupported(
                "a gradient was asked of a layer whose weights were packed for inference; load the layer's weights as \
                 variables (candle_nn::VarMap)",
            ));
        }
        let wide = x.to_dtype(DType::F32)?;
        let residual = residual.map(|residual| residual.to_dtype(DType::F32)).transpose()?;
        let multiply = |residual: Option<&[f32]>| {
            cpu::with_values::<f32, _>(&wide, |input| {
                let epilogue = self.epilogue(activation, residual);
                self.weight.product(ThreadPool::global(), input, epilogue)
            })
        };
        let output = match &residual {
            Some(residual) => cpu::with_values(residual, |values| multiply(Some(values)))?,
            None => multiply(None)?,
        };
        Ok(Tensor::from_vec(output, shape, x.device())?.to_dtype(x.dtype())?)
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
        let fused = example(DType::F32)?.with_activation(Activation::Silu).forward(&x)?;
        let expected = Activation::Silu.forward(&plain)?.flatten_all()?.to_vec1::<f32>()?;
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
    fn packed_and_plain_weights_agree() -> Result<()> {
        let draw = |name: &str, shape: &[usize]| {
            crate::layers::TensorSpec::new(name, shape, crate::layers::Initial::Normal(1.0)).tensor(1)
        };
        let (weight, bias) = (draw("weight", &[37, 19])?, draw("bias", &[37])?);
        let (x, residual) = (draw("x", &[2, 5, 19])?, draw("residual", &[2, 5, 37])?);
        let variable = Var::from_tensor(&weight)?.as_tensor().clone();
        let packed = Linear::from_tensors(weight, Some(bias.clone()))?.with_activation(Activation::Gelu);
        let plain = Linear::from_tensors(variable, Some(bias))?.with_activation(Activation::Gelu);
        assert!(matches!(packed.weight, Weight::Packed(_)) && matches!(plain.weight, Weight::Plain { .. }));
        let difference = (packed.forward_add(&x, &residual)? - plain.forward_add(&x, &residual)?)?;
        assert!(difference.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()? < 1e-5);
        let together = Linear::forward_all([&packed, &plain, &packed], &x)?;
        assert_eq!(together[1].dims(), [2, 5, 37]);
        let alike = Linear::forward_all([&packed, &packed], &x)?;
        for (a, b) in together
            .iter()
            .zip([&plain, &plain, &plain])
            .chain(alike.iter().zip([&plain, &plain]))
        {
            let difference = (a - b.forward(&x)?)?.abs()?.flatten_all()?.max(0)?;
            assert!(difference.to_scalar::<f32>()? < 1e-5);
        }
        let back = Linear::from_tensors(draw("back", &[19, 37])?, None)?;
        let difference =
            (packed.forward_then_add(&back, &x, &x)? - back.forward_add(&plain.forward(&x)?.detach(), &x)?)?;
        assert!(difference.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()? < 1e-4);
        assert!(packed.forward_then_add(&back, &x, &residual).is_err());
        // A column of a wider tensor: not contiguous.
        let strided = draw("wide", &[5, 40])?.narrow(1, 3, 19)?;
        let difference = (packed.forward(&strided)? - plain.forward(&strided)?)?;
        assert!(difference.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()? < 1e-5);
        let error = packed
            .forward(Var::from_tensor(&x)?.as_tensor())
            .expect_err("packed weights have no gradient");
        assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
        assert!(packed.forward_add(&x, &x).is_err(), "the residual has another width");
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
