//! Products over the rows of two matrices: the gradient of a linear layer's weight and bias.

use super::packing::{copy, pair_rows};
use super::tile::{product_transposed, COLUMNS, ROWS};
use super::windows::Windows;
use crate::element::Element;
use crate::error::{Error, Result};
use crate::simd::{dispatch, load_first, Isa, Kernel, Lanes};
use crate::threads::{with_scratch, Target, ThreadPool};

/// Multiply-adds below which waking the other threads costs more than it brings.
const SERIAL_WORK: usize = 1 << 18;

/// Rows of one pass, or pairs of rows: a panel of the right operand then fills a first-level cache.
const STEPS: usize = 256;

/// Left columns of one task: with the right operand's panel they stay in the second-level cache.
const LARGEST_PART: usize = 16 * ROWS;

/// The right operand of a [`TransposedProduct`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum Right<'a> {
    /// `[rows, inputs]`: the input of a linear layer.
    Rows(&'a [f32]),
    /// The windows of a convolution's input, one a row.
    Windows(&'a Windows<'a, f32>),
}

impl Right<'_> {
    fn fits(&self, rows: usize, inputs: usize) -> bool {
        match self {
            Self::Rows(values) => rows.checked_mul(inputs) == Some(values.len()),
            Self::Windows(windows) => windows.rows() == rows && windows.columns() == inputs,
        }
    }
}

/// What [`transposed_product`] reads and writes.
#[derive(Debug)]
pub(crate) struct TransposedProduct<'a> {
    /// `[rows, outputs]`: the gradient of a layer's output.
    pub left: &'a [f32],
    /// The layer's input.
    pub right: Right<'a>,
    /// Columns of `left`.
    pub outputs: usize,
    /// Columns of `right`.
    pub inputs: usize,
    /// [`Element::BF16`] rounds both operands to bf16 where the processor multiplies bf16; anything else is f32.
    pub element: Element,
    /// `[outputs, inputs]`, overwritten: the gradient of the weight.
    pub product: &'a mut [f32],
    /// `[outputs]`, overwritten: the sum over the rows of `left`, the gradient of the bias.
    pub column_sums: Option<&'a mut [f32]>,
}

/// `product = leftᵀ · right`, and the column sums of `left` on the way.
///
/// The sums run over the rows in order, in f32, whatever the number of threads: the same operands give the same bits.
///
/// # Errors
/// `InvalidArgument` when a length does not fit; nothing is written then.
pub(crate) fn transposed_product(pool: &ThreadPool, operands: TransposedProduct<'_>) -> Result<()> {
    let TransposedProduct {
        left,
        right,
        outputs,
        inputs,
        element,
        product,
        column_sums,
    } = operands;
    let rows = left.len().checked_div(outputs).unwrap_or(0);
    let fits = inputs > 0
        && rows * outputs == left.len()
        && right.fits(rows, inputs)
        && outputs.checked_mul(inputs) == Some(product.len());
    if !fits || column_sums.as_ref().is_some_and(|sums| sums.len() != outputs) {
        return Err(Error::invalid(format!(
            "a product over rows of {} values in rows of {outputs} and rows of {inputs} into {} values and {:?} sums",
            left.len(),
            product.len(),
            column_sums.map(|sums| sums.len())
        )));
    }
    product.fill(0.0);
    let sums = column_sums.map(|sums| {
        sums.fill(0.0);
        Target(sums.as_mut_ptr())
    });
    let isa = Isa::current();
    let brain = element == Element::BF16 && isa.multiplies_bf16();
    let serial = rows.saturating_mul(outputs).saturating_mul(inputs) < SERIAL_WORK;
    let tiles = outputs.div_ceil(ROWS);
    // One thread alone packs the right operand once.
    let wanted = match pool.available() {
        _ if serial => 1,
        1 => 1,
        threads => 4 * threads,
    };
    let part = tiles.div_ceil(wanted).min(LARGEST_PART / ROWS);
    let parts = tiles.div_ceil(part);
    let panels = inputs.div_ceil(COLUMNS);
    // Few outputs: the inputs are shared out too. Each of these tasks packs the left operand for itself.
    let groups = wanted.div_ceil(parts).min(panels);
    let group = panels.div_ceil(groups);
    let groups = panels.div_ceil(group);
    let target = Target(product.as_mut_ptr());
    let task = |index: usize| {
        let (part_index, group_index) = (index / groups, index % groups);
        let (target, sums) = (&target, &sums);
        let first = part_index * part * ROWS;
        let last = outputs.min(first + part * ROWS);
        let left_len = part * ROWS * STEPS;
        with_scratch(left_len + STEPS * COLUMNS + ROWS * COLUMNS, |scratch| {
            let block = Block {
                left,
                right,
                rows,
                outputs,
                inputs,
                brain,
                first,
                last,
                first_panel: group_index * group,
                last_panel: panels.min((group_index + 1) * group),
                product: target.0,
                sums: sums.as_ref().filter(|_| group_index == 0).map(|sums| sums.0),
                scratch,
                // SAFETY: the working memory was asked for with this length.
                panel: unsafe { scratch.add(left_len) },
            };
            // SAFETY: all lengths were checked; each task writes a rectangle of its own, and the sums of a part
            // belong to the task of its first group.
            unsafe { dispatch(isa, block) }
        });
    };
    if serial {
        (0..parts * groups).for_each(task);
    } else {
        pool.run(parts * groups, &task);
    }
    Ok(())
}

