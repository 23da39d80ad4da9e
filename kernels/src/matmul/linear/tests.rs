//! Tests of the linear kernels against double precision.

use super::*;
use crate::element::{Element, Scalar};
use crate::elementwise::Activation;
use crate::simd::Isa;
use half::{bf16, f16};
use rand::{rngs::StdRng, Rng, SeedableRng};

fn values<T: Scalar>(random: &mut StdRng, len: usize) -> Vec<T> {
    (0..len).map(|_| T::narrow(random.random_range(-1.0..1.0))).collect()
}

const SIZES: [(usize, usize, usize); 10] = [
    (1, 1, 1),
    (1, 100, 33),
    (2, 31, 64),
    (5, 65, 7),
    (13, 96, 513),
    (27, 200, 1030),
    (3, 40, 1025),
    (257, 70, 80),
    (600, 33, 40),
    // More rows than are brought into order at once.
    (9000, 3, 40),
];

/// `input · weightᵀ + bias` in f64.
fn reference<T: Scalar>(weight: &[T], input: &[f32], bias: &[f32], inputs: usize) -> Vec<f64> {
    let dot = |x: &[f32], w: &[T]| {
        x.iter()
            .zip(w)
            .map(|(&x, w)| f64::from(x) * f64::from(w.widen()))
            .sum::<f64>()
    };
    input
        .chunks(inputs)
        .flat_map(|x| {
            weight
                .chunks(inputs)
                .zip(bias)
                .map(move |(w, &b)| dot(x, w) + f64::from(b))
        })
        .collect()
}

fn check<T: Scalar>(isa: Isa, limit: f64) {
    let pool = ThreadPool::new(3);
    let mut random = StdRng::seed_from_u64(21);
    for (rows, outputs, inputs) in SIZES {
        let weight: Vec<T> = values(&mut random, outputs * inputs);
        let input: Vec<f32> = values(&mut random, rows * inputs);
        let bias: Vec<f32> = values(&mut random, outputs);
        let expected = reference(&weight, &input, &bias, inputs);
        let packed = PackedMatrix::pack(&weight, outputs, inputs, T::ELEMENT).unwrap();
        let epilogue = Epilogue {
            bias: Some(&bias),
            ..Default::default()
        };
        // Sums of n products of random signs grow with √n.
        let limit = limit * (inputs as f64).sqrt();
        let mut output = vec![f32::NAN; rows * outputs];
        isa.with(|| packed.forward(&pool, &input, &mut output, epilogue))
            .unwrap();
        for (x, &y) in expected.iter().zip(&output) {
            let error = (x - f64::from(y)).abs();
            assert!(
                error <= limit,
                "{isa:?} {:?} {rows} {outputs} {inputs}: {error:e}",
                T::ELEMENT
            );
        }
    }
}

#[test]
fn products_agree_with_double_precision() {
    for isa in Isa::available() {
        check::<f32>(isa, 1e-6);
        check::<f16>(isa, 1e-6);
        // The bf16 dot product rounds the input by up to 2^-9: six standard deviations of the sum.
        check::<bf16>(isa, if isa.multiplies_bf16() { 3e-3 } else { 1e-6 });
    }
}

#[test]
fn bf16_dot_products_equal_products_of_rounded_inputs() {
    let mut random = StdRng::seed_from_u64(5);
    let (rows, outputs, inputs) = (19, 70, 1301);
    let weight: Vec<bf16> = values(&mut random, outputs * inputs);
    let rounded: Vec<bf16> = values(&mut random, rows * inputs);
    let input: Vec<f32> = rounded.iter().map(|x| x.to_f32()).collect();
    let packed = PackedMatrix::pack(&weight, outputs, inputs, Element::BF16).unwrap();
    let expected = reference(&weight, &input, &vec![0.0; outputs], inputs);
    for isa in Isa::available() {
        let mut output = vec![0.0; rows * outputs];
        isa.with(|| packed.forward(&ThreadPool::new(2), &input, &mut output, Epilogue::default()))
            .unwrap();
        assert!(
            expected
                .iter()
                .zip(&output)
                .all(|(x, &y)| (x - f64::from(y)).abs() < 5e-5),
            "{isa:?}"
        );
    }
}

