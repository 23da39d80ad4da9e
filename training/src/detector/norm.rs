//! Batch normalisation (Ioffe and Szegedy 2015) of tokens `[batch, places, channels]`, then ReLU, f32 on the CPU.
//!
//! There are no running means: the statistics for use are measured when the network is folded. Results do not depend
//! on the number of threads.

use super::ops::{along_row, elements, for_parts};
use super::vectorised::vectorised;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use std::sync::{Arc, OnceLock};

/// Keeps channels that do not vary from being divided by nothing.
pub const EPSILON: f64 = 1e-5;

/// Values in one loop.
const STRIP: usize = 2048;

/// Mean and variance of each channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// Means.
    pub mean: Vec<f64>,
    /// Variances, of the population.
    pub variance: Vec<f64>,
}

/// `x` normalised over batch and places, times `gain` plus `shift` (`[channels]` each), then ReLU. Differentiable in
/// all three.
///
/// # Errors
/// For shapes that do not fit.
pub fn normalise(x: &Tensor, gain: &Tensor, shift: &Tensor) -> Result<Tensor> {
    let (x, gain, shift) = (x.contiguous()?, gain.contiguous()?, shift.contiguous()?);
    x.apply_op3(&gain, &shift, Normalise::default())
}

/// Mean and variance of each channel of `[batch, places, channels]`.
///
/// # Errors
/// For tensors that are not f32 on the CPU.
pub fn moments(x: &Tensor) -> Result<Moments> {
    let channels = x.dim(candle_core::D::Minus1)?;
    Ok(moments_of(&x.flatten_all()?.to_vec1::<f32>()?, channels))
}

/// Columns of a strip: as many whole tokens as fit.
fn strip(channels: usize) -> usize {
    (STRIP / channels).max(1) * channels
}

/// Sums of `parts` numbers per channel over all strips. `add` is called with the number of a strip's first value, its
/// length and sums `[parts, strip]`; these come to nothing where a strip is short.
fn sums(count: usize, channels: usize, parts: usize, add: &(dyn Fn(usize, usize, &mut [f32]) + Sync)) -> Vec<f64> {
    // Each task sums so many strips value by value, in single precision, then all of it in double.
    const STRIPS: usize = 8;
    let strip = strip(channels);
    let tasks = count.div_ceil(strip * STRIPS);
    let mut partial = vec![0f32; tasks * parts * strip];
    for_parts(&mut partial, parts * strip, &|task, sums| {
        for first in (0..STRIPS).map(|i| (task * STRIPS + i) * strip) {
            let length = strip.min(count.saturating_sub(first));
            if length > 0 {
                add(first, length, sums);
            }
        }
    });
    let mut out = vec![0f64; parts * channels];
    for sums in partial.chunks_exact(parts * strip) {
        for (out, sums) in out.chunks_exact_mut(channels).zip(sums.chunks_exact(strip)) {
            for token in sums.chunks_exact(channels) {
                for (out, value) in out.iter_mut().zip(token) {
                    *out += f64::from(*value);
                }
            }
        }
    }
    out
}

fn moments_of(x: &[f32], channels: usize) -> Moments {
    let count = (x.len() / channels).max(1) as f64;
    let strip = strip(channels);
    let mean: Vec<f64> = sums(x.len(), channels, 1, &|first, length, sums| {
        vectorised(
            #[inline(always)]
            || {
                for (sum, value) in sums.iter_mut().zip(&x[first..first + length]) {
                    *sum += value;
                }
            },
        );
    })
    .into_iter()
    .map(|sum| sum / count)
    .collect();
    let single: Vec<f32> = mean.iter().map(|mean| *mean as f32).collect();
    let row = along_row(&single, channels, strip / channels);
    let variance = sums(x.len(), channels, 1, &|first, length, sums| {
        vectorised(
            #[inline(always)]
            || {
                let values = x[first..first + length].iter().zip(&row);
                for (sum, (value, mean)) in sums.iter_mut().zip(values) {
                    let apart = value - mean;
                    *sum += apart * apart;
                }
            },
        );
    })
    .into_iter()
    .map(|sum| sum / count)
    .collect();
    Moments { mean, variance }
}

#[derive(Default)]
struct Normalise {
    /// Of the forward pass, for the backward pass.
    moments: Arc<OnceLock<Moments>>,
}

