//! Plain loops compiled for wide vectors.

/// Runs `work`, with its loops compiled for 256-bit vectors where the processor has them. The same arithmetic, in the
/// same order, on every processor. What `work` calls must be inlined to profit.
#[inline(always)]
pub fn vectorised(work: impl FnOnce()) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has the feature.
        return unsafe { wide(work) };
    }
    work();
}

/// [`vectorised`] on processors with AVX2. Without fused multiplication and addition, which would round otherwise.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn wide(work: impl FnOnce()) {
    work();
}
