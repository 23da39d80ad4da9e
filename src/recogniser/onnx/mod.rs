//! Face recognition networks out of ONNX files.
//!
//! Files of one network differ: batch normalisations are folded or not, weights have names or numbers, pixels are scaled
//! inside the graph or before it. So the graph is followed from its input to its output, and the weights are taken from
//! the nodes on the way.

mod mobile;
mod residual;

use super::config::{RecogniserConfig, LAST_SIDE};
use crate::convolution::{Reading, Tensors, Walk};
use crate::error::{Error, Result};
use crate::remedy;
use crate::tensor_file::onnx::OnnxGraph;
use crate::tensor_file::Checkpoint;

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
    let ([mut scale, mut shift], as_they_are, value) = walk.pixels()?;
    // The rule of insightface (`arcface_onnx.py`): a graph that subtracts and multiplies first takes pixels as they are;
    // every other takes (pixel − 127.5) / 127.5.
    if !as_they_are {
        (scale, shift) = (scale / 127.5, shift - scale);
    }
    let (stem, value) = walk.next_convolution(value, [3, 1], 3)?;
    let width = stem.shape.outputs;
    let (slope, value) = walk.slope(value, width)?;
    let mut config = match walk.consumers(value).len() {
        // A depthwise convolution alone.
        1 => mobile::read(walk, value, width, tensors)?,
        // A residual block and its shortcut.
        _ => residual::read(walk, value, width, tensors)?,
    };
    push(tensors.affine("stem", stem.affine))?;
    push(tensors.vector("stem.slope", slope))?;
    [config.pixel_scale, config.pixel_shift] = [scale, shift];
    Ok(config)
}

/// The last layers: batch normalisation, matrix, batch normalisation. The number of values of an embedding.
fn output<'a>(walk: &Walk<'a>, mut value: &'a str, width: usize, tensors: &mut Tensors) -> Reading<usize> {
    let norm = match walk.next_if(value, &["BatchNormalization"]) {
        Some(node) => {
            value = walk.output(node)?;
            Some(walk.batch_norm(node, width)?)
        }
        None => None,
    };
    let (mut matrix, mut value) = walk.matrix(walk.original(value))?;
    let (dimension, inputs) = (matrix.shape[0], matrix.shape[1]);
    let expected = width * LAST_SIDE * LAST_SIDE;
    if inputs != expected {
        return Err(format!(
            "the last matrix has {inputs} columns, expected {expected} for {width} channels of {LAST_SIDE} x {LAST_SIDE}"
        ));
    }
    if let Some(norm) = norm {
        matrix = matrix.after(&norm);
    }
    if let Some(node) = walk.next_if(value, &["BatchNormalization"]) {
        matrix = matrix.then(&walk.batch_norm(node, dimension)?);
        value = walk.original(walk.output(node)?);
    }
    walk.expect_output(value)?;
    push(tensors.affine("output", matrix))?;
    Ok(dimension)
}

fn push(outcome: Result<()>) -> Reading<()> {
    outcome.map_err(|error| error.message().to_string())
}
