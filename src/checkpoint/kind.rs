//! Recognising what a checkpoint holds, by its keys and shapes alone.
//!
//! Key layouts are those of the public files: IP-Adapter (tencent-ailab/IP-Adapter), XLabs FLUX (XLabs-AI/x-flux),
//! CLIP (transformers and OpenCLIP).

use super::families::refuse_known_family;
use crate::adapter::AdapterLayout;
use crate::encoder::{EncoderConfig, EncoderKind};
use crate::error::{Error, Result};
use crate::host::{HostFamily, HostSpec};
use crate::lora::{check_pairs, PublishedLora};
use crate::remedy;
use crate::tensor_file::{Checkpoint, Shapes};
use crate::vit::{ClipNaming, VisionFamily, VisionNaming, VisionSizes};
use serde::Serialize;

/// Metadata key of a native checkpoint's format version.
pub const NATIVE_KEY: &str = "omniid.format";

/// Metadata key of an identity file's format version.
pub const IDENTITY_KEY: &str = "omniid.identity";

/// What a checkpoint is, with the sizes read from its shapes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum CheckpointKind {
    /// OmniID's own format: everything in one file, configured by metadata `omniid.config`.
    Native,
    /// An IP-Adapter, or another adapter in its form. Read it through [`Checkpoint::adapter_view`]. Which published model
    /// it is says [`Model::of`](super::Model::of).
    IpAdapter {
        /// How image features and face embeddings become identity tokens. Where two models have the same tensors, the
        /// sizes of the one that is taken unless an option says otherwise: FaceID-PlusV2, InstantID.
        projection: EncoderConfig,
        /// The host that the layers belong to.
        host: HostFamily,
        /// Indices `i` of `ip_adapter.{i}.to_k_ip.weight`, ascending.
        layers: Vec<usize>,
        /// Width of the identity tokens: input width of every layer.
        context: usize,
    },
    /// An XLabs FLUX adapter, in either spelling. Read it through [`Checkpoint::adapter_view`].
    XlabsFlux {
        /// Always [`EncoderConfig::Projection`].
        projection: EncoderConfig,
        /// [`HostFamily::Flux`] for the published size.
        host: HostFamily,
        /// Indices of the double blocks, ascending.
        layers: Vec<usize>,
        /// Width of the identity tokens.
        context: usize,
    },
    /// A CLIP image encoder. Read it through [`Checkpoint::clip_vision_view`].
    ClipVision {
        /// Whose key names the file has.
        naming: ClipNaming,
        /// Width of the tokens.
        hidden: usize,
        /// Number of transformer blocks.
        layers: usize,
        /// Side of a patch in pixels.
        patch: usize,
        /// Tokens per image, class token included.
        tokens: usize,
        /// Width of the projected image embedding; `None` without a projection.
        projection: Option<usize>,
    },
    /// A LoRA in a file of its own, which the host loads itself.
    Lora(PublishedLora),
    /// An image encoder of another family than CLIP: SigLIP, DINOv2 or EVA02-CLIP. Read it through
    /// [`Checkpoint::vision_view`].
    ImageEncoder {
        /// Which network it is.
        family: VisionFamily,
        /// Whose key names the file has.
        naming: VisionNaming,
        /// Width of the tokens.
        hidden: usize,
        /// Number of transformer blocks.
        layers: usize,
        /// Side of a patch in pixels.
        patch: usize,
        /// Tokens per image, class token and registers included.
        tokens: usize,
        /// Width of the image embedding; `None` without the layers that make it.
        projection: Option<usize>,
    },
    /// The YuNet face detector.
    YuNet,
    /// An identity file (`.omniid`).
    Identity,
}

impl CheckpointKind {
    /// A display name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Native => "OmniID checkpoint",
            Self::IpAdapter { projection, .. } => projection.kind().title(),
            Self::XlabsFlux { .. } => "XLabs FLUX IP-Adapter",
            Self::ClipVision { .. } => "CLIP image encoder",
            Self::Lora(lora) if lora.like_face_id => "LoRA of an IP-Adapter FaceID",
            Self::Lora(_) => "LoRA",
            Self::ImageEncoder { family, .. } => match family {
                VisionFamily::Clip => "CLIP image encoder",
                VisionFamily::Siglip => "SigLIP image encoder",
                VisionFamily::Dinov2 { .. } => "DINOv2 image encoder",
                VisionFamily::Eva02 => "EVA02-CLIP image encoder",
            },
            Self::YuNet => "YuNet face detector",
            Self::Identity => "OmniID identity",
        }
    }
}

/// Says what a checkpoint is.
///
/// # Errors
/// `Unsupported` for a family that OmniID does not run, naming it and the reason, and for an unknown layout;
/// `Format` when the family is clear but tensors are missing or do not fit together.
pub fn recognise(checkpoint: &Checkpoint) -> Result<CheckpointKind> {
    let metadata = checkpoint.metadata();
    let kind = if metadata.contains_key(IDENTITY_KEY) {
        Ok(CheckpointKind::Identity)
    } else if metadata.contains_key(NATIVE_KEY) {
        Ok(CheckpointKind::Native)
    } else {
        by_keys(checkpoint)
    };
    kind.map_err(|error| match checkpoint.path() {
        Some(path) if !error.message().starts_with(&path.display().to_string()) => error.context(path.display()),
        _ => error,
    })
}

