//! Graphs and weights out of ONNX files.
//!
//! Only the fields that lead to nodes and weights are read (field numbers: `onnx.proto3` of the ONNX project). Texts and
//! numbers stay where they lie in the file, and there are limits on their counts, so that a file takes little more
//! memory than its own length.

mod protobuf;
mod tensor;

use protobuf::{fields, Value};
use std::collections::HashMap;
pub(crate) use tensor::OnnxTensor;

/// Most nodes of a graph; published face networks have a few hundred.
const MOST_NODES: usize = 1 << 16;

/// Most tensors with weights.
const MOST_TENSORS: usize = 1 << 16;

/// Most inputs, outputs and attributes of a node, each.
const MOST_PARTS: usize = 256;

/// One operation of a graph.
#[derive(Debug)]
pub(crate) struct OnnxNode<'a> {
    /// A name, which may be empty.
    pub name: &'a str,
    /// The operator, such as `Conv`.
    pub operation: &'a str,
    /// Names of the values that go in; empty for an optional one that is left out.
    pub inputs: Vec<&'a str>,
    /// Names of the values that come out.
    pub outputs: Vec<&'a str>,
    /// Name and content of each attribute.
    attributes: Vec<(&'a str, &'a [u8])>,
}

/// A convolution with a bias, by the names in the graph.
pub(crate) struct Convolution<'a> {
    /// What goes in.
    pub input: &'a str,
    /// What comes out.
    pub output: &'a str,
    /// The kernel.
    pub weight: &'a str,
    /// The bias.
    pub bias: &'a str,
}

/// A graph with its weights.
#[derive(Debug)]
pub(crate) struct OnnxGraph<'a> {
    /// The operations, in an order in which they can be computed.
    pub nodes: Vec<OnnxNode<'a>>,
    /// Names of the values that the caller gives: without those that are weights.
    pub inputs: Vec<&'a str>,
    /// Names of the results.
    pub outputs: Vec<&'a str>,
    tensors: HashMap<&'a str, OnnxTensor<'a>>,
}

impl<'a> OnnxGraph<'a> {
    /// Reads the content of a file.
    ///
    /// # Errors
    /// A text that says why it is no ONNX file, or which limit it exceeds.
    pub fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut graph = None;
        for field in fields(bytes) {
            if let (7, Value::Bytes(body)) = field? {
                graph = Some(body);
            }
        }
        let mut read = Self {
            nodes: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            tensors: HashMap::new(),
        };
        for field in fields(graph.ok_or("the ONNX file has no graph")?) {
            match field? {
                (1, Value::Bytes(body)) => {
                    limit(read.nodes.len(), MOST_NODES, "nodes")?;
                    let node = OnnxNode::read(body)?;
                    if let ("Constant", [output]) = (node.operation, node.outputs.as_slice()) {
                        if let Some(tensor) = node.tensor("value")? {
                            read.add(output, tensor)?;
                            continue;
                        }
                    }
                    read.nodes.push(node);
                }
                (5, Value::Bytes(body)) => {
                    let tensor = OnnxTensor::read(body)?;
                    read.add(tensor.name, tensor)?;
                }
                (number @ (11 | 12), Value::Bytes(body)) => {
                    let names = if number == 11 {
                        &mut read.inputs
                    } else {
                        &mut read.outputs
                    };
                    limit(names.len(), MOST_TENSORS, "inputs or outputs")?;
                    for field in fields(body) {
                        if let (1, Value::Bytes(name)) = field? {
                            names.push(text(name)?);
                        }
                    }
                }
                _ => {}
            }
        }
        // Files of the first versions list the weights among the inputs.
        let tensors = &read.tensors;
        read.inputs.retain(|name| !tensors.contains_key(name));
        Ok(read)
    }

    fn add(&mut self, name: &'a str, tensor: OnnxTensor<'a>) -> Result<(), String> {
        limit(self.tensors.len(), MOST_TENSORS, "tensors")?;
        self.tensors.insert(name, tensor);
        Ok(())
    }

    /// The weights or the constant of that name.
    pub fn tensor(&self, name: &str) -> Option<&OnnxTensor<'a>> {
        self.tensors.get(name)
    }

    /// The name as it lies in the file, if it is one of weights or of a constant.
    pub fn tensor_name(&self, name: &str) -> Option<&'a str> {
        self.tensors.get_key_value(name).map(|(name, _)| *name)
    }

    /// The numbers of a floating-point tensor of shape `shape`, row by row.
    ///
    /// # Errors
    /// A text that says what is missing or different.
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        let tensor = self.tensor(name).ok_or("no such weights")?;
        if tensor.shape != shape {
            return Err(format!("shape {:?}, expected {shape:?}", tensor.shape));
        }
        tensor.values()
    }

    /// The convolutions with a bias, in their order.
    pub fn convolutions(&self) -> Vec<Convolution<'a>> {
        let convolution = |node: &OnnxNode<'a>| match (node.operation, &node.inputs[..], &node.outputs[..]) {
            ("Conv", &[input, weight, bias], &[output]) => Some(Convolution {
                input,
                output,
                weight,
                bias,
            }),
            _ => None,
        };
        self.nodes.iter().filter_map(convolution).collect()
    }
}

