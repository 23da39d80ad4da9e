use super::protobuf::{Message, Piece};
use super::{Dimension, Graph};
use crate::tensor_file::onnx::OnnxGraph;
use crate::tensor_file::Checkpoint;
use crate::{Limits, Result};
use candle_core::{Device, Tensor};
use omniid_kernels::layers::{Activation, Initial, LayerNorm, Linear, Weights};

struct Network {
    patches: Linear,
    norm: LayerNorm,
    up: Linear,
}

fn network(weights: &Weights) -> Result<Network> {
    Ok(Network {
        patches: weights.linear_from("patches", &[4, 3, 2, 2], true, Initial::fan_in(12))?,
        norm: weights.layer_norm("norm", 4, 1e-5)?,
        up: weights
            .linear("up", 4, 6, false)?
            .with_activation(Activation::QuickGelu),
    })
}

fn checkpoint(value: f32) -> Checkpoint {
    let tensor = |name: &str, shape: &[usize]| {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|i| value + i as f32 / 4.0).collect();
        (name.to_string(), Tensor::from_vec(values, shape, &Device::Cpu).unwrap())
    };
    let tensors = [
        tensor("patches.weight", &[4, 3, 2, 2]),
        tensor("patches.bias", &[4]),
        tensor("norm.weight", &[4]),
        tensor("norm.bias", &[4]),
        tensor("up.weight", &[6, 4]),
    ];
    let bytes = crate::tensor_file::safetensors_to_bytes(&tensors, &Default::default()).unwrap();
    Checkpoint::open(bytes, &Limits::default()).unwrap()
}

fn graph(half: bool, value: f32) -> Graph {
    let (network, outline) = Weights::outline(network).unwrap();
    let mut graph = Graph::new(half);
    graph.add_part("part", outline, checkpoint(value));
    let free = Dimension::Free("photos");
    let pixels = graph.input(
        "pixels",
        &[free, Dimension::Fixed(3), Dimension::Fixed(4), Dimension::Fixed(4)],
    );
    let x = graph.patches(&network.patches, 2, &pixels).unwrap();
    let x = graph.layer_norm(&network.norm, &x).unwrap();
    let x = graph.linear(&network.up, &x).unwrap();
    graph.output("tokens", &[free, Dimension::Fixed(4), Dimension::Fixed(6)], &x);
    graph
}

#[test]
fn the_reader_finds_the_weights_that_were_written() {
    for half in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (path, json) = (folder.path().join("a.onnx"), folder.path().join("a.json"));
        let graph = graph(half, 1.0);
        let mut told = Vec::new();
        let bytes = graph.save(&path, None, (&json, "{}"), &[("key", "value")], |done| {
            told.push(done);
            Ok(())
        });
        assert_eq!(bytes.unwrap(), std::fs::metadata(&path).unwrap().len());
        assert_eq!(told, (1..=graph.tensor_count()).collect::<Vec<_>>());
        assert_eq!(std::fs::read_to_string(&json).unwrap(), "{}");
        let file = std::fs::read(&path).unwrap();
        let file = OnnxGraph::read(&file).unwrap();
        assert_eq!(
            (file.inputs.as_slice(), file.outputs.as_slice()),
            (["pixels"].as_slice(), ["tokens"].as_slice())
        );
        let matrix = |name: &str| if half { format!("{name}.f16") } else { name.to_string() };
        // Transposed: the first column of the matrix is the first row of the file.
        let values = file.values(&matrix("part.up.weight"), &[4, 6]).unwrap();
        assert_eq!(values[..6], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let values = file.values(&matrix("part.patches.weight"), &[4, 3, 2, 2]).unwrap();
        assert_eq!(values[..3], [1.0, 1.25, 1.5]);
        // Biases and norms are f32 in any case.
        assert_eq!(file.values("part.norm.bias", &[4]).unwrap(), [1.0, 1.25, 1.5, 1.75]);
        let norm = file.nodes.iter().find(|node| node.operation == "ReduceMean").unwrap();
        assert_eq!(norm.integers("axes").unwrap(), Some(vec![-1]));
    }
}

#[test]
fn operators_run_in_order_and_the_output_has_its_name() {
    let graph = graph(true, 1.0);
    let mut known: Vec<&str> = graph
        .initialisers
        .iter()
        .map(|initialiser| initialiser.name.as_str())
        .collect();
    known.push("pixels");
    for node in &graph.nodes {
        for input in &node.inputs {
            assert!(known.contains(&input.as_str()), "{input} is read before it is made");
        }
        assert!(!known.contains(&node.output.as_str()), "{} is made twice", node.output);
        known.push(&node.output);
    }
    assert_eq!(graph.nodes.last().unwrap().output, "tokens");
    // 1e-5, twice 0 of a shape, 1.702: each constant is there once.
    let numbers = graph.initialisers.iter().filter(|initialiser| !initialiser.is_stored());
    assert_eq!(numbers.count(), 3);
}

#[test]
fn weights_outside_lie_where_the_graph_says() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let graph = graph(false, 1.0);
    let (path, data, json) = (at("a.onnx"), at("a.onnx.data"), at("a.json"));
    let bytes = graph.save(&path, Some(&data), (&json, "{}"), &[], |_| Ok(())).unwrap();
    let (inside, outside) = (std::fs::read(&path).unwrap(), std::fs::read(&data).unwrap());
    assert_eq!(bytes, (inside.len() + outside.len()) as u64);
    let text = String::from_utf8_lossy(&inside);
    assert!(text.contains("a.onnx.data") && text.contains("offset"), "{text}");
    // 48, 4, 4, 4 and 24 numbers, each beginning at a multiple of 64 bytes.
    assert_eq!(outside.len(), 192 + 64 * 3 + 96);
    assert_eq!(outside[192..196], 1f32.to_le_bytes());
    assert_eq!(outside[192 + 16..192 + 64], [0; 48]);
}

#[test]
fn after_an_error_there_is_no_file() {
    for (value, half, text) in [(f32::NAN, false, "up.weight"), (1e6, true, "has no place in f16")] {
        for outside in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let at = |name: &str| folder.path().join(name);
            let data = at("a.data");
            let graph = graph(half, value);
            let data = outside.then_some(data.as_path());
            let error = graph.save(&at("a.onnx"), data, (&at("a.json"), "{}"), &[], |_| Ok(()));
            let error = error.unwrap_err();
            assert!(
                error.message().contains(text) || error.message().contains("weight"),
                "{error}"
            );
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}

#[test]
fn a_message_is_written_as_the_format_has_it() {
    let mut inner = Message::default();
    inner.text(1, "ab");
    inner.data(2, 7, 300);
    let mut outer = Message::default();
    outer.integer(1, -1);
    outer.message(15, inner);
    let mut head = vec![0x08];
    head.extend([0xff; 9]);
    // Minus one has ten bytes; the message 4 + 3 + 300.
    head.extend([0x01, 0x7a, 0xb3, 0x02, 0x0a, 2, b'a', b'b', 0x12, 0xac, 0x02]);
    assert_eq!(outer.len(), head.len() + 300);
    assert_eq!(outer.pieces(), [Piece::Bytes(head), Piece::Data(7)]);
}
