//! Activation functions, by their Hugging Face names.

use crate::error::{Error, Result};
use crate::simd::{dispatch, exp, Isa, Kernel, Lanes};
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
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_pytorch_tanh",
            Self::QuickGelu => "quick_gelu",
            Self::Silu => "silu",
        }
    }

    /// Applies the function to every value.
    pub fn apply(self, values: &mut [f32]) {
        let apply = Apply {
            activation: self,
            values,
        };
        // SAFETY: the kernel asks nothing beyond the slice it holds.
        unsafe { dispatch(Isa::current(), apply) }
    }

    /// The function of a vector.
    ///
    /// # Safety
    /// `L`'s instructions exist.
    #[inline(always)]
    pub(crate) unsafe fn vector<L: Lanes>(self, x: L::V) -> L::V {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            match self {
                Self::Gelu => gelu::<L>(x),
                Self::GeluTanh => {
                    // 0.5·(1 + tanh u) = sigmoid(2u)
                    const LINEAR: f32 = 1.595_769; // 2·√(2/π)
                    const CUBIC: f32 = LINEAR * 0.044_715;
                    let inner = L::fma(L::mul(x, x), L::splat(CUBIC), L::splat(LINEAR));
                    times_sigmoid::<L>(x, L::mul(x, inner))
                }
                Self::QuickGelu => times_sigmoid::<L>(x, L::mul(x, L::splat(1.702))),
                Self::Silu => times_sigmoid::<L>(x, x),
            }
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

/// `x · sigmoid(y)` for `y` of the sign of `x`.
#[inline(always)]
unsafe fn times_sigmoid<L: Lanes>(x: L::V, y: L::V) -> L::V {
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        // Below -88 the exponential would be infinite; the quotient then is zero within 1e-36.
        let e = exp::<L>(L::min(L::splat(88.0), L::sub(L::splat(0.0), y)));
        L::div(x, L::add(L::splat(1.0), e))
    }
}

/// `x · Φ(x)`, as `max(x, 0) - |x|/2 · erfc(|x|/√2)`, which keeps its accuracy in both tails.
///
/// `erfc(z) = t · P(t) · exp(-z²)` with `t = 1 / (1 + 0.4 z)`: the form of Abramowitz and Stegun 7.1.26, with
/// a longer polynomial fitted to an absolute error of 2.4e-8.
#[inline(always)]
unsafe fn gelu<L: Lanes>(x: L::V) -> L::V {
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        let zero = L::splat(0.0);
        // The operand order keeps a NaN in `x`.
        let magnitude = L::max(L::sub(zero, x), x);
        let (ratio, gauss) = tail_parts::<L>(magnitude);
        // An infinite |x| times a vanished exponential would be NaN.
        let bounded = L::min(L::splat(1e30), magnitude);
        let tail = L::mul(L::mul(ratio, gauss), L::mul(bounded, L::splat(0.5)));
        L::sub(L::max(zero, x), tail)
    }
}

/// The normal distribution's upper tail `1 - Φ(x)` and `exp(-x²/2)`, for `x` not below 0.
///
/// # Safety
/// `L`'s instructions exist.
#[cfg(feature = "gradients")]
#[inline(always)]
pub(super) unsafe fn normal_tail<L: Lanes>(x: L::V) -> (L::V, L::V) {
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        let (ratio, gauss) = tail_parts::<L>(x);
        (L::mul(L::mul(ratio, gauss), L::splat(0.5)), gauss)
    }
}

/// `erfc(x/√2) / exp(-x²/2)` and `exp(-x²/2)`, for `x` not below 0.
#[inline(always)]
unsafe fn tail_parts<L: Lanes>(x: L::V) -> (L::V, L::V) {
    const C: [f32; 7] = [
        1.706_066_6e-2,
        -2.858_118_4e-1,
        8.869_38e-1,
        -5.668_449_6e-1,
        5.890_163e-1,
        1.223_880_5e-1,
        2.372_537_5e-1,
    ];
    // Further out the exponential is nothing beside any sum, and products with it would have fewer bits than normal
    // numbers: processors take several times as long for them.
    const LOWEST: f32 = -80.0;
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        let z = L::mul(x, L::splat(std::f32::consts::FRAC_1_SQRT_2));
        let t = L::div(L::splat(1.0), L::fma(z, L::splat(0.4), L::splat(1.0)));
        let mut p = L::splat(C[0]);
        for c in &C[1..] {
            p = L::fma(p, t, L::splat(*c));
        }
        // The constant comes first, so that NaN stays.
        let gauss = exp::<L>(L::max(L::splat(LOWEST), L::sub(L::splat(0.0), L::mul(z, z))));
        (L::mul(p, t), gauss)
    }
}

