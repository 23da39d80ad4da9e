//! Model files as people have them: under wrappers' names, in folders and shards, damaged, changed while they are opened
//! and used, of 8-bit numbers, and files that are no models.

mod changed;
mod filling;
mod float8;
mod folders;
#[cfg(unix)]
mod moments;
mod names;
mod others;

use candle_core::{DType, Device, Tensor};
use omniid::checkpoint::{safetensors_to_bytes, Checkpoint};
use omniid::conditioning::Role;
use omniid::engine::{EncodeOptions, Engine, EngineOptions};
use omniid::face::CropMode;
use omniid::host::{HostFamily, HostLayer, HostSpec};
use omniid::photo::{ChannelOrder, Photo, PixelBuffer};
use omniid::vit::{VisionConfig, VisionFamily, VisionTransformer};
use omniid::{Error, ErrorKind, Limits};
use omniid_kernels::layers::{random_tensors, Activation};
use std::path::Path;

type Tensors = Vec<(String, Tensor)>;

fn vision() -> VisionConfig {
    VisionConfig {
        family: VisionFamily::Clip,
        hidden_size: 64,
        intermediate_size: 64,
        num_hidden_layers: 1,
        num_attention_heads: 1,
        image_size: 56,
        patch_size: 14,
        hidden_act: Activation::Gelu,
        layer_norm_eps: 1e-5,
        projection_dim: Some(32),
    }
}

/// A CLIP image encoder under Hugging Face names, 17 tokens of width 64.
fn clip() -> Tensors {
    random_tensors(&VisionTransformer::tensors(&vision()).unwrap(), 1).unwrap()
}

fn random(shape: &[usize], seed: usize) -> Tensor {
    let count: usize = shape.iter().product();
    let value = |i: usize| ((i * 7919 + seed * 104_729) % 9973) as f32 / 9973.0 - 0.5;
    let values: Vec<f32> = (0..count).map(value).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Layers of the adapter: their numbers in the file.
const LAYERS: [usize; 3] = [1, 3, 5];

/// An IP-Adapter Plus of 4 tokens and three layers of width 16.
fn adapter() -> Tensors {
    let resampler: [(&str, &[usize]); 18] = [
        ("latents", &[1, 4, 64]),
        ("proj_in.weight", &[64, 64]),
        ("proj_in.bias", &[64]),
        ("layers.0.0.norm1.weight", &[64]),
        ("layers.0.0.norm1.bias", &[64]),
        ("layers.0.0.norm2.weight", &[64]),
        ("layers.0.0.norm2.bias", &[64]),
        ("layers.0.0.to_q.weight", &[64, 64]),
        ("layers.0.0.to_kv.weight", &[128, 64]),
        ("layers.0.0.to_out.weight", &[64, 64]),
        ("layers.0.1.0.weight", &[64]),
        ("layers.0.1.0.bias", &[64]),
        ("layers.0.1.1.weight", &[256, 64]),
        ("layers.0.1.3.weight", &[64, 256]),
        ("proj_out.weight", &[32, 64]),
        ("proj_out.bias", &[32]),
        ("norm_out.weight", &[32]),
        ("norm_out.bias", &[32]),
    ];
    let resampler = resampler
        .iter()
        .map(|(name, shape)| (format!("image_proj.{name}"), *shape));
    let layers = LAYERS
        .iter()
        .flat_map(|layer| ["k", "v"].map(|side| (format!("ip_adapter.{layer}.to_{side}_ip.weight"), &[16, 32][..])));
    resampler
        .chain(layers)
        .enumerate()
        .map(|(seed, (name, shape))| (name, random(shape, seed)))
        .collect()
}

fn host() -> HostSpec {
    let layer = |&key: &usize| HostLayer {
        key,
        ..HostLayer::new(format!("l{key}"), 1, 16, 32)
    };
    HostSpec::from_layers("toy", HostFamily::Other, LAYERS.iter().map(layer).collect()).unwrap()
}

/// The same tensors under other names.
fn renamed(tensors: &Tensors, rename: impl Fn(&str) -> String) -> Tensors {
    tensors
        .iter()
        .map(|(name, tensor)| (rename(name), tensor.clone()))
        .collect()
}

fn bytes(tensors: &Tensors) -> Vec<u8> {
    safetensors_to_bytes(tensors, &Default::default()).unwrap()
}

fn save(path: &Path, tensors: &Tensors) {
    std::fs::write(path, bytes(tensors)).unwrap();
}

fn open(tensors: &Tensors) -> Checkpoint {
    Checkpoint::open(bytes(tensors), &Limits::default()).unwrap()
}

fn options(adapter: impl Into<omniid::engine::Source>, encoder: impl Into<omniid::engine::Source>) -> EngineOptions {
    EngineOptions::new(adapter)
        .with_image_encoder(encoder)
        .with_image_encoder_config(serde_json::to_string(&vision()).unwrap())
        .with_host(host())
}

/// Tokens of a drawn photo, and the keys and values of the first layer: everything that the files' weights lead to.
fn results(engine: &Engine) -> omniid::Result<Vec<f32>> {
    let data: Vec<u8> = (0..60 * 60 * 3).map(|i| (i * 37 % 251) as u8).collect();
    let pixels = PixelBuffer::new(data, 60, 60, 0, ChannelOrder::Rgb).unwrap();
    let encoded = engine.encode(
        [Photo::from_pixels(pixels)],
        &EncodeOptions::default().with_crop(CropMode::None),
    )?;
    let mut values = encoded.identity.values().to_vec();
    let conditioning = engine.condition([&encoded.identity], &Default::default())?;
    let pair = [
        conditioning.keys(0, 0, Role::Conditional)?,
        conditioning.values(0, 0, Role::Conditional)?,
    ];
    for tensor in pair.into_iter().flatten() {
        values.extend(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?);
    }
    Ok(values)
}

/// The results of the plain files.
fn reference() -> Vec<f32> {
    results(&Engine::open(options(bytes(&adapter()), bytes(&clip()))).unwrap()).unwrap()
}

/// The call fails with this kind, and the message holds the words.
fn refused<T>(case: &str, outcome: omniid::Result<T>, kind: ErrorKind, words: &[&str]) -> Error {
    let error = match outcome {
        Ok(_) => panic!("{case}: no error"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), kind, "{case}: {error}");
    for word in words {
        assert!(error.message().contains(word), "{case}: no {word:?} in: {error}");
    }
    error
}
