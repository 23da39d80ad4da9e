//! The graph's formula, written out over the filled buffers, against `Conditioning::inject`.

mod joint;
mod refused;

use super::*;
use crate::adapter::{Adapter, AdapterLayer, Linear};
use crate::conditioning::{
    Conditioning, ConditioningOptions, EmbedsScaling, IdentityInput, Injection, Mask, MaskMode, Role, Step, StepRange,
    WeightType,
};
use crate::error::ErrorKind;
use crate::host::{HostFamily, HostLayer, HostSpec};
use crate::inject::{InjectCall, TensorView, TensorViewMut};
use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use serde_json::{json, Value};

pub(super) const WIDTH: usize = 6;
/// Heads and width of one head of each layer.
pub(super) const LAYERS: [(usize, usize); 3] = [(2, 4), (1, 8), (2, 6)];
/// Height and width of the latent picture, and its tokens.
const LATENT: (usize, usize) = (2, 3);
pub(super) const IMAGE: usize = 6;
const BOTH: [Role; 2] = [Role::Conditional, Role::Unconditional];

pub(super) fn random(dims: &[usize], seed: usize) -> Tensor {
    let count: usize = dims.iter().product();
    let values: Vec<f32> = (0..count)
        .map(|i| (((i + seed * 131) * 7919 % 997) as f32 / 997.0) - 0.5)
        .collect();
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

fn host() -> HostSpec {
    let layer = |(index, (heads, head_dim)): (usize, (usize, usize))| HostLayer {
        key: index,
        execution: index,
        ..HostLayer::new(format!("blocks.{index}.attn2"), heads, head_dim, WIDTH)
    };
    let layers = LAYERS.into_iter().enumerate().map(layer).collect();
    HostSpec::from_layers("tiny", HostFamily::Sd15, layers).unwrap()
}

fn adapter() -> Adapter {
    let linear = |inner: usize, seed| Linear::stored(random(&[inner, WIDTH], seed), None).unwrap();
    let layer = |(index, (heads, head_dim)): (usize, (usize, usize))| {
        AdapterLayer::new(
            linear(heads * head_dim, 2 * index),
            linear(heads * head_dim, 2 * index + 1),
        )
    };
    Adapter::new(None, LAYERS.into_iter().enumerate().map(layer).collect())
}

pub(super) fn condition(inputs: &[IdentityInput<'_>], options: &ConditioningOptions) -> Conditioning {
    Conditioning::new(&adapter(), &host(), inputs, options).unwrap()
}

/// A manifest with the layers in another order than the host's.
pub(super) fn manifest() -> Value {
    let layer = |index: usize| {
        let (heads, head_dim) = LAYERS[index];
        json!({
            "name": format!("blocks.{index}.attn2"), "heads": heads, "head_dim": head_dim,
            "key": format!("k.{index}"), "value": format!("v.{index}"),
        })
    };
    let layers = [2, 0, 1].map(layer);
    json!({
        "format": "omniid-graph", "version": 1, "graph": "unet.onnx", "host": "sd15", "form": "keys_values",
        "precision": "f32", "layers": layers, "rows": null, "tokens": null, "width": null,
        "scale": "ip_scale", "mask": null, "tokens_input": null, "fingerprint": null,
    })
}

pub(super) fn with(mut manifest: Value, field: &str, value: impl Into<Value>) -> Value {
    manifest[field] = value.into();
    manifest
}

pub(super) fn graph(manifest: &Value) -> Graph {
    Graph::parse(manifest.to_string().as_bytes()).unwrap()
}

/// Every input of a graph, filled: name, shape and numbers.
pub(super) fn filled(graph: &Graph, conditioning: &Conditioning, call: &GraphCall<'_>) -> Vec<(Vec<usize>, Vec<f32>)> {
    let shapes: Vec<Vec<usize>> = graph
        .inputs()
        .iter()
        .map(|input| graph.shape(conditioning, call, &input.name).unwrap())
        .collect();
    let size = |input: &GraphInput| graph.byte_size(conditioning, call, &input.name).unwrap();
    // Everything is to be overwritten.
    let mut memory: Vec<Vec<u8>> = graph.inputs().iter().map(|input| vec![0xAB; size(input)]).collect();
    let mut buffers: Vec<GraphBuffer<'_>> = memory
        .iter_mut()
        .zip(graph.inputs().iter().zip(&shapes))
        .map(|(bytes, (input, shape))| {
            GraphBuffer::new(&input.name, bytes)
                .with_precision(graph.input_precision(input.kind))
                .with_shape(shape)
        })
        .collect();
    // The order of the buffers is the host's.
    buffers.reverse();
    graph.fill(conditioning, call, &mut buffers).unwrap();
    drop(buffers);
    let numbers = |(bytes, input): (&Vec<u8>, &GraphInput)| match graph.input_precision(input.kind) {
        Precision::F32 => bytes
            .chunks_exact(4)
            .map(|b| f32::from_ne_bytes(b.try_into().unwrap()))
            .collect(),
        Precision::F16 => bytes
            .chunks_exact(2)
            .map(|b| f16::from_ne_bytes(b.try_into().unwrap()).to_f32())
            .collect(),
        Precision::Bf16 | Precision::Int8 => bytes
            .chunks_exact(2)
            .map(|b| bf16::from_ne_bytes(b.try_into().unwrap()).to_f32())
            .collect(),
    };
    let numbers = memory.iter().zip(graph.inputs()).map(numbers);
    shapes.into_iter().zip(numbers).collect()
}

/// `scale · softmax(q Kᵀ / √d) V` of one row and head, in double precision.
fn attention(query: &[f64], keys: &[&[f32]], values: &[&[f32]], scale: f64) -> Vec<f64> {
    let dot = |key: &&[f32]| query.iter().zip(*key).map(|(q, k)| q * f64::from(*k)).sum::<f64>();
    let root = (query.len() as f64).sqrt();
    let weights: Vec<f64> = keys.iter().map(|key| (dot(key) / root).exp()).collect();
    let sum: f64 = weights.iter().sum();
    (0..query.len())
        .map(|i| {
            let value = weights
                .iter()
                .zip(values)
                .map(|(weight, value)| weight * f64::from(value[i]))
                .sum::<f64>();
            scale * value / sum
        })
        .collect()
}

/// What the graph adds in a layer of the host, `[rows, image tokens, heads, head_dim]`: a softmax for each person where
/// it has masks, which have the size of the picture or 1 × 1.
pub(super) fn added(graph: &Graph, inputs: &[(Vec<usize>, Vec<f32>)], layer: usize, query: &Tensor) -> Vec<f32> {
    let (heads, width) = LAYERS[layer];
    let query: Vec<f32> = query.flatten_all().unwrap().to_vec1().unwrap();
    let mut out = vec![0.0; query.len()];
    let place = |kind| graph.inputs().iter().position(|input| input.kind == kind);
    let name = format!("blocks.{layer}.attn2");
    let entry = graph.layers().iter().position(|entry| entry.name == name).unwrap();
    let (shape, keys) = &inputs[place(GraphInputKind::Keys(entry)).unwrap()];
    let values = &inputs[place(GraphInputKind::Values(entry)).unwrap()].1;
    let scale = place(GraphInputKind::Scale).map_or(1.0, |place| f64::from(inputs[place].1[entry]));
    let mask = place(GraphInputKind::Mask).map(|place| &inputs[place]);
    let (rows, tokens) = (shape[0], shape[2]);
    let people = mask.map_or(1, |(shape, _)| shape[1]);
    let share = tokens / people;
    for row in 0..rows {
        for (person, head) in (0..people).flat_map(|person| (0..heads).map(move |head| (person, head))) {
            let begin = ((row * heads + head) * tokens + person * share) * width;
            let [keys, values] = [keys, values]
                .map(|all| -> Vec<&[f32]> { all[begin..begin + share * width].chunks_exact(width).collect() });
            for token in 0..IMAGE {
                let factor = mask.map_or(1.0, |(shape, mask)| {
                    let size = shape[2] * shape[3];
                    mask[(row * people + person) * size + token % size]
                });
                let at = ((row * IMAGE + token) * heads + head) * width;
                let q: Vec<f64> = query[at..at + width].iter().map(|q| f64::from(*q)).collect();
                let found = attention(&q, &keys, &values, scale * f64::from(factor));
                for (out, value) in out[at..at + width].iter_mut().zip(found) {
                    *out += value as f32;
                }
            }
        }
    }
    out
}

/// What `inject` adds there.
pub(super) fn injected(conditioning: &Conditioning, call: &GraphCall<'_>, layer: usize, query: &Tensor) -> Vec<f32> {
    let values: Vec<f32> = query.flatten_all().unwrap().to_vec1().unwrap();
    let mut out = vec![0.0; values.len()];
    let shape: [usize; 4] = query.dims().try_into().unwrap();
    let call = InjectCall::new(
        layer,
        TensorView::contiguous(&values, shape).unwrap(),
        TensorViewMut::contiguous(&mut out, shape).unwrap(),
    )
    .with_roles(call.roles)
    .with_step(call.step)
    .with_latent(Some(LATENT))
    .with_scale(call.scale);
    conditioning.inject(call).unwrap();
    out
}

#[track_caller]
pub(super) fn assert_same(graph: &Graph, conditioning: &Conditioning, call: &GraphCall<'_>, tolerance: f32) {
    let inputs = filled(graph, conditioning, call);
    for (layer, (heads, head_dim)) in LAYERS.into_iter().enumerate() {
        let query = (random(&[call.roles.len(), IMAGE, heads, head_dim], 40 + layer) * 4.0).unwrap();
        let (found, expected) = (
            added(graph, &inputs, layer, &query),
            injected(conditioning, call, layer, &query),
        );
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() <= tolerance, "layer {layer}: {a} against {b}");
        }
    }
}

