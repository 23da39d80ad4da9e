//! Training of Omni-ID encoders (arXiv 2412.09694): few photos of a person in, many other photos of the same person
//! out.
//!
//! A client of the plugin's public API. Nothing here is needed to use a trained model.

pub mod average;
pub mod config;
pub mod data;
pub mod detector;
pub mod discriminant;
pub mod evaluate;
pub mod export;
pub mod judged;
pub mod measures;
pub mod metrics;
pub mod model;
pub mod objective;
pub mod observer;
pub mod optimiser;
pub mod parameters;
mod part;
pub mod pixels;
pub mod preview;
pub mod random;
pub mod render;
pub mod run;
pub mod sampler;
pub mod schedule;
pub mod similarity;
pub mod stage1;
pub mod stage2;
pub mod state;
pub mod toy;
pub mod trainer;
mod workers;
