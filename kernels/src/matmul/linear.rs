//! Linear layers: weights packed once for the kernel.

use super::block::{self, Block, Weights};
use super::byte_block::{self, ByteBlock, Quantised};
use super::epilogue::Epilogue;
use super::left::{self, Bytes, Pairs, Values};
use super::plan::Plan;
use super::tile::COLUMNS;
use crate::element::{Element, Scalar};
use crate::error::{Error, Result};
use crate::simd::{dispatch, dispatch_bytes, ByteIsa, Isa};
use crate::threads::{with_scratch, with_shared_scratch, Target, ThreadPool};
use half::{bf16, f16};
use std::ops::Range;

#[derive(Debug, Clone)]
pub(super) enum Storage {
    /// `[panel][in][COLUMNS]`
    F32(Vec<f32>),
    /// `[panel][in][COLUMNS]`
    F16(Vec<f16>),
    /// `[panel][in / 2][COLUMNS]`, two neighbours along `in` per word: the order of the bf16 dot product.
    BF16(Vec<u32>),
    Bytes(Quantised),
}

/// A weight matrix `[out, in]`, rearranged for [`forward`](Self::forward).
///
/// It takes the memory of the plain matrix, with `out` rounded up to 32. Products with bf16 weights round the
/// input to bf16 too where the processor multiplies bf16 (AVX512-BF16, FEAT_BF16); sums are f32, of
/// [bytes](Self::quantise) 32-bit integers.
#[derive(Debug, Clone)]
pub struct PackedMatrix {
    pub(super) storage: Storage,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}

impl PackedMatrix {
    /// Packs the rows of a contiguous `[outputs, inputs]` matrix into storage of the given element type.
    ///
    /// # Errors
    /// `InvalidArgument` when `weight` does not have `outputs · inputs` values.
    pub fn pack<T: Scalar>(weight: &[T], outputs: usize, inputs: usize, element: Element) -> Result<Self> {
        check_matrix(weight.len(), outputs, inputs)?;
        let value = |o: usize, i: usize| {
            if o < outputs && i < inputs {
                weight[o * inputs + i].widen()
            } else {
                0.0
            }
        };
        let panels = outputs.div_ceil(COLUMNS);
        let storage = match element {
            Element::F32 => Storage::F32(interleave(panels, inputs, value)),
            Element::F16 => Storage::F16(interleave(panels, inputs, |o, i| f16::from_f32(value(o, i)))),
            Element::BF16 => {
                let bits = |o, i| u32::from(bf16::from_f32(value(o, i)).to_bits());
                Storage::BF16(interleave(panels, inputs.div_ceil(2), |o, i| {
                    bits(o, 2 * i) | bits(o, 2 * i + 1) << 16
                }))
            }
        };
        Ok(Self {
            storage,
            inputs,
            outputs,
        })
    }

    /// Values per input row.
    #[cfg(test)]
    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    /// Values per output row.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The element type of the storage; `None` for bytes.
    #[cfg(test)]
    pub(crate) fn element(&self) -> Option<Element> {
        match self.storage {
            Storage::F32(_) => Some(Element::F32),
            Storage::F16(_) => Some(Element::F16),
            Storage::BF16(_) => Some(Element::BF16),
            Storage::Bytes(_) => None,
        }
    }

