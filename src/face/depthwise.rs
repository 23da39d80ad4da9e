//! Depthwise 3×3 convolution with padding 1, bias and optional ReLU.
//!
//! candle runs a grouped convolution as one small convolution per channel, which costs more than the whole rest of the
//! network. On the CPU three rows at a time are multiplied and added in place instead.

use crate::error::Result;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

/// A depthwise convolution with its weights.
#[derive(Debug)]
pub(super) struct Depthwise {
    /// `[channels, 1, 3, 3]`
    weight: Tensor,
    /// `[1, channels, 1, 1]`
    bias: Tensor,
    /// Nine taps and the bias, per channel.
    taps: Vec<([f32; 9], f32)>,
    relu: bool,
}

impl Depthwise {
    /// `weight` is `[channels, 1, 3, 3]`, `bias` is `[channels]`, both f32.
    pub fn new(weight: Tensor, bias: Tensor, relu: bool) -> Result<Self> {
        let channels = bias.dim(0)?;
        let flat = weight.reshape((channels, 9))?.to_vec2::<f32>()?;
        let taps = flat
            .into_iter()
            .zip(bias.to_vec1::<f32>()?)
            .map(|(row, bias)| (std::array::from_fn(|tap| row.get(tap).copied().unwrap_or(0.0)), bias))
            .collect();
        Ok(Self {
            weight,
            bias: bias.reshape((1, channels, 1, 1))?,
            taps,
            relu,
        })
    }

    /// `[1, channels, height, width]` to the same shape.
    pub fn forward(&self, x: Tensor) -> Result<Tensor> {
        if x.device().is_cpu() {
            return Ok(x.contiguous()?.apply_op1_no_bwd(&Rows {
                taps: &self.taps,
                relu: self.relu,
            })?);
        }
        let out = x
            .conv2d(&self.weight, 1, 1, 1, self.taps.len())?
            .broadcast_add(&self.bias)?;
        Ok(if self.relu { out.relu()? } else { out })
    }
}

/// The CPU's way.
#[derive(Debug)]
struct Rows<'a> {
    taps: &'a [([f32; 9], f32)],
    relu: bool,
}

impl CustomOp1 for Rows<'_> {
    fn name(&self) -> &'static str {
        "depthwise 3x3"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (_, channels, height, width) = layout.shape().dims4()?;
        let range = layout.contiguous_offsets();
        let input = range.and_then(|(start, end)| storage.as_slice::<f32>().ok()?.get(start..end));
        let (Some(input), true) = (input, channels == self.taps.len()) else {
            candle_core::bail!(
                "depthwise convolution needs contiguous f32 with {} channels",
                self.taps.len()
            );
        };
        let mut out = vec![0f32; input.len()];
        let plane = (height * width).max(1);
        for ((input, out), (taps, bias)) in input
            .chunks_exact(plane)
            .zip(out.chunks_exact_mut(plane))
            .zip(self.taps)
        {
            for (y, row) in out.chunks_exact_mut(width).enumerate() {
                row.fill(*bias);
                for (dy, taps) in taps.chunks_exact(3).enumerate() {
                    // Row y + dy - 1 of the input; the rows above and below the image are zero.
                    let Some(source) = (y + dy).checked_sub(1).and_then(|y| input.chunks_exact(width).nth(y)) else {
                        continue;
                    };
                    add_scaled(&mut row[1..], source, taps[0]);
                    add_scaled(row, source, taps[1]);
                    add_scaled(row, &source[1..], taps[2]);
                }
                if self.relu {
                    row.iter_mut().for_each(|value| *value = value.max(0.0));
                }
            }
        }
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

/// Adds `factor` times `source`, as far as both reach.
fn add_scaled(out: &mut [f32], source: &[f32], factor: f32) {
    for (out, source) in out.iter_mut().zip(source) {
        *out += factor * source;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn equals_candles_grouped_convolution() {
        for (channels, height, width) in [(1, 1, 1), (3, 5, 1), (4, 1, 6), (16, 8, 11)] {
            let x = Tensor::randn(0f32, 1.0, (1, channels, height, width), &Device::Cpu).unwrap();
            let weight = Tensor::randn(0f32, 1.0, (channels, 1, 3, 3), &Device::Cpu).unwrap();
            let bias = Tensor::randn(0f32, 1.0, channels, &Device::Cpu).unwrap();
            let expected = x.conv2d(&weight, 1, 1, 1, channels).unwrap();
            let expected = expected
                .broadcast_add(&bias.reshape((1, channels, 1, 1)).unwrap())
                .unwrap()
                .relu()
                .unwrap();
            let actual = Depthwise::new(weight, bias, true).unwrap().forward(x).unwrap();
            let difference = (actual - expected).unwrap().abs().unwrap().flatten_all().unwrap();
            let worst = difference.max(0).unwrap().to_scalar::<f32>().unwrap();
            assert!(worst < 1e-5, "{channels}x{height}x{width}: {worst}");
        }
    }
}
