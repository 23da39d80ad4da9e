//! Published families that look like an IP-Adapter and that OmniID does not run. Each is named with the reason.

use super::Checkpoint;
use crate::error::{Error, Result};

const FACE_RECOGNISER: &str =
    "its input is the embedding of an ArcFace face recogniser, whose published weights are for non-commercial use only";

/// Refuses a checkpoint of a family that is known not to run. Names are unified (`image_proj.`, `ip_adapter.`).
pub(super) fn refuse_known_family(checkpoint: &Checkpoint) -> Result<()> {
    match family(checkpoint) {
        None => Ok(()),
        Some((name, reason)) => Err(Error::unsupported(format!(
            "this is {name}, which OmniID does not run: {reason}"
        ))),
    }
}

fn family(checkpoint: &Checkpoint) -> Option<(&'static str, &'static str)> {
    let begins = |prefix: &str| checkpoint.names().any(|name| name.starts_with(prefix));
    let has = |name: &str| checkpoint.contains(name);
    let rows = |name: &str| checkpoint.shape(name).and_then(|shape| shape.first().copied());
    let columns = |name: &str| checkpoint.shape(name).and_then(|shape| shape.get(1).copied());
    if begins("pulid_ca.") || begins("image_proj.id_embedding_mapping.") || begins("image_proj.mapping_patch_0.") {
        return Some((
            "a PuLID checkpoint",
            "it needs ArcFace and EVA-CLIP features and its own attention layers",
        ));
    }
    if begins("id_encoder.") {
        return Some((
            "a PhotoMaker checkpoint",
            "it rewrites the text prompt's tokens instead of adding attention",
        ));
    }
    if has("image_proj.time_embedding.linear_1.weight") {
        return Some((
            "an InstantX SD3.5 IP-Adapter",
            "its tokens depend on the denoising step, so keys and values cannot be computed once",
        ));
    }
    if has("image_proj.perceiver_resampler.proj_in.weight") {
        return Some(match rows("image_proj.perceiver_resampler.layers.0.0.to_out.weight") {
            Some(4096) => ("a Kolors IP-Adapter FaceID Plus", FACE_RECOGNISER),
            _ => ("an IP-Adapter FaceID Plus", FACE_RECOGNISER),
        });
    }
    if has("image_proj.latents") {
        let face = columns("image_proj.proj_in.weight") == Some(512);
        if face && rows("image_proj.proj_out.weight") == Some(4096) {
            return Some(("an InfiniteYou projection", FACE_RECOGNISER));
        }
        if face {
            return Some((
                "an InstantID or IP-Adapter FaceID Portrait (unnorm) checkpoint",
                FACE_RECOGNISER,
            ));
        }
        if rows("image_proj.layers.0.0.to_out.weight") == Some(2048)
            && columns("image_proj.proj_in.weight") == Some(1024)
        {
            return Some((
                "a Kolors IP-Adapter",
                "its host Kolors and its CLIP-L/14-336 encoder are not supported",
            ));
        }
        return None;
    }
    if checkpoint.shape("image_proj.proj.0.weight") == Some(&[2304, 1152]) {
        return Some((
            "an InstantX FLUX IP-Adapter",
            "it needs SigLIP features, normalises keys and values and adds to the single blocks",
        ));
    }
    if has("image_proj.norm.weight") && has("image_proj.proj.0.weight") && has("image_proj.proj.2.weight") {
        let lora = checkpoint
            .names()
            .any(|name| name.starts_with("ip_adapter.") && name.contains("_lora."));
        let name = if lora {
            "an IP-Adapter FaceID"
        } else {
            "an IP-Adapter FaceID Portrait"
        };
        return Some((name, FACE_RECOGNISER));
    }
    let embeddings = "vision_model.embeddings.patch_embedding";
    if has(&format!("{embeddings}.bias"))
        && !has("vision_model.embeddings.class_embedding")
        && !has("vision_model.encoder.layers.0.layer_norm1.weight")
    {
        return Some(("a part of a SigLIP image encoder", "its blocks are missing"));
    }
    None
}
