//! The search for values that are not finite.

use super::{TensorView, MAX_RANK};
use crate::element::Element;
use crate::error::Result;
use crate::simd::load_one;

impl TensorView<'_> {
    /// The first index `[batch, row, head, column]` that holds NaN or an infinity.
    ///
    /// One pass over the memory: cheap next to an attention over the same queries.
    ///
    /// # Errors
    /// `Unsupported` when the memory is not the processor's.
    pub fn find_non_finite(&self) -> Result<Option<[usize; MAX_RANK]>> {
        self.require_cpu()?;
        let [batch, rows, heads, dim] = self.shape;
        for b in 0..batch {
            for r in 0..rows {
                for h in 0..heads {
                    let start = self.at([b, r, h, 0]);
                    let any = match (self.element, self.strides[3]) {
                        // SAFETY: the indices are inside the shape, for which the constructor vouches; the row is
                        // contiguous.
                        (Element::F32, 1) => unsafe { any_non_finite_f32(start, dim) },
                        // SAFETY: as above.
                        (Element::F16, 1) => unsafe { any_exponent_full(start, dim, 0x7c00) },
                        // SAFETY: as above.
                        (Element::BF16, 1) => unsafe { any_exponent_full(start, dim, 0x7f80) },
                        _ => true,
                    };
                    // SAFETY: as above.
                    let value = |c: usize| unsafe { load_one(self.at([b, r, h, c]), self.element) };
                    if any {
                        if let Some(c) = (0..dim).find(|&c| !value(c).is_finite()) {
                            return Ok(Some([b, r, h, c]));
                        }
                    }
                }
            }
        }
        Ok(None)
    }
}

/// # Safety
/// `dim` f32 values are readable at `p`.
unsafe fn any_non_finite_f32(p: *const u8, dim: usize) -> bool {
    let mut any = false;
    for i in 0..dim {
        // SAFETY: the caller vouches for the memory.
        let bits = unsafe { p.cast::<u32>().add(i).read_unaligned() };
        // The exponent bits are all set in NaN and infinity, and only there.
        any |= bits & 0x7f80_0000 == 0x7f80_0000;
    }
    any
}

/// # Safety
/// `dim` 16-bit values are readable at `p`.
unsafe fn any_exponent_full(p: *const u8, dim: usize, exponent: u16) -> bool {
    let mut any = false;
    for i in 0..dim {
        // SAFETY: the caller vouches for the memory.
        let bits = unsafe { p.cast::<u16>().add(i).read_unaligned() };
        any |= bits & exponent == exponent;
    }
    any
}
