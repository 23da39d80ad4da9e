//! Layer normalisation.

use crate::error::{Error, Result};
use crate::simd::{dispatch, Isa, Kernel, Lanes};
use crate::threads::{Target, ThreadPool};

/// Values below which one thread is faster than several.
const SERIAL_VALUES: usize = 1 << 15;

/// Layer normalisation of rows: `output = (x - mean) / √(variance + eps) · weight + bias`.
///
/// `input` and `output` are `[rows, width]`, `weight` and `bias` `[width]`; the variance is the biased one.
///
/// # Errors
/// `InvalidArgument` when a length does not fit.
pub fn layer_norm(
    pool: &ThreadPool,
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    eps: f32,
    output: &mut [f32],
) -> Result<()> {
    check(input, weight, bias, output.len())?;
    normalise(pool, input, weight, bias, eps, output.as_mut_ptr());
    Ok(())
}

/// [`layer_norm`] into new memory, which is not filled with zeros before.
///
/// # Errors
/// As [`layer_norm`].
pub(crate) fn layer_norm_of(
    pool: &ThreadPool,
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    eps: f32,
) -> Result<Vec<f32>> {
    check(input, weight, bias, input.len())?;
    let mut output = Vec::with_capacity(input.len());
    normalise(pool, input, weight, bias, eps, output.as_mut_ptr());
    // SAFETY: every row was written.
    unsafe { output.set_len(input.len()) };
    Ok(output)
}

fn check(input: &[f32], weight: &[f32], bias: Option<&[f32]>, output: usize) -> Result<()> {
    let width = weight.len();
    let rows = input.len().checked_div(width).unwrap_or(0);
    let fits = width > 0 && rows * width == input.len() && output == input.len();
    if !fits || bias.is_some_and(|bias| bias.len() != width) {
        return Err(Error::invalid(format!(
            "layer norm of {} values into {} with {width} weights and {:?} biases",
            input.len(),
            output,
            bias.map(<[f32]>::len)
        )));
    }
    Ok(())
}

/// All lengths were checked; `output` takes as many values as `input` has.
fn normalise(pool: &ThreadPool, input: &[f32], weight: &[f32], bias: Option<&[f32]>, eps: f32, output: *mut f32) {
    let width = weight.len();
    let rows = input.len() / width;
    let isa = Isa::current();
    let chunks = parts(pool, input.len()).min(rows.max(1));
    let chunk = rows.div_ceil(chunks).max(1);
    let target = Target(output);
    pool.run(rows.div_ceil(chunk), &|index| {
        let first = index * chunk;
        let last = rows.min(first + chunk);
        let target = &target;
        // SAFETY: each task writes rows of its own inside `output`, whose length was checked.
        let output = unsafe { target.0.add(first * width) };
        let input = &input[first * width..last * width];
        // SAFETY: input and output have equal lengths, whole rows of `width`.
        unsafe {
            dispatch(
                isa,
                Norm {
                    input,
                    weight,
                    bias,
                    eps,
                    output,
                },
            )
        }
    });
}

fn parts(pool: &ThreadPool, values: usize) -> usize {
    if values < SERIAL_VALUES {
        1
    } else {
        2 * pool.threads()
    }
}

struct Norm<'a> {
    input: &'a [f32],
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    eps: f32,
    output: *mut f32,
}

impl Kernel for Norm<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let width = self.weight.len();
        let whole = width - width % L::WIDTH;
        let rest = width - whole;
        for (row, input) in self.input.chunks_exact(width).enumerate() {
            let from = input.as_ptr();
            // SAFETY: all lanes lie inside rows of `width`; `dispatch` vouches for the instructions.
            unsafe {
                let to = self.output.add(row * width);
                let mut sum = L::splat(0.0);
                let mut i = 0;
                while i < whole {
                    sum = L::add(sum, L::load(from.add(i)));
                    i += L::WIDTH;
                }
                let tail: f32 = input[whole..].iter().sum();
                let mean = (L::reduce_add(sum) + tail) / width as f32;
                // The second pass over the deviations does not cancel, unlike the mean of the squares.
                let means = L::splat(mean);
                let mut squares = L::splat(0.0);
                let mut i = 0;
                while i < whole {
                    let d = L::sub(L::load(from.add(i)), means);
                    squares = L::fma(d, d, squares);
                    i += L::WIDTH;
                }
                let tail: f32 = input[whole..].iter().map(|x| (x - mean) * (x - mean)).sum();
                let variance = (L::reduce_add(squares) + tail) / width as f32;
                let factor = L::splat(1.0 / (variance + self.eps).sqrt());
                let mut i = 0;
                while i < whole {
                    let d = L::mul(L::sub(L::load(from.add(i)), means), factor);
                    let bias = self.bias.map_or(L::splat(0.0), |bias| L::load(bias.as_ptr().add(i)));
                    L::store(to.add(i), L::fma(d, L::load(self.weight.as_ptr().add(i)), bias));
                    i += L::WIDTH;
                }
                if rest > 0 {
                    let d = L::mul(L::sub(L::load_partial(from.add(i), rest), means), factor);
                    let weight = L::load_partial(self.weight.as_ptr().add(i), rest);
                    let bias = self
                        .bias
                        .map_or(L::splat(0.0), |bias| L::load_partial(bias.as_ptr().add(i), rest));
                    L::store_partial(to.add(i), L::fma(d, weight, bias), rest);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{rngs::StdRng, Rng, SeedableRng};

    #[test]
    fn rows_are_normalised_as_in_double_precision() {
        let mut random = StdRng::seed_from_u64(7);
        let pools = [ThreadPool::new(1), ThreadPool::new(3)];
        for isa in Isa::available() {
            for (rows, width) in [(1, 1), (3, 7), (5, 64), (257, 1280), (2, 1000), (100, 769)] {
                let mut values = |n: usize, offset: f32| -> Vec<f32> {
                    (0..n).map(|_| random.random_range(-1.0..1.0_f32) + offset).collect()
                };
                // A large mean shows a variance that cancels.
                let (input, weight, bias) = (values(rows * width, 20.0), values(width, 0.5), values(width, 0.0));
                for (pool, bias) in pools.iter().zip([Some(&bias[..]), None]) {
                    let mut output = vec![0.0; rows * width];
                    isa.with(|| layer_norm(pool, &input, &weight, bias, 1e-5, &mut output))
                        .unwrap();
                    for (x, y) in input.chunks(width).zip(output.chunks(width)) {
                        let n = width as f64;
                        let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
                        let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
                        for (c, &y) in y.iter().enumerate() {
                            let d = (f64::from(x[c]) - mean) / (variance + 1e-5).sqrt();
                            let expected = d * f64::from(weight[c]) + bias.map_or(0.0, |bias| f64::from(bias[c]));
                            assert!(
                                (f64::from(y) - expected).abs() < 5e-5,
                                "{isa:?} {width}: {y} {expected}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn lengths_are_checked() {
        let pool = ThreadPool::new(3);
        assert!(layer_norm(&pool, &[0.0; 6], &[1.0; 4], None, 1e-5, &mut [0.0; 6]).is_err());
        assert!(layer_norm(&pool, &[0.0; 8], &[1.0; 4], Some(&[0.0; 3]), 1e-5, &mut [0.0; 8]).is_err());
        assert!(layer_norm(&pool, &[], &[], None, 1e-5, &mut []).is_err());
    }
}
