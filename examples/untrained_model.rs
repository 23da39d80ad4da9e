//! Writes a small checkpoint in the native format with random weights, for trying the machinery out:
//! `cargo run -p omniid --example untrained_model -- model.safetensors`. It knows nobody: its identities are noise. With
//! a second argument, `residual`, its adapter adds to a transformer's residual stream.

use omniid::encoder::{EncoderConfig, OmniIdConfig};
use omniid::engine::{write_untrained, HostConfig, NativeConfig};
use omniid::face::CropMode;
use omniid::host::{HostFamily, HostLayer, HostSpec};
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
        recogniser: None,
        parser: None,
        host: Some(HostConfig::from(&HostSpec::custom("two layers", layers)?)),
    })
}

/// Writes the checkpoint; the same numbers every time.
pub fn write(path: &Path) -> omniid::Result<()> {
    write_untrained(path, &config()?, 7)
}

/// The same for a host with two places in the residual stream, hidden width 40.
pub fn residual_config() -> omniid::Result<NativeConfig> {
    let place = |name: &str| HostLayer {
        hidden: Some(40),
        ..HostLayer::new(name, 2, 8, 24)
    };
    let mut layers = vec![place("transformer_blocks.0"), place("single_transformer_blocks.0")];
    for (place, layer) in layers.iter_mut().enumerate() {
        (layer.key, layer.execution) = (place, place);
    }
    let host = HostSpec::from_layers("two places", HostFamily::Other, layers)?;
    Ok(NativeConfig {
        host: Some(HostConfig::from(&host)),
        ..config()?
    })
}

/// Writes the checkpoint of [`residual_config`]; the same numbers every time.
pub fn write_residual(path: &Path) -> omniid::Result<()> {
    write_untrained(path, &residual_config()?, 8)
}

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let (path, kind) = (arguments.next(), arguments.next());
    let (Some(path), true) = (path, kind.as_ref().is_none_or(|kind| kind == "residual")) else {
        eprintln!("usage: untrained_model PATH [residual]");
        std::process::exit(2);
    };
    let write = if kind.is_some() { write_residual } else { write };
    if let Err(error) = write(Path::new(&path)) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
