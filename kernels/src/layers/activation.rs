//! Activation functions of tensors.

use crate::error::Result;
use crate::Activation;
use candle_core::Tensor;

impl Activation {
    /// Applies the function to every element: differentiable, any device, any shape.
    pub fn forward(self, x: &Tensor) -> Result<Tensor> {
        #[cfg(feature = "gradients")]
        if x.track_op() && super::cpu::is_f32(&[x]) {
            return super::ops::activation(x, self);
        }
        self.composed(x)
    }

    /// [`Activation::forward`] by candle's operations alone.
    pub(super) fn composed(self, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Activation::Gelu => x.gelu_erf()?,
            Activation::GeluTanh => x.gelu()?,
            // 1.702·x·sigmoid(1.702·x) is silu(1.702·x), which candle computes in one pass.
            Activation::QuickGelu => (x.affine(1.702, 0.0)?.silu()? * (1.0 / 1.702))?,
            Activation::Silu => x.silu()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// Values of torch 2.15 (`torch.nn.functional.gelu`, `… approximate="tanh"`, `x*sigmoid(1.702x)`, `silu`) in f64.
    const POINTS: [f32; 5] = [-3.0, -1.0, 0.0, 0.5, 2.0];
    const EXPECTED: [(Activation, [f32; 5]); 4] = [
        (
            Activation::Gelu,
            [-0.004_049_694, -0.158_655_25, 0.0, 0.345_731_2, 1.954_499_7],
        ),
        (
            Activation::GeluTanh,
            [-0.003_637_392, -0.158_808, 0.0, 0.345_714, 1.954_597_7],
        ),
        (
            Activation::QuickGelu,
            [-0.018_071_31, -0.154_204_23, 0.0, 0.350_388_44, 1.935_658_6],
        ),
        (
            Activation::Silu,
            [-0.142_277_6, -0.268_941_43, 0.0, 0.311_229_67, 1.761_594_2],
        ),
    ];

    #[test]
    fn values_equal_the_definitions() -> Result<()> {
        let x = Tensor::new(&POINTS, &Device::Cpu)?;
        for (activation, expected) in EXPECTED {
            for (y, e) in activation.forward(&x)?.to_vec1::<f32>()?.iter().zip(expected) {
                assert!((y - e).abs() < 2e-6, "{activation}: {y} against {e}");
            }
        }
        Ok(())
    }
}
