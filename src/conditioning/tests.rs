use super::*;
use crate::adapter::{AdapterLayer, Linear};
use crate::error::ErrorKind;
use crate::host::{BlockKind, HostFamily, HostLayer};
use std::ops::ControlFlow;

const CONTEXT: usize = 6;

fn random(dims: &[usize], seed: usize) -> Tensor {
    let count: usize = dims.iter().product();
    let values: Vec<f32> = (0..count)
        .map(|i| (((i + seed * 131) * 7919 % 997) as f32 / 997.0) - 0.5)
        .collect();
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

/// A host with SDXL's eleven transformers, one small layer each.
fn host() -> HostSpec {
    let layer = |t: usize| HostLayer {
        key: 2 * t + 1,
        execution: t,
        kind: BlockKind::Input,
        ..HostLayer::new(format!("layer{t}"), 2, 4, CONTEXT)
    };
    HostSpec::from_layers("small", HostFamily::Sdxl, (0..11).map(layer).collect()).unwrap()
}

fn adapter(bias: bool) -> Adapter {
    let affine =
        |seed: usize| Linear::stored(random(&[8, CONTEXT], seed), bias.then(|| random(&[8], seed + 50))).unwrap();
    let layers = (0..11)
        .map(|t| AdapterLayer::new(affine(2 * t), affine(2 * t + 1)))
        .collect();
    Adapter::new(None, layers)
}

fn values(tensor: Option<Tensor>) -> Vec<f32> {
    tensor
        .unwrap()
        .to_dtype(DType::F32)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap()
}

fn condition(inputs: &[IdentityInput], options: &ConditioningOptions) -> Result<Conditioning> {
    Conditioning::new(&adapter(false), &host(), inputs, options)
}

#[track_caller]
fn assert_close(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= tolerance, "{a} against {b}");
    }
}

#[test]
fn keys_and_values_are_the_projected_tokens() {
    let (tokens, negative) = (random(&[5, CONTEXT], 90), random(&[3, CONTEXT], 91));
    let input = IdentityInput {
        unconditional: Some(&negative),
        scale: 0.7,
        ..IdentityInput::new(&tokens)
    };
    let conditioning = condition(&[input], &ConditioningOptions::default()).unwrap();
    let weights = adapter(true);
    for layer in [0, 10] {
        let expected = tokens
            .matmul(&weights.layers()[layer].to_k.weight().unwrap().t().unwrap())
            .unwrap();
        let keys = conditioning.keys(layer, 0, Role::Conditional).unwrap().unwrap();
        assert_eq!(keys.dims(), [5, 2, 4]);
        assert_close(&values(Some(keys)), &values(Some(expected)), 1e-6);
        let expected = negative
            .matmul(&weights.layers()[layer].to_v.weight().unwrap().t().unwrap())
            .unwrap();
        let found = conditioning.values(layer, 0, Role::Unconditional).unwrap();
        assert_close(&values(found), &values(Some(expected)), 1e-6);
        assert_eq!(conditioning.factor(layer, 0).unwrap(), 0.7);
    }
    assert_eq!(conditioning.byte_size(), 11 * 2 * (5 + 3) * 8 * 4);
}

#[test]
fn the_number_type_is_the_one_asked_for() {
    let tokens = random(&[5, CONTEXT], 90);
    let exact = condition(&[IdentityInput::new(&tokens)], &ConditioningOptions::default()).unwrap();
    for (dtype, tolerance) in [(DType::F16, 1e-3), (DType::BF16, 6e-3)] {
        let options = ConditioningOptions {
            dtype,
            ..ConditioningOptions::default()
        };
        let conditioning = condition(&[IdentityInput::new(&tokens)], &options).unwrap();
        let keys = conditioning.keys(3, 0, Role::Conditional).unwrap().unwrap();
        assert_eq!(keys.dtype(), dtype);
        assert_close(
            &values(Some(keys)),
            &values(exact.keys(3, 0, Role::Conditional).unwrap()),
            tolerance,
        );
        assert_eq!(conditioning.byte_size() * 2, exact.byte_size());
    }
    let options = ConditioningOptions {
        dtype: DType::F64,
        ..ConditioningOptions::default()
    };
    assert_eq!(
        condition(&[IdentityInput::new(&tokens)], &options).unwrap_err().kind(),
        ErrorKind::Unsupported
    );
}

