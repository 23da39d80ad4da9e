//! Face recognition networks out of ONNX files.
//!
//! Files of one network differ: batch normalisations are folded or not, weights have names or numbers, pixels are scaled
//! inside the graph or before it. So the graph is followed from its input to its output, and the weights are taken from
//! the nodes on the way.

mod residual;
mod walk;

use super::config::RecogniserConfig;
use super::tensors::Tensors;
use crate::error::{Error, Result};
use crate::remedy;
use crate::tensor_file::onnx::OnnxGraph;
use crate::tensor_file::Checkpoint;
use walk::{Reading, Walk};

/// Reads a network and its weights, under the names of the native format.
///
/// # Errors
/// [`Format`](crate::ErrorKind::Format) when the bytes are no ONNX file, or not such a network: then the first node that
/// does not fit is named.
pub(super) fn read(bytes: &[u8]) -> Result<(RecogniserConfig, Checkpoint)> {
    let refuse = |why: String| {
        Error::format(format!(
            "not a face recognition network that OmniID reads (IResNet or SFace as ONNX): {why}"
        ))
        .with_remedy(remedy::FACE_RECOGNISER_FILE)
    };
    let graph = OnnxGraph::read(bytes).map_err(refuse)?;
    let walk = Walk::new(&graph).map_err(refuse)?;
    let mut tensors = Tensors::default();
    let config = network(&walk, &mut tensors).map_err(refuse)?;
    config.check().map_err(|error| refuse(error.message().to_string()))?;
    Ok((config, tensors.into_checkpoint()?))
}

fn network(walk: &Walk, tensors: &mut Tensors) -> Reading<RecogniserConfig> {
    let (pixels, value) = pixels(walk)?;
    let mut config = residual::read(walk, value, tensors)?;
    [config.pixel_scale, config.pixel_shift] = pixels;
    Ok(config)
}

/// How a pixel becomes a value of the first convolution, as factor and summand; and that value.
///
/// The rule of insightface (`arcface_onnx.py`): a graph that subtracts and multiplies first takes pixels as they are;
/// every other takes (pixel − 127.5) / 127.5.
fn pixels<'a>(walk: &Walk<'a>) -> Reading<([f32; 2], &'a str)> {
    let mut value = walk.input()?;
    let [mut scale, mut shift] = [1.0, 0.0];
    let (mut subtracts, mut multiplies) = (false, false);
    while let Some(node) = walk.next_if(value, &["Sub", "Add", "Mul", "Div"]) {
        let number = walk.scalar(node);
        let number = number.ok_or_else(|| format!("{} has no single number", walk.label(node)))?;
        match node.operation {
            "Sub" => shift -= number,
            "Add" => shift += number,
            "Mul" => (scale, shift) = (scale * number, shift * number),
            _ => (scale, shift) = (scale / number, shift / number),
        }
        subtracts |= matches!(node.operation, "Sub" | "Add");
        multiplies |= matches!(node.operation, "Mul" | "Div");
        value = walk.output(node)?;
    }
    if !(subtracts && multiplies) {
        (scale, shift) = (scale / 127.5, shift - scale);
    }
    Ok(([scale, shift], value))
}
