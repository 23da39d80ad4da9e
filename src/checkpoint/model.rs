//! Which published model a checkpoint is, and what it needs beside itself.

use super::kind::{hooks_every_block, CheckpointKind, NATIVE_KEY};
use super::licence::Licence;
use super::native_model::{inside, public_view, InsidePart, Stated};
use crate::encoder::Variant;
use crate::error::{Error, Result};
use crate::lora::is_lora_tensor;
use crate::recogniser::EmbeddingForm;
use crate::tensor_file::Checkpoint;
use serde::Serialize;

/// Where the LoRA is that a model was trained with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LoraPart {
    /// In this file. The host has to apply it.
    Inside,
    /// In another file: this one was stripped of it.
    Elsewhere,
    /// Nowhere: the model was trained without one.
    None,
}

/// A published model, and what it needs beside the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Model {
    /// Which model it is.
    pub variant: Variant,
    /// The other models that have all the same tensors: an option says that it is one of them.
    pub same_tensors: Vec<Variant>,
    /// The host's model, as people know it.
    pub host: String,
    /// The image encoder that it was trained with; `None` when it reads no image features.
    pub image_encoder: Option<String>,
    /// The face recognition network that it was trained with; `None` when it reads no face embedding.
    pub face_network: Option<&'static str>,
    /// The form in which it reads the face embedding.
    pub face_embedding: Option<EmbeddingForm>,
    /// The network that cuts faces out of their background, if the model was trained with one.
    pub face_parser: Option<&'static str>,
    /// The LoRA that it was trained with.
    pub lora: LoraPart,
    /// What of all that is inside the file: parts of native checkpoints.
    pub inside: Vec<InsidePart>,
    /// What the host needs besides, such as a ControlNet.
    pub besides: Option<&'static str>,
    /// The licence of the published weights.
    pub licence: Licence,
}

const BUFFALO_L: &str = "IResNet-50 (w600k_r50 of insightface's buffalo_l)";
const ANTELOPE_V2: &str = "IResNet-100 (glintr100 of insightface's antelopev2)";
const VIT_H: &str = "CLIP ViT-H/14 (laion2B-s32B-b79K)";
const EVA02: &str = "EVA02-CLIP-L/14-336";
const SIGLIP: &str = "SigLIP so400m-patch14-384";

impl Model {
    /// The published model that a checkpoint is, by the names and shapes of its tensors; `None` for what is no identity
    /// adapter and for families without a [`Variant`]. `chosen` decides where two models have the same tensors; native
    /// checkpoints say themselves which model they were made of.
    ///
    /// # Errors
    /// [`Mismatch`](crate::ErrorKind::Mismatch) when the tensors are not those of the chosen variant;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) when there are several adapters in the file.
    pub fn of(checkpoint: &Checkpoint, chosen: Option<Variant>) -> Result<Option<Self>> {
        if checkpoint.metadata().contains_key(NATIVE_KEY) {
            return Self::of_native(checkpoint, chosen);
        }
        if !checkpoint.holds_adapter()? {
            return Ok(None);
        }
        let view = checkpoint.adapter_view()?;
        let Some(found) = variants(&view) else {
            return Ok(None);
        };
        let variant = chosen.unwrap_or(found[0]);
        check_choice(checkpoint, variant, &found)?;
        Ok(Some(Self::with(variant, found, &view)))
    }

    fn of_native(checkpoint: &Checkpoint, chosen: Option<Variant>) -> Result<Option<Self>> {
        let view = public_view(checkpoint)?;
        let has_lora = view.names().any(is_lora_tensor);
        let variant = Stated::read(checkpoint).and_then(|stated| stated.variant(variants(&view), has_lora));
        let Some(variant) = variant else {
            return Ok(None);
        };
        check_choice(checkpoint, chosen.unwrap_or(variant), &[variant])?;
        Ok(Some(Self {
            inside: inside(checkpoint),
            ..Self::with(variant, vec![variant], &view)
        }))
    }

    /// The image encoder that an adapter was trained with, under [unified names](Checkpoint::adapter_view); `None` when
    /// the adapter is not known or reads no image features.
    pub(crate) fn image_encoder_of(view: &Checkpoint) -> Option<String> {
        let found = variants(view)?;
        Self::with(found[0], found, view).image_encoder
    }

