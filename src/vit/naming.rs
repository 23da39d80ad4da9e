//! Image encoders of other families than CLIP as people have them: recognised by their tensors, shown under the names
//! of [`VisionTransformer`](super::VisionTransformer).

use super::families::{dinov2, eva02, siglip};
use super::parts::{Others, Parts};
use crate::error::{Error, Result};
use crate::remedy;
use crate::tensor_file::Checkpoint;
use serde::Serialize;

/// Whose key names a file of SigLIP, DINOv2 or EVA02-CLIP has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum VisionNaming {
    /// Hugging Face `transformers`, with `vision_model.` for SigLIP.
    HuggingFace,
    /// The same without `vision_model.`, as transformers 5 writes it.
    HuggingFaceFlat,
    /// `timm`; below `visual.trunk.` in files of OpenCLIP.
    Timm,
    /// The authors' own: `dinov2` of Meta, `EVA-CLIP` of BAAI.
    Original,
}

impl VisionNaming {
    /// Whose names they are, for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::HuggingFace => "Hugging Face",
            Self::HuggingFaceFlat => "Hugging Face, without vision_model.",
            Self::Timm => "timm",
            Self::Original => "the authors'",
        }
    }
}

/// A kind of names and by which tensors it is recognised.
struct Layout {
    family: &'static str,
    naming: VisionNaming,
    /// A tensor of this layout, with what stands before the model's own names.
    anchor: &'static str,
    /// More tensors that must be there, behind the same prefix.
    also: &'static [&'static str],
    /// A tensor that must not be there.
    without: &'static str,
    /// What the anchor's prefix must not end with: then it is another layout.
    not_behind: &'static str,
    /// What stands between the prefix and the names that `parts` knows.
    below: &'static str,
    /// What a tensor is, by its name, its shape and the shapes of the others.
    parts: fn(&str, &[usize], Others<'_>) -> Parts,
}

/// In the order in which they are tried.
const LAYOUTS: [Layout; 7] = [
    Layout {
        family: "SigLIP",
        naming: VisionNaming::HuggingFace,
        anchor: "vision_model.embeddings.patch_embedding.bias",
        also: &[
            "vision_model.embeddings.position_embedding.weight",
            "vision_model.encoder.layers.0.layer_norm1.weight",
        ],
        without: "vision_model.embeddings.class_embedding",
        not_behind: "",
        below: "vision_model.",
        parts: siglip::hugging_face,
    },
    Layout {
        family: "SigLIP",
        naming: VisionNaming::HuggingFaceFlat,
        anchor: "embeddings.patch_embedding.bias",
        also: &[
            "embeddings.position_embedding.weight",
            "encoder.layers.0.layer_norm1.weight",
        ],
        without: "embeddings.class_embedding",
        not_behind: "vision_model.",
        below: "",
        parts: siglip::hugging_face,
    },
    Layout {
        family: "SigLIP",
        naming: VisionNaming::Timm,
        anchor: "attn_pool.latent",
        also: &["patch_embed.proj.weight", "pos_embed", "blocks.0.attn.qkv.weight"],
        without: "cls_token",
        not_behind: "",
        below: "",
        parts: siglip::timm,
    },
    Layout {
        family: "DINOv2",
        naming: VisionNaming::HuggingFace,
        anchor: "embeddings.cls_token",
        also: &[
            "embeddings.patch_embeddings.projection.weight",
            "encoder.layer.0.layer_scale1.lambda1",
        ],
        without: "",
        not_behind: "",
        below: "",
        parts: dinov2::hugging_face,
    },
    Layout {
        family: "EVA02-CLIP",
        naming: VisionNaming::Original,
        anchor: "cls_token",
        also: &["patch_embed.proj.weight", "blocks.0.attn.inner_attn_ln.weight"],
        without: "",
        not_behind: "",
        below: "",
        parts: eva02::original,
    },
    Layout {
        family: "EVA02-CLIP",
        naming: VisionNaming::Timm,
        anchor: "cls_token",
        also: &[
            "patch_embed.proj.weight",
            "blocks.0.attn.norm.weight",
            "blocks.0.mlp.fc1_g.weight",
        ],
        without: "",
        not_behind: "",
        below: "",
        parts: eva02::timm,
    },
    Layout {
        family: "DINOv2",
        naming: VisionNaming::Original,
        anchor: "cls_token",
        also: &[
            "patch_embed.proj.weight",
            "blocks.0.ls1.gamma",
            "blocks.0.attn.qkv.weight",
        ],
        without: "",
        not_behind: "",
        below: "",
        parts: dinov2::original,
    },
];

