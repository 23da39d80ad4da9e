//! Packing of f32 matrices that change between products: vectorised and shared by the threads.

use super::packed::{PackedMatrix, Storage};
use super::tile::COLUMNS;
use crate::element::Element;
use crate::error::{Error, Result};
use crate::simd::{dispatch, Isa, Kernel, Lanes};
use crate::threads::{Target, ThreadPool};

/// Values below which one thread packs faster than several.
const SERIAL_VALUES: usize = 1 << 15;

/// How the matrix lies in memory.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    /// `[outputs, inputs]`
    Rows,
    /// `[inputs, outputs]`
    Columns,
}

/// The values of a [`PackedMatrix`] that training multiplies with.
#[derive(Clone, Copy)]
pub(crate) enum Panels<'a> {
    /// `[panel][input][COLUMNS]`
    F32(&'a [f32]),
    /// `[panel][pair of inputs][COLUMNS]`, bf16
    Pairs(&'a [u32]),
}

impl PackedMatrix {
    /// The packed values of a matrix that [`pack_f32`](Self::pack_f32) or [`pack_transposed`](Self::pack_transposed)
    /// made.
    pub(crate) fn panels(&self) -> Panels<'_> {
        match &self.storage {
            Storage::F32(values) => Panels::F32(values),
            Storage::BF16(words) => Panels::Pairs(words),
            Storage::F16(_) | Storage::Bytes(_) => unreachable!("training packs f32 and bf16"),
        }
    }

    /// [`pack`](Self::pack) for weights that change with every training step: all threads of `pool` take part.
    /// Numbers below 2^-126 may become zero in [`Element::BF16`]; [`Element::F16`] is packed as f32.
    ///
    /// # Errors
    /// `InvalidArgument` when `weight` does not have `outputs · inputs` values.
    pub(crate) fn pack_f32(
        pool: &ThreadPool,
        weight: &[f32],
        outputs: usize,
        inputs: usize,
        element: Element,
    ) -> Result<Self> {
        pack(pool, weight, outputs, inputs, element, Order::Rows)
    }

    /// [`pack_f32`](Self::pack_f32) from the transposed matrix `[inputs, outputs]`: with a layer's weight, the
    /// product that takes the gradient of its output to that of its input.
    ///
    /// # Errors
    /// As [`pack_f32`](Self::pack_f32).
    pub(crate) fn pack_transposed(
        pool: &ThreadPool,
        weight: &[f32],
        outputs: usize,
        inputs: usize,
        element: Element,
    ) -> Result<Self> {
        pack(pool, weight, outputs, inputs, element, Order::Columns)
    }
}

fn pack(
    pool: &ThreadPool,
    weight: &[f32],
    outputs: usize,
    inputs: usize,
    element: Element,
    order: Order,
) -> Result<PackedMatrix> {
    if inputs == 0 || outputs == 0 || outputs.checked_mul(inputs) != Some(weight.len()) {
        return Err(Error::invalid(format!(
            "{} weights are not a matrix of {outputs} rows of {inputs}",
            weight.len()
        )));
    }
    let isa = Isa::current();
    let panels = outputs.div_ceil(COLUMNS);
    let brain = element == Element::BF16;
    let words = if brain { inputs.div_ceil(2) } else { inputs } * COLUMNS;
    let run = |target: Target<u32>| {
        let pack = |panel: usize| {
            let target = &target;
            let block = Panel {
                weight,
                outputs,
                inputs,
                order,
                brain,
                panel,
                // SAFETY: the target has `panels` times `words` words.
                to: unsafe { target.0.add(panel * words) },
            };
            // SAFETY: the lengths were checked, and each task writes a panel of its own.
            unsafe { dispatch(isa, block) }
        };
        if weight.len() < SERIAL_VALUES {
            (0..panels).for_each(pack);
        } else {
            pool.run(panels, &pack);
        }
    };
    let storage = if brain {
        let mut packed = vec![0_u32; panels * words];
        run(Target(packed.as_mut_ptr()));
        Storage::BF16(packed.into())
    } else {
        let mut packed = vec![0.0_f32; panels * words];
        run(Target(packed.as_mut_ptr().cast()));
        Storage::F32(packed.into())
    };
    Ok(PackedMatrix {
        storage,
        inputs,
        outputs,
    })
}

/// One panel of [`COLUMNS`] outputs. Its words are zero before.
struct Panel<'a> {
    weight: &'a [f32],
    outputs: usize,
    inputs: usize,
    order: Order,
    brain: bool,
    panel: usize,
    to: *mut u32,
}

impl Kernel for Panel<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let first = self.panel * COLUMNS;
        let columns = COLUMNS.min(self.outputs - first);
        // SAFETY: the weights have `outputs · inputs` values, the panel `inputs` steps of COLUMNS words, or half as
        // many for pairs.
        unsafe {
            match self.order {
                Order::Rows => {
                    for column in 0..columns {
                        let from = self.weight.as_ptr().add((first + column) * self.inputs);
                        self.scatter::<L>(from, self.to.add(column));
                    }
                }
                Order::Columns => {
                    let from = self.weight.as_ptr().add(first);
                    let steps = if self.brain {
                        self.inputs.div_ceil(2)
                    } else {
                        self.inputs
                    };
                    for step in 0..steps {
                        let to = self.to.add(step * COLUMNS);
                        if self.brain {
                            let low = from.add(2 * step * self.outputs);
                            let high = (2 * step + 1 < self.inputs).then(|| low.add(self.outputs));
                            pair_rows::<L>(low, high, columns, to);
                        } else {
                            copy::<L>(from.add(step * self.outputs), columns, to.cast());
                        }
                    }
                }
            }
        }
    }
}

