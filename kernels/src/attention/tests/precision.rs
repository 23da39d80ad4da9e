//! How far f16 and bf16 are from double precision, and what must not change a bit.

use super::*;

/// Largest error and root of the mean square one, both relative to 1 or the value.
struct Errors {
    largest: f64,
    mean: f64,
}

/// Attention on N(0, 1) data of `T` against f64 of the same data; `factor` on the queries makes the scores larger.
fn errors<T: Scalar>(rows: usize, dim: usize, tokens: usize, factor: f32) -> Errors {
    let mut random = StdRng::seed_from_u64((rows + dim + tokens) as u64);
    let query: Vec<T> = normal::<f32>(&mut random, rows * dim)
        .iter()
        .map(|x| T::narrow(x * factor))
        .collect();
    let (keys, values): (Vec<T>, Vec<T>) = (normal(&mut random, tokens * dim), normal(&mut random, tokens * dim));
    let mut output = vec![T::narrow(f32::NAN); query.len()];
    attend(&ThreadPool::new(2), &query, &keys, &values, &mut output, dim);
    let split = |data: &[T]| -> Vec<Vec<f64>> { (0..tokens).map(|t| row(data, t * dim, dim)).collect() };
    let (keys, values) = (split(&keys), split(&values));
    let (mut largest, mut squares) = (0.0_f64, 0.0);
    for r in 0..rows {
        let expected = reference(&row(&query, r * dim, dim), &keys, &values, 1.0 / (dim as f64).sqrt());
        for (x, y) in expected.iter().zip(row(&output, r * dim, dim)) {
            let error = (x - y).abs() / x.abs().max(1.0);
            assert!(!error.is_nan());
            largest = largest.max(error);
            squares += error * error;
        }
    }
    let mean = (squares / output.len() as f64).sqrt();
    Errors { largest, mean }
}

/// `output = attention` of one head.
fn attend<T: Scalar>(pool: &ThreadPool, query: &[T], keys: &[T], values: &[T], output: &mut [T], dim: usize) {
    let shape = |data: &[T]| [1, data.len() / dim, 1, dim];
    let set = KeyValue {
        keys: TensorView::contiguous(keys, shape(keys)).unwrap(),
        values: TensorView::contiguous(values, shape(values)).unwrap(),
    };
    let input = AttentionInput {
        query: TensorView::contiguous(query, shape(query)).unwrap(),
        key_values: &[set],
        select: None,
        scale: None,
        zero_tokens: 0,
    };
    let to = shape(output);
    let mut view = TensorViewMut::contiguous(output, to).unwrap();
    attention(pool, &input, &mut view, OutputMode::Overwrite).unwrap();
}

/// Usual sizes, many tokens, and scores of a standard deviation of 1, 8 and 60: the last of them pick one token.
#[test]
fn half_precisions_stay_within_their_limits() {
    for isa in Isa::available() {
        isa.with(|| {
            for (rows, dim, tokens) in [(40, 40, 256), (33, 64, 257), (20, 160, 77), (9, 64, 4097), (35, 7, 3)] {
                for factor in [1.0, 8.0, 60.0] {
                    let name = format!("{isa:?}: {rows} rows of {dim}, {tokens} tokens, factor {factor}");
                    let error = errors::<f16>(rows, dim, tokens, factor);
                    assert!(error.largest <= 1e-3, "{name}, f16: {:e}", error.largest);
                    assert!(error.mean <= 2.5e-4, "{name}, f16: {:e}", error.mean);
                    let error = errors::<bf16>(rows, dim, tokens, factor);
                    assert!(error.largest <= 6e-3, "{name}, bf16: {:e}", error.largest);
                    assert!(error.mean <= 2e-3, "{name}, bf16: {:e}", error.mean);
                }
            }
        });
    }
}

/// A row's result is the same whichever rows are computed with it, on any number of threads.
#[test]
fn neighbours_and_threads_change_no_bit() {
    fn check<T: Scalar + PartialEq + std::fmt::Debug>(dim: usize, tokens: usize) {
        let mut random = StdRng::seed_from_u64(7);
        let query: Vec<T> = normal(&mut random, 450 * dim);
        let keys: Vec<T> = normal(&mut random, tokens * dim);
        let values: Vec<T> = normal(&mut random, tokens * dim);
        for isa in Isa::available() {
            isa.with(|| {
                let mut all = vec![T::narrow(0.0); query.len()];
                attend(&ThreadPool::new(1), &query, &keys, &values, &mut all, dim);
                for (threads, first, last) in [(2, 0, 450), (5, 0, 450), (1, 3, 4), (1, 17, 36), (2, 40, 333)] {
                    let mut some = vec![T::narrow(0.0); (last - first) * dim];
                    let pool = ThreadPool::new(threads);
                    let query = &query[first * dim..last * dim];
                    attend(&pool, query, &keys, &values, &mut some, dim);
                    assert_eq!(some, all[first * dim..last * dim], "{isa:?} {threads} {first} {last}");
                }
            });
        }
    }
    check::<f32>(40, 256);
    check::<f32>(20, 300);
    check::<bf16>(40, 256);
    check::<bf16>(21, 301);
    check::<f16>(40, 33);
}

/// A factor below 0 turns the order of the scores round; the pairs of bf16 must not mind.
#[test]
fn scales_may_be_negative_or_zero() {
    let mut random = StdRng::seed_from_u64(5);
    let (dim, tokens) = (24, 50);
    let data: Vec<bf16> = normal(&mut random, tokens * dim);
    for isa in Isa::available() {
        for scale in [-0.8_f32, 0.0] {
            let mut output = vec![bf16::ZERO; data.len()];
            let view = TensorView::contiguous(&data, [1, tokens, 1, dim]).unwrap();
            let input = AttentionInput {
                query: view,
                key_values: &[KeyValue {
                    keys: view,
                    values: view,
                }],
                select: None,
                scale: Some(scale),
                zero_tokens: 2,
            };
            let mut to = TensorViewMut::contiguous(&mut output, [1, tokens, 1, dim]).unwrap();
            isa.with(|| attention(&ThreadPool::new(1), &input, &mut to, OutputMode::Overwrite).unwrap());
            let zeros = std::iter::repeat_n(vec![0.0; dim], 2);
            let rows: Vec<_> = (0..tokens).map(|t| row(&data, t * dim, dim)).chain(zeros).collect();
            for r in 0..tokens {
                let expected = reference(&rows[r], &rows, &rows, scale.into());
                for (x, y) in expected.iter().zip(row(&output, r * dim, dim)) {
                    assert!((x - y).abs() <= 6e-3 * x.abs().max(1.0), "{isa:?} {scale}: {x} {y}");
                }
            }
        }
    }
}
