//! Activations and gated activations over whole tensors, and their gradients.

use super::activation::{normal_tail, Activation};
use crate::error::{Error, Result};
use crate::simd::{dispatch, exp, load_first, store_first, Isa, Kernel, Lanes};
use crate::threads::{Target, ThreadPool};

/// Values of one task.
const CHUNK: usize = 1 << 14;

/// `output = activation(input)`, on all threads.
///
/// # Errors
/// `InvalidArgument` when the lengths differ.
pub(crate) fn activate(pool: &ThreadPool, activation: Activation, input: &[f32], output: &mut [f32]) -> Result<()> {
    check("an activation", &[input.len(), output.len()])?;
    run(
        pool,
        Pass {
            activation,
            width: input.len(),
            values: input,
            values_stride: input.len(),
            gates: None,
            gradient: None,
        },
        output,
        1,
    );
    Ok(())
}

/// `input_gradient = output_gradient · activation'(input)`, on all threads.
///
/// # Errors
/// `InvalidArgument` when the lengths differ.
pub(crate) fn activation_gradient(
    pool: &ThreadPool,
    activation: Activation,
    input: &[f32],
    output_gradient: &[f32],
    input_gradient: &mut [f32],
) -> Result<()> {
    check(
        "the gradient of an activation",
        &[input.len(), output_gradient.len(), input_gradient.len()],
    )?;
    run(
        pool,
        Pass {
            activation,
            width: input.len(),
            values: input,
            values_stride: input.len(),
            gates: None,
            gradient: Some(output_gradient),
        },
        input_gradient,
        1,
    );
    Ok(())
}

/// `output = values · activation(gates)` for `input` `[rows, 2 · width]` of values, then gates, and `output`
/// `[rows, width]`.
///
/// # Errors
/// `InvalidArgument` when the lengths do not fit.
pub(crate) fn gate(
    pool: &ThreadPool,
    activation: Activation,
    input: &[f32],
    width: usize,
    output: &mut [f32],
) -> Result<()> {
    let rows = check_gate(width, &[input.len(), 2 * output.len()])?;
    run(
        pool,
        Pass {
            activation,
            width,
            values: input,
            values_stride: 2 * width,
            gates: Some(width),
            gradient: None,
        },
        output,
        rows,
    );
    Ok(())
}

/// The gradient of [`gate`]: `output_gradient` `[rows, width]` to `input_gradient` `[rows, 2 · width]`.
///
/// # Errors
/// `InvalidArgument` when the lengths do not fit.
pub(crate) fn gate_gradient(
    pool: &ThreadPool,
    activation: Activation,
    input: &[f32],
    width: usize,
    output_gradient: &[f32],
    input_gradient: &mut [f32],
) -> Result<()> {
    let rows = check_gate(width, &[input.len(), 2 * output_gradient.len(), input_gradient.len()])?;
    run(
        pool,
        Pass {
            activation,
            width,
            values: input,
            values_stride: 2 * width,
            gates: Some(width),
            gradient: Some(output_gradient),
        },
        input_gradient,
        rows,
    );
    Ok(())
}

fn check(what: &str, lengths: &[usize]) -> Result<()> {
    if lengths.iter().all(|&len| len == lengths[0]) {
        return Ok(());
    }
    Err(Error::invalid(format!("{what} got tensors of {lengths:?} values")))
}

fn check_gate(width: usize, lengths: &[usize]) -> Result<usize> {
    check("a gated activation", lengths)?;
    if width == 0 || !lengths[0].is_multiple_of(2 * width) {
        return Err(Error::invalid(format!(
            "a gated activation of width {width} got {} values",
            lengths[0]
        )));
    }
    Ok(lengths[0] / (2 * width))
}

/// What is computed for every value of every row; the target has the layout of the values when there is a gradient
/// and rows of `width` otherwise.
#[derive(Clone, Copy)]
struct Pass<'a> {
    activation: Activation,
    width: usize,
    values: &'a [f32],
    values_stride: usize,
    /// Offset of the gates behind the values of a row.
    gates: Option<usize>,
    gradient: Option<&'a [f32]>,
}