impl Panel<'_> {
    /// Spreads one row of the weights over a column of the panel.
    #[inline(always)]
    unsafe fn scatter<L: Lanes>(&self, from: *const f32, to: *mut u32) {
        // Pieces that stay in the nearest cache between the conversion and the scattered writes.
        let mut piece = [0_u32; 64];
        let step = if self.brain { 128 } else { 64 };
        let mut start = 0;
        // SAFETY: the row has `inputs` values; a piece takes `count` of them, or half as many pairs.
        unsafe {
            while start < self.inputs {
                let count = step.min(self.inputs - start);
                let (words, first) = if self.brain {
                    let halves = piece.as_mut_ptr().cast::<u16>();
                    let mut i = 0;
                    while i + L::WIDTH <= count {
                        L::store_bf16(halves.add(i), L::load(from.add(start + i)));
                        i += L::WIDTH;
                    }
                    while i < count.next_multiple_of(2) {
                        let value = if i < count { *from.add(start + i) } else { 0.0 };
                        *halves.add(i) = half::bf16::from_f32(value).to_bits();
                        i += 1;
                    }
                    (count.div_ceil(2), start / 2)
                } else {
                    copy::<L>(from.add(start), count, piece.as_mut_ptr().cast());
                    (count, start)
                };
                for (i, word) in piece.iter().take(words).enumerate() {
                    *to.add((first + i) * COLUMNS) = *word;
                }
                start += count;
            }
        }
    }
}

/// Copies `count` values.
///
/// # Safety
/// Both sides have `count` values; `L`'s instructions exist.
#[inline(always)]
pub(crate) unsafe fn copy<L: Lanes>(from: *const f32, count: usize, to: *mut f32) {
    // SAFETY: the caller vouches for the memory and the instructions.
    unsafe {
        let mut i = 0;
        while i + L::WIDTH <= count {
            L::store(to.add(i), L::load(from.add(i)));
            i += L::WIDTH;
        }
        if i < count {
            L::store_partial(to.add(i), L::load_partial(from.add(i), count - i), count - i);
        }
    }
}

/// Rounds `count` values of two rows to bf16 pairs; without a second row its half is zero.
///
/// # Safety
/// The rows have `count` values, the target `count` words; `L`'s instructions exist.
#[inline(always)]
pub(super) unsafe fn pair_rows<L: Lanes>(low: *const f32, high: Option<*const f32>, count: usize, to: *mut u32) {
    // SAFETY: the caller vouches for the memory and the instructions.
    unsafe {
        let mut i = 0;
        while i + L::WIDTH <= count {
            let upper = high.map_or(L::splat(0.0), |high| L::load(high.add(i)));
            L::store_bf16_pairs(to.add(i), L::load(low.add(i)), upper);
            i += L::WIDTH;
        }
        if i < count {
            let rest = count - i;
            let lower = L::load_partial(low.add(i), rest);
            let upper = high.map_or(L::splat(0.0), |high| L::load_partial(high.add(i), rest));
            // Wide enough for the widest vector.
            let mut words = [0_u32; 16];
            L::store_bf16_pairs(words.as_mut_ptr(), lower, upper);
            to.add(i).copy_from_nonoverlapping(words.as_ptr(), rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919) % 2003) as f32 / 1000.0 - 1.0).collect()
    }

    #[test]
    fn both_orders_hold_the_matrix() {
        let pool = ThreadPool::new(2);
        for isa in Isa::available() {
            for (outputs, inputs) in [(1, 1), (31, 3), (33, 130), (100, 65), (256, 257)] {
                let rows = values(outputs * inputs);
                let columns: Vec<f32> = (0..outputs * inputs)
                    .map(|i| rows[(i % outputs) * inputs + i / outputs])
                    .collect();
                for element in [Element::F32, Element::BF16] {
                    // The packing for inference is the independent way.
                    let expected = PackedMatrix::pack(&rows, outputs, inputs, element).unwrap().unpack();
                    let (a, b) = isa.with(|| {
                        (
                            PackedMatrix::pack_f32(&pool, &rows, outputs, inputs, element).unwrap(),
                            PackedMatrix::pack_transposed(&pool, &columns, outputs, inputs, element).unwrap(),
                        )
                    });
                    assert_eq!((a.element(), b.element()), (Some(element), Some(element)));
                    assert_eq!(a.unpack(), expected, "{isa:?} {outputs} {inputs} {element:?}");
                    assert_eq!(
                        b.unpack(),
                        expected,
                        "{isa:?} {outputs} {inputs} {element:?}, transposed"
                    );
                }
            }
        }
        assert!(PackedMatrix::pack_f32(&pool, &[0.0; 5], 2, 3, Element::F32).is_err());
    }
}
