//! SigLIP, DINOv2 and EVA02-CLIP against `transformers` and `timm`, from files under their names.
//!
//! Fixtures as in `parity_encoder.rs`. With 16-bit weights the reference has weights of the same values, so that the
//! limit of f32 holds for all.

use candle_core::{DType, Device, Tensor};
use omniid::checkpoint::{recognise, Checkpoint, CheckpointKind};
use omniid::vit::{VisionConfig, VisionFamily, VisionTransformer};
use omniid::Limits;
use omniid_kernels::layers::Activation;
use std::path::{Path, PathBuf};

#[path = "parity/precision.rs"]
mod precision;

use precision::{limit, PRECISIONS};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const CASES: [(&str, VisionFamily); 8] = [
    ("siglip", VisionFamily::Siglip),
    ("siglip_text", VisionFamily::Siglip),
    ("siglip_open_clip", VisionFamily::Siglip),
    ("dinov2", DINOV2),
    (
        "dinov2_swiglu",
        VisionFamily::Dinov2 {
            register_tokens: 0,
            swiglu: true,
        },
    ),
    (
        "dinov2_registers",
        VisionFamily::Dinov2 {
            register_tokens: 3,
            swiglu: false,
        },
    ),
    ("eva02", VisionFamily::Eva02),
    ("eva02_timm", VisionFamily::Eva02),
];

const DINOV2: VisionFamily = VisionFamily::Dinov2 {
    register_tokens: 0,
    swiglu: false,
};

fn folder(case: &str) -> PathBuf {
    let root = match std::env::var_os("OMNIID_PARITY_FIXTURES") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity"),
    };
    root.join("vision_families").join(case)
}

fn open(path: &Path) -> Result<Checkpoint, omniid::Error> {
    Checkpoint::open(path, &Limits::default())
}

/// The model of a case. Sizes come from its config.json; timm's files have none, as their sizes are the models'.
fn model(case: &str, dtype: DType) -> Result<VisionTransformer, Box<dyn std::error::Error>> {
    let view = open(&folder(case).join("model.safetensors"))?.vision_view()?;
    let config = match std::fs::read_to_string(folder(case).join("config.json")) {
        Ok(json) => VisionConfig::infer(&view, Some(&json))?,
        Err(_) => {
            let shape = |name: &str| view.shape(name).expect(name).to_vec();
            let block = "vision_model.encoder.layers.0";
            let eva = case.starts_with("eva02");
            let inner = if eva { "gate_proj" } else { "fc1" };
            let layers =
                (0..).take_while(|n| view.contains(&format!("vision_model.encoder.layers.{n}.layer_norm1.weight")));
            VisionConfig {
                family: if eva { VisionFamily::Eva02 } else { VisionFamily::Siglip },
                hidden_size: shape("vision_model.post_layernorm.weight")[0],
                intermediate_size: shape(&format!("{block}.mlp.{inner}.weight"))[0],
                num_hidden_layers: layers.count(),
                num_attention_heads: if eva { 2 } else { 4 },
                image_size: 28,
                patch_size: 7,
                hidden_act: if eva { Activation::Silu } else { Activation::GeluTanh },
                layer_norm_eps: 1e-6,
                projection_dim: Some(if eva {
                    12
                } else {
                    shape("vision_model.post_layernorm.weight")[0]
                }),
            }
        }
    };
    let model = view.build(dtype, &Device::Cpu, |weights| VisionTransformer::load(&config, weights))?;
    Ok(model)
}

fn check(case: &str, what: &str, limit: f32, got: &Tensor, expected: &Tensor) -> Outcome {
    assert_eq!(got.dims(), expected.dims(), "{case} {what}");
    let values = (got - expected)?.abs()?.flatten_all()?.to_vec1::<f32>()?;
    assert!(values.iter().all(|value| value.is_finite()));
    let difference = values.into_iter().fold(0.0, f32::max);
    println!("{case} {what}: {difference:.2e} (limit {limit:.0e})");
    assert!(difference <= limit, "{case}: {what} differs by {difference:.2e}");
    Ok(())
}

