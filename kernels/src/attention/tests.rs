//! Tests of the attention kernels against double precision.

mod precision;

use super::*;
use crate::Scalar;
use half::{bf16, f16};
use rand::{rngs::StdRng, Rng, SeedableRng};

/// Approximately N(0, 1): twelve uniform values have variance one.
fn normal<T: Scalar>(random: &mut StdRng, len: usize) -> Vec<T> {
    let mut one = || (0..12).map(|_| random.random::<f32>()).sum::<f32>() - 6.0;
    (0..len).map(|_| T::narrow(one())).collect()
}

/// Attention of one query row in f64.
fn reference(query: &[f64], keys: &[Vec<f64>], values: &[Vec<f64>], scale: f64) -> Vec<f64> {
    let scores: Vec<f64> = keys
        .iter()
        .map(|k| scale * k.iter().zip(query).map(|(a, b)| a * b).sum::<f64>())
        .collect();
    let greatest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = scores.iter().map(|s| (s - greatest).exp()).collect();
    let total: f64 = powers.iter().sum();
    (0..query.len())
        .map(|d| values.iter().zip(&powers).map(|(v, p)| v[d] * p).sum::<f64>() / total)
        .collect()
}

fn row<T: Scalar>(data: &[T], start: usize, len: usize) -> Vec<f64> {
    data[start..start + len].iter().map(|x| f64::from(x.widen())).collect()
}

struct Case {
    batch: usize,
    rows: usize,
    heads: usize,
    dim: usize,
    tokens: usize,
}

/// The largest error of `attention` on contiguous N(0, 1) data against f64, overwriting.
fn largest_error<T: Scalar>(pool: &ThreadPool, case: &Case, seed: u64) -> f64 {
    let Case {
        batch,
        rows,
        heads,
        dim,
        tokens,
    } = *case;
    let mut random = StdRng::seed_from_u64(seed);
    let query: Vec<T> = normal(&mut random, batch * rows * heads * dim);
    let keys: Vec<T> = normal(&mut random, tokens * heads * dim);
    let values: Vec<T> = normal(&mut random, tokens * heads * dim);
    let mut output = vec![T::narrow(f32::NAN); query.len()];
    let shape = [batch, rows, heads, dim];
    let set = KeyValue {
        keys: TensorView::contiguous(&keys, [1, tokens, heads, dim]).unwrap(),
        values: TensorView::contiguous(&values, [1, tokens, heads, dim]).unwrap(),
    };
    let input = AttentionInput {
        query: TensorView::contiguous(&query, shape).unwrap(),
        key_values: &[set],
        select: None,
        scale: None,
        zero_tokens: 0,
    };
    let mut view = TensorViewMut::contiguous(&mut output, shape).unwrap();
    attention(pool, &input, &mut view, OutputMode::Overwrite).unwrap();
    let mut worst = 0.0_f64;
    for h in 0..heads {
        let keys: Vec<_> = (0..tokens).map(|t| row(&keys, (t * heads + h) * dim, dim)).collect();
        let values: Vec<_> = (0..tokens).map(|t| row(&values, (t * heads + h) * dim, dim)).collect();
        for r in 0..batch * rows {
            let start = (r * heads + h) * dim;
            let expected = reference(&row(&query, start, dim), &keys, &values, 1.0 / (dim as f64).sqrt());
            for (x, y) in expected.iter().zip(row(&output, start, dim)) {
                // `max` would drop a NaN.
                let error = (x - y).abs();
                worst = if error > worst || error.is_nan() { error } else { worst };
            }
        }
    }
    worst
}

#[test]
fn accuracy_at_the_usual_sizes() {
    let pool = ThreadPool::new(2);
    for isa in Isa::available() {
        isa.with(|| {
            for dim in [40, 64, 80, 104, 128, 160] {
                let case = Case {
                    batch: 1,
                    rows: 37,
                    heads: 2,
                    dim,
                    tokens: 256,
                };
                let error = largest_error::<f32>(&pool, &case, 1);
                assert!(error <= 2e-6, "{isa:?} f32 {dim}: {error:e}");
                let error = largest_error::<f16>(&pool, &case, 2);
                assert!(error <= 2e-3, "{isa:?} f16 {dim}: {error:e}");
                let error = largest_error::<bf16>(&pool, &case, 3);
                assert!(error <= 1.5e-2, "{isa:?} bf16 {dim}: {error:e}");
            }
        });
    }
}