    fn with(variant: Variant, found: Vec<Variant>, view: &Checkpoint) -> Self {
        let columns = |name: &str| view.shape(name).and_then(|shape| shape.get(1).copied());
        let clip = |name: &str| match columns(name) {
            Some(768) => "CLIP ViT-L/14 (openai)".to_string(),
            Some(1024) => VIT_H.to_string(),
            Some(1280) => "CLIP ViT-bigG/14 (laion2B-39B-b160k)".to_string(),
            Some(width) => format!("a CLIP image encoder with image embeddings of width {width}"),
            None => "a CLIP image encoder".to_string(),
        };
        let patches = |name: &str| match columns(name) {
            Some(1280) => VIT_H.to_string(),
            Some(width) => format!("a CLIP image encoder of width {width}"),
            None => "a CLIP image encoder".to_string(),
        };
        let image_encoder = match variant {
            Variant::Base | Variant::XlabsFlux => Some(clip("image_proj.proj.weight")),
            Variant::Plus => Some(patches("image_proj.proj_in.weight")),
            Variant::FullFace => Some(patches("image_proj.proj.0.weight")),
            Variant::FaceIdPlus | Variant::FaceIdPlusV2 => {
                Some(patches("image_proj.perceiver_resampler.proj_in.weight"))
            }
            Variant::PulidV1 | Variant::PulidV11 | Variant::PulidFlux => Some(EVA02.to_string()),
            Variant::InstantXFlux | Variant::InstantXSd35 => Some(SIGLIP.to_string()),
            Variant::WithAnyone => Some("SigLIP base-patch16-256-i18n".to_string()),
            _ => None,
        };
        let face_network = match variant {
            Variant::FaceId
            | Variant::FaceIdPlus
            | Variant::FaceIdPlusV2
            | Variant::FaceIdPortrait
            | Variant::FaceIdPortraitUnnorm => Some(BUFFALO_L),
            Variant::InstantId | Variant::PulidV1 | Variant::PulidV11 | Variant::PulidFlux | Variant::WithAnyone => {
                Some(ANTELOPE_V2)
            }
            _ => None,
        };
        let normalised = [
            Variant::FaceId,
            Variant::FaceIdPlus,
            Variant::FaceIdPlusV2,
            Variant::FaceIdPortrait,
        ];
        let pulid = matches!(variant, Variant::PulidV1 | Variant::PulidV11 | Variant::PulidFlux);
        let with_lora = matches!(variant, Variant::FaceId | Variant::FaceIdPlus | Variant::FaceIdPlusV2);
        Self {
            variant,
            same_tensors: found.into_iter().filter(|other| *other != variant).collect(),
            host: host(variant, view),
            image_encoder,
            face_network,
            face_embedding: face_network.map(|_| match normalised.contains(&variant) {
                true => EmbeddingForm::Normalised,
                false => EmbeddingForm::Raw,
            }),
            face_parser: pulid.then_some("BiSeNet (parsing_bisenet of facexlib), for the grey background"),
            lora: match view.names().any(is_lora_tensor) {
                true => LoraPart::Inside,
                false if with_lora => LoraPart::Elsewhere,
                false => LoraPart::None,
            },
            inside: Vec::new(),
            besides: match variant {
                Variant::InstantId => {
                    Some("InstantID's ControlNet, with the same tokens and a picture of five keypoints")
                }
                _ => None,
            },
            licence: Licence::of(variant),
        }
    }

    /// What a summary says, as titles and texts.
    pub(super) fn details(&self) -> Vec<(&'static str, String)> {
        let mut variant = format!("{} ({:?})", self.variant, self.variant.name());
        if !self.same_tensors.is_empty() {
            let names = self.same_tensors.iter().map(|other| format!("{:?}", other.name()));
            variant += &format!("; {} has the same tensors", names.collect::<Vec<_>>().join(" or "));
        }
        let with_place = |part, text: String| match self.inside.contains(&part) {
            true => format!("{text}; in this file"),
            false => text,
        };
        let mut lines = vec![("variant", variant), ("made for", self.host.clone())];
        if let Some(encoder) = &self.image_encoder {
            lines.push(("image encoder", with_place(InsidePart::ImageEncoder, encoder.clone())));
        }
        if let (Some(network), Some(form)) = (self.face_network, self.face_embedding) {
            let text = format!("{network}, {form} embedding");
            lines.push(("face network", with_place(InsidePart::FaceRecogniser, text)));
        }
        if let Some(parser) = self.face_parser {
            lines.push(("face parser", with_place(InsidePart::FaceParser, parser.to_string())));
        }
        match self.lora {
            LoraPart::Inside => lines.push((
                "LoRA",
                "in this file; the host has to apply it at strength 1".to_string(),
            )),
            LoraPart::Elsewhere => {
                let text = "not in this file; the host needs the LoRA that the model was trained with";
                lines.push(("LoRA", text.to_string()));
            }
            LoraPart::None => {}
        }
        if let Some(besides) = self.besides {
            lines.push(("besides", besides.to_string()));
        }
        let Licence {
            name,
            repository,
            source,
        } = self.licence;
        lines.push(("licence", format!("{name} ({repository}: {source})")));
        lines
    }
}

/// Fails for a choice that the file cannot be.
fn check_choice(checkpoint: &Checkpoint, chosen: Variant, possible: &[Variant]) -> Result<()> {
    if possible.contains(&chosen) {
        return Ok(());
    }
    let known = possible
        .iter()
        .map(|variant| format!("{variant} ({:?})", variant.name()));
    Err(Error::mismatch(format!(
        "{}: the variant {:?} is asked for, but the tensors are those of {}",
        checkpoint.label(),
        chosen.name(),
        known.collect::<Vec<_>>().join(" or ")
    )))
}

