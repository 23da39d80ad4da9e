//! Which instruction set the kernels use: decided once, at run time.

use super::lanes::Lanes;
use super::lanes_portable::Portable;
use super::scoped::scoped;
use std::cell::Cell;
use std::sync::OnceLock;

/// An instruction set with kernels of its own, from the weakest to the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Plain Rust in groups of four, which compilers turn into whatever the target always has.
    Portable,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ and VL.
    Avx512,
    /// The same with the bf16 dot product (AVX512-BF16).
    Avx512Bf16,
}

thread_local! {
    static CHOSEN: Cell<Option<Isa>> = const { Cell::new(None) };
}

impl Isa {
    /// The strongest one this processor has. The environment variable `OMNIID_ISA` (`portable`, `avx2`,
    /// `avx512`) lowers it; it is read once.
    pub fn detect() -> Self {
        static DETECTED: OnceLock<Isa> = OnceLock::new();
        *DETECTED.get_or_init(|| {
            let asked = match std::env::var("OMNIID_ISA").as_deref() {
                Ok("portable") => Self::Portable,
                Ok("avx2") => Self::Avx2,
                Ok("avx512") => Self::Avx512,
                _ => Self::Avx512Bf16,
            };
            asked.min(Self::strongest())
        })
    }

    #[cfg(target_arch = "x86_64")]
    fn strongest() -> Self {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
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

    /// The one that kernels started by this thread use: [`detect`](Self::detect), unless inside
    /// [`with`](Self::with).
    pub fn current() -> Self {
        CHOSEN
            .get()
            .map_or_else(Self::detect, |isa| isa.min(Self::detect()))
    }

    /// Runs `function` with the kernels that this thread starts held down to `self`, to compare instruction
    /// sets. One that the processor lacks is replaced by the strongest it has.
    pub fn with<R>(self, function: impl FnOnce() -> R) -> R {
        scoped(&CHOSEN, Some(self), function)
    }

    /// All that this processor can run, weakest first.
    pub fn available() -> impl Iterator<Item = Self> {
        [Self::Portable, Self::Avx2, Self::Avx512, Self::Avx512Bf16]
            .into_iter()
            .filter(|&isa| isa <= Self::detect())
    }
}

/// A computation written once over [`Lanes`] and compiled for each instruction set.
pub(super) trait Kernel {
    /// What it returns.
    type Output;

    /// The computation. Implementations are `#[inline(always)]`, so that they are compiled inside the
    /// function that enables the instructions.
    ///
    /// # Safety
    /// The processor has the instructions of `L`, and what the implementation asks of its own fields holds.
    unsafe fn run<L: Lanes>(self) -> Self::Output;
}

/// Runs `kernel` with the lanes of `isa`, or of the strongest instruction set where the processor lacks it.
///
/// # Safety
/// What the kernel asks of its fields holds.
#[inline]
pub(super) unsafe fn dispatch<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        use super::lanes_x86::{avx2, avx512, avx512_bf16};
        // SAFETY: the minimum with the detected set is one that the processor has.
        unsafe {
            match isa.min(Isa::detect()) {
                Isa::Portable => kernel.run::<Portable>(),
                Isa::Avx2 => avx2(kernel),
                Isa::Avx512 => avx512(kernel),
                Isa::Avx512Bf16 => avx512_bf16(kernel),
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = isa;
        // SAFETY: portable lanes need no special instructions.
        unsafe { kernel.run::<Portable>() }
    }
}
