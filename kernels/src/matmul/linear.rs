//! Linear layers: weights packed once for the kernel.

use super::block::{scratch_len, Block, Epilogue, Weights, LARGEST_ROWS};
use super::tile::COLUMNS;
use crate::element::{Element, Scalar};
use crate::error::{Error, Result};
use crate::simd::{dispatch, Isa};
use crate::threads::{with_scratch, Target, ThreadPool};
use half::{bf16, f16};

/// Multiply-adds below which waking the other threads costs more than it brings.
const SERIAL_WORK: usize = 1 << 18;

#[derive(Debug, Clone)]
pub(super) enum Storage {
    /// `[panel][in][COLUMNS]`
    F32(Vec<f32>),
    /// `[panel][in][COLUMNS]`
    F16(Vec<f16>),
    /// `[panel][in / 2][COLUMNS]`, two neighbours along `in` per word: the order of the bf16 dot product.
    BF16(Vec<u32>),
}

/// A weight matrix `[out, in]`, rearranged for [`forward`](Self::forward).
///
/// It takes the memory of the plain matrix, with `out` rounded up to 32. Products with bf16 weights round the
/// input to bf16 too where the processor multiplies bf16 (AVX512-BF16); sums are f32 always.
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

    /// The element type of the storage.
    #[cfg(test)]
    pub(crate) fn element(&self) -> Element {
        match self.storage {
            Storage::F32(_) => Element::F32,
            Storage::F16(_) => Element::F16,
            Storage::BF16(_) => Element::BF16,
        }
    }

    /// Bytes of the packed weights.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        match &self.storage {
            Storage::F32(values) => 4 * values.len(),
            Storage::F16(values) => 2 * values.len(),
            Storage::BF16(values) => 4 * values.len(),
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
            }));
        }
        rows
    }

    /// `output = activation(input · weightᵀ + bias) + residual`, input `[rows, in]`, output `[rows, out]`.
    ///
    /// # Errors
    /// `InvalidArgument` when a length does not fit; nothing is written then.
    pub fn forward(&self, pool: &ThreadPool, input: &[f32], output: &mut [f32], epilogue: Epilogue<'_>) -> Result<()> {
        let weights = match &self.storage {
            Storage::F32(values) => Weights::PackedF32(values),
            Storage::F16(values) => Weights::PackedF16(values),
            Storage::BF16(words) => Weights::PackedBF16(words),
        };
        multiply(pool, weights, self.outputs, self.inputs, input, output, epilogue)
    }
}

fn check_matrix(len: usize, outputs: usize, inputs: usize) -> Result<()> {
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

fn multiply(
    pool: &ThreadPool,
    weights: Weights<'_>,
    outputs: usize,
    inputs: usize,
    input: &[f32],
    output: &mut [f32],
    epilogue: Epilogue<'_>,
) -> Result<()> {
    let rows = input.len() / inputs;
    if rows * inputs != input.len() || rows.checked_mul(outputs) != Some(output.len()) {
        return Err(Error::invalid(format!(
            "{} input values and {} output values for a matrix of {outputs} rows of {inputs}",
            input.len(),
            output.len()
        )));
    }
    if let Some(bias) = epilogue.bias.filter(|bias| bias.len() != outputs) {
        return Err(Error::invalid(format!("{} biases for {outputs} outputs", bias.len())));
    }
    if let Some(residual) = epilogue.residual.filter(|residual| residual.len() != output.len()) {
        return Err(Error::invalid(format!(
            "a residual of {} values for {} outputs",
            residual.len(),
            output.len()
        )));
    }
    if rows == 0 {
        return Ok(());
    }
    let isa = Isa::current();
    let serial = rows.saturating_mul(outputs).saturating_mul(inputs) < SERIAL_WORK;
    let row_parts = rows.div_ceil(LARGEST_ROWS);
    let row_part = rows.div_ceil(row_parts);
    let panels = outputs.div_ceil(COLUMNS);
    // Each task brings the input into the cache for itself, so tasks should not be too many.
    let panel_parts = if serial {
        1
    } else {
        (4 * pool.threads()).div_ceil(row_parts).min(panels)
    };
    let panel_part = panels.div_ceil(panel_parts);
    let panel_parts = panels.div_ceil(panel_part);
    let target = Target(output.as_mut_ptr());
    let task = |index: usize| {
        // Neighbouring tasks share the weights, the larger operand.
        let (part, row) = (index / row_parts, index % row_parts);
        let target = &target;
        with_scratch(scratch_len(row_part), |scratch| {
            let block = Block {
                weights,
                outputs,
                inputs,
                input,
                output: target.0,
                first_row: row * row_part,
                last_row: rows.min((row + 1) * row_part),
                first_panel: part * panel_part,
                last_panel: panels.min((part + 1) * panel_part),
                epilogue,
                scratch,
            };
            // SAFETY: all lengths were checked above; each task writes rows and columns of its own.
            unsafe { dispatch(isa, block) }
        });
    };
    let tasks = row_parts * panel_parts;
    if serial {
        (0..tasks).for_each(task);
    } else {
        pool.run(tasks, &task);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