struct Apply<'a> {
    activation: Activation,
    values: &'a mut [f32],
}

impl Kernel for Apply<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let (p, len) = (self.values.as_mut_ptr(), self.values.len());
        // SAFETY: all lanes lie inside the slice; `dispatch` vouches for the instructions.
        unsafe {
            let mut i = 0;
            while i + L::WIDTH <= len {
                L::store(p.add(i), self.activation.vector::<L>(L::load(p.add(i))));
                i += L::WIDTH;
            }
            if i < len {
                let value = self.activation.vector::<L>(L::load_partial(p.add(i), len - i));
                L::store_partial(p.add(i), value, len - i);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// erf by its series and, further out, by the continued fraction of erfc; both to f64 accuracy.
    fn erf(x: f64) -> f64 {
        let z = x.abs();
        let value = if z < 2.5 {
            let (mut term, mut sum) = (z, z);
            for n in 1..80 {
                let n = f64::from(n);
                term *= -z * z / n;
                sum += term / (2.0 * n + 1.0);
            }
            sum * 2.0 / std::f64::consts::PI.sqrt()
        } else {
            let mut fraction = 0.0;
            for n in (1..120).rev() {
                fraction = f64::from(n) * 0.5 / (z + fraction);
            }
            1.0 - (-z * z).exp() / ((z + fraction) * std::f64::consts::PI.sqrt())
        };
        value.copysign(x)
    }

    fn reference(activation: Activation, x: f64) -> f64 {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        match activation {
            Activation::Gelu => 0.5 * x * (1.0 + erf(x / 2.0_f64.sqrt())),
            Activation::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                0.5 * x * (1.0 + inner.tanh())
            }
            Activation::QuickGelu => x * sigmoid(1.702 * x),
            Activation::Silu => x * sigmoid(x),
        }
    }

    const ALL: [Activation; 4] = [
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::QuickGelu,
        Activation::Silu,
    ];

    #[test]
    fn erf_of_the_test_is_right() {
        for (x, y) in [
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (3.0, 0.999_977_909_503_001_4),
        ] {
            assert!((erf(x) - y).abs() < 1e-15, "{x}");
        }
        assert!((erf(2.499_999_9) - erf(2.5)).abs() < 1e-9);
    }

    #[test]
    fn functions_agree_with_double_precision() {
        let inputs: Vec<f32> = (-60_000..=60_000).map(|i| i as f32 / 4000.0).collect();
        for isa in Isa::available() {
            for activation in ALL {
                let mut values = inputs.clone();
                isa.with(|| activation.apply(&mut values));
                for (&x, &y) in inputs.iter().zip(&values) {
                    let expected = reference(activation, f64::from(x));
                    let error = (f64::from(y) - expected).abs();
                    // GELU keeps the limit where a unit in the last place is nearly as large; the others, whose
                    // sigmoid multiplies, get two such units.
                    let limit = if activation == Activation::Gelu {
                        1e-6
                    } else {
                        1e-6 + expected.abs() * 2.4e-7
                    };
                    assert!(
                        error <= limit,
                        "{isa:?} {activation:?}({x}) = {y}, not {expected}: {error:e}"
                    );
                }
            }
        }
    }

    #[test]
    fn extreme_values_and_nan() {
        for isa in Isa::available() {
            for activation in ALL {
                let mut values = [
                    -1e30,
                    1e30,
                    f32::INFINITY,
                    f32::NAN,
                    0.0,
                    -200.0,
                    200.0,
                    -f32::MIN_POSITIVE,
                ];
                isa.with(|| activation.apply(&mut values));
                let what = format!("{isa:?} {activation:?} {values:?}");
                assert!(
                    values[0].abs() < 1e-6 && values[1] == 1e30 && values[2] == f32::INFINITY,
                    "{what}"
                );
                assert!(values[3].is_nan() && values[4] == 0.0, "{what}");
                assert!(
                    values[5].abs() < 1e-6 && values[6] == 200.0 && values[7].abs() < 1e-30,
                    "{what}"
                );
            }
        }
    }

    #[test]
    fn names_go_through_text_and_json() -> Result<()> {
        for activation in ALL {
            assert_eq!(activation.name().parse::<Activation>()?, activation);
            let json = serde_json::to_string(&activation).expect("an enum of names is always valid JSON");
            assert_eq!(json, format!("\"{activation}\""));
        }
        let error = "relu6".parse::<Activation>().expect_err("relu6 is not supported");
        assert!(error.message().contains("relu6"), "{error}");
        Ok(())
    }
}
