//! Linear layers: weights packed once for the kernel.

use super::byte_block::Quantised;
use super::epilogue::Epilogue;
use super::plan::MOST_ROWS;
use super::product::{multiplies_values, multiply, multiply_twice, Layer};
use super::tile::COLUMNS;
use crate::element::{Element, Scalar};
use crate::error::{Error, Result};
use crate::pages::{Number, Pages};
use crate::threads::{Target, ThreadPool};
use half::{bf16, f16};

#[derive(Debug, Clone)]
pub(super) enum Storage {
    /// `[panel][in][COLUMNS]`
    F32(Pages<f32>),
    /// `[panel][in][COLUMNS]`
    F16(Pages<f16>),
    /// `[panel][in / 2][COLUMNS]`, two neighbours along `in` per word: the order of the bf16 dot product.
    BF16(Pages<u32>),
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
        let rows = self.check(input.len(), output.len(), &epilogue)?;
        multiply(pool, rows, input, &[self.layer(output.as_mut_ptr(), epilogue)]);
        Ok(())
    }

    /// [`forward`](Self::forward) into new memory, which is not filled with zeros before: one thread would do it while
    /// the others wait.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn product(&self, pool: &ThreadPool, input: &[f32], epilogue: Epilogue<'_>) -> Result<Vec<f32>> {
        let len = (input.len() / self.inputs).saturating_mul(self.outputs);
        let rows = self.check(input.len(), len, &epilogue)?;
        let mut output = Vec::with_capacity(len);
        multiply(pool, rows, input, &[self.layer(output.as_mut_ptr(), epilogue)]);
        // SAFETY: the product has written every value.
        unsafe { output.set_len(len) };
        Ok(output)
    }

    /// The products of one input `[rows, in]` with several matrices, each with its own epilogue: as
    /// [`product`](Self::product) of each. Matrices that are stored alike share the work of bringing the input into
    /// order, and no thread waits between them.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn products<const N: usize>(
        pool: &ThreadPool,
        input: &[f32],
        layers: [(&Self, Epilogue<'_>); N],
    ) -> Result<[Vec<f32>; N]> {
        let mut outputs: [Vec<f32>; N] = std::array::from_fn(|_| Vec::new());
        let mut rows = 0;
        for ((matrix, epilogue), output) in layers.iter().zip(&mut outputs) {
            let len = (input.len() / matrix.inputs).saturating_mul(matrix.outputs);
            rows = matrix.check(input.len(), len, epilogue)?;
            output.reserve_exact(len);
        }
        let alike = layers.windows(2).all(|pair| pair[0].0.is_like(pair[1].0));
        let mut targets = outputs.iter_mut().map(|output| output.as_mut_ptr());
        let layers = layers.map(|(matrix, epilogue)| Layer {
            matrix,
            output: Target(targets.next().unwrap_or(std::ptr::null_mut())),
            epilogue,
        });
        for part in layers.chunks(if alike { N.max(1) } else { 1 }) {
            multiply(pool, rows, input, part);
        }
        for (output, layer) in outputs.iter_mut().zip(&layers) {
            // SAFETY: the product has written every value.
            unsafe { output.set_len(rows * layer.matrix.outputs) };
        }
        Ok(outputs)
    }

    /// `self` applied to an input `[rows, in]`, then `second` to the result: as two times [`product`](Self::product).
    /// Where both multiply f32 values, what lies between them is written once, as `second` reads it.
    ///
    /// # Errors
    /// As [`forward`](Self::forward); also when the inputs of `second` are not the outputs of `self`.
    pub fn product_of_product(
        &self,
        pool: &ThreadPool,
        input: &[f32],
        epilogue: Epilogue<'_>,
        (second, then): (&Self, Epilogue<'_>),
    ) -> Result<Vec<f32>> {
        if second.inputs != self.outputs {
            return Err(Error::invalid(format!(
                "a product of {} columns for a matrix of rows of {}",
                self.outputs, second.inputs
            )));
        }
        let between = (input.len() / self.inputs).saturating_mul(self.outputs);
        let len = (input.len() / self.inputs).saturating_mul(second.outputs);
        let rows = self.check(input.len(), between, &epilogue)?;
        second.check(between, len, &then)?;
        let mut output = Vec::with_capacity(len);
        let target = second.layer(output.as_mut_ptr(), then);
        if epilogue.residual.is_none() && multiplies_values(self) && multiplies_values(second) {
            multiply_twice(pool, rows, input, &self.layer(std::ptr::null_mut(), epilogue), &target);
        } else {
            // Some rows at a time: what lies between is the largest of all, and stays in the caches.
            let part = MOST_ROWS * pool.threads().div_ceil(4);
            for (index, input) in input.chunks(part * self.inputs).enumerate() {
                let (first, count) = (index * part, input.len() / self.inputs);
                let between = self.product(pool, input, epilogue.of_rows(first, count, self.outputs))?;
                let then = then.of_rows(first, count, second.outputs);
                // SAFETY: the output has room for all rows.
                let place = unsafe { target.output.0.add(first * second.outputs) };
                multiply(pool, count, &between, &[second.layer(place, then)]);
            }
        }
        // SAFETY: the second product has written every value.
        unsafe { output.set_len(len) };
        Ok(output)
    }

    fn layer<'a>(&'a self, output: *mut f32, epilogue: Epilogue<'a>) -> Layer<'a> {
        Layer {
            matrix: self,
            output: Target(output),
            epilogue,
        }
    }

    /// Whether it is stored as `other` is and has the same inputs.
    fn is_like(&self, other: &Self) -> bool {
        self.inputs == other.inputs && std::mem::discriminant(&self.storage) == std::mem::discriminant(&other.storage)
    }

    /// Rows of the input, when everything fits together.
    fn check(&self, input: usize, output: usize, epilogue: &Epilogue<'_>) -> Result<usize> {
        let (outputs, inputs) = (self.outputs, self.inputs);
        let rows = input / inputs;
        if rows * inputs != input || rows.checked_mul(outputs) != Some(output) {
            return Err(Error::invalid(format!(
                "{input} input values and {output} output values for a matrix of {outputs} rows of {inputs}"
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

pub(super) fn check_matrix(len: usize, outputs: usize, inputs: usize) -> Result<()> {
    if inputs == 0 || outputs == 0 || outputs.checked_mul(inputs) != Some(len) {
        return Err(Error::invalid(format!(
            "{len} weights are not a matrix of {outputs} rows of {inputs}"
        )));
    }
    Ok(())
}

/// Values in the order `[panel][depth][COLUMNS]`.
fn interleave<T: Number>(panels: usize, depth: usize, value: impl Fn(usize, usize) -> T) -> Pages<T> {
    let mut packed = Pages::zeroed(panels * depth * COLUMNS);
    for (place, step) in packed.chunks_exact_mut(COLUMNS).enumerate() {
        let (panel, i) = (place / depth, place % depth);
        for (column, to) in step.iter_mut().enumerate() {
            *to = value(panel * COLUMNS + column, i);
        }
    }
    packed
}

#[cfg(test)]
mod tests;
