//! The engine: an identity model, opened once, used from any number of threads.
//!
//! ```text
//! photos ─► crop ─► backbone ─► encoder ─► Identity ─► adapter ─► Conditioning ─► inject, or keys and values
//! ```
//!
//! [`Engine::open`] recognises the checkpoint by its content. [`Engine::encode`] makes an identity of photos,
//! [`Engine::extend`] adds photos to one, [`Engine::condition`] projects keys and values for a host, once.

mod attention;
mod comparison;
mod condition;
mod condition_at;
mod config;
mod damage;
mod encode;
mod face_likeness;
mod face_networks;
mod features;
mod fingerprint;
mod histograms;
mod host_config;
mod likeness;
mod load;
mod open;
mod options;
mod photos;
mod record;
mod untrained;
mod variant;

pub use crate::checkpoint::Source;
pub use crate::encoder::{
    EncoderConfig, EncoderInput, EncoderKind, FaceInput, FullFaceConfig, OmniIdConfig, ProjectionConfig,
    ResamplerConfig, TokenCount, Variant,
};
pub use crate::face::PhotoReport;
pub use crate::identity::Combine;
pub use crate::photo::PhotoNote;
pub use crate::vit::VisionConfig;
pub use attention::{AttentionMaps, PhotoAttention};
pub use condition::ConditioningInput;
pub(crate) use config::CropJson;
pub use config::{NativeConfig, PixelConfig, FORMAT_VERSION};
pub use face_likeness::Likeness;
pub use features::PhotoFeatures;
pub use host_config::{HostConfig, HostTable, LayerConfig};
pub(crate) use open::Parts;
pub use options::{BadPhoto, DeviceChoice, EncodeOptions, Encoded, EngineOptions, Strangers};
pub use untrained::{untrained_tensors, write_untrained};

use crate::adapter::Adapter;
use crate::checkpoint::Checkpoint;
use crate::encoder::Encoder;
use crate::error::Result;
use crate::face::parsing::FaceParser;
use crate::face::{CropMode, DetectOptions, Face, FaceDetector};
use crate::host::HostSpec;
use crate::identity::similarity::{cosine, SimilaritySpace};
use crate::identity::Identity;
use crate::limits::Limits;
use crate::lora::Lora;
use crate::photo::ImageProcessor;
use crate::precision::Precision;
use crate::progress::{self, ProgressFn};
use crate::recogniser::{FaceNetwork, FaceRecogniser};
use candle_core::{Device, Tensor};
use condition::Synthetic;
use face_networks::FaceNeed;
use load::Backbone;
use std::sync::{Arc, OnceLock};

/// What an opened engine is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EngineInfo {
    /// A display name; empty when the checkpoint has none.
    pub name: String,
    /// The encoder that the checkpoint holds.
    pub kind: EncoderKind,
    /// Fingerprint of backbone and encoder: identities made by it carry it.
    pub fingerprint: String,
    /// Identity tokens: of the whole identity for Omni-ID, per photo for the other encoders.
    pub tokens: usize,
    /// Width of an identity token.
    pub token_width: usize,
    /// Kind and sizes of the identity encoder.
    pub encoder: EncoderConfig,
    /// The face embedding that the identity encoder reads, if it reads one.
    pub face: Option<FaceInput>,
    /// The engine's face recogniser.
    pub recogniser: Option<FaceNetwork>,
    /// Whether the engine has the face parsing network that PuLID's crop wants.
    pub has_face_parser: bool,
    /// Whether the checkpoint holds a LoRA, which the host has to apply: see [`Engine::lora`].
    pub has_lora: bool,
    /// The image encoder's sizes; `None` for models that read face embeddings only.
    pub backbone: Option<VisionConfig>,
    /// How photos are cropped when [`EncodeOptions::crop`] does not say.
    pub crop: CropMode,
    /// Whether faces can be detected: by the detector of this engine, or by the one that is built into the library.
    pub has_detector: bool,
    /// Whether the checkpoint holds an adapter, so that identities can be conditioned for a host.
    pub has_adapter: bool,
    /// Where it computes.
    pub device: DeviceChoice,
    /// Number type of the weights.
    pub precision: Precision,
}

/// An opened identity model.
///
/// Cheap to clone; clones share the weights. Every method takes `&self` and may be called from any number of
/// threads at once.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("info", &self.inner.info)
            .finish_non_exhaustive()
    }
}

/// Where the adapter's tensors are. They are read when the first identity is conditioned: encoding needs none
/// of them, and for SDXL they are 680 MB.
#[derive(Clone)]
pub(crate) struct AdapterSource {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) layout: crate::adapter::AdapterLayout,
}

