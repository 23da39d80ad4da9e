//! BiSeNet out of an ONNX file, by what flows through its graph.

use super::config::{ParserConfig, BLOCKS, CLASSES};
use crate::convolution::{Convolution, Reading, Tensors, Walk};
use crate::error::{Error, Result};
use crate::remedy;
use crate::tensor_file::onnx::{OnnxGraph, OnnxNode};
use crate::tensor_file::Checkpoint;

/// Operators that average a picture, and that enlarge one.
const POOLS: [&str; 3] = ["GlobalAveragePool", "AveragePool", "ReduceMean"];
const ENLARGES: [&str; 3] = ["Resize", "Upsample", "Expand"];

/// Reads the network and its weights, under the names of the native format.
///
/// # Errors
/// [`Format`](crate::ErrorKind::Format) when the bytes are no ONNX file, or not this network: then the first node that does
/// not fit is named.
pub(super) fn read(bytes: &[u8]) -> Result<(ParserConfig, Checkpoint)> {
    let refuse = |why: String| {
        Error::format(format!("not a face parser that OmniID reads (BiSeNet as ONNX): {why}"))
            .with_remedy(remedy::FACE_PARSER_FILE)
    };
    let graph = OnnxGraph::read(bytes).map_err(refuse)?;
    let walk = Walk::new(&graph).map_err(refuse)?;
    let mut reader = Reader {
        walk,
        tensors: Tensors::default(),
    };
    let config = reader.network().map_err(refuse)?;
    config.check().map_err(|error| refuse(error.message().to_string()))?;
    Ok((config, reader.tensors.into_checkpoint()?))
}

struct Reader<'a> {
    walk: Walk<'a>,
    tensors: Tensors,
}

impl<'a> Reader<'a> {
    fn push(&mut self, name: &str, convolution: Convolution) -> Reading<usize> {
        let outputs = convolution.shape.outputs;
        let outcome = self.tensors.affine(name, convolution.affine);
        outcome.map_err(|error| error.message().to_string())?;
        Ok(outputs)
    }

    /// The one node of those that a value goes into for which `wanted` holds.
    fn one_of(&self, value: &str, what: &str, wanted: impl Fn(&OnnxNode) -> bool) -> Reading<&'a OnnxNode<'a>> {
        let consumers = self.walk.consumers(value);
        let found: Vec<_> = consumers.iter().copied().filter(|node| wanted(node)).collect();
        match found.as_slice() {
            [node] => Ok(node),
            _ => Err(format!(
                "expected {what} after {value:?}, found {}",
                match consumers.first() {
                    Some(node) => self.walk.label(node),
                    None => "the end of the graph".to_string(),
                }
            )),
        }
    }

    /// The convolution of this kernel and stride that a value goes into, besides others.
    fn convolution_of(&self, value: &str, form: [usize; 2], inputs: usize) -> Reading<(Convolution, &'a str)> {
        let [kernel, stride] = form;
        let what = format!("a {kernel} x {kernel} convolution with stride {stride}");
        let node = self.one_of(value, &what, |node| {
            let sides = node.integers("kernel_shape").ok().flatten();
            let steps = node.integers("strides").ok().flatten();
            let is = |values: Option<Vec<i64>>, side: usize| {
                values.map_or(side == 1, |values| values.iter().all(|&value| value == side as i64))
            };
            node.operation == "Conv" && is(sides, kernel) && is(steps, stride)
        })?;
        let (convolution, value) = self.walk.convolution_and_norm(node)?;
        self.walk.expect(node, &convolution, form, inputs)?;
        Ok((convolution, self.walk.original(value)))
    }

