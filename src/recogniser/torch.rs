//! Face recognition networks under the names of their training code, from safetensors and PyTorch files: IResNet of
//! insightface (`arcface_torch/backbones/iresnet.py`), and IR-SE50 of facexlib (`recognition/arcface_arch.py`).

use super::config::{ChannelOrder, RecogniserConfig, BLOCKS};
use crate::convolution::{Tensors, TorchReader};
use crate::error::{Error, Result};
use crate::face_embedding::FaceArchitecture;
use crate::remedy;
use crate::tensor_file::Checkpoint;

/// Reads a network and its weights, under the names of the native format.
///
/// # Errors
/// [`Format`](crate::ErrorKind::Format) when it is neither of the networks, or a tensor is missing.
pub(super) fn read(file: &Checkpoint) -> Result<(RecogniserConfig, Checkpoint)> {
    let mut reader = TorchReader {
        file,
        tensors: Tensors::default(),
    };
    let config = if file.contains("layer1.0.conv1.weight") && file.contains("features.running_mean") {
        iresnet(&mut reader)?
    } else if file.contains("body.0.res_layer.1.weight") && file.contains("input_layer.0.weight") {
        ir_se50(&mut reader)?
    } else {
        return Err(Error::format(format!(
            "{}: not a face recognition network that OmniID reads (IResNet of insightface or IR-SE50 of facexlib): \
             neither layer1.0.conv1.weight nor body.0.res_layer.1.weight is in it",
            file.label()
        ))
        .with_remedy(remedy::FACE_RECOGNISER_FILE));
    };
    config.check()?;
    Ok((config, reader.tensors.into_checkpoint()?))
}

/// The last layers: batch normalisation, matrix, batch normalisation. The number of values of an embedding.
fn output(reader: &mut TorchReader, [before, matrix, after]: [&str; 3], width: usize) -> Result<usize> {
    let before = reader.norm(before, width)?;
    let layer = reader.layer(matrix)?;
    let dimension = layer.outputs();
    let layer = layer.after(&before).then(&reader.norm(after, dimension)?);
    reader.tensors.affine("output", layer)?;
    Ok(dimension)
}

fn iresnet(reader: &mut TorchReader) -> Result<RecogniserConfig> {
    let count = |stage: usize| {
        (0..)
            .take_while(|index| reader.file.contains(&format!("layer{stage}.{index}.conv1.weight")))
            .count()
    };
    let counts = [1, 2, 3, 4].map(count);
    let found = BLOCKS.into_iter().find(|(_, blocks)| *blocks == counts);
    let (layers, _) = found.ok_or_else(|| {
        Error::format(format!(
            "{}: {counts:?} residual blocks in its stages, which no IResNet has",
            reader.file.label()
        ))
    })?;
    let mut width = reader.width("conv1.weight")?;
    let mut widths = vec![width];
    let stem = reader.normed("conv1", "bn1")?;
    reader.tensors.affine("stem", stem)?;
    let slope = reader.values("prelu.weight")?;
    reader.tensors.vector("stem.slope", slope)?;
    for (stage, count) in counts.into_iter().enumerate() {
        for index in 0..count {
            let from = format!("layer{}.{index}", stage + 1);
            let to = format!("stages.{stage}.{index}");
            let norm = reader.norm(&format!("{from}.bn1"), width)?;
            reader.tensors.norm(&format!("{to}.first"), &norm)?;
            let first = reader.normed(&format!("{from}.conv1"), &format!("{from}.bn2"))?;
            width = first.outputs();
            reader.tensors.affine(&format!("{to}.first"), first)?;
            let slope = reader.values(&format!("{from}.prelu.weight"))?;
            reader.tensors.vector(&format!("{to}.first.slope"), slope)?;
            let second = reader.normed(&format!("{from}.conv2"), &format!("{from}.bn3"))?;
            reader.tensors.affine(&format!("{to}.second"), second)?;
            if index == 0 {
                let shortcut = reader.normed(&format!("{from}.downsample.0"), &format!("{from}.downsample.1"))?;
                reader.tensors.affine(&format!("{to}.shortcut"), shortcut)?;
            }
        }
        widths.push(width);
    }
    let dimension = output(reader, ["bn2", "fc", "features"], width)?;
    Ok(RecogniserConfig::new(
        FaceArchitecture::IResNet { layers },
        widths,
        dimension,
    ))
}

fn ir_se50(reader: &mut TorchReader) -> Result<RecogniserConfig> {
    let mut config = RecogniserConfig::new(FaceArchitecture::IrSe50, Vec::new(), 0);
    let mut width = reader.width("input_layer.0.weight")?;
    config.widths.push(width);
    let stem = reader.normed("input_layer.0", "input_layer.1")?;
    reader.tensors.affine("stem", stem)?;
    let slope = reader.values("input_layer.2.weight")?;
    reader.tensors.vector("stem.slope", slope)?;
    let mut block = 0;
    for (stage, count) in config.blocks()?.into_iter().enumerate() {
        for index in 0..count {
            let (from, to) = (format!("body.{block}"), format!("stages.{stage}.{index}"));
            let part = |number: usize| format!("{from}.res_layer.{number}");
            let norm = reader.norm(&part(0), width)?;
            reader.tensors.norm(&format!("{to}.first"), &norm)?;
            let first = reader.layer(&part(1))?;
            width = first.outputs();
            reader.tensors.affine(&format!("{to}.first"), first)?;
            let slope = reader.values(&format!("{}.weight", part(2)))?;
            reader.tensors.vector(&format!("{to}.first.slope"), slope)?;
            let second = reader.normed(&part(3), &part(4))?;
            reader.tensors.affine(&format!("{to}.second"), second)?;
            for (from, to_name) in [("fc1", "reduce"), ("fc2", "expand")] {
                let layer = reader.layer(&format!("{}.{from}", part(5)))?;
                let shape = [layer.outputs(), layer.weight.len() / layer.outputs().max(1)];
                let name = format!("{to}.squeeze.{to_name}.weight");
                reader.tensors.push(&name, &shape, layer.weight)?;
            }
            let shortcut = format!("{from}.shortcut_layer");
            if reader.file.contains(&format!("{shortcut}.0.weight")) {
                let layer = reader.normed(&format!("{shortcut}.0"), &format!("{shortcut}.1"))?;
                reader.tensors.affine(&format!("{to}.shortcut"), layer)?;
            }
            block += 1;
        }
        config.widths.push(width);
    }
    config.dimension = output(reader, ["output_layer.0", "output_layer.3", "output_layer.4"], width)?;
    config.channel_order = ChannelOrder::Bgr;
    Ok(config)
}