/// Compares with the files `name`, whose reference has weights that are rounded to `dtype`.
fn compare(case: &str, name: &str, dtype: DType, model: &VisionTransformer) -> Outcome {
    let inputs = open(&folder(case).join(format!("{name}.safetensors")))?;
    let outputs = match dtype {
        DType::F32 => inputs.clone(),
        _ => open(&folder(case).join(format!("{name}.{}.safetensors", dtype.as_str())))?,
    };
    let case = format!("{case} {name} {dtype:?}");
    let expected = |name: &str| outputs.tensor(name, DType::F32, &Device::Cpu);
    let pixels = inputs.tensor("pixels", DType::F32, &Device::Cpu)?;
    let states = model.hidden_states(&pixels)?;
    let mut compared = 0;
    for (index, state) in states.iter().enumerate() {
        let name = format!("hidden_states.{index}");
        if outputs.contains(&name) {
            check(&case, &name, limit(dtype), state, &expected(&name)?)?;
            compared += 1;
        }
    }
    assert!(
        compared >= model.config().num_hidden_layers,
        "{case}: {compared} states"
    );
    let last = model.last_hidden_state(&pixels)?;
    check(
        &case,
        "last_hidden_state",
        limit(dtype),
        &last,
        &expected("last_hidden_state")?,
    )?;
    let embeds = model.image_embeds(&pixels)?;
    check(&case, "image_embeds", limit(dtype), &embeds, &expected("image_embeds")?)?;
    let (levels, again) = model.levels_and_embeds(&pixels, &[1, 0])?;
    check(&case, "level 1", 0.0, &levels[0], &states[1])?;
    check(&case, "level 0", 0.0, &levels[1], &states[0])?;
    check(&case, "embeds with levels", 0.0, &again, &embeds)
}

#[test]
fn every_family_equals_its_reference() -> Outcome {
    for (case, family) in CASES {
        for dtype in PRECISIONS {
            let model = model(case, dtype)?;
            assert_eq!(model.config().family, family, "{case}");
            compare(case, "expected", dtype, &model)?;
            if matches!(family, VisionFamily::Dinov2 { .. }) {
                compare(case, "larger", dtype, &model)?;
                compare(case, "smaller", dtype, &model)?;
            }
        }
    }
    Ok(())
}

#[test]
fn files_are_recognised_with_their_sizes() -> Outcome {
    for (case, expected) in CASES {
        let file = open(&folder(case).join("model.safetensors"))?;
        let CheckpointKind::ImageEncoder {
            family, layers, tokens, ..
        } = recognise(&file)?
        else {
            panic!("{case}: {:?}", recognise(&file)?);
        };
        assert_eq!(
            (family, layers, tokens),
            (expected, 2, 16 + expected.prefix_tokens()),
            "{case}"
        );
        let text = file.describe()?.to_string();
        assert!(text.contains(&format!("{} image encoder", expected.name())), "{text}");
    }
    Ok(())
}

#[test]
fn an_unknown_tensor_is_named() -> Outcome {
    for (case, name) in [
        ("siglip_open_clip", "visual.trunk.extra.weight"),
        ("dinov2", "encoder.layer.0.extra.weight"),
        ("eva02", "visual.blocks.1.attn.extra"),
    ] {
        let file = open(&folder(case).join("model.safetensors"))?;
        let mut tensors = Vec::new();
        for name in file.names() {
            tensors.push((name.to_string(), file.tensor(name, DType::F32, &Device::Cpu)?));
        }
        tensors.push((name.to_string(), Tensor::zeros(2, DType::F32, &Device::Cpu)?));
        let bytes = omniid::checkpoint::safetensors_to_bytes(&tensors, &Default::default())?;
        let error = Checkpoint::open(bytes, &Limits::default())?
            .vision_view()
            .expect_err(case);
        assert!(error.message().contains(name), "{error}");
    }
    Ok(())
}
