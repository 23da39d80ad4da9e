//! A small, complete diffusion host: a UNet with the layout and the key names of diffusers' `UNet2DConditionModel`,
//! a flow-matching sampler, and a hook in every cross-attention layer where OmniID adds the identity.
//!
//! It is the flow decoder of the training and the generator of the program's demo. A client of the plugin's public
//! API, like any other host.

pub mod view;

pub use view::View;
