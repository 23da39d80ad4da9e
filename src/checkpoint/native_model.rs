//! Which published model a native checkpoint was made of.

use super::Variant;
use crate::encoder::EncoderConfig;
use crate::error::Result;
use crate::lora::is_lora_tensor;
use crate::tensor_file::Checkpoint;
use serde::{Deserialize, Serialize};

/// What a model needs and a native checkpoint can have inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InsidePart {
    /// The image encoder.
    ImageEncoder,
    /// The face recognition network.
    FaceRecogniser,
    /// The face parsing network.
    FaceParser,
}

/// The lines of the configuration that say which model it is.
#[derive(Deserialize)]
pub(super) struct Stated {
    encoder: EncoderConfig,
    /// A name, or a table of layers.
    #[serde(default)]
    host: serde_json::Value,
}

/// The encoder, the layers and the LoRA of a native checkpoint under the names that public files have.
pub(super) fn public_view(checkpoint: &Checkpoint) -> Result<Checkpoint> {
    checkpoint.renamed(|name| {
        let layer = |name: &str| {
            let name = name.replace(".to_k.", ".to_k_ip.").replace(".to_v.", ".to_v_ip.");
            format!("ip_adapter.{name}")
        };
        if let Some(name) = name.strip_prefix("encoder.") {
            return Some(format!("image_proj.{name}"));
        }
        match name.strip_prefix("adapter.layers.") {
            Some(name) => Some(layer(name)),
            None => is_lora_tensor(name).then(|| name.to_string()),
        }
    })
}

/// The parts inside a native checkpoint.
pub(super) fn inside(checkpoint: &Checkpoint) -> Vec<InsidePart> {
    let has = |prefix: &str| checkpoint.names().any(|name| name.starts_with(prefix));
    let parts = [
        ("backbone.", InsidePart::ImageEncoder),
        ("recogniser.", InsidePart::FaceRecogniser),
        ("parser.", InsidePart::FaceParser),
    ];
    parts
        .into_iter()
        .filter_map(|(prefix, part)| has(prefix).then_some(part))
        .collect()
}

impl Stated {
    /// What a native checkpoint states; `None` for a configuration that cannot be read.
    pub(super) fn read(checkpoint: &Checkpoint) -> Option<Self> {
        serde_json::from_str(checkpoint.metadata().get("omniid.config")?).ok()
    }

    /// The published model that the checkpoint was made of, where `found` are those with its tensors; `None` for others.
    pub(super) fn variant(&self, found: Option<Vec<Variant>>, has_lora: bool) -> Option<Variant> {
        Some(match &self.encoder {
            EncoderConfig::OmniId(_) => return None,
            EncoderConfig::IdFormer(_) if self.is_flux() => Variant::PulidFlux,
            EncoderConfig::Projection(_) if self.is_flux() => Variant::XlabsFlux,
            EncoderConfig::InstantXFlux(_) => Variant::InstantXFlux,
            // Portrait has more tokens and no LoRA.
            EncoderConfig::FaceId(config) if config.tokens > 4 && !has_lora => Variant::FaceIdPortrait,
            EncoderConfig::FaceId(_) => Variant::FaceId,
            EncoderConfig::FaceIdPlus(plus) if found.is_some() => match plus.shortcut {
                true => Variant::FaceIdPlusV2,
                false => Variant::FaceIdPlus,
            },
            EncoderConfig::FaceIdPortraitUnnorm(_) if found.is_some() => Variant::FaceIdPortraitUnnorm,
            EncoderConfig::InstantId(_) if found.is_some() => Variant::InstantId,
            _ => *found?.first()?,
        })
    }

    /// Whether the adapter is for FLUX.1.
    fn is_flux(&self) -> bool {
        let family = self.host.get("family").and_then(serde_json::Value::as_str);
        let named = self.host.as_str();
        family == Some("flux") || named.is_some_and(|name| ["flux", "flux_all", "pulid_flux"].contains(&name))
    }
}
