//! The orthogonal modes against their formulas in double precision.

use crate::simd::Isa;
use crate::{attention, AttentionInput, KeyValue, OutputMode, Scalar, TensorView, TensorViewMut, ThreadPool};
use half::{bf16, f16};
use rand::{rngs::StdRng, Rng, SeedableRng};

struct Case {
    shape: [usize; 4],
    tokens: usize,
    zero_tokens: usize,
    leading_tokens: Option<usize>,
    masked: bool,
}

fn normal(random: &mut StdRng, len: usize) -> Vec<f64> {
    let mut one = || (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
    (0..len).map(|_| one()).collect()
}

fn softmax(scores: &[f64]) -> Vec<f64> {
    let greatest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = scores.iter().map(|score| (score - greatest).exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.iter().map(|power| power / total).collect()
}

/// The formula for one batch row `[rows, heads, dim]`, with keys and values that end in zero tokens.
fn expected(case: &Case, query: &[f64], keys: &[f64], values: &[f64], before: &[f64], weights: &[f64]) -> Vec<f64> {
    let [_, rows, heads, dim] = case.shape;
    let tokens = case.tokens + case.zero_tokens;
    let (keys, values) = [keys, values]
        .map(|data| [data, &vec![0.0; case.zero_tokens * heads * dim]].concat())
        .into();
    let mut attention = vec![0.0; query.len()];
    let mut shares = vec![0.0; rows];
    for (r, share) in shares.iter_mut().enumerate() {
        for h in 0..heads {
            let at = (r * heads + h) * dim;
            let dot = |t: usize| {
                (0..dim)
                    .map(|d| query[at + d] * keys[(t * heads + h) * dim + d])
                    .sum::<f64>()
            };
            let plain: Vec<f64> = (0..tokens).map(dot).collect();
            let scaled: Vec<f64> = plain.iter().map(|score| score / (dim as f64).sqrt()).collect();
            let weights = softmax(&scaled);
            for d in 0..dim {
                attention[at + d] = (0..tokens)
                    .map(|t| weights[t] * values[(t * heads + h) * dim + d])
                    .sum();
            }
            if let Some(count) = case.leading_tokens {
                *share += softmax(&plain)[..count.min(tokens)].iter().sum::<f64>() / heads as f64;
            }
        }
    }
    let inner = heads * dim;
    let mut result = before.to_vec();
    for c in 0..inner {
        let sum = |f: &dyn Fn(usize) -> f64| (0..rows).map(|r| f(r * inner + c)).sum::<f64>();
        let own = sum(&|i| before[i] * before[i]);
        let projection = if own == 0.0 {
            0.0
        } else {
            sum(&|i| before[i] * attention[i]) / own
        };
        for r in 0..rows {
            let i = r * inner + c;
            result[i] += weights[r] * (attention[i] + (shares[r] - 1.0) * projection * before[i]);
        }
    }
    result
}

/// The largest error against f64 on random data, relative to 1 or the value; `reverse` lays channels first.
fn largest_error<T: Scalar>(case: &Case, seed: u64, reverse: bool) -> f64 {
    let Case { shape, tokens, .. } = *case;
    let [batch, rows, heads, dim] = shape;
    let mut random = StdRng::seed_from_u64(seed);
    let mut data = |len: usize| -> Vec<T> { normal(&mut random, len).iter().map(|x| T::narrow(*x as f32)).collect() };
    let len = batch * rows * heads * dim;
    let (query, mut before) = (data(len), data(len));
    let (keys, values) = (data(tokens * heads * dim), data(tokens * heads * dim));
    // A channel in which the output is zero.
    before
        .iter_mut()
        .skip(heads * dim - 1)
        .step_by(heads * dim)
        .for_each(|x| *x = T::narrow(0.0));
    let weights: Vec<f32> = (0..rows)
        .map(|r| if case.masked { (r % 4) as f32 / 3.0 } else { 1.0 })
        .collect();
    // The last batch row of several is left alone.
    let mut factors = vec![0.8; batch];
    if batch > 1 {
        factors[batch - 1] = 0.0;
    }
    let strides = match reverse {
        true => [heads * dim * rows, 1, rows, rows * heads],
        false => [heads * dim * rows, heads * dim, dim, 1],
    };
    let place = |i: usize| {
        let at = [
            i / (rows * heads * dim),
            i / (heads * dim) % rows,
            i / dim % heads,
            i % dim,
        ];
        at.iter().zip(strides).map(|(i, stride)| i * stride).sum::<usize>()
    };
    let mut output = before.clone();
    for (i, x) in before.iter().enumerate() {
        output[place(i)] = *x;
    }
    let set = KeyValue {
        keys: TensorView::contiguous(&keys, [1, tokens, heads, dim]).unwrap(),
        values: TensorView::contiguous(&values, [1, tokens, heads, dim]).unwrap(),
    };
    let input = AttentionInput {
        query: TensorView::contiguous(&query, shape).unwrap(),
        key_values: &[set],
        select: None,
        scale: None,
        zero_tokens: case.zero_tokens,
    };
    let mode = OutputMode::AddOrthogonal {
        factors: &factors,
        row_weights: case.masked.then_some(&weights),
        leading_tokens: case.leading_tokens,
    };
    let mut view = TensorViewMut::new(&mut output, shape, strides).unwrap();
    attention(&ThreadPool::new(2), &input, &mut view, mode).unwrap();
    let wide = |data: &[T]| -> Vec<f64> { data.iter().map(|x| f64::from(x.widen())).collect() };
    let mut worst = 0.0_f64;
    let size = rows * heads * dim;
    for (b, factor) in factors.iter().enumerate() {
        let (query, before) = (wide(&query[b * size..][..size]), wide(&before[b * size..][..size]));
        let weights: Vec<f64> = weights.iter().map(|w| f64::from(*w) * f64::from(*factor)).collect();
        let wanted = expected(case, &query, &wide(&keys), &wide(&values), &before, &weights);
        for (i, wanted) in wanted.iter().enumerate() {
            let found = f64::from(output[place(b * size + i)].widen());
            let error = (wanted - found).abs() / wanted.abs().max(1.0);
            // `max` would drop a NaN.
            worst = if error > worst || error.is_nan() { error } else { worst };
            assert!(
                weights[i / (heads * dim)] != 0.0 || found == before[i],
                "row {i} has changed"
            );
        }
    }
    worst
}

#[test]
fn both_modes_are_their_formulas() {
    for isa in Isa::available() {
        isa.with(|| {
            let mut seed = 0;
            for (dim, heads, rows, tokens) in [
                (64, 3, 200, 32),
                (40, 2, 131, 10),
                (80, 1, 97, 3),
                (7, 2, 1, 1),
                (33, 1, 30, 600),
            ] {
                for leading_tokens in [None, Some(5)] {
                    for (zero_tokens, masked, reverse) in [(0, false, false), (8, true, false), (16, true, true)] {
                        let case = Case {
                            shape: [2, rows, heads, dim],
                            tokens,
                            zero_tokens,
                            leading_tokens,
                            masked,
                        };
                        seed += 1;
                        let name = format!("{isa:?} {:?} {tokens} {zero_tokens} {leading_tokens:?}", case.shape);
                        let error = largest_error::<f32>(&case, seed, reverse);
                        assert!(error <= 8e-6, "{name} f32: {error:e}");
                        let error = largest_error::<f16>(&case, seed, reverse);
                        assert!(error <= 6e-4, "{name} f16: {error:e}");
                        let error = largest_error::<bf16>(&case, seed, reverse);
                        assert!(error <= 6e-3, "{name} bf16: {error:e}");
                    }
                }
            }
        });
    }
}

#[test]
fn many_rows_over_several_parts_keep_their_sums() {
    let case = Case {
        shape: [1, 4099, 2, 16],
        tokens: 10,
        zero_tokens: 8,
        leading_tokens: Some(5),
        masked: false,
    };
    let error = largest_error::<f32>(&case, 3, false);
    assert!(error <= 5e-6, "{error:e}");
}

#[test]
fn leading_tokens_need_a_positive_scale_and_are_few() {
    let data = [0.5_f32; 8];
    let view = TensorView::contiguous(&data, [1, 1, 1, 8]).unwrap();
    let set = [KeyValue {
        keys: view,
        values: view,
    }];
    let run = |scale, leading_tokens| {
        let input = AttentionInput {
            query: view,
            key_values: &set,
            select: None,
            scale,
            zero_tokens: 0,
        };
        let mut output = [0.25_f32; 8];
        let mode = OutputMode::AddOrthogonal {
            factors: &[1.0],
            row_weights: None,
            leading_tokens,
        };
        let mut view = TensorViewMut::contiguous(&mut output, [1, 1, 1, 8]).unwrap();
        attention(&ThreadPool::new(1), &input, &mut view, mode)
    };
    assert!(run(Some(0.0), Some(5)).is_err() && run(Some(f32::NAN), Some(5)).is_err());
    assert!(run(None, Some(33)).is_err());
    assert!(run(Some(0.0), None).is_ok() && run(Some(0.5), Some(32)).is_ok());
}
