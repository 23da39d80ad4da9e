//! The image encoder: CLIP's vision transformer, in the layout of Hugging Face `transformers`.

mod config;
mod model;
mod tensors;

pub use config::VisionConfig;
pub use model::VisionTransformer;
pub use tensors::vision_tensors;