/// Several rows at once are computed by other instructions than one, where the processor multiplies small matrices.
#[test]
fn a_row_does_not_depend_on_the_others() {
    let mut random = StdRng::seed_from_u64(6);
    let (rows, outputs, inputs) = (23, 70, 1301);
    let pool = ThreadPool::new(1);
    let input: Vec<f32> = values(&mut random, rows * inputs);
    let weight: Vec<f32> = values(&mut random, outputs * inputs);
    for element in [Element::F32, Element::F16, Element::BF16] {
        let packed = PackedMatrix::pack(&weight, outputs, inputs, element).unwrap();
        for isa in Isa::available() {
            isa.with(|| {
                let mut together = vec![0.0; rows * outputs];
                packed
                    .forward(&pool, &input, &mut together, Epilogue::default())
                    .unwrap();
                for (row, expected) in input.chunks(inputs).zip(together.chunks(outputs)) {
                    let mut alone = vec![0.0; outputs];
                    packed.forward(&pool, row, &mut alone, Epilogue::default()).unwrap();
                    assert_eq!(alone, expected, "{isa:?} {element:?}");
                }
            });
        }
    }
}

#[test]
fn epilogues_do_what_they_say() {
    let mut random = StdRng::seed_from_u64(22);
    let pool = ThreadPool::new(2);
    // More inputs than one pass, so that the epilogue must wait for the last.
    let (rows, outputs, inputs) = (14, 45, 700);
    let weight: Vec<f32> = values(&mut random, outputs * inputs);
    let input: Vec<f32> = values(&mut random, rows * inputs);
    let bias: Vec<f32> = values(&mut random, outputs);
    let residual: Vec<f32> = values(&mut random, rows * outputs);
    let packed = PackedMatrix::pack(&weight, outputs, inputs, Element::F32).unwrap();
    let mut plain = vec![0.0; rows * outputs];
    packed
        .forward(
            &pool,
            &input,
            &mut plain,
            Epilogue {
                bias: Some(&bias),
                ..Default::default()
            },
        )
        .unwrap();
    for isa in Isa::available() {
        for activation in [None, Some(Activation::Gelu), Some(Activation::QuickGelu)] {
            let mut expected = plain.clone();
            if let Some(activation) = activation {
                activation.apply(&mut expected);
            }
            expected.iter_mut().zip(&residual).for_each(|(x, r)| *x += r);
            let mut output = vec![f32::NAN; rows * outputs];
            let epilogue = Epilogue {
                bias: Some(&bias),
                activation,
                residual: Some(&residual),
            };
            isa.with(|| packed.forward(&pool, &input, &mut output, epilogue))
                .unwrap();
            for (x, y) in expected.iter().zip(&output) {
                assert!((x - y).abs() < 5e-5, "{isa:?} {activation:?} {x} {y}");
            }
        }
    }
}

/// Three matrices of different widths, stored alike or not, and enough rows that the input comes in several parts.
#[test]
fn several_products_of_one_input_are_those_of_each() {
    let mut random = StdRng::seed_from_u64(24);
    let pool = ThreadPool::new(3);
    for (rows, inputs) in [(1, 9), (300, 70), (9000, 40)] {
        let input: Vec<f32> = values(&mut random, rows * inputs);
        let weights = [33, 5, 70].map(|outputs| values::<f32>(&mut random, outputs * inputs));
        let residual: Vec<f32> = values(&mut random, rows * 5);
        for elements in [
            [Element::F32; 3],
            [Element::BF16; 3],
            [Element::F32, Element::BF16, Element::F32],
        ] {
            let pack = |place: usize| {
                let outputs = weights[place].len() / inputs;
                PackedMatrix::pack(&weights[place], outputs, inputs, elements[place]).unwrap()
            };
            let matrices = [pack(0), pack(1), pack(2)];
            let epilogues = [
                Epilogue::default(),
                Epilogue {
                    residual: Some(&residual),
                    ..Default::default()
                },
                Epilogue {
                    bias: Some(&weights[2][..70]),
                    ..Default::default()
                },
            ];
            let layer = |place: usize| (&matrices[place], epilogues[place]);
            let together = PackedMatrix::products(&pool, &input, [layer(0), layer(1), layer(2)]).unwrap();
            for (place, output) in together.iter().enumerate() {
                let alone = matrices[place].product(&pool, &input, epilogues[place]).unwrap();
                assert_eq!(output, &alone, "{elements:?} {rows} {place}");
            }
        }
    }
}