#[test]
fn a_graph_adds_what_inject_adds() {
    let (tokens, negative) = (random(&[6, WIDTH], 90), random(&[4, WIDTH], 91));
    let input = IdentityInput::new(&tokens)
        .with_unconditional(&negative)
        .with_scale(0.7);
    let options = ConditioningOptions::default().with_weight_type(WeightType::EaseIn);
    let conditioning = condition(&[input], &options);
    let roles = [Role::Unconditional, Role::Conditional, Role::Conditional];
    let call = GraphCall::default().with_roles(&roles).with_scale(1.5);
    let whole = graph(&manifest());
    // 6 and 4 tokens are repeated to 12.
    assert_eq!(whole.shape(&conditioning, &call, "k.0").unwrap(), [3, 2, 12, 4]);
    assert_same(&whole, &conditioning, &call, 1e-6);
    // Without an input for scales they are part of the values.
    assert_same(
        &graph(&with(manifest(), "scale", Value::Null)),
        &conditioning,
        &call,
        1e-6,
    );
    // Fixed numbers of rows and tokens.
    let fixed = with(with(manifest(), "rows", 3), "tokens", 24);
    assert_same(&graph(&fixed), &conditioning, &call, 1e-6);
    for (precision, tolerance) in [("f16", 1e-3), ("bf16", 6e-3)] {
        let half = graph(&with(manifest(), "precision", precision));
        assert_same(&half, &conditioning, &call, tolerance);
    }
}

