//! 8-bit floating-point numbers, as files for ComfyUI and others store weights: `float8_e4m3fn` and `float8_e5m2`.
//!
//! Formats: "FP8 Formats for Deep Learning", <https://arxiv.org/abs/2209.05433>. A tensor often comes with a scale, by
//! which its values are to be multiplied; see [`quantised`](super::quantised).

use std::sync::OnceLock;

/// One of the two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Float8 {
    /// 1 sign, 4 exponent (bias 7), 3 mantissa bits. No infinities; both codes with all bits set are NaN.
    E4m3,
    /// 1 sign, 5 exponent (bias 15), 2 mantissa bits, with infinities and NaN as in IEEE 754.
    E5m2,
}

impl Float8 {
    /// The name in safetensors.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::E4m3 => "F8_E4M3",
            Self::E5m2 => "F8_E5M2",
        }
    }

    /// The number that `code` stands for.
    pub(super) fn value(self, code: u8) -> f32 {
        self.values()[usize::from(code)]
    }

    /// The numbers of all codes.
    pub(super) fn values(self) -> &'static [f32; 256] {
        static E4M3: OnceLock<[f32; 256]> = OnceLock::new();
        static E5M2: OnceLock<[f32; 256]> = OnceLock::new();
        let table =
            |mantissa_bits: u32, bias: i32| std::array::from_fn(|code| self.decode(code as u8, mantissa_bits, bias));
        match self {
            Self::E4m3 => E4M3.get_or_init(|| table(3, 7)),
            Self::E5m2 => E5M2.get_or_init(|| table(2, 15)),
        }
    }

    fn decode(self, code: u8, mantissa_bits: u32, bias: i32) -> f32 {
        let sign = if code & 0x80 == 0 { 1.0 } else { -1.0 };
        let mantissa = f32::from(code & ((1 << mantissa_bits) - 1));
        let exponent = i32::from((code & 0x7f) >> mantissa_bits);
        match (self, code & 0x7f) {
            (Self::E4m3, 0x7f) => return f32::NAN,
            (Self::E5m2, 0x7c) => return sign * f32::INFINITY,
            (Self::E5m2, 0x7d..) => return f32::NAN,
            _ => {}
        }
        let steps = (1u32 << mantissa_bits) as f32;
        match exponent {
            // Subnormal numbers have no leading one.
            0 => sign * (mantissa / steps) * 2f32.powi(1 - bias),
            _ => sign * (1.0 + mantissa / steps) * 2f32.powi(exponent - bias),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every code against the definition, by whole numbers: value = ± significand · 2^shift.
    #[test]
    fn every_code_has_its_value() {
        for (kind, mantissa_bits, bias) in [(Float8::E4m3, 3u32, 7i32), (Float8::E5m2, 2, 15)] {
            for code in 0..=255u8 {
                let (low, field) = (
                    i32::from(code) % (1 << mantissa_bits),
                    i32::from(code & 0x7f) >> mantissa_bits,
                );
                let value = kind.value(code);
                let top = field == if kind == Float8::E4m3 { 15 } else { 31 };
                if kind == Float8::E4m3 && top && low == 7 || kind == Float8::E5m2 && top && low != 0 {
                    assert!(value.is_nan(), "{kind:?} {code:#x}");
                    continue;
                }
                let significand = low + if field > 0 { 1 << mantissa_bits } else { 0 };
                let shift = field.max(1) - bias - mantissa_bits as i32;
                let magnitude = f64::from(significand) * f64::from(shift).exp2();
                let expected = if kind == Float8::E5m2 && top {
                    f64::INFINITY
                } else {
                    magnitude
                };
                let expected = if code < 128 { expected } else { -expected };
                assert_eq!(f64::from(value), expected, "{kind:?} {code:#x}");
                assert_eq!(value.is_sign_negative(), code >= 128, "{kind:?} {code:#x}");
            }
        }
        // Landmarks of the paper's table 1.
        assert_eq!(
            (Float8::E4m3.value(0x7e), Float8::E4m3.value(0x01)),
            (448.0, 2f32.powi(-9))
        );
        assert_eq!(
            (Float8::E5m2.value(0x7b), Float8::E5m2.value(0x01)),
            (57344.0, 2f32.powi(-16))
        );
    }
}
