//! What holds for every strided view, mask, set of layer scales and step range, tried on random ones.

mod layer_scales;
mod masks;
mod steps;
mod views;
