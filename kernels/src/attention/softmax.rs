//! Scores to exponentials.

use crate::simd::{exp2, Lanes};

/// Turns `len` scores (in powers of two) into exponentials relative to the greatest score, `before` included.
/// Returns the greatest score and the sum of the exponentials.
///
/// # Safety
/// The row is writable up to the next whole vector.
#[inline(always)]
pub(super) unsafe fn softmax<L: Lanes>(row: *mut f32, len: usize, before: Option<f32>) -> (f32, f32) {
    // SAFETY: the caller vouches for the row.
    unsafe {
        let end = len.next_multiple_of(L::WIDTH);
        for t in len..end {
            *row.add(t) = f32::NEG_INFINITY;
        }
        let mut greatest = L::splat(before.unwrap_or(f32::NEG_INFINITY));
        let mut t = 0;
        while t < end {
            greatest = L::max(greatest, L::load(row.add(t)));
            t += L::WIDTH;
        }
        let greatest = L::reduce_max(greatest);
        let offset = L::splat(greatest);
        let mut total = L::splat(0.0);
        let mut t = 0;
        while t < end {
            let value = exp2::<L>(L::sub(L::load(row.add(t)), offset));
            L::store(row.add(t), value);
            total = L::add(total, value);
            t += L::WIDTH;
        }
        (greatest, L::reduce_add(total))
    }
}

/// Turns `len` scores into 2 to the power of `factor` times their distance from `greatest`. Returns their sum.
///
/// # Safety
/// The row is writable up to the next whole vector.
#[inline(always)]
pub(super) unsafe fn powers<L: Lanes>(row: *mut f32, len: usize, greatest: f32, factor: f32) -> f32 {
    // SAFETY: the caller vouches for the row.
    unsafe {
        let end = len.next_multiple_of(L::WIDTH);
        for t in len..end {
            *row.add(t) = f32::NEG_INFINITY;
        }
        let (offset, factor) = (L::splat(greatest), L::splat(factor));
        let mut total = L::splat(0.0);
        let mut t = 0;
        while t < end {
            let value = exp2::<L>(L::mul(L::sub(L::load(row.add(t)), offset), factor));
            L::store(row.add(t), value);
            total = L::add(total, value);
            t += L::WIDTH;
        }
        L::reduce_add(total)
    }
}
