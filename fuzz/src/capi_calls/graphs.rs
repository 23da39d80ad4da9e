//! Graphs.

use super::check;
use super::handle::World;
use super::memory::{choice, or_null, real, Struct};
use crate::draft::{number, pick};
use arbitrary::Unstructured;
use omniid_capi::*;
use std::ptr::{null, null_mut};

/// Inputs of the small model's two layers.
pub const MANIFEST: &str = r#"{"format": "omniid-graph", "version": 1, "graph": "a.onnx", "host": "custom",
    "form": "keys_values", "precision": "f32", "scale": "scale", "layers": [
        {"name": "down.attn", "heads": 2, "head_dim": 8, "key": "k0", "value": "v0"},
        {"name": "up.attn", "heads": 4, "head_dim": 8, "key": "k1", "value": "v1"}]}"#;

pub fn parse(input: &mut Unstructured<'_>, world: &mut World) {
    let mut text = MANIFEST.as_bytes().to_vec();
    for _ in 0..number(input, 0..=2) {
        let place = number(input, 0..=text.len() - 1);
        text[place] = input.arbitrary().unwrap_or(0);
    }
    let length = if number(input, 0..=7) == 7 {
        number(input, 0..=text.len())
    } else {
        text.len()
    };
    let mut out = null_mut();
    let place = or_null(input, &mut out);
    // SAFETY: the text lives through the call.
    let made = check(unsafe { omniid_graph_parse(text.as_ptr().cast(), length, place) });
    world.graphs.keep(made, out, omniid_graph_free);
}

pub fn fill(input: &mut Unstructured<'_>, world: &World) {
    let (graph, conditioning) = (world.graphs.any(input), world.conditionings.any(input));
    let index = *pick(input, &[0, 1, 2, 3, 4, usize::MAX]);
    let mut info = Struct::<omniid_graph_info>::new(input);
    let mut layer = Struct::<omniid_graph_layer>::new(input);
    let mut described = Struct::<omniid_graph_input>::new(input);
    let mut shape = Struct::<omniid_graph_shape>::new(input);
    let mut call = Struct::<omniid_graph_call>::new(input);
    let roles: [i32; 4] = std::array::from_fn(|_| choice(input, 2));
    (call.scale, call.flags, call.concatenate) = (real(input), number(input, 0..=3) as u32, choice(input, 2));
    (call.roles, call.role_count) = (roles.as_ptr(), number(input, 0..=4));
    (call.sigma, call.fraction) = (real(input).into(), real(input).into());
    // SAFETY: handles are live or NULL; the buffer has the bytes that it states.
    unsafe {
        check(omniid_graph_describe(graph, info.place(input)));
        check(omniid_graph_describe_layer(graph, index, layer.place(input)));
        if !check(omniid_graph_describe_input(graph, index, described.place(input))) {
            return;
        }
        let call = if number(input, 0..=3) == 3 {
            null_mut()
        } else {
            call.place(input)
        };
        if !check(omniid_graph_input_shape(
            graph,
            conditioning,
            call,
            index,
            shape.place(input),
        )) {
            return;
        }
        let size = *pick(input, &[shape.byte_size, shape.byte_size, shape.byte_size / 2, 0]) as usize;
        let mut memory = vec![0u8; size + 1];
        let mut buffer = Struct::<omniid_graph_buffer>::new(input);
        buffer.name = described.name;
        buffer.precision = choice(input, 3);
        // Of any alignment.
        buffer.data = memory.as_mut_ptr().add(number(input, 0..=1)).cast();
        buffer.byte_size = size;
        if number(input, 0..=1) == 1 {
            (buffer.shape, buffer.rank) = (shape.shape.as_ptr(), shape.rank);
        }
        if number(input, 0..=15) == 15 {
            (buffer.name, buffer.data) = (null(), null_mut());
        }
        check(omniid_graph_fill(
            graph,
            conditioning,
            call,
            buffer.place(input),
            usize::from(number(input, 0..=7) != 7),
        ));
    }
}
