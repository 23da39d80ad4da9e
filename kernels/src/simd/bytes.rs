//! Runs kernels of bytes: processors have the dot product of bytes (VNNI) beside other instruction sets, in two forms.

use super::dispatch::dispatch;
use super::isa::Isa;
use super::lanes::Kernel;

/// An instruction set, and whether its dot product of bytes is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByteIsa {
    pub(crate) isa: Isa,
    pub(crate) vnni: bool,
}

#[cfg(test)]
thread_local! {
    static WITHOUT: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

impl ByteIsa {
    /// [`Isa::current`] with VNNI where the processor has it. `OMNIID_ISA=avx2` and `avx512` leave it out, `avx2_vnni`
    /// is AVX2 with it.
    pub(crate) fn current() -> Self {
        let isa = Isa::current();
        #[cfg(test)]
        if WITHOUT.get() {
            return Self { isa, vnni: false };
        }
        Self {
            isa,
            vnni: allowed() && has_vnni(isa),
        }
    }

    /// Runs `function` with the byte kernels that this thread starts held down to `self`.
    #[cfg(test)]
    pub(crate) fn with<R>(self, function: impl FnOnce() -> R) -> R {
        crate::threads::scoped(&WITHOUT, !self.vnni, || self.isa.with(function))
    }

    /// All that this processor can run, weakest first.
    #[cfg(test)]
    pub(crate) fn available() -> impl Iterator<Item = Self> {
        let both = |isa| [false, true].into_iter().map(move |vnni| Self { isa, vnni });
        Isa::available()
            .flat_map(both)
            .filter(|kind| !kind.vnni || (allowed() && has_vnni(kind.isa)))
    }
}

/// Whether the environment leaves VNNI on.
fn allowed() -> bool {
    static ALLOWED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *ALLOWED.get_or_init(|| {
        !matches!(
            std::env::var("OMNIID_ISA").as_deref(),
            Ok("portable" | "avx2" | "avx512")
        )
    })
}

#[cfg(target_arch = "x86_64")]
fn has_vnni(isa: Isa) -> bool {
    match isa {
        Isa::Portable => false,
        Isa::Avx2 => is_x86_feature_detected!("avxvnni"),
        Isa::Avx512 | Isa::Avx512Bf16 => is_x86_feature_detected!("avx512vnni"),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn has_vnni(_isa: Isa) -> bool {
    false
}

/// [`dispatch`] with the dot product of bytes.
///
/// # Safety
/// As [`dispatch`]; `kind` comes from [`ByteIsa::current`].
#[inline]
pub(crate) unsafe fn dispatch_bytes<K: Kernel>(kind: ByteIsa, kernel: K) -> K::Output {
    // SAFETY: the caller vouches for the kernel; VNNI is set only where the processor has it.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if kind.vnni {
            return match kind.isa {
                Isa::Portable => dispatch(kind.isa, kernel),
                Isa::Avx2 => super::x86::avx2_vnni(kernel),
                Isa::Avx512 | Isa::Avx512Bf16 => super::x86::avx512_vnni(kernel),
            };
        }
        // bf16 has no part in it.
        #[cfg(target_arch = "x86_64")]
        let isa = kind.isa.min(Isa::Avx512);
        #[cfg(not(target_arch = "x86_64"))]
        let isa = kind.isa;
        dispatch(isa, kernel)
    }
}
