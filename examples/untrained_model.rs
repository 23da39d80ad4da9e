//! Writes a small checkpoint in the native format with random weights, for trying the machinery out:
//! `cargo run -p omniid --example untrained_model -- model.safetensors`. It knows nobody: its identities are noise.

use omniid::encoder::{EncoderConfig, OmniIdConfig};
use omniid::engine::{write_untrained, HostConfig, NativeConfig};
use omniid::face::CropMode;
use omniid::host::{HostLayer, HostSpec};
use omniid::vit::{VisionConfig, VisionFamily};
use omniid_kernels::layers::Activation;
use std::path::Path;

/// An image encoder of 56 pixels, 6 identity tokens of width 24, and a host with two attention layers.
pub fn config() -> omniid::Result<NativeConfig> {
    let backbone = VisionConfig {
        family: VisionFamily::Clip,
        hidden_size: 32,
        intermediate_size: 64,
        num_hidden_layers: 3,
        num_attention_heads: 4,
        image_size: 56,
        patch_size: 14,
        hidden_act: Activation::Gelu,
        layer_norm_eps: 1e-5,
        projection_dim: None,
    };
    let encoder = OmniIdConfig {
        queries: 6,
        width: 32,
        depth: 2,
        heads: 2,
        head_width: 16,
        feed_forward_multiplier: 2,
        feature_width: 32,
        feature_tokens: 17,
        token_width: 24,
        key_position: true,
        include_class_token: true,
    };
    let layers = vec![
        HostLayer::new("down.attn", 2, 8, 20),
        HostLayer::new("up.attn", 4, 8, 20),
    ];
    Ok(NativeConfig {
        name: "untrained".into(),
        backbone: Some(backbone),
        pixels: Default::default(),
        crop: CropMode::None,
        encoder: EncoderConfig::OmniId(encoder),
        host: Some(HostConfig::from(&HostSpec::custom("two layers", layers)?)),
    })
}

/// Writes the checkpoint; the same numbers every time.
pub fn write(path: &Path) -> omniid::Result<()> {
    write_untrained(path, &config()?, 7)
}

fn main() {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: untrained_model PATH");
        std::process::exit(2);
    };
    if let Err(error) = write(Path::new(&path)) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
