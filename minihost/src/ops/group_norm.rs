//! Group normalisation of tokens, optionally followed by SiLU, in one operation.

use super::{elements, for_parts, on_cpu, with_elements};
use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor};
use omniid_kernels::Activation;

/// Tokens that one task works on: a part small enough for the cache, and the same for every number of threads.
const ROWS: usize = 64;

/// Normalises each group of neighbouring channels over all tokens of a picture to mean 0 and variance 1, scales and
/// shifts each channel, and applies SiLU if asked.
///
/// `x` `[batch, tokens, channels]`, `weight` and `bias` `[channels]`, `groups` a divisor of the channels.
/// Differentiable, any device.
pub fn group_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    groups: usize,
    epsilon: f64,
    silu: bool,
) -> Result<Tensor> {
    if on_cpu(&[x, weight, bias]) {
        let operation = GroupNorm { groups, epsilon, silu };
        return x
            .contiguous()?
            .apply_op3(&weight.contiguous()?, &bias.contiguous()?, operation);
    }
    let (batch, tokens, channels) = x.dims3()?;
    let wide = x
        .to_dtype(DType::F32)?
        .reshape((batch, tokens, groups, channels / groups))?;
    let centred = wide.broadcast_sub(&wide.mean_keepdim((1, 3))?)?;
    let variance = centred.sqr()?.mean_keepdim((1, 3))?;
    let unit = centred.broadcast_div(&(variance + epsilon)?.sqrt()?)?;
    let y = unit
        .reshape((batch, tokens, channels))?
        .broadcast_mul(&weight.to_dtype(DType::F32)?)?
        .broadcast_add(&bias.to_dtype(DType::F32)?)?;
    if silu { y.silu()? } else { y }.to_dtype(x.dtype())
}

struct GroupNorm {
    groups: usize,
    epsilon: f64,
    silu: bool,
}

/// Sizes of one call.
#[derive(Clone, Copy)]
struct Sizes {
    tokens: usize,
    channels: usize,
    groups: usize,
    /// Parts of [`ROWS`] tokens, the last one shorter, of one picture.
    parts: usize,
}

impl Sizes {
    fn new(shape: &Shape, groups: usize) -> Result<(usize, Self)> {
        let (batch, tokens, channels) = shape.dims3()?;
        if groups == 0 || channels % groups != 0 {
            candle_core::bail!("group norm: {channels} channels cannot be shared by {groups} groups");
        }
        let sizes = Self {
            tokens,
            channels,
            groups,
            parts: tokens.div_ceil(ROWS),
        };
        Ok((batch, sizes))
    }

    /// Picture and elements of part `number`.
    fn part<'a>(&self, x: &'a [f32], number: usize) -> (usize, &'a [f32]) {
        let (picture, part) = (number / self.parts, number % self.parts);
        let first = picture * self.tokens + part * ROWS;
        let last = (picture * self.tokens + self.tokens).min(first + ROWS);
        (picture, &x[first * self.channels..last * self.channels])
    }

    /// Calls `fill(number of the part, part)` for every part of `output` `[batch, tokens, channels]`.
    fn for_parts(&self, output: &mut [f32], fill: &(dyn Fn(usize, &mut [f32]) + Sync)) {
        let picture = self.tokens * self.channels;
        if self.tokens.is_multiple_of(ROWS) {
            return for_parts(output, ROWS * self.channels, fill);
        }
        // Parts of unequal length: hand out pictures, which are many or small then.
        for_parts(output, picture, &|number, whole| {
            for (part, slice) in whole.chunks_mut(ROWS * self.channels).enumerate() {
                fill(number * self.parts + part, slice);
            }
        });
    }
}

