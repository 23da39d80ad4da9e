//! Against the formula in f64, on a small host of two places, with one token set and with two.

use super::*;
use crate::adapter::{Adapter, AdapterLayout};
use crate::conditioning::{ConditioningOptions, IdentityInput, Mask, MaskMode};
use crate::error::ErrorKind;
use crate::host::HostSpec;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use half::bf16;
use std::collections::HashMap;

const HIDDEN: usize = 20;
const CONTEXT: usize = 12;
const HEADS: usize = 3;
const HEAD_DIM: usize = 8;
const INNER: usize = HEADS * HEAD_DIM;
/// Batch, image tokens (a latent of 6 × 50, more than one block), hidden.
const SHAPE: [usize; 3] = [2, 300, HIDDEN];
const COUNT: usize = 2 * 300 * HIDDEN;
const LATENT: Option<(usize, usize)> = Some((6, 50));

fn noise(count: usize, seed: usize) -> Vec<f32> {
    let value = |i: usize| ((i * 7919 + seed * 104_729) % 9973) as f32 / 9973.0 - 0.5;
    (0..count).map(value).collect()
}

fn host() -> HostSpec {
    let layer = |i: usize| HostLayer::new(format!("block{i}"), HEADS, HEAD_DIM, CONTEXT);
    HostSpec::custom("small", (0..2).map(layer).collect()).unwrap()
}

/// Public names and shapes of one layer.
fn layer_tensors(prefix: &str, seed: usize) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let shapes: [(&str, &[usize]); 7] = [
        ("norm1.weight", &[CONTEXT]),
        ("norm1.bias", &[CONTEXT]),
        ("norm2.weight", &[HIDDEN]),
        ("norm2.bias", &[HIDDEN]),
        ("to_q.weight", &[INNER, HIDDEN]),
        ("to_kv.weight", &[2 * INNER, CONTEXT]),
        ("to_out.weight", &[HIDDEN, INNER]),
    ];
    let tensor = |(i, (name, shape)): (usize, (&str, &[usize]))| {
        let values = noise(shape.iter().product(), seed + i);
        (format!("{prefix}.{name}"), shape.to_vec(), values)
    };
    shapes.into_iter().enumerate().map(tensor).collect()
}

/// `prefixes` are the names of the token sets before the layer's number.
fn tensors(prefixes: &[&str]) -> HashMap<String, (Vec<usize>, Vec<f32>)> {
    let layers = prefixes.iter().enumerate().flat_map(|(set, prefix)| {
        (0..2).flat_map(move |i| layer_tensors(&format!("{prefix}.{i}"), 10 * (2 * set + i) + 1))
    });
    layers.map(|(name, shape, values)| (name, (shape, values))).collect()
}

fn adapter(prefixes: &[&str], tokens: &[usize]) -> Adapter {
    let stored = tensors(prefixes);
    let shapes = stored.iter().map(|(name, (shape, _))| (name.clone(), shape.clone()));
    let mut layout = AdapterLayout::infer(shapes.collect::<crate::tensor_file::Shapes>())
        .unwrap()
        .unwrap();
    let residual = layout.residual.as_mut().unwrap();
    assert_eq!(
        (residual.hidden, residual.token_sets.is_empty()),
        (HIDDEN, prefixes.len() == 1)
    );
    if prefixes.len() > 1 {
        assert_eq!(residual.token_sets, [8, 264]);
        residual.token_sets = tokens.to_vec();
    }
    let read = |(name, (shape, values)): (&String, &(Vec<usize>, Vec<f32>))| {
        (
            name.clone(),
            Tensor::from_slice(values, shape.as_slice(), &Device::Cpu).unwrap(),
        )
    };
    let tensors: HashMap<_, _> = stored.iter().map(read).collect();
    let weights = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    Adapter::load(&layout, &host(), weights).unwrap()
}

fn tokens(count: usize, seed: usize) -> Tensor {
    Tensor::from_vec(noise(count * CONTEXT, seed), (count, CONTEXT), &Device::Cpu).unwrap()
}