/// Left columns `first..last` by panels `first_panel..last_panel` of the right operand.
struct Block<'a> {
    left: &'a [f32],
    right: Right<'a>,
    rows: usize,
    outputs: usize,
    inputs: usize,
    brain: bool,
    first: usize,
    last: usize,
    first_panel: usize,
    last_panel: usize,
    product: *mut f32,
    sums: Option<*mut f32>,
    /// `[left tile][STEPS][ROWS]`
    scratch: *mut f32,
    /// `[STEPS][COLUMNS]`, then a tile of the result
    panel: *mut f32,
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        // Pairs are a question of the instructions that the kernel is compiled for.
        let brain = self.brain && L::DOT_BF16;
        let per_step = if brain { 2 } else { 1 };
        let mut start = 0;
        // SAFETY: rows and columns exist; tiles and panels stay inside the working memory.
        unsafe {
            while start < self.rows {
                let count = (STEPS * per_step).min(self.rows - start);
                let steps = count.div_ceil(per_step);
                let mut column = self.first;
                while column < self.last {
                    let to = self.scratch.add((column - self.first) * STEPS);
                    self.pack_left::<L>(start, count, column, brain, to);
                    column += ROWS;
                }
                for p in self.first_panel..self.last_panel {
                    let columns = COLUMNS.min(self.inputs - p * COLUMNS);
                    self.pack_right::<L>(start, count, p * COLUMNS, columns, brain);
                    let mut column = self.first;
                    while column < self.last {
                        let a = self.scratch.add((column - self.first) * STEPS);
                        let n = ROWS.min(self.last - column);
                        self.multiply::<L>(n, steps, a, column, p * COLUMNS, columns, brain);
                        column += ROWS;
                    }
                }
                start += count;
            }
        }
    }
}

