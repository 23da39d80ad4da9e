//! What the authors of published models say about the licence of their weights.

use crate::encoder::Variant;
use serde::Serialize;

/// The licence of a published model's weights, as its authors state it. Which model a file is follows from its tensors,
/// so a model that somebody else trained in the same form is shown with the licence of the published one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Licence {
    /// The licence, or what the authors say in its place; `unknown` when nothing was found.
    pub name: &'static str,
    /// Where the authors publish the model.
    pub repository: &'static str,
    /// Where they say it.
    pub source: &'static str,
}

const FACE_ID: Licence = Licence {
    name: "non-commercial: \"exclusively for research purposes\"",
    repository: "huggingface.co/h94/IP-Adapter-FaceID",
    source: "model card, \"Non-commercial use\"",
};

const PULID: Licence = Licence {
    name: "Apache-2.0; the face recognition network that it needs is for non-commercial research",
    repository: "huggingface.co/guozinan/PuLID",
    source: "model card; insightface's README",
};

impl Licence {
    /// Weights of which nobody was found to say anything.
    pub(super) const UNKNOWN: Self = Self {
        name: "unknown",
        repository: "unknown",
        source: "none found",
    };

    /// The LoRA of FaceID, in a file of its own.
    pub(super) const FACE_ID_LORA: Self = FACE_ID;

    /// The licence of a published model.
    pub fn of(variant: Variant) -> Self {
        match variant {
            Variant::Base | Variant::Plus | Variant::FullFace => Self {
                name: "Apache-2.0",
                repository: "huggingface.co/h94/IP-Adapter",
                source: "model card",
            },
            Variant::FaceId
            | Variant::FaceIdPlus
            | Variant::FaceIdPlusV2
            | Variant::FaceIdPortrait
            | Variant::FaceIdPortraitUnnorm => FACE_ID,
            Variant::InstantId => Self {
                name: "research purposes only (code Apache-2.0)",
                repository: "huggingface.co/InstantX/InstantID",
                source: "README of github.com/InstantID/InstantID, \"Disclaimer\"; the model card says apache-2.0",
            },
            Variant::PulidV1 | Variant::PulidV11 => PULID,
            Variant::PulidFlux => Self {
                name: "Apache-2.0; FLUX.1 [dev] and the face recognition network have non-commercial licences",
                ..PULID
            },
            Variant::InstantXFlux => Self {
                name: "FLUX.1 [dev] Non-Commercial License",
                repository: "huggingface.co/InstantX/FLUX.1-dev-IP-Adapter",
                source: "model card",
            },
            Variant::InstantXSd35 => Self {
                name: "Stability AI Community License",
                repository: "huggingface.co/InstantX/SD3.5-Large-IP-Adapter",
                source: "model card",
            },
            Variant::WithAnyone => Self {
                name: "FLUX.1 [dev] Non-Commercial License; \"solely for non-commercial academic research\"",
                repository: "huggingface.co/WithAnyone/WithAnyone",
                source: "README of github.com/Doby-Xu/WithAnyone, \"License and Disclaimer\"",
            },
            Variant::XlabsFlux => Self {
                name: "FLUX.1 [dev] Non-Commercial License",
                repository: "huggingface.co/XLabs-AI/flux-ip-adapter",
                source: "model card",
            },
            // New variants get a line here when somebody has looked their licence up.
            #[allow(unreachable_patterns)]
            _ => Self::UNKNOWN,
        }
    }
}
