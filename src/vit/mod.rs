//! The image encoder: CLIP's vision transformer, in the layout of Hugging Face `transformers`.

mod config;
mod model;

pub use config::VisionConfig;
pub use model::VisionTransformer;
