//! A small, complete diffusion host: a UNet with the layout and the key names of diffusers' `UNet2DConditionModel`,
//! a flow-matching sampler, and a hook in every cross-attention layer where OmniID adds the identity.
//!
//! It is the flow decoder of the training and the generator of the program's demo. A client of the plugin's public
//! API, like any other host.
#![warn(missing_docs)]
#![forbid(unsafe_code)]

pub mod config;
pub mod context;
mod default_model;
pub mod file;
pub mod flow;
pub mod generator;
pub mod hook;
pub mod model;
mod ops;
pub mod pixels;
mod prediction;
pub mod presets;
#[cfg(test)]
mod testing;
pub mod unet;
pub mod view;

pub use config::{MinihostConfig, MinihostSizes};
pub use default_model::default_model;
pub use generator::{GenerateOptions, Generator};
pub use hook::{AdapterHook, ConditioningHook, IdentityHook};
pub use model::Minihost;
pub use unet::{UNet, UNetConfig};
pub use view::View;
