//! The demo's model: public formats, random weights, small sizes.

use crate::failure::Outcome;
use crate::output;
use candle_core::Tensor;
use omniid::checkpoint::{save_atomically, write_safetensors};
use omniid::encoder::{EncoderConfig, FullFaceConfig};
use omniid::engine::HostConfig;
use omniid::host::{HostSpec, UnetConfig};
use omniid::nn::{random_tensors, Activation, TensorSpec};
use omniid::vit::{vision_tensors, VisionConfig};
use omniid::{Error, ErrorKind};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Side of the pictures that the image encoder takes.
pub const IMAGE_SIDE: usize = 112;

/// Side of one of its patches.
pub const PATCH_SIDE: usize = 14;

/// Where the model was written.
pub struct Files {
    pub image_encoder: PathBuf,
    pub adapter: PathBuf,
    pub host: HostSpec,
    pub bytes: u64,
}

/// The sizes of the image encoder.
fn vision() -> VisionConfig {
    VisionConfig {
        hidden_size: 64,
        intermediate_size: 256,
        num_hidden_layers: 4,
        num_attention_heads: 4,
        image_size: IMAGE_SIDE,
        patch_size: PATCH_SIDE,
        hidden_act: Activation::Gelu,
        layer_norm_eps: 1e-5,
        projection_dim: Some(32),
    }
}

/// A UNet of Stable Diffusion's layout with two levels of attention.
fn host() -> Outcome<HostSpec> {
    Ok(HostSpec::unet(&UnetConfig {
        channels: vec![32, 64, 64],
        layers_per_block: vec![1; 3],
        down_depth: vec![1, 1, 0],
        up_depth: vec![0, 1, 1],
        middle_depth: 1,
        heads: vec![4; 3],
        context: 48,
    })?)
}

/// The image encoder's `config.json`, as far as readers need it.
#[derive(Serialize)]
struct VisionJson<'a> {
    architectures: [&'a str; 1],
    model_type: &'a str,
    #[serde(flatten)]
    sizes: &'a VisionConfig,
}

/// Writes image encoder, adapter and layer table into `folder`.
pub fn write(folder: &Path, seed: u64) -> Outcome<Files> {
    let vision = vision();
    let host = host()?;
    let clip = folder.join("clip-vision");
    output::make_folder(&clip)?;
    let image_encoder = clip.join("model.safetensors");
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    write_safetensors(
        &image_encoder,
        &random_tensors(&vision_tensors(&vision), seed)?,
        &metadata,
    )?;
    let json = VisionJson {
        architectures: ["CLIPVisionModelWithProjection"],
        model_type: "clip_vision_model",
        sizes: &vision,
    };
    write_json(&clip.join("config.json"), &json)?;
    write_json(&folder.join("host.json"), &HostConfig::from(&host))?;
    let adapter = folder.join("ip-adapter.safetensors");
    write_safetensors(&adapter, &adapter_tensors(&vision, &host, seed)?, &metadata)?;
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let bytes = size(&image_encoder) + size(&adapter);
    Ok(Files {
        image_encoder,
        adapter,
        host,
        bytes,
    })
}

/// An IP-Adapter in the full-face form: its tokens are the photo's patches, so that attention can be shown.
fn adapter_tensors(vision: &VisionConfig, host: &HostSpec, seed: u64) -> Outcome<Vec<(String, Tensor)>> {
    let context = host.layer(0)?.context;
    let projection = EncoderConfig::FullFace(FullFaceConfig::new(vision.hidden_size, context));
    let mut specs: Vec<TensorSpec> = projection
        .tensors()?
        .into_iter()
        .map(|spec| TensorSpec {
            name: format!("image_proj.{}", spec.name),
            ..spec
        })
        .collect();
    for layer in host.layers() {
        for side in ["to_k_ip", "to_v_ip"] {
            let name = format!("ip_adapter.{}.{side}.weight", layer.key);
            specs.push(TensorSpec::linear(name, layer.inner, layer.context));
        }
    }
    Ok(random_tensors(&specs, seed)?)
}

fn write_json(path: &Path, value: &impl Serialize) -> Outcome {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| Error::internal(format!("JSON: {error}")))?;
    let io = |error: std::io::Error| Error::new(ErrorKind::Io, error.to_string());
    Ok(save_atomically(path, |out| {
        out.write_all(text.as_bytes()).map_err(io)
    })?)
}
