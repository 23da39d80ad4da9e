//! Powers of scores beside those that become the probabilities.

use super::tile::VECTORS;
use crate::simd::{exp2_bounded, Lanes};

/// 2 to the power of `factor` times the distance of the greatest score `before` from that of `now`; 0 where there was
/// none.
///
/// # Safety
/// `L`'s instructions exist.
#[inline(always)]
pub(super) unsafe fn correction<L: Lanes>(before: L::V, now: L::V, factor: f32) -> L::V {
    // SAFETY: the caller vouches for the instructions.
    unsafe { exp2_bounded::<L, false>(L::mul(L::sub(before, now), L::splat(factor))) }
}

/// The sums of 2 to the power of `factor` times the distance of `len` scores from `greatest`, in every lane.
///
/// # Safety
/// `scores` is readable for `len` vectors at distance [`VECTORS`]; `L`'s instructions exist.
#[inline(always)]
pub(super) unsafe fn powers<L: Lanes>(scores: *const f32, len: usize, greatest: L::V, factor: f32) -> L::V {
    // SAFETY: the caller vouches for the scores.
    unsafe {
        let factor = L::splat(factor);
        let mut total = L::splat(0.0);
        for t in 0..len {
            let score = L::load(scores.add(t * VECTORS * L::WIDTH));
            let value = exp2_bounded::<L, false>(L::mul(L::sub(score, greatest), factor));
            total = L::add(total, value);
        }
        total
    }
}
