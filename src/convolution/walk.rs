//! Following a graph from node to node by what flows through it, whatever its nodes and weights are called.

use super::tensors::{Affine, BatchNorm};
use crate::tensor_file::onnx::{OnnxGraph, OnnxNode, OnnxTensor};
use omniid_kernels::ConvolutionShape;
use std::collections::{HashMap, HashSet};

/// The outcome of reading; the text says which node does not fit.
pub(crate) type Reading<T> = Result<T, String>;

/// A graph without the nodes that change nothing.
pub(crate) struct Walk<'a> {
    graph: &'a OnnxGraph<'a>,
    /// Values that are another one.
    same: HashMap<&'a str, &'a str>,
    /// Values that are weights, perhaps in another shape: which, and whether transposed.
    constants: HashMap<&'a str, (&'a str, bool)>,
    /// The nodes that a value goes into.
    consumers: HashMap<&'a str, Vec<usize>>,
}

/// A convolution and its number of groups.
pub(crate) struct Convolution {
    pub shape: ConvolutionShape,
    pub groups: usize,
    pub affine: Affine,
}

impl<'a> Walk<'a> {
    /// Sorts the nodes by what goes into them.
    pub fn new(graph: &'a OnnxGraph<'a>) -> Reading<Self> {
        let mut walk = Self {
            graph,
            same: HashMap::new(),
            constants: HashMap::new(),
            consumers: HashMap::new(),
        };
        // Every value is computed once and before it is used: so the way through the graph has an end.
        let mut computed: HashSet<&str> = graph.inputs.iter().copied().collect();
        for (index, node) in graph.nodes.iter().enumerate() {
            let known = |name: &str| name.is_empty() || computed.contains(name) || graph.tensor(name).is_some();
            if let Some(name) = node.inputs.iter().find(|name| !known(name)) {
                return Err(format!(
                    "{} reads {name:?}, which nothing before it computes",
                    walk.label(node)
                ));
            }
            for output in node.outputs.iter().filter(|name| !name.is_empty()) {
                if graph.tensor(output).is_some() || !computed.insert(output) {
                    return Err(format!("{} computes {output:?} again", walk.label(node)));
                }
            }
            let (Some(&input), Some(&output)) = (node.inputs.first(), node.outputs.first()) else {
                continue;
            };
            // Sides of length 1 come and go around a batch normalisation of vectors.
            let passes = matches!(
                node.operation,
                "Identity" | "Dropout" | "Cast" | "Unsqueeze" | "Squeeze"
            );
            let reshapes = matches!(node.operation, "Reshape" | "Flatten");
            if let Some((name, transposed)) = walk.constant(input) {
                let turns = node.operation == "Transpose";
                if passes || reshapes || turns {
                    walk.constants.insert(output, (name, transposed != turns));
                    continue;
                }
            } else if passes {
                let original = walk.original(input);
                walk.same.insert(output, original);
                continue;
            }
            // A shape that is asked for is part of a flattening, which is read without it.
            if node.operation != "Shape" {
                for input in &node.inputs {
                    let original = walk.original(input);
                    let consumers = walk.consumers.entry(original).or_default();
                    if consumers.last() != Some(&index) {
                        consumers.push(index);
                    }
                }
            }
        }
        Ok(walk)
    }

    fn constant(&self, name: &str) -> Option<(&'a str, bool)> {
        if let Some(found) = self.constants.get(name) {
            return Some(*found);
        }
        self.graph.tensor_name(name).map(|name| (name, false))
    }