impl Moments {
    fn inverse_deviation(&self) -> Vec<f32> {
        let inverse = |variance: &f64| (1.0 / (variance + EPSILON).sqrt()) as f32;
        self.variance.iter().map(inverse).collect()
    }

    fn mean(&self) -> Vec<f32> {
        self.mean.iter().map(|mean| *mean as f32).collect()
    }
}

impl CustomOp3 for Normalise {
    fn name(&self) -> &'static str {
        "batch normalisation"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        gain: &CpuStorage,
        gain_layout: &Layout,
        shift: &CpuStorage,
        shift_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, _, channels) = layout.shape().dims3()?;
        if gain_layout.shape().dims() != [channels] || shift_layout.shape().dims() != [channels] {
            candle_core::bail!(
                "a gain of shape {:?} and a shift of shape {:?} for {channels} channels",
                gain_layout.shape(),
                shift_layout.shape()
            );
        }
        let x = elements(x, layout)?;
        let (gain, shift) = (elements(gain, gain_layout)?, elements(shift, shift_layout)?);
        let moments = self.moments.get_or_init(|| moments_of(x, channels));
        let factor: Vec<f32> = gain
            .iter()
            .zip(moments.inverse_deviation())
            .map(|(g, s)| g * s)
            .collect();
        let offset: Vec<f32> = shift
            .iter()
            .zip(factor.iter().zip(moments.mean()))
            .map(|(shift, (factor, mean))| shift - factor * mean)
            .collect();
        let size = strip(channels);
        let (factor, offset) = (
            along_row(&factor, channels, size / channels),
            along_row(&offset, channels, size / channels),
        );
        let mut output = vec![0f32; x.len()];
        for_parts(&mut output, size, &|number, part| {
            let input = &x[number * size..number * size + part.len()];
            vectorised(
                #[inline(always)]
                || {
                    let numbers = input.iter().zip(factor.iter().zip(&offset));
                    for (out, (value, (factor, offset))) in part.iter_mut().zip(numbers) {
                        *out = (value * factor + offset).max(0.0);
                    }
                },
            );
        });
        Ok((CpuStorage::F32(output), layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gain: &Tensor,
        _: &Tensor,
        output: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (_, _, channels) = x.dims3()?;
        let Some(moments) = self.moments.get() else {
            candle_core::bail!("a backward pass without a forward pass");
        };
        let operation = Gradient {
            moments: moments.clone(),
            gain: gain.to_vec1()?,
        };
        let (gradient, count) = (gradient.contiguous()?, x.elem_count());
        let all = x.apply_op3_no_bwd(&gradient, output, &operation)?;
        Ok((
            Some(all.narrow(0, 0, count)?.reshape(x.shape())?),
            Some(all.narrow(0, count, channels)?),
            Some(all.narrow(0, count + channels, channels)?),
        ))
    }
}

/// Of x, the output's gradient and the output: the gradients of x, of the gain and of the shift, in one row.
///
/// With x̂ = (x − mean) / deviation and the gradient g where the ReLU let it through: shift Σ g, gain Σ g x̂,
/// x gain / deviation · (g − Σ g / n − x̂ · Σ g x̂ / n).
struct Gradient {
    moments: Moments,
    gain: Vec<f32>,
}