fn run(pool: &ThreadPool, pass: Pass<'_>, target: &mut [f32], rows: usize) {
    if pass.width == 0 || rows == 0 {
        return;
    }
    let isa = Isa::current();
    let stride = if pass.gradient.is_some() {
        pass.values_stride
    } else {
        pass.width
    };
    // Long rows are cut, short ones gathered.
    let pieces = pass.width.div_ceil(CHUNK);
    let piece = pass.width.div_ceil(pieces).next_multiple_of(16);
    let pieces = pass.width.div_ceil(piece);
    let together = (CHUNK / pass.width).max(1);
    let groups = rows.div_ceil(together);
    let target = Target(target.as_mut_ptr());
    pool.run(groups * pieces, &|index| {
        let (group, part) = (index / pieces, index % pieces);
        let target = &target;
        for row in group * together..rows.min((group + 1) * together) {
            let first = part * piece;
            let len = piece.min(pass.width - first);
            // SAFETY: the lengths were checked: every row has its values, gates and gradients, and this task alone
            // writes this part of the target's row.
            unsafe {
                let values = pass.values.as_ptr().add(row * pass.values_stride + first);
                let to = target.0.add(row * stride + first);
                let part = Part {
                    activation: pass.activation,
                    len,
                    values,
                    gates: pass.gates.map(|offset| (values.add(offset), to.wrapping_add(offset))),
                    gradient: pass
                        .gradient
                        .map(|gradient| gradient.as_ptr().add(row * pass.width + first)),
                    to,
                };
                dispatch(isa, part);
            }
        }
    });
}

struct Part {
    activation: Activation,
    len: usize,
    values: *const f32,
    /// The gates and the target of their gradient.
    gates: Option<(*const f32, *mut f32)>,
    gradient: Option<*const f32>,
    to: *mut f32,
}

impl Kernel for Part {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let mut i = 0;
        while i < self.len {
            let count = L::WIDTH.min(self.len - i);
            // SAFETY: `count` values exist everywhere; the creator of the part vouches for its pointers.
            unsafe {
                let value = load_first::<L>(self.values.add(i), count);
                match (self.gates, self.gradient) {
                    (None, None) => store_first::<L>(self.to.add(i), self.activation.vector::<L>(value), count),
                    (None, Some(gradient)) => {
                        let (_, slope) = self.activation.value_and_slope::<L>(value);
                        let gradient = load_first::<L>(gradient.add(i), count);
                        store_first::<L>(self.to.add(i), L::mul(gradient, slope), count);
                    }
                    (Some((gates, _)), None) => {
                        let gate = self.activation.vector::<L>(load_first::<L>(gates.add(i), count));
                        store_first::<L>(self.to.add(i), L::mul(value, gate), count);
                    }
                    (Some((gates, to_gates)), Some(gradient)) => {
                        let (gate, slope) = self
                            .activation
                            .value_and_slope::<L>(load_first::<L>(gates.add(i), count));
                        let gradient = load_first::<L>(gradient.add(i), count);
                        store_first::<L>(self.to.add(i), L::mul(gradient, gate), count);
                        store_first::<L>(to_gates.add(i), L::mul(L::mul(gradient, value), slope), count);
                    }
                }
            }
            i += L::WIDTH;
        }
    }
}

