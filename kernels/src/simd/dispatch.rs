//! Runs a kernel with the instruction set chosen at run time.

use super::isa::Isa;
use super::lanes::Kernel;
use super::portable::Portable;

/// Runs `kernel` with the lanes of `isa`, or of the strongest instruction set where the processor lacks it.
///
/// # Safety
/// What the kernel asks of its fields holds.
#[inline]
pub(crate) unsafe fn dispatch<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        use super::x86::{avx2, avx512, avx512_bf16};
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
    #[cfg(target_arch = "aarch64")]
    {
        use super::neon::{neon, neon_bf16, neon_dot};
        // SAFETY: the minimum with the detected set is one that the processor has.
        unsafe {
            match isa.min(Isa::detect()) {
                Isa::Portable => kernel.run::<Portable>(),
                Isa::Neon => neon(kernel),
                Isa::NeonDot => neon_dot(kernel),
                Isa::NeonBf16 => neon_bf16(kernel),
            }
        }
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let _ = isa;
        // SAFETY: portable lanes need no special instructions.
        unsafe { kernel.run::<Portable>() }
    }
}
