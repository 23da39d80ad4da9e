//! CLIP image encoders under Hugging Face names, also from OpenCLIP's.

use crate::error::{Error, Result};
use crate::remedy;
use crate::tensor_file::{Checkpoint, Part};
use serde::Serialize;

/// Key names of a CLIP image encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClipNaming {
    /// `vision_model.encoder.layers.{n}.…`
    HuggingFace,
    /// `visual.transformer.resblocks.{n}.…`
    OpenClip,
    /// `encoder.layers.{n}.…`: Hugging Face names without `vision_model.`
    HuggingFaceFlat,
    /// `transformer.resblocks.{n}.…`: OpenCLIP's image tower alone, without `visual.`
    OpenClipTower,
}

impl ClipNaming {
    /// Whose names they are, for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::HuggingFace => "Hugging Face",
            Self::OpenClip => "OpenCLIP",
            Self::HuggingFaceFlat => "Hugging Face, without vision_model.",
            Self::OpenClipTower => "OpenCLIP, without visual.",
        }
    }
}

const PATCHES: &str = "vision_model.embeddings.patch_embedding.weight";

/// OpenCLIP names below `visual.` and their Hugging Face equals, outside of the blocks.
const TOWER: [(&str, &str); 7] = [
    ("class_embedding", "vision_model.embeddings.class_embedding"),
    ("conv1.weight", PATCHES),
    (
        "positional_embedding",
        "vision_model.embeddings.position_embedding.weight",
    ),
    ("ln_pre.weight", "vision_model.pre_layrnorm.weight"),
    ("ln_pre.bias", "vision_model.pre_layrnorm.bias"),
    ("ln_post.weight", "vision_model.post_layernorm.weight"),
    ("ln_post.bias", "vision_model.post_layernorm.bias"),
];

/// The same inside of a block.
const BLOCK: [(&str, &str); 5] = [
    ("ln_1.", "layer_norm1."),
    ("ln_2.", "layer_norm2."),
    ("attn.out_proj.", "self_attn.out_proj."),
    ("mlp.c_fc.", "mlp.fc1."),
    ("mlp.c_proj.", "mlp.fc2."),
];

/// A kind of names, by which tensors it is recognised, and where the tower's names begin.
struct Layout {
    naming: ClipNaming,
    /// A tensor that only this layout has, with what stands before the tower's own names.
    anchor: &'static str,
    /// More tensors that must be there, behind the same prefix.
    also: &'static [&'static str],
    /// What the anchor's prefix must not end with: then it is the layout before this one.
    not_behind: &'static str,
}

/// In the order in which they are tried.
const LAYOUTS: [Layout; 4] = [
    Layout {
        naming: ClipNaming::HuggingFace,
        anchor: PATCHES,
        also: &[],
        not_behind: "",
    },
    Layout {
        naming: ClipNaming::OpenClip,
        anchor: "visual.conv1.weight",
        also: &["visual.transformer.resblocks.0.ln_1.weight"],
        not_behind: "",
    },
    Layout {
        naming: ClipNaming::HuggingFaceFlat,
        anchor: "embeddings.patch_embedding.weight",
        also: &["embeddings.class_embedding", "pre_layrnorm.weight"],
        not_behind: "vision_model.",
    },
    Layout {
        naming: ClipNaming::OpenClipTower,
        anchor: "conv1.weight",
        also: &[
            "transformer.resblocks.0.ln_1.weight",
            "ln_pre.weight",
            "class_embedding",
        ],
        not_behind: "visual.",
    },
];

/// The parts of a tower whose names have lost their `vision_model.`
const FLAT: [&str; 4] = ["embeddings.", "pre_layrnorm.", "encoder.layers.", "post_layernorm."];

impl Checkpoint {
    /// The naming of the CLIP image encoder in this checkpoint and what stands before its names, if there is one.
    fn clip_layout(&self) -> Result<Option<(ClipNaming, String)>> {
        for layout in LAYOUTS {
            let complete = |prefix: &String| {
                let beside = layout.not_behind.is_empty() || !prefix.ends_with(layout.not_behind);
                beside && layout.also.iter().all(|name| self.contains(&format!("{prefix}{name}")))
            };
            let exact = |prefix: &String| self.contains(&format!("{prefix}{}", layout.anchor));
            let found = self.prefixes_before(&[layout.anchor]);
            let found: Vec<String> = found.into_iter().filter(exact).filter(complete).collect();
            match found.as_slice() {
                [] => {}
                [one] => return Ok(Some((layout.naming, one.clone()))),
                several => {
                    return Err(Error::unsupported(format!(
                        "{}: the file holds several CLIP image encoders, whose names begin with {}",
                        self.label(),
                        several
                            .iter()
                            .map(|prefix| format!("{prefix:?}"))
                            .collect::<Vec<_>>()
                            .join(" and ")
                    ))
                    .with_remedy(remedy::ONE_MODEL))
                }
            }
        }
        Ok(None)
    }

