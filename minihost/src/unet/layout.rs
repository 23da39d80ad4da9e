//! Every tensor of a UNet: name, shape, and start of training.

use super::UNetConfig;
use omniid_kernels::layers::{Initial, TensorSpec};

/// How a layer's weight starts.
#[derive(Clone, Copy, PartialEq)]
enum Start {
    /// Normal, scaled by the number of inputs.
    Random,
    /// Zero: the layer's branch begins as if it were not there.
    Zero,
}

/// All tensors under diffusers' names.
///
/// The last layer of each branch that is added to its input (second convolution of a residual block, output projection
/// of a transformer) and the last convolution start at zero, so that the untrained network predicts zero
/// and training starts calm.
///
/// # Panics
/// Never for a configuration that passes [`UNetConfig::check`].
pub fn tensors(config: &UNetConfig) -> Vec<TensorSpec> {
    let mut list = List {
        config,
        specs: Vec::new(),
    };
    let channels = &config.block_out_channels;
    let (first, time) = (channels[0], config.time_width());
    list.convolution("conv_in", config.in_channels, first, Start::Random);
    list.linear("time_embedding.linear_1", first, time, Start::Random);
    list.linear("time_embedding.linear_2", time, time, Start::Random);
    if let Some(width) = config.class_width {
        list.linear("class_embedding.linear_1", width, time, Start::Random);
        list.linear("class_embedding.linear_2", time, time, Start::Random);
    }
    for place in block_places(config) {
        match place {
            Place::Resnet { name, input, output } => list.resnet(&name, input, output),
            Place::Transformer { name, width, .. } => list.transformer(&name, width),
            Place::Resample { name, width } => list.convolution(&name, width, width, Start::Random),
        }
    }
    list.norm("conv_norm_out", first);
    list.convolution("conv_out", first, config.out_channels, Start::Zero);
    list.specs
}

/// One module of the blocks.
pub(super) enum Place {
    Resnet {
        name: String,
        input: usize,
        output: usize,
    },
    Transformer {
        name: String,
        width: usize,
    },
    /// The convolution of a down- or up-sampler.
    Resample {
        name: String,
        width: usize,
    },
}

/// The modules of the down blocks, the middle block and the up blocks, with their widths.
pub(super) fn block_places(config: &UNetConfig) -> Vec<Place> {
    let channels = &config.block_out_channels;
    let levels = channels.len();
    let mut places = Vec::new();
    for level in 0..levels {
        let block = format!("down_blocks.{level}");
        let width = channels[level];
        for i in 0..config.layers_per_block {
            let input = if i > 0 {
                width
            } else {
                channels[level.saturating_sub(1)]
            };
            places.push(Place::Resnet {
                name: format!("{block}.resnets.{i}"),
                input,
                output: width,
            });
            if config.down_attention[level] {
                places.push(Place::Transformer {
                    name: format!("{block}.attentions.{i}"),
                    width,
                });
            }
        }
        if level + 1 < levels {
            places.push(Place::Resample {
                name: format!("{block}.downsamplers.0.conv"),
                width,
            });
        }
    }
    let last = channels[levels - 1];
    let resnet = |i: usize| Place::Resnet {
        name: format!("mid_block.resnets.{i}"),
        input: last,
        output: last,
    };
    places.push(resnet(0));
    if config.mid_attention {
        places.push(Place::Transformer {
            name: "mid_block.attentions.0".to_string(),
            width: last,
        });
        places.push(resnet(1));
    }
    let mut before = last;
    for stage in 0..levels {
        let level = levels - 1 - stage;
        let (block, width) = (format!("up_blocks.{stage}"), channels[level]);
        for i in 0..=config.layers_per_block {
            // The last residual block of a level takes what came before the level on the way down.
            let skip = if i == config.layers_per_block {
                channels[level.saturating_sub(1)]
            } else {
                width
            };
            places.push(Place::Resnet {
                name: format!("{block}.resnets.{i}"),
                input: before + skip,
                output: width,
            });
            before = width;
            if config.up_attention[stage] {
                places.push(Place::Transformer {
                    name: format!("{block}.attentions.{i}"),
                    width,
                });
            }
        }
        if level > 0 {
            places.push(Place::Resample {
                name: format!("{block}.upsamplers.0.conv"),
                width,
            });
        }
    }
    places
}

struct List<'a> {
    config: &'a UNetConfig,
    specs: Vec<TensorSpec>,
}

