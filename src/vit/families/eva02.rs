//! EVA02-CLIP's tensors.

use super::{block_of, in_block, renamed, renamed_begin, squeezed, unneeded, whole, Others, Parts};

const TOWER: [(&str, &str); 6] = [
    (
        "patch_embed.proj.weight",
        "vision_model.embeddings.patch_embedding.weight",
    ),
    ("patch_embed.proj.bias", "vision_model.embeddings.patch_embedding.bias"),
    ("norm.weight", "vision_model.post_layernorm.weight"),
    ("norm.bias", "vision_model.post_layernorm.bias"),
    ("head.weight", "visual_projection.weight"),
    ("head.bias", "visual_projection.bias"),
];

const ORIGINAL_BLOCK: [(&str, &str); 13] = [
    ("norm1.", "layer_norm1."),
    ("norm2.", "layer_norm2."),
    ("attn.q_proj.", "self_attn.q_proj."),
    ("attn.k_proj.", "self_attn.k_proj."),
    ("attn.v_proj.", "self_attn.v_proj."),
    ("attn.q_bias", "self_attn.q_proj.bias"),
    ("attn.v_bias", "self_attn.v_proj.bias"),
    ("attn.inner_attn_ln.", "self_attn.inner_attn_ln."),
    ("attn.proj.", "self_attn.out_proj."),
    ("mlp.w1.", "mlp.gate_proj."),
    ("mlp.w2.", "mlp.up_proj."),
    ("mlp.ffn_ln.", "mlp.ffn_ln."),
    ("mlp.w3.", "mlp.down_proj."),
];

const TIMM_BLOCK: [(&str, &str); 11] = [
    ("norm1.", "layer_norm1."),
    ("norm2.", "layer_norm2."),
    ("attn.q_proj.", "self_attn.q_proj."),
    ("attn.k_proj.", "self_attn.k_proj."),
    ("attn.v_proj.", "self_attn.v_proj."),
    ("attn.norm.", "self_attn.inner_attn_ln."),
    ("attn.proj.", "self_attn.out_proj."),
    ("mlp.fc1_g.", "mlp.gate_proj."),
    ("mlp.fc1_x.", "mlp.up_proj."),
    ("mlp.norm.", "mlp.ffn_ln."),
    ("mlp.fc2.", "mlp.down_proj."),
];

/// Names of BAAI's EVA-CLIP, below `visual.`
pub(in crate::vit) fn original(name: &str, _: &[usize], _: Others<'_>) -> Parts {
    tower(name, &ORIGINAL_BLOCK)
}

/// Names of timm, below `visual.trunk.` in files of OpenCLIP.
pub(in crate::vit) fn timm(name: &str, _: &[usize], _: Others<'_>) -> Parts {
    tower(name, &TIMM_BLOCK)
}

fn tower(name: &str, in_blocks: &[(&str, &str)]) -> Parts {
    if let Some(new) = renamed(&TOWER, name) {
        return whole(new);
    }
    match name {
        "cls_token" => return squeezed("vision_model.embeddings.class_embedding", 1),
        "pos_embed" => return squeezed("vision_model.embeddings.position_embedding.weight", 2),
        _ => {}
    }
    if name.starts_with("rope.") {
        return whole(format!("vision_model.{name}"));
    }
    let (block, part) = block_of(name, "blocks.")?;
    // Every block has the same table again.
    if part.starts_with("attn.rope.") {
        return unneeded();
    }
    whole(in_block(block, &renamed_begin(in_blocks, part)?))
}