#[test]
fn zero_tokens_become_tokens() {
    let tokens = random(&[5, WIDTH], 90);
    let options = ConditioningOptions::default().with_zero_tokens(3);
    let conditioning = condition(&[IdentityInput::new(&tokens)], &options);
    let call = GraphCall::default().with_roles(&[Role::Conditional, Role::Unconditional]);
    let graph = graph(&manifest());
    assert_eq!(graph.shape(&conditioning, &call, "v.1").unwrap(), [2, 1, 8, 8]);
    assert_same(&graph, &conditioning, &call, 1e-6);
}

#[test]
fn people_with_masks_are_a_sum() {
    let (first, second) = (random(&[6, WIDTH], 90), random(&[4, WIDTH], 91));
    let range = StepRange::Fraction { start: 0.0, end: 0.5 };
    let mask = Mask::new(2, 3, &[0.0, 0.25, 1.0, 0.5, 0.0, 1.0]).unwrap();
    let inputs = [
        IdentityInput::new(&first)
            .with_unconditional(&second)
            .with_scale(0.7)
            .with_mask(mask.clone()),
        IdentityInput::new(&second).with_scale(0.0),
        IdentityInput::new(&second).with_scale(-0.4).with_steps(range),
    ];
    let options = ConditioningOptions::default().with_mask_mode(MaskMode::Diffusers);
    let conditioning = condition(&inputs, &options);
    let masked = with(manifest(), "mask", "ip_mask");
    for fraction in [0.25, 0.75] {
        let step = Step {
            fraction: Some(fraction),
            sigma: None,
        };
        let call = GraphCall::default().with_roles(&BOTH).with_step(step).with_scale(0.9);
        let whole = graph(&masked);
        // Two of weight, 12 tokens each.
        assert_eq!(whole.shape(&conditioning, &call, "k.0").unwrap(), [2, 2, 24, 4]);
        assert_eq!(whole.shape(&conditioning, &call, "ip_mask").unwrap(), [2, 2, 2, 3]);
        assert_same(&whole, &conditioning, &call, 1e-6);
        assert_same(
            &graph(&with(masked.clone(), "scale", Value::Null)),
            &conditioning,
            &call,
            1e-6,
        );
        assert_same(&graph(&with(masked.clone(), "tokens", 48)), &conditioning, &call, 1e-6);
        assert_same(
            &graph(&with(masked.clone(), "precision", "f16")),
            &conditioning,
            &call,
            1e-3,
        );
        // One person, with a mask and a range, and one without either.
        for input in [inputs[0].clone().with_steps(range), IdentityInput::new(&first)] {
            let alone = condition(&[input], &options);
            assert_same(&whole, &alone, &call, 1e-6);
            assert_same(&graph(&with(masked.clone(), "scale", Value::Null)), &alone, &call, 1e-6);
        }
    }
    let call = GraphCall::default().with_roles(&BOTH);
    let error = graph(&manifest()).shape(&conditioning, &call, "k.0").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.remedy(), Some(crate::remedy::GRAPH_PEOPLE), "{error}");
    let error = graph(&masked).shape(&conditioning, &call.clone().with_concatenate(true), "k.0");
    assert!(error.unwrap_err().to_string().contains("softmax for each"));
    let error = graph(&with(masked.clone(), "tokens", 28)).shape(&conditioning, &call, "k.0");
    assert!(error
        .unwrap_err()
        .to_string()
        .contains("28 identity tokens, 2 people have 4 and 6"));
    // Masks that the graph cannot do justice to.
    let refused = |inputs: &[IdentityInput<'_>], mode, words: &str| {
        let options = ConditioningOptions::default().with_mask_mode(mode);
        let error = graph(&masked)
            .fill(&condition(inputs, &options), &call, &mut [])
            .unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    };
    refused(&inputs, MaskMode::ComfyUi, "mask mode \"diffusers\"");
    let other = IdentityInput::new(&first).with_mask(Mask::new(1, 2, &[0.0, 1.0]).unwrap());
    refused(&[inputs[0].clone(), other], MaskMode::Diffusers, "masks of one size");
}