fn layer_norm(x: &[f64], weight: &[f32], bias: &[f32]) -> Vec<f64> {
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
    let affine = weight.iter().zip(bias);
    let normal = x.iter().map(|x| (x - mean) / (variance + 1e-5).sqrt());
    normal
        .zip(affine)
        .map(|(x, (w, b))| x * f64::from(*w) + f64::from(*b))
        .collect()
}

fn product(x: &[f64], weight: &[f32]) -> Vec<f64> {
    let row = |row: &[f32]| row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum();
    weight.chunks(x.len()).map(row).collect()
}

/// What layer 1 of PuLID adds to one image token, by the formula.
fn expected(tokens: &[f32], hidden: &[f32]) -> Vec<f64> {
    expected_with(&tensors(&["pulid_ca"]), "pulid_ca.1", tokens, hidden)
}

/// What one layer of a token set adds.
fn expected_with(
    all: &HashMap<String, (Vec<usize>, Vec<f32>)>,
    prefix: &str,
    tokens: &[f32],
    hidden: &[f32],
) -> Vec<f64> {
    let part = |name: &str| all[&format!("{prefix}.{name}")].1.as_slice();
    let wide = |x: &[f32]| x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
    let query = product(
        &layer_norm(&wide(hidden), part("norm2.weight"), part("norm2.bias")),
        part("to_q.weight"),
    );
    let pairs: Vec<Vec<f64>> = tokens
        .chunks(CONTEXT)
        .map(|token| {
            product(
                &layer_norm(&wide(token), part("norm1.weight"), part("norm1.bias")),
                part("to_kv.weight"),
            )
        })
        .collect();
    let mut attended = vec![0.0; INNER];
    for head in 0..HEADS {
        let columns = head * HEAD_DIM..(head + 1) * HEAD_DIM;
        let score = |pair: &Vec<f64>| {
            let dot: f64 = columns.clone().map(|c| query[c] * pair[c]).sum();
            (dot / (HEAD_DIM as f64).sqrt()).exp()
        };
        let weights: Vec<f64> = pairs.iter().map(score).collect();
        let sum: f64 = weights.iter().sum();
        for c in columns {
            let mixed: f64 = weights.iter().zip(&pairs).map(|(w, pair)| w * pair[INNER + c]).sum();
            attended[c] = mixed / sum;
        }
    }
    product(&attended, part("to_out.weight"))
}

