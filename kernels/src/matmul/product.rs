//! Products of one input with one matrix or several, divided among the threads of a pool.

use super::block::{self, Block, Weights};
use super::byte_block::{self, ByteBlock, Quantised};
use super::epilogue::Epilogue;
use super::left::{self, Bytes, Pairs, Values};
use super::packed::{PackedMatrix, Storage};
use super::plan::Plan;
use crate::simd::{dispatch, dispatch_bytes, ByteIsa, Isa};
use crate::threads::{with_scratch, with_shared_scratch, Target, ThreadPool};
use std::ops::Range;

/// A matrix, and where its product goes.
pub(super) struct Layer<'a> {
    pub(super) matrix: &'a PackedMatrix,
    /// `[rows, outputs]`; written, and read only where it was written before.
    pub(super) output: Target<f32>,
    pub(super) epilogue: Epilogue<'a>,
}

/// Multiplies `rows` rows of `input` by the matrices of all `layers`, which are stored alike and have the same inputs.
/// All lengths were checked.
pub(super) fn multiply(pool: &ThreadPool, rows: usize, input: &[f32], layers: &[Layer<'_>]) {
    let Some(matrix) = layers.first().map(|layer| layer.matrix).filter(|_| rows > 0) else {
        return;
    };
    let inputs = matrix.inputs;
    let per_word = per_word(matrix);
    let most = left::most_rows(inputs, per_word);
    let part = rows.div_ceil(rows.div_ceil(most));
    for first in (0..rows).step_by(part) {
        let count = part.min(rows - first);
        let mut product = Product {
            layers,
            pool,
            first,
            rows: count,
            inputs,
            input: &input[first * inputs..][..count * inputs],
            serial: true,
        };
        product.serial = layers.iter().all(|layer| product.plan(layer).serial);
        match per_word {
            4 => product.run_bytes(),
            _ => product.run(per_word == 2),
        }
    }
}

/// Multiplies `rows` rows of `input` by the matrix of `first`, and the result by that of `second`. What lies between is
/// written as the second product reads it; the output of `first` is not used, and it has no residual. All lengths were
/// checked, and both matrices multiply f32 values: see [`multiplies_values`].
pub(super) fn multiply_twice(pool: &ThreadPool, rows: usize, input: &[f32], first: &Layer<'_>, second: &Layer<'_>) {
    let (inputs, inner) = (first.matrix.inputs, second.matrix.inputs);
    let most = left::most_rows(inputs.max(inner), 1);
    let part = rows.div_ceil(rows.div_ceil(most).max(1)).max(1);
    for start in (0..rows).step_by(part) {
        let count = part.min(rows - start);
        let product = |layer, inputs, input| {
            let mut product = Product {
                layers: std::slice::from_ref(layer),
                pool,
                first: start,
                rows: count,
                inputs,
                input,
                serial: true,
            };
            product.serial = product.plan(layer).serial;
            product
        };
        let before = product(first, inputs, &input[start * inputs..][..count * inputs]);
        let after = product(second, inner, &[]);
        let words = left::words(count, inputs, 1);
        with_shared_scratch(words + left::words(count, inner, 1), |memory| {
            // SAFETY: the memory has room for both left operands.
            let between = unsafe { memory.add(words) };
            before.copy(memory);
            before.multiply(memory, false, Some(between));
            after.multiply(between, false, None);
        });
    }
}

/// Whether products with a matrix take the other operand as f32 values.
pub(super) fn multiplies_values(matrix: &PackedMatrix) -> bool {
    per_word(matrix) == 1
}

/// Values of the left operand in a word.
fn per_word(matrix: &PackedMatrix) -> usize {
    match &matrix.storage {
        Storage::F32(_) | Storage::F16(_) => 1,
        Storage::BF16(_) if Isa::current().multiplies_bf16() => 2,
        Storage::BF16(_) => 1,
        Storage::Bytes(_) => 4,
    }
}

/// Some rows of the input by all layers.
struct Product<'a> {
    layers: &'a [Layer<'a>],
    pool: &'a ThreadPool,
    /// Place of the first of these rows among those of the outputs.
    first: usize,
    rows: usize,
    inputs: usize,
    input: &'a [f32],
    /// Whether the work is too little for more than one thread.
    serial: bool,
}

/// A layer's part that one thread computes.
struct Task<'a> {
    layer: &'a Layer<'a>,
    rows: Range<usize>,
    panels: Range<usize>,
}

impl<'a> Product<'a> {
    fn plan(&self, layer: &Layer<'_>) -> Plan {
        Plan::new(self.pool.threads(), self.rows, layer.matrix.outputs, self.inputs)
    }

    /// Brings the input into order in `memory`.
    fn copy(&self, memory: *mut f32) {
        let isa = Isa::current();
        // SAFETY: the memory has as many words; each task writes rows of its own.
        self.round(memory, &|rows| unsafe { dispatch(isa, Values(rows)) });
    }

    /// With `pairs`, the input is rounded to pairs of bf16.
    fn run(&self, pairs: bool) {
        let isa = Isa::current();
        let per_word = if pairs { 2 } else { 1 };
        with_shared_scratch(left::words(self.rows, self.inputs, per_word), |words| {
            match pairs {
                // SAFETY: as in `copy`.
                true => self.round(words, &|rows| unsafe { dispatch(isa, Pairs(rows)) }),
                false => self.copy(words),
            }
            self.multiply(words, pairs, None);
        });
    }

