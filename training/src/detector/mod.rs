//! A face detector of YuNet's architecture, trained on rendered people.
//!
//! The published YuNet weights were trained on photos of real people and stay loadable; these are ours to ship.

pub mod loss;
pub mod network;
pub mod ops;
pub mod truth;
