//! What an engine is opened with, and what a call to it may choose.

use crate::checkpoint::Source;
use crate::default_model::default_model;
use crate::encoder::Variant;
use crate::error::Result;
use crate::face::{CropMode, CropOptions, DetectOptions, PhotoReport};
use crate::host::HostSpec;
use crate::identity::{Combine, Identity};
use crate::limits::Limits;
use crate::precision::Precision;
use crate::setters::setters;

/// The device that an engine computes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The processor. Its instruction set is found at run time.
    #[default]
    Cpu,
    /// The NVIDIA GPU with this ordinal. Needs the cargo feature `cuda`.
    Cuda(usize),
}

/// What to open an [`Engine`](super::Engine) with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EngineOptions {
    /// The identity model: a native Omni-ID checkpoint, or a public IP-Adapter or XLabs file, or a folder with one.
    pub checkpoint: Source,
    /// The image encoder that a public checkpoint was trained with (CLIP, SigLIP, EVA02-CLIP): a file, an index of shards,
    /// or a folder as Hugging Face lays it out. A native checkpoint brings its own.
    pub image_encoder: Option<Source>,
    /// The text of the image encoder's `config.json`. Without it the file of that name beside
    /// `image_encoder` is read; without that, published models are known by their shapes.
    pub image_encoder_config: Option<String>,
    /// Load the image encoder when it is first needed instead of when the engine is opened: for programs that work with
    /// stored identities, or run the same image encoder themselves and hand over
    /// [features](super::Engine::identity_from_features). Its file must stay as it is; what is wrong with its weights is
    /// found when they are loaded. Default false.
    pub defer_image_encoder: bool,
    /// The face detector: what [`FaceDetector::open`](crate::face::FaceDetector::open) reads. Without it the one
    /// inside a native checkpoint finds the faces, else
    /// [the built-in one](crate::face::FaceDetector::built_in).
    pub detector: Option<Source>,
    /// The face recognition network: insightface's `w600k_r50.onnx` and `glintr100.onnx`, AuraFace, OpenCV's SFace,
    /// facexlib's IR-SE50, each as ONNX or safetensors. Models of the FaceID family, InstantID and PuLID make their
    /// tokens from its embeddings and need the one that they were trained with; with any other model it compares
    /// identities with photos, see [`Engine::likeness`](super::Engine::likeness).
    pub face_recogniser: Option<Source>,
    /// The face parsing network (BiSeNet, facexlib's `parsing_bisenet.pth`) that makes the grey background of PuLID's
    /// crop. Without it PuLID gets the plain crop. Refused for other models.
    pub face_parser: Option<Source>,
    /// Which published model the checkpoint is, where two share all tensors: FaceID-Plus for SD1.5 or its version 2,
    /// which is the default; InstantID or Portrait-unnorm. Refused where the tensors say otherwise.
    pub variant: Option<Variant>,
    /// The host's layer table. Without it, it is taken from the checkpoint: SD1.5, SDXL and FLUX by their
    /// shapes. Anything else needs it here before [`Engine::condition`](super::Engine::condition).
    pub host: Option<HostSpec>,
    /// Where to compute.
    pub device: DeviceChoice,
    /// Number type of the weights. [`Int8`](Precision::Int8) is for the processor; a GPU refuses it.
    pub precision: Precision,
    /// Bounds for everything read from outside, photos included.
    pub limits: Limits,
}

impl EngineOptions {
    /// The defaults for a checkpoint: CPU, f32, default limits, nothing else given.
    pub fn new(checkpoint: impl Into<Source>) -> Self {
        Self {
            checkpoint: checkpoint.into(),
            image_encoder: None,
            image_encoder_config: None,
            defer_image_encoder: false,
            detector: None,
            face_recogniser: None,
            face_parser: None,
            variant: None,
            host: None,
            device: DeviceChoice::Cpu,
            precision: Precision::F32,
            limits: Limits::default(),
        }
    }

    /// The defaults for the built-in model, which brings its own face detector, adapter and host.
    ///
    /// # Errors
    /// As [`default_model`](crate::default_model()).
    pub fn built_in() -> Result<Self> {
        Ok(Self::new(default_model()?))
    }
}

