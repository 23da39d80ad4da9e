//! SFace out of a graph.

use super::super::config::{RecogniserConfig, STRIDES};
use super::{output, push};
use crate::convolution::{Reading, Tensors, Walk};
use crate::face_embedding::FaceArchitecture;

/// Reads the blocks behind the stem, which has `width` channels and results in `value`: a depthwise and a 1×1
/// convolution each.
pub(super) fn read<'a>(
    walk: &Walk<'a>,
    mut value: &'a str,
    mut width: usize,
    tensors: &mut Tensors,
) -> Reading<RecogniserConfig> {
    let mut widths = vec![width];
    for (block, stride) in STRIDES.into_iter().enumerate() {
        let node = walk.next(value, &["Conv"])?;
        let (depthwise, result) = walk.convolution_and_norm(node)?;
        let shape = depthwise.shape;
        let form = (shape.kernel, shape.stride, shape.padding, shape.inputs, shape.outputs);
        if form != (3, stride, 1, width, width) || depthwise.groups != width {
            return Err(format!(
                "{}: {shape:?} in {} groups, expected the 3 x 3 depthwise convolution of {width} channels with stride \
                 {stride} of SFace's block {block}",
                walk.label(node),
                depthwise.groups
            ));
        }
        let (slope, result) = walk.slope(result, width)?;
        push(tensors.affine(&format!("blocks.{block}.depthwise"), depthwise.affine))?;
        push(tensors.vector(&format!("blocks.{block}.depthwise.slope"), slope))?;
        let (pointwise, result) = walk.next_convolution(result, [1, 1], width)?;
        width = pointwise.shape.outputs;
        let (slope, result) = walk.slope(result, width)?;
        push(tensors.affine(&format!("blocks.{block}.pointwise"), pointwise.affine))?;
        push(tensors.vector(&format!("blocks.{block}.pointwise.slope"), slope))?;
        widths.push(width);
        value = result;
    }
    let dimension = output(walk, value, width, tensors)?;
    Ok(RecogniserConfig::new(FaceArchitecture::SFace, widths, dimension))
}
