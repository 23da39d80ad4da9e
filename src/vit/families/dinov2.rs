//! DINOv2's tensors.

use super::{
    block_of, in_block, query_key_value, renamed, renamed_begin, squeezed, stacked, unneeded, whole, Others, Parts,
};

const CLASS: &str = "vision_model.embeddings.class_embedding";
const POSITIONS: &str = "vision_model.embeddings.position_embedding.weight";

const HUGGING_FACE: [(&str, &str); 5] = [
    (
        "embeddings.patch_embeddings.projection.weight",
        "vision_model.embeddings.patch_embedding.weight",
    ),
    (
        "embeddings.patch_embeddings.projection.bias",
        "vision_model.embeddings.patch_embedding.bias",
    ),
    ("embeddings.register_tokens", "vision_model.embeddings.register_tokens"),
    ("layernorm.weight", "vision_model.post_layernorm.weight"),
    ("layernorm.bias", "vision_model.post_layernorm.bias"),
];

const HUGGING_FACE_BLOCK: [(&str, &str); 9] = [
    ("norm1.", "layer_norm1."),
    ("norm2.", "layer_norm2."),
    ("attention.attention.query.", "self_attn.q_proj."),
    ("attention.attention.key.", "self_attn.k_proj."),
    ("attention.attention.value.", "self_attn.v_proj."),
    ("attention.output.dense.", "self_attn.out_proj."),
    ("layer_scale", "layer_scale"),
    ("mlp.weights_out.", "mlp.down_proj."),
    ("mlp.fc", "mlp.fc"),
];

/// Names of transformers.
pub(in crate::vit) fn hugging_face(name: &str, shape: &[usize], _: Others<'_>) -> Parts {
    if let Some(new) = renamed(&HUGGING_FACE, name) {
        return whole(new);
    }
    match name {
        "embeddings.cls_token" => return squeezed(CLASS, 1),
        "embeddings.position_embeddings" => return squeezed(POSITIONS, 2),
        "embeddings.mask_token" => return unneeded(),
        _ => {}
    }
    let (block, part) = block_of(name, "encoder.layer.")?;
    if let Some(kind) = part.strip_prefix("mlp.weights_in.") {
        return gate_and_up(block, kind, shape);
    }
    whole(in_block(block, &renamed_begin(&HUGGING_FACE_BLOCK, part)?))
}

const ORIGINAL: [(&str, &str); 5] = [
    (
        "patch_embed.proj.weight",
        "vision_model.embeddings.patch_embedding.weight",
    ),
    ("patch_embed.proj.bias", "vision_model.embeddings.patch_embedding.bias"),
    ("register_tokens", "vision_model.embeddings.register_tokens"),
    ("norm.weight", "vision_model.post_layernorm.weight"),
    ("norm.bias", "vision_model.post_layernorm.bias"),
];

const ORIGINAL_BLOCK: [(&str, &str); 6] = [
    ("norm1.", "layer_norm1."),
    ("norm2.", "layer_norm2."),
    ("attn.proj.", "self_attn.out_proj."),
    ("ls1.gamma", "layer_scale1.lambda1"),
    ("ls2.gamma", "layer_scale2.lambda1"),
    ("mlp.w3.", "mlp.down_proj."),
];

/// Names of Meta's files, and of timm for models without registers: its files with registers have the class token's
/// position added to the class token, and no place for one.
pub(in crate::vit) fn original(name: &str, shape: &[usize], shape_of: Others<'_>) -> Parts {
    if let Some(new) = renamed(&ORIGINAL, name) {
        return whole(new);
    }
    match name {
        "cls_token" => return squeezed(CLASS, 1),
        "pos_embed" => return squeezed(POSITIONS, 2),
        "mask_token" => return unneeded(),
        _ => {}
    }
    let (block, part) = block_of(name, "blocks.")?;
    if let Some(kind) = part.strip_prefix("attn.qkv.") {
        return stacked(&query_key_value(&in_block(block, "self_attn"), kind), shape);
    }
    if let Some(kind) = part.strip_prefix("mlp.w12.") {
        return gate_and_up(block, kind, shape);
    }
    if let Some(rest) = part.strip_prefix("mlp.fc") {
        // timm's giant model has both halves of the SwiGLU in one layer: twice as many rows as the next one reads.
        let inner = shape_of(&format!("blocks.{block}.mlp.fc2.weight")).and_then(|shape| shape.get(1).copied());
        let rows = shape_of(&format!("blocks.{block}.mlp.fc1.weight")).and_then(|shape| shape.first().copied());
        let gated = inner.zip(rows).is_some_and(|(inner, rows)| rows == 2 * inner);
        return match (gated, rest.split_once('.')?) {
            (true, ("1", kind)) => gate_and_up(block, kind, shape),
            (true, (_, kind)) => whole(in_block(block, &format!("mlp.down_proj.{kind}"))),
            (false, _) => whole(in_block(block, part)),
        };
    }
    whole(in_block(block, &renamed_begin(&ORIGINAL_BLOCK, part)?))
}

/// The two halves of a SwiGLU's first layer: the gate comes first.
fn gate_and_up(block: &str, kind: &str, shape: &[usize]) -> Parts {
    let names = ["gate_proj", "up_proj"].map(|half| in_block(block, &format!("mlp.{half}.{kind}")));
    stacked(&names, shape)
}
