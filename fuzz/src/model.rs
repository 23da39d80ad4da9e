//! A tiny untrained model, opened once, and what is made with it.

#[path = "../../examples/untrained_model.rs"]
#[allow(dead_code)]
mod untrained_model;

use omniid::checkpoint::safetensors_to_bytes;
use omniid::conditioning::{Conditioning, ConditioningOptions};
use omniid::encoder::EncoderKind;
use omniid::engine::{untrained_tensors, Engine, EngineOptions, NativeConfig};
use omniid::identity::{Identity, Provenance};
use std::sync::OnceLock;

/// Tokens of the model's identities, and their width.
pub const TOKENS: [usize; 2] = [6, 24];

fn bytes_of(config: NativeConfig) -> Vec<u8> {
    let tensors = untrained_tensors(&config, 7).expect("sound sizes");
    safetensors_to_bytes(&tensors, &config.to_metadata().expect("a sound configuration")).expect("a small file")
}

/// The checkpoint of a model whose host has two attention layers.
pub fn checkpoint() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| bytes_of(untrained_model::config().expect("a sound configuration")))
}

/// The checkpoint of a model whose adapter adds to the residual stream in two places.
pub fn residual_checkpoint() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| bytes_of(untrained_model::residual_config().expect("a sound configuration")))
}

/// The model of [`checkpoint`].
pub fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::open(EngineOptions::new(checkpoint())).expect("a sound model"))
}

/// The model of [`residual_checkpoint`].
pub fn residual_engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::open(EngineOptions::new(residual_checkpoint())).expect("a sound model"))
}

/// An identity of a model, of these values.
pub fn identity_of(engine: &Engine, shape: [usize; 2], values: Vec<f32>) -> omniid::Result<Identity> {
    let provenance = Provenance {
        model: engine.info().fingerprint.clone(),
        photos: 1,
        ..Provenance::default()
    };
    Identity::new(EncoderKind::OmniId, shape, values, Vec::new(), provenance)
}

/// A conditioning of [`engine`].
pub fn conditioning() -> &'static Conditioning {
    static CONDITIONING: OnceLock<Conditioning> = OnceLock::new();
    CONDITIONING.get_or_init(|| {
        let values = (0..TOKENS[0] * TOKENS[1]).map(|i| (i as f32 * 0.7).sin()).collect();
        let identity = identity_of(engine(), TOKENS, values).expect("a sound identity");
        let options = ConditioningOptions::default();
        engine().condition([&identity], &options).expect("a sound identity")
    })
}
