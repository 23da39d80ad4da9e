//! Which instruction set the kernels use: decided once, at run time.

use std::sync::OnceLock;

/// An instruction set with kernels of its own, from the weakest to the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Isa {
    /// Plain Rust in groups of four, which compilers turn into whatever the target always has.
    Portable,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ and VL.
    Avx512,
    /// The same with the bf16 dot product (AVX512-BF16).
    Avx512Bf16,
}

#[cfg(test)]
thread_local! {
    static CHOSEN: std::cell::Cell<Option<Isa>> = const { std::cell::Cell::new(None) };
}

impl Isa {
    /// The strongest one this processor has. The environment variable `OMNIID_ISA` (`portable`, `avx2`, `avx2_vnni`,
    /// `avx512`) lowers it; it is read once.
    pub(crate) fn detect() -> Self {
        static DETECTED: OnceLock<Isa> = OnceLock::new();
        *DETECTED.get_or_init(|| {
            let asked = match std::env::var("OMNIID_ISA").as_deref() {
                Ok("portable") => Self::Portable,
                Ok("avx2" | "avx2_vnni") => Self::Avx2,
                Ok("avx512") => Self::Avx512,
                _ => Self::Avx512Bf16,
            };
            asked.min(Self::strongest())
        })
    }

    #[cfg(target_arch = "x86_64")]
    fn strongest() -> Self {
        let avx2 =
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        let avx512 = avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        match (avx2, avx512, avx512 && is_x86_feature_detected!("avx512bf16")) {
            (_, _, true) => Self::Avx512Bf16,
            (_, true, _) => Self::Avx512,
            (true, _, _) => Self::Avx2,
            _ => Self::Portable,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn strongest() -> Self {
        Self::Portable
    }

    /// The one that kernels started by this thread use: [`detect`](Self::detect), unless a test runs inside `with`.
    pub(crate) fn current() -> Self {
        #[cfg(test)]
        if let Some(isa) = CHOSEN.get() {
            return isa.min(Self::detect());
        }
        Self::detect()
    }

    /// Runs `function` with the kernels that this thread starts held down to `self`, to compare instruction
    /// sets. One that the processor lacks is replaced by the strongest it has.
    #[cfg(test)]
    pub(crate) fn with<R>(self, function: impl FnOnce() -> R) -> R {
        crate::threads::scoped(&CHOSEN, Some(self), function)
    }

    /// All that this processor can run, weakest first.
    #[cfg(test)]
    pub(crate) fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|&isa| isa <= Self::detect())
    }

    #[cfg(test)]
    const ALL: [Self; 4] = [Self::Portable, Self::Avx2, Self::Avx512, Self::Avx512Bf16];
}

#[cfg(test)]
mod tests {
    use super::*;
    use omniid_test_support::{skip, Missing};

    /// Tests of kernels run every variant that the processor has. The others are reported here.
    #[test]
    fn variants_that_cannot_be_tested_are_reported() {
        for isa in Isa::ALL.into_iter().filter(|&isa| isa > Isa::detect()) {
            let why = format!("the processor cannot run the {isa:?} kernels");
            skip(Missing::Hardware, &why, "a processor that can");
        }
    }
}