#[test]
fn a_product_of_a_product_is_two_products_to_the_bit() {
    let mut random = StdRng::seed_from_u64(25);
    let pool = ThreadPool::new(3);
    // Widths between that fill passes and panels, and that do not; more rows than are brought into order at once.
    for (rows, inputs, inner, outputs) in [
        (1, 9, 33, 5),
        (30, 600, 1024, 40),
        (270, 70, 1100, 33),
        (9000, 3, 70, 2),
    ] {
        let input: Vec<f32> = values(&mut random, rows * inputs);
        let up: Vec<f32> = values(&mut random, inner * inputs);
        let down: Vec<f32> = values(&mut random, outputs * inner);
        let residual: Vec<f32> = values(&mut random, rows * outputs);
        for (first, second) in [
            (Element::BF16, Element::BF16),
            (Element::F32, Element::F32),
            (Element::F32, Element::F16),
            (Element::BF16, Element::F32),
        ] {
            let up = PackedMatrix::pack(&up, inner, inputs, first).unwrap();
            let down = PackedMatrix::pack(&down, outputs, inner, second).unwrap();
            let activation = Epilogue {
                activation: Some(Activation::Gelu),
                ..Default::default()
            };
            let then = Epilogue {
                residual: Some(&residual),
                ..Default::default()
            };
            for isa in Isa::available() {
                isa.with(|| {
                    let found = up.product_of_product(&pool, &input, activation, (&down, then)).unwrap();
                    let between = up.product(&pool, &input, activation).unwrap();
                    let expected = down.product(&pool, &between, then).unwrap();
                    assert_eq!(found, expected, "{isa:?} {rows} {inputs} {inner} {outputs}");
                });
            }
            let wrong = up.product_of_product(&pool, &input, activation, (&up, Epilogue::default()));
            assert!(wrong.is_err());
        }
    }
}

#[test]
fn unpacking_gives_the_matrix_back() {
    let mut random = StdRng::seed_from_u64(23);
    for (outputs, inputs) in [(1, 1), (33, 7), (64, 50), (100, 513)] {
        let weight: Vec<bf16> = values(&mut random, outputs * inputs);
        let wide: Vec<f32> = weight.iter().map(|x| x.to_f32()).collect();
        for element in [Element::F32, Element::F16, Element::BF16] {
            let packed = PackedMatrix::pack(&weight, outputs, inputs, element).unwrap();
            // bf16 values between 2^-14 and 1 are f16 values too; smaller ones lose bits there.
            let same = |(a, b): (&f32, &f32)| a == b || (element == Element::F16 && (a - b).abs() < 1e-7);
            assert!(packed.unpack().iter().zip(&wide).all(same));
            assert_eq!(
                (packed.outputs(), packed.inputs(), packed.element()),
                (outputs, inputs, Some(element))
            );
        }
    }
}

#[test]
fn the_packed_matrix_is_as_small_as_the_plain_one() {
    for (element, size) in [(Element::F32, 4), (Element::F16, 2), (Element::BF16, 2)] {
        let packed = PackedMatrix::pack(&vec![0.5_f32; 1280 * 300], 1280, 300, element).unwrap();
        assert_eq!(packed.bytes(), 1280 * 300 * size);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let pool = ThreadPool::new(1);
    assert!(PackedMatrix::pack(&[0.0_f32; 6], 2, 4, Element::F32).is_err());
    assert!(PackedMatrix::pack::<f32>(&[], 0, 0, Element::F32).is_err());
    assert!(PackedMatrix::pack(&[0.0_f32; 6], usize::MAX, 2, Element::F32).is_err());
    let packed = PackedMatrix::pack(&[1.0_f32; 8], 2, 4, Element::F32).unwrap();
    let plain = Epilogue::default();
    assert!(packed.forward(&pool, &[0.0; 9], &mut [0.0; 4], plain).is_err());
    assert!(packed.forward(&pool, &[0.0; 8], &mut [0.0; 5], plain).is_err());
    let short = Epilogue {
        bias: Some(&[0.0]),
        ..plain
    };
    assert!(packed.forward(&pool, &[0.0; 8], &mut [0.0; 4], short).is_err());
    let residual = Epilogue {
        residual: Some(&[0.0; 3]),
        ..plain
    };
    assert!(packed.forward(&pool, &[0.0; 8], &mut [0.0; 4], residual).is_err());
    assert!(packed.forward(&pool, &[], &mut [], plain).is_ok());
}