    /// The result of the one node that a value goes into, which has this operator.
    fn after(&self, value: &str, operations: &[&str]) -> Reading<&'a str> {
        let output = self.walk.output(self.walk.next(value, operations)?)?;
        Ok(self.walk.original(output))
    }

    /// The result of the one node of this operator that a value goes into, besides others.
    fn after_one(&self, value: &str, operations: &[&str]) -> Reading<&'a str> {
        let wanted = |node: &OnnxNode| operations.contains(&node.operation);
        let node = self.one_of(value, &operations.join(" or "), wanted)?;
        Ok(self.walk.original(self.walk.output(node)?))
    }

    fn network(&mut self) -> Reading<ParserConfig> {
        let (_, scaled, value) = self.walk.pixels()?;
        if scaled {
            return Err("the graph scales its pixels, expected ImageNet's normalisation before it".to_string());
        }
        let (stem, value) = self.walk.next_convolution(value, [7, 2], 3)?;
        let mut width = self.push("stem", stem)?;
        let mut value = self.after(self.after(value, &["Relu"])?, &["MaxPool"])?;
        let (mut widths, mut features) = ([0; 4], [""; 4]);
        for stage in 0..4 {
            for index in 0..BLOCKS {
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                (value, width) = self.block(&format!("stages.{stage}.{index}"), value, width, stride)?;
            }
            (widths[stage], features[stage]) = (width, value);
        }
        let [_, quarter, half, whole] = features;

        let pooled = self.after_one(whole, &POOLS)?;
        let (global, value) = self.walk.next_convolution(pooled, [1, 1], width)?;
        let context = self.push("global", global)?;
        let value = self.after(self.after(value, &["Relu"])?, &ENLARGES)?;
        let sum = self.after(value, &["Add"])?;
        self.refinement("refinement32", whole, width, sum)?;
        let up = self.head("head32", sum, context)?;
        let sum = self.after_one(up, &["Add"])?;
        self.refinement("refinement16", half, widths[2], sum)?;
        let up = self.head("head16", sum, context)?;

        let node = self.one_of(up, "Concat", |node| node.operation == "Concat")?;
        let parts: Vec<&str> = node.inputs.iter().map(|name| self.walk.original(name)).collect();
        if parts != [quarter, up] {
            return Err(format!(
                "{} does not join the second stage with the context path",
                self.walk.label(node)
            ));
        }
        let joined = self.walk.original(self.walk.output(node)?);
        let (fusion, value) = self.walk.next_convolution(joined, [1, 1], widths[1] + context)?;
        let fusion = self.push("fusion", fusion)?;
        let fused = self.after(value, &["Relu"])?;
        let (reduce, value) = self
            .walk
            .next_convolution(self.after_one(fused, &POOLS)?, [1, 1], fusion)?;
        let inner = self.push("reduce", reduce)?;
        let (expand, value) = self
            .walk
            .next_convolution(self.after(value, &["Relu"])?, [1, 1], inner)?;
        self.push("expand", expand)?;
        let scaled = self.after(self.after(value, &["Sigmoid"])?, &["Mul"])?;
        let sum = self.after(scaled, &["Add"])?;
        if self.after_one(fused, &["Mul"])? != scaled || self.after_one(fused, &["Add"])? != sum {
            return Err("the joined picture is not scaled and added to itself".to_string());
        }
        let (hidden, value) = self.walk.next_convolution(sum, [3, 1], fusion)?;
        let hidden = self.push("hidden", hidden)?;
        let (classes, _) = self
            .walk
            .next_convolution(self.after(value, &["Relu"])?, [1, 1], hidden)?;
        if classes.shape.outputs != CLASSES {
            return Err(format!("{} labels, expected {CLASSES}", classes.shape.outputs));
        }
        self.push("classes", classes)?;
        Ok(ParserConfig {
            widths,
            context,
            fusion,
            hidden,
        })
    }

    /// A residual block: its result and number of channels.
    fn block(&mut self, name: &str, input: &'a str, width: usize, stride: usize) -> Reading<(&'a str, usize)> {
        let (first, value) = self.convolution_of(input, [3, stride], width)?;
        let outputs = self.push(&format!("{name}.first"), first)?;
        let (second, value) = self
            .walk
            .next_convolution(self.after(value, &["Relu"])?, [3, 1], outputs)?;
        self.push(&format!("{name}.second"), second)?;
        let sum = self.after(self.walk.original(value), &["Add"])?;
        let shortcut = if stride != 1 || width != outputs {
            let (shortcut, value) = self.convolution_of(input, [1, stride], width)?;
            self.push(&format!("{name}.shortcut"), shortcut)?;
            value
        } else {
            input
        };
        match self.after_one(shortcut, &["Add"])? == sum {
            true => Ok((self.after(sum, &["Relu"])?, outputs)),
            false => Err(format!("the shortcut of {name} is not added to its result")),
        }
    }

    /// Scaled features, which are added to others in `sum`.
    fn refinement(&mut self, name: &str, input: &str, width: usize, sum: &str) -> Reading<()> {
        let (convolution, value) = self.convolution_of(input, [3, 1], width)?;
        let outputs = self.push(&format!("{name}.convolution"), convolution)?;
        let features = self.after(value, &["Relu"])?;
        let pooled = self.after_one(features, &POOLS)?;
        let (attention, value) = self.walk.next_convolution(pooled, [1, 1], outputs)?;
        self.push(&format!("{name}.attention"), attention)?;
        let scaled = self.after(self.after(value, &["Sigmoid"])?, &["Mul"])?;
        match self.after_one(features, &["Mul"])? == scaled && self.after(scaled, &["Add"])? == sum {
            true => Ok(()),
            false => Err(format!("the features of {name} are not scaled and added")),
        }
    }

    /// A convolution of the enlarged sum.
    fn head(&mut self, name: &str, sum: &str, context: usize) -> Reading<&'a str> {
        let (head, value) = self
            .walk
            .next_convolution(self.after(sum, &ENLARGES)?, [3, 1], context)?;
        self.push(name, head)?;
        self.after(value, &["Relu"])
    }
}
