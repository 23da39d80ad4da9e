//! Rotary position embedding over a grid of patches (Su et al. 2021, in two dimensions as EVA02 has it).

use crate::error::Result;
use candle_core::{DType, Device, Tensor};

/// Patches along a side of the pictures that EVA02 was pretrained on. Finer grids are squeezed into this range.
const PRETRAINED_SIDE: f64 = 16.0;

/// Base of the wavelengths.
const THETA: f64 = 10_000.0;

/// Turns pairs of neighbouring channels of queries and keys by angles that grow with the row (first half of a head) and
/// the column (second half) of their patch. Tokens before the patches are left as they are.
#[derive(Debug)]
pub(super) struct Rotary {
    /// Cosine and sine of the angles, `[tokens, head width / 2]`.
    cosine: Vec<f32>,
    sine: Vec<f32>,
    tokens: usize,
    heads: usize,
    /// Pairs of channels in a head.
    pairs: usize,
}

impl Rotary {
    /// Angles for `prefix` tokens and then `side` × `side` patches. `head_width` must be a multiple of 4.
    pub fn new(side: usize, prefix: usize, heads: usize, head_width: usize) -> Self {
        let pairs = head_width / 2;
        let half = pairs / 2;
        let mut cosine = vec![1f32; (prefix + side * side) * pairs];
        let mut sine = vec![0f32; cosine.len()];
        let position = |index: usize| index as f64 / side as f64 * PRETRAINED_SIDE;
        let frequency = |pair: usize| THETA.powf(-2.0 * pair as f64 / pairs as f64);
        for patch in 0..side * side {
            let place = [position(patch / side), position(patch % side)];
            for pair in 0..pairs {
                let angle = place[pair / half] * frequency(pair % half);
                let at = (prefix + patch) * pairs + pair;
                (cosine[at], sine[at]) = (angle.cos() as f32, angle.sin() as f32);
            }
        }
        Self {
            cosine,
            sine,
            tokens: prefix + side * side,
            heads,
            pairs,
        }
    }

    /// The tables of a file, cosine and sine `[patches, head width]` with each angle twice, for `prefix` tokens and then
    /// the patches. EVA-CLIP's files hold theirs in f16, and the authors' program computes with these.
    pub fn of_tables(cosine: &Tensor, sine: &Tensor, prefix: usize, heads: usize) -> Result<Self> {
        let (patches, head_width) = cosine.dims2()?;
        let pairs = head_width / 2;
        let values = |table: &Tensor, before: f32| -> Result<Vec<f32>> {
            let table = table.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
            let mut values = vec![before; prefix * pairs];
            values.extend(table.flatten_all()?.to_vec1::<f32>()?.into_iter().step_by(2));
            Ok(values)
        };
        Ok(Self {
            cosine: values(cosine, 1.0)?,
            sine: values(sine, 0.0)?,
            tokens: prefix + patches,
            heads,
            pairs,
        })
    }

    /// `x` `[batch, tokens, heads · head width]`, turned.
    pub fn turn(&self, x: &Tensor) -> Result<Tensor> {
        if x.device().is_cpu() && x.dtype() == DType::F32 && !x.track_op() {
            return self.turn_on_cpu(x);
        }
        let (batch, tokens, _) = x.dims3()?;
        let table = |values: &[f32]| -> Result<Tensor> {
            let table = Tensor::from_slice(values, (1, self.tokens, 1, self.pairs), &Device::Cpu)?;
            Ok(table.to_device(x.device())?.to_dtype(x.dtype())?)
        };
        let (cosine, sine) = (table(&self.cosine)?, table(&self.sine)?);
        let pairs = x.reshape((batch, tokens, self.heads, self.pairs, 2))?;
        let (first, second) = (
            pairs.narrow(4, 0, 1)?.squeeze(4)?.contiguous()?,
            pairs.narrow(4, 1, 1)?.squeeze(4)?.contiguous()?,
        );
        let turned = Tensor::stack(
            &[
                (first.broadcast_mul(&cosine)? - second.broadcast_mul(&sine)?)?,
                (second.broadcast_mul(&cosine)? + first.broadcast_mul(&sine)?)?,
            ],
            4,
        )?;
        Ok(turned.reshape(x.dims())?)
    }

    fn turn_on_cpu(&self, x: &Tensor) -> Result<Tensor> {
        let mut values = x.flatten_all()?.to_vec1::<f32>()?;
        let width = self.heads * self.pairs * 2;
        for (row, token) in values.chunks_exact_mut(width).enumerate() {
            let at = row % self.tokens * self.pairs;
            let (cosine, sine) = (&self.cosine[at..at + self.pairs], &self.sine[at..at + self.pairs]);
            for head in token.chunks_exact_mut(self.pairs * 2) {
                for ((pair, c), s) in head.chunks_exact_mut(2).zip(cosine).zip(sine) {
                    (pair[0], pair[1]) = (pair[0] * c - pair[1] * s, pair[1] * c + pair[0] * s);
                }
            }
        }
        Ok(Tensor::from_vec(values, x.dims(), x.device())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;

    #[test]
    fn both_ways_turn_alike_and_leave_the_class_token() -> Result<()> {
        let rotary = Rotary::new(3, 1, 2, 8);
        let values: Vec<f32> = (0..2 * 10 * 16).map(|value| (value as f32 * 0.37).sin()).collect();
        let x = Tensor::from_vec(values, (2, 10, 16), &Device::Cpu)?;
        let fast = rotary.turn(&x)?;
        let composed = rotary.turn(Var::from_tensor(&x)?.as_tensor())?;
        let difference = (&fast - composed)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()?;
        assert!(difference < 1e-6, "{difference}");
        let table = |values: &[f32]| {
            let twice: Vec<f32> = values[4..].iter().flat_map(|value| [*value; 2]).collect();
            Tensor::from_vec(twice, (9, 8), &Device::Cpu)
        };
        let read = Rotary::of_tables(&table(&rotary.cosine)?, &table(&rotary.sine)?, 1, 2)?;
        assert_eq!((&read.cosine, &read.sine), (&rotary.cosine, &rotary.sine));
        for token in [0, 1] {
            // The class token, and the patch at row 0 and column 0.
            let moved = (fast.narrow(1, token, 1)? - x.narrow(1, token, 1)?)?;
            assert_eq!(moved.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()?, 0.0);
        }
        // A rotation keeps lengths.
        let length = |x: &Tensor| x.sqr()?.sum_all()?.to_scalar::<f32>();
        assert!((length(&fast)? - length(&x)?).abs() < 1e-3);
        Ok(())
    }
}