impl Activation {
    /// The function and its derivative.
    ///
    /// # Safety
    /// `L`'s instructions exist.
    #[inline(always)]
    unsafe fn value_and_slope<L: Lanes>(self, x: L::V) -> (L::V, L::V) {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let value = self.vector::<L>(x);
            // Beyond ±1000 every slope has reached its limit; bounded, nothing overflows. The constants come first,
            // so that NaN stays.
            let x = L::min(L::splat(1e3), L::max(L::splat(-1e3), x));
            let slope = match self {
                Self::Gelu => return (value, gelu_slope::<L>(x)),
                Self::GeluTanh => {
                    const LINEAR: f32 = 1.595_769; // 2·√(2/π)
                    const CUBIC: f32 = LINEAR * 0.044_715;
                    let square = L::mul(x, x);
                    let inner = L::mul(x, L::fma(square, L::splat(CUBIC), L::splat(LINEAR)));
                    let slope = L::fma(square, L::splat(3.0 * CUBIC), L::splat(LINEAR));
                    product_slope::<L>(x, sigmoid::<L>(inner), slope)
                }
                Self::QuickGelu => {
                    let factor = L::splat(1.702);
                    product_slope::<L>(x, sigmoid::<L>(L::mul(x, factor)), factor)
                }
                Self::Silu => product_slope::<L>(x, sigmoid::<L>(x), L::splat(1.0)),
            };
            (value, slope)
        }
    }
}

// Functions, not closures: the compiler may leave a closure out of line, and then compiles it without the instruction
// set of the kernel.

/// 1 / (1 + e^-y)
#[inline(always)]
unsafe fn sigmoid<L: Lanes>(y: L::V) -> L::V {
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        let e = exp::<L>(L::min(L::splat(88.0), L::sub(L::splat(0.0), y)));
        L::div(L::splat(1.0), L::add(L::splat(1.0), e))
    }
}

/// The derivative of x·σ(u) is σ + x·u'·σ·(1 - σ), with σ and u' given.
#[inline(always)]
unsafe fn product_slope<L: Lanes>(x: L::V, s: L::V, slope: L::V) -> L::V {
    // SAFETY: the caller vouches for the instructions.
    unsafe { L::fma(L::mul(x, slope), L::mul(s, L::sub(L::splat(1.0), s)), s) }
}

