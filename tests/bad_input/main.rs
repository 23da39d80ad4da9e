//! Bad input through the public interface: every case gives an error of the right kind whose message names the
//! thing, and nothing panics. Photos alone are in `photo_hostile.rs`, identity files in `identity_file.rs`.

mod blow_ups;
mod calls;
mod configuration;
mod injection;
mod opening;
mod saving;

use candle_core::Tensor;
use omniid::encoder::{EncoderConfig, OmniIdConfig};
use omniid::engine::{
    untrained_tensors, ConditioningInput, EncodeOptions, Engine, EngineOptions, HostConfig, NativeConfig,
};
use omniid::face::CropMode;
use omniid::host::{HostLayer, HostSpec};
use omniid::identity::Identity;
use omniid::photo::{ChannelOrder, Photo, PixelBuffer};
use omniid::vit::{VisionConfig, VisionFamily};
use omniid::{Error, ErrorKind};
use omniid_kernels::layers::Activation;
use std::collections::BTreeMap;

/// A model of a few thousand weights: 28-pixel photos, 5 feature tokens, 3 identity tokens of width 12.
fn config() -> NativeConfig {
    let backbone = VisionConfig {
        family: VisionFamily::Clip,
        hidden_size: 16,
        intermediate_size: 32,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        image_size: 28,
        patch_size: 14,
        hidden_act: Activation::Gelu,
        layer_norm_eps: 1e-5,
        projection_dim: None,
    };
    let encoder = OmniIdConfig {
        queries: 3,
        width: 16,
        depth: 1,
        heads: 2,
        head_width: 8,
        feed_forward_multiplier: 2,
        feature_width: 16,
        feature_tokens: 5,
        token_width: 12,
        key_position: true,
        include_class_token: true,
    };
    NativeConfig {
        name: "small".into(),
        backbone: Some(backbone),
        pixels: Default::default(),
        crop: CropMode::None,
        encoder: EncoderConfig::OmniId(encoder),
        recogniser: None,
        parser: None,
        host: Some(HostConfig::from(&host(8, 20))),
    }
}

/// A host of two layers, "first" with 2 and "second" with 4 heads.
fn host(head_dim: usize, context: usize) -> HostSpec {
    let layers = vec![
        HostLayer::new("first", 2, head_dim, context),
        HostLayer::new("second", 4, head_dim, context),
    ];
    HostSpec::custom("two layers", layers).unwrap()
}

/// Tensors and metadata of a native checkpoint, to be spoiled.
#[derive(Clone)]
struct Parts {
    tensors: BTreeMap<String, Tensor>,
    metadata: BTreeMap<String, String>,
}

impl Parts {
    fn sound(seed: u64) -> Self {
        Self {
            tensors: untrained_tensors(&config(), seed).unwrap().into_iter().collect(),
            metadata: config().to_metadata().unwrap(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let tensors: Vec<_> = self.tensors.clone().into_iter().collect();
        omniid::checkpoint::safetensors_to_bytes(&tensors, &self.metadata).unwrap()
    }

    /// Replaces the value at a JSON path of the configuration, such as `/backbone/image_size`.
    fn configure(&mut self, pointer: &str, value: serde_json::Value) {
        let mut config: serde_json::Value = serde_json::from_str(&self.metadata["omniid.config"]).unwrap();
        match config.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => panic!("no {pointer} in {config}"),
        }
        self.metadata.insert("omniid.config".into(), config.to_string());
    }

    fn open(&self) -> omniid::Result<Engine> {
        open(self.bytes())
    }
}

fn options(bytes: Vec<u8>) -> EngineOptions {
    EngineOptions::new(bytes)
}

fn open(bytes: Vec<u8>) -> omniid::Result<Engine> {
    Engine::open(options(bytes))
}

fn engine() -> Engine {
    Parts::sound(1).open().unwrap()
}

/// A photo of 40 × 30 pixels that differs with `seed`.
fn photo(seed: u8) -> Photo<'static> {
    let pixels: Vec<u8> = (0..40 * 30 * 3u32).map(|i| (i * u32::from(seed) % 251) as u8).collect();
    Photo::from_pixels(PixelBuffer::new(pixels, 40, 30, 0, ChannelOrder::Rgb).unwrap())
}

fn encode(engine: &Engine) -> omniid::Result<Identity> {
    let encoded = engine.encode(&[photo(7)], &EncodeOptions::default())?;
    Ok(encoded.identity)
}

/// Opens, encodes a photo and conditions it: an adapter is read only then.
fn through(opened: omniid::Result<Engine>) -> omniid::Result<()> {
    let engine = opened?;
    let identity = encode(&engine)?;
    let input = ConditioningInput::new(&identity);
    engine.condition([input], &Default::default())?;
    Ok(())
}

/// Checks one case: an error of this kind, with all of these words in its message.
#[track_caller]
fn refused<T>(case: &str, outcome: omniid::Result<T>, kind: ErrorKind, words: &[&str]) -> Error {
    let error = match outcome {
        Ok(_) => panic!("{case}: accepted, expected {kind:?}"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), kind, "{case}: {error}");
    for word in words {
        assert!(error.message().contains(word), "{case}: {word:?} is not in {error}");
    }
    error
}

#[test]
fn the_unspoiled_model_works() {
    through(Parts::sound(1).open()).unwrap();
}