#[test]
fn concatenated_people_share_one_softmax() {
    let (first, second) = (random(&[6, WIDTH], 90), random(&[4, WIDTH], 91));
    let range = StepRange::Fraction { start: 0.0, end: 0.5 };
    let inputs = [
        IdentityInput::new(&first).with_scale(0.5),
        IdentityInput::new(&second).with_scale(0.5).with_steps(range),
    ];
    let conditioning = condition(&inputs, &ConditioningOptions::default());
    // With equal scales it is one identity with the tokens of both.
    let both = Tensor::cat(&[&first, &second], 0).unwrap();
    let one = condition(
        &[IdentityInput::new(&both).with_scale(0.5)],
        &ConditioningOptions::default(),
    );
    let at = |fraction: f64| Step {
        fraction: Some(fraction),
        sigma: None,
    };
    let call = GraphCall::default()
        .with_roles(&[Role::Conditional])
        .with_step(at(0.25))
        .with_concatenate(true)
        .with_scale(1.2);
    for scale in [json!("ip_scale"), Value::Null] {
        let graph = graph(&with(manifest(), "scale", scale));
        let inputs = filled(&graph, &conditioning, &call);
        for (layer, (heads, head_dim)) in LAYERS.into_iter().enumerate() {
            let query = random(&[1, IMAGE, heads, head_dim], layer);
            let expected = injected(&one, &call, layer, &query);
            for (a, b) in added(&graph, &inputs, layer, &query).iter().zip(&expected) {
                assert!((a - b).abs() < 1e-6, "{a} against {b}");
            }
        }
        // Outside its range the second one is left out, with its tokens.
        let later = call.clone().with_step(at(0.75));
        assert_eq!(graph.shape(&conditioning, &later, "k.0").unwrap()[2], 6);
    }
    // Factors of their own are in the values.
    let inputs = [
        IdentityInput::new(&first).with_scale(0.5),
        IdentityInput::new(&second).with_scale(2.0),
    ];
    let two = condition(&inputs, &ConditioningOptions::default());
    let filled = filled(&graph(&manifest()), &two, &call);
    // The second entry is the host's first layer: the inputs are k.2, v.2, k.0, v.0, …
    let values = &filled[3].1;
    let of = |number: usize| -> Vec<Vec<f32>> {
        let values = two.values(0, number, Role::Conditional).unwrap().unwrap();
        values.narrow(1, 0, 1).unwrap().squeeze(1).unwrap().to_vec2().unwrap()
    };
    for (token, row) in of(0).iter().enumerate() {
        assert_eq!(values[token * 4], row[0] * 0.5);
    }
    for (token, row) in of(1).iter().enumerate() {
        assert_eq!(values[(6 + token) * 4], row[0] * 2.0);
    }
    assert_eq!(filled.last().unwrap().1, [1.2; 3]);
}

