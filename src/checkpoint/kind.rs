//! Recognising what a checkpoint holds, by its keys and shapes alone.
//!
//! Key layouts are those of the public files: IP-Adapter (tencent-ailab/IP-Adapter), XLabs FLUX (XLabs-AI/x-flux),
//! CLIP (transformers and OpenCLIP).

use super::families::refuse_known_family;
use super::Checkpoint;
use crate::error::{Error, Result};
use crate::host::{HostFamily, HostSpec};
use crate::vit::ClipNaming;
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
    /// An IP-Adapter for a UNet host. Read it through [`Checkpoint::adapter_view`].
    IpAdapter {
        /// How image features become identity tokens.
        projection: ProjectionKind,
        /// The host that the layers belong to.
        host: HostFamily,
        /// Indices `i` of `ip_adapter.{i}.to_k_ip.weight`, ascending.
        layers: Vec<usize>,
        /// Width of the identity tokens: input width of every layer.
        context: usize,
    },
    /// An XLabs FLUX adapter, in either spelling. Read it through [`Checkpoint::adapter_view`].
    XlabsFlux {
        /// Always [`ProjectionKind::Projection`].
        projection: ProjectionKind,
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
    /// The YuNet face detector.
    YuNet,
    /// An identity file (`.omniid`).
    Identity,
}

/// How an IP-Adapter turns image features into tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "projection", rename_all = "snake_case")]
pub enum ProjectionKind {
    /// IP-Adapter Plus and Plus-Face: learned queries attend to the features of all patches.
    Resampler {
        /// Tokens per photo.
        tokens: usize,
        /// Width of the queries inside.
        width: usize,
        /// Attention heads, 64 wide each.
        heads: usize,
        /// Number of blocks.
        depth: usize,
        /// Width of the image features.
        input: usize,
        /// Width of the tokens.
        output: usize,
    },
    /// IP-Adapter full-face: one token per image token.
    FullFace {
        /// Width of the image features.
        input: usize,
        /// Width between the two linear layers.
        inner: usize,
        /// Width of the tokens.
        output: usize,
    },
    /// Base IP-Adapter and XLabs FLUX: one linear layer on the pooled image embedding.
    Projection {
        /// Tokens per photo.
        tokens: usize,
        /// Width of the image embedding.
        input: usize,
        /// Width of the tokens.
        output: usize,
    },
}

impl CheckpointKind {
    /// A name for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Native => "OmniID checkpoint",
            Self::IpAdapter {
                projection: ProjectionKind::Resampler { .. },
                ..
            } => "IP-Adapter Plus",
            Self::IpAdapter {
                projection: ProjectionKind::FullFace { .. },
                ..
            } => "IP-Adapter full-face",
            Self::IpAdapter {
                projection: ProjectionKind::Projection { .. },
                ..
            } => "IP-Adapter",
            Self::XlabsFlux { .. } => "XLabs FLUX IP-Adapter",
            Self::ClipVision { .. } => "CLIP image encoder",
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
        Some(path) if !error.message().starts_with(&path.display().to_string()) => {
            error.context(path.display())
        }
        _ => error,
    })
}

fn by_keys(checkpoint: &Checkpoint) -> Result<CheckpointKind> {
    let has = |prefix: &str| checkpoint.names().any(|name| name.starts_with(prefix));
    let xlabs = has("ip_adapter_proj_model.") || has("double_blocks.");
    if xlabs || has("image_proj.") || has("ip_adapter.") {
        let adapter = checkpoint.adapter_view()?;
        refuse_known_family(&adapter)?;
        return adapter_kind(&adapter, xlabs);
    }
    if checkpoint.contains("backbone.stem.weight") && checkpoint.contains("head.kps0.pointwise.weight") {
        return Ok(CheckpointKind::YuNet);
    }
    refuse_known_family(checkpoint)?;
    if let Some(naming) = checkpoint.clip_naming() {
        return clip_kind(&checkpoint.clip_vision_view()?, naming);
    }
    let shown = checkpoint
        .names()
        .take(3)
        .map(|name| format!("{name:?}"))
        .collect::<Vec<_>>()
        .join(", ");
    Err(Error::unsupported(format!(
        "unknown layout: {} tensors, beginning with {shown}. Known are OmniID, IP-Adapter, XLabs FLUX, CLIP image \
         encoder, YuNet and .omniid files",
        checkpoint.len()
    )))
}

/// The two dimensions of a matrix that must be there.
pub(super) fn matrix(checkpoint: &Checkpoint, name: &str) -> Result<(usize, usize)> {
    match *checkpoint.require(name)?.shape {
        [rows, columns] if rows > 0 && columns > 0 => Ok((rows, columns)),
        ref other => Err(Error::format(format!(
            "tensor {name:?} has shape {other:?}, expected a matrix"
        ))),
    }
}

/// Indices `i` of names `prefix{i}suffix`, ascending.
pub(super) fn indices(checkpoint: &Checkpoint, prefix: &str, suffix: &str) -> Vec<usize> {
    let index = |name: &str| {
        name.strip_prefix(prefix)?
            .strip_suffix(suffix)?
            .parse::<usize>()
            .ok()
    };
    let mut found: Vec<usize> = checkpoint.names().filter_map(index).collect();
    found.sort_unstable();
    found
}

