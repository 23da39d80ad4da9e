//! Any bytes as the manifest of a graph: what is accepted is consistent, and shapes can be asked of it.

use crate::model;
use omniid::graph::{Graph, GraphCall};

pub fn run(bytes: &[u8]) {
    let Ok(graph) = Graph::parse(bytes) else { return };
    assert!(!graph.file_name().is_empty() && !graph.layers().is_empty() && !graph.inputs().is_empty());
    let conditioning = model::conditioning();
    let call = GraphCall::default();
    for input in graph.inputs().iter().take(4) {
        if let Ok(shape) = graph.shape(conditioning, &call, &input.name) {
            let count: usize = shape.iter().product();
            let size = graph
                .byte_size(conditioning, &call, &input.name)
                .expect("a known shape");
            assert!(size == 4 * count || size == 2 * count);
        }
    }
}
