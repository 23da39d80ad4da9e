//! Tests of what the lanes compute, on every instruction set of the processor.

use super::*;
use crate::simd::{dispatch, Isa};

/// Powers of 2 of whole vectors.
struct Powers<'a> {
    values: &'a mut [f32],
    coarse: bool,
}

impl Kernel for Powers<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        for values in self.values.chunks_exact_mut(L::WIDTH) {
            // SAFETY: the chunk is a vector.
            unsafe {
                let x = L::load(values.as_ptr());
                let power = match self.coarse {
                    true => exp2_bounded::<L, true>(x),
                    false => exp2_bounded::<L, false>(x),
                };
                L::store(values.as_mut_ptr(), power);
            }
        }
    }
}

#[test]
fn bounded_powers_are_powers() {
    let inputs: Vec<f32> = (0..16_000).map(|i| i as f32 * 0.0101 - 124.0).collect();
    for isa in Isa::available() {
        for (coarse, limit) in [(false, 1.5e-7), (true, 1.1e-4)] {
            let mut values = inputs.clone();
            // SAFETY: nothing is asked.
            unsafe {
                dispatch(
                    isa,
                    Powers {
                        values: &mut values,
                        coarse,
                    },
                )
            };
            for (x, y) in inputs.iter().zip(&values) {
                let exact = f64::from(*x).exp2();
                assert!(
                    (f64::from(*y) / exact - 1.0).abs() <= limit,
                    "{isa:?}: 2^{x} is not {y}"
                );
            }
            let mut special = [0.0_f32; 16];
            special[..8].copy_from_slice(&[0.0, -3.0, 5.0, -1e9, f32::NEG_INFINITY, f32::NAN, -126.5, -f32::MAX]);
            // A NaN with other bits.
            special[8] = f32::from_bits(0xffab_cdef);
            // SAFETY: nothing is asked.
            unsafe {
                dispatch(
                    isa,
                    Powers {
                        values: &mut special,
                        coarse,
                    },
                )
            };
            assert_eq!(special[..3], [1.0, 0.125, 32.0], "{isa:?}");
            assert!(
                [3, 4, 6, 7].iter().all(|&i| (0.0..3e-38).contains(&special[i])),
                "{isa:?}: {special:?}"
            );
            assert!(special[5].is_nan() && special[8].is_nan(), "{isa:?}: {special:?}");
        }
    }
}

/// One block to transpose. Returns its width.
struct Transpose {
    from: *const u32,
    to: *mut u32,
    to_stride: usize,
}

const FROM_STRIDE: usize = 21;

impl Kernel for Transpose {
    type Output = usize;

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) -> usize {
        // SAFETY: the creator vouches for the memory.
        unsafe {
            L::transpose(self.from, FROM_STRIDE, self.to, self.to_stride);
            L::prefetch(self.from.cast());
        }
        L::WIDTH
    }
}

#[test]
fn transposed_blocks_hold_the_words_of_the_other_order() {
    // All kinds of bits: NaN and others must stay as they are.
    let from: Vec<u32> = (0..16 * FROM_STRIDE as u32)
        .map(|i| i.wrapping_mul(0x9e37_79b9))
        .collect();
    for isa in Isa::available() {
        // Rows of the result may overlap; of each, what lies before the next one stays.
        for to_stride in [16, 19, 8, 5] {
            let mut to = vec![7_u32; 16 * 19 + 16];
            let block = Transpose {
                from: from.as_ptr(),
                to: to.as_mut_ptr(),
                to_stride,
            };
            // SAFETY: both sides have memory for 16 rows.
            let width = unsafe { dispatch(isa, block) };
            for row in 0..width {
                for column in 0..width.min(to_stride) {
                    let found = to[row * to_stride + column];
                    assert_eq!(
                        found,
                        from[column * FROM_STRIDE + row],
                        "{isa:?} {row} {column} {to_stride}"
                    );
                }
            }
            assert!(to[(width - 1) * to_stride + width..].iter().all(|&word| word == 7));
        }
    }
}