#[test]
fn tokens_and_scales_fill_a_graph_with_the_adapter_inside() {
    let (tokens, negative) = (random(&[6, WIDTH], 90), random(&[3, WIDTH], 91));
    let mut text = manifest();
    for layer in text["layers"].as_array_mut().unwrap() {
        layer
            .as_object_mut()
            .unwrap()
            .retain(|field, _| !["key", "value"].contains(&field.as_str()));
    }
    text = with(with(text, "form", "tokens"), "width", WIDTH);
    let graph = graph(&with(text.clone(), "tokens_input", "ip_tokens"));
    let input = IdentityInput::new(&tokens)
        .with_unconditional(&negative)
        .with_scale(0.7);
    let conditioning = condition(std::slice::from_ref(&input), &ConditioningOptions::default());
    let call = GraphCall::default().with_roles(&BOTH).with_scale(0.5);
    let inputs = filled(&graph, &conditioning, &call);
    assert_eq!(inputs[0].0, [2, 6, WIDTH]);
    let (own, other): (Vec<f32>, Vec<f32>) = (
        tokens.flatten_all().unwrap().to_vec1().unwrap(),
        negative.flatten_all().unwrap().to_vec1().unwrap(),
    );
    assert_eq!(inputs[0].1, [own, other.repeat(2)].concat());
    assert_eq!(inputs[1].1, [0.7 * 0.5; 3]);
    // What the layers do beyond a factor cannot be given as tokens.
    let refused = |inputs: &[IdentityInput<'_>], options: &ConditioningOptions, graph: &Graph| {
        let mut memory = vec![0u8; 2 * 6 * WIDTH * 4];
        let mut buffers = [GraphBuffer::new("ip_tokens", &mut memory)];
        let error = graph
            .fill(&condition(inputs, options), &call, &mut buffers)
            .unwrap_err();
        error.to_string()
    };
    let options = ConditioningOptions::default().with_embeds_scaling(EmbedsScaling::KeysAndValues);
    assert!(refused(std::slice::from_ref(&input), &options, &graph).contains("tokens"));
    let options = ConditioningOptions::default().with_zero_tokens(8);
    assert!(refused(std::slice::from_ref(&input), &options, &graph).contains("zero tokens"));
    let alone = IdentityInput::new(&tokens);
    assert!(refused(&[alone], &ConditioningOptions::default(), &graph).contains("unconditional"));
    let text = with(with(text, "tokens_input", "ip_tokens"), "scale", Value::Null);
    let bare = Graph::parse(text.to_string().as_bytes()).unwrap();
    assert!(refused(&[input], &ConditioningOptions::default(), &bare).contains("no input for scales"));
}

#[test]
fn keys_of_another_number_type_are_those_of_the_conditioning() {
    let tokens = random(&[4, WIDTH], 90);
    let options = ConditioningOptions::default().with_dtype(DType::F16);
    let conditioning = condition(&[IdentityInput::new(&tokens)], &options);
    let graph = graph(&with(manifest(), "precision", "f16"));
    let inputs = filled(&graph, &conditioning, &GraphCall::default());
    let keys = conditioning.keys(2, 0, Role::Conditional).unwrap().unwrap();
    let keys = keys.transpose(0, 1).unwrap().to_dtype(DType::F32).unwrap();
    let keys: Vec<f32> = keys.flatten_all().unwrap().to_vec1().unwrap();
    // The first entry is the host's last layer.
    assert_eq!(inputs[0].1, keys);
}