    /// The naming of the CLIP image encoder in this checkpoint, if there is one.
    ///
    /// # Errors
    /// `Unsupported` when there are several.
    pub(crate) fn clip_naming(&self) -> Result<Option<ClipNaming>> {
        Ok(self.clip_layout()?.map(|(naming, _)| naming))
    }

    /// The CLIP image encoder of this checkpoint under Hugging Face names: `vision_model.…` and
    /// `visual_projection.weight`.
    ///
    /// It may be part of a larger checkpoint; what stands before its names (`clip.`, `image_encoder.`) is taken off. The
    /// names may lack `vision_model.`, as transformers 5 flattens them. A text encoder beside it and the old buffer
    /// `position_ids` are left out. From OpenCLIP, with `visual.` or as the tower alone, the fused `in_proj` is split
    /// into query, key and value and `proj` is transposed, without copying.
    ///
    /// # Errors
    /// `Format` when there is no CLIP image encoder, or for a tensor of OpenCLIP's tower that has no equal;
    /// `Unsupported` when there are several.
    pub fn clip_vision_view(&self) -> Result<Self> {
        let Some((naming, prefix)) = self.clip_layout()? else {
            return Err(Error::format(format!(
                "{}: no CLIP image encoder (neither {PATCHES:?} nor \"visual.conv1.weight\")",
                self.label()
            )));
        };
        let view = self.unwrapped(&prefix);
        let wanted = |name: &str| {
            let tower = name.starts_with("vision_model.") || name == "visual_projection.weight";
            tower && name != "vision_model.embeddings.position_ids"
        };
        match naming {
            ClipNaming::HuggingFace => view.renamed(|name| wanted(name).then(|| name.to_string())),
            ClipNaming::HuggingFaceFlat => view.renamed(|name| {
                let full = match FLAT.iter().any(|begin| name.starts_with(begin)) {
                    true => format!("vision_model.{name}"),
                    false => name.to_string(),
                };
                wanted(&full).then_some(full)
            }),
            ClipNaming::OpenClip | ClipNaming::OpenClipTower => view.mapped(|name, shape| {
                let below = match naming {
                    ClipNaming::OpenClip => name.strip_prefix("visual."),
                    _ => Some(name),
                };
                let Some(below) = below else {
                    return Ok(Vec::new());
                };
                hugging_face_parts(below, shape).ok_or_else(|| {
                    Error::format(format!(
                        "tensor {name:?} of shape {shape:?} has no place in a CLIP image encoder"
                    ))
                })
            }),
        }
    }
}