impl Layout {
    /// What stands before the names, for each model of this layout in a file.
    fn prefixes(&self, file: &Checkpoint) -> Vec<String> {
        let complete = |prefix: &String| {
            let has = |name: &str| file.contains(&format!("{prefix}{name}"));
            has(self.anchor)
                && self.also.iter().all(|name| has(name))
                && (self.without.is_empty() || !has(self.without))
                && (self.not_behind.is_empty() || !prefix.ends_with(self.not_behind))
        };
        let found = file.prefixes_before(&[self.anchor]);
        found.into_iter().filter(complete).collect()
    }
}

impl Checkpoint {
    /// The layout of the SigLIP, DINOv2 or EVA02-CLIP image encoder in this checkpoint and what stands before its
    /// names, if there is one.
    fn other_vision_layout(&self) -> Result<Option<(&'static Layout, String)>> {
        for layout in &LAYOUTS {
            match layout.prefixes(self).as_slice() {
                [] => {}
                [one] => return Ok(Some((layout, one.clone()))),
                several => {
                    let quoted: Vec<String> = several.iter().map(|prefix| format!("{prefix:?}")).collect();
                    return Err(Error::unsupported(format!(
                        "{}: the file holds several {} image encoders, whose names begin with {}",
                        self.label(),
                        layout.family,
                        quoted.join(" and ")
                    ))
                    .with_remedy(remedy::ONE_MODEL));
                }
            }
        }
        Ok(None)
    }

    /// The naming of the SigLIP, DINOv2 or EVA02-CLIP image encoder in this checkpoint, if there is one.
    ///
    /// # Errors
    /// `Unsupported` when there are several.
    pub(crate) fn vision_naming(&self) -> Result<Option<VisionNaming>> {
        Ok(self.other_vision_layout()?.map(|(layout, _)| layout.naming))
    }

    /// Whether there is an image encoder of any family.
    ///
    /// # Errors
    /// `Unsupported` when there are several.
    pub(crate) fn has_image_encoder(&self) -> Result<bool> {
        Ok(self.vision_naming()?.is_some() || self.clip_naming()?.is_some())
    }

    /// The image encoder of this checkpoint, of whatever family, under the names that
    /// [`VisionTransformer`](crate::vit::VisionTransformer) reads. CLIP as in [`Checkpoint::clip_vision_view`].
    ///
    /// SigLIP is read under the names of transformers, alone or with its text encoder, of timm and of OpenCLIP
    /// (`visual.trunk.`); DINOv2 under those of transformers and of Meta's own files; EVA02-CLIP under those of BAAI's
    /// files and of timm. The model may be part of a larger checkpoint. Fused matrices are split without copying. Text
    /// encoders, mask tokens and the blocks' copies of the table of rotary angles are left out.
    ///
    /// # Errors
    /// `Format` when there is no image encoder, or for a tensor that has no place in it; `Unsupported` when there are
    /// several.
    pub fn vision_view(&self) -> Result<Self> {
        let Some((layout, prefix)) = self.other_vision_layout()? else {
            return self.clip_vision_view();
        };
        let view = self.unwrapped(&prefix);
        let shape_of = |name: &str| view.shape(&format!("{}{name}", layout.below)).map(<[usize]>::to_vec);
        view.mapped(|name, shape| {
            let Some(below) = name.strip_prefix(layout.below) else {
                // A text encoder beside it.
                return Ok(Vec::new());
            };
            (layout.parts)(below, shape, &shape_of).ok_or_else(|| {
                Error::format(format!(
                    "tensor {:?} of shape {shape:?} has no place in {} image encoder under the names of {}",
                    format!("{prefix}{name}"),
                    match layout.family {
                        "EVA02-CLIP" => "an EVA02-CLIP",
                        "SigLIP" => "a SigLIP",
                        _ => "a DINOv2",
                    },
                    layout.naming.name()
                ))
            })
        })
    }
}