/// An IP-Adapter or XLabs FLUX file under unified names.
fn adapter_kind(adapter: &Checkpoint, xlabs: bool) -> Result<CheckpointKind> {
    let projection = projection_kind(adapter)?;
    let layers = indices(adapter, "ip_adapter.", ".to_k_ip.weight");
    let Some(first) = layers.first() else {
        return Err(Error::format(
            "an IP-Adapter without layers: no \"ip_adapter.{i}.to_k_ip.weight\" (only the image_proj half was saved)",
        ));
    };
    let (_, context) = matrix(adapter, &format!("ip_adapter.{first}.to_k_ip.weight"))?;
    for index in &layers {
        let (key, value) = (
            format!("ip_adapter.{index}.to_k_ip.weight"),
            format!("ip_adapter.{index}.to_v_ip.weight"),
        );
        let (keys, values) = (matrix(adapter, &key)?, matrix(adapter, &value)?);
        if keys != values || keys.1 != context {
            return Err(Error::format(format!(
                "{key:?} is {keys:?} and {value:?} is {values:?}: both must be [inner, {context}]"
            )));
        }
    }
    let output = match projection {
        ProjectionKind::Resampler { output, .. }
        | ProjectionKind::FullFace { output, .. }
        | ProjectionKind::Projection { output, .. } => output,
    };
    if output != context {
        return Err(Error::format(format!(
            "image_proj makes tokens of width {output}, but the layers of ip_adapter read width {context}"
        )));
    }
    // Only FLUX adapters have biases; diffusers writes them under the names of a UNet adapter.
    let flux = xlabs || adapter.contains(&format!("ip_adapter.{first}.to_k_ip.bias"));
    // Which layers and how wide their context is tells the host; the table of the engine checks every shape.
    let is_made_for = |host: &HostSpec| {
        let own = host.layers().iter().map(|layer| (layer.key, layer.context));
        own.eq(layers.iter().map(|&key| (key, context)))
    };
    let family = HostSpec::built_in()
        .into_iter()
        .find(is_made_for)
        .map_or(HostFamily::Other, |host| host.family());
    let host = match flux == (family == HostFamily::Flux) {
        true => family,
        false => HostFamily::Other,
    };
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

fn projection_kind(adapter: &Checkpoint) -> Result<ProjectionKind> {
    if let Some(latents) = adapter.shape("image_proj.latents") {
        let &[1, tokens, width] = latents else {
            return Err(Error::format(format!(
                "\"image_proj.latents\" has shape {latents:?}, expected [1, tokens, width]"
            )));
        };
        let (_, input) = matrix(adapter, "image_proj.proj_in.weight")?;
        let (output, _) = matrix(adapter, "image_proj.proj_out.weight")?;
        let depth = indices(adapter, "image_proj.layers.", ".0.to_q.weight").len();
        let (inner, _) = matrix(adapter, "image_proj.layers.0.0.to_q.weight")?;
        if inner % 64 != 0 {
            return Err(Error::format(format!(
                "\"image_proj.layers.0.0.to_q.weight\" has {inner} rows: a Resampler has heads of width 64"
            )));
        }
        return Ok(ProjectionKind::Resampler {
            tokens,
            width,
            heads: inner / 64,
            depth,
            input,
            output,
        });
    }
    if adapter.contains("image_proj.proj.3.weight") {
        let (inner, input) = matrix(adapter, "image_proj.proj.0.weight")?;
        let (output, _) = matrix(adapter, "image_proj.proj.2.weight")?;
        return Ok(ProjectionKind::FullFace { input, inner, output });
    }
    if adapter.contains("image_proj.proj.weight") {
        let (rows, input) = matrix(adapter, "image_proj.proj.weight")?;
        let output = adapter
            .require("image_proj.norm.weight")?
            .shape
            .first()
            .copied()
            .unwrap_or(0);
        if output == 0 || rows % output != 0 {
            return Err(Error::format(format!(
                "\"image_proj.proj.weight\" has {rows} rows, which is no multiple of the token width {output}"
            )));
        }
        return Ok(ProjectionKind::Projection {
            tokens: rows / output,
            input,
            output,
        });
    }
    Err(Error::format(
        "an IP-Adapter without a known image_proj (no \"latents\", \"proj.3.weight\" or \"proj.weight\")",
    ))
}

/// A CLIP image encoder under Hugging Face names.
fn clip_kind(clip: &Checkpoint, naming: ClipNaming) -> Result<CheckpointKind> {
    let patch = clip
        .require("vision_model.embeddings.patch_embedding.weight")?
        .shape;
    let &[hidden, 3, height, width] = patch.as_slice() else {
        return Err(Error::format(format!(
            "patch embedding has shape {patch:?}, expected [hidden, 3, patch, patch]"
        )));
    };
    if height != width {
        return Err(Error::unsupported(format!(
            "patches of {height}×{width} pixels: only square ones"
        )));
    }
    let (tokens, _) = matrix(clip, "vision_model.embeddings.position_embedding.weight")?;
    let layers = indices(clip, "vision_model.encoder.layers.", ".layer_norm1.weight").len();
    let projection = match clip.contains("visual_projection.weight") {
        true => Some(matrix(clip, "visual_projection.weight")?.0),
        false => None,
    };
    Ok(CheckpointKind::ClipVision {
        naming,
        hidden,
        layers,
        patch: height,
        tokens,
        projection,
    })
}
