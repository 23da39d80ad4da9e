//! The image encoder: CLIP's vision transformer, in the layout of Hugging Face `transformers`.

mod config;
mod model;
mod open_clip;

pub use config::VisionConfig;
pub(crate) use config::VisionSizes;
pub use model::VisionTransformer;
pub use open_clip::ClipNaming;