#[test]
fn precise_types_hand_the_identity_to_the_other_side() {
    let tokens = random(&[5, CONTEXT], 90);
    for bias in [false, true] {
        let options = ConditioningOptions {
            weight_type: WeightType::StyleTransferPrecise,
            ..ConditioningOptions::default()
        };
        let inputs = [IdentityInput::new(&tokens)];
        let conditioning = Conditioning::new(&adapter(bias), &host(), &inputs, &options).unwrap();
        // Transformer 3 is composition: the identity is on the unconditional side, zero tokens on the other.
        let conditional = conditioning.keys(3, 0, Role::Conditional).unwrap();
        match bias {
            false => assert!(conditional.is_none()),
            true => assert_close(&values(conditional)[..8], &values(Some(random(&[8], 56))), 0.0),
        }
        assert!(conditioning.keys(3, 0, Role::Unconditional).unwrap().is_some());
        assert!(conditioning.keys(6, 0, Role::Conditional).unwrap().is_some());
        assert!(conditioning.keys(6, 0, Role::Unconditional).unwrap().is_none());
        assert!(conditioning.keys(0, 0, Role::Conditional).unwrap().is_none());
        assert_eq!(conditioning.factor(0, 0).unwrap(), 0.0);
    }
}

#[test]
fn a_composition_identity_feeds_the_composition_layer() {
    let (tokens, other) = (random(&[5, CONTEXT], 90), random(&[5, CONTEXT], 95));
    let options = ConditioningOptions {
        weight_type: WeightType::StyleAndComposition,
        composition_scale: Some(0.25),
        ..ConditioningOptions::default()
    };
    let input = IdentityInput {
        composition: Some(&other),
        ..IdentityInput::new(&tokens)
    };
    let both = condition(&[input], &options).unwrap();
    let alone = condition(&[IdentityInput::new(&other)], &ConditioningOptions::default()).unwrap();
    let keys = |conditioning: &Conditioning| values(conditioning.keys(3, 0, Role::Conditional).unwrap());
    assert_eq!(keys(&both), keys(&alone));
    assert_eq!([both.factor(3, 0).unwrap(), both.factor(6, 0).unwrap()], [0.25, 1.0]);
}

#[test]
fn embeds_scaling_moves_the_weight_into_keys_and_values() {
    let tokens = random(&[5, CONTEXT], 90);
    let with = |embeds_scaling| {
        let options = ConditioningOptions {
            embeds_scaling,
            ..ConditioningOptions::default()
        };
        let conditioning = condition(
            &[IdentityInput {
                scale: 0.5,
                ..IdentityInput::new(&tokens)
            }],
            &options,
        )
        .unwrap();
        let pair = |layer| {
            let keys = conditioning.keys(layer, 0, Role::Conditional).unwrap();
            (
                values(keys),
                values(conditioning.values(layer, 0, Role::Conditional).unwrap()),
            )
        };
        (pair(2), conditioning.factor(2, 0).unwrap())
    };
    let ((keys, vals), factor) = with(EmbedsScaling::ValuesOnly);
    assert_eq!(factor, 0.5);
    let times = |values: &[f32], w: f32| values.iter().map(|value| value * w).collect::<Vec<_>>();
    let ((k, v), factor) = with(EmbedsScaling::KeysAndValues);
    assert_eq!(factor, 1.0);
    assert_close(&k, &times(&keys, 0.5), 1e-7);
    assert_close(&v, &times(&vals, 0.5), 1e-7);
    let w = 0.5 * 8.0 / 1280.0;
    let ((k, v), _) = with(EmbedsScaling::KeysAndValuesPenalty);
    assert_close(&k, &times(&keys, w), 1e-7);
    assert_close(&v, &times(&vals, w), 1e-7);
    let ((k, v), factor) = with(EmbedsScaling::KeysAndMeanValuesPenalty);
    assert_eq!(factor, 1.0);
    assert_close(&k, &times(&keys, w), 1e-7);
    let mean: Vec<f32> = (0..8)
        .map(|i| (0..5).map(|t| vals[t * 8 + i]).sum::<f32>() / 5.0)
        .collect();
    let expected: Vec<f32> = (0..40).map(|i| vals[i] - mean[i % 8] + w * mean[i % 8]).collect();
    assert_close(&v, &expected, 1e-6);
}