    /// The value behind those that are the same.
    pub fn original<'b>(&self, name: &'b str) -> &'b str
    where
        'a: 'b,
    {
        self.same.get(name).copied().unwrap_or(name)
    }

    /// The value that the caller of the graph gives.
    pub fn input(&self) -> Reading<&'a str> {
        match self.graph.inputs.as_slice() {
            [input] => Ok(input),
            inputs => Err(format!("the graph has {} inputs, expected 1", inputs.len())),
        }
    }

    /// The picture that the first layer sees, and how its values come from pixels of 0 to 255 that the caller gives as
    /// they are: factor, summand, and whether the graph both shifts and scales.
    pub fn pixels(&self) -> Reading<([f32; 2], bool, &'a str)> {
        let mut value = self.input()?;
        let [mut scale, mut shift] = [1.0, 0.0];
        let (mut shifts, mut scales) = (false, false);
        while let Some(node) = self.next_if(value, &["Sub", "Add", "Mul", "Div"]) {
            let number = self.scalar(node);
            let number = number.ok_or_else(|| format!("{} has no single number", self.label(node)))?;
            match node.operation {
                "Sub" => shift -= number,
                "Add" => shift += number,
                "Mul" => (scale, shift) = (scale * number, shift * number),
                _ => (scale, shift) = (scale / number, shift / number),
            }
            shifts |= matches!(node.operation, "Sub" | "Add");
            scales |= matches!(node.operation, "Mul" | "Div");
            value = self.output(node)?;
        }
        Ok(([scale, shift], shifts && scales, value))
    }

    /// Fails unless the value is a result of the graph.
    pub fn expect_output(&self, value: &str) -> Reading<()> {
        let outputs = self.graph.outputs.iter().map(|output| self.original(output));
        match outputs.into_iter().any(|output| output == value) {
            true => Ok(()),
            false => Err(match self.consumers(value).first() {
                Some(node) => format!("the embedding goes on into {}", self.label(node)),
                None => "the last layer is no output of the graph".to_string(),
            }),
        }
    }

    /// The nodes that a value goes into.
    pub fn consumers(&self, value: &str) -> Vec<&'a OnnxNode<'a>> {
        let found = self.consumers.get(value).map(Vec::as_slice).unwrap_or_default();
        found.iter().map(|&index| &self.graph.nodes[index]).collect()
    }

    /// The one node that a value goes into, if its operator is one of `wanted`.
    pub fn next_if(&self, value: &str, wanted: &[&str]) -> Option<&'a OnnxNode<'a>> {
        match self.consumers(value).as_slice() {
            [node] if wanted.contains(&node.operation) => Some(node),
            _ => None,
        }
    }

    /// The one node that a value goes into, whose operator must be one of `wanted`.
    pub fn next(&self, value: &str, wanted: &[&str]) -> Reading<&'a OnnxNode<'a>> {
        self.next_if(value, wanted).ok_or_else(|| {
            let expected = wanted.join(" or ");
            match self.consumers(value).as_slice() {
                [] => format!("expected {expected} after {value:?}, found the end of the graph"),
                [node] => format!("expected {expected}, found {}", self.label(node)),
                [first, ..] => format!("expected {expected} alone, found a fork into {}", self.label(first)),
            }
        })
    }

    /// Number, name and operator of a node: for messages.
    pub fn label(&self, node: &OnnxNode) -> String {
        let index = self.graph.nodes.iter().position(|other| std::ptr::eq(other, node));
        format!("node {} {:?} ({})", index.unwrap_or(0), node.name, node.operation)
    }

    /// The result of a node.
    pub fn output(&self, node: &OnnxNode<'a>) -> Reading<&'a str> {
        let output = node.outputs.first();
        output
            .copied()
            .ok_or_else(|| format!("{} has no output", self.label(node)))
    }

    fn weights(&self, node: &OnnxNode, index: usize) -> Reading<(&OnnxTensor<'a>, bool)> {
        let name = node.inputs.get(index).copied().unwrap_or_default();
        let constant = self.constant(name);
        let tensor = constant.and_then(|(name, turned)| Some((self.graph.tensor(name)?, turned)));
        tensor.ok_or_else(|| {
            format!(
                "{}: input {index} ({name:?}) is no weight of the file",
                self.label(node)
            )
        })
    }

    /// The numbers of an input of a node that must be weights.
    pub fn values(&self, node: &OnnxNode, index: usize) -> Reading<Vec<f32>> {
        let (tensor, _) = self.weights(node, index)?;
        let values = tensor.values();
        values.map_err(|why| format!("{}: input {index}: {why}", self.label(node)))
    }

    /// As [`Walk::values`], of `count` values; one value stands for all.
    fn vector(&self, node: &OnnxNode, index: usize, count: usize) -> Reading<Vec<f32>> {
        let values = self.values(node, index)?;
        match values.as_slice() {
            [one] => Ok(vec![*one; count]),
            _ if values.len() == count => Ok(values),
            _ => Err(format!(
                "{}: input {index} has {} values for {count} channels",
                self.label(node),
                values.len()
            )),
        }
    }

    /// A number that a node adds to a value or multiplies it with; `None` when the other input is no single number.
    fn scalar(&self, node: &OnnxNode) -> Option<f32> {
        let values = self.values(node, 1).ok()?;
        let first = *values.first()?;
        values.iter().all(|value| *value == first).then_some(first)
    }

    /// A batch normalisation of `channels`.
    pub fn batch_norm(&self, node: &OnnxNode, channels: usize) -> Reading<BatchNorm> {
        if node.integer("training_mode", 0)? != 0 {
            return Err(format!("{} is in training mode", self.label(node)));
        }
        let epsilon = f64::from(node.float("epsilon", 1e-5)?);
        let vector = |index| self.vector(node, index, channels);
        Ok(BatchNorm::new(
            &vector(1)?,
            &vector(2)?,
            &vector(3)?,
            &vector(4)?,
            epsilon,
        ))
    }

    /// A convolution node.
    fn convolution(&self, node: &OnnxNode) -> Reading<Convolution> {
        let label = || self.label(node);
        let (tensor, _) = self.weights(node, 1)?;
        let [outputs, depth, kernel, width] = tensor.shape[..] else {
            return Err(format!(
                "{}: weights of shape {:?}, expected four sides",
                label(),
                tensor.shape
            ));
        };
        let same = |name: &str, default: i64| -> Reading<usize> {
            let values = node.integers(name)?.unwrap_or_else(|| vec![default]);
            match values.first().and_then(|&first| usize::try_from(first).ok()) {
                Some(first) if values.iter().all(|&value| value == first as i64) => Ok(first),
                _ => Err(format!("{}: {name} {values:?} are not all the same", label())),
            }
        };
        let groups = usize::try_from(node.integer("group", 1)?).unwrap_or(0);
        let padding = match node.string("auto_pad")? {
            "" | "NOTSET" => same("pads", 0)?,
            "VALID" => 0,
            other => return Err(format!("{}: padding {other}, expected numbers", label())),
        };
        let inputs = depth.checked_mul(groups).unwrap_or(0);
        let shape = ConvolutionShape {
            inputs,
            outputs,
            kernel,
            stride: same("strides", 1)?,
            padding,
        };
        if kernel != width || same("dilations", 1)? != 1 || inputs == 0 || outputs == 0 || kernel == 0 {
            return Err(format!("{}: kernel {:?} with dilation", label(), tensor.shape));
        }
        let weight = self.values(node, 1)?;
        let bias = match node.inputs.get(2).is_some_and(|name| !name.is_empty()) {
            true => Some(self.vector(node, 2, outputs)?),
            false => None,
        };
        Ok(Convolution {
            shape,
            groups,
            affine: Affine::new(tensor.shape.clone(), weight, bias),
        })
    }

    /// [`Walk::convolution_and_norm`] of the one convolution that a value goes into, which must have this kernel, stride
    /// and number of inputs, and the padding that keeps the middle.
    pub fn next_convolution(&self, value: &str, form: [usize; 2], inputs: usize) -> Reading<(Convolution, &'a str)> {
        let node = self.next(value, &["Conv"])?;
        let (convolution, value) = self.convolution_and_norm(node)?;
        self.expect(node, &convolution, form, inputs)?;
        Ok((convolution, value))
    }

    /// Fails unless the convolution at `node` has this kernel, stride and number of inputs, the padding that keeps the
    /// middle, and one group.
    pub fn expect(
        &self,
        node: &OnnxNode,
        convolution: &Convolution,
        [kernel, stride]: [usize; 2],
        inputs: usize,
    ) -> Reading<()> {
        let shape = convolution.shape;
        let fits = (shape.kernel, shape.stride, shape.padding) == (kernel, stride, kernel / 2);
        match fits && shape.inputs == inputs && convolution.groups == 1 {
            true => Ok(()),
            false => Err(format!(
                "{}: {shape:?} in {} groups, expected a {kernel} x {kernel} kernel of {inputs} channels with stride \
                 {stride}",
                self.label(node),
                convolution.groups
            )),
        }
    }

    /// The convolution at `node`, with the batch normalisation behind it if there is one, and its result.
    pub fn convolution_and_norm(&self, node: &OnnxNode<'a>) -> Reading<(Convolution, &'a str)> {
        let mut convolution = self.convolution(node)?;
        let mut value = self.output(node)?;
        if let Some(norm) = self.next_if(value, &["BatchNormalization"]) {
            convolution.affine = convolution
                .affine
                .then(&self.batch_norm(norm, convolution.shape.outputs)?);
            value = self.output(norm)?;
        }
        Ok((convolution, value))
    }

    /// What negative values of `channels` are multiplied with by the node that `value` goes into, and its result.
    pub fn slope(&self, value: &str, channels: usize) -> Reading<(Vec<f32>, &'a str)> {
        let node = self.next(value, &["PRelu"])?;
        let slope = self.vector(node, 1, channels)?;
        Ok((slope, self.output(node)?))
    }

    /// A flattening, if there is one, and the matrix `[outputs, inputs]` behind it with its bias; and the result.
    pub fn matrix(&self, mut value: &'a str) -> Reading<(Affine, &'a str)> {
        while let Some(node) = self.next_if(value, &["Flatten", "Reshape"]) {
            value = self.original(self.output(node)?);
        }
        let node = self.next(value, &["Gemm", "MatMul"])?;
        let gemm = node.operation == "Gemm";
        let (tensor, turned) = self.weights(node, 1)?;
        let [first, second] = tensor.shape[..] else {
            return Err(format!("{}: a matrix of shape {:?}", self.label(node), tensor.shape));
        };
        if gemm {
            let plain = node.integer("transA", 0)? == 0 && node.float("alpha", 1.0)? == 1.0;
            if !plain || node.float("beta", 1.0)? != 1.0 {
                return Err(format!("{} transposes its input or scales", self.label(node)));
            }
        }
        if first == 0 || second == 0 {
            return Err(format!("{}: an empty matrix", self.label(node)));
        }
        let outputs_first = (gemm && node.integer("transB", 0)? != 0) != turned;
        let mut weight = self.values(node, 1)?;
        let (outputs, inputs) = if outputs_first {
            (first, second)
        } else {
            (second, first)
        };
        if !outputs_first {
            weight = (0..outputs)
                .flat_map(|output| (0..inputs).map(move |input| input * outputs + output))
                .map(|index| weight[index])
                .collect();
        }
        let mut value = self.output(node)?;
        let mut bias = None;
        if gemm && node.inputs.get(2).is_some_and(|name| !name.is_empty()) {
            bias = Some(self.vector(node, 2, outputs)?);
        } else if let Some(add) = self.next_if(value, &["Add"]) {
            // Either input of an addition may be the weights.
            let index = usize::from(add.inputs.first().map(|name| self.original(name)) == Some(value));
            bias = Some(self.vector(add, index, outputs)?);
            value = self.output(add)?;
        }
        Ok((Affine::new(vec![outputs, inputs], weight, bias), self.original(value)))
    }
}
