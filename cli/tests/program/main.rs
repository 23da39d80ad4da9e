//! The built program on small random models, photos and folders.

mod claims;
mod commands;
#[cfg(unix)]
mod comparison;
mod conversions;
mod drawing;
mod face_models;
mod faces;
mod folders;
mod histograms;
mod options;
mod rendering;
mod report;
mod report_browser;
#[cfg(unix)]
mod signals;
mod strangers;
mod streams;
mod support;
mod training;
#[cfg(windows)]
mod windows;
