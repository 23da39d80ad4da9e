//! SigLIP's tensors.

use super::{
    block_of, in_block, query_key_value, renamed, renamed_begin, squeezed, stacked, unneeded, whole, Others, Parts,
};

const HEAD: &str = "vision_model.head";

/// Names of transformers, without `vision_model.`
const HUGGING_FACE: [&str; 4] = ["embeddings.", "encoder.layers.", "post_layernorm.", "head."];

/// Names of transformers.
pub(in crate::vit) fn hugging_face(name: &str, shape: &[usize], _: Others<'_>) -> Parts {
    match name {
        // A buffer of old versions, and what stands beside the tower in a whole model without `vision_model.`
        "embeddings.position_ids" => unneeded(),
        "head.attention.in_proj_weight" => stacked(&query_key_value(&format!("{HEAD}.attention"), "weight"), shape),
        "head.attention.in_proj_bias" => stacked(&query_key_value(&format!("{HEAD}.attention"), "bias"), shape),
        name if HUGGING_FACE.iter().any(|begin| name.starts_with(begin)) => whole(format!("vision_model.{name}")),
        name if ["text_model.", "logit_"].iter().any(|begin| name.starts_with(begin)) => unneeded(),
        _ => None,
    }
}

const TIMM: [(&str, &str); 10] = [
    (
        "patch_embed.proj.weight",
        "vision_model.embeddings.patch_embedding.weight",
    ),
    ("patch_embed.proj.bias", "vision_model.embeddings.patch_embedding.bias"),
    ("norm.weight", "vision_model.post_layernorm.weight"),
    ("norm.bias", "vision_model.post_layernorm.bias"),
    ("attn_pool.latent", "vision_model.head.probe"),
    ("attn_pool.q.weight", "vision_model.head.attention.q_proj.weight"),
    ("attn_pool.q.bias", "vision_model.head.attention.q_proj.bias"),
    ("attn_pool.proj.weight", "vision_model.head.attention.out_proj.weight"),
    ("attn_pool.proj.bias", "vision_model.head.attention.out_proj.bias"),
    ("attn_pool.norm.weight", "vision_model.head.layernorm.weight"),
];

const TIMM_BLOCK: [(&str, &str); 4] = [
    ("norm1.", "layer_norm1."),
    ("norm2.", "layer_norm2."),
    ("attn.proj.", "self_attn.out_proj."),
    ("mlp.", "mlp."),
];

/// Names of timm.
pub(in crate::vit) fn timm(name: &str, shape: &[usize], _: Others<'_>) -> Parts {
    if let Some(new) = renamed(&TIMM, name) {
        return whole(new);
    }
    if name == "pos_embed" {
        return squeezed("vision_model.embeddings.position_embedding.weight", 2);
    }
    if name == "attn_pool.norm.bias" {
        return whole(format!("{HEAD}.layernorm.bias"));
    }
    if let Some(rest) = name.strip_prefix("attn_pool.mlp.") {
        return whole(format!("{HEAD}.mlp.{rest}"));
    }
    if let Some(kind) = name.strip_prefix("attn_pool.kv.") {
        let [_, key, value] = query_key_value(&format!("{HEAD}.attention"), kind);
        return stacked(&[key, value], shape);
    }
    let (block, part) = block_of(name, "blocks.")?;
    if let Some(kind) = part.strip_prefix("attn.qkv.") {
        return stacked(&query_key_value(&in_block(block, "self_attn"), kind), shape);
    }
    whole(in_block(block, &renamed_begin(&TIMM_BLOCK, part)?))
}