    /// Bytes of the packed weights.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        match &self.storage {
            Storage::F32(values) => 4 * values.len(),
            Storage::F16(values) => 2 * values.len(),
            Storage::BF16(values) => 4 * values.len(),
            Storage::Bytes(bytes) => 4 * (bytes.words.len() + bytes.scales.len() + bytes.corrections.len()),
        }
    }

    /// The plain matrix `[outputs, inputs]`, widened to f32, which is exact: narrowing it to
    /// [`element`](Self::element) gives the stored values back.
    #[cfg(test)]
    pub(crate) fn unpack(&self) -> Vec<f32> {
        let mut rows = Vec::with_capacity(self.outputs * self.inputs);
        for o in 0..self.outputs {
            let (panel, column) = (o / COLUMNS, o % COLUMNS);
            let at = |depth: usize, i: usize| (panel * depth + i) * COLUMNS + column;
            rows.extend((0..self.inputs).map(|i| match &self.storage {
                Storage::F32(values) => values[at(self.inputs, i)],
                Storage::F16(values) => values[at(self.inputs, i)].to_f32(),
                Storage::BF16(words) => {
                    let word = words[at(self.inputs.div_ceil(2), i / 2)];
                    bf16::from_bits((word >> (16 * (i % 2))) as u16).to_f32()
                }
                Storage::Bytes(bytes) => {
                    let word = bytes.words[at(self.inputs.div_ceil(4), i / 4)];
                    f32::from(word.to_ne_bytes()[i % 4] as i8) * bytes.scales[o]
                }
            }));
        }
        rows
    }

    /// `output = activation(input · weightᵀ + bias) + residual`, input `[rows, in]`, output `[rows, out]`.
    ///
    /// # Errors
    /// `InvalidArgument` when a length does not fit; nothing is written then.
    pub fn forward(&self, pool: &ThreadPool, input: &[f32], output: &mut [f32], epilogue: Epilogue<'_>) -> Result<()> {
        let rows = self.check(input, output.len(), &epilogue)?;
        self.multiply(pool, rows, input, output.as_mut_ptr(), epilogue);
        Ok(())
    }

    /// [`forward`](Self::forward) into new memory, which is not filled with zeros before: one thread would do it while
    /// the others wait.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn product(&self, pool: &ThreadPool, input: &[f32], epilogue: Epilogue<'_>) -> Result<Vec<f32>> {
        let len = (input.len() / self.inputs).saturating_mul(self.outputs);
        let rows = self.check(input, len, &epilogue)?;
        let mut output = Vec::with_capacity(len);
        self.multiply(pool, rows, input, output.as_mut_ptr(), epilogue);
        // SAFETY: the product has written every value.
        unsafe { output.set_len(len) };
        Ok(output)
    }

    /// All lengths were checked; `output` is written, and read only where it was written before.
    fn multiply(&self, pool: &ThreadPool, rows: usize, input: &[f32], output: *mut f32, epilogue: Epilogue<'_>) {
        if rows == 0 {
            return;
        }
        let per_word = match &self.storage {
            Storage::F32(_) | Storage::F16(_) => 1,
            Storage::BF16(_) if Isa::current().multiplies_bf16() => 2,
            Storage::BF16(_) => 1,
            Storage::Bytes(_) => 4,
        };
        let most = left::most_rows(self.inputs, per_word);
        let part = rows.div_ceil(rows.div_ceil(most));
        for first in (0..rows).step_by(part) {
            let count = part.min(rows - first);
            let product = Product {
                matrix: self,
                pool,
                plan: Plan::new(pool.threads(), count, self.outputs, self.inputs),
                input: &input[first * self.inputs..][..count * self.inputs],
                // SAFETY: the output has as many rows as the input.
                output: Target(unsafe { output.add(first * self.outputs) }),
                epilogue: Epilogue {
                    residual: epilogue
                        .residual
                        .map(|residual| &residual[first * self.outputs..][..count * self.outputs]),
                    ..epilogue
                },
            };
            match &self.storage {
                Storage::F32(values) => product.run(Weights::F32(values), false),
                Storage::F16(values) => product.run(Weights::F16(values), false),
                Storage::BF16(words) => product.run(Weights::BF16(words), per_word == 2),
                Storage::Bytes(weights) => product.run_bytes(weights),
            }
        }
    }

    /// Rows of the input, when everything fits together.
    fn check(&self, input: &[f32], output: usize, epilogue: &Epilogue<'_>) -> Result<usize> {
        let (outputs, inputs) = (self.outputs, self.inputs);
        let rows = input.len() / inputs;
        if rows * inputs != input.len() || rows.checked_mul(outputs) != Some(output) {
            return Err(Error::invalid(format!(
                "{} input values and {} output values for a matrix of {outputs} rows of {inputs}",
                input.len(),
                output
            )));
        }
        if let Some(bias) = epilogue.bias.filter(|bias| bias.len() != outputs) {
            return Err(Error::invalid(format!("{} biases for {outputs} outputs", bias.len())));
        }
        if let Some(residual) = epilogue.residual.filter(|residual| residual.len() != output) {
            return Err(Error::invalid(format!(
                "a residual of {} values for {} outputs",
                residual.len(),
                output
            )));
        }
        Ok(rows)
    }
}

/// One product, divided among the threads of a pool. All lengths were checked.
struct Product<'a> {
    matrix: &'a PackedMatrix,
    pool: &'a ThreadPool,
    plan: Plan,
    input: &'a [f32],
    output: Target<f32>,
    epilogue: Epilogue<'a>,
}

