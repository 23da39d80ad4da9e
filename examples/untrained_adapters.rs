//! Writes small native checkpoints with random weights of the kinds that people use beside the built-in model, for
//! trying hosts out: `cargo run -p omniid --example untrained_adapters -- FOLDER`. They know nobody.
//!
//! `faceid.safetensors` is IP-Adapter FaceID with its LoRA and a face recogniser, `faceid-plus.safetensors` is PlusV2
//! with an image encoder as well, `residual.safetensors` adds to the residual stream, and `sd35.safetensors` depends on
//! the timestep.

use omniid::adapter::{Adapter, AdapterLayout};
use omniid::checkpoint::write_safetensors;
use omniid::encoder::{EncoderConfig, FaceIdConfig, FaceIdPlusConfig, TimeResamplerConfig};
use omniid::engine::{untrained_tensors, HostConfig, NativeConfig};
use omniid::face::CropMode;
use omniid::host::{HostLayer, HostSpec};
use omniid::recogniser::RecogniserConfig;
use omniid::vit::{VisionConfig, VisionFamily};
use omniid::{Error, Result};
use omniid_kernels::layers::{random_tensors, Activation, TensorSpec};
use std::path::Path;

#[path = "untrained_model.rs"]
#[allow(dead_code)]
mod untrained_model;

/// Values of a face embedding.
const EMBEDDING: usize = 12;
/// Width of an identity token.
const TOKEN_WIDTH: usize = 24;
/// Width of SD3.5's timestep embedding, and of the hidden state inside its encoder.
const TIME_WIDTH: usize = 32;

/// A recogniser of the architecture that FaceID was trained with, as narrow as can be.
fn recogniser() -> Result<RecogniserConfig> {
    let text = format!(
        r#"{{"architecture": "IResNet-50", "widths": [4, 4, 4, 4, 4], "dimension": {EMBEDDING},
            "channel_order": "rgb", "pixel_scale": 0.00784313725490196, "pixel_shift": -1.0,
            "licence": "none needed: random numbers", "fingerprint": "0123456789abcdef"}}"#
    );
    serde_json::from_str(&text).map_err(|error| Error::internal(error.to_string()))
}

/// A UNet with two cross-attentions, by the names of diffusers.
fn unet() -> Result<HostSpec> {
    let layer = |block: &str, heads| {
        let name = format!("{block}.attentions.0.transformer_blocks.0.attn2");
        HostLayer::new(name, heads, 8, TOKEN_WIDTH)
    };
    HostSpec::custom("two layers", vec![layer("down_blocks.0", 2), layer("mid_block", 4)])
}

/// FaceID's LoRA on the attentions of [`unet`], of rank 2.
fn lora(host: &HostSpec) -> Vec<TensorSpec> {
    let mut specs = Vec::new();
    for (place, layer) in host.layers().iter().enumerate() {
        for (attention, context) in [("attn1", layer.inner), ("attn2", layer.context)] {
            for (projection, input) in [
                ("to_q", layer.inner),
                ("to_k", context),
                ("to_v", context),
                ("to_out", layer.inner),
            ] {
                let name = |side| format!("lora.layers.{place}.{attention}.{projection}.{side}.weight");
                specs.push(TensorSpec::linear(name("down"), 2, input));
                specs.push(TensorSpec::linear(name("up"), layer.inner, 2));
            }
        }
    }
    specs
}

fn vision(family: VisionFamily) -> VisionConfig {
    VisionConfig {
        family,
        hidden_size: 32,
        intermediate_size: 64,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        image_size: 28,
        patch_size: 14,
        hidden_act: Activation::Gelu,
        layer_norm_eps: 1e-5,
        projection_dim: None,
    }
}

fn config(encoder: EncoderConfig, backbone: Option<VisionConfig>, host: &HostSpec) -> NativeConfig {
    NativeConfig {
        name: "untrained".into(),
        backbone,
        pixels: Default::default(),
        crop: CropMode::None,
        encoder,
        recogniser: None,
        parser: None,
        host: Some(HostConfig::from(host)),
    }
}

/// FaceID, or FaceID-PlusV2, with its LoRA and a face recogniser.
pub fn write_face_id(path: &Path, plus: bool) -> Result<()> {
    let host = unet()?;
    let plain = || FaceIdConfig {
        embedding_width: EMBEDDING,
        inner_width: 16,
        ..FaceIdConfig::new(4, TOKEN_WIDTH)
    };
    let with_features = || FaceIdPlusConfig {
        embedding_width: EMBEDDING,
        projection_width: 16,
        feature_width: 32,
        depth: 2,
        heads: 2,
        head_width: 8,
        inner_width: 48,
        ..FaceIdPlusConfig::new(TOKEN_WIDTH, true)
    };
    let (encoder, backbone) = match plus {
        true => (
            EncoderConfig::FaceIdPlus(with_features()),
            Some(vision(VisionFamily::Clip)),
        ),
        false => (EncoderConfig::FaceId(plain()), None),
    };
    let config = NativeConfig {
        crop: CropMode::aligned(),
        recogniser: Some(recogniser()?),
        ..config(encoder, backbone, &host)
    };
    let mut tensors = untrained_tensors(&config, 11)?;
    tensors.extend(random_tensors(&lora(&host), 12)?);
    write_safetensors(path, &tensors, &config.to_metadata()?)
}

/// An adapter of SD3.5: its tokens depend on the timestep, and its layers attend to the image too.
pub fn write_sd35(path: &Path) -> Result<()> {
    let layers = (0..2).map(|i| HostLayer::new(format!("transformer_blocks.{i}.attn"), 2, 16, 32));
    let host = HostSpec::custom("two joint layers", layers.collect())?;
    let encoder = TimeResamplerConfig {
        feature_width: 32,
        width: TIME_WIDTH,
        depth: 2,
        heads: 2,
        head_width: 16,
        inner_width: 64,
        time_width: 16,
        tokens: 5,
        token_width: 32,
    };
    let encoder = EncoderConfig::TimeResampler(encoder);
    let config = config(encoder, Some(vision(VisionFamily::Siglip)), &host);
    let without_host = NativeConfig {
        host: None,
        ..config.clone()
    };
    let layout = AdapterLayout {
        token_width: None,
        joint: Some(TIME_WIDTH),
        ..AdapterLayout::native(&host, 32)
    };
    let mut tensors = untrained_tensors(&without_host, 13)?;
    tensors.extend(random_tensors(&Adapter::tensors(&layout, &host)?, 14)?);
    write_safetensors(path, &tensors, &config.to_metadata()?)
}

/// Writes every kind into a folder; the same numbers every time.
pub fn write_all(folder: &Path) -> Result<()> {
    write_face_id(&folder.join("faceid.safetensors"), false)?;
    write_face_id(&folder.join("faceid-plus.safetensors"), true)?;
    untrained_model::write_residual(&folder.join("residual.safetensors"))?;
    write_sd35(&folder.join("sd35.safetensors"))
}

fn main() {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: untrained_adapters FOLDER");
        std::process::exit(2);
    };
    if let Err(error) = write_all(Path::new(&folder)) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
