//! Backbone and encoders against `transformers`, `diffusers` and the PyTorch reference of the native encoder.
//!
//! The fixtures are written by `tests/parity/generate.py`; `OMNIID_PARITY_FIXTURES` names another folder of them,
//! as `tests/parity/run.sh` does with a fresh seed.

use candle_core::{DType, Device, Tensor};
use omniid::checkpoint::Checkpoint;
use omniid::encoder::{Encoder, EncoderConfig, EncoderInput, EncoderKind, Features, OmniIdConfig};
use omniid::vit::{VisionConfig, VisionTransformer};
use omniid::Limits;
use omniid_kernels::layers::Activation;
use std::path::{Path, PathBuf};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Largest absolute difference allowed. References are computed in f32; with 16-bit weights the difference is the
/// rounding of the weights (relative 2⁻¹¹ and 2⁻⁸), through a few layers of activations of size 1 to 5.
const PRECISIONS: [(DType, f32); 3] = [(DType::F32, 1e-5), (DType::F16, 6e-3), (DType::BF16, 6e-2)];

/// The folders of an area, one per case.
fn cases(area: &str) -> Vec<PathBuf> {
    let root = match std::env::var_os("OMNIID_PARITY_FIXTURES") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity"),
    };
    let folder = root.join(area);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    cases.sort();
    assert!(cases.len() >= 2, "{} holds fewer than two cases", folder.display());
    cases
}

fn open(path: &Path) -> Result<Checkpoint, omniid::Error> {
    Checkpoint::open(path, &Limits::default())
}

fn expected(case: &Path, name: &str) -> Result<Tensor, omniid::Error> {
    open(&case.join("expected.safetensors"))?.tensor(name, DType::F32, &Device::Cpu)
}

fn difference(a: &Tensor, b: &Tensor) -> Result<f32, Box<dyn std::error::Error>> {
    assert_eq!(a.dims(), b.dims());
    let difference = (a - b)?.abs()?.flatten_all()?.to_vec1::<f32>()?;
    // A NaN must not hide in a maximum.
    assert!(difference.iter().all(|value| value.is_finite()));
    Ok(difference.into_iter().fold(0.0, f32::max))
}

fn check(case: &Path, what: &str, dtype: DType, limit: f32, got: &Tensor, expected: &Tensor) -> Outcome {
    let difference = difference(got, expected)?;
    let name = case.file_name().unwrap_or_default().to_string_lossy();
    println!("{name} {what} {dtype:?}: {difference:.2e} (limit {limit:.0e})");
    assert!(
        difference <= limit,
        "{name}: {what} with {dtype:?} weights differs by {difference:.2e}"
    );
    Ok(())
}

fn vision(case: &Path, dtype: DType) -> Result<VisionTransformer, Box<dyn std::error::Error>> {
    let checkpoint = open(&case.join("model.safetensors"))?;
    let json = std::fs::read_to_string(case.join("config.json"))?;
    let config = VisionConfig::infer(&checkpoint, Some(&json))?;
    let (builder, usage) = checkpoint.var_builder(dtype, &Device::Cpu);
    let model = VisionTransformer::load(&config, builder)?;
    assert_eq!(usage.unused(), Vec::<String>::new());
    Ok(model)
}

#[test]
fn hidden_states_and_image_embeds_equal_transformers() -> Outcome {
    for case in cases("vision") {
        let pixels = expected(&case, "pixels")?;
        for (dtype, limit) in PRECISIONS {
            let model = vision(&case, dtype)?;
            let states = model.hidden_states(&pixels)?;
            assert_eq!(states.len(), model.config().num_hidden_layers + 1);
            for (i, state) in states.iter().enumerate() {
                let name = format!("hidden_states.{i}");
                check(&case, &name, dtype, limit, state, &expected(&case, &name)?)?;
            }
            let penultimate = model.penultimate_in_batches(&pixels, 1)?;
            check(
                &case,
                "penultimate",
                dtype,
                limit,
                &penultimate,
                &expected(&case, "penultimate")?,
            )?;
            let embeds = model.image_embeds(&pixels)?;
            check(
                &case,
                "image_embeds",
                dtype,
                limit,
                &embeds,
                &expected(&case, "image_embeds")?,
            )?;
        }
    }
    Ok(())
}

