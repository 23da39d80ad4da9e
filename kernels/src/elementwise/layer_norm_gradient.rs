//! The gradient of layer normalisation.

use crate::error::{Error, Result};
use crate::simd::{dispatch, load_first, store_first, Isa, Kernel, Lanes};
use crate::threads::{Target, ThreadPool};

/// Rows whose contributions to the gradients of weight and bias are summed first. A constant, so that the sums do
/// not depend on the number of threads.
const CHUNK: usize = 128;

/// The gradient of [`layer_norm`](super::layer_norm).
///
/// `input` and `output_gradient` are `[rows, width]`, `weight` is `[width]`. Overwrites `input_gradient`
/// `[rows, width]`, `weight_gradient` `[width]` and `bias_gradient` `[width]`. Mean and variance are computed
/// again. The same operands give the same bits on any number of threads.
///
/// # Errors
/// `InvalidArgument` when a length does not fit; nothing is written then.
#[allow(clippy::too_many_arguments)] // three operands, three gradients
pub(crate) fn layer_norm_gradient(
    pool: &ThreadPool,
    input: &[f32],
    weight: &[f32],
    eps: f32,
    output_gradient: &[f32],
    input_gradient: &mut [f32],
    weight_gradient: &mut [f32],
    bias_gradient: &mut [f32],
) -> Result<()> {
    let width = weight.len();
    let rows = input.len().checked_div(width).unwrap_or(0);
    let fits = width > 0
        && rows * width == input.len()
        && output_gradient.len() == input.len()
        && input_gradient.len() == input.len()
        && weight_gradient.len() == width
        && bias_gradient.len() == width;
    if !fits {
        return Err(Error::invalid(format!(
            "the gradient of a layer norm of width {width} got {} inputs, {} output gradients and room for {}, {} and \
             {} values",
            input.len(),
            output_gradient.len(),
            input_gradient.len(),
            weight_gradient.len(),
            bias_gradient.len()
        )));
    }
    let isa = Isa::current();
    let chunks = rows.div_ceil(CHUNK);
    // [chunk][weight, bias][width]
    let mut sums = vec![0.0_f32; chunks * 2 * width];
    let (target, partial) = (Target(input_gradient.as_mut_ptr()), Target(sums.as_mut_ptr()));
    let task = |index: usize| {
        let (target, partial) = (&target, &partial);
        let first = index * CHUNK;
        let last = rows.min(first + CHUNK);
        // SAFETY: each task has rows and sums of its own inside the slices, whose lengths were checked.
        unsafe {
            let sums = std::slice::from_raw_parts_mut(partial.0.add(index * 2 * width), 2 * width);
            let (weight_sums, bias_sums) = sums.split_at_mut(width);
            let chunk = Gradient {
                input: &input[first * width..last * width],
                weight,
                eps,
                output_gradient: &output_gradient[first * width..last * width],
                input_gradient: std::slice::from_raw_parts_mut(target.0.add(first * width), (last - first) * width),
                weight_sums,
                bias_sums,
            };
            dispatch(isa, chunk);
        }
    };
    pool.run(chunks, &task);
    weight_gradient.fill(0.0);
    bias_gradient.fill(0.0);
    for chunk in sums.chunks_exact(2 * width) {
        let (weight_sums, bias_sums) = chunk.split_at(width);
        for (total, part) in weight_gradient.iter_mut().zip(weight_sums) {
            *total += part;
        }
        for (total, part) in bias_gradient.iter_mut().zip(bias_sums) {
            *total += part;
        }
    }
    Ok(())
}

/// Runs a block with the start and the length of every vector of a row. No closure: the compiler may leave one out of
/// line, and then compiles it without the instruction set of the kernel.
macro_rules! pieces {
    ($width:expr, $lanes:expr, |$start:ident, $count:ident| $block:block) => {
        let mut $start = 0;
        while $start < $width {
            let $count = $lanes.min($width - $start);
            $block
            $start += $lanes;
        }
    };
}

/// Some rows; the sums are zero before.
struct Gradient<'a> {
    input: &'a [f32],
    weight: &'a [f32],
    eps: f32,
    output_gradient: &'a [f32],
    input_gradient: &'a mut [f32],
    weight_sums: &'a mut [f32],
    bias_sums: &'a mut [f32],
}