/// `Φ(x) + x·φ(x)`, with the polynomial of the function itself: see [`Activation::vector`].
#[inline(always)]
unsafe fn gelu_slope<L: Lanes>(x: L::V) -> L::V {
    const DENSITY: f32 = 0.398_942_3; // 1/√(2π)
                                      // SAFETY: the caller vouches for the instructions.
    unsafe {
        let zero = L::splat(0.0);
        let half = L::splat(0.5);
        let (tail, gauss) = normal_tail::<L>(L::max(L::sub(zero, x), x));
        // Φ - 1/2 has the sign of x; it vanishes where the factor is not yet ±1.
        let sign = L::min(L::splat(1.0), L::max(L::splat(-1.0), L::mul(x, L::splat(1e30))));
        let cumulative = L::fma(sign, L::sub(half, tail), half);
        L::fma(L::mul(x, L::splat(DENSITY)), gauss, cumulative)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Activation; 4] = [
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::QuickGelu,
        Activation::Silu,
    ];

    /// The derivatives in f64, from their closed forms; `erf` by its power series, which converges fast enough
    /// below 4.
    fn slope(activation: Activation, x: f64) -> f64 {
        let sigmoid = |u: f64| 1.0 / (1.0 + (-u).exp());
        let of_sigmoid = |u: f64, du: f64| sigmoid(u) + x * du * sigmoid(u) * (1.0 - sigmoid(u));
        match activation {
            Activation::Gelu => {
                let z = x / 2.0_f64.sqrt();
                let (mut term, mut sum) = (z, z);
                for n in 1..200 {
                    term *= -z * z / f64::from(n);
                    sum += term / f64::from(2 * n + 1);
                }
                let erf = sum * 2.0 / std::f64::consts::PI.sqrt();
                0.5 * (1.0 + erf) + x * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
            }
            Activation::GeluTanh => {
                let c = 2.0 * (2.0 / std::f64::consts::PI).sqrt();
                of_sigmoid(c * (x + 0.044715 * x.powi(3)), c * (1.0 + 3.0 * 0.044715 * x * x))
            }
            Activation::QuickGelu => of_sigmoid(1.702 * x, 1.702),
            Activation::Silu => of_sigmoid(x, 1.0),
        }
    }

    #[test]
    fn slopes_agree_with_double_precision() {
        let pool = ThreadPool::new(2);
        let inputs: Vec<f32> = (-20_003..=20_003).map(|i| i as f32 / 4000.0).collect();
        let gradient: Vec<f32> = inputs.iter().map(|x| 0.5 + x * 0.1).collect();
        for isa in Isa::available() {
            for activation in ALL {
                let mut found = vec![f32::NAN; inputs.len()];
                isa.with(|| activation_gradient(&pool, activation, &inputs, &gradient, &mut found))
                    .unwrap();
                for ((&x, &g), &y) in inputs.iter().zip(&gradient).zip(&found) {
                    let expected = f64::from(g) * slope(activation, f64::from(x));
                    // The slope of the sigmoid of a rounded argument near 9 is off by some units in the last place.
                    assert!(
                        (f64::from(y) - expected).abs() < 2e-6,
                        "{isa:?} {activation:?}'({x}): {y}, not {expected}"
                    );
                }
                let mut values = vec![f32::NAN; inputs.len()];
                isa.with(|| activate(&pool, activation, &inputs, &mut values)).unwrap();
                let mut expected = inputs.clone();
                isa.with(|| activation.apply(&mut expected));
                assert_eq!(values, expected);
            }
        }
    }

    #[test]
    fn slopes_reach_their_limits_and_keep_nan() {
        let pool = ThreadPool::new(1);
        let inputs = [-1e30, 1e30, f32::NEG_INFINITY, f32::INFINITY, f32::NAN];
        for isa in Isa::available() {
            for activation in ALL {
                let mut found = [0.0; 5];
                isa.with(|| activation_gradient(&pool, activation, &inputs, &[1.0; 5], &mut found))
                    .unwrap();
                for (slope, limit) in found.iter().zip([0.0, 1.0, 0.0, 1.0]) {
                    assert!((slope - limit).abs() < 1e-6, "{isa:?} {activation:?} {found:?}");
                }
                assert!(found[4].is_nan());
            }
        }
    }

    #[test]
    fn gates_are_products_of_the_plain_functions() {
        let pool = ThreadPool::new(2);
        for isa in Isa::available() {
            for (rows, width) in [(1, 1), (3, 37), (70, 300), (2, 20_000)] {
                let input: Vec<f32> = (0..rows * 2 * width)
                    .map(|i| ((i * 7919) % 2003) as f32 / 300.0 - 3.0)
                    .collect();
                let gradient: Vec<f32> = (0..rows * width).map(|i| (i % 17) as f32 - 8.0).collect();
                let mut output = vec![f32::NAN; rows * width];
                let mut found = vec![f32::NAN; input.len()];
                isa.with(|| {
                    gate(&pool, Activation::Gelu, &input, width, &mut output).unwrap();
                    gate_gradient(&pool, Activation::Gelu, &input, width, &gradient, &mut found).unwrap();
                });
                for r in 0..rows {
                    let (values, gates) = input[r * 2 * width..][..2 * width].split_at(width);
                    let (mut activated, mut slopes) = (gates.to_vec(), vec![0.0; width]);
                    isa.with(|| Activation::Gelu.apply(&mut activated));
                    isa.with(|| activation_gradient(&pool, Activation::Gelu, gates, &vec![1.0; width], &mut slopes))
                        .unwrap();
                    for c in 0..width {
                        let g = gradient[r * width + c];
                        let close = |found: f32, expected: f32| {
                            assert!((found - expected).abs() <= 1e-5 * (1.0 + expected.abs()));
                        };
                        close(output[r * width + c], values[c] * activated[c]);
                        close(found[r * 2 * width + c], g * activated[c]);
                        close(found[(r * 2 + 1) * width + c], g * values[c] * slopes[c]);
                    }
                }
            }
        }
        assert!(gate(&pool, Activation::Gelu, &[0.0; 6], 2, &mut [0.0; 3]).is_err());
        assert!(gate(&pool, Activation::Gelu, &[0.0; 6], 3, &mut [0.0; 4]).is_err());
    }
}
