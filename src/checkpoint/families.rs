//! Published families that OmniID knows and does not run. Each is named with the reason.

use super::Checkpoint;
use crate::error::{Error, Result};

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
    if begins("id_former.") && (begins("double_ca.") || begins("single_ca.")) {
        return Some((
            "a community PuLID for FLUX.2",
            "its host FLUX.2 is not supported, and the program that it is for leaves part of the weights to chance",
        ));
    }
    if begins("id_encoder.") {
        return Some((
            "a PhotoMaker checkpoint",
            "it rewrites the text prompt's tokens instead of adding attention",
        ));
    }
    if has("ip_adapter.0.norm_ip_q.scale") {
        return Some((
            "an InstantCharacter checkpoint",
            "its tokens depend on the denoising step and need the features of SigLIP and DINOv2 together",
        ));
    }
    if has("image_proj.perceiver_resampler.proj_in.weight") && rows("image_proj.norm.weight") == Some(4096) {
        return Some((
            "a Kolors IP-Adapter FaceID Plus",
            "its tokens pass the text projection of the host Kolors, which is not in the file, and its CLIP-L/14-336 and \
             256-pixel face crop are not supported",
        ));
    }
    if has("image_proj.latents") {
        if columns("image_proj.proj_in.weight") == Some(512) && rows("image_proj.proj_out.weight") == Some(4096) {
            return Some((
                "an InfiniteYou projection",
                "its tokens are the text of a ControlNet for FLUX, and there are no attention layers of its own",
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
    if begins("ipa.") && has("arcface_in.0.weight") {
        return Some((
            "one half of a WithAnyone, as it is trained",
            "the published withanyone.safetensors holds both halves, joined by merge_ipa.py of its authors",
        ));
    }
    // Files of one half each, without prefixes.
    if rows("0.to_k_ip.weight") == Some(5120) {
        return Some((
            "the attention layers of Lynx (lite) for Wan 2.1",
            "its host Wan, whose keys are normalised over all heads at once, is not supported; its Resampler is another \
             file",
        ));
    }
    if has("latents") && columns("proj_in.weight") == Some(512) {
        return Some((
            "the Resampler of Lynx for Wan 2.1, or of another adapter for face embeddings",
            "its attention layers are another file; of Lynx' host Wan nothing is supported",
        ));
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
