//! Sizes from the `config.json` of Hugging Face.

use super::{VisionConfig, VisionFamily};
use crate::error::{Error, Result};
use serde_json::{json, Map, Value};

/// What `CLIPVisionConfig` assumes when a file leaves a key out: the sizes of ViT-B/32.
fn clip_defaults() -> Vec<(&'static str, Value)> {
    vec![
        ("hidden_size", json!(768)),
        ("intermediate_size", json!(3072)),
        ("num_hidden_layers", json!(12)),
        ("num_attention_heads", json!(12)),
        ("image_size", json!(224)),
        ("patch_size", json!(32)),
        ("hidden_act", json!("quick_gelu")),
        ("projection_dim", json!(512)),
    ]
}

/// What differs in `SiglipVisionConfig`.
fn siglip_defaults() -> Vec<(&'static str, Value)> {
    vec![
        ("patch_size", json!(16)),
        ("hidden_act", json!("gelu_pytorch_tanh")),
        ("layer_norm_eps", json!(1e-6)),
    ]
}

/// What differs in `Dinov2Config` and `Dinov2WithRegistersConfig`.
fn dinov2_defaults() -> Vec<(&'static str, Value)> {
    vec![
        ("patch_size", json!(14)),
        ("hidden_act", json!("gelu")),
        ("layer_norm_eps", json!(1e-6)),
    ]
}

impl VisionConfig {
    /// Reads a Hugging Face `config.json` of a CLIP, SigLIP or DINOv2 vision model, or of a model with a text encoder
    /// beside it (`vision_config` inside).
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) when the text is not such a file or its sizes are impossible.
    pub fn from_config_json(text: &str) -> Result<Self> {
        let wrong = |error: &dyn std::fmt::Display| Error::format(format!("config.json of the image encoder: {error}"));
        let root: Value = serde_json::from_str(text).map_err(|error| wrong(&error))?;
        let nested = root.get("vision_config").filter(|value| value.is_object());
        let mut value = nested.unwrap_or(&root).clone();
        if let Some(object) = value.as_object_mut() {
            if let (Some(_), Some(outer)) = (nested, root.get("projection_dim")) {
                // A whole CLIP model projects with the outer width; the inner one is a default nobody reads.
                object.insert("projection_dim".to_string(), outer.clone());
            }
            let said = |value: &Value| value.get("model_type").and_then(Value::as_str).map(str::to_string);
            let model_type = object.get("model_type").and_then(Value::as_str).map(str::to_string);
            let model_type = model_type.or_else(|| said(&root)).unwrap_or_default();
            let family = complete(object, &model_type)?;
            object.insert("family".to_string(), json!(family));
        }
        let config: Self = serde_json::from_value(value).map_err(|error| wrong(&error))?;
        config.validate()?;
        Ok(config)
    }
}

/// Fills in what the file leaves out, and gives the family.
fn complete(object: &mut Map<String, Value>, model_type: &str) -> Result<VisionFamily> {
    let number = |object: &Map<String, Value>, key: &str, default: f64| {
        object.get(key).and_then(Value::as_f64).unwrap_or(default)
    };
    if model_type.starts_with("siglip") {
        fill(object, siglip_defaults());
        fill(object, clip_defaults());
        let embeds = match object.get("vision_use_head") {
            Some(Value::Bool(false)) => Value::Null,
            _ => object["hidden_size"].clone(),
        };
        object.insert("projection_dim".to_string(), embeds);
        return Ok(VisionFamily::Siglip);
    }
    if model_type.starts_with("dinov2") {
        let swiglu = object.get("use_swiglu_ffn") == Some(&Value::Bool(true));
        let width = number(object, "hidden_size", 768.0);
        let inner = (width * number(object, "mlp_ratio", 4.0)).floor();
        // A SwiGLU has two thirds of the width, rounded up to a multiple of 8.
        let inner = match swiglu {
            true => (((inner * 2.0 / 3.0).floor() + 7.0) / 8.0).floor() * 8.0,
            false => inner,
        };
        if !(0.0..1e9).contains(&inner) {
            return Err(Error::format(format!(
                "config.json of the image encoder: hidden_size and mlp_ratio make a feed-forward width of {inner}"
            )));
        }
        object.insert("intermediate_size".to_string(), json!(inner as usize));
        if swiglu {
            object.insert("hidden_act".to_string(), json!("silu"));
        }
        fill(object, dinov2_defaults());
        fill(object, clip_defaults());
        object.insert("projection_dim".to_string(), object["hidden_size"].clone());
        let registers = if model_type.contains("registers") { 4.0 } else { 0.0 };
        return Ok(VisionFamily::Dinov2 {
            register_tokens: number(object, "num_register_tokens", registers).max(0.0) as usize,
            swiglu,
        });
    }
    fill(object, clip_defaults());
    Ok(VisionFamily::Clip)
}

fn fill(object: &mut Map<String, Value>, defaults: Vec<(&'static str, Value)>) {
    for (key, default) in defaults {
        object.entry(key).or_insert(default);
    }
}

/// Whether the text is timm's `config.json`, which names an architecture instead of sizes.
pub(super) fn names_an_architecture(text: &str) -> bool {
    let Ok(Value::Object(root)) = serde_json::from_str::<Value>(text) else {
        return false;
    };
    // open_clip writes `model_cfg`, timm `architecture`; transformers has `architectures`.
    let foreign = root.contains_key("architecture") || root.contains_key("model_cfg");
    foreign && !root.contains_key("hidden_size") && !root.contains_key("vision_config")
}
