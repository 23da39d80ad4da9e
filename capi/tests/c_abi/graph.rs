//! Graphs through the C ABI: what the manifest says, what is filled, what is refused.

use crate::combinations::Answer::{Counts, Harmless, Refused};
use crate::combinations::{check, none, rows, zeroed, Objects, Row};
use omniid_capi::*;
use std::ffi::{c_char, CStr};
use std::ptr::{null, null_mut};

/// The small model's host, the other way round.
const MANIFEST: &str = r#"{"format": "omniid-graph", "version": 1, "graph": "small.onnx", "host": "custom",
    "form": "keys_values", "precision": "f32", "layers": [
        {"name": "up.attn", "heads": 4, "head_dim": 8, "key": "ip_k.up", "value": "ip_v.up"},
        {"name": "down.attn", "heads": 2, "head_dim": 8, "key": "ip_k.down", "value": "ip_v.down"}],
    "rows": null, "tokens": null, "width": null, "scale": "ip_scale", "mask": null, "tokens_input": null,
    "fingerprint": null}"#;

struct Graph(*mut omniid_graph);

impl Graph {
    fn new(manifest: &str) -> Self {
        let mut out = null_mut();
        // SAFETY: the bytes of a text, a place of this function.
        let status = unsafe { omniid_graph_parse(manifest.as_ptr().cast(), manifest.len(), &mut out) };
        assert_eq!(status, OMNIID_STATUS_OK, "{}", message());
        Self(out)
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: made by `new`, freed once.
        unsafe { omniid_graph_free(self.0) }
    }
}

fn message() -> String {
    // SAFETY: the library's own text.
    let text = unsafe { CStr::from_ptr(omniid_last_error()) };
    text.to_string_lossy().into_owned()
}

fn text(pointer: *const c_char) -> &'static str {
    // SAFETY: a text of the graph, which lives as long as the test.
    unsafe { CStr::from_ptr(pointer) }.to_str().unwrap()
}

fn sized<T>(set: impl FnOnce(&mut T, u32)) -> T {
    zeroed(|value: &mut T| set(value, size_of::<T>() as u32))
}

static ROLES: [i32; 2] = [OMNIID_ROLE_UNCONDITIONAL, OMNIID_ROLE_CONDITIONAL];

fn call() -> omniid_graph_call {
    let mut call: omniid_graph_call = sized(|call: &mut omniid_graph_call, size| call.struct_size = size);
    (call.scale, call.roles, call.role_count) = (1.0, ROLES.as_ptr(), 2);
    call
}

fn buffer(name: &'static CStr, data: &mut [f32]) -> omniid_graph_buffer {
    let mut buffer: omniid_graph_buffer = sized(|buffer: &mut omniid_graph_buffer, size| buffer.struct_size = size);
    (buffer.name, buffer.data, buffer.byte_size) = (name.as_ptr(), data.as_mut_ptr().cast(), size_of_val(data));
    buffer
}

#[test]
fn a_manifest_is_described() {
    let graph = Graph::new(MANIFEST);
    let mut info: omniid_graph_info = sized(|info: &mut omniid_graph_info, size| info.struct_size = size);
    let mut layer: omniid_graph_layer = sized(|layer: &mut omniid_graph_layer, size| layer.struct_size = size);
    let mut input: omniid_graph_input = sized(|input: &mut omniid_graph_input, size| input.struct_size = size);
    // SAFETY (all): a live graph, initialised structs of this test.
    unsafe {
        assert_eq!(omniid_graph_describe(graph.0, &mut info), OMNIID_STATUS_OK);
        assert_eq!(
            (text(info.file_name), text(info.host), info.path),
            ("small.onnx", "custom", null())
        );
        assert_eq!(
            (info.layer_count, info.input_count, info.rows, info.tokens),
            (2, 5, 0, 0)
        );
        assert_eq!(
            (text(info.scale_input), info.mask_input, info.tokens_input),
            ("ip_scale", null(), null())
        );
        assert_eq!(omniid_graph_describe_layer(graph.0, 1, &mut layer), OMNIID_STATUS_OK);
        assert_eq!((text(layer.name), layer.heads, layer.head_dim), ("down.attn", 2, 8));
        assert_eq!(
            (text(layer.key_input), text(layer.value_input)),
            ("ip_k.down", "ip_v.down")
        );
        assert_eq!(
            omniid_graph_describe_layer(graph.0, 2, &mut layer),
            OMNIID_STATUS_INVALID_ARGUMENT
        );
        let inputs: Vec<_> = (0..5)
            .map(|index| {
                assert_eq!(
                    omniid_graph_describe_input(graph.0, index, &mut input),
                    OMNIID_STATUS_OK
                );
                (text(input.name), input.kind, input.layer)
            })
            .collect();
        let expected = [
            ("ip_k.up", OMNIID_GRAPH_INPUT_KEYS, 0),
            ("ip_v.up", OMNIID_GRAPH_INPUT_VALUES, 0),
            ("ip_k.down", OMNIID_GRAPH_INPUT_KEYS, 1),
            ("ip_v.down", OMNIID_GRAPH_INPUT_VALUES, 1),
            ("ip_scale", OMNIID_GRAPH_INPUT_SCALE, 0),
        ];
        assert_eq!(inputs, expected);
        assert_eq!(
            omniid_graph_describe_input(graph.0, 5, &mut input),
            OMNIID_STATUS_INVALID_ARGUMENT
        );
    }
}

