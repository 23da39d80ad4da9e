//! Weights packed once for the kernels.

use super::byte_block::Quantised;
use super::tile::COLUMNS;
use crate::element::{Element, Scalar};
use crate::error::{Error, Result};
use crate::pages::{Number, Pages};
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
