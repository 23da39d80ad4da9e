//! Tests of products of bytes against plain integers.

use super::*;
use crate::matmul::Epilogue;
use crate::simd::ByteIsa;
use rand::{rngs::StdRng, Rng, SeedableRng};

const MOST_INPUTS: usize = PackedMatrix::MOST_QUANTISED_INPUTS;

const SIZES: [(usize, usize, usize); 9] = [
    (1, 1, 1),
    (1, 100, 33),
    (5, 65, 7),
    (13, 96, 2051),
    (27, 40, 4100),
    (257, 70, 80),
    (14, 33, 5120),
    (600, 33, 40),
    (9000, 3, 40),
];

fn values(random: &mut StdRng, len: usize) -> Vec<f32> {
    (0..len).map(|_| random.random_range(-1.0..1.0)).collect()
}

/// The bytes of a row and its scale, by the definition.
fn quantised(row: &[f32]) -> (Vec<i64>, f32) {
    let largest = row.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    if largest == 0.0 {
        return (vec![0; row.len()], 0.0);
    }
    let bytes = row.iter().map(|x| (x * (127.0 / largest)).round_ties_even() as i64);
    (bytes.collect(), largest / 127.0)
}

/// The product by whole numbers, rounded where the kernel rounds.
fn reference(weight: &[f32], input: &[f32], inputs: usize) -> Vec<f32> {
    let rows = |values: &[f32]| values.chunks(inputs).map(quantised).collect::<Vec<_>>();
    let weight = rows(weight);
    let dot = |a: &[i64], b: &[i64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<i64>();
    let product = |(a, a_scale): &(Vec<i64>, f32), (b, b_scale): &(Vec<i64>, f32)| {
        i32::try_from(dot(a, b)).expect("sums fit") as f32 * (a_scale * b_scale)
    };
    let input = rows(input);
    input
        .iter()
        .flat_map(|a| weight.iter().map(move |b| product(a, b)))
        .collect()
}

fn run(isa: ByteIsa, threads: usize, matrix: &PackedMatrix, input: &[f32]) -> Vec<f32> {
    let mut output = vec![f32::NAN; input.len() / matrix.inputs() * matrix.outputs()];
    let pool = ThreadPool::new(threads);
    isa.with(|| matrix.forward(&pool, input, &mut output, Epilogue::default()))
        .unwrap();
    output
}

#[test]
fn products_equal_whole_numbers_to_the_bit_on_every_processor() {
    let mut random = StdRng::seed_from_u64(1);
    for (rows, outputs, inputs) in SIZES {
        let (weight, input) = (
            values(&mut random, outputs * inputs),
            values(&mut random, rows * inputs),
        );
        let matrix = PackedMatrix::quantise(&ThreadPool::new(2), &weight, outputs, inputs).unwrap();
        let expected = reference(&weight, &input, inputs);
        for isa in ByteIsa::available() {
            for threads in [1, 3] {
                let found = run(isa, threads, &matrix, &input);
                assert_eq!(found, expected, "{isa:?} {threads} threads, {rows} {outputs} {inputs}");
            }
        }
    }
}

#[test]
fn nothing_saturates() {
    // All bytes at their limits, in the combinations that overflow 16 bits where pairs are added.
    let inputs = 5120;
    for (weight, input) in [(1.0, 1.0), (-1.0, 1.0), (1.0, -1.0), (-1.0, -1.0)] {
        let matrix = PackedMatrix::quantise(&ThreadPool::new(1), &vec![weight; inputs], 1, inputs).unwrap();
        for isa in ByteIsa::available() {
            let found = run(isa, 1, &matrix, &vec![input; inputs]);
            let expected = weight * input * inputs as f32;
            assert!(
                (found[0] - expected).abs() <= 1e-6 * inputs as f32,
                "{isa:?} {found:?} {expected}"
            );
        }
    }
    let (limit, beyond) = (vec![1.0; MOST_INPUTS], vec![1.0; MOST_INPUTS + 1]);
    let matrix = PackedMatrix::quantise(&ThreadPool::new(1), &limit, 1, MOST_INPUTS).unwrap();
    for isa in ByteIsa::available() {
        let found = run(isa, 1, &matrix, &limit)[0];
        assert!((found / MOST_INPUTS as f32 - 1.0).abs() < 1e-6, "{isa:?} {found}");
    }
    assert!(PackedMatrix::quantise(&ThreadPool::new(1), &beyond, 1, MOST_INPUTS + 1).is_err());
}

#[test]
fn the_error_is_bounded_by_half_a_step_of_each_operand() {
    let mut random = StdRng::seed_from_u64(2);
    let (rows, outputs, inputs) = (20, 50, 900);
    let (weight, input) = (
        values(&mut random, outputs * inputs),
        values(&mut random, rows * inputs),
    );
    let matrix = PackedMatrix::quantise(&ThreadPool::new(1), &weight, outputs, inputs).unwrap();
    let found = run(ByteIsa::current(), 1, &matrix, &input);
    let largest = |row: &[f32]| row.iter().fold(0.0_f64, |largest, x| largest.max(f64::from(x.abs())));
    for (x, found) in input.chunks(inputs).zip(found.chunks(outputs)) {
        for (w, &found) in weight.chunks(inputs).zip(found) {
            let exact: f64 = x.iter().zip(w).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum();
            // |x·w - x̂·ŵ| ≤ |x - x̂|·|w| + |x̂|·|w - ŵ|, and a step is the largest magnitude / 127.
            let (step_x, step_w) = (largest(x) / 254.0, largest(w) / 254.0);
            let terms = x
                .iter()
                .zip(w)
                .map(|(&x, &w)| step_x * f64::from(w.abs()) + (f64::from(x.abs()) + step_x) * step_w);
            let bound = terms.sum::<f64>() * (1.0 + 1e-5);
            assert!((exact - f64::from(found)).abs() <= bound, "{exact} {found} {bound}");
        }
    }
}

#[test]
fn rows_do_not_touch_each_other() {
    let mut random = StdRng::seed_from_u64(3);
    let (outputs, inputs) = (40, 30);
    let weight = values(&mut random, outputs * inputs);
    let matrix = PackedMatrix::quantise(&ThreadPool::new(1), &weight, outputs, inputs).unwrap();
    let mut input = values(&mut random, 5 * inputs);
    input[inputs..2 * inputs].fill(0.0);
    input[2 * inputs + 3] = f32::NAN;
    input[3 * inputs + 4] = f32::INFINITY;
    for isa in ByteIsa::available() {
        let found = run(isa, 1, &matrix, &input);
        let alone = run(isa, 1, &matrix, &input[..inputs]);
        let rows: Vec<_> = found.chunks(outputs).collect();
        assert!(rows[0] == alone && rows[1].iter().all(|&y| y == 0.0), "{isa:?}");
        assert!(rows[2].iter().chain(rows[3]).all(|y| y.is_nan()), "{isa:?}");
        assert!(rows[4].iter().all(|y| y.is_finite()), "{isa:?}");
    }
}

#[test]
fn a_matrix_of_bytes_is_a_quarter_of_the_size() {
    let matrix = PackedMatrix::quantise(&ThreadPool::new(1), &vec![0.5_f32; 1280 * 320], 320, 1280).unwrap();
    assert_eq!(matrix.bytes(), 1280 * 320 + 8 * 320);
    assert_eq!(matrix.unpack(), vec![0.5_f32 / 127.0 * 127.0; 1280 * 320]);
}