#[test]
fn buffers_get_the_keys_and_values_of_the_single_calls() {
    let (objects, graph) = (Objects::new(), Graph::new(MANIFEST));
    let mut shape: omniid_graph_shape = sized(|shape: &mut omniid_graph_shape, size| shape.struct_size = size);
    // SAFETY (all): live handles, initialised structs and memory of this test.
    unsafe {
        let status = omniid_graph_input_shape(graph.0, objects.conditioning, &call(), 0, &mut shape);
        assert_eq!(status, OMNIID_STATUS_OK, "{}", message());
    }
    let tokens = shape.shape[2] as usize;
    assert_eq!(
        (shape.rank, shape.shape[0], shape.shape[1], shape.shape[3]),
        (4, 2, 4, 8)
    );
    assert_eq!(
        (shape.byte_size as usize, shape.precision),
        (2 * 4 * tokens * 8 * 4, OMNIID_PRECISION_F32)
    );
    let (mut keys, mut values) = (vec![9.0f32; 2 * 4 * tokens * 8], vec![9.0f32; 2 * 4 * tokens * 8]);
    let mut scales = [9.0f32; 2];
    let mut buffers = [
        buffer(c"ip_scale", &mut scales),
        buffer(c"ip_v.up", &mut values),
        buffer(c"ip_k.up", &mut keys),
    ];
    (buffers[2].shape, buffers[2].rank) = (shape.shape.as_ptr(), 4);
    // SAFETY: as above.
    let status = unsafe { omniid_graph_fill(graph.0, objects.conditioning, &call(), buffers.as_ptr(), 3) };
    assert_eq!(status, OMNIID_STATUS_OK, "{}", message());
    assert_eq!(scales, [1.0; 2]);
    for (row, role) in ROLES.into_iter().enumerate() {
        for (found, is_keys) in [(&keys, true), (&values, false)] {
            let mut tensor = null_mut();
            // SAFETY: as above; the tensor is f32 `[tokens, 4, 8]` without strides, by the calls' documentation.
            unsafe {
                let get = if is_keys {
                    omniid_conditioning_keys
                } else {
                    omniid_conditioning_values
                };
                assert_eq!(get(objects.conditioning, 1, 0, role, 1, &mut tensor), OMNIID_STATUS_OK);
                let inner = &(*tensor).dl_tensor;
                let count = *inner.shape as usize;
                let expected = std::slice::from_raw_parts(inner.data.cast::<f32>(), count * 4 * 8);
                for (index, value) in found[row * 4 * tokens * 8..][..4 * tokens * 8].iter().enumerate() {
                    let (head, token, i) = (index / (tokens * 8), index / 8 % tokens, index % 8);
                    assert_eq!(*value, expected[(token % count * 4 + head) * 8 + i]);
                }
                omniid_managed_tensor_free(tensor);
            }
        }
    }
}

