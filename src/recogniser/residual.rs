//! The residual networks: IResNet (Deng et al. 2019) and IR-SE50 with squeeze-and-excitation (Hu et al. 2018).

use super::config::{RecogniserConfig, LAST_SIDE};
use crate::convolution::{same, Buffer, Buffers, Extras, Layer, Output, Size};
use crate::error::Result;
use crate::face_embedding::FaceArchitecture;
use omniid_kernels::layers::{Initial, Weights};

/// Channels per channel inside squeeze-and-excitation.
pub(super) const REDUCTION: usize = 16;

/// What is added to a block's result.
#[derive(Debug)]
enum Shortcut {
    /// Its input.
    Same,
    /// Every second pixel of its input.
    Subsampled,
    /// A 1×1 convolution of its input.
    Convolution(Layer),
}

/// Factors of the channels that depend on their means.
#[derive(Debug)]
struct Squeeze {
    channels: usize,
    /// `[reduced, channels]`
    reduce: Vec<f32>,
    /// `[channels, reduced]`
    expand: Vec<f32>,
}

/// Affine, 3×3 convolution, PReLU, 3×3 convolution, and the shortcut.
#[derive(Debug)]
struct Block {
    first: Layer,
    second: Layer,
    squeeze: Option<Squeeze>,
    shortcut: Shortcut,
}

/// A residual network with its batch normalisations folded.
#[derive(Debug)]
pub(super) struct Residual {
    stem: Layer,
    blocks: Vec<Block>,
    output: Output,
}

impl Residual {
    /// Every tensor of the network.
    pub fn build(config: &RecogniserConfig, weights: &Weights) -> Result<Self> {
        config.check()?;
        let squeezed = config.architecture == FaceArchitecture::IrSe50;
        let slope = Extras {
            slope: true,
            ..Extras::default()
        };
        let mut width = config.widths[0];
        let stem = Layer::build(weights, "stem", same([3, width], 3, 1), slope)?;
        let mut blocks = Vec::new();
        for (stage, (count, outputs)) in config.blocks()?.into_iter().zip(&config.widths[1..]).enumerate() {
            for index in 0..count {
                let weights = weights.pp(format!("stages.{stage}.{index}"));
                let channels = [width, *outputs];
                let stride = if index == 0 { 2 } else { 1 };
                let first = Extras { affine: true, ..slope };
                blocks.push(Block {
                    first: Layer::build(&weights, "first", same(channels, 3, 1), first)?,
                    second: Layer::build(&weights, "second", same([*outputs; 2], 3, stride), Extras::default())?,
                    squeeze: match squeezed {
                        true => Some(Squeeze::build(&weights.pp("squeeze"), *outputs)?),
                        false => None,
                    },
                    shortcut: match stride {
                        1 => Shortcut::Same,
                        // IR-SE50 leaves out the convolution where the width stays.
                        _ if squeezed && width == *outputs => Shortcut::Subsampled,
                        _ => {
                            let shape = same(channels, 1, stride);
                            Shortcut::Convolution(Layer::build(&weights, "shortcut", shape, Extras::default())?)
                        }
                    },
                });
                width = *outputs;
            }
        }
        let output = Output::build(weights, "output", width, LAST_SIDE, config.dimension)?;
        Ok(Self { stem, blocks, output })
    }

    /// The raw embeddings of the pictures in `buffers`.
    pub fn forward(&self, buffers: &mut Buffers, size: Size) -> Result<Vec<Vec<f32>>> {
        let Buffers {
            picture,
            middle,
            shortcut,
            next,
        } = buffers;
        let pixels = size.iter().product::<usize>();
        let mut size = self.stem.forward(picture.get(pixels * 3), size, None, false, next)?;
        std::mem::swap(picture, next);
        let mut channels = self.stem.outputs();
        for block in &self.blocks {
            let count = size.iter().product::<usize>() * channels;
            let input = picture.get(count);
            let inner = block.first.forward(input, size, None, false, middle)?;
            channels = block.first.outputs();
            let out = block.second.size(inner);
            let out_count = out.iter().product::<usize>() * channels;
            let added = match &block.shortcut {
                Shortcut::Same => input,
                Shortcut::Subsampled => {
                    subsample(input, size, channels, shortcut);
                    shortcut.get(out_count)
                }
                Shortcut::Convolution(layer) => {
                    layer.forward(input, size, None, false, shortcut)?;
                    shortcut.get(out_count)
                }
            };
            let middle = middle.get(inner.iter().product::<usize>() * channels);
            match &block.squeeze {
                None => {
                    block.second.forward(middle, inner, Some(added), false, next)?;
                }
                Some(squeeze) => {
                    block.second.forward(middle, inner, None, false, next)?;
                    squeeze.apply(next.take(out_count), added, out[0]);
                }
            }
            std::mem::swap(picture, next);
            size = out;
        }
        self.output
            .forward(picture.get(size.iter().product::<usize>() * channels))
    }
}

/// Every second pixel along both axes, beginning with the first.
fn subsample(input: &[f32], [batch, height, width]: Size, channels: usize, output: &mut Buffer) {
    let half = [height.div_ceil(2), width.div_ceil(2)];
    let output = output.take(batch * half[0] * half[1] * channels);
    for (index, to) in output.chunks_exact_mut(channels).enumerate() {
        let (x, line) = (index % half[1], index / half[1]);
        let (y, picture) = (line % half[0], line / half[0]);
        let from = ((picture * height + 2 * y) * width + 2 * x) * channels;
        to.copy_from_slice(&input[from..from + channels]);
    }
}

impl Squeeze {
    fn build(weights: &Weights, channels: usize) -> Result<Self> {
        let reduced = channels.div_ceil(REDUCTION);
        let matrix = |name: &str, shape: [usize; 2]| -> Result<Vec<f32>> {
            let tensor = weights.tensor(name, &shape, Initial::fan_in(shape[1]))?;
            match weights.is_list() {
                true => Ok(Vec::new()),
                false => Ok(tensor.flatten_all()?.to_vec1()?),
            }
        };
        Ok(Self {
            channels,
            reduce: matrix("reduce.weight", [reduced, channels])?,
            expand: matrix("expand.weight", [channels, reduced])?,
        })
    }

    /// Scales the channels of `values [batch, …, channels]` and adds `added`.
    fn apply(&self, values: &mut [f32], added: &[f32], batch: usize) {
        let (channels, reduced) = (self.channels, self.channels.div_ceil(REDUCTION));
        let per_picture = values.len() / batch.max(1);
        for (values, added) in values
            .chunks_exact_mut(per_picture)
            .zip(added.chunks_exact(per_picture))
        {
            let mut sums = vec![0f64; channels];
            for pixel in values.chunks_exact(channels) {
                sums.iter_mut()
                    .zip(pixel)
                    .for_each(|(sum, value)| *sum += f64::from(*value));
            }
            let pixels = (per_picture / channels) as f64;
            let means: Vec<f32> = sums.iter().map(|sum| (sum / pixels) as f32).collect();
            let hidden: Vec<f32> = (self.reduce.chunks_exact(channels).map(|row| dot(row, &means).max(0.0))).collect();
            let factors: Vec<f32> = (self.expand.chunks_exact(reduced))
                .map(|row| 1.0 / (1.0 + (-dot(row, &hidden)).exp()))
                .collect();
            for (pixel, added) in values.chunks_exact_mut(channels).zip(added.chunks_exact(channels)) {
                for ((value, added), factor) in pixel.iter_mut().zip(added).zip(&factors) {
                    *value = *value * factor + added;
                }
            }
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() as f32
}
