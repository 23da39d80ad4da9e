//! Layers that attend to the image, too: normalised queries and keys, one softmax (SD3.5).

use super::*;
use crate::adapter::JointLayer;
use crate::conditioning::TimestepTokens;

const TIME: usize = 5;

fn conditioning(scales: &[(f32, usize)]) -> Conditioning {
    let linear = |inner: usize, seed| Linear::stored(random(&[inner, WIDTH], seed), None).unwrap();
    let mut layers = Vec::new();
    for (index, (heads, head_dim)) in LAYERS.into_iter().enumerate() {
        let norm = |seed| (random(&[head_dim], seed) + 1.0).unwrap();
        let bias = Some(random(&[2 * WIDTH], 60 + index));
        let mut layer = AdapterLayer::new(
            linear(heads * head_dim, 2 * index),
            linear(heads * head_dim, 2 * index + 1),
        );
        layer.joint = Some(JointLayer {
            modulation: Linear::stored(random(&[2 * WIDTH, TIME], 50 + index), bias).unwrap(),
            query_norm: norm(70 + index),
            key_norm: norm(80 + index),
            identity_key_norm: norm(90 + index),
        });
        layers.push(layer);
    }
    let layers = Adapter::new(None, layers);
    let steps: Vec<[TimestepTokens; 1]> = scales
        .iter()
        .enumerate()
        .map(|(i, (_, count))| {
            [TimestepTokens {
                tokens: random(&[*count, WIDTH], 100 + i),
                unconditional: Some(random(&[4, WIDTH], 110 + i)),
                embedding: random(&[1, TIME], 120),
            }]
        })
        .collect();
    let inputs: Vec<_> = scales
        .iter()
        .zip(&steps)
        .map(|((scale, _), steps)| {
            IdentityInput::new(&steps[0].tokens)
                .with_scale(*scale)
                .with_timesteps(&steps[..])
        })
        .collect();
    let options = ConditioningOptions::default()
        .with_timesteps(vec![500.0])
        .with_weight_type(WeightType::EaseIn);
    let table = host();
    let table = HostSpec::from_layers("tiny", HostFamily::Sd35, table.layers().to_vec()).unwrap();
    Conditioning::new(&layers, &table, &inputs, &options).unwrap()
}

/// x · weight / √(mean x² + ε).
fn normalised(x: &[f32], seed: usize) -> Vec<f32> {
    let weight: Vec<f32> = (random(&[x.len()], seed) + 1.0).unwrap().to_vec1().unwrap();
    let mean = x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32;
    x.iter()
        .zip(weight)
        .map(|(x, w)| x * w / (mean + 1e-6).sqrt())
        .collect()
}

fn sd3(people: bool) -> Graph {
    let text = with(manifest(), "host", "sd3");
    graph(&if people { with(text, "mask", "ip_mask") } else { text })
}

fn assert_same(graph: &Graph, conditioning: &Conditioning) {
    let call = GraphCall::default().with_roles(&BOTH).with_scale(0.9);
    let inputs = filled(graph, conditioning, &call);
    let place = |kind| graph.inputs().iter().position(|input| input.kind == kind);
    let masks = place(GraphInputKind::Mask).map(|place| &inputs[place].1);
    let people = masks.map_or(1, |masks| masks.len() / 2);
    for (layer, (heads, width)) in LAYERS.into_iter().enumerate() {
        let shape = [2, IMAGE, heads, width];
        let [query, keys, values] = [200, 210, 220]
            .map(|seed| -> Vec<f32> { random(&shape, seed + layer).flatten_all().unwrap().to_vec1().unwrap() });
        let mut expected = vec![0.0; query.len()];
        let view = |values| TensorView::contiguous(values, shape).unwrap();
        let output = TensorViewMut::contiguous(&mut expected, shape).unwrap();
        let inject = InjectCall::new(layer, view(&query), output)
            .with_image_keys(view(&keys))
            .with_image_values(view(&values))
            .with_roles(&BOTH)
            .with_scale(0.9);
        conditioning.inject(inject).unwrap();
        let name = format!("blocks.{layer}.attn2");
        let entry = graph.layers().iter().position(|entry| entry.name == name).unwrap();
        let [own_keys, own_values] =
            [GraphInputKind::Keys(entry), GraphInputKind::Values(entry)].map(|kind| &inputs[place(kind).unwrap()]);
        let scale = f64::from(inputs[place(GraphInputKind::Scale).unwrap()].1[entry]);
        let share = own_keys.0[2] / people;
        for (row, head) in (0..2).flat_map(|row| (0..heads).map(move |head| (row, head))) {
            let at = |token: usize| ((row * IMAGE + token) * heads + head) * width;
            let image_keys: Vec<Vec<f32>> = (0..IMAGE)
                .map(|token| normalised(&keys[at(token)..at(token) + width], 80 + layer))
                .collect();
            let image_values: Vec<Vec<f32>> = (0..IMAGE)
                .map(|token| values[at(token)..at(token) + width].to_vec())
                .collect();
            for token in 0..IMAGE {
                let q = normalised(&query[at(token)..at(token) + width], 70 + layer);
                let q: Vec<f64> = q.into_iter().map(f64::from).collect();
                let mut sum = vec![0.0; width];
                for person in 0..people {
                    let begin = ((row * heads + head) * people * share + person * share) * width;
                    let part = |all: &'_ [f32]| -> Vec<Vec<f32>> {
                        all[begin..begin + share * width]
                            .chunks(width)
                            .map(<[f32]>::to_vec)
                            .collect()
                    };
                    let (own_k, own_v) = (part(&own_keys.1), part(&own_values.1));
                    let k: Vec<&[f32]> = image_keys.iter().chain(&own_k).map(Vec::as_slice).collect();
                    let v: Vec<&[f32]> = image_values.iter().chain(&own_v).map(Vec::as_slice).collect();
                    let factor = masks.map_or(1.0, |masks| f64::from(masks[row * people + person]));
                    for (sum, x) in sum.iter_mut().zip(attention(&q, &k, &v, scale * factor)) {
                        *sum += x;
                    }
                }
                for (i, found) in sum.into_iter().enumerate() {
                    let wanted = f64::from(expected[at(token) + i]);
                    assert!((found - wanted).abs() < 2e-6, "layer {layer}: {found} against {wanted}");
                }
            }
        }
    }
}

#[test]
fn sd3_graphs_add_what_inject_adds() {
    assert_same(&sd3(false), &conditioning(&[(0.7, 4)]));
    assert_same(&sd3(true), &conditioning(&[(0.7, 4)]));
    assert_same(&sd3(true), &conditioning(&[(0.7, 4), (0.0, 4), (-0.9, 4)]));
}

#[test]
fn what_the_image_would_notice_is_refused() {
    let call = GraphCall::default().with_roles(&BOTH);
    let refused = |graph: &Graph, conditioning: &Conditioning, words: &str| {
        let error = graph.shape(conditioning, &call, "k.0").unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    };
    let one = conditioning(&[(0.7, 4)]);
    refused(&graph(&with(manifest(), "host", "custom")), &one, "in one softmax");
    refused(&sd3(false), &conditioning(&[(0.7, 2)]), "2 and 4 tokens");
    let fixed = with(with(manifest(), "host", "sd3"), "tokens", 8);
    refused(&graph(&fixed), &one, "8 identity tokens");
    let two = conditioning(&[(0.7, 4), (0.5, 4)]);
    let call = call.with_concatenate(true);
    let error = sd3(false).shape(&two, &call, "k.0").unwrap_err();
    assert!(error.to_string().contains("SD3.5"), "{error}");
}