impl Product<'_> {
    /// With `pairs`, the input is rounded to pairs of bf16.
    fn run(&self, weights: Weights<'_>, pairs: bool) {
        let isa = Isa::current();
        let per_word = if pairs { 2 } else { 1 };
        with_shared_scratch(left::words(self.plan.rows, self.matrix.inputs, per_word), |words| {
            self.round(words, &|rows| {
                // SAFETY: the memory has as many words; each task writes rows of its own.
                unsafe {
                    match pairs {
                        true => dispatch(isa, Pairs(rows)),
                        false => dispatch(isa, Values(rows)),
                    }
                }
            });
            self.multiply(isa, weights, words, pairs);
        });
    }

    fn multiply(&self, isa: Isa, weights: Weights<'_>, left: *mut f32, pairs: bool) {
        let (left, output) = (Target(left), &self.output);
        self.blocks(block::SCRATCH, &|rows, panels, scratch| {
            let left = &left;
            let block = Block {
                weights,
                outputs: self.matrix.outputs,
                inputs: self.matrix.inputs,
                left: left.0.cast_const().cast(),
                pairs,
                all_rows: self.plan.rows,
                output: output.0,
                rows,
                panels,
                epilogue: self.epilogue,
                scratch,
            };
            // SAFETY: all lengths were checked; each task writes rows and columns of its own.
            unsafe { dispatch(isa, block) }
        });
    }

    fn run_bytes(&self, weights: &Quantised) {
        let isa = ByteIsa::current();
        let words = left::words(self.plan.rows, self.matrix.inputs, 4);
        with_shared_scratch(words + self.plan.rows, |memory| {
            // SAFETY: the memory has that many values.
            let scales = Target(unsafe { memory.add(words) });
            self.round(memory, &|rows| {
                let scales = &scales;
                let rows = Bytes { rows, scales: scales.0 };
                // SAFETY: the memory has as many words; each task writes rows of its own.
                unsafe { dispatch_bytes(isa, rows) }
            });
            let (left, output) = (Target(memory), &self.output);
            self.blocks(byte_block::SCRATCH, &|rows, panels, scratch| {
                let (left, scales) = (&left, &scales);
                let block = ByteBlock {
                    weights,
                    outputs: self.matrix.outputs,
                    inputs: self.matrix.inputs,
                    left: left.0.cast_const().cast(),
                    scales: scales.0,
                    all_rows: self.plan.rows,
                    output: output.0,
                    rows,
                    panels,
                    epilogue: self.epilogue,
                    scratch,
                };
                // SAFETY: all lengths were checked; each task writes rows and columns of its own.
                unsafe { dispatch_bytes(isa, block) }
            });
        });
    }

    /// Calls `compute` with the rows and the panels of each task, and with working memory of `scratch` values.
    fn blocks(&self, scratch: usize, compute: &(dyn Fn(Range<usize>, Range<usize>, *mut f32) + Sync)) {
        self.tasks(self.plan.tasks(), &|index| {
            let (rows, panels) = self.plan.task(index);
            with_scratch(scratch, |scratch| compute(rows, panels, scratch));
        });
    }

    /// Rounds the input into `memory`, some rows at a time.
    fn round(&self, memory: *mut f32, kernel: &(dyn Fn(left::Rows<'_>) + Sync)) {
        let (rows, memory) = (self.plan.rows, Target(memory));
        let part = rows.div_ceil(4 * self.pool.threads());
        self.tasks(rows.div_ceil(part), &|index| {
            let memory = &memory;
            kernel(left::Rows {
                input: self.input,
                inputs: self.matrix.inputs,
                rows,
                first: index * part,
                last: rows.min((index + 1) * part),
                to: memory.0.cast(),
            });
        });
    }

    fn tasks(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        if self.plan.serial {
            (0..count).for_each(task);
        } else {
            self.pool.run(count, task);
        }
    }
}

pub(super) fn check_matrix(len: usize, outputs: usize, inputs: usize) -> Result<()> {
    if inputs == 0 || outputs == 0 || outputs.checked_mul(inputs) != Some(len) {
        return Err(Error::invalid(format!(
            "{len} weights are not a matrix of {outputs} rows of {inputs}"
        )));
    }
    Ok(())
}

/// Values in the order `[panel][depth][COLUMNS]`.
fn interleave<T>(panels: usize, depth: usize, value: impl Fn(usize, usize) -> T) -> Vec<T> {
    let mut packed = Vec::with_capacity(panels * depth * COLUMNS);
    for panel in 0..panels {
        for i in 0..depth {
            packed.extend((0..COLUMNS).map(|column| value(panel * COLUMNS + column, i)));
        }
    }
    packed
}

#[cfg(test)]
mod tests;