fn by_keys(checkpoint: &Checkpoint) -> Result<CheckpointKind> {
    if let Some((number, count)) = checkpoint.shard() {
        return Err(Error::unsupported(format!(
            "this is file {number} of the {count} that make up one model ({number} of {count} shards)"
        ))
        .with_remedy(remedy::ALL_SHARDS));
    }
    if checkpoint.holds_adapter()? {
        let has = |part: &str| checkpoint.names().any(|name| name.contains(part));
        let xlabs = has("ip_adapter_proj_model.") || has("ip_adapter_double_stream_k_proj.");
        let adapter = checkpoint.adapter_view()?;
        refuse_known_family(&adapter)?;
        return adapter_kind(&adapter, xlabs);
    }
    let has = |prefix: &str| checkpoint.names().any(|name| name.starts_with(prefix));
    if has("backbone.vision_model.") && has("encoder.") {
        return Err(Error::unsupported(format!(
            "unknown layout: the tensors are those of an OmniID checkpoint, but the metadata has no {NATIVE_KEY:?}: \
             another program wrote the file and left it out"
        )));
    }
    if checkpoint.contains("backbone.stem.weight") && checkpoint.contains("head.kps0.pointwise.weight") {
        return Ok(CheckpointKind::YuNet);
    }
    if let Some(lora) = PublishedLora::of(checkpoint) {
        return Ok(CheckpointKind::Lora(lora));
    }
    refuse_known_family(checkpoint)?;
    if let Some(naming) = checkpoint.vision_naming()? {
        return image_encoder_kind(&checkpoint.vision_view()?, naming);
    }
    if let Some(naming) = checkpoint.clip_naming()? {
        return clip_kind(&checkpoint.clip_vision_view()?, naming);
    }
    let shown = checkpoint
        .names()
        .take(3)
        .map(|name| format!("{name:?}"))
        .collect::<Vec<_>>()
        .join(", ");
    Err(Error::unsupported(format!(
        "unknown layout: {} tensors, beginning with {shown}. Known are OmniID, IP-Adapter, XLabs FLUX, image encoders, \
         LoRA, YuNet and .omniid files",
        checkpoint.len()
    )))
}

/// An IP-Adapter or XLabs FLUX file under unified names.
fn adapter_kind(adapter: &Checkpoint, xlabs: bool) -> Result<CheckpointKind> {
    let shapes = Shapes::from(adapter).sub("image_proj");
    // FaceID has the same tensors as InstantX, for another host.
    let projection = match shapes.has("proj.2.weight") && !shapes.has("proj.3.weight") && hooks_every_block(adapter) {
        true => EncoderKind::InstantXFlux.infer(&shapes),
        false => EncoderConfig::infer(shapes),
    };
    let projection = projection.map_err(|error| {
        // That it is an IP-Adapter is clear; what makes its tokens is missing or damaged.
        Error::format(format!("the image_proj of an IP-Adapter: {}", error.message()))
    })?;
    let Some(layout) = AdapterLayout::infer(adapter)? else {
        return Err(Error::format(
            "an IP-Adapter without layers: no \"ip_adapter.{i}.to_k_ip.weight\" (only the image_proj half was saved)",
        ));
    };
    check_pairs(adapter)?;
    let context = projection.token_width();
    if let Some(layer) = layout.shapes.iter().find(|layer| layer.context != context) {
        return Err(Error::format(format!(
            "image_proj makes tokens of width {context}, but layer {} of ip_adapter reads width {}",
            layer.key, layer.context
        )));
    }
    // Only FLUX adapters have biases; diffusers writes them under the names of a UNet adapter.
    let flux = xlabs || layout.bias;
    let layers: Vec<usize> = layout.shapes.iter().map(|layer| layer.key).collect();
    // Which layers and how wide their context is tells the host; the table of the engine checks every shape.
    let is_made_for = |host: &HostSpec| {
        let own = host.layers().iter().map(|layer| (layer.key, layer.context));
        own.eq(layers.iter().map(|&key| (key, context)))
    };
    // FLUX has several tables; adapters with biases are for the one of XLabs.
    let host = HostSpec::built_in()
        .into_iter()
        .find(|host| is_made_for(host) && flux == (host.name() == "flux"))
        .map_or(HostFamily::Other, |host| host.family());
    Ok(match flux {
        true => CheckpointKind::XlabsFlux {
            projection,
            host,
            layers,
            context,
        },
        false => CheckpointKind::IpAdapter {
            projection,
            host,
            layers,
            context,
        },
    })
}

/// An image encoder of another family, under the names of this library.
fn image_encoder_kind(view: &Checkpoint, naming: VisionNaming) -> Result<CheckpointKind> {
    let sizes = VisionSizes::read(&view.into())?;
    Ok(CheckpointKind::ImageEncoder {
        family: sizes.family,
        naming,
        hidden: sizes.hidden,
        layers: sizes.layers,
        patch: sizes.patch,
        tokens: sizes.tokens(),
        projection: sizes.projection,
    })
}

/// Whether layers are numbered 0, 1, 2, … as the blocks of a transformer are; cross-attention layers of a UNet have odd
/// numbers only, because its self-attention layers are counted too.
pub(super) fn hooks_every_block(view: &Checkpoint) -> bool {
    view.contains("ip_adapter.0.to_k_ip.weight")
}

/// A CLIP image encoder under Hugging Face names.
fn clip_kind(clip: &Checkpoint, naming: ClipNaming) -> Result<CheckpointKind> {
    let sizes = VisionSizes::read(&clip.into())?;
    Ok(CheckpointKind::ClipVision {
        naming,
        hidden: sizes.hidden,
        layers: sizes.layers,
        patch: sizes.patch,
        tokens: sizes.positions,
        projection: sizes.projection,
    })
}
