//! What holds for every mask, every set of layer scales and every step range, tried on random ones.

mod layer_scales;
mod masks;
mod steps;