#[test]
fn accuracy_at_odd_sizes_and_over_several_blocks() {
    let pool = ThreadPool::new(3);
    let mut random = StdRng::seed_from_u64(11);
    for isa in Isa::available() {
        isa.with(|| {
            for tokens in [1, 2, 15, 31, 33, 77, 257, 511, 512, 513, 1000, 1537] {
                let rows = random.random_range(1..30);
                let dim = random.random_range(1..=257);
                let case = Case {
                    batch: 2,
                    rows,
                    heads: 1,
                    dim,
                    tokens,
                };
                let error = largest_error::<f32>(&pool, &case, tokens as u64);
                assert!(
                    error <= 5e-6,
                    "{isa:?} rows {rows} dim {dim} tokens {tokens}: {error:e}"
                );
            }
            for dim in [1, 7, 8, 9, 24, 25, 48, 72, 88, 96, 112, 200, 256, 511, 512] {
                let case = Case {
                    batch: 1,
                    rows: 13,
                    heads: 2,
                    dim,
                    tokens: 40,
                };
                let error = largest_error::<f32>(&pool, &case, dim as u64);
                assert!(error <= 5e-6, "{isa:?} dim {dim}: {error:e}");
            }
            // More rows than one group, few enough tokens to be quick.
            let case = Case {
                batch: 1,
                rows: 401,
                heads: 1,
                dim: 16,
                tokens: 600,
            };
            let error = largest_error::<f32>(&pool, &case, 5);
            assert!(error <= 5e-6, "{isa:?} rows 401: {error:e}");
        });
    }
}

/// A small problem with all data in one place, to change one thing at a time.
struct Small {
    query: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
}

const SHAPE: [usize; 4] = [2, 29, 3, 20];
const TOKENS: [usize; 4] = [2, 35, 3, 20];

impl Small {
    fn new() -> Self {
        let mut random = StdRng::seed_from_u64(3);
        let mut values = |shape: [usize; 4]| normal(&mut random, shape.iter().product());
        Self {
            query: values(SHAPE),
            keys: values(TOKENS),
            values: values(TOKENS),
        }
    }

    fn set(&self) -> KeyValue<TensorView<'_>> {
        KeyValue {
            keys: TensorView::contiguous(&self.keys, TOKENS).unwrap(),
            values: TensorView::contiguous(&self.values, TOKENS).unwrap(),
        }
    }

    fn run(&self, mode: OutputMode<'_>, output: &mut [f32]) -> Result<()> {
        let input = AttentionInput {
            query: TensorView::contiguous(&self.query, SHAPE).unwrap(),
            key_values: &[self.set()],
            select: None,
            scale: None,
            zero_tokens: 0,
        };
        attention(
            &ThreadPool::new(2),
            &input,
            &mut TensorViewMut::contiguous(output, SHAPE).unwrap(),
            mode,
        )
    }

    fn overwrite(&self) -> Vec<f32> {
        let mut output = vec![0.0; self.query.len()];
        self.run(OutputMode::Overwrite, &mut output).unwrap();
        output
    }
}

/// Contiguous values of `shape` moved to other strides, with a mark everywhere else.
fn scatter(data: &[f32], shape: [usize; 4], strides: [usize; 4], len: usize, mark: f32) -> Vec<f32> {
    let mut moved = vec![mark; len];
    for (index, &value) in data.iter().enumerate() {
        moved[place(index, shape, strides)] = value;
    }
    moved
}

fn place(index: usize, [_, s, h, d]: [usize; 4], strides: [usize; 4]) -> usize {
    let at = [index / (s * h * d), index / (h * d) % s, index / d % h, index % d];
    at.iter().zip(strides).map(|(i, stride)| i * stride).sum()
}

