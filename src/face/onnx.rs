//! Weights out of the ONNX file that YuNet's authors publish.
//!
//! Only the protobuf fields that lead to the weights are declared (field numbers: `onnx.proto3` of the ONNX project);
//! the graph itself is known. 1×1 convolutions keep their parameter names in the file. The depthwise convolution that
//! follows has lost its name wherever batch norm was folded into it, so it is found through the graph: it consumes the
//! output of its 1×1 convolution.

use super::network::{expected_tensors, unit_names};
use crate::error::{Error, Result};
use candle_core::{Device, Tensor};
use prost::Message;
use std::collections::HashMap;

/// `TensorProto.DataType.FLOAT`.
const FLOAT: i32 = 1;

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Initializer>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
}

#[derive(Clone, PartialEq, Message)]
struct Initializer {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(float, repeated, tag = "4")]
    float_data: Vec<f32>,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

/// A convolution's tensors.
struct Convolution<'a> {
    input: &'a str,
    output: &'a str,
    weight: &'a str,
    bias: &'a str,
}

/// Reads the weights under the names of [`expected_tensors`].
///
/// # Errors
/// [`Format`](crate::ErrorKind::Format) when the bytes are no ONNX file or not YuNet's.
pub(super) fn read(bytes: &[u8]) -> Result<HashMap<String, Tensor>> {
    let not_yunet =
        |why: String| Error::format(format!("not a YuNet face detector (safetensors or ONNX): {why}"));
    let model = Model::decode(bytes).map_err(|error| not_yunet(error.to_string()))?;
    let graph = model
        .graph
        .ok_or_else(|| not_yunet("the ONNX file has no graph".to_owned()))?;
    let weights: HashMap<&str, &Initializer> = graph
        .initializer
        .iter()
        .map(|tensor| (tensor.name.as_str(), tensor))
        .collect();
    let convolutions: Vec<Convolution> = graph.node.iter().filter_map(convolution).collect();
    let by_weight: HashMap<&str, &Convolution> =
        convolutions.iter().map(|conv| (conv.weight, conv)).collect();
    let by_input: HashMap<&str, &Convolution> = convolutions.iter().map(|conv| (conv.input, conv)).collect();

    let mut sources: HashMap<String, &str> = HashMap::new();
    // The stem is the first convolution of the graph, and the only one whose name is folded away without a 1×1 before.
    let stem = convolutions
        .first()
        .ok_or_else(|| not_yunet("the ONNX graph has no convolution".to_owned()))?;
    sources.insert("backbone.stem.weight".to_owned(), stem.weight);
    sources.insert("backbone.stem.bias".to_owned(), stem.bias);
    for (name, _, _) in unit_names() {
        let upstream = format!("{}.conv1.weight", upstream_name(&name));
        let missing = |what: &str| not_yunet(format!("no {what} for {name} ({upstream})"));
        let pointwise = by_weight
            .get(upstream.as_str())
            .ok_or_else(|| missing("1x1 convolution"))?;
        let depthwise = by_input
            .get(pointwise.output)
            .ok_or_else(|| missing("depthwise convolution"))?;
        sources.insert(format!("{name}.pointwise.weight"), pointwise.weight);
        sources.insert(format!("{name}.pointwise.bias"), pointwise.bias);
        sources.insert(format!("{name}.depthwise.weight"), depthwise.weight);
        sources.insert(format!("{name}.depthwise.bias"), depthwise.bias);
    }

    let mut tensors = HashMap::new();
    for (name, shape) in expected_tensors() {
        let tensor = sources
            .get(&name)
            .and_then(|source| weights.get(source))
            .ok_or_else(|| not_yunet(format!("no weights for {name}")))?;
        let values =
            values(tensor, &shape).map_err(|why| not_yunet(format!("{name} ({}): {why}", tensor.name)))?;
        tensors.insert(name, Tensor::from_vec(values, shape, &Device::Cpu)?);
    }
    Ok(tensors)
}

fn convolution(node: &Node) -> Option<Convolution<'_>> {
    let [input, weight, bias] = node.input.as_slice() else {
        return None;
    };
    let [output] = node.output.as_slice() else {
        return None;
    };
    (node.op_type == "Conv").then_some(Convolution {
        input,
        output,
        weight,
        bias,
    })
}

/// A unit's name in the training repository.
fn upstream_name(name: &str) -> String {
    if let Some((stage, unit)) = name
        .strip_prefix("backbone.stage")
        .and_then(|rest| rest.split_once('.'))
    {
        // Stage 0 is the stem and its one unit, counted as conv2; the other stages count from conv1.
        let unit = match (stage, unit) {
            ("0", _) => "conv2",
            (_, "0") => "conv1",
            _ => "conv2",
        };
        return format!("backbone.model{stage}.{unit}");
    }
    let (part, level) = name.split_at(name.len().saturating_sub(1));
    match part {
        "neck.lateral" => format!("neck.lateral_convs.{level}"),
        "head.shared" => format!("bbox_head.multi_level_share_convs.{level}.0"),
        "head.box" => format!("bbox_head.multi_level_bbox.{level}"),
        other => format!(
            "bbox_head.multi_level_{}.{level}",
            other.trim_start_matches("head.")
        ),
    }
}

/// The tensor's numbers, after checking dtype, shape and length.
fn values(tensor: &Initializer, shape: &[usize]) -> Result<Vec<f32>, String> {
    if tensor.data_type != FLOAT {
        return Err(format!(
            "data type {}, expected {FLOAT} (float)",
            tensor.data_type
        ));
    }
    let matches = tensor.dims.len() == shape.len()
        && tensor
            .dims
            .iter()
            .zip(shape)
            .all(|(&dim, &side)| usize::try_from(dim) == Ok(side));
    if !matches {
        return Err(format!("shape {:?}, expected {shape:?}", tensor.dims));
    }
    let values: Vec<f32> = if tensor.raw_data.is_empty() {
        tensor.float_data.clone()
    } else {
        tensor
            .raw_data
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect()
    };
    let count: usize = shape.iter().product();
    if values.len() != count || (!tensor.raw_data.is_empty() && tensor.raw_data.len() != count * 4) {
        return Err(format!("{} values, expected {count}", values.len()));
    }
    Ok(values)
}
