//! The built program on small random models, photos and folders.

mod commands;
mod conversions;
mod drawing;
mod rendering;
mod support;
mod training;