impl List<'_> {
    fn weight(&mut self, name: &str, shape: &[usize], start: Start) {
        let inputs: usize = shape[1..].iter().product();
        let initial = match start {
            Start::Random => Initial::TruncatedNormal(1.0 / (inputs as f32).sqrt()),
            Start::Zero => Initial::Constant(0.0),
        };
        self.specs
            .push(TensorSpec::new(format!("{name}.weight"), shape, initial));
    }

    fn bias(&mut self, name: &str, width: usize) {
        self.specs.push(TensorSpec::new(
            format!("{name}.bias"),
            &[width],
            Initial::Constant(0.0),
        ));
    }

    fn linear(&mut self, name: &str, input: usize, output: usize, start: Start) {
        self.weight(name, &[output, input], start);
        self.bias(name, output);
    }

    fn convolution(&mut self, name: &str, input: usize, output: usize, start: Start) {
        self.weight(name, &[output, input, 3, 3], start);
        self.bias(name, output);
    }

    fn norm(&mut self, name: &str, width: usize) {
        let initial = Initial::Constant(1.0);
        self.specs
            .push(TensorSpec::new(format!("{name}.weight"), &[width], initial));
        self.bias(name, width);
    }

    fn resnet(&mut self, name: &str, input: usize, output: usize) {
        self.norm(&format!("{name}.norm1"), input);
        self.convolution(&format!("{name}.conv1"), input, output, Start::Random);
        let time = self.config.time_width();
        self.linear(&format!("{name}.time_emb_proj"), time, output, Start::Random);
        self.norm(&format!("{name}.norm2"), output);
        self.convolution(&format!("{name}.conv2"), output, output, Start::Zero);
        if input != output {
            let name = format!("{name}.conv_shortcut");
            self.weight(&name, &[output, input, 1, 1], Start::Random);
            self.bias(&name, output);
        }
    }

    fn transformer(&mut self, name: &str, width: usize) {
        self.norm(&format!("{name}.norm"), width);
        let linear = self.config.use_linear_projection;
        let shape: &[usize] = if linear { &[width, width] } else { &[width, width, 1, 1] };
        self.weight(&format!("{name}.proj_in"), shape, Start::Random);
        self.bias(&format!("{name}.proj_in"), width);
        for i in 0..self.config.transformer_layers_per_block {
            let name = format!("{name}.transformer_blocks.{i}");
            for (attention, norm, context) in [
                ("attn1", "norm1", width),
                ("attn2", "norm2", self.config.cross_attention_dim),
            ] {
                self.norm(&format!("{name}.{norm}"), width);
                self.weight(&format!("{name}.{attention}.to_q"), &[width, width], Start::Random);
                for side in ["to_k", "to_v"] {
                    let name = format!("{name}.{attention}.{side}");
                    self.weight(&name, &[width, context], Start::Random);
                }
                self.linear(&format!("{name}.{attention}.to_out.0"), width, width, Start::Random);
            }
            self.norm(&format!("{name}.norm3"), width);
            self.linear(&format!("{name}.ff.net.0.proj"), width, 8 * width, Start::Random);
            self.linear(&format!("{name}.ff.net.2"), 4 * width, width, Start::Random);
        }
        self.weight(&format!("{name}.proj_out"), shape, Start::Zero);
        self.bias(&format!("{name}.proj_out"), width);
    }
}

/// Multiplications with addition of one pass of one picture of `height` × `width` with `context` context tokens, and
/// `identity` identity tokens in every cross-attention. Element-wise work and the identity's projection are left out.
pub fn multiply_adds(config: &UNetConfig, height: usize, width: usize, context: usize, identity: usize) -> u64 {
    let channels = &config.block_out_channels;
    let (first, time) = (channels[0], config.time_width());
    let mut tokens = height * width;
    let mut sum = tokens * 9 * first * (config.in_channels + config.out_channels);
    sum += (first + time) * time + config.class_width.map_or(0, |width| (width + time) * time);
    for place in block_places(config) {
        match place {
            Place::Resnet { input, output, .. } => {
                let shortcut = if input == output { 0 } else { input };
                sum += tokens * output * (9 * input + 9 * output + shortcut) + time * output;
            }
            Place::Transformer { width, .. } => {
                let blocks = config.transformer_layers_per_block;
                let projections = tokens * width * width * (4 + 2 + 12);
                let attention = 2 * tokens * width * (tokens + context + identity);
                let keys = 2 * context * config.cross_attention_dim * width;
                sum += 2 * tokens * width * width + blocks * (projections + attention + keys);
            }
            Place::Resample { name, width } => {
                tokens = if name.starts_with("down_blocks") {
                    tokens / 4
                } else {
                    tokens * 4
                };
                sum += tokens * 9 * width * width;
            }
        }
    }
    sum as u64
}
