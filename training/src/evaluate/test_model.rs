//! A small untrained model and pictures, for tests.

use super::model::EvaluatedModel;
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use image::{Rgb, RgbImage};
use omniid::checkpoint::safetensors_to_bytes;
use omniid::encoder::{EncoderConfig, OmniIdConfig};
use omniid::engine::{untrained_tensors, DeviceChoice, HostConfig, NativeConfig};
use omniid::face::CropMode;
use omniid::vit::{VisionConfig, VisionFamily};
use omniid_kernels::layers::{random_tensors, Activation, Initial};
use omniid_minihost::flow::Prediction;
use omniid_minihost::{Minihost, MinihostConfig, MinihostSizes};

/// Side of the pictures that [`model`] takes.
pub const SIZE: u32 = 32;

/// 32 pixels in patches of 8; 4 tokens of width 16.
pub fn model(seed: u64) -> EvaluatedModel {
    untrained(&config(), seed)
}

fn config() -> NativeConfig {
    NativeConfig {
        name: "test".into(),
        backbone: Some(VisionConfig {
            family: VisionFamily::Clip,
            hidden_size: 16,
            intermediate_size: 32,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            image_size: SIZE as usize,
            patch_size: 8,
            hidden_act: Activation::Gelu,
            layer_norm_eps: 1e-5,
            projection_dim: None,
        }),
        pixels: Default::default(),
        crop: CropMode::Aligned {
            scale: 0.98,
            center: [56.0, 62.0],
        },
        encoder: EncoderConfig::OmniId(OmniIdConfig {
            queries: 4,
            width: 16,
            depth: 1,
            heads: 2,
            head_width: 8,
            feed_forward_multiplier: 2,
            feature_width: 16,
            feature_tokens: 17,
            token_width: 16,
            key_position: true,
            include_class_token: true,
        }),
        recogniser: None,
        parser: None,
        host: None,
    }
}

fn untrained(config: &NativeConfig, seed: u64) -> EvaluatedModel {
    let tensors = untrained_tensors(config, seed).unwrap();
    let bytes = safetensors_to_bytes(&tensors, &config.to_metadata().unwrap()).unwrap();
    EvaluatedModel::open(bytes, DeviceChoice::Cpu).unwrap()
}

/// Different patterns.
pub fn pictures(count: u32) -> Vec<RgbImage> {
    (0..count)
        .map(|k| {
            RgbImage::from_fn(SIZE, SIZE, |x, y| {
                Rgb([(x * 7 + k * 50) as u8, (y * 5 + k * 31) as u8, (x * y + k) as u8])
            })
        })
        .collect()
}

/// Side of the pictures that [`host`] draws.
pub const DRAWN: u32 = 16;

/// A generator with random weights, and an identity model with an adapter for it.
pub fn generator(seed: u64) -> (EvaluatedModel, Minihost) {
    let sizes = MinihostSizes {
        size: DRAWN as usize,
        block: 2,
        channels: vec![8, 16],
        layers_per_block: 1,
        plain_levels: 0,
        time_width: None,
        transformer_layers_per_block: 1,
        head_width: 4,
        context_width: 12,
        context_tokens: 2,
        map_channels: 3,
    };
    let host_config = MinihostConfig::new(&sizes, Prediction::Sample).unwrap();
    let mut specs = host_config.tensors().unwrap();
    for spec in &mut specs {
        // Layers that start at zero would hide everything behind them.
        if spec.initial == Initial::Constant(0.0) {
            spec.initial = Initial::Normal(0.1);
        }
    }
    let tensors = random_tensors(&specs, seed).unwrap().into_iter().collect();
    let builder = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let host = Minihost::load(&host_config, builder).unwrap();
    let config = NativeConfig {
        host: Some(HostConfig::from(host.host())),
        ..config()
    };
    (untrained(&config, seed), host)
}
