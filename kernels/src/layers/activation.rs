//! Activation functions, by their Hugging Face names.

use super::ops;
use crate::error::{Error, Result};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An element-wise activation function.
///
/// Names are those of `hidden_act` in a Hugging Face `config.json`. The variants of GELU differ by up to 2e-2, which
/// is far above every parity limit: a model must run with the one it was trained with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Activation {
    /// x·Φ(x) with the exact normal distribution (erf). Open CLIP models, Resampler, Omni-ID.
    #[serde(rename = "gelu", alias = "gelu_python")]
    Gelu,
    /// GELU with the tanh approximation. SigLIP.
    #[serde(rename = "gelu_pytorch_tanh", alias = "gelu_new", alias = "gelu_fast")]
    GeluTanh,
    /// x·sigmoid(1.702 x). The CLIP models of OpenAI.
    #[serde(rename = "quick_gelu")]
    QuickGelu,
    /// x·sigmoid(x).
    #[serde(rename = "silu", alias = "swish")]
    Silu,
}

impl Activation {
    /// The name in a Hugging Face `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu_pytorch_tanh",
            Activation::QuickGelu => "quick_gelu",
            Activation::Silu => "silu",
        }
    }

    /// Applies the function to every element: differentiable, any device, any shape.
    pub fn forward(self, x: &Tensor) -> Result<Tensor> {
        if x.track_op() && ops::usable(&[x]) {
            return ops::activation(x, self);
        }
        Ok(match self {
            Activation::Gelu => x.gelu_erf()?,
            Activation::GeluTanh => x.gelu()?,
            // 1.702·x·sigmoid(1.702·x) is silu(1.702·x), which candle computes in one pass.
            Activation::QuickGelu => (x.affine(1.702, 0.0)?.silu()? * (1.0 / 1.702))?,
            Activation::Silu => x.silu()?,
        })
    }
}

impl From<Activation> for crate::Activation {
    fn from(activation: Activation) -> Self {
        match activation {
            Activation::Gelu => Self::Gelu,
            Activation::GeluTanh => Self::GeluTanh,
            Activation::QuickGelu => Self::QuickGelu,
            Activation::Silu => Self::Silu,
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Activation {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "gelu" | "gelu_python" => Ok(Activation::Gelu),
            "gelu_pytorch_tanh" | "gelu_new" | "gelu_fast" => Ok(Activation::GeluTanh),
            "quick_gelu" => Ok(Activation::QuickGelu),
            "silu" | "swish" => Ok(Activation::Silu),
            other => Err(Error::unsupported(format!(
                "activation {other:?} is not known; known are gelu, gelu_pytorch_tanh, quick_gelu and silu"
            ))),
        }
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

    #[test]
    fn names_go_through_text_and_json() -> Result<()> {
        for activation in [
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::QuickGelu,
            Activation::Silu,
        ] {
            assert_eq!(activation.name().parse::<Activation>()?, activation);
            let json = serde_json::to_string(&activation).expect("an enum of names is always valid JSON");
            assert_eq!(json, format!("\"{activation}\""));
        }
        let error = "relu6".parse::<Activation>().expect_err("relu6 is not supported");
        assert!(error.message().contains("relu6"), "{error}");
        Ok(())
    }
}
