//! Graphs written byte by byte.

use super::*;

/// A field with a length.
fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        field.push(length as u8 | 0x80);
        length >>= 7;
    }
    field.push(length as u8);
    field.extend_from_slice(content);
    field
}

/// A field with a small whole number.
fn number(field: u8, value: u8) -> Vec<u8> {
    vec![field << 3, value]
}

fn tensor(name: &str, data_type: u8, shape: &[u8], data: Vec<u8>) -> Vec<u8> {
    let shape = shape.iter().map(|&side| number(1, side));
    let parts = shape.chain([number(2, data_type), bytes(8, name.as_bytes()), data]);
    parts.collect::<Vec<_>>().concat()
}

fn graph(parts: &[Vec<u8>]) -> Vec<u8> {
    bytes(7, &parts.concat())
}

fn weights(tensors: &[Vec<u8>]) -> Vec<u8> {
    graph(&tensors.iter().map(|tensor| bytes(5, tensor)).collect::<Vec<_>>())
}

#[test]
fn numbers_in_every_form() {
    let floats = [1.5f32, -2.0];
    let raw: Vec<u8> = floats.iter().flat_map(|v| v.to_le_bytes()).collect();
    let halves: Vec<u8> = floats
        .iter()
        .flat_map(|v| half::f16::from_f32(*v).to_le_bytes())
        .collect();
    let doubles: Vec<u8> = floats.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect();
    let one_by_one: Vec<u8> = floats
        .iter()
        .flat_map(|v| [vec![4 << 3 | 5], v.to_le_bytes().to_vec()].concat())
        .collect();
    // 0x3e00 and 0xc000 as whole numbers of seven bits per byte.
    let half_bits = [0x80, 0x7c, 0x80, 0x80, 0x03];
    let file = weights(&[
        tensor("raw", 1, &[2], bytes(9, &raw)),
        tensor("packed", 1, &[1, 2], bytes(4, &raw)),
        tensor("one by one", 1, &[2], one_by_one),
        tensor("half", 10, &[2], bytes(9, &halves)),
        tensor("half bits", 10, &[2], bytes(5, &half_bits)),
        tensor("double", 11, &[2], bytes(10, &doubles)),
    ]);
    let graph = OnnxGraph::read(&file).unwrap();
    for name in ["raw", "packed", "one by one", "half", "half bits", "double"] {
        assert_eq!(graph.tensor(name).unwrap().values().unwrap(), floats, "{name}");
    }
    assert_eq!(graph.values("raw", &[2]).unwrap(), floats);
    assert!(graph.values("packed", &[2]).unwrap_err().contains("[1, 2]"));
    assert!(graph.values("other", &[2]).is_err());
}

#[test]
fn what_does_not_fit_is_said() {
    let raw = 1f32.to_le_bytes();
    let external = [bytes(9, &raw), number(14, 1)].concat();
    let file = weights(&[
        tensor("short", 1, &[2], bytes(9, &raw)),
        tensor("cut", 1, &[1], bytes(9, &raw[..3])),
        tensor("whole", 7, &[1], bytes(7, &[5])),
        tensor("external", 1, &[1], external),
        tensor("huge", 1, &[127; 15], bytes(9, &raw)),
    ]);
    let graph = OnnxGraph::read(&file).unwrap();
    for (name, part) in [
        ("short", "1 values"),
        ("cut", "3 bytes"),
        ("whole", "data type 7"),
        ("external", "another file"),
        ("huge", "1 values"),
    ] {
        let error = graph.tensor(name).unwrap().values().unwrap_err();
        assert!(error.contains(part), "{name}: {error}");
    }
    let negative = [vec![1 << 3], vec![0xff; 9], vec![1]].concat();
    for damaged in [
        vec![],
        vec![7 << 3 | 2, 200],
        bytes(7, &bytes(5, &negative)),
        vec![7 << 3 | 3],
        vec![0],
        [0xff; 12].to_vec(),
        weights(&[tensor("deep", 1, &[1; 18], vec![])]),
    ] {
        assert!(OnnxGraph::read(&damaged).is_err(), "{damaged:?}");
    }
}

#[test]
fn nodes_and_their_attributes() {
    let attribute = |name: &str, content: Vec<u8>| bytes(5, &[bytes(1, name.as_bytes()), content].concat());
    let epsilon = [vec![2 << 3 | 5], 0.25f32.to_le_bytes().to_vec()].concat();
    let node = [
        bytes(1, b"x"),
        bytes(1, b""),
        bytes(2, b"y"),
        bytes(3, b"name"),
        bytes(4, b"Conv"),
        attribute("pads", bytes(8, &[1, 2, 3, 4])),
        attribute("strides", [number(8, 2), number(8, 1)].concat()),
        attribute("group", number(3, 7)),
        attribute("epsilon", epsilon),
        attribute("auto_pad", bytes(4, b"NOTSET")),
    ];
    let value = tensor("", 1, &[], bytes(9, &2f32.to_le_bytes()));
    let constant = [
        bytes(2, b"c"),
        bytes(4, b"Constant"),
        attribute("value", bytes(5, &value)),
    ];
    let file = graph(&[
        bytes(1, &node.concat()),
        bytes(1, &constant.concat()),
        bytes(11, &bytes(1, b"x")),
        bytes(11, &bytes(1, b"c")),
        bytes(12, &bytes(1, b"y")),
    ]);
    let graph = OnnxGraph::read(&file).unwrap();
    assert_eq!((&graph.inputs[..], &graph.outputs[..]), (&["x"][..], &["y"][..]));
    assert_eq!(graph.tensor("c").unwrap().values().unwrap(), [2.0]);
    let [node] = graph.nodes.as_slice() else {
        panic!("{:?}", graph.nodes)
    };
    assert_eq!((node.name, node.operation), ("name", "Conv"));
    assert_eq!(node.inputs, ["x", ""]);
    assert_eq!(node.integers("pads").unwrap(), Some(vec![1, 2, 3, 4]));
    assert_eq!(node.integers("strides").unwrap(), Some(vec![2, 1]));
    assert_eq!(node.integers("dilations").unwrap(), None);
    assert_eq!(node.integer("group", 1).unwrap(), 7);
    assert_eq!(node.integer("axis", 1).unwrap(), 1);
    assert_eq!(node.float("epsilon", 1e-5).unwrap(), 0.25);
    assert_eq!(node.string("auto_pad").unwrap(), "NOTSET");
}

#[test]
fn a_file_of_empty_messages_takes_no_memory() {
    // Two bytes each; a hundred bytes in memory.
    let file = bytes(7, &bytes(1, &[]).repeat(MOST_NODES + 1));
    assert!(OnnxGraph::read(&file).unwrap_err().contains("nodes"));
    let file = bytes(7, &bytes(1, &bytes(1, &[]).repeat(MOST_PARTS + 1)));
    assert!(OnnxGraph::read(&file).unwrap_err().contains("node"));
}
