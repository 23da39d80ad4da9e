//! Our networks as ONNX graphs, for runtimes that take a whole graph.
//!
//! A network says what it computes twice, one beside the other: `forward` on tensors, `graph` on values of a [`Graph`].
//! `graph` runs on a network of placeholders ([`Outline`](omniid_kernels::layers::Outline)), so names, shapes, sizes and
//! activations come from the constructor, as everything else does; weights are read when the file is written.
//!
//! Graphs are of opset 15, with operators that Unity's Inference Engine knows, and compute in f32. The number of photos
//! is free.

mod file;
mod graph;
mod layers;
mod protobuf;
mod weights;

pub(crate) use graph::{Dimension, Graph, Value};

#[cfg(test)]
mod tests;
