//! LoRA files of other programs, recognised for what they are.

use crate::host::HostFamily;
use crate::tensor_file::Checkpoint;
use serde::Serialize;
use std::collections::BTreeSet;

/// Whose names a LoRA file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LoraNaming {
    /// kohya-ss: `lora_unet_….lora_down.weight`.
    Kohya,
    /// diffusers and PEFT: `unet.….lora_A.weight`, or `….lora.down.weight`.
    Diffusers,
}

impl LoraNaming {
    /// A display name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kohya => "kohya",
            Self::Diffusers => "diffusers",
        }
    }
}

/// A LoRA in a file of its own, such as `ip-adapter-faceid-plusv2_sd15_lora.safetensors`, which the host loads itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PublishedLora {
    /// Whose names the file has.
    pub naming: LoraNaming,
    /// The host by its number of attention layers and the width of their context; [`HostFamily::Other`] for anything
    /// else, also for a LoRA that leaves layers out.
    pub host: HostFamily,
    /// Number of linear layers that are changed.
    pub layers: usize,
    /// The rank; `None` when it is not the same everywhere.
    pub rank: Option<usize>,
    /// Whether it changes `to_q`, `to_k`, `to_v` and `to_out` of every attention layer and nothing else, at rank 128: a
    /// LoRA of an IP-Adapter FaceID has this form.
    pub like_face_id: bool,
}

/// Endings of the names of first matrices.
const DOWN: [&str; 3] = [".lora_down.weight", ".lora_A.weight", ".lora.down.weight"];

/// FaceID's attention processors as diffusers stored them before it used PEFT.
const DOWN_OF_PROCESSORS: &str = "_lora.down.weight";

impl PublishedLora {
    /// Recognises a file that is nothing but a LoRA; `None` for anything else.
    pub(crate) fn of(checkpoint: &Checkpoint) -> Option<Self> {
        let mut modules = BTreeSet::new();
        let mut ranks = BTreeSet::new();
        let (mut cross, mut context) = (0, BTreeSet::new());
        let mut kohya = false;
        let mut all_attention = true;
        for name in checkpoint.names() {
            let module = DOWN.iter().find_map(|ending| name.strip_suffix(ending));
            let module = module.or_else(|| name.strip_suffix(DOWN_OF_PROCESSORS));
            let Some(module) = module else {
                continue;
            };
            let Some(&[rank, input]) = checkpoint.shape(name) else {
                continue;
            };
            kohya |= name.starts_with("lora_");
            let flat = module.replace('.', "_");
            let projection = ["to_q", "to_k", "to_v", "to_out", "to_out_0"];
            let attention = projection.iter().any(|part| flat.ends_with(&format!("_{part}")));
            all_attention &= attention && (flat.contains("_attn1_") || flat.contains("_attn2_"));
            if flat.contains("_attn2_") && flat.ends_with("_to_k") {
                cross += 1;
                context.insert(input);
            }
            ranks.insert(rank);
            modules.insert(flat);
        }
        let others = |name: &str| name.contains(".lora") || name.contains("_lora.") || name.ends_with(".alpha");
        if modules.is_empty() || !checkpoint.names().all(others) {
            return None;
        }
        let host = match (cross, context.iter().collect::<Vec<_>>().as_slice()) {
            (16, [768]) => HostFamily::Sd15,
            (70, [2048]) => HostFamily::Sdxl,
            _ => HostFamily::Other,
        };
        let rank = match ranks.len() {
            1 => ranks.first().copied(),
            _ => None,
        };
        let complete = matches!((host, modules.len()), (HostFamily::Sd15, 128) | (HostFamily::Sdxl, 560));
        Some(Self {
            naming: if kohya {
                LoraNaming::Kohya
            } else {
                LoraNaming::Diffusers
            },
            host,
            layers: modules.len(),
            rank,
            like_face_id: complete && all_attention && rank == Some(128),
        })
    }
}