impl<'a> OnnxNode<'a> {
    fn read(body: &'a [u8]) -> Result<Self, String> {
        let mut node = Self {
            name: "",
            operation: "",
            inputs: Vec::new(),
            outputs: Vec::new(),
            attributes: Vec::new(),
        };
        for field in fields(body) {
            let (number, Value::Bytes(bytes)) = field? else {
                continue;
            };
            match number {
                1 | 2 => {
                    let names = if number == 1 {
                        &mut node.inputs
                    } else {
                        &mut node.outputs
                    };
                    limit(names.len(), MOST_PARTS, "inputs or outputs of a node")?;
                    names.push(text(bytes)?);
                }
                3 => node.name = text(bytes)?,
                4 => node.operation = text(bytes)?,
                5 => {
                    limit(node.attributes.len(), MOST_PARTS, "attributes of a node")?;
                    let mut name = "";
                    for field in fields(bytes) {
                        if let (1, Value::Bytes(bytes)) = field? {
                            name = text(bytes)?;
                        }
                    }
                    node.attributes.push((name, bytes));
                }
                _ => {}
            }
        }
        Ok(node)
    }

    fn attribute(&self, name: &str) -> Option<&'a [u8]> {
        let found = self.attributes.iter().find(|(known, _)| *known == name);
        found.map(|(_, body)| *body)
    }

    /// The real number of an attribute, or what it is when it is left out.
    ///
    /// # Errors
    /// A text for content that is no attribute.
    pub fn float(&self, name: &str, default: f32) -> Result<f32, String> {
        let mut value = default;
        for field in fields(self.attribute(name).unwrap_or_default()) {
            if let (2, Value::Fixed32(bits)) = field? {
                value = f32::from_bits(bits);
            }
        }
        Ok(value)
    }

    /// The whole number of an attribute, or what it is when it is left out.
    ///
    /// # Errors
    /// As [`OnnxNode::float`].
    pub fn integer(&self, name: &str, default: i64) -> Result<i64, String> {
        let mut value = default;
        for field in fields(self.attribute(name).unwrap_or_default()) {
            if let (3, Value::Varint(bits)) = field? {
                value = bits as i64;
            }
        }
        Ok(value)
    }

    /// The whole numbers of an attribute; `None` when it is left out.
    ///
    /// # Errors
    /// As [`OnnxNode::float`]; more than a few.
    pub fn integers(&self, name: &str) -> Result<Option<Vec<i64>>, String> {
        let Some(body) = self.attribute(name) else {
            return Ok(None);
        };
        let mut values = Vec::new();
        for field in fields(body) {
            match field? {
                (8, Value::Varint(bits)) => values.push(bits as i64),
                (8, Value::Bytes(packed)) => protobuf::packed_varints(packed, MOST_PARTS, &mut values)?,
                _ => continue,
            }
            limit(values.len(), MOST_PARTS, "numbers of an attribute")?;
        }
        Ok(Some(values))
    }

    /// The text of an attribute; empty when it is left out.
    ///
    /// # Errors
    /// As [`OnnxNode::float`].
    pub fn string(&self, name: &str) -> Result<&'a str, String> {
        let mut value = "";
        for field in fields(self.attribute(name).unwrap_or_default()) {
            if let (4, Value::Bytes(bytes)) = field? {
                value = text(bytes)?;
            }
        }
        Ok(value)
    }

    /// The tensor of an attribute; `None` when there is none.
    fn tensor(&self, name: &str) -> Result<Option<OnnxTensor<'a>>, String> {
        for field in fields(self.attribute(name).unwrap_or_default()) {
            if let (5, Value::Bytes(body)) = field? {
                return OnnxTensor::read(body).map(Some);
            }
        }
        Ok(None)
    }
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "a name in the ONNX file is no UTF-8".to_string())
}

fn limit(count: usize, most: usize, what: &str) -> Result<(), String> {
    match count < most {
        true => Ok(()),
        false => Err(format!("the ONNX file has more than {most} {what}")),
    }
}

#[cfg(test)]
mod tests;