impl Block<'_> {
    /// Brings up to [`ROWS`] columns of the left operand into `[step][ROWS]`, and adds them to the sums.
    #[inline(always)]
    unsafe fn pack_left<L: Lanes>(&self, start: usize, count: usize, column: usize, brain: bool, to: *mut f32) {
        let n = ROWS.min(self.last - column);
        // SAFETY: rows and columns exist; the tile takes `count` rows, or half as many pairs.
        unsafe {
            if brain {
                return self.pack_left_pairs::<L>(start, count, column, to.cast());
            }
            let mut sums = [0.0_f32; ROWS];
            let row = |i: usize| self.left.as_ptr().add((start + i) * self.outputs + column);
            if n == ROWS {
                // Whole tiles: loops of constant length, which the compiler turns into vectors.
                for i in 0..count {
                    let from = row(i).cast::<[f32; ROWS]>().read_unaligned();
                    for (sum, value) in sums.iter_mut().zip(from) {
                        *sum += value;
                    }
                    to.add(i * ROWS).cast::<[f32; ROWS]>().write_unaligned(from);
                }
            } else {
                for i in 0..count {
                    for (r, sum) in sums.iter_mut().enumerate() {
                        let value = if r < n { *row(i).add(r) } else { 0.0 };
                        *sum += value;
                        *to.add(i * ROWS + r) = value;
                    }
                }
            }
            self.add_sums(column, n, &sums);
        }
    }

    /// [`pack_left`](Self::pack_left) as pairs of rows.
    ///
    /// Whole vectors are written: what reaches beyond the tile is overwritten by the next pair, by the next tile, or
    /// by the right operand, which lies behind the last tile and is brought later.
    #[inline(always)]
    unsafe fn pack_left_pairs<L: Lanes>(&self, start: usize, count: usize, column: usize, to: *mut u32) {
        let n = ROWS.min(self.last - column);
        let readable = self.outputs - column;
        let mut part = 0;
        while part < n {
            let lanes = L::WIDTH.min(readable - part);
            // SAFETY: rows and columns exist; the tile takes half as many pairs as `count`, rounded up.
            unsafe {
                let from = self.left.as_ptr().add(start * self.outputs + column + part);
                let mut sum = L::splat(0.0);
                let mut i = 0;
                while i < count {
                    let low = load_first::<L>(from.add(i * self.outputs), lanes);
                    sum = L::add(sum, low);
                    let mut high = L::splat(0.0);
                    if i + 1 < count {
                        high = load_first::<L>(from.add((i + 1) * self.outputs), lanes);
                        sum = L::add(sum, high);
                    }
                    L::store_bf16_pairs(to.add(i / 2 * ROWS + part), low, high);
                    i += 2;
                }
                // Wide enough for the widest vector.
                let mut sums = [0.0_f32; 16];
                L::store(sums.as_mut_ptr(), sum);
                self.add_sums(column + part, L::WIDTH.min(n - part), &sums);
            }
            part += L::WIDTH;
        }
    }

    #[inline(always)]
    unsafe fn add_sums(&self, column: usize, count: usize, sums: &[f32]) {
        if let Some(total) = self.sums {
            for (r, sum) in sums.iter().enumerate().take(count) {
                // SAFETY: the caller vouches for the columns.
                unsafe { *total.add(column + r) += sum };
            }
        }
    }

    /// Brings `columns` columns of the right operand into `[step][COLUMNS]`.
    #[inline(always)]
    unsafe fn pack_right<L: Lanes>(&self, start: usize, count: usize, column: usize, columns: usize, brain: bool) {
        // SAFETY: rows and columns exist; the panel takes `count` rows, or half as many pairs.
        unsafe {
            match self.right {
                Right::Rows(values) => {
                    let mut row = values.as_ptr().add(start * self.inputs + column);
                    let next = || {
                        let this = row;
                        row = row.wrapping_add(self.inputs);
                        this
                    };
                    self.pack_panel::<L>(count, columns, brain, next);
                }
                Right::Windows(windows) => {
                    let (tap, offset) = (column / windows.channels(), column % windows.channels());
                    let mut place = windows.place(start);
                    // A pair needs two rows at once.
                    let mut spare = [[0.0_f32; COLUMNS]; 2];
                    let mut odd = 0;
                    let next = || {
                        odd ^= 1;
                        let row = windows.piece(place, tap, offset, columns, spare[odd].as_mut_ptr());
                        windows.advance(&mut place);
                        row
                    };
                    self.pack_panel::<L>(count, columns, brain, next);
                }
            }
        }
    }

    /// Brings `count` rows, whose places `next` tells one after the other, into the panel. No vector instruction in
    /// `next`: it would be compiled without the instruction set of the kernel.
    #[inline(always)]
    unsafe fn pack_panel<L: Lanes>(
        &self,
        count: usize,
        columns: usize,
        brain: bool,
        mut next: impl FnMut() -> *const f32,
    ) {
        // SAFETY: the caller vouches for the rows; the panel takes `count` of them, or half as many pairs.
        unsafe {
            if brain {
                let to = self.panel.cast::<u32>();
                let mut i = 0;
                while i < count {
                    let low = next();
                    let high = if i + 1 < count { Some(next()) } else { None };
                    let to = to.add(i / 2 * COLUMNS);
                    if columns == COLUMNS {
                        pair_rows::<L>(low, high, COLUMNS, to);
                    } else {
                        pair_rows::<L>(low, high, columns, to);
                    }
                    i += 2;
                }
            } else if columns == COLUMNS {
                for i in 0..count {
                    copy::<L>(next(), COLUMNS, self.panel.add(i * COLUMNS));
                }
            } else {
                for i in 0..count {
                    copy::<L>(next(), columns, self.panel.add(i * COLUMNS));
                }
            }
        }
    }

    /// Adds one tile to the product.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // the arguments of a matrix product
    unsafe fn multiply<L: Lanes>(
        &self,
        n: usize,
        steps: usize,
        a: *const f32,
        row: usize,
        column: usize,
        columns: usize,
        brain: bool,
    ) {
        // SAFETY: the tile's rows and columns exist in the product; a tile of an incomplete panel goes through
        // memory of its own, where the columns that do not exist hold anything.
        unsafe {
            let whole = columns == COLUMNS;
            let out = self.product.add(row * self.inputs + column);
            let (to, stride) = if whole {
                (out, self.inputs)
            } else {
                (self.panel.add(STEPS * COLUMNS), COLUMNS)
            };
            let mut c = 0;
            while c < columns {
                let (to, b) = (to.add(c), self.panel.add(c));
                if brain {
                    product_transposed::<L, u32, 2>(n, steps, a.cast(), ROWS, b.cast(), COLUMNS, to, stride, whole);
                } else {
                    product_transposed::<L, f32, 2>(n, steps, a, ROWS, b, COLUMNS, to, stride, whole);
                }
                c += 2 * L::WIDTH;
            }
            if !whole {
                for r in 0..n {
                    for c in 0..columns {
                        *out.add(r * self.inputs + c) += *to.add(r * COLUMNS + c);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{rngs::StdRng, Rng, SeedableRng};

    fn run(
        pool: &ThreadPool,
        element: Element,
        left: &[f32],
        right: &[f32],
        outputs: usize,
        inputs: usize,
    ) -> (Vec<f32>, Vec<f32>) {
        // Values that must not survive.
        let mut product = vec![f32::NAN; outputs * inputs];
        let mut sums = vec![f32::NAN; outputs];
        transposed_product(
            pool,
            TransposedProduct {
                left,
                right: Right::Rows(right),
                outputs,
                inputs,
                element,
                product: &mut product,
                column_sums: Some(&mut sums),
            },
        )
        .unwrap();
        (product, sums)
    }

    #[test]
    fn products_agree_with_double_precision_on_any_number_of_threads() {
        let mut random = StdRng::seed_from_u64(5);
        let pools = [ThreadPool::new(1), ThreadPool::new(3)];
        for isa in Isa::available() {
            for (rows, outputs, inputs) in [
                (1, 1, 1),
                (3, 13, 33),
                (257, 24, 64),
                (1031, 37, 70),
                (600, 200, 40),
                (513, 5, 130),
            ] {
                let mut values = |n: usize| -> Vec<f32> {
                    (0..n)
                        .map(|_| half::bf16::from_f32(random.random_range(-1.0..1.0)).to_f32())
                        .collect()
                };
                let (left, right) = (values(rows * outputs), values(rows * inputs));
                // Operands that bf16 holds exactly have the same product in both formats.
                for element in [Element::F32, Element::BF16] {
                    let [one, three] = pools
                        .each_ref()
                        .map(|pool| isa.with(|| run(pool, element, &left, &right, outputs, inputs)));
                    assert_eq!(one, three, "threads must not change a bit");
                    for o in 0..outputs {
                        let sum: f64 = (0..rows).map(|r| f64::from(left[r * outputs + o])).sum();
                        assert!((f64::from(one.1[o]) - sum).abs() < 1e-4, "{isa:?} sum {o}");
                        for i in 0..inputs {
                            let exact: f64 = (0..rows)
                                .map(|r| f64::from(left[r * outputs + o]) * f64::from(right[r * inputs + i]))
                                .sum();
                            let found = f64::from(one.0[o * inputs + i]);
                            assert!(
                                (found - exact).abs() < 1e-4,
                                "{isa:?} {element:?} {rows} {outputs} {inputs} at {o}, {i}: {found} {exact}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn lengths_are_checked_and_no_rows_give_zeros() {
        let pool = ThreadPool::new(1);
        let (product, sums) = run(&pool, Element::F32, &[], &[], 3, 2);
        assert_eq!((product, sums), (vec![0.0; 6], vec![0.0; 3]));
        let mut product = [1.0; 6];
        let bad = TransposedProduct {
            left: &[0.0; 6],
            right: Right::Rows(&[0.0; 5]),
            outputs: 3,
            inputs: 2,
            element: Element::F32,
            product: &mut product,
            column_sums: None,
        };
        assert!(transposed_product(&pool, bad).is_err());
        assert_eq!(product, [1.0; 6]);
    }
}
