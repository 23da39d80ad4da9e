//! BiSeNet under the names of its training code (zllrunning's face-parsing.PyTorch, facexlib `parsing/bisenet.py`), from
//! safetensors and PyTorch files.

use super::config::{ParserConfig, BLOCKS};
use crate::convolution::{Affine, Tensors, TorchReader};
use crate::error::{Error, Result};
use crate::remedy;
use crate::tensor_file::Checkpoint;

/// Reads the network and its weights, under the names of the native format. What only serves training is left out: the
/// labels at 1/16 and 1/32.
///
/// # Errors
/// [`Format`](crate::ErrorKind::Format) when it is another network, or a tensor is missing.
pub(super) fn read(file: &Checkpoint) -> Result<(ParserConfig, Checkpoint)> {
    if !file.contains("cp.resnet.conv1.weight") || !file.contains("ffm.convblk.conv.weight") {
        return Err(Error::format(format!(
            "{}: not a face parser that OmniID reads (BiSeNet): cp.resnet.conv1.weight and ffm.convblk.conv.weight are not \
             in it",
            file.label()
        ))
        .with_remedy(remedy::FACE_PARSER_FILE));
    }
    let mut reader = TorchReader {
        file,
        tensors: Tensors::default(),
    };
    let stem = reader.normed("cp.resnet.conv1", "cp.resnet.bn1")?;
    reader.tensors.affine("stem", stem)?;
    let mut widths = [0; 4];
    for (stage, width) in widths.iter_mut().enumerate() {
        for index in 0..BLOCKS {
            let from = format!("cp.resnet.layer{}.{index}", stage + 1);
            let to = format!("stages.{stage}.{index}");
            for (number, name) in [(1, "first"), (2, "second")] {
                let layer = reader.normed(&format!("{from}.conv{number}"), &format!("{from}.bn{number}"))?;
                *width = layer.outputs();
                reader.tensors.affine(&format!("{to}.{name}"), layer)?;
            }
            let shortcut = format!("{from}.downsample");
            if file.contains(&format!("{shortcut}.0.weight")) {
                let layer = reader.normed(&format!("{shortcut}.0"), &format!("{shortcut}.1"))?;
                reader.tensors.affine(&format!("{to}.shortcut"), layer)?;
            }
        }
    }
    for scale in [32, 16] {
        let from = format!("cp.arm{scale}");
        let attention = reader.normed(&format!("{from}.conv_atten"), &format!("{from}.bn_atten"))?;
        let to = format!("refinement{scale}");
        reader.tensors.affine(&format!("{to}.attention"), attention)?;
        block(&mut reader, &format!("{from}.conv"), &format!("{to}.convolution"))?;
        block(&mut reader, &format!("cp.conv_head{scale}"), &format!("head{scale}"))?;
    }
    let context = block(&mut reader, "cp.conv_avg", "global")?;
    let fusion = block(&mut reader, "ffm.convblk", "fusion")?;
    let hidden = block(&mut reader, "conv_out.conv", "hidden")?;
    for (from, to) in [
        ("ffm.conv1", "reduce"),
        ("ffm.conv2", "expand"),
        ("conv_out.conv_out", "classes"),
    ] {
        let layer: Affine = reader.layer(from)?;
        reader.tensors.affine(to, layer)?;
    }
    let config = ParserConfig {
        widths,
        context,
        fusion,
        hidden,
    };
    config.check()?;
    Ok((config, reader.tensors.into_checkpoint()?))
}

/// A convolution and its batch normalisation, which share a prefix. The number of outputs.
fn block(reader: &mut TorchReader, from: &str, to: &str) -> Result<usize> {
    let layer = reader.normed(&format!("{from}.conv"), &format!("{from}.bn"))?;
    let outputs = layer.outputs();
    reader.tensors.affine(to, layer)?;
    Ok(outputs)
}