/// Mean and 1/standard deviation of each group of each picture, `[batch, groups]`.
fn statistics(x: &[f32], batch: usize, sizes: Sizes, epsilon: f64) -> Vec<(f32, f32)> {
    let Sizes { groups, channels, .. } = sizes;
    let width = channels / groups;
    // Mean and sum of squared deviations of each part, which are then joined (Chan, Golub, LeVeque 1979).
    let mut partial = vec![(0f64, 0f64); batch * sizes.parts * groups];
    for_parts(&mut partial, groups, &|number, partial| {
        let (_, rows) = sizes.part(x, number);
        let count = (rows.len() / channels * width) as f64;
        let mut sums = vec![0f32; channels];
        for row in rows.chunks_exact(channels) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
        let mut means = vec![0f32; channels];
        for (group, (means, sums)) in means.chunks_exact_mut(width).zip(sums.chunks_exact(width)).enumerate() {
            let mean = sums.iter().map(|sum| f64::from(*sum)).sum::<f64>() / count;
            means.fill(mean as f32);
            partial[group].0 = f64::from(mean as f32);
        }
        let mut squares = vec![0f32; channels];
        sums.fill(0.0);
        for row in rows.chunks_exact(channels) {
            for (((square, sum), value), mean) in squares.iter_mut().zip(&mut sums).zip(row).zip(&means) {
                let centred = value - mean;
                *square += centred * centred;
                *sum += centred;
            }
        }
        for (group, (squares, sums)) in squares.chunks_exact(width).zip(sums.chunks_exact(width)).enumerate() {
            let total = |values: &[f32]| values.iter().map(|value| f64::from(*value)).sum::<f64>();
            // The mean was rounded to f32; what it missed is put back.
            let missed = total(sums) / count;
            partial[group].0 += missed;
            partial[group].1 = total(squares) - missed * missed * count;
        }
    });
    let mut statistics = Vec::with_capacity(batch * groups);
    for picture in 0..batch {
        for group in 0..groups {
            let (mut count, mut mean, mut squares) = (0f64, 0f64, 0f64);
            for part in 0..sizes.parts {
                let (part_mean, part_squares) = partial[(picture * sizes.parts + part) * groups + group];
                let part_count = (ROWS.min(sizes.tokens - part * ROWS) * width) as f64;
                let distance = part_mean - mean;
                let total = count + part_count;
                mean += distance * part_count / total;
                squares += part_squares + distance * distance * count * part_count / total;
                count = total;
            }
            let scale = 1.0 / (squares / count.max(1.0) + epsilon).sqrt();
            statistics.push((mean as f32, scale as f32));
        }
    }
    statistics
}

/// Per channel of one picture: factor and summand that turn `x` into the scaled and shifted value.
fn affine(statistics: &[(f32, f32)], weight: &[f32], bias: &[f32], sizes: Sizes) -> (Vec<f32>, Vec<f32>) {
    let width = sizes.channels / sizes.groups;
    let channel = |c: usize| {
        let (mean, scale) = statistics[c / width];
        let factor = weight[c] * scale;
        (factor, bias[c] - mean * factor)
    };
    (0..sizes.channels).map(channel).unzip()
}

impl GroupNorm {
    fn forward(&self, x: &[f32], weight: &[f32], bias: &[f32], shape: &Shape) -> Result<Vec<f32>> {
        let (batch, sizes) = Sizes::new(shape, self.groups)?;
        let statistics = statistics(x, batch, sizes, self.epsilon);
        let mut output = vec![0f32; x.len()];
        sizes.for_parts(&mut output, &|number, part| {
            let (picture, rows) = sizes.part(x, number);
            let own = &statistics[picture * sizes.groups..(picture + 1) * sizes.groups];
            let (factors, summands) = affine(own, weight, bias, sizes);
            normalise(rows, &factors, &summands, part);
            if self.silu {
                Activation::Silu.apply(part);
            }
        });
        Ok(output)
    }