#[test]
fn graph_calls_count_or_are_refused() {
    let (objects, graph) = (Objects::new(), Graph::new(MANIFEST));
    let mut scales = [9.0f32; 2];
    let scales = buffer(c"ip_scale", &mut scales);
    let rows: &[Row<omniid_graph_call>] = rows![
        "struct_size": |c| c.struct_size = 24 => Refused("OMNIID_GRAPH_CALL_INIT");
        "scale": |c| c.scale = f32::INFINITY => Refused("finite");
        "roles": |c| c.role_count = 0 => Refused("roles is set");
        "role_count": |c| c.role_count = 70_000 => Refused("70000");
        "role_count": |c| c.roles = null() => Refused("roles");
        "sigma": |c| c.sigma = 3.0 => Harmless("documented: not looked at without its flag");
        "fraction": |c| c.fraction = 0.5 => Harmless("documented: not looked at without its flag");
        "flags": none => Counts;
        "concatenate": |c| c.concatenate = 2 => Refused("concatenate: 2");
    ];
    check("omniid_graph_call", call, rows, |call| {
        // SAFETY: live handles, initialised structs and memory of this test.
        unsafe { omniid_graph_fill(graph.0, objects.conditioning, call, &scales, 1) }
    });
}

#[test]
fn graph_buffers_count_or_are_refused() {
    let (objects, graph) = (Objects::new(), Graph::new(MANIFEST));
    let mut memory = [9.0f32; 2];
    let data = memory.as_mut_ptr();
    let start = || {
        let mut buffer = buffer(c"ip_scale", &mut []);
        (buffer.data, buffer.byte_size) = (data.cast(), 8);
        buffer
    };
    static SHAPE: [i64; 2] = [2, -1];
    let rows: &[Row<omniid_graph_buffer>] = rows![
        "struct_size": |b| b.struct_size = 24 => Refused("OMNIID_GRAPH_BUFFER_INIT");
        "precision": |b| b.precision = 3 => Refused("precision int8");
        "precision": |b| b.precision = 4 => Refused("precision: 4");
        "name": |b| b.name = null() => Refused("name");
        "name": |b| b.name = c"ip_k".as_ptr() => Refused("no identity input \"ip_k\"");
        "data": |b| b.data = null_mut() => Refused("data");
        "byte_size": |b| b.byte_size = usize::MAX => Refused("do not fit");
        "shape": |b| b.shape = SHAPE.as_ptr() => Refused("rank");
        "shape": |b| (b.shape, b.rank) = (SHAPE.as_ptr(), 2) => Refused("below 0");
        "shape": |b| (b.shape, b.rank) = (SHAPE.as_ptr(), 1) => Harmless("it is the input's shape");
        "rank": |b| b.rank = 1 => Refused("rank is 1");
        "reserved": |b| b.reserved = 1 => Refused("reserved is 1");
    ];
    check("omniid_graph_buffer", start, rows, |buffer| {
        // SAFETY: as above.
        unsafe { omniid_graph_fill(graph.0, objects.conditioning, &call(), buffer, 1) }
    });
    // What does not fit is a mismatch; nothing is written to the buffers beside it.
    // SAFETY: two numbers of this test.
    unsafe { data.write_bytes(7, 2) };
    let mut keys = [9.0f32; 8];
    for (set, words) in [
        ((|b| b.byte_size = 4) as fn(&mut omniid_graph_buffer), "(4 bytes)"),
        (|b| b.precision = OMNIID_PRECISION_F16, "of f16"),
    ] {
        let mut buffers = [start(), buffer(c"ip_k.down", &mut keys)];
        set(&mut buffers[0]);
        // SAFETY: as above.
        let status = unsafe { omniid_graph_fill(graph.0, objects.conditioning, &call(), buffers.as_ptr(), 2) };
        assert!(
            status == OMNIID_STATUS_MISMATCH && message().contains(words),
            "{}",
            message()
        );
    }
    let mut buffers = [start(), buffer(c"ip_k.down", &mut keys)];
    // SAFETY: as above.
    let fill = |buffers: &[omniid_graph_buffer]| unsafe {
        omniid_graph_fill(graph.0, objects.conditioning, &call(), buffers.as_ptr(), buffers.len())
    };
    assert_eq!(fill(&buffers), OMNIID_STATUS_MISMATCH);
    assert!(
        message().contains("down.attn") && message().contains("(32 bytes)"),
        "{}",
        message()
    );
    buffers[1].data = buffers[0].data.wrapping_byte_add(4);
    assert_eq!(fill(&buffers), OMNIID_STATUS_INVALID_ARGUMENT);
    assert!(message().contains("overlap"), "{}", message());
    assert_eq!(keys, [9.0; 8]);
    assert_eq!(memory.map(f32::to_bits), [0x0707_0707; 2]);
}