/// The published models that have the tensors of an adapter, the one that is taken first; `None` for anything else.
fn variants(view: &Checkpoint) -> Option<Vec<Variant>> {
    let begins = |prefix: &str| view.names().any(|name| name.starts_with(prefix));
    let has = |name: &str| view.contains(name);
    let rows = |name: &str| view.shape(name).and_then(|shape| shape.first().copied());
    let columns = |name: &str| view.shape(name).and_then(|shape| shape.get(1).copied());
    let one = |variant| Some(vec![variant]);
    if begins("ipa_arc.") || begins("ipa_sig.") || begins("image_proj.arcface_in_arc.") {
        return one(Variant::WithAnyone);
    }
    if begins("pulid_ca.") {
        return one(Variant::PulidFlux);
    }
    if begins("image_proj.mapping_patch_") || has("image_proj.body.0.weight") {
        return one(Variant::PulidV1);
    }
    if begins("image_proj.id_embedding_mapping.") {
        // The encoder of the files for FLUX and SDXL is the same.
        return one(Variant::PulidV11);
    }
    if has("image_proj.time_embedding.linear_1.weight") {
        return one(Variant::InstantXSd35);
    }
    if has("image_proj.perceiver_resampler.proj_in.weight") {
        // For SDXL version 2 alone was published; Kolors has a host of its own.
        return match rows("image_proj.norm.weight") {
            Some(4096) => None,
            Some(2048) => one(Variant::FaceIdPlusV2),
            _ => Some(vec![Variant::FaceIdPlusV2, Variant::FaceIdPlus]),
        };
    }
    if has("image_proj.latents") {
        let kolors = columns("image_proj.proj_in.weight") == Some(1024)
            && rows("image_proj.layers.0.0.to_out.weight") == Some(2048);
        return match (columns("image_proj.proj_in.weight"), rows("image_proj.proj_out.weight")) {
            (Some(512), Some(4096)) => None,
            (Some(512), _) => Some(vec![Variant::InstantId, Variant::FaceIdPortraitUnnorm]),
            _ if kolors => None,
            _ => one(Variant::Plus),
        };
    }
    if has("image_proj.proj.3.weight") {
        return one(Variant::FullFace);
    }
    if has("image_proj.proj.weight") {
        let flux = view.names().any(|name| name.ends_with(".to_k_ip.bias"));
        return one(if flux { Variant::XlabsFlux } else { Variant::Base });
    }
    if has("image_proj.norm.weight") && has("image_proj.proj.0.weight") && has("image_proj.proj.2.weight") {
        if hooks_every_block(view) || rows("image_proj.norm.weight") == Some(4096) {
            return one(Variant::InstantXFlux);
        }
        let tokens = rows("image_proj.proj.2.weight")
            .zip(rows("image_proj.norm.weight"))
            .and_then(|(all, one)| all.checked_div(one));
        // Portrait has more tokens and no LoRA. A FaceID whose LoRA was taken out still has 4.
        let portrait = tokens.is_some_and(|tokens| tokens > 4) && !view.names().any(is_lora_tensor);
        return one(if portrait {
            Variant::FaceIdPortrait
        } else {
            Variant::FaceId
        });
    }
    None
}

/// The host's model by what its layers read.
fn host(variant: Variant, view: &Checkpoint) -> String {
    let context = view.names().find(|name| name.ends_with(".to_k_ip.weight"));
    let context = context.and_then(|name| view.shape(name)?.get(1).copied());
    match (variant, context) {
        (Variant::XlabsFlux, _) => "FLUX.1 [dev], double blocks".to_string(),
        (Variant::InstantXFlux, _) => "FLUX.1 [dev], all 57 blocks".to_string(),
        (Variant::PulidFlux, _) => "FLUX.1 [dev], residual stream".to_string(),
        (Variant::WithAnyone, _) => "FLUX.1 [dev], residual stream of all 57 blocks".to_string(),
        (Variant::InstantXSd35, _) => "SD 3.5 Large".to_string(),
        (_, Some(768)) => "SD 1.5".to_string(),
        (_, Some(2048)) => "SDXL".to_string(),
        (_, Some(width)) => format!("a model with a context of width {width}"),
        (_, None) => "unknown: the file has no layers".to_string(),
    }
}

/// What a summary calls a kind of checkpoint, whose model is known or not.
pub(super) fn title(kind: Option<&CheckpointKind>, model: Option<&Model>) -> String {
    match (kind, model) {
        (Some(CheckpointKind::IpAdapter { .. } | CheckpointKind::XlabsFlux { .. }), Some(model)) => {
            model.variant.title().to_string()
        }
        (Some(kind), _) => kind.name().to_string(),
        (None, _) => "not supported".to_string(),
    }
}