    /// Gradients of `x`, `weight` and `bias`.
    fn backward(
        &self,
        x: &[f32],
        weight: &[f32],
        bias: &[f32],
        gradient: &[f32],
        shape: &Shape,
    ) -> Result<[Vec<f32>; 3]> {
        let (batch, sizes) = Sizes::new(shape, self.groups)?;
        let Sizes { channels, groups, .. } = sizes;
        let width = channels / groups;
        let statistics = statistics(x, batch, sizes, self.epsilon);
        let of_picture = |picture: usize| &statistics[picture * groups..(picture + 1) * groups];
        // First the gradient before SiLU and its sums per channel, alone and times the normalised input.
        let mut before = vec![0f32; x.len()];
        sizes.for_parts(&mut before, &|number, part| {
            let (picture, rows) = sizes.part(x, number);
            let (_, gradient) = sizes.part(gradient, number);
            if !self.silu {
                return part.copy_from_slice(gradient);
            }
            let (factors, summands) = affine(of_picture(picture), weight, bias, sizes);
            normalise(rows, &factors, &summands, part);
            let mut activated = part.to_vec();
            Activation::Silu.apply(&mut activated);
            for ((value, activated), gradient) in part.iter_mut().zip(&activated).zip(gradient) {
                let z = *value;
                // sigmoid(z) from z · sigmoid(z); near 0 by its tangent.
                let sigmoid = if z.abs() < 1e-3 { 0.5 + 0.25 * z } else { activated / z };
                *value = gradient * (sigmoid + activated * (1.0 - sigmoid));
            }
        });
        let mut sums = vec![0f32; batch * sizes.parts * 2 * channels];
        for_parts(&mut sums, 2 * channels, &|number, sums| {
            let (picture, rows) = sizes.part(x, number);
            let (_, gradient) = sizes.part(&before, number);
            let (plain, weighted) = sums.split_at_mut(channels);
            let (means, scales): (Vec<f32>, Vec<f32>) = (0..channels).map(|c| of_picture(picture)[c / width]).unzip();
            for (row, gradient) in rows.chunks_exact(channels).zip(gradient.chunks_exact(channels)) {
                for c in 0..channels {
                    plain[c] += gradient[c];
                    weighted[c] += gradient[c] * ((row[c] - means[c]) * scales[c]);
                }
            }
        });
        let mut by_picture = vec![0f64; batch * 2 * channels];
        for (picture, totals) in by_picture.chunks_exact_mut(2 * channels).enumerate() {
            for part in 0..sizes.parts {
                let from = (picture * sizes.parts + part) * 2 * channels;
                for (total, sum) in totals.iter_mut().zip(&sums[from..from + 2 * channels]) {
                    *total += f64::from(*sum);
                }
            }
        }
        let over_pictures = |offset: usize| -> Vec<f32> {
            let total = |c: usize| -> f64 { (0..batch).map(|b| by_picture[b * 2 * channels + offset + c]).sum() };
            (0..channels).map(|c| total(c) as f32).collect()
        };
        let (bias_gradient, weight_gradient) = (over_pictures(0), over_pictures(channels));
        sizes.for_parts(&mut before, &|number, part| {
            let (picture, rows) = sizes.part(x, number);
            let totals = &by_picture[picture * 2 * channels..(picture + 1) * 2 * channels];
            let count = (sizes.tokens * width) as f64;
            // gradient of x = own · before + along · x + constant, per channel.
            let (mut own, mut along, mut constant) = (vec![0f32; channels], vec![0f32; channels], vec![0f32; channels]);
            for group in 0..groups {
                let (mean, scale) = of_picture(picture)[group];
                let channels_of = group * width..(group + 1) * width;
                let weigh = |offset: usize| -> f64 {
                    channels_of
                        .clone()
                        .map(|c| f64::from(weight[c]) * totals[offset + c])
                        .sum::<f64>()
                        / count
                };
                let (plain, weighted) = (weigh(0), weigh(channels));
                let slope = -(f64::from(scale) * f64::from(scale) * weighted);
                for c in channels_of.clone() {
                    own[c] = weight[c] * scale;
                    along[c] = slope as f32;
                    constant[c] = (-f64::from(scale) * plain - slope * f64::from(mean)) as f32;
                }
            }
            for (row, part) in rows.chunks_exact(channels).zip(part.chunks_exact_mut(channels)) {
                for c in 0..channels {
                    part[c] = own[c] * part[c] + (along[c] * row[c] + constant[c]);
                }
            }
        });
        Ok([before, weight_gradient, bias_gradient])
    }
}

fn normalise(rows: &[f32], factors: &[f32], summands: &[f32], output: &mut [f32]) {
    let channels = factors.len();
    for (row, output) in rows.chunks_exact(channels).zip(output.chunks_exact_mut(channels)) {
        for c in 0..channels {
            output[c] = row[c] * factors[c] + summands[c];
        }
    }
}

impl CustomOp3 for GroupNorm {
    fn name(&self) -> &'static str {
        "group_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = x_layout.shape();
        let output = self.forward(
            elements(x, x_layout)?,
            elements(weight, weight_layout)?,
            elements(bias, bias_layout)?,
            shape,
        )?;
        Ok((CpuStorage::F32(output), shape.clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [dx, dw, db] = with_elements(x, |values| {
            with_elements(weight, |weight| {
                with_elements(bias, |bias| {
                    with_elements(gradient, |gradient| {
                        self.backward(values, weight, bias, gradient, x.shape())
                    })
                })
            })
        })?;
        let device = x.device();
        Ok((
            Some(Tensor::from_vec(dx, x.shape(), device)?),
            Some(Tensor::from_vec(dw, weight.shape(), device)?),
            Some(Tensor::from_vec(db, bias.shape(), device)?),
        ))
    }
}