#[test]
fn nothing_is_computed_where_there_is_no_weight() {
    let tokens = random(&[5, CONTEXT], 90);
    let scales = LayerScales::parse(&host(), "4:0, 5:2").unwrap();
    let options = ConditioningOptions {
        layer_scales: Some(scales),
        ..ConditioningOptions::default()
    };
    let conditioning = condition(
        &[IdentityInput {
            scale: 0.5,
            ..IdentityInput::new(&tokens)
        }],
        &options,
    )
    .unwrap();
    assert_eq!(conditioning.byte_size(), 2 * 5 * 8 * 4);
    assert_eq!(conditioning.factor(5, 0).unwrap(), 1.0);
    let boosted = ConditioningOptions {
        weight_type: WeightType::CompositionPrecise,
        composition_boost: Some(2.0),
        ..ConditioningOptions::default()
    };
    let none = condition(
        &[IdentityInput {
            scale: 0.0,
            ..IdentityInput::new(&tokens)
        }],
        &boosted,
    )
    .unwrap();
    assert_eq!(none.byte_size(), 0);
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let tokens = random(&[5, CONTEXT], 90);
    let kind = |result: Result<Conditioning>| result.unwrap_err().kind();
    let plain = ConditioningOptions::default();
    assert_eq!(kind(condition(&[], &plain)), ErrorKind::InvalidArgument);
    for dims in [&[5, CONTEXT + 1][..], &[0, CONTEXT], &[1, 5, CONTEXT]] {
        let wrong = Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap();
        let error = condition(&[IdentityInput::new(&tokens), IdentityInput::new(&wrong)], &plain).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        assert!(error.message().starts_with("identity 1"), "{error}");
    }
    let infinite = IdentityInput {
        scale: f32::INFINITY,
        ..IdentityInput::new(&tokens)
    };
    assert_eq!(kind(condition(&[infinite], &plain)), ErrorKind::InvalidArgument);
    let steps = StepRange::Fraction { start: 0.9, end: 0.1 };
    assert_eq!(
        kind(condition(
            &[IdentityInput {
                steps,
                ..IdentityInput::new(&tokens)
            }],
            &plain
        )),
        ErrorKind::InvalidArgument
    );
    let nan = ConditioningOptions {
        style_boost: Some(f32::NAN),
        ..plain.clone()
    };
    assert_eq!(
        kind(condition(&[IdentityInput::new(&tokens)], &nan)),
        ErrorKind::InvalidArgument
    );
    let scales = LayerScales::per_layer(&HostSpec::sd15(), &[1.0; 16]).unwrap();
    let foreign = ConditioningOptions {
        layer_scales: Some(scales),
        ..plain.clone()
    };
    assert_eq!(
        kind(condition(&[IdentityInput::new(&tokens)], &foreign)),
        ErrorKind::Mismatch
    );
    let inputs = [IdentityInput::new(&tokens)];
    let other = Conditioning::new(&adapter(false), &HostSpec::sd15(), &inputs, &plain);
    assert_eq!(kind(other), ErrorKind::Mismatch);
}

#[test]
fn progress_is_told_and_can_cancel() {
    let tokens = random(&[5, CONTEXT], 90);
    let mut seen = Vec::new();
    let mut callback = |progress: crate::progress::Progress| {
        seen.push((progress.done, progress.total));
        if progress.done < 4 {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    };
    let inputs = [IdentityInput::new(&tokens)];
    let options = ConditioningOptions::default();
    let result = Conditioning::new_with_progress(&adapter(false), &host(), &inputs, &options, &mut callback);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(seen, [(1, 11), (2, 11), (3, 11), (4, 11)]);
}

#[test]
fn layers_and_identities_that_do_not_exist_are_named() {
    let tokens = random(&[5, CONTEXT], 90);
    let conditioning = condition(&[IdentityInput::new(&tokens)], &ConditioningOptions::default()).unwrap();
    assert_eq!(conditioning.find_layer("layer7").unwrap(), 7);
    assert_eq!(conditioning.layer_name(7).unwrap(), "layer7");
    assert!(conditioning
        .find_layer("layer70")
        .unwrap_err()
        .message()
        .contains("layer70"));
    assert!(conditioning
        .layer_name(11)
        .unwrap_err()
        .message()
        .contains("no layer 11"));
    assert!(conditioning
        .keys(0, 1, Role::Conditional)
        .unwrap_err()
        .message()
        .contains("no identity 1"));
    assert!(conditioning.values(11, 0, Role::Conditional).is_err());
}

#[test]
fn weights_that_are_no_numbers_are_found_and_their_layer_is_named() {
    let damaged = |value: f32| {
        let weights = |seed| Linear::stored(random(&[8, CONTEXT], seed), None).unwrap();
        let layer = |t: usize| match t {
            5 => AdapterLayer::new(
                weights(2 * t),
                Linear::stored((random(&[8, CONTEXT], 1) * f64::from(value)).unwrap(), None).unwrap(),
            ),
            _ => AdapterLayer::new(weights(2 * t), weights(2 * t + 1)),
        };
        Adapter::new(None, (0..11).map(layer).collect())
    };
    let tokens = random(&[3, CONTEXT], 9);
    let made = |value: f32, dtype: DType| {
        let options = ConditioningOptions::default().with_dtype(dtype);
        Conditioning::new(&damaged(value), &host(), &[IdentityInput::new(&tokens)], &options)
    };
    made(1e6, DType::F32).unwrap();
    for (value, dtype) in [(f32::NAN, DType::F32), (f32::INFINITY, DType::BF16), (1e6, DType::F16)] {
        let error = made(value, dtype).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format);
        assert!(error.to_string().contains("layer5"), "{error}");
        assert!(error.to_string().contains("values are not finite"), "{error}");
    }
}