#[test]
fn strides_do_not_change_the_result() {
    let small = Small::new();
    let expected = small.overwrite();
    let len = 10_000;
    // [B, H, S, D]; columns apart; columns before rows; gaps everywhere.
    for strides in [
        [1740, 20, 580, 1],
        [3480, 120, 40, 2],
        [1740, 1, 29, 87],
        [5000, 150, 48, 1],
    ] {
        let moved = scatter(&small.query, SHAPE, strides, len, f32::NAN);
        let token_strides = [2100, 20, 700, 1];
        let keys = scatter(&small.keys, TOKENS, token_strides, 4200, f32::NAN);
        let reversed = [2100, 1, 35, 105];
        let values = scatter(&small.values, TOKENS, reversed, 4200, f32::NAN);
        let mut output = vec![-7.0; len];
        let set = KeyValue {
            keys: TensorView::new(&keys, TOKENS, token_strides).unwrap(),
            values: TensorView::new(&values, TOKENS, reversed).unwrap(),
        };
        let input = AttentionInput {
            query: TensorView::new(&moved, SHAPE, strides).unwrap(),
            key_values: &[set],
            select: None,
            scale: None,
            zero_tokens: 0,
        };
        let mut view = TensorViewMut::new(&mut output, SHAPE, strides).unwrap();
        attention(&ThreadPool::new(2), &input, &mut view, OutputMode::Overwrite).unwrap();
        let wanted = scatter(&expected, SHAPE, strides, len, -7.0);
        for (x, y) in wanted.iter().zip(&output) {
            assert!((x - y).abs() <= 1e-6, "{strides:?}: {x} {y}");
        }
    }
}

#[test]
fn adding_scales_and_masks_and_leaves_the_rest_alone() {
    let small = Small::new();
    let plain = small.overwrite();
    let weights: Vec<f32> = (0..SHAPE[1])
        .map(|s| if s % 4 == 1 { 0.0 } else { s as f32 * 0.1 })
        .collect();
    let before: Vec<f32> = normal(&mut StdRng::seed_from_u64(4), plain.len());
    for factors in [[0.7, 0.0], [0.0, -1.5], [0.25, 2.0]] {
        for row_weights in [None, Some(&weights[..])] {
            let mut output = before.clone();
            small
                .run(
                    OutputMode::Add {
                        factors: &factors,
                        row_weights,
                    },
                    &mut output,
                )
                .unwrap();
            for (i, (&x, &y)) in before.iter().zip(&output).enumerate() {
                let (b, s) = (i / 1740, i / 60 % 29);
                let factor = factors[b] * row_weights.map_or(1.0, |weights| weights[s]);
                if factor == 0.0 {
                    assert_eq!(x.to_bits(), y.to_bits());
                } else {
                    assert!((x + factor * plain[i] - y).abs() < 2e-6, "{i}: {x} {y}");
                }
            }
        }
    }
}

#[test]
fn half_precision_outputs_are_rounded_once() {
    let small = Small::new();
    let plain = small.overwrite();
    let before: Vec<f16> = normal(&mut StdRng::seed_from_u64(4), plain.len());
    let mut output = before.clone();
    let input = AttentionInput {
        query: TensorView::contiguous(&small.query, SHAPE).unwrap(),
        key_values: &[small.set()],
        select: None,
        scale: None,
        zero_tokens: 0,
    };
    let mut view = TensorViewMut::contiguous(&mut output, SHAPE).unwrap();
    let mode = OutputMode::Add {
        factors: &[1.0, 1.0],
        row_weights: None,
    };
    attention(&ThreadPool::new(1), &input, &mut view, mode).unwrap();
    for ((x, y), z) in before.iter().zip(&plain).zip(&output) {
        let exact = x.to_f32() + y;
        // Half a unit in the last place of values below 8.
        assert!((exact - z.to_f32()).abs() <= exact.abs() / 2048.0 + 1e-6, "{exact} {z}");
    }
}

