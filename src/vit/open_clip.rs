//! CLIP image encoders under Hugging Face names, also from OpenCLIP's.

use crate::error::{Error, Result};
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

impl Checkpoint {
    /// The naming of the CLIP image encoder in this checkpoint, if there is one.
    pub(crate) fn clip_naming(&self) -> Option<ClipNaming> {
        if self.contains(PATCHES) {
            Some(ClipNaming::HuggingFace)
        } else if self.contains("visual.conv1.weight") && self.contains("visual.transformer.resblocks.0.ln_1.weight") {
            Some(ClipNaming::OpenClip)
        } else {
            None
        }
    }

    /// The CLIP image encoder of this checkpoint under Hugging Face names: `vision_model.…` and
    /// `visual_projection.weight`.
    ///
    /// A text encoder beside it and the old buffer `position_ids` are left out. From OpenCLIP the fused `in_proj` is
    /// split into query, key and value and `proj` is transposed, without copying.
    ///
    /// # Errors
    /// `Format` when there is no CLIP image encoder, or for a tensor of OpenCLIP's tower that has no equal.
    pub fn clip_vision_view(&self) -> Result<Self> {
        match self.clip_naming() {
            Some(ClipNaming::HuggingFace) => self.renamed(|name| {
                let wanted = name.starts_with("vision_model.") || name == "visual_projection.weight";
                (wanted && name != "vision_model.embeddings.position_ids").then(|| name.to_string())
            }),
            Some(ClipNaming::OpenClip) => self.mapped(|name, shape| match name.strip_prefix("visual.") {
                None => Ok(Vec::new()),
                Some(rest) => hugging_face_parts(rest, shape).ok_or_else(|| {
                    Error::format(format!(
                        "tensor {name:?} of shape {shape:?} has no place in a CLIP image encoder"
                    ))
                }),
            }),
            None => Err(Error::format(format!(
                "{}: no CLIP image encoder (neither {PATCHES:?} nor \"visual.conv1.weight\")",
                self.label()
            ))),
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