fn condition(adapter: &Adapter, inputs: &[IdentityInput<'_>], options: &ConditioningOptions) -> Conditioning {
    Conditioning::new(adapter, &host(), inputs, options).unwrap()
}

fn worst(found: &[f32], wanted: impl Fn(usize) -> Vec<f64>) -> f64 {
    let row = |(i, row): (usize, &[f32])| {
        let wanted = wanted(i);
        let apart = row.iter().zip(wanted).map(|(a, b)| (f64::from(*a) - b).abs());
        apart.fold(0.0, f64::max)
    };
    found.chunks(HIDDEN).enumerate().map(row).fold(0.0, f64::max)
}

#[test]
fn the_hidden_state_gets_the_formula_in_place_and_elsewhere() {
    let (own, other) = (tokens(5, 3), tokens(4, 4));
    let input = IdentityInput::new(&own).with_unconditional(&other).with_scale(0.75);
    let conditioning = condition(&adapter(&["pulid_ca"], &[]), &[input], &ConditioningOptions::default());
    assert!(conditioning.is_residual());
    let hidden = noise(COUNT, 8);
    let roles = [Role::Unconditional, Role::Conditional];
    let mut output = hidden.clone();
    let view = TensorViewMut::contiguous(&mut output, SHAPE).unwrap();
    let call = ResidualCall::new(1, view).with_roles(&roles).with_scale(0.5);
    conditioning.inject_residual(call).unwrap();
    let difference = worst(&output, |row| {
        let before = &hidden[row * HIDDEN..][..HIDDEN];
        let seen = if row < 300 { &other } else { &own };
        let added = expected(&seen.flatten_all().unwrap().to_vec1().unwrap(), before);
        before
            .iter()
            .zip(added)
            .map(|(x, y)| f64::from(*x) + 0.375 * y)
            .collect()
    });
    assert!(difference < 1e-5, "{difference}");
    // The same into another tensor, which held something else.
    let mut elsewhere = noise(COUNT, 5);
    let view = TensorViewMut::contiguous(&mut elsewhere, SHAPE).unwrap();
    let source = TensorView::contiguous(&hidden, SHAPE).unwrap();
    let call = ResidualCall::new(1, view)
        .with_roles(&roles)
        .with_scale(0.5)
        .with_hidden(source);
    conditioning.inject_residual(call).unwrap();
    let before = noise(COUNT, 5);
    for i in 0..COUNT {
        assert!((elsewhere[i] - before[i] - (output[i] - hidden[i])).abs() < 1e-6, "{i}");
    }
}

#[test]
fn both_token_sets_read_the_state_before_the_call() {
    // Two photos of 2 + 3 tokens.
    let own = tokens(10, 6);
    let adapter = adapter(&["ipa_arc", "ipa_sig"], &[2, 3]);
    let hidden = noise(COUNT, 9);
    let rows: Vec<Vec<f32>> = own.to_vec2().unwrap();
    let pick = |places: &[usize]| places.iter().flat_map(|i| rows[*i].clone()).collect::<Vec<f32>>();
    let sets = [pick(&[0, 1, 5, 6]), pick(&[2, 3, 4, 7, 8, 9])];
    let all = tensors(&["ipa_arc", "ipa_sig"]);
    for (weight, factors) in [(None, [1.0, 1.0]), (Some(0.25), [0.75, 0.25]), (Some(0.0), [1.0, 0.0])] {
        let options = ConditioningOptions::default().with_siglip_weight(weight);
        let conditioning = condition(&adapter, &[IdentityInput::new(&own)], &options);
        let mut output = hidden.clone();
        let view = TensorViewMut::contiguous(&mut output, SHAPE).unwrap();
        conditioning.inject_residual(ResidualCall::new(1, view)).unwrap();
        let difference = worst(&output, |row| {
            let before = &hidden[row * HIDDEN..][..HIDDEN];
            let arc = expected_with(&all, "ipa_arc.1", &sets[0], before);
            let sig = expected_with(&all, "ipa_sig.1", &sets[1], before);
            let added = arc.iter().zip(sig).map(|(a, b)| factors[0] * a + factors[1] * b);
            before.iter().zip(added).map(|(x, y)| f64::from(*x) + y).collect()
        });
        assert!(difference < 1e-5, "{weight:?}: {difference}");
    }
    let odd = tokens(7, 6);
    let error = Conditioning::new(
        &adapter,
        &host(),
        &[IdentityInput::new(&odd)],
        &ConditioningOptions::default(),
    );
    assert!(error.unwrap_err().message().contains("7 tokens"));
}

#[test]
fn masks_people_strides_and_number_types() {
    let (first, second) = (tokens(5, 3), tokens(6, 4));
    let mut left = vec![0.0; 300];
    left.iter_mut()
        .enumerate()
        .for_each(|(i, value)| *value = if i % 50 < 20 { 1.0 } else { 0.0 });
    let right: Vec<f32> = left.iter().map(|value| 1.0 - value).collect();
    let mask = |values: &[f32]| Mask::new(6, 50, values).unwrap();
    let inputs = [
        IdentityInput::new(&first).with_mask(mask(&left)),
        IdentityInput::new(&second).with_mask(mask(&right)),
    ];
    let options = ConditioningOptions::default().with_mask_mode(MaskMode::Diffusers);
    let conditioning = condition(&adapter(&["pulid_ca"], &[]), &inputs, &options);
    // The image's part of a sequence with 4 text tokens, in bf16.
    let rows = 304;
    let stored: Vec<bf16> = noise(2 * rows * HIDDEN, 8).into_iter().map(bf16::from_f32).collect();
    let mut output = stored.clone();
    let view = TensorViewMut::new(&mut output[4 * HIDDEN..], SHAPE, [rows * HIDDEN, HIDDEN, 1]).unwrap();
    conditioning
        .inject_residual(ResidualCall::new(1, view).with_latent(LATENT))
        .unwrap();
    for (row, (before, after)) in stored.chunks(HIDDEN).zip(output.chunks(HIDDEN)).enumerate() {
        let Some(token) = (row % rows).checked_sub(4) else {
            assert_eq!(before, after, "a text token");
            continue;
        };
        let wide: Vec<f32> = before.iter().map(|x| x.to_f32()).collect();
        let seen = if token % 50 < 20 { &first } else { &second };
        let added = expected(&seen.flatten_all().unwrap().to_vec1().unwrap(), &wide);
        for ((after, before), added) in after.iter().zip(&wide).zip(added) {
            let wanted = f64::from(*before) + added;
            let apart = (f64::from(after.to_f32()) - wanted).abs();
            // Half a unit in the last of bf16's 8 bits.
            assert!(apart <= wanted.abs() / 256.0 + 1e-5, "{row}: {apart}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_written() {
    let own = tokens(5, 3);
    let input = IdentityInput::new(&own);
    let conditioning = condition(&adapter(&["pulid_ca"], &[]), &[input], &ConditioningOptions::default());
    let refused = |shape: [usize; 3], change: fn(&mut ResidualCall<'_>), spoil: Option<f32>| {
        let mut output = noise(COUNT, 8);
        if let Some(value) = spoil {
            output[301 * HIDDEN + 7] = value;
        }
        let before = output.clone();
        let view = TensorViewMut::contiguous(&mut output, shape).unwrap();
        let mut call = ResidualCall::new(1, view);
        change(&mut call);
        let result = conditioning.inject_residual(call);
        assert!(output.iter().zip(&before).all(|(a, b)| a.to_bits() == b.to_bits()));
        result
    };
    refused(SHAPE, |call| call.scale = 0.0, Some(f32::NAN)).unwrap();
    type Case = (
        [usize; 3],
        fn(&mut ResidualCall<'_>),
        Option<f32>,
        ErrorKind,
        &'static str,
    );
    let cases: [Case; 6] = [
        ([2, 30, 200], |_| {}, None, ErrorKind::Mismatch, "width 20"),
        (
            [0, 300, HIDDEN],
            |_| {},
            None,
            ErrorKind::InvalidArgument,
            "[batch, image tokens, 20]",
        ),
        (
            SHAPE,
            |call| call.layer = 2,
            None,
            ErrorKind::InvalidArgument,
            "no layer 2",
        ),
        (
            SHAPE,
            |call| call.scale = f32::INFINITY,
            None,
            ErrorKind::InvalidArgument,
            "scale",
        ),
        (
            SHAPE,
            |call| call.roles = &[Role::Conditional; 3],
            None,
            ErrorKind::InvalidArgument,
            "3 roles",
        ),
        (
            SHAPE,
            |_| {},
            Some(f32::NAN),
            ErrorKind::InvalidArgument,
            "batch row 1, token 1 (element 7)",
        ),
    ];
    for (shape, change, spoil, kind, text) in cases {
        let error = refused(shape, change, spoil).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(text), "{error}");
    }
    // The two calls are not exchangeable.
    let query = [0.0; INNER];
    let mut output = [0.0; INNER];
    let call = crate::inject::InjectCall::new(
        0,
        TensorView::contiguous(&query, [1, 1, INNER]).unwrap(),
        TensorViewMut::contiguous(&mut output, [1, 1, INNER]).unwrap(),
    );
    let error = conditioning.inject(call).unwrap_err();
    assert!(error.message().contains("residual stream"), "{error}");
}
