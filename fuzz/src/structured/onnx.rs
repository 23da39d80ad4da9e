//! ONNX graphs: a few nodes as face networks have them, and their weights.

use crate::draft::{number, pick, Draft};
use arbitrary::Unstructured;

const OPERATORS: [&str; 10] = [
    "Conv",
    "PRelu",
    "BatchNormalization",
    "Relu",
    "Add",
    "Flatten",
    "Gemm",
    "Sub",
    "Mul",
    "Constant",
];

pub fn graph(draft: &mut Draft, input: &mut Unstructured<'_>) {
    let count = number(input, 1..=6);
    let graph = draft.part(|draft| {
        let mut value = "input".to_string();
        for index in 0..count {
            let operator = *pick(input, &OPERATORS);
            let output = format!("value{index}");
            let width = number(input, 1..=4);
            let body = draft.part(|draft| node(draft, operator, &value, index, &output));
            bytes(draft, 1, &body);
            let shape = match operator {
                "Conv" => vec![width, 3, 3, 3],
                "Gemm" => vec![width, 4],
                _ => vec![width],
            };
            for (name, shape) in [(format!("weight{index}"), shape), (format!("bias{index}"), vec![width])] {
                let raw = number(input, 0..=1) == 1;
                let body = draft.part(|draft| tensor(draft, &name, &shape, raw));
                bytes(draft, 5, &body);
            }
            value = output;
        }
        for (field, name) in [(11, "input"), (12, value.as_str())] {
            let body = draft.part(|draft| bytes(draft, 1, name.as_bytes()));
            bytes(draft, field, &body);
        }
    });
    integer(draft, 1, 8);
    bytes(draft, 7, &graph);
}

fn node(draft: &mut Draft, operator: &str, input: &str, index: usize, output: &str) {
    bytes(draft, 1, input.as_bytes());
    bytes(draft, 1, format!("weight{index}").as_bytes());
    bytes(draft, 1, format!("bias{index}").as_bytes());
    bytes(draft, 2, output.as_bytes());
    bytes(draft, 4, operator.as_bytes());
    for (name, values) in [
        ("pads", vec![1; 4]),
        ("strides", vec![1; 2]),
        ("kernel_shape", vec![3; 2]),
    ] {
        let body = draft.part(|draft| {
            bytes(draft, 1, name.as_bytes());
            for value in values {
                integer(draft, 8, value);
            }
        });
        bytes(draft, 5, &body);
    }
}

fn tensor(draft: &mut Draft, name: &str, shape: &[usize], raw: bool) {
    for side in shape {
        integer(draft, 1, *side as u64);
    }
    integer(draft, 2, 1);
    bytes(draft, 8, name.as_bytes());
    let data = [0, 0, 0x80, 0x3f].repeat(shape.iter().product());
    bytes(draft, if raw { 9 } else { 4 }, &data);
}

fn integer(draft: &mut Draft, field: u64, value: u64) {
    draft.put(varint(field << 3));
    draft.put(varint(value));
}

/// The tag and the length are fields of the draft; so are the contents when they were written as one piece.
fn bytes(draft: &mut Draft, field: u64, contents: &[u8]) {
    draft.put(varint(field << 3 | 2));
    draft.put(varint(contents.len() as u64));
    draft.put(contents);
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}
