//! Safetensors files: checkpoints with names of published models, and identities.

use crate::draft::{number, pick, write_safetensors, Draft};
use arbitrary::Unstructured;

const NAMES: [&str; 24] = [
    "image_proj.latents",
    "image_proj.proj_in.weight",
    "image_proj.proj.weight",
    "image_proj.norm.weight",
    "image_proj.layers.0.0.to_q.weight",
    "image_proj.perceiver_resampler.latents",
    "ip_adapter.0.to_k_ip.weight",
    "ip_adapter.1.to_k_ip.weight",
    "ip_adapter.1.to_v_ip.weight",
    "ip_adapter.1.to_q_lora.down.weight",
    "double_blocks.0.processor.ip_adapter_double_stream_k_proj.weight",
    "ip_adapter_proj_model.proj.weight",
    "vision_model.embeddings.class_embedding",
    "vision_model.embeddings.patch_embedding.weight",
    "vision_model.pre_layrnorm.weight",
    "visual.conv1.weight",
    "module.weight",
    "state_dict.weight",
    "backbone.stem.weight",
    "encoder.queries",
    "adapter.0.key.weight",
    "id_encoder.latents",
    "stem.slope",
    "weight",
];

const TYPES: [&str; 8] = ["F32", "F16", "BF16", "F64", "I64", "U8", "F8_E4M3", "BOOL"];

pub fn checkpoint(draft: &mut Draft, input: &mut Unstructured<'_>) {
    let count = number(input, 1..=4);
    let mut tensors: Vec<(String, &str, Vec<usize>)> = Vec::new();
    for _ in 0..count {
        let name = (*pick(input, &NAMES)).to_string();
        if tensors.iter().any(|(other, ..)| *other == name) {
            continue;
        }
        let rank = number(input, 1..=4);
        let shape = (0..rank).map(|_| number(input, 1..=5)).collect();
        tensors.push((name, *pick(input, &TYPES), shape));
    }
    let mut metadata = vec![("format", "pt".to_string())];
    if number(input, 0..=3) == 3 {
        metadata.push(("omniid.format", "1".to_string()));
        metadata.push((
            "omniid.config",
            r#"{"encoder":{"kind":"omni_id","depth":1}}"#.to_string(),
        ));
    }
    write_safetensors(draft, &metadata, &tensors);
}

pub fn identity(draft: &mut Draft, input: &mut Unstructured<'_>) {
    let dtype = *pick(input, &["F32", "F16", "BF16"]);
    let (photos, tokens, width) = (number(input, 1..=3), number(input, 1..=3), number(input, 1..=6));
    let newer = number(input, 0..=1) == 1;
    let encoder = *pick(
        input,
        &["omni_id", "projection", "resampler", "full_face", "face_id_plus"],
    );
    let mut tensors = vec![("tokens".to_string(), dtype, vec![photos * tokens, width])];
    let features = number(input, 0..=1) == 1;
    for photo in 0..photos {
        if features {
            tensors.push((format!("features.{photo}"), dtype, vec![3, 4]));
        }
        if newer && number(input, 0..=1) == 1 {
            tensors.push((format!("embedding.{photo}"), "F32", vec![number(input, 1..=8)]));
        }
    }
    let mut metadata = vec![
        ("omniid.identity", if newer { "2" } else { "1" }.to_string()),
        ("omniid.encoder", encoder.to_string()),
        ("omniid.model", "0123456789abcdef".to_string()),
        ("omniid.photos", photos.to_string()),
        ("omniid.label", "a label".to_string()),
        ("omniid.created", "2026-01-01T00:00:00Z".to_string()),
        ("omniid.consent", String::new()),
    ];
    if newer {
        metadata.push(("omniid.embedding.0", "raw IResNet-50 (w600k_r50)".to_string()));
        metadata.push(("omniid.embedding.1", "raw sface".to_string()));
        metadata.push(("omniid.embedding.2", "raw sface".to_string()));
        metadata.push((
            "omniid.combine",
            (*pick(input, &["concatenate", "average", "add"])).to_string(),
        ));
        metadata.push(("omniid.shortcut_scale", "0.5".to_string()));
    }
    write_safetensors(draft, &metadata, &tensors);
}
