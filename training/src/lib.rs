//! Training of Omni-ID encoders (arXiv 2412.09694): few photos of a person in, many other photos of the same person
//! out.
//!
//! A client of the plugin's public API. Nothing here is needed to use a trained model.

pub mod data;
pub mod detector;
pub mod evaluate;
pub mod render;
