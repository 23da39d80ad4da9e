//! IResNet out of a graph.

use super::super::config::{RecogniserConfig, BLOCKS};
use super::{output, push};
use crate::convolution::{Affine, BatchNorm, Convolution, Reading, Tensors, Walk};
use crate::face_embedding::FaceArchitecture;

/// Reads the blocks behind the stem, which has `width` channels and results in `value`.
pub(super) fn read<'a>(
    walk: &Walk<'a>,
    mut value: &'a str,
    mut width: usize,
    tensors: &mut Tensors,
) -> Reading<RecogniserConfig> {
    let mut widths = vec![width];
    let mut counts: Vec<usize> = Vec::new();
    // A block begins with a fork: into its batch normalisation, and into its shortcut.
    while walk.consumers(value).len() == 2 {
        let block = block(walk, value, width)?;
        if block.stride == 2 {
            counts.push(0);
            widths.push(block.width);
        }
        let Some(count) = counts.last_mut() else {
            return Err("the first block does not halve the picture".to_string());
        };
        let name = format!("stages.{}.{count}", widths.len() - 2);
        *count += 1;
        (width, value) = (block.width, block.value);
        block.push(&name, tensors)?;
    }
    let architecture = BLOCKS.into_iter().find(|(_, blocks)| counts == blocks);
    let Some((layers, _)) = architecture else {
        let next = walk.consumers(value);
        let next = next
            .first()
            .map_or("the end of the graph".to_string(), |node| walk.label(node));
        return Err(format!(
            "residual blocks {counts:?} in its stages before {next}, expected those of an IResNet: {}",
            BLOCKS.map(|(_, blocks)| format!("{blocks:?}")).join(", ")
        ));
    };

    let dimension = output(walk, value, width, tensors)?;
    let architecture = FaceArchitecture::IResNet { layers };
    Ok(RecogniserConfig::new(architecture, widths, dimension))
}

/// The weights of a block.
struct Block<'a> {
    norm: BatchNorm,
    first: Convolution,
    slope: Vec<f32>,
    second: Convolution,
    shortcut: Option<Affine>,
    stride: usize,
    width: usize,
    /// The block's result.
    value: &'a str,
}

fn block<'a>(walk: &Walk<'a>, input: &str, width: usize) -> Reading<Block<'a>> {
    let forks = walk.consumers(input);
    let wanted = |operation: &str| forks.iter().copied().find(|node| node.operation == operation);
    let odd = || {
        let labels: Vec<String> = forks.iter().map(|node| walk.label(node)).collect();
        format!(
            "expected a residual block (BatchNormalization beside Add or Conv), found {}",
            labels.join(" and ")
        )
    };
    let node = wanted("BatchNormalization").ok_or_else(odd)?;
    let norm = walk.batch_norm(node, width)?;
    let (first, value) = walk.next_convolution(walk.original(walk.output(node)?), [3, 1], width)?;
    let outputs = first.shape.outputs;
    let (slope, value) = walk.slope(value, outputs)?;
    let node = walk.next(value, &["Conv"])?;
    let (second, value) = walk.convolution_and_norm(node)?;
    let stride = second.shape.stride;
    walk.expect(node, &second, [3, stride], outputs)?;
    if !(1..=2).contains(&stride) || second.shape.outputs != outputs {
        return Err(format!(
            "{}: {:?}, not of a residual block",
            walk.label(node),
            second.shape
        ));
    }
    let add = walk.next(value, &["Add"])?;
    let (shortcut, other) = match wanted("Conv") {
        Some(node) => {
            let (shortcut, value) = walk.convolution_and_norm(node)?;
            walk.expect(node, &shortcut, [1, stride], width)?;
            if shortcut.shape.outputs != outputs {
                return Err(format!("{}: another width than its block", walk.label(node)));
            }
            (Some(shortcut.affine), value)
        }
        None => (None, input),
    };
    if (stride == 2) != shortcut.is_some() {
        return Err(format!(
            "{}: a shortcut that does not fit the stride of {stride}",
            walk.label(node)
        ));
    }
    let joins = add
        .inputs
        .iter()
        .map(|name| walk.original(name))
        .any(|name| name == other);
    if !joins {
        return Err(format!("{} does not add the block's shortcut", walk.label(add)));
    }
    Ok(Block {
        norm,
        first,
        slope,
        second,
        shortcut,
        stride,
        width: outputs,
        value: walk.original(walk.output(add)?),
    })
}

impl Block<'_> {
    fn push(self, name: &str, tensors: &mut Tensors) -> Reading<()> {
        push(tensors.norm(&format!("{name}.first"), &self.norm))?;
        push(tensors.affine(&format!("{name}.first"), self.first.affine))?;
        push(tensors.vector(&format!("{name}.first.slope"), self.slope))?;
        push(tensors.affine(&format!("{name}.second"), self.second.affine))?;
        match self.shortcut {
            Some(shortcut) => push(tensors.affine(&format!("{name}.shortcut"), shortcut)),
            None => Ok(()),
        }
    }
}
