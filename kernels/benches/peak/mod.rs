//! The arithmetic peak of one thread, measured: what fractions of the peak refer to.

use std::hint::black_box;

/// Whether the peak is that of AVX-512: where the processor has it and `OMNIID_ISA` does not forbid it.
#[cfg(target_arch = "x86_64")]
fn is_wide() -> bool {
    static WIDE: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *WIDE.get_or_init(|| {
        let asked = std::env::var("OMNIID_ISA").unwrap_or_default();
        is_x86_feature_detected!("avx512f") && !asked.starts_with("avx2") && asked != "portable"
    })
}

/// Floating-point operations of [`peak`]; 0 where the instruction set is not known.
#[cfg(target_arch = "x86_64")]
pub fn operations(rounds: u64) -> u64 {
    if is_wide() {
        rounds * 16 * 16 * 2
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        rounds * 12 * 8 * 2
    } else {
        0
    }
}

/// Nothing is measured on other processors.
#[cfg(not(target_arch = "x86_64"))]
pub fn operations(_rounds: u64) -> u64 {
    0
}

/// Nothing is measured on other processors.
#[cfg(not(target_arch = "x86_64"))]
pub fn peak(_rounds: u64) {}

/// Independent chains of multiply-adds in registers: what no kernel can exceed.
#[cfg(target_arch = "x86_64")]
pub fn peak(rounds: u64) {
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f")]
    fn wide(rounds: u64) -> f32 {
        let (a, b) = (_mm512_set1_ps(black_box(0.999)), _mm512_set1_ps(black_box(0.001)));
        let mut sums = [_mm512_set1_ps(1.0); 16];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, a, b);
            }
        }
        sums.iter().map(|&sum| _mm512_reduce_add_ps(sum)).sum()
    }

    #[target_feature(enable = "avx2,fma")]
    fn narrow(rounds: u64) -> f32 {
        let (a, b) = (_mm256_set1_ps(black_box(0.999)), _mm256_set1_ps(black_box(0.001)));
        let mut sums = [_mm256_set1_ps(1.0); 12];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, a, b);
            }
        }
        sums.iter().map(|&sum| _mm256_cvtss_f32(sum)).sum()
    }

    if is_wide() {
        // SAFETY: the processor has the instructions.
        black_box(unsafe { wide(rounds) });
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has the instructions.
        black_box(unsafe { narrow(rounds) });
    }
}
