//! A graph while it is put together.

use super::weights::{Initialiser, Numbers};
use crate::error::{Error, Result};
use crate::tensor_file::Checkpoint;
use candle_core::Tensor;
use omniid_kernels::layers::{Outline, TensorSpec};
use std::collections::BTreeMap;

/// A tensor of a graph, by its name there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value(pub(super) String);

/// The size of an input or output along one dimension.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Dimension {
    /// Always this.
    Fixed(usize),
    /// Whatever comes, under a name.
    Free(&'static str),
}

/// An operator with what it reads and what it makes.
#[derive(Debug)]
pub(super) struct Node {
    pub operator: &'static str,
    pub inputs: Vec<String>,
    pub output: String,
    pub attributes: Vec<(&'static str, Attribute)>,
}

/// An option of an operator.
#[derive(Debug, Clone)]
pub(super) enum Attribute {
    Integer(i64),
    Integers(Vec<i64>),
}

/// An input or output, f32.
#[derive(Debug)]
pub(super) struct Port {
    pub name: &'static str,
    pub shape: Vec<Dimension>,
}

/// Networks whose weights the graph holds.
struct Part {
    prefix: &'static str,
    outline: Outline,
    checkpoint: Checkpoint,
}

/// A graph while it is put together: operators in the order in which they run, weights, inputs and outputs.
///
/// Values are written to the file as they are made; what nobody reads is not looked for.
#[derive(Default)]
pub(crate) struct Graph {
    parts: Vec<Part>,
    /// Whether matrices are stored in 16 bits.
    half: bool,
    pub(super) nodes: Vec<Node>,
    pub(super) initialisers: Vec<Initialiser>,
    /// The value of each weight and constant that is there already.
    known: BTreeMap<String, Value>,
    pub(super) inputs: Vec<Port>,
    pub(super) outputs: Vec<Port>,
}

impl Graph {
    /// An empty graph; with `half`, its matrices are stored as f16 and widened where they are read.
    pub fn new(half: bool) -> Self {
        Self {
            half,
            ..Self::default()
        }
    }

    /// From now on the tensors of `outline` are weights, which lie in `checkpoint` and are called `{prefix}.{name}` in
    /// the graph.
    pub fn add_part(&mut self, prefix: &'static str, outline: Outline, checkpoint: Checkpoint) {
        self.parts.push(Part {
            prefix,
            outline,
            checkpoint,
        });
    }

    /// An input of the graph.
    pub fn input(&mut self, name: &'static str, shape: &[Dimension]) -> Value {
        self.inputs.push(Port {
            name,
            shape: shape.to_vec(),
        });
        Value(name.to_string())
    }

    /// Makes `value`, which some operator has made and nobody reads, an output.
    pub fn output(&mut self, name: &'static str, shape: &[Dimension], value: &Value) {
        self.outputs.push(Port {
            name,
            shape: shape.to_vec(),
        });
        if let Some(node) = self.nodes.iter_mut().find(|node| node.output == value.0) {
            node.output = name.to_string();
        }
    }

    /// What `operator` makes of `inputs`.
    pub(super) fn node(
        &mut self,
        operator: &'static str,
        inputs: &[&Value],
        attributes: &[(&'static str, Attribute)],
    ) -> Value {
        // Names only have to differ; the operator makes them readable.
        let output = format!("{}.{}", operator, self.nodes.len());
        self.nodes.push(Node {
            operator,
            inputs: inputs.iter().map(|value| value.0.clone()).collect(),
            output: output.clone(),
            attributes: attributes.to_vec(),
        });
        Value(output)
    }

    /// A number.
    pub(super) fn number(&mut self, number: f32) -> Value {
        self.initialiser(format!("number.{number:e}"), Vec::new(), Numbers::Float(number))
    }

    /// Whole numbers, as a list.
    pub(super) fn integers(&mut self, numbers: &[i64]) -> Value {
        let text = numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        let numbers = numbers.to_vec();
        self.initialiser(
            format!("integers.{text}"),
            vec![numbers.len()],
            Numbers::Integers(numbers),
        )
    }

    fn initialiser(&mut self, name: String, shape: Vec<usize>, numbers: Numbers) -> Value {
        let value = Value(name.clone());
        if self.known.insert(name.clone(), value.clone()).is_none() {
            self.initialisers.push(Initialiser { name, shape, numbers });
        }
        value
    }

    /// A tensor of a network in the shape that its checkpoint has it in.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) when the checkpoint lacks it or has it in another shape.
    pub fn parameter(&mut self, tensor: &Tensor) -> Result<Value> {
        self.weight(tensor, false)
    }

    /// [`Graph::parameter`]; with `transposed`, a matrix `[output, input]` as `[input, output]`, the way in which
    /// MatMul reads it.
    pub(super) fn weight(&mut self, tensor: &Tensor, transposed: bool) -> Result<Value> {
        let found = self
            .parts
            .iter()
            .find_map(|part| Some((part, part.outline.spec(tensor)?)));
        let (part, spec) = found.ok_or_else(|| Error::internal("a graph needs a tensor that no network asked for"))?;
        let name = format!("{}.{}", part.prefix, spec.name);
        if let Some(value) = self.known.get(&name) {
            return Ok(value.clone());
        }
        check(&part.checkpoint, spec)?;
        let shape = match (transposed, spec.shape.as_slice()) {
            (true, &[output, input]) => vec![input, output],
            (true, shape) => {
                return Err(Error::internal(format!(
                    "a linear layer with a weight of shape {shape:?}"
                )))
            }
            (false, shape) => shape.to_vec(),
        };
        // Vectors, such as biases and norms, take no place worth saving.
        let half = self.half && spec.shape.len() > 1;
        let numbers = Numbers::Stored {
            checkpoint: part.checkpoint.clone(),
            spec: spec.clone(),
            transposed,
            half,
        };
        if !half {
            return Ok(self.initialiser(name, shape, numbers));
        }
        let narrow = self.initialiser(format!("{name}.f16"), shape, numbers);
        let wide = self.node(
            "Cast",
            &[&narrow],
            &[("to", Attribute::Integer(super::protobuf::FLOAT))],
        );
        self.known.insert(name, wide.clone());
        Ok(wide)
    }
}

/// A tensor must lie in its checkpoint as the network needs it.
fn check(checkpoint: &Checkpoint, spec: &TensorSpec) -> Result<()> {
    let found = checkpoint.require(&spec.name)?;
    if found.shape == spec.shape {
        return Ok(());
    }
    Err(Error::format(format!(
        "{}: tensor {:?} has shape {:?}, the model needs {:?}",
        checkpoint.label(),
        spec.name,
        found.shape,
        spec.shape
    )))
}