struct Inner {
    info: EngineInfo,
    device: Device,
    limits: Limits,
    processor: ImageProcessor,
    /// `None` for models that read face embeddings only.
    backbone: Option<Backbone>,
    encoder: Encoder,
    /// Where the encoder's weights come from.
    encoder_source: Checkpoint,
    /// The face embedding that the encoder reads, if it reads one.
    face: Option<FaceNeed>,
    /// The network that makes it, and by which faces are compared.
    recogniser: Option<FaceRecogniser>,
    /// The network that cuts PuLID's faces out of their background.
    parser: Option<FaceParser>,
    lora: Option<Lora>,
    /// The model's average identity, `[tokens, token width]`, and the directions that count, if the checkpoint brings
    /// them.
    similarity_space: SimilaritySpace,
    /// Where faces are compared by orientation histograms, if the checkpoint says.
    histogram_space: Option<SimilaritySpace>,
    /// The detector that was given, or came with the checkpoint.
    detector: Option<FaceDetector>,
    host: Option<HostSpec>,
    adapter_source: Option<AdapterSource>,
    adapter: OnceLock<Adapter>,
    /// Tokens of synthetic pictures, kept because each costs a pass through the backbone.
    synthetic: [OnceLock<Tensor>; Synthetic::COUNT],
}

impl Engine {
    /// Opens a checkpoint: a file, the index of one in shards, or a folder with one; see
    /// [`Checkpoint::open`](crate::checkpoint::Checkpoint::open).
    ///
    /// Image encoder, identity encoder and detector are read now. The layers of an adapter are read by the first
    /// [`condition`](Self::condition), which fails with [`ErrorKind::Io`](crate::ErrorKind::Io) when the file was
    /// changed meanwhile; now only samples of them are looked at.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) and [`ErrorKind::Format`](crate::ErrorKind::Format) for files that
    /// cannot be read or whose weights were never written, [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for checkpoint families and
    /// devices that this build cannot run, [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when image encoder,
    /// checkpoint and host do not belong together.
    pub fn open(options: EngineOptions) -> Result<Self> {
        open::open(options, &mut progress::ignore)
    }

    /// [`Engine::open`], with a callback that is told about each loaded part and can cancel between two.
    ///
    /// # Errors
    /// As [`Engine::open`]; [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled).
    pub fn open_with_progress(options: EngineOptions, progress: ProgressFn<'_>) -> Result<Self> {
        open::open(options, progress)
    }

    /// What this engine is.
    pub fn info(&self) -> &EngineInfo {
        &self.inner.info
    }

    /// The host's layer table, if it is known.
    pub fn host(&self) -> Option<&HostSpec> {
        self.inner.host.as_ref()
    }

    /// The LoRA that the checkpoint holds. It is part of the model: the host has to apply it at strength 1.
    pub fn lora(&self) -> Option<&Lora> {
        self.inner.lora.as_ref()
    }

    /// The bounds that the engine was opened with.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Faces in a photo, the largest first: found by the detector that the engine was opened with, else by the one in
    /// the native checkpoint, else by [the built-in one](FaceDetector::built_in).
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) when there is none of them;
    /// those of [`FaceDetector::detect`].
    pub fn detect_faces(&self, image: &image::RgbImage, options: &DetectOptions) -> Result<Vec<Face>> {
        self.detector()
            .map_err(|error| error.context("detecting faces"))?
            .detect(image, options)
    }

    /// Fails unless the identity was made by this model.
    fn check_identity(&self, identity: &Identity) -> Result<()> {
        let own = &self.inner.info.fingerprint;
        if self.inner.face.is_some() && fingerprint::agree(&identity.provenance().model, own) {
            return Ok(());
        }
        identity.check_model(own)
    }

    /// The detector that finds faces in photos.
    fn detector(&self) -> Result<FaceDetector> {
        match &self.inner.detector {
            Some(detector) => Ok(detector.clone()),
            None => FaceDetector::built_in(),
        }
    }

    /// Cosine similarity of two identities of this model, −1 to 1, in its [`SimilaritySpace`]: centred on the model's
    /// mean identity and projected onto the directions that tell people apart, as far as the checkpoint brings them.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when either belongs to another model.
    pub fn similarity(&self, a: &Identity, b: &Identity) -> Result<f32> {
        self.check_identity(a)?;
        self.check_identity(b)?;
        cosine(a, b, &self.inner.similarity_space)
    }

    /// A unit vector whose dot product with another identity's is their [`similarity`](Self::similarity): what an index
    /// of many people stores. It has [`similarity_directions`](Self::similarity_directions) values, or `tokens · token
    /// width` if there are none; zeros for an identity without a direction. Vectors of one checkpoint belong together:
    /// another one may have other directions though its identities are the same.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the identity belongs to another model.
    pub fn comparison_vector(&self, identity: &Identity) -> Result<Vec<f32>> {
        self.check_identity(identity)?;
        self.inner.similarity_space.embed(identity)
    }

    /// Directions in which identities are compared; 0 if the checkpoint brings none and the tokens are compared as they
    /// are.
    pub fn similarity_directions(&self) -> usize {
        self.inner.similarity_space.directions()
    }
}