    /// Multiplies rows that lie at `left`. With `inner`, the product goes there, in the order of another product's left
    /// operand, instead of to the outputs.
    fn multiply(&self, left: *mut f32, pairs: bool, inner: Option<*mut f32>) {
        let isa = Isa::current();
        let (left, inner) = (Target(left), inner.map(Target));
        self.blocks(block::SCRATCH, &|task, after, scratch| {
            let (left, inner) = (&left, &inner);
            let block = Block {
                weights: floats(task.layer.matrix),
                outputs: task.layer.matrix.outputs,
                inputs: self.inputs,
                left: left.0.cast_const().cast(),
                pairs,
                all_rows: self.rows,
                output: inner.as_ref().map_or_else(|| self.output(task.layer), |inner| inner.0),
                is_left: inner.is_some(),
                rows: task.rows,
                panels: task.panels,
                after: after.map(|after| (floats(after.layer.matrix), after.panels)),
                epilogue: self.epilogue(task.layer),
                scratch,
            };
            // SAFETY: all lengths were checked; each task writes rows and columns of its own.
            unsafe { dispatch(isa, block) }
        });
    }

    fn run_bytes(&self) {
        let isa = ByteIsa::current();
        let words = left::words(self.rows, self.inputs, 4);
        with_shared_scratch(words + self.rows, |memory| {
            // SAFETY: the memory has that many values.
            let scales = Target(unsafe { memory.add(words) });
            self.round(memory, &|rows| {
                let scales = &scales;
                let rows = Bytes { rows, scales: scales.0 };
                // SAFETY: the memory has as many words; each task writes rows of its own.
                unsafe { dispatch_bytes(isa, rows) }
            });
            let left = Target(memory);
            self.blocks(byte_block::SCRATCH, &|task, after, scratch| {
                let (left, scales) = (&left, &scales);
                let block = ByteBlock {
                    weights: bytes(task.layer.matrix),
                    outputs: task.layer.matrix.outputs,
                    inputs: self.inputs,
                    left: left.0.cast_const().cast(),
                    scales: scales.0,
                    all_rows: self.rows,
                    output: self.output(task.layer),
                    rows: task.rows,
                    panels: task.panels,
                    after: after.map(|after| (bytes(after.layer.matrix), after.panels)),
                    epilogue: self.epilogue(task.layer),
                    scratch,
                };
                // SAFETY: all lengths were checked; each task writes rows and columns of its own.
                unsafe { dispatch_bytes(isa, block) }
            });
        });
    }

    /// Where these rows of a layer's output begin.
    fn output(&self, layer: &Layer<'_>) -> *mut f32 {
        // SAFETY: the output has as many rows as the whole input.
        unsafe { layer.output.0.add(self.first * layer.matrix.outputs) }
    }

    fn epilogue<'b>(&self, layer: &Layer<'b>) -> Epilogue<'b> {
        layer.epilogue.of_rows(self.first, self.rows, layer.matrix.outputs)
    }

    /// Calls `compute` with each task, the one that its thread probably takes next, and working memory of `scratch`
    /// values.
    fn blocks(&self, scratch: usize, compute: &(dyn Fn(Task<'_>, Option<Task<'_>>, *mut f32) + Sync)) {
        let count = self.layers.iter().map(|layer| self.plan(layer).tasks()).sum();
        let threads = if self.serial { 1 } else { self.pool.threads() };
        self.tasks(count, &|index| {
            if let Some(task) = self.task(index) {
                with_scratch(scratch, |scratch| compute(task, self.task(index + threads), scratch));
            }
        });
    }

    /// Task `index` of those of all layers.
    fn task(&self, index: usize) -> Option<Task<'_>> {
        let mut index = index;
        for layer in self.layers {
            let plan = self.plan(layer);
            if index < plan.tasks() {
                let (rows, panels) = plan.task(index);
                return Some(Task { layer, rows, panels });
            }
            index -= plan.tasks();
        }
        None
    }

    /// Rounds the input into `memory`, some rows at a time.
    fn round(&self, memory: *mut f32, kernel: &(dyn Fn(left::Rows<'_>) + Sync)) {
        let (rows, memory) = (self.rows, Target(memory));
        let part = rows.div_ceil(4 * self.pool.threads());
        self.tasks(rows.div_ceil(part), &|index| {
            let memory = &memory;
            kernel(left::Rows {
                input: self.input,
                inputs: self.inputs,
                rows,
                first: index * part,
                last: rows.min((index + 1) * part),
                to: memory.0.cast(),
            });
        });
    }

    fn tasks(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        if self.serial {
            (0..count).for_each(task);
        } else {
            self.pool.run(count, task);
        }
    }
}

fn floats(matrix: &PackedMatrix) -> Weights<'_> {
    match &matrix.storage {
        Storage::F32(values) => Weights::F32(values),
        Storage::F16(values) => Weights::F16(values),
        Storage::BF16(words) => Weights::BF16(words),
        Storage::Bytes(_) => unreachable!("layers of a product are stored alike"),
    }
}

fn bytes(matrix: &PackedMatrix) -> &Quantised {
    match &matrix.storage {
        Storage::Bytes(weights) => weights,
        _ => unreachable!("layers of a product are stored alike"),
    }
}
