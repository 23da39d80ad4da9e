//! Weights as bytes with one scale for each output channel.

use super::byte_block::Quantised;
use super::left::scale;
use super::packed::{check_matrix, PackedMatrix, Storage};
use super::tile::COLUMNS;
use crate::element::Scalar;
use crate::error::{Error, Result};
use crate::pages::Pages;
use crate::threads::ThreadPool;

/// What is added to the bytes of the input where the processor wants them without a sign.
const OFFSET: i32 = 128;

/// 1.5 · 2^23: above it f32 has whole numbers only.
const ROUND: f32 = 12_582_912.0;

impl PackedMatrix {
    /// Most inputs of a matrix of bytes: a sum of so many products of a byte without and one with a sign fits in 32 bits.
    pub const MOST_QUANTISED_INPUTS: usize = 1 << 16;

    /// Rounds the rows of a contiguous `[outputs, inputs]` matrix to bytes from -127 to 127, each row with a scale of
    /// its own: its largest magnitude becomes 127.
    ///
    /// Products with such a matrix round each row of the input to bytes in the same way; sums are 32-bit integers and
    /// exact, and the results f32. They are the same on every processor until an activation follows.
    ///
    /// # Errors
    /// `InvalidArgument` when `weight` does not have `outputs · inputs` values, `Unsupported` for more than 65536
    /// inputs, whose sums could overflow.
    pub fn quantise<T: Scalar>(pool: &ThreadPool, weight: &[T], outputs: usize, inputs: usize) -> Result<Self> {
        check_matrix(weight.len(), outputs, inputs)?;
        if inputs > Self::MOST_QUANTISED_INPUTS {
            return Err(Error::unsupported(format!(
                "a matrix of bytes with {inputs} inputs; at most {} are taken",
                Self::MOST_QUANTISED_INPUTS
            )));
        }
        let padded = outputs.next_multiple_of(COLUMNS);
        let mut scales = vec![(0.0_f32, 0.0_f32); padded];
        pool.fill_parts(&mut scales[..outputs], COLUMNS, &|panel, part| {
            for (row, to) in weight.chunks_exact(inputs).skip(panel * COLUMNS).zip(part) {
                // A NaN would be lost in the largest of two.
                let strange = row.iter().any(|value| !value.widen().is_finite());
                let largest = row
                    .iter()
                    .fold(0.0_f32, |largest, value| largest.max(value.widen().abs()));
                *to = scale(if strange { f32::NAN } else { largest });
            }
        });
        let mut words = Pages::<u32>::zeroed(padded * inputs.div_ceil(4));
        pool.fill_parts(&mut words, COLUMNS * inputs.div_ceil(4), &|panel, part| {
            let rows = weight.chunks_exact(inputs).skip(panel * COLUMNS).take(COLUMNS);
            for (column, row) in rows.enumerate() {
                let inverse = scales[panel * COLUMNS + column].1;
                for (group, values) in row.chunks(4).enumerate() {
                    let mut bytes = [0_u8; 4];
                    for (byte, value) in bytes.iter_mut().zip(values) {
                        // Rounds to nearest even: the sum has no bits below one.
                        let rounded = value.widen() * inverse + ROUND - ROUND;
                        *byte = rounded as i8 as u8;
                    }
                    part[group * COLUMNS + column] = u32::from_ne_bytes(bytes);
                }
            }
        });
        let sums = (0..padded).map(|output| {
            let first = output / COLUMNS * COLUMNS * inputs.div_ceil(4) + output % COLUMNS;
            let own = words[first..].iter().step_by(COLUMNS).take(inputs.div_ceil(4));
            own.flat_map(|word| word.to_ne_bytes())
                .map(|byte| i32::from(byte as i8))
                .sum::<i32>()
        });
        let corrections = sums.map(|sum| -OFFSET * sum).collect();
        let scales = scales.into_iter().map(|(scale, _)| scale).collect();
        Ok(Self {
            storage: Storage::Bytes(Quantised {
                words,
                scales,
                corrections,
            }),
            inputs,
            outputs,
        })
    }
}

#[cfg(test)]
mod tests;
