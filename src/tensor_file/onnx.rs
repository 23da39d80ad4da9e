//! Weights out of ONNX files.
//!
//! Only the protobuf fields that lead to the weights are declared (field numbers: `onnx.proto3` of the ONNX project). A
//! graph loses the names of parameters wherever a batch norm was folded into a convolution; those are found through the
//! graph, so convolutions keep the names of what goes in and out.

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

/// A convolution with a bias, by the names in the graph.
pub(crate) struct Convolution {
    /// What goes in.
    pub input: String,
    /// What comes out.
    pub output: String,
    /// The kernel.
    pub weight: String,
    /// The bias.
    pub bias: String,
}

/// The weights of a graph and its convolutions in their order.
pub(crate) struct OnnxWeights {
    tensors: HashMap<String, Initializer>,
    pub convolutions: Vec<Convolution>,
}

impl OnnxWeights {
    /// Reads the content of a file.
    ///
    /// # Errors
    /// A text that says why it is no ONNX file.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let model = Model::decode(bytes).map_err(|error| error.to_string())?;
        let graph = model.graph.ok_or("the ONNX file has no graph")?;
        Ok(Self {
            convolutions: graph.node.iter().filter_map(convolution).collect(),
            tensors: graph
                .initializer
                .into_iter()
                .map(|tensor| (tensor.name.clone(), tensor))
                .collect(),
        })
    }

    /// The numbers of an f32 tensor of shape `shape`, row by row.
    ///
    /// # Errors
    /// A text that says what is missing or different.
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        values(self.tensors.get(name).ok_or("no such weights")?, shape)
    }
}

fn convolution(node: &Node) -> Option<Convolution> {
    let [input, weight, bias] = node.input.as_slice() else {
        return None;
    };
    let [output] = node.output.as_slice() else {
        return None;
    };
    (node.op_type == "Conv").then_some(Convolution {
        input: input.clone(),
        output: output.clone(),
        weight: weight.clone(),
        bias: bias.clone(),
    })
}

/// The tensor's numbers, after checking dtype, shape and length.
fn values(tensor: &Initializer, shape: &[usize]) -> Result<Vec<f32>, String> {
    if tensor.data_type != FLOAT {
        return Err(format!("data type {}, expected {FLOAT} (float)", tensor.data_type));
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