impl Kernel for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let width = self.weight.len();
        let n = width as f32;
        let weight = self.weight.as_ptr();
        let (weight_sums, bias_sums) = (self.weight_sums.as_mut_ptr(), self.bias_sums.as_mut_ptr());
        let rows = self
            .input
            .chunks_exact(width)
            .zip(self.output_gradient.chunks_exact(width))
            .zip(self.input_gradient.chunks_exact_mut(width));
        for ((x, dy), dx) in rows {
            let (x, dy, dx) = (x.as_ptr(), dy.as_ptr(), dx.as_mut_ptr());
            // SAFETY: every piece lies inside rows of `width`; `dispatch` vouches for the instructions.
            unsafe {
                let mut sum = L::splat(0.0);
                pieces!(width, L::WIDTH, |i, count| {
                    sum = L::add(sum, load_first::<L>(x.add(i), count));
                });
                let mean = L::reduce_add(sum) / n;
                let means = L::splat(mean);
                let mut squares = L::splat(0.0);
                pieces!(width, L::WIDTH, |i, count| {
                    // Lanes beyond the row hold the mean, so that they deviate by nothing.
                    let d = L::sub(load_or::<L>(x.add(i), count, mean), means);
                    squares = L::fma(d, d, squares);
                });
                let factor = 1.0 / (L::reduce_add(squares) / n + self.eps).sqrt();
                let factors = L::splat(factor);
                // With g = dy · weight and x̂ the normalised row: dx = (g - mean(g) - x̂ · mean(g · x̂)) · factor.
                let (mut g_sum, mut gx_sum) = (L::splat(0.0), L::splat(0.0));
                pieces!(width, L::WIDTH, |i, count| {
                    let normal = L::mul(L::sub(load_first::<L>(x.add(i), count), means), factors);
                    let dy = load_first::<L>(dy.add(i), count);
                    let g = L::mul(dy, load_first::<L>(weight.add(i), count));
                    g_sum = L::add(g_sum, g);
                    gx_sum = L::fma(g, normal, gx_sum);
                    let to = weight_sums.add(i);
                    store_first::<L>(to, L::fma(dy, normal, load_first::<L>(to, count)), count);
                    let to = bias_sums.add(i);
                    store_first::<L>(to, L::add(dy, load_first::<L>(to, count)), count);
                });
                let g_mean = L::splat(L::reduce_add(g_sum) / n);
                let gx_mean = L::splat(L::reduce_add(gx_sum) / n);
                pieces!(width, L::WIDTH, |i, count| {
                    let normal = L::mul(L::sub(load_first::<L>(x.add(i), count), means), factors);
                    let g = L::mul(load_first::<L>(dy.add(i), count), load_first::<L>(weight.add(i), count));
                    let d = L::sub(L::sub(g, g_mean), L::mul(normal, gx_mean));
                    store_first::<L>(dx.add(i), L::mul(d, factors), count);
                });
            }
        }
    }
}

/// Loads `count` lanes, which may be all; the others are `rest`.
#[inline(always)]
unsafe fn load_or<L: Lanes>(p: *const f32, count: usize, rest: f32) -> L::V {
    // SAFETY: the caller vouches for `count` values; the copy is as wide as the widest vector.
    unsafe {
        if count == L::WIDTH {
            return L::load(p);
        }
        let mut lanes = [rest; 16];
        lanes.as_mut_ptr().copy_from_nonoverlapping(p, count);
        L::load(lanes.as_ptr())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{rngs::StdRng, Rng, SeedableRng};

    const EPS: f32 = 1e-3;

    /// Σ output · dy of one row, in f64.
    fn loss(x: &[f64], weight: &[f32], dy: &[f32]) -> f64 {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let factor = 1.0 / (variance + f64::from(EPS)).sqrt();
        x.iter()
            .zip(weight)
            .zip(dy)
            .map(|((x, w), dy)| (x - mean) * factor * f64::from(*w) * f64::from(*dy))
            .sum()
    }

    #[test]
    fn gradients_agree_with_finite_differences_in_double_precision() {
        let mut random = StdRng::seed_from_u64(3);
        let pools = [ThreadPool::new(1), ThreadPool::new(3)];
        for isa in Isa::available() {
            for (rows, width) in [(1, 2), (3, 7), (300, 33), (130, 64)] {
                let mut values =
                    |n: usize| -> Vec<f32> { (0..n).map(|_| random.random_range(-1.0..1.0_f32) + 0.3).collect() };
                let (x, weight, dy) = (values(rows * width), values(width), values(rows * width));
                let run = |pool| {
                    let (mut dx, mut dw, mut db) =
                        (vec![f32::NAN; x.len()], vec![f32::NAN; width], vec![f32::NAN; width]);
                    isa.with(|| layer_norm_gradient(pool, &x, &weight, EPS, &dy, &mut dx, &mut dw, &mut db))
                        .unwrap();
                    (dx, dw, db)
                };
                let (dx, dw, db) = run(&pools[0]);
                assert_eq!((&dx, &dw, &db), {
                    let (a, b, c) = &run(&pools[1]);
                    (&a.clone(), &b.clone(), &c.clone())
                });
                let row = |r: usize| {
                    x[r * width..][..width]
                        .iter()
                        .map(|&x| f64::from(x))
                        .collect::<Vec<_>>()
                };
                for r in [0, rows / 2, rows - 1] {
                    let dy = &dy[r * width..][..width];
                    for i in 0..width {
                        let step = |h: f64| {
                            let mut x = row(r);
                            x[i] += h;
                            loss(&x, &weight, dy)
                        };
                        let expected = (step(1e-5) - step(-1e-5)) / 2e-5;
                        let found = f64::from(dx[r * width + i]);
                        assert!(
                            (found - expected).abs() < 2e-5 * (1.0 + expected.abs()),
                            "{found} {expected}"
                        );
                    }
                }
                for i in 0..width {
                    let (mut of_weight, mut of_bias) = (0.0, 0.0);
                    let mut unit = vec![0.0; width];
                    unit[i] = 1.0;
                    for r in 0..rows {
                        of_weight += loss(&row(r), &unit, &dy[r * width..][..width]);
                        of_bias += f64::from(dy[r * width + i]);
                    }
                    assert!((f64::from(dw[i]) - of_weight).abs() < 1e-4 * (1.0 + of_weight.abs()));
                    assert!((f64::from(db[i]) - of_bias).abs() < 1e-4 * (1.0 + of_bias.abs()));
                }
            }
        }
    }

    #[test]
    fn lengths_are_checked() {
        let pool = ThreadPool::new(1);
        let (mut dx, mut dw, mut db) = ([0.0; 6], [0.0; 3], [0.0; 2]);
        let bad = layer_norm_gradient(&pool, &[0.0; 6], &[1.0; 3], EPS, &[0.0; 6], &mut dx, &mut dw, &mut db);
        assert!(bad.is_err());
    }
}