impl CustomOp3 for Gradient {
    fn name(&self) -> &'static str {
        "batch normalisation gradient"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
        output: &CpuStorage,
        output_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let channels = self.gain.len();
        let x = elements(x, layout)?;
        let (gradient, output) = (elements(gradient, gradient_layout)?, elements(output, output_layout)?);
        let size = strip(channels);
        let row = |values: &[f32]| along_row(values, channels, size / channels);
        let inverse = self.moments.inverse_deviation();
        let (mean, scale) = (row(&self.moments.mean()), row(&inverse));
        let sums = sums(x.len(), channels, 2, &|first, length, sums| {
            let (shift, gain) = sums.split_at_mut(size);
            let range = first..first + length;
            let (x, gradient, output) = (&x[range.clone()], &gradient[range.clone()], &output[range]);
            vectorised(
                #[inline(always)]
                || {
                    let out = shift.iter_mut().zip(gain.iter_mut());
                    let numbers = x.iter().zip(gradient).zip(output).zip(mean.iter().zip(&scale));
                    for ((shift, gain), (((x, gradient), output), (mean, scale))) in out.zip(numbers) {
                        let passed = if *output > 0.0 { *gradient } else { 0.0 };
                        *shift += passed;
                        *gain += passed * (x - mean) * scale;
                    }
                },
            );
        });
        let (shift, gain) = sums.split_at(channels);
        let count = (x.len() / channels).max(1) as f64;
        let each = |sums: &[f64]| sums.iter().map(|sum| (sum / count) as f32).collect::<Vec<_>>();
        let (shift_row, gain_row) = (row(&each(shift)), row(&each(gain)));
        let factor: Vec<f32> = self
            .gain
            .iter()
            .zip(&inverse)
            .map(|(gain, scale)| gain * scale)
            .collect();
        let factor = row(&factor);
        let mut all = vec![0f32; x.len() + 2 * channels];
        let (dx, rest) = all.split_at_mut(x.len());
        for_parts(dx, size, &|number, part| {
            let range = number * size..number * size + part.len();
            let (x, gradient, output) = (&x[range.clone()], &gradient[range.clone()], &output[range]);
            vectorised(
                #[inline(always)]
                || {
                    let numbers = x.iter().zip(gradient).zip(output);
                    let of_channel = mean
                        .iter()
                        .zip(&scale)
                        .zip(&factor)
                        .zip(shift_row.iter().zip(&gain_row));
                    for (out, (((x, gradient), output), (((mean, scale), factor), (shift, gain)))) in
                        part.iter_mut().zip(numbers.zip(of_channel))
                    {
                        let passed = if *output > 0.0 { *gradient } else { 0.0 };
                        *out = factor * (passed - shift - (x - mean) * scale * gain);
                    }
                },
            );
        });
        for (out, sum) in rest.iter_mut().zip(gain.iter().chain(shift)) {
            *out = *sum as f32;
        }
        let length = all.len();
        Ok((CpuStorage::F32(all), Shape::from(length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Var};
    use omniid_kernels::layers::{Initial, TensorSpec};

    /// The definition without its last step, in candle's own operations.
    fn normalised(x: &Tensor, gain: &Tensor, shift: &Tensor) -> Result<Tensor> {
        let (batch, places, channels) = x.dims3()?;
        let rows = x.reshape((batch * places, channels))?;
        let centred = rows.broadcast_sub(&rows.mean_keepdim(0)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(0)? + EPSILON)?.sqrt()?;
        let y = centred
            .broadcast_div(&deviation)?
            .broadcast_mul(gain)?
            .broadcast_add(shift)?;
        y.reshape(x.shape())
    }

    #[test]
    fn values_and_gradients_are_those_of_the_definition() -> omniid::Result<()> {
        // Below a strip, and over several tasks with a short end.
        for (places, channels) in [(6, 3), (2 * STRIP + 5, 5), (1500, 16)] {
            let random =
                |name: &str, shape: &[usize]| TensorSpec::new(name, shape, Initial::Normal(1.0)).tensor(places as u64);
            let (x, gain, shift) = (
                Var::from_tensor(&(random("x", &[2, places, channels])? + 3.0)?)?,
                Var::from_tensor(&(random("gain", &[channels])? + 1.0)?)?,
                Var::from_tensor(&random("shift", &[channels])?)?,
            );
            let before = normalised(&x, &gain, &shift)?;
            let (ours, theirs) = (normalise(&x, &gain, &shift)?, before.relu()?);
            // At the kink a rounding error decides whether a gradient passes: nothing is asked of it there.
            let sure = before.detach().abs()?.gt(1e-3)?.to_dtype(DType::F32)?;
            let factor = (random("factor", &[2, places, channels])? * sure)?;
            let close = |a: &Tensor, b: &Tensor| -> Result<()> {
                let largest = |x: &Tensor| x.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>();
                let (apart, size) = (largest(&(a - b)?)?, largest(b)?);
                assert!(apart <= 2e-4 * size.max(1e-2), "{apart} of {size}");
                Ok(())
            };
            close(&ours, &theirs)?;
            let gradients = |y: &Tensor| (y * &factor)?.sum_all()?.backward();
            let (ours, theirs) = (gradients(&ours)?, gradients(&theirs)?);
            for variable in [&x, &gain, &shift] {
                let get = |store: &candle_core::backprop::GradStore| store.get(variable).cloned();
                let (Some(a), Some(b)) = (get(&ours), get(&theirs)) else {
                    panic!("no gradient")
                };
                close(&a, &b)?;
            }
        }
        Ok(())
    }
}
