//! Which instruction set the kernels use: decided once, at run time.

use std::sync::OnceLock;

/// An instruction set with kernels of its own, from the weakest to the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Isa {
    /// Plain Rust in groups of four, which compilers turn into whatever the target always has.
    Portable,
    /// x86-64 with AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ and VL.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// The same with the bf16 dot product (AVX512-BF16).
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
    /// 64-bit ARM: NEON, which all of them have.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// The same with the dot product of bytes (FEAT_DotProd).
    #[cfg(target_arch = "aarch64")]
    NeonDot,
    /// The same with bf16 arithmetic and matrix products of bytes (FEAT_BF16, FEAT_I8MM).
    #[cfg(target_arch = "aarch64")]
    NeonBf16,
}

#[cfg(test)]
thread_local! {
    static CHOSEN: std::cell::Cell<Option<Isa>> = const { std::cell::Cell::new(None) };
}

impl Isa {
    /// All of this architecture with their names in the environment variable `OMNIID_ISA`, weakest first. Names that
    /// say something about [bytes](super::bytes) only stand for the same one.
    #[cfg(target_arch = "x86_64")]
    const NAMES: [(&str, Self); 5] = [
        ("portable", Self::Portable),
        ("avx2", Self::Avx2),
        ("avx2_vnni", Self::Avx2),
        ("avx512", Self::Avx512),
        ("avx512_bf16", Self::Avx512Bf16),
    ];
    #[cfg(target_arch = "aarch64")]
    const NAMES: [(&str, Self); 4] = [
        ("portable", Self::Portable),
        ("neon", Self::Neon),
        ("neon_dot", Self::NeonDot),
        ("neon_bf16", Self::NeonBf16),
    ];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    const NAMES: [(&str, Self); 1] = [("portable", Self::Portable)];

    /// The strongest one this processor has. The environment variable `OMNIID_ISA` lowers it to one of those named
    /// in the description of the crate; any other value changes nothing. It is read once.
    pub(crate) fn detect() -> Self {
        static DETECTED: OnceLock<Isa> = OnceLock::new();
        *DETECTED.get_or_init(|| {
            let strongest = Self::strongest();
            let asked = std::env::var("OMNIID_ISA").ok();
            let named = Self::NAMES.iter().find(|(name, _)| Some(*name) == asked.as_deref());
            named.map_or(strongest, |(_, isa)| strongest.min(*isa))
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

    #[cfg(target_arch = "aarch64")]
    fn strongest() -> Self {
        use std::arch::is_aarch64_feature_detected;
        let neon = is_aarch64_feature_detected!("neon");
        let dot = neon && is_aarch64_feature_detected!("dotprod");
        let bf16 = dot && is_aarch64_feature_detected!("bf16") && is_aarch64_feature_detected!("i8mm");
        match (neon, dot, bf16) {
            (_, _, true) => Self::NeonBf16,
            (_, true, _) => Self::NeonDot,
            (true, _, _) => Self::Neon,
            _ => Self::Portable,
        }
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn strongest() -> Self {
        Self::Portable
    }

    /// Whether its kernels multiply pairs of bf16: then products with bf16 weights round the other operand, too.
    pub(crate) fn multiplies_bf16(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        let strong = self >= Self::Avx512Bf16;
        #[cfg(target_arch = "aarch64")]
        let strong = self >= Self::NeonBf16;
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let strong = false;
        strong
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
        Self::all().filter(|&isa| isa <= Self::detect())
    }

    #[cfg(test)]
    fn all() -> impl Iterator<Item = Self> {
        let mut all: Vec<Self> = Self::NAMES.iter().map(|(_, isa)| *isa).collect();
        all.dedup();
        all.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use omniid_test_support::{skip, Missing};

    /// Tests of kernels run every variant that the processor has. The others are reported here.
    #[test]
    fn variants_that_cannot_be_tested_are_reported() {
        for isa in Isa::all().filter(|&isa| isa > Isa::detect()) {
            let why = format!("the processor cannot run the {isa:?} kernels");
            skip(Missing::Hardware, &why, "a processor that can");
        }
    }
}