#[test]
fn each_batch_row_takes_its_own_set() {
    let small = Small::new();
    let mut random = StdRng::seed_from_u64(8);
    let other: Vec<f32> = normal(&mut random, 5 * 60);
    let other = TensorView::contiguous(&other, [1, 5, 3, 20]).unwrap();
    let sets = [
        small.set(),
        KeyValue {
            keys: other,
            values: other,
        },
    ];
    let run = |select: &[Option<usize>]| {
        let mut output = vec![9.0; small.query.len()];
        let input = AttentionInput {
            query: TensorView::contiguous(&small.query, SHAPE).unwrap(),
            key_values: &sets,
            select: Some(select),
            scale: None,
            zero_tokens: 0,
        };
        let mut view = TensorViewMut::contiguous(&mut output, SHAPE).unwrap();
        attention(&ThreadPool::new(2), &input, &mut view, OutputMode::Overwrite).unwrap();
        output
    };
    let (first, second, mixed) = (
        run(&[Some(0), Some(0)]),
        run(&[Some(1), Some(1)]),
        run(&[Some(1), None]),
    );
    assert_eq!(first, small.overwrite());
    assert_eq!(mixed[..1740], second[..1740]);
    assert!(mixed[1740..].iter().all(|&x| x == 9.0));
    assert_ne!(first[..1740], second[..1740]);
}

#[test]
fn permuted_or_repeated_tokens_change_nothing() {
    let small = Small::new();
    let expected = small.overwrite();
    // All tokens twice, in reverse order: the softmax halves every probability.
    let twice = |data: &[f32]| -> Vec<f32> {
        let batch = |b: &[f32]| -> Vec<f32> { b.chunks(60).rev().flatten().copied().collect() };
        data.chunks(2100)
            .flat_map(|b| [batch(b), b.to_vec()].concat())
            .collect()
    };
    let (keys, values) = (twice(&small.keys), twice(&small.values));
    let shape = [2, 70, 3, 20];
    let set = KeyValue {
        keys: TensorView::contiguous(&keys, shape).unwrap(),
        values: TensorView::contiguous(&values, shape).unwrap(),
    };
    let input = AttentionInput {
        query: TensorView::contiguous(&small.query, SHAPE).unwrap(),
        key_values: &[set],
        select: None,
        scale: None,
        zero_tokens: 0,
    };
    let mut output = vec![0.0; expected.len()];
    let mut view = TensorViewMut::contiguous(&mut output, SHAPE).unwrap();
    attention(&ThreadPool::new(2), &input, &mut view, OutputMode::Overwrite).unwrap();
    assert!(expected.iter().zip(&output).all(|(x, y)| (x - y).abs() < 2e-6));
}

#[test]
fn non_finite_queries_stay_in_their_rows() {
    for isa in Isa::available() {
        let mut small = Small::new();
        let expected = isa.with(|| small.overwrite());
        small.query[1740 + 7 * 60 + 20 + 3] = f32::NAN;
        small.query[2 * 60] = f32::INFINITY;
        let output = isa.with(|| small.overwrite());
        for (i, (x, y)) in expected.iter().zip(&output).enumerate() {
            let (b, s, h) = (i / 1740, i / 60 % 29, i / 20 % 3);
            if (b, s, h) == (1, 7, 1) || (b, s, h) == (0, 2, 0) {
                assert!(y.is_nan(), "{isa:?} {i}");
            } else {
                assert_eq!(x, y, "{isa:?} {i}");
            }
        }
    }
}

#[test]
fn great_scores_do_not_overflow() {
    let mut small = Small::new();
    small.query.iter_mut().for_each(|x| *x *= 1e4);
    let output = small.overwrite();
    let bound = small.values.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
    assert!(output.iter().all(|x| x.abs() <= bound));
}

