//! Training of Omni-ID encoders (arXiv 2412.09694): few photos of a person in, many other photos of the same person
//! out.
//!
//! A client of the plugin's public API. Nothing here is needed to use a trained model.

pub mod batch;
pub mod config;
pub mod data;
pub mod detector;
pub mod evaluate;
pub mod flow;
pub mod histograms;
pub mod masked;
pub mod model;
pub mod optimisation;
pub mod pictures;
pub mod random;
mod remedy;
pub mod render;
pub mod run;
pub mod statistics;
pub mod tokens;
pub mod trainer;
