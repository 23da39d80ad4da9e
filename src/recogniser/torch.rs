//! Face recognition networks under the names of their training code, from safetensors and PyTorch files: IResNet of
//! insightface (`arcface_torch/backbones/iresnet.py`), and IR-SE50 of facexlib (`recognition/arcface_arch.py`).

use super::config::{ChannelOrder, RecogniserConfig, BLOCKS};
use super::tensors::{Affine, BatchNorm, Tensors};
use crate::error::{Error, Result};
use crate::face_embedding::FaceArchitecture;
use crate::remedy;
use crate::tensor_file::Checkpoint;
use candle_core::{DType, Device};

/// Epsilon of every batch normalisation in both.
const EPSILON: f64 = 1e-5;

/// Reads a network and its weights, under the names of the native format.
///
/// # Errors
/// [`Format`](crate::ErrorKind::Format) when it is neither of the networks, or a tensor is missing.
pub(super) fn read(file: &Checkpoint) -> Result<(RecogniserConfig, Checkpoint)> {
    let mut reader = Reader {
        file,
        tensors: Tensors::default(),
    };
    let config = if file.contains("layer1.0.conv1.weight") && file.contains("features.running_mean") {
        reader.iresnet()?
    } else if file.contains("body.0.res_layer.1.weight") && file.contains("input_layer.0.weight") {
        reader.ir_se50()?
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

struct Reader<'a> {
    file: &'a Checkpoint,
    tensors: Tensors,
}

impl Reader<'_> {
    fn values(&self, name: &str) -> Result<Vec<f32>> {
        let tensor = self.file.tensor(name, DType::F32, &Device::Cpu)?;
        Ok(tensor.flatten_all()?.to_vec1()?)
    }

    /// The first side of a tensor.
    fn width(&self, name: &str) -> Result<usize> {
        let shape = self.file.shape(name);
        shape.and_then(|shape| shape.first().copied()).ok_or_else(|| {
            Error::format(format!(
                "{}: tensor {name:?} is missing or has no dimensions",
                self.file.label()
            ))
        })
    }

    /// A batch normalisation of `channels`.
    fn norm(&self, name: &str, channels: usize) -> Result<BatchNorm> {
        let vector = |part: &str| {
            let name = format!("{name}.{part}");
            let values = self.values(&name)?;
            match values.len() == channels {
                true => Ok(values),
                false => Err(Error::format(format!(
                    "{}: tensor {name:?} has {} values for {channels} channels",
                    self.file.label(),
                    values.len()
                ))),
            }
        };
        let (weight, bias) = (vector("weight")?, vector("bias")?);
        let (mean, variance) = (vector("running_mean")?, vector("running_var")?);
        Ok(BatchNorm::new(&weight, &bias, &mean, &variance, EPSILON))
    }

    /// A layer with its bias, if it has one.
    fn layer(&self, name: &str) -> Result<Affine> {
        let weight = format!("{name}.weight");
        self.width(&weight)?;
        let shape = self.file.shape(&weight).unwrap_or_default().to_vec();
        let bias = format!("{name}.bias");
        let bias = match self.file.contains(&bias) {
            true => Some(self.values(&bias)?),
            false => None,
        };
        if bias.as_ref().is_some_and(|bias| Some(&bias.len()) != shape.first()) {
            return Err(Error::format(format!(
                "{}: the bias of {name} does not fit its weight",
                self.file.label()
            )));
        }
        Ok(Affine::new(shape, self.values(&weight)?, bias))
    }

    /// A convolution with the batch normalisation behind it.
    fn normed(&self, name: &str, norm: &str) -> Result<Affine> {
        let layer = self.layer(name)?;
        let channels = layer.bias.len();
        Ok(layer.then(&self.norm(norm, channels)?))
    }

    /// The last layers: batch normalisation, matrix, batch normalisation.
    fn output(&mut self, [before, matrix, after]: [&str; 3], width: usize) -> Result<usize> {
        let before = self.norm(before, width)?;
        let layer = self.layer(matrix)?;
        let dimension = layer.bias.len();
        let layer = layer.after(&before).then(&self.norm(after, dimension)?);
        self.tensors.affine("output", layer)?;
        Ok(dimension)
    }

    fn iresnet(&mut self) -> Result<RecogniserConfig> {
        let count = |stage: usize| {
            (0..)
                .take_while(|index| self.file.contains(&format!("layer{stage}.{index}.conv1.weight")))
                .count()
        };
        let counts = [1, 2, 3, 4].map(count);
        let found = BLOCKS.into_iter().find(|(_, blocks)| *blocks == counts);
        let (layers, _) = found.ok_or_else(|| {
            Error::format(format!(
                "{}: {counts:?} residual blocks in its stages, which no IResNet has",
                self.file.label()
            ))
        })?;
        let mut width = self.width("conv1.weight")?;
        let mut widths = vec![width];
        let stem = self.normed("conv1", "bn1")?;
        self.tensors.affine("stem", stem)?;
        let slope = self.values("prelu.weight")?;
        self.tensors.vector("stem.slope", slope)?;
        for (stage, count) in counts.into_iter().enumerate() {
            for index in 0..count {
                let from = format!("layer{}.{index}", stage + 1);
                let to = format!("stages.{stage}.{index}");
                let norm = self.norm(&format!("{from}.bn1"), width)?;
                self.tensors.norm(&format!("{to}.first"), &norm)?;
                let first = self.normed(&format!("{from}.conv1"), &format!("{from}.bn2"))?;
                width = first.bias.len();
                self.tensors.affine(&format!("{to}.first"), first)?;
                let slope = self.values(&format!("{from}.prelu.weight"))?;
                self.tensors.vector(&format!("{to}.first.slope"), slope)?;
                let second = self.normed(&format!("{from}.conv2"), &format!("{from}.bn3"))?;
                self.tensors.affine(&format!("{to}.second"), second)?;
                if index == 0 {
                    let shortcut = self.normed(&format!("{from}.downsample.0"), &format!("{from}.downsample.1"))?;
                    self.tensors.affine(&format!("{to}.shortcut"), shortcut)?;
                }
            }
            widths.push(width);
        }
        let dimension = self.output(["bn2", "fc", "features"], width)?;
        Ok(RecogniserConfig::new(
            FaceArchitecture::IResNet { layers },
            widths,
            dimension,
        ))
    }

    fn ir_se50(&mut self) -> Result<RecogniserConfig> {
        let mut config = RecogniserConfig::new(FaceArchitecture::IrSe50, Vec::new(), 0);
        let mut width = self.width("input_layer.0.weight")?;
        config.widths.push(width);
        let stem = self.normed("input_layer.0", "input_layer.1")?;
        self.tensors.affine("stem", stem)?;
        let slope = self.values("input_layer.2.weight")?;
        self.tensors.vector("stem.slope", slope)?;
        let mut block = 0;
        for (stage, count) in config.blocks()?.into_iter().enumerate() {
            for index in 0..count {
                let (from, to) = (format!("body.{block}"), format!("stages.{stage}.{index}"));
                let part = |number: usize| format!("{from}.res_layer.{number}");
                let norm = self.norm(&part(0), width)?;
                self.tensors.norm(&format!("{to}.first"), &norm)?;
                let first = self.layer(&part(1))?;
                width = first.bias.len();
                self.tensors.affine(&format!("{to}.first"), first)?;
                let slope = self.values(&format!("{}.weight", part(2)))?;
                self.tensors.vector(&format!("{to}.first.slope"), slope)?;
                let second = self.normed(&part(3), &part(4))?;
                self.tensors.affine(&format!("{to}.second"), second)?;
                for (from, to_name) in [("fc1", "reduce"), ("fc2", "expand")] {
                    let layer = self.layer(&format!("{}.{from}", part(5)))?;
                    let shape = [layer.bias.len(), layer.weight.len() / layer.bias.len().max(1)];
                    let name = format!("{to}.squeeze.{to_name}.weight");
                    self.tensors.push(&name, &shape, layer.weight)?;
                }
                let shortcut = format!("{from}.shortcut_layer");
                if self.file.contains(&format!("{shortcut}.0.weight")) {
                    let layer = self.normed(&format!("{shortcut}.0"), &format!("{shortcut}.1"))?;
                    self.tensors.affine(&format!("{to}.shortcut"), layer)?;
                }
                block += 1;
            }
            config.widths.push(width);
        }
        config.dimension = self.output(["output_layer.0", "output_layer.3", "output_layer.4"], width)?;
        config.channel_order = ChannelOrder::Bgr;
        Ok(config)
    }
}
