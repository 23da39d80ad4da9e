//! BiSeNet (Yu et al. 2018: "Bilateral Segmentation Network") on a ResNet-18, as facexlib and zllrunning's
//! face-parsing.PyTorch have it: the spatial path is the ResNet's second stage.

use super::config::{ParserConfig, BLOCKS, CLASSES};
use crate::convolution::{same, Buffer, Extras, Layer, Size};
use crate::error::Result;
use omniid_kernels::layers::Weights;
use omniid_kernels::ConvolutionShape;

/// Two 3×3 convolutions, and the shortcut.
#[derive(Debug)]
struct Block {
    first: Layer,
    second: Layer,
    shortcut: Option<Layer>,
}

/// A convolution whose channels are scaled by factors that depend on their means.
#[derive(Debug)]
struct Refinement {
    convolution: Layer,
    attention: Layer,
}

/// The network with its batch normalisations folded.
#[derive(Debug)]
pub(super) struct BiSeNet {
    stem: Layer,
    stages: Vec<Vec<Block>>,
    /// Of the last stage, and of the one before.
    refinements: [Refinement; 2],
    /// Behind the sums at 1/32 and 1/16.
    heads: [Layer; 2],
    global: Layer,
    fusion: Layer,
    reduce: Layer,
    expand: Layer,
    hidden: Layer,
    classes: Layer,
}

/// A picture: sizes, channels, values.
struct Picture {
    size: Size,
    channels: usize,
    values: Vec<f32>,
}

impl BiSeNet {
    /// Every tensor of the network.
    pub fn build(config: &ParserConfig, weights: &Weights) -> Result<Self> {
        config.check()?;
        let layer = |weights: &Weights, name: &str, shape| Layer::build(weights, name, shape, Extras::default());
        let stem = same([3, config.widths[0]], 7, 2);
        let stem = layer(weights, "stem", stem)?;
        let mut width = config.widths[0];
        let mut stages = Vec::new();
        for (stage, outputs) in config.widths.into_iter().enumerate() {
            let mut blocks = Vec::new();
            for index in 0..BLOCKS {
                let weights = weights.pp(format!("stages.{stage}.{index}"));
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                let shortcut = match stride != 1 || width != outputs {
                    true => Some(layer(&weights, "shortcut", same([width, outputs], 1, stride))?),
                    false => None,
                };
                blocks.push(Block {
                    first: layer(&weights, "first", same([width, outputs], 3, stride))?,
                    second: layer(&weights, "second", same([outputs; 2], 3, 1))?,
                    shortcut,
                });
                width = outputs;
            }
            stages.push(blocks);
        }
        let context = config.context;
        let refinement = |name: &str, inputs: usize| -> Result<Refinement> {
            let weights = weights.pp(name);
            Ok(Refinement {
                convolution: layer(&weights, "convolution", same([inputs, context], 3, 1))?,
                attention: layer(&weights, "attention", same([context; 2], 1, 1))?,
            })
        };
        let joined = [config.widths[1] + context, config.fusion];
        let inner = config.fusion / 4;
        Ok(Self {
            stem,
            stages,
            refinements: [
                refinement("refinement32", config.widths[3])?,
                refinement("refinement16", config.widths[2])?,
            ],
            heads: [
                layer(weights, "head32", same([context; 2], 3, 1))?,
                layer(weights, "head16", same([context; 2], 3, 1))?,
            ],
            global: layer(weights, "global", same([config.widths[3], context], 1, 1))?,
            fusion: layer(weights, "fusion", same(joined, 1, 1))?,
            reduce: layer(weights, "reduce", same([config.fusion, inner], 1, 1))?,
            expand: layer(weights, "expand", same([inner, config.fusion], 1, 1))?,
            hidden: layer(weights, "hidden", same([config.fusion, config.hidden], 3, 1))?,
            classes: layer(weights, "classes", same([config.hidden, CLASSES], 1, 1))?,
        })
    }

    /// Scores `[height / 8, width / 8, classes]` of a picture `[height, width, 3]` whose sides are multiples of 32.
    pub fn forward(&self, values: Vec<f32>, height: usize, width: usize) -> Result<Vec<f32>> {
        let picture = Picture {
            size: [1, height, width],
            channels: 3,
            values,
        };
        let mut x = max_pool(&picture.through(&self.stem, true)?);
        let mut features = Vec::new();
        for blocks in &self.stages {
            for block in blocks {
                x = block.forward(&x)?;
            }
            features.push(std::mem::replace(&mut x, Picture::empty()));
            x = features.last().map_or_else(Picture::empty, Picture::copy);
        }
        let [_, quarter, half, whole] = features.as_slice() else {
            return Ok(Vec::new());
        };
        let [last, before] = &self.refinements;
        let global = whole.means().through(&self.global, true)?;
        let mut sum = last.forward(whole)?;
        sum.each_pixel(|pixel| add(pixel, &global.values));
        let up = sum.doubled().through(&self.heads[0], true)?;
        let mut sum = before.forward(half)?;
        add(&mut sum.values, &up.values);
        let context = sum.doubled().through(&self.heads[1], true)?;
        let mut fused = quarter.beside(&context).through(&self.fusion, true)?;
        let factors = fused.means().through(&self.reduce, true)?;
        let mut factors = factors.through(&self.expand, false)?.values;
        // The scaled picture is added to the picture.
        factors.iter_mut().for_each(|factor| *factor = 1.0 + sigmoid(*factor));
        fused.each_pixel(|pixel| scale(pixel, &factors));
        let hidden = fused.through(&self.hidden, true)?;
        Ok(hidden.through(&self.classes, false)?.values)
    }
}

