//! Image encoders: the vision transformers of CLIP, SigLIP, DINOv2 and EVA02-CLIP.
//!
//! One network with one description serves all of them: [`VisionFamily`] says in what they differ. Names are those of
//! CLIP in Hugging Face `transformers`; files under other names are shown under these, see [`VisionNaming`].

mod block;
mod config;
mod config_json;
mod embeddings;
mod families;
mod family;
mod head;
mod model;
mod naming;
mod open_clip;
mod parts;
mod positions;
mod presets;
mod rotary;
mod sizes;

pub use config::VisionConfig;
pub use family::VisionFamily;
pub use model::VisionTransformer;
pub use naming::VisionNaming;
pub use open_clip::ClipNaming;
pub(crate) use sizes::VisionSizes;
