mod orthogonal;
mod parts;

use super::*;
use crate::adapter::{Adapter, AdapterLayer, Linear};
use crate::conditioning::{ConditioningOptions, IdentityInput, Mask, MaskMode, StepRange};
use crate::error::ErrorKind;
use crate::host::{HostLayer, HostSpec};
use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};

const CONTEXT: usize = 12;
/// Batch, rows, heads, head width: 48 image tokens, a latent of 6 × 8.
const SHAPE: [usize; 4] = [2, 48, 3, 8];
const COUNT: usize = 2 * 48 * 24;
/// Every order of the two sides in a batch of two.
const ORDERS: [&[Role]; 4] = [
    &[Role::Conditional, Role::Unconditional],
    &[Role::Unconditional, Role::Conditional],
    &[Role::Conditional, Role::Conditional],
    &[Role::Unconditional, Role::Unconditional],
];

fn noise(count: usize, seed: usize) -> Vec<f32> {
    let mut state = (seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let mut next = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn random(dims: &[usize], seed: usize) -> Tensor {
    Tensor::from_vec(noise(dims.iter().product(), seed), dims, &Device::Cpu).unwrap()
}

fn host() -> HostSpec {
    let layers = (0..2)
        .map(|i| HostLayer::new(format!("layer{i}"), 3, 8, CONTEXT))
        .collect();
    HostSpec::custom("small", layers).unwrap()
}

fn adapter() -> Adapter {
    let affine = |seed| Linear::stored(random(&[24, CONTEXT], seed), None).unwrap();
    Adapter::new(
        None,
        (0..2).map(|i| AdapterLayer::new(affine(i), affine(i + 10))).collect(),
    )
}

fn condition(inputs: &[IdentityInput], options: &ConditioningOptions) -> Conditioning {
    Conditioning::new(&adapter(), &host(), inputs, options).unwrap()
}

fn plain(inputs: &[IdentityInput]) -> Conditioning {
    condition(inputs, &ConditioningOptions::default())
}

fn call<'a>(query: &'a [f32], output: &'a mut [f32]) -> InjectCall<'a> {
    let query = TensorView::contiguous(query, SHAPE).unwrap();
    InjectCall::new(1, query, TensorViewMut::contiguous(output, SHAPE).unwrap())
}

/// What one call adds to zeros.
fn added(conditioning: &Conditioning, query: &[f32], change: impl FnOnce(&mut InjectCall<'_>)) -> Vec<f32> {
    let mut output = vec![0.0; COUNT];
    let mut call = call(query, &mut output);
    change(&mut call);
    conditioning.inject(call).unwrap();
    output
}

fn error(conditioning: &Conditioning, query: &[f32], change: impl FnOnce(&mut InjectCall<'_>)) -> Error {
    let mut output = noise(COUNT, 77);
    let before = output.clone();
    let mut call = call(query, &mut output);
    change(&mut call);
    let error = conditioning.inject(call).unwrap_err();
    assert_eq!(output, before, "the output was touched before: {error}");
    error
}

#[track_caller]
fn assert_close(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= tolerance, "{i}: {a} against {b}");
    }
}

fn sum(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// factor · softmax(q Kᵀ / √d) V in f64, from the keys and values that are handed out.
fn plain_attention(conditioning: &Conditioning, query: &[f32], identity: usize, roles: &[Role]) -> Vec<f32> {
    let [batch, rows, heads, width] = SHAPE;
    let mut result = vec![0.0; COUNT];
    for (b, role) in roles.iter().enumerate().take(batch) {
        let Some(keys) = conditioning.keys(1, identity, *role).unwrap() else {
            continue;
        };
        let keys: Vec<Vec<Vec<f32>>> = keys.to_vec3().unwrap();
        let values: Vec<Vec<Vec<f32>>> = conditioning
            .values(1, identity, *role)
            .unwrap()
            .unwrap()
            .to_vec3()
            .unwrap();
        for s in 0..rows {
            for h in 0..heads {
                let at = ((b * rows + s) * heads + h) * width;
                let dot = |k: &Vec<Vec<f32>>| -> f64 {
                    (0..width)
                        .map(|d| f64::from(query[at + d]) * f64::from(k[h][d]))
                        .sum::<f64>()
                        / (width as f64).sqrt()
                };
                let weights: Vec<f64> = keys.iter().map(|k| dot(k).exp()).collect();
                let total: f64 = weights.iter().sum();
                for d in 0..width {
                    let mixed: f64 = weights.iter().zip(&values).map(|(w, v)| w * f64::from(v[h][d])).sum();
                    result[at + d] = (f64::from(conditioning.factor(1, identity).unwrap()) * mixed / total) as f32;
                }
            }
        }
    }
    result
}

#[test]
fn keys_and_values_handed_out_give_what_is_injected() {
    let (tokens, negative, query) = (random(&[7, CONTEXT], 1), random(&[4, CONTEXT], 2), noise(COUNT, 3));
    let first = IdentityInput {
        unconditional: Some(&negative),
        scale: 0.7,
        ..IdentityInput::new(&tokens)
    };
    let second = IdentityInput {
        scale: -0.4,
        ..IdentityInput::new(&negative)
    };
    let conditioning = plain(&[first, second]);
    for roles in ORDERS {
        let found = added(&conditioning, &query, |call| call.roles = roles);
        let parts = [0, 1].map(|identity| plain_attention(&conditioning, &query, identity, roles));
        assert_close(&found, &sum(&parts[0], &parts[1]), 2e-6);
    }
}

#[test]
fn scale_zero_leaves_every_bit() {
    fn check<T: Scalar + PartialEq + std::fmt::Debug>(narrow: impl Fn(f32) -> T, dtype: DType) {
        let tokens = random(&[7, CONTEXT], 1);
        let query: Vec<T> = noise(COUNT, 3).into_iter().map(&narrow).collect();
        let before: Vec<T> = noise(COUNT, 4).into_iter().map(&narrow).collect();
        let options = ConditioningOptions {
            dtype,
            ..ConditioningOptions::default()
        };
        for (scale, call_scale) in [(0.0, 1.0), (1.0, 0.0), (-0.0, -0.0)] {
            let conditioning = condition(
                &[IdentityInput {
                    scale,
                    ..IdentityInput::new(&tokens)
                }],
                &options,
            );
            let mut output = before.clone();
            let views = (
                TensorView::contiguous(&query, SHAPE),
                TensorViewMut::contiguous(&mut output, SHAPE),
            );
            let call = InjectCall {
                scale: call_scale,
                ..InjectCall::new(0, views.0.unwrap(), views.1.unwrap())
            };
            conditioning.inject(call).unwrap();
            assert_eq!(output, before, "{dtype:?}");
        }
    }
    check(|value| value, DType::F32);
    check(f16::from_f32, DType::F16);
    check(bf16::from_f32, DType::BF16);
}

#[test]
fn rows_of_guidance_in_any_order_are_separate_calls() {
    let (tokens, negative, query) = (random(&[7, CONTEXT], 1), random(&[4, CONTEXT], 2), noise(COUNT, 3));
    let conditioning = plain(&[IdentityInput {
        unconditional: Some(&negative),
        ..IdentityInput::new(&tokens)
    }]);
    let half = COUNT / 2;
    let shape = [1, SHAPE[1], SHAPE[2], SHAPE[3]];
    let alone = |row: usize, role: Role| {
        let mut output = vec![0.0; half];
        let query = TensorView::contiguous(&query[row * half..][..half], shape).unwrap();
        let output_view = TensorViewMut::contiguous(&mut output, shape).unwrap();
        conditioning
            .inject(InjectCall {
                roles: &[role],
                ..InjectCall::new(1, query, output_view)
            })
            .unwrap();
        output
    };
    for roles in ORDERS {
        let together = added(&conditioning, &query, |call| call.roles = roles);
        for row in 0..2 {
            assert_close(&together[row * half..][..half], &alone(row, roles[row]), 1e-6);
        }
    }
    let default = added(&conditioning, &query, |_| {});
    assert_eq!(default, added(&conditioning, &query, |call| call.roles = ORDERS[2]));
}

#[test]
fn rows_without_a_counterpart_are_left_alone() {
    let (tokens, query) = (random(&[7, CONTEXT], 1), noise(COUNT, 3));
    let conditioning = plain(&[IdentityInput::new(&tokens)]);
    let found = added(&conditioning, &query, |call| {
        call.roles = &[Role::Unconditional, Role::Conditional]
    });
    assert!(found[..COUNT / 2].iter().all(|value| value.to_bits() == 0));
    assert!(found[COUNT / 2..].iter().any(|value| value.abs() > 0.1));
}

#[test]
fn two_identities_are_the_sum_of_each() {
    let (one, two, query) = (random(&[7, CONTEXT], 1), random(&[5, CONTEXT], 2), noise(COUNT, 3));
    let inputs = [
        IdentityInput {
            scale: 0.7,
            ..IdentityInput::new(&one)
        },
        IdentityInput {
            scale: 0.3,
            ..IdentityInput::new(&two)
        },
    ];
    let parts = inputs
        .each_ref()
        .map(|input| added(&plain(std::slice::from_ref(input)), &query, |_| {}));
    assert_close(
        &added(&plain(&inputs), &query, |_| {}),
        &sum(&parts[0], &parts[1]),
        1e-6,
    );
    let doubled = added(&plain(&inputs[..1]), &query, |call| call.scale = 2.0);
    assert_close(&doubled, &sum(&parts[0], &parts[0]), 1e-6);
}

#[test]
fn strides_do_not_matter() {
    let (tokens, query) = (random(&[7, CONTEXT], 1), noise(COUNT, 3));
    let conditioning = plain(&[IdentityInput::new(&tokens)]);
    let expected = added(&conditioning, &query, |_| {});
    let [batch, rows, heads, width] = SHAPE;
    let strides = [rows * heads * width, width, rows * width, 1];
    let place = |i: usize| {
        let (b, s, h, d) = (
            i / (rows * heads * width),
            i / (heads * width) % rows,
            i / width % heads,
            i % width,
        );
        b * strides[0] + s * strides[1] + h * strides[2] + d
    };
    let mut heads_first = vec![0.0; COUNT];
    (0..COUNT).for_each(|i| heads_first[place(i)] = query[i]);
    // Queries [B, H, S, D], output rows with a gap of 5 elements that must stay as they are.
    let row = heads * width + 5;
    let mut padded = vec![9.0; batch * rows * row];
    padded
        .iter_mut()
        .enumerate()
        .filter(|(i, _)| i % row < heads * width)
        .for_each(|(_, value)| *value = 0.0);
    let output = TensorViewMut::new(&mut padded, SHAPE, [rows * row, row, width, 1]).unwrap();
    let view = TensorView::new(&heads_first, SHAPE, strides).unwrap();
    conditioning.inject(InjectCall::new(1, view, output)).unwrap();
    for (i, chunk) in padded.chunks(row).enumerate() {
        assert_close(
            &chunk[..heads * width],
            &expected[i * heads * width..][..heads * width],
            1e-6,
        );
        assert!(chunk[heads * width..].iter().all(|value| *value == 9.0));
    }
}

#[test]
fn masks_weigh_image_tokens() {
    let (tokens, query) = (random(&[7, CONTEXT], 1), noise(COUNT, 3));
    let mask = Mask::new(6, 8, &(0..48).map(|i| i as f32 / 47.0).collect::<Vec<_>>()).unwrap();
    let whole = added(&plain(&[IdentityInput::new(&tokens)]), &query, |_| {});
    for mask_mode in [MaskMode::ComfyUi, MaskMode::Diffusers] {
        let options = ConditioningOptions {
            mask_mode,
            ..ConditioningOptions::default()
        };
        let input = IdentityInput {
            mask: Some(mask.clone()),
            ..IdentityInput::new(&tokens)
        };
        let found = added(&condition(&[input], &options), &query, |call| {
            call.latent = Some((6, 8))
        });
        let expected: Vec<f32> = whole
            .iter()
            .enumerate()
            .map(|(i, value)| value * ((i / 24) % 48) as f32 / 47.0)
            .collect();
        assert_close(&found, &expected, 2e-6);
    }
}

#[test]
fn identities_outside_their_steps_are_left_out() {
    let (tokens, query) = (random(&[7, CONTEXT], 1), noise(COUNT, 3));
    let steps = StepRange::Sigma { start: 10.0, end: 2.0 };
    let conditioning = plain(&[IdentityInput {
        steps,
        ..IdentityInput::new(&tokens)
    }]);
    let at = |sigma| added(&conditioning, &query, |call| call.step.sigma = Some(sigma));
    assert!([11.0, 1.0]
        .iter()
        .all(|sigma| at(*sigma).iter().all(|value| *value == 0.0)));
    assert!([10.0, 2.0]
        .iter()
        .all(|sigma| at(*sigma).iter().any(|value| *value != 0.0)));
    let error = error(&conditioning, &query, |call| call.step.fraction = Some(0.5));
    assert!(error.message().contains("sigma"), "{error}");
}

#[test]
fn a_query_that_is_not_finite_is_named_and_nothing_is_written() {
    let (tokens, mut query) = (random(&[7, CONTEXT], 1), noise(COUNT, 3));
    let conditioning = plain(&[IdentityInput::new(&tokens)]);
    for bad in [f32::NAN, f32::INFINITY] {
        query[COUNT / 2 + 17 * 24 + 3] = bad;
        let error = error(&conditioning, &query, |_| {});
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(
            error
                .message()
                .contains("layer \"layer1\": the query of batch row 1, token 17"),
            "{error}"
        );
    }
    // Switched off, the damage stays in that row.
    let found = added(&conditioning, &query, |call| call.check_query = false);
    let damaged = COUNT / 2 + 17 * 24;
    let finite = |range: &[f32]| range.iter().all(|value| value.is_finite());
    assert!(finite(&found[..damaged]) && finite(&found[damaged + 24..]));
}

#[test]
fn calls_that_do_not_fit_are_refused() {
    let (tokens, query) = (random(&[7, CONTEXT], 1), noise(COUNT, 3));
    let mask = Mask::new(1, 1, &[1.0]).unwrap();
    let conditioning = plain(&[IdentityInput {
        mask: Some(mask),
        ..IdentityInput::new(&tokens)
    }]);
    let message =
        |change: &dyn Fn(&mut InjectCall<'_>)| error(&conditioning, &query, |call| change(call)).message().to_string();
    assert!(message(&|_| {}).contains("latent height and width"));
    assert!(message(&|call| call.latent = Some((7, 8))).contains("48 image tokens"));
    assert!(message(&|call| call.layer = 2).contains("no layer 2"));
    assert!(message(&|call| call.roles = &[Role::Conditional; 3]).contains("3 roles for 2 batch rows"));
    assert!(message(&|call| call.scale = f32::NAN).contains("NaN"));
    let view = |shape| TensorView::contiguous(&query, shape).unwrap();
    let refused = |call: InjectCall<'_>| conditioning.inject(call).unwrap_err();
    let mut halves = vec![f16::ZERO; COUNT];
    let error = refused(InjectCall::new(
        1,
        view(SHAPE),
        TensorViewMut::contiguous(&mut halves, SHAPE).unwrap(),
    ));
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    assert!(error.message().contains("number type"), "{error}");
    let mut output = vec![0.0f32; COUNT];
    let small = TensorViewMut::contiguous(&mut output, [1, 48, 3, 8]).unwrap();
    assert!(refused(InjectCall::new(1, view(SHAPE), small))
        .message()
        .contains("[1, 48, 3, 8]"));
    let other = [2, 48, 4, 6];
    let wide = TensorViewMut::contiguous(&mut output, other).unwrap();
    assert!(refused(InjectCall::new(1, view(other), wide))
        .message()
        .contains("3 heads of width 8"));
}

#[test]
fn eight_threads_get_the_same_numbers() {
    let (tokens, query) = (random(&[7, CONTEXT], 1), noise(COUNT, 3));
    let mask = Mask::new(4, 4, &[0.5; 16]).unwrap();
    let conditioning = plain(&[IdentityInput {
        mask: Some(mask),
        ..IdentityInput::new(&tokens)
    }]);
    let run = || added(&conditioning, &query, |call| call.latent = Some((6, 8)));
    let expected = run();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| (0..20).all(|_| run() == expected)))
            .collect();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    });
}