/// What to do with a photo that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BadPhoto {
    /// Leave it out, say so in the report, go on with the others.
    #[default]
    Skip,
    /// Fail the whole call with that photo's error.
    Fail,
}

/// What to do with photos that look like somebody else than the other photos of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strangers {
    /// Use them, and note it in the report. In photos with several faces the one is taken that looks like the others.
    #[default]
    Note,
    /// Leave them out, and say so in the report. Photos stay in if it cannot be told who the stranger is.
    LeaveOut,
    /// Do not compare the photos. Of several faces the largest is taken.
    Ignore,
}

/// How photos become an identity.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EncodeOptions {
    /// How the photo is cropped before the image encoder. `None`: the model's own way, see
    /// [`EngineInfo::crop`](super::EngineInfo::crop). Where that way takes the whole photo, a photo with a
    /// [face hint](crate::photo::FaceHint) is cropped to that face instead, by [`CropMode::face`].
    pub crop: Option<CropMode>,
    /// Smallest face that is of any use, by the longer side of its box in pixels of the photo. Default 24.
    pub min_face: f32,
    /// How faces are searched.
    pub detect: DetectOptions,
    /// Photos that pass the image encoder together. More is faster on a GPU and takes more memory. Default 4.
    pub batch_size: usize,
    /// Keep each photo's features with the identity, so that it can be extended later. Default true.
    /// Only Omni-ID models need them; for other encoders nothing is kept.
    pub keep_features: bool,
    /// What to do with a photo that cannot be used.
    pub bad_photo: BadPhoto,
    /// What to do with photos that look like somebody else than the others.
    pub strangers: Strangers,
    /// How several photos go into encoders that read each photo by itself. Default: their tokens one after the other.
    pub combine: Combine,
    /// Weight of the image features of FaceID-PlusV2 beside the face embedding (`s_scale`). Default 1; another number is
    /// refused for models without it.
    pub shortcut_scale: f32,
    /// A display name, stored with the identity.
    pub label: String,
    /// What the person agreed to, stored with the identity.
    pub consent: String,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self {
            crop: None,
            min_face: CropOptions::new(CropMode::None, 1).min_face,
            detect: DetectOptions::default(),
            batch_size: 4,
            keep_features: true,
            bad_photo: BadPhoto::Skip,
            strangers: Strangers::Note,
            combine: Combine::Concatenate,
            shortcut_scale: 1.0,
            label: String::new(),
            consent: String::new(),
        }
    }
}

/// An identity, and what became of each photo.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Encoded {
    /// The identity of all photos that could be used.
    pub identity: Identity,
    /// One entry per photo handed in, in that order.
    pub photos: Vec<PhotoReport>,
}

setters!(EngineOptions {
    with_image_encoder: image_encoder = some Source,
    with_image_encoder_config: image_encoder_config = some String,
    with_defer_image_encoder: defer_image_encoder = plain bool,
    with_detector: detector = some Source,
    with_face_recogniser: face_recogniser = some Source,
    with_face_parser: face_parser = some Source,
    with_variant: variant = option Variant,
    with_host: host = option HostSpec,
    with_device: device = plain DeviceChoice,
    with_precision: precision = plain Precision,
    with_limits: limits = plain Limits,
});

setters!(EncodeOptions {
    with_crop: crop = option CropMode,
    with_min_face: min_face = plain f32,
    with_detect: detect = plain DetectOptions,
    with_batch_size: batch_size = plain usize,
    with_keep_features: keep_features = plain bool,
    with_bad_photo: bad_photo = plain BadPhoto,
    with_strangers: strangers = plain Strangers,
    with_combine: combine = plain Combine,
    with_shortcut_scale: shortcut_scale = plain f32,
    with_label: label = into String,
    with_consent: consent = into String,
});

#[cfg(all(test, feature = "default-model"))]
mod tests {
    use super::*;
    use crate::encoder::EncoderKind;
    use crate::engine::Engine;

    #[test]
    fn the_built_in_model_is_complete() {
        let engine = Engine::open(EngineOptions::built_in().unwrap()).unwrap();
        let info = engine.info();
        assert_eq!(info.kind, EncoderKind::OmniId);
        assert!(info.has_detector && info.has_adapter && engine.host().is_some());
    }
}