#[test]
fn a_wrong_activation_is_noticed() -> Outcome {
    for case in cases("vision") {
        let checkpoint = open(&case.join("model.safetensors"))?;
        let json = std::fs::read_to_string(case.join("config.json"))?;
        let config = VisionConfig::infer(&checkpoint, Some(&json))?;
        for wrong in [Activation::Gelu, Activation::QuickGelu, Activation::GeluTanh] {
            if wrong == config.hidden_act {
                continue;
            }
            let config = VisionConfig {
                hidden_act: wrong,
                ..config.clone()
            };
            let (builder, _) = checkpoint.var_builder(DType::F32, &Device::Cpu);
            let model = VisionTransformer::load(&config, builder)?;
            let got = model.penultimate(&expected(&case, "pixels")?)?;
            let difference = difference(&got, &expected(&case, "penultimate")?)?;
            println!("{} with {wrong}: {difference:.2e}", case.display());
            assert!(
                difference > 1e-4,
                "{wrong} passes for {}: {difference:.2e}",
                case.display()
            );
        }
    }
    Ok(())
}

#[test]
fn projections_equal_diffusers() -> Outcome {
    let mut kinds = Vec::new();
    for case in cases("projection") {
        let safetensors = case.join("ip-adapter.safetensors");
        let path = if safetensors.exists() {
            safetensors
        } else {
            case.join("ip-adapter.bin")
        };
        let checkpoint = open(&path)?.sub("image_proj");
        let config = EncoderConfig::infer(&checkpoint)?;
        kinds.push(config.kind());
        let features = expected(&case, "features")?;
        let tokens = expected(&case, "tokens")?;
        for (dtype, limit) in PRECISIONS {
            let (builder, usage) = checkpoint.var_builder(dtype, &Device::Cpu);
            let encoder = Encoder::load(&config, builder)?;
            assert_eq!(usage.unused(), Vec::<String>::new());
            // Two photos: their tokens one after the other.
            let photos = [0, 1].map(|n| Features::of_image(features.get(n).expect("two photos")));
            let rank = if encoder.input() == EncoderInput::ImageEmbeds {
                1
            } else {
                2
            };
            assert_eq!(photos[0].image()?.rank(), rank);
            let got = encoder.encode(&photos)?;
            check(&case, "tokens", dtype, limit, &got, &tokens.flatten(0, 1)?)?;
        }
    }
    for kind in [EncoderKind::Resampler, EncoderKind::FullFace, EncoderKind::Projection] {
        let count = kinds.iter().filter(|&&found| found == kind).count();
        assert!(count >= 2, "only {count} cases of {kind:?}");
    }
    Ok(())
}

#[test]
fn omni_id_equals_the_reference() -> Outcome {
    for case in cases("omni_id") {
        let config: OmniIdConfig = serde_json::from_str(&std::fs::read_to_string(case.join("config.json"))?)?;
        let checkpoint = open(&case.join("encoder.safetensors"))?;
        let photos = expected(&case, "photos")?;
        let list = (0..photos.dim(0)?)
            .map(|n| Ok(photos.get(n)?.into()))
            .collect::<omniid::Result<Vec<Features>>>()?;
        for (dtype, limit) in PRECISIONS {
            let (builder, usage) = checkpoint.var_builder(dtype, &Device::Cpu);
            let encoder = Encoder::load(&EncoderConfig::OmniId(config.clone()), builder)?;
            assert_eq!(usage.unused(), Vec::<String>::new());
            let tokens = encoder.encode(&list)?;
            check(&case, "tokens", dtype, limit, &tokens, &expected(&case, "tokens")?)?;
            let one = encoder.encode(&list[..1])?;
            check(&case, "one photo", dtype, limit, &one, &expected(&case, "one_photo")?)?;
            let mut reversed = list.clone();
            reversed.reverse();
            let order = difference(&encoder.encode(&reversed)?, &tokens)?;
            assert!(order <= 1e-5, "photo order changes the identity by {order:.2e}");
            assert!(encoder.token_mean().is_some());
        }
    }
    Ok(())
}