#[test]
fn large_batches_work() {
    let tokens = random(&[7, CONTEXT], 1);
    let conditioning = plain(&[IdentityInput::new(&tokens)]);
    let shape = [70, 2, 3, 8];
    let query = noise(70 * 48, 5);
    let mut output = vec![0.0; query.len()];
    let views = (
        TensorView::contiguous(&query, shape).unwrap(),
        TensorViewMut::contiguous(&mut output, shape).unwrap(),
    );
    conditioning.inject(InjectCall::new(1, views.0, views.1)).unwrap();
    for row in [0, 63, 64, 69] {
        let mut alone = vec![0.0; 48];
        let view = TensorView::contiguous(&query[row * 48..][..48], [1, 2, 3, 8]).unwrap();
        let out = TensorViewMut::contiguous(&mut alone, [1, 2, 3, 8]).unwrap();
        conditioning.inject(InjectCall::new(1, view, out)).unwrap();
        assert_close(&output[row * 48..][..48], &alone, 1e-6);
    }
}

#[test]
fn zero_tokens_are_further_tokens_of_zeros() {
    let (tokens, query) = (random(&[7, CONTEXT], 1), noise(COUNT, 3));
    let zeros = Tensor::zeros((9, CONTEXT), DType::F32, &Device::Cpu).unwrap();
    let longer = Tensor::cat(&[&tokens, &zeros], 0).unwrap();
    let expected = added(&plain(&[IdentityInput::new(&longer)]), &query, |_| {});
    let options = ConditioningOptions::default().with_zero_tokens(9);
    let conditioning = condition(&[IdentityInput::new(&tokens)], &options);
    assert_close(&added(&conditioning, &query, |_| {}), &expected, 1e-6);
    assert_eq!(conditioning.zero_tokens(), 9);
}
