//! SFace of OpenCV's model zoo: a MobileNet (Howard et al. 2017) with PReLU, trained with SFace's loss (Zhong et al. 2021).

use super::config::{RecogniserConfig, LAST_SIDE, STRIDES};
use crate::convolution::{same, Buffers, Extras, Layer, Output, Size};
use crate::error::Result;
use omniid_kernels::layers::Weights;

/// Depthwise and 1×1 convolutions in turn, with their batch normalisations folded.
#[derive(Debug)]
pub(super) struct Mobile {
    /// The stem, then two layers per block.
    layers: Vec<Layer>,
    output: Output,
}

impl Mobile {
    /// Every tensor of the network.
    pub fn build(config: &RecogniserConfig, weights: &Weights) -> Result<Self> {
        config.check()?;
        let dense = Extras {
            slope: true,
            ..Extras::default()
        };
        let depthwise = Extras {
            depthwise: true,
            ..dense
        };
        let mut width = config.widths[0];
        let mut layers = vec![Layer::build(weights, "stem", same([3, width], 3, 1), dense)?];
        for (block, (stride, outputs)) in STRIDES.into_iter().zip(&config.widths[1..]).enumerate() {
            let weights = weights.pp(format!("blocks.{block}"));
            layers.push(Layer::build(
                &weights,
                "depthwise",
                same([width; 2], 3, stride),
                depthwise,
            )?);
            layers.push(Layer::build(
                &weights,
                "pointwise",
                same([width, *outputs], 1, 1),
                dense,
            )?);
            width = *outputs;
        }
        let output = Output::build(weights, "output", width, LAST_SIDE, config.dimension)?;
        Ok(Self { layers, output })
    }

    /// The raw embeddings of the pictures in `buffers`.
    pub fn forward(&self, buffers: &mut Buffers, mut size: Size) -> Result<Vec<Vec<f32>>> {
        let Buffers { picture, next, .. } = buffers;
        let mut channels = 3;
        for layer in &self.layers {
            let count = size.iter().product::<usize>() * channels;
            size = layer.forward(picture.get(count), size, None, false, next)?;
            channels = layer.outputs();
            std::mem::swap(picture, next);
        }
        self.output
            .forward(picture.get(size.iter().product::<usize>() * channels))
    }
}