impl Block {
    fn forward(&self, input: &Picture) -> Result<Picture> {
        let inner = input.through(&self.first, true)?;
        let shortcut = match &self.shortcut {
            Some(layer) => Some(input.through(layer, false)?),
            None => None,
        };
        inner.with_residual(&self.second, &shortcut.as_ref().unwrap_or(input).values)
    }
}

impl Refinement {
    fn forward(&self, input: &Picture) -> Result<Picture> {
        let mut features = input.through(&self.convolution, true)?;
        let mut factors = features.means().through(&self.attention, false)?.values;
        factors.iter_mut().for_each(|factor| *factor = sigmoid(*factor));
        features.each_pixel(|pixel| scale(pixel, &factors));
        Ok(features)
    }
}

impl Picture {
    fn empty() -> Self {
        Self {
            size: [0; 3],
            channels: 1,
            values: Vec::new(),
        }
    }

    fn copy(&self) -> Self {
        Self {
            values: self.values.clone(),
            ..*self
        }
    }

    /// What a layer makes of it, with a ReLU behind or without.
    fn through(&self, layer: &Layer, relu: bool) -> Result<Self> {
        self.layer(layer, None, relu)
    }

    /// What a layer makes of it, to which `residual` is added before a ReLU.
    fn with_residual(&self, layer: &Layer, residual: &[f32]) -> Result<Self> {
        self.layer(layer, Some(residual), true)
    }

    fn layer(&self, layer: &Layer, residual: Option<&[f32]>, relu: bool) -> Result<Self> {
        let mut output = Buffer::default();
        let size = layer.forward(&self.values, self.size, residual, relu, &mut output)?;
        Ok(Self {
            size,
            channels: layer.outputs(),
            values: output.into_values(),
        })
    }

    fn each_pixel(&mut self, change: impl Fn(&mut [f32])) {
        self.values.chunks_exact_mut(self.channels.max(1)).for_each(change);
    }

    /// The mean of each channel, as a picture of one pixel.
    fn means(&self) -> Self {
        let mut sums = vec![0f64; self.channels];
        for pixel in self.values.chunks_exact(self.channels.max(1)) {
            let values = sums.iter_mut().zip(pixel);
            values.for_each(|(sum, value)| *sum += f64::from(*value));
        }
        let pixels = self.size.iter().product::<usize>().max(1) as f64;
        Self {
            size: [1; 3],
            channels: self.channels,
            values: sums.into_iter().map(|sum| (sum / pixels) as f32).collect(),
        }
    }

    /// Every pixel as two by two.
    fn doubled(&self) -> Self {
        let [batch, height, width] = self.size;
        let line = width * self.channels;
        let mut values = Vec::with_capacity(self.values.len() * 4);
        for line in self.values.chunks_exact(line.max(1)) {
            let start = values.len();
            for pixel in line.chunks_exact(self.channels.max(1)) {
                values.extend_from_slice(pixel);
                values.extend_from_slice(pixel);
            }
            values.extend_from_within(start..);
        }
        Self {
            size: [batch, 2 * height, 2 * width],
            channels: self.channels,
            values,
        }
    }

    /// The channels of both.
    fn beside(&self, other: &Self) -> Self {
        let mut values = Vec::with_capacity(self.values.len() + other.values.len());
        let pixels = self.values.chunks_exact(self.channels.max(1));
        for (a, b) in pixels.zip(other.values.chunks_exact(other.channels.max(1))) {
            values.extend_from_slice(a);
            values.extend_from_slice(b);
        }
        Self {
            size: self.size,
            channels: self.channels + other.channels,
            values,
        }
    }
}

/// The greatest of three by three values, at every second pixel. All values are at least 0, so that beyond the border
/// nothing is as good as 0.
fn max_pool(input: &Picture) -> Picture {
    let shape = ConvolutionShape {
        inputs: input.channels,
        outputs: input.channels,
        kernel: 3,
        stride: 2,
        padding: 1,
    };
    let ([_, height, width], channels) = (input.size, input.channels);
    let [out_height, out_width] = [height, width].map(|side| shape.output_side(side).unwrap_or(0));
    let mut values = vec![0f32; out_height * out_width * channels];
    for (index, to) in values.chunks_exact_mut(channels.max(1)).enumerate() {
        let (x, y) = (2 * (index % out_width), 2 * (index / out_width));
        for source_y in y.saturating_sub(1)..(y + 2).min(height) {
            for source_x in x.saturating_sub(1)..(x + 2).min(width) {
                let from = &input.values[(source_y * width + source_x) * channels..][..channels];
                to.iter_mut().zip(from).for_each(|(to, from)| *to = to.max(*from));
            }
        }
    }
    Picture {
        size: [1, out_height, out_width],
        channels,
        values,
    }
}

fn add(to: &mut [f32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

fn scale(to: &mut [f32], factors: &[f32]) {
    to.iter_mut().zip(factors).for_each(|(to, factor)| *to *= factor);
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