/// What a tensor of OpenCLIP's tower is under Hugging Face names; `None` when it has none.
fn hugging_face_parts(name: &str, shape: &[usize]) -> Option<Vec<(String, Part)>> {
    if let Some((_, new)) = TOWER.iter().find(|(old, _)| *old == name) {
        return Some(vec![(new.to_string(), Part::Whole)]);
    }
    if name == "proj" {
        let projection = ("visual_projection.weight".to_string(), Part::Transposed);
        return (shape.len() == 2).then(|| vec![projection]);
    }
    let (block, part) = name.strip_prefix("transformer.resblocks.")?.split_once('.')?;
    if block.is_empty() || !block.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let layer = format!("vision_model.encoder.layers.{block}");
    if let Some((old, new)) = BLOCK.iter().find(|(old, _)| part.starts_with(old)) {
        return Some(vec![(format!("{layer}.{new}{}", &part[old.len()..]), Part::Whole)]);
    }
    let kind = match part {
        "attn.in_proj_weight" => "weight",
        "attn.in_proj_bias" => "bias",
        _ => return None,
    };
    let rows = shape.first().filter(|rows| *rows % 3 == 0)? / 3;
    let thirds = ["q_proj", "k_proj", "v_proj"].into_iter().enumerate();
    Some(
        thirds
            .map(|(third, projection)| {
                let name = format!("{layer}.self_attn.{projection}.{kind}");
                (name, Part::Rows(third * rows..(third + 1) * rows))
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use crate::checkpoint::{recognise, safetensors_to_bytes, Checkpoint, CheckpointKind, ClipNaming};
    use crate::limits::Limits;
    use candle_core::{DType, Device, Tensor};

    /// One block, width 4, patches of 2×2, three tokens, projection to 5.
    fn open_clip() -> Vec<(String, Tensor)> {
        let shapes: [(&str, &[usize]); 20] = [
            ("visual.class_embedding", &[4]),
            ("visual.conv1.weight", &[4, 3, 2, 2]),
            ("visual.positional_embedding", &[3, 4]),
            ("visual.ln_pre.weight", &[4]),
            ("visual.ln_pre.bias", &[4]),
            ("visual.ln_post.weight", &[4]),
            ("visual.ln_post.bias", &[4]),
            ("visual.proj", &[4, 5]),
            ("visual.transformer.resblocks.0.ln_1.weight", &[4]),
            ("visual.transformer.resblocks.0.ln_1.bias", &[4]),
            ("visual.transformer.resblocks.0.ln_2.weight", &[4]),
            ("visual.transformer.resblocks.0.attn.in_proj_weight", &[12, 4]),
            ("visual.transformer.resblocks.0.attn.in_proj_bias", &[12]),
            ("visual.transformer.resblocks.0.attn.out_proj.weight", &[4, 4]),
            ("visual.transformer.resblocks.0.mlp.c_fc.weight", &[8, 4]),
            ("visual.transformer.resblocks.0.mlp.c_proj.weight", &[4, 8]),
            ("positional_embedding", &[7, 4]),
            ("token_embedding.weight", &[9, 4]),
            ("logit_scale", &[]),
            ("transformer.resblocks.0.ln_1.weight", &[4]),
        ];
        let tensor = |shape: &[usize]| {
            let count = shape.iter().product::<usize>();
            Tensor::arange(0f32, count as f32, &Device::Cpu)
                .unwrap()
                .reshape(shape)
                .unwrap()
        };
        shapes
            .iter()
            .map(|(name, shape)| (name.to_string(), tensor(shape)))
            .collect()
    }

    fn open(tensors: &[(String, Tensor)]) -> Checkpoint {
        let bytes = safetensors_to_bytes(tensors, &Default::default()).unwrap();
        Checkpoint::open(bytes, &Limits::default()).unwrap()
    }

    #[test]
    fn open_clip_is_presented_under_hugging_face_names() {
        let file = open(&open_clip());
        let expected = CheckpointKind::ClipVision {
            naming: ClipNaming::OpenClip,
            hidden: 4,
            layers: 1,
            patch: 2,
            tokens: 3,
            projection: Some(5),
        };
        assert_eq!(recognise(&file).unwrap(), expected);
        let view = file.clip_vision_view().unwrap();
        assert!(view
            .names()
            .all(|n| n.starts_with("vision_model.") || n == "visual_projection.weight"));
        assert_eq!(view.len(), 20);
        let read = |name: &str| view.tensor(name, DType::F32, &Device::Cpu).unwrap();
        let fused = Tensor::arange(0f32, 48., &Device::Cpu)
            .unwrap()
            .reshape((12, 4))
            .unwrap();
        for (third, name) in ["q_proj", "k_proj", "v_proj"].into_iter().enumerate() {
            let got = read(&format!("vision_model.encoder.layers.0.self_attn.{name}.weight"));
            let expected = fused.narrow(0, third * 4, 4).unwrap();
            assert_eq!(got.to_vec2::<f32>().unwrap(), expected.to_vec2::<f32>().unwrap());
            let bias = read(&format!("vision_model.encoder.layers.0.self_attn.{name}.bias"));
            let first = third as f32 * 4.0;
            assert_eq!(
                bias.to_vec1::<f32>().unwrap(),
                [first, first + 1.0, first + 2.0, first + 3.0]
            );
        }
        let projection = read("visual_projection.weight").to_vec2::<f32>().unwrap();
        assert_eq!(projection[1], [1.0, 6.0, 11.0, 16.0]);
        let origin = view.origin("vision_model.encoder.layers.0.self_attn.k_proj.weight");
        assert_eq!(origin, Some("visual.transformer.resblocks.0.attn.in_proj_weight"));
    }

    #[test]
    fn an_unknown_tensor_of_the_tower_is_named() {
        let mut tensors = open_clip();
        tensors.push(("visual.extra.weight".to_string(), tensors[0].1.clone()));
        let error = open(&tensors).clip_vision_view().unwrap_err();
        assert!(error.message().contains("visual.extra.weight"), "{error}");
    }

    #[test]
    fn hugging_face_names_pass_without_buffers_and_text() {
        let view = open(&open_clip()).clip_vision_view().unwrap();
        let mut tensors: Vec<_> = view
            .names()
            .map(|name| (name.to_string(), view.tensor(name, DType::F32, &Device::Cpu).unwrap()))
            .collect();
        let ids = Tensor::arange(0i64, 3, &Device::Cpu).unwrap();
        tensors.push(("vision_model.embeddings.position_ids".to_string(), ids));
        tensors.push((
            "text_projection.weight".to_string(),
            Tensor::zeros((2, 2), DType::F32, &Device::Cpu).unwrap(),
        ));
        let file = open(&tensors);
        assert!(matches!(
            recognise(&file).unwrap(),
            CheckpointKind::ClipVision {
                naming: ClipNaming::HuggingFace,
                layers: 1,
                ..
            }
        ));
        let again = file.clip_vision_view().unwrap();
        assert!(again.names().eq(view.names()));
    }
}