#[test]
fn what_does_not_fit_is_refused() {
    let small = Small::new();
    let mut output = vec![0.0; small.query.len()];
    for (factors, weights) in [(&[1.0][..], None), (&[1.0, 1.0], Some(&[1.0; 28][..]))] {
        let mode = OutputMode::Add {
            factors,
            row_weights: weights,
        };
        assert!(small.run(mode, &mut output).is_err());
    }
    let query = TensorView::contiguous(&small.query, SHAPE).unwrap();
    let narrow = TensorView::contiguous(&small.keys, [1, 35, 3, 10]).unwrap();
    let empty = TensorView::contiguous(&small.keys, [1, 0, 3, 20]).unwrap();
    let sets = [
        small.set(),
        KeyValue {
            keys: narrow,
            values: narrow,
        },
    ];
    let none = [KeyValue {
        keys: empty,
        values: empty,
    }];
    let run = |key_values: &[KeyValue<TensorView<'_>>], select: Option<&[Option<usize>]>, output: &mut [f32]| {
        let input = AttentionInput {
            query,
            key_values,
            select,
            scale: None,
            zero_tokens: 0,
        };
        let mut view = TensorViewMut::contiguous(output, SHAPE).unwrap();
        attention(&ThreadPool::new(1), &input, &mut view, OutputMode::Overwrite)
    };
    assert!(run(&sets, None, &mut output).is_err());
    assert!(run(&[], None, &mut output).is_err());
    assert!(run(&sets[..1], Some(&[Some(0)]), &mut output).is_err());
    assert!(run(&sets[..1], Some(&[Some(0), Some(1)]), &mut output).is_err());
    assert!(output.iter().all(|&x| x == 0.0));
    output.fill(5.0);
    run(&none, None, &mut output).unwrap();
    assert!(output.iter().all(|&x| x == 0.0));
}

#[test]
fn zero_tokens_are_those_of_keys_and_values_of_zeros() {
    let pool = ThreadPool::new(2);
    let mut random = StdRng::seed_from_u64(21);
    for isa in Isa::available() {
        isa.with(|| {
            // The sign decides on which side of a zero token's score the others lie; 600 tokens are two blocks.
            for (tokens, zeros, sign) in [(6, 8, 1.0), (6, 8, -1.0), (600, 16, -1.0), (1, 70_000, 1.0)] {
                let (rows, dim) = (29, 20);
                let query: Vec<f32> = normal::<f32>(&mut random, rows * dim).iter().map(|x| x.abs()).collect();
                let keys = normal::<f32>(&mut random, tokens * dim)
                    .iter()
                    .map(|x| sign * x.abs())
                    .collect::<Vec<_>>();
                let values: Vec<f32> = normal(&mut random, tokens * dim);
                let mut output = vec![0.5; rows * dim];
                let set = KeyValue {
                    keys: TensorView::contiguous(&keys, [1, tokens, 1, dim]).unwrap(),
                    values: TensorView::contiguous(&values, [1, tokens, 1, dim]).unwrap(),
                };
                let input = AttentionInput {
                    query: TensorView::contiguous(&query, [1, rows, 1, dim]).unwrap(),
                    key_values: &[set],
                    select: None,
                    scale: Some(0.7),
                    zero_tokens: zeros,
                };
                let weights: Vec<f32> = (0..rows).map(|row| (row % 3) as f32).collect();
                let mode = OutputMode::Add {
                    factors: &[2.0],
                    row_weights: Some(&weights),
                };
                let mut view = TensorViewMut::contiguous(&mut output, [1, rows, 1, dim]).unwrap();
                attention(&pool, &input, &mut view, mode).unwrap();
                let with_zeros = |data: &[f32]| -> Vec<Vec<f64>> {
                    let zeros = std::iter::repeat_n(vec![0.0; dim], zeros);
                    (0..tokens).map(|t| row(data, t * dim, dim)).chain(zeros).collect()
                };
                let (keys, values) = (with_zeros(&keys), with_zeros(&values));
                for (r, weight) in weights.iter().enumerate() {
                    let expected = reference(&row(&query, r * dim, dim), &keys, &values, 0.7);
                    for (x, y) in expected.iter().zip(&output[r * dim..]) {
                        let wanted = 0.5 + 2.0 * f64::from(*weight) * x;
                        assert!(
                            (wanted - f64::from(*y)).abs() < 1e-5,
                            "{isa:?} {tokens} {zeros}: {wanted} {y}"
                        );
                    }
                }
            }
        });
    }
}
