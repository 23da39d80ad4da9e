//! `omniid_inject_residual` through the C ABI, with a small native model whose adapter is one of the residual stream.

use crate::combinations::Answer::{Counts, Harmless, Refused};
use crate::combinations::{check, engine_options, none, rows, zeroed, Objects, Row};
use omniid_capi::*;
use std::ffi::{CStr, CString};
use std::ptr::{null, null_mut};

const HIDDEN: usize = 40;
/// Batch, image tokens, hidden.
const SHAPE: [i64; 3] = [2, 6, HIDDEN as i64];
const COUNT: usize = 2 * 6 * HIDDEN;

fn objects() -> Objects {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("residual.safetensors");
    crate::untrained_model::write_residual(&path).unwrap();
    let path = CString::new(path.to_str().unwrap()).unwrap();
    let mut options = engine_options();
    options.checkpoint_path = path.as_ptr();
    let objects = Objects::of(&options);
    drop(folder);
    objects
}

fn noise(seed: usize) -> Vec<f32> {
    (0..COUNT)
        .map(|i| ((i * 7919 + seed * 31) % 997) as f32 / 997.0 - 0.5)
        .collect()
}

fn tensor(data: *mut f32, shape: &mut [i64; 3]) -> omniid_tensor {
    omniid_tensor {
        data: data.cast(),
        device: TensorDevice {
            device_type: 1,
            device_id: 0,
        },
        ndim: 3,
        dtype: TensorType {
            code: 2,
            bits: 32,
            lanes: 1,
        },
        shape: shape.as_mut_ptr(),
        strides: null_mut(),
        byte_offset: 0,
    }
}

fn call(output: *mut omniid_tensor) -> omniid_residual_call {
    zeroed(|call: &mut omniid_residual_call| {
        call.struct_size = size_of::<omniid_residual_call>() as u32;
        (call.scale, call.stream, call.output) = (1.0, 1, output);
    })
}

fn message() -> String {
    // SAFETY: the library's own text.
    let text = unsafe { CStr::from_ptr(omniid_last_error()) };
    text.to_string_lossy().into_owned()
}

#[test]
fn in_place_and_into_another_tensor_are_the_same() {
    let objects = objects();
    let (mut layer, mut shape) = (zeroed(|_: &mut omniid_host_layer| {}), SHAPE);
    layer.struct_size = size_of::<omniid_host_layer>() as u32;
    // SAFETY (all): initialised structs and tensors of this test.
    let status = unsafe { omniid_conditioning_layer(objects.conditioning, 1, &mut layer) };
    assert_eq!((status, layer.hidden, layer.heads), (OMNIID_STATUS_OK, 40, 2));
    let hidden = noise(1);
    let mut in_place = hidden.clone();
    let mut output = tensor(in_place.as_mut_ptr(), &mut shape);
    let output: *mut omniid_tensor = &mut output;
    // SAFETY: as above.
    let inject = |call: &omniid_residual_call| unsafe { omniid_inject_residual(objects.conditioning, call) };
    assert_eq!(inject(&call(output)), OMNIID_STATUS_OK, "{}", message());
    assert!(
        in_place.iter().zip(&hidden).any(|(a, b)| (a - b).abs() > 1e-3),
        "no effect"
    );
    // The output may be named as the hidden state, too.
    let mut again = hidden.clone();
    let mut output = tensor(again.as_mut_ptr(), &mut shape);
    let output: *mut omniid_tensor = &mut output;
    let mut named = call(output);
    named.hidden = output;
    assert_eq!(inject(&named), OMNIID_STATUS_OK, "{}", message());
    assert_eq!(again, in_place);
    // Zeros get what is added.
    let (mut zeros, mut source) = (vec![0.0; COUNT], hidden.clone());
    let mut other_shape = SHAPE;
    let mut output = tensor(zeros.as_mut_ptr(), &mut shape);
    let source = tensor(source.as_mut_ptr(), &mut other_shape);
    let mut elsewhere = call(&mut output);
    elsewhere.hidden = &source;
    assert_eq!(inject(&elsewhere), OMNIID_STATUS_OK, "{}", message());
    for i in 0..COUNT {
        assert!((hidden[i] + zeros[i] - in_place[i]).abs() < 1e-6);
    }
    // Half overlapping is neither.
    let mut memory = vec![0.5f32; 2 * COUNT];
    let start = memory.as_mut_ptr();
    let mut output = tensor(start, &mut shape);
    // SAFETY: inside the memory.
    let source = tensor(unsafe { start.add(HIDDEN) }, &mut other_shape);
    let mut shifted = call(&mut output);
    shifted.hidden = &source;
    assert_eq!(inject(&shifted), OMNIID_STATUS_INVALID_ARGUMENT);
    assert!(message().contains("share memory"), "{}", message());
    // A query is no hidden state.
    let mut query = zeroed(|call: &mut omniid_inject_call| {
        call.struct_size = size_of::<omniid_inject_call>() as u32;
        (call.scale, call.stream) = (1.0, 1);
    });
    (query.query, query.output) = (&source, shifted.output);
    let mut apart = vec![0.0f32; COUNT];
    let mut target = tensor(apart.as_mut_ptr(), &mut shape);
    query.output = &mut target;
    // SAFETY: as above.
    assert_eq!(
        unsafe { omniid_inject(objects.conditioning, &query) },
        OMNIID_STATUS_MISMATCH
    );
    assert!(message().contains("inject_residual"), "{}", message());
}

#[test]
fn residual_calls_count_or_are_refused() {
    let objects = objects();
    let (mut memory, mut shape) = (noise(2), SHAPE);
    let mut output = tensor(memory.as_mut_ptr(), &mut shape);
    let output: *mut omniid_tensor = &mut output;
    static ROLES: [i32; 2] = [0, 1];
    let rows: &[Row<omniid_residual_call>] = rows![
        "struct_size": |c| c.struct_size = 40 => Refused("OMNIID_RESIDUAL_CALL_INIT");
        "scale": |c| c.scale = f32::NAN => Refused("scale");
        "layer": |c| c.layer = 2 => Refused("no layer 2");
        "hidden": |c| c.hidden = c.output => Harmless("documented: the very same tensor");
        "output": |c| c.output = null_mut() => Refused("output");
        "roles": |c| c.roles = ROLES.as_ptr() => Refused("roles is set");
        "role_count": |c| c.role_count = 2 => Refused("roles");
        "role_count": |c| (c.roles, c.role_count) = (ROLES.as_ptr(), 1) => Harmless("documented: one role of all rows, here the default");
        "sigma": |c| c.sigma = 3.0 => Harmless("documented: not looked at without its flag");
        "fraction": |c| c.fraction = 0.5 => Harmless("documented: not looked at without its flag");
        "latent_height": |c| c.latent_height = 4 => Refused("latent size: 4 x 0");
        "latent_width": |c| c.latent_width = 4 => Refused("latent size: 0 x 4");
        "latent_width": |c| (c.latent_height, c.latent_width) = (2, 3)
            => Harmless("documented: identities without a mask do not look at it");
        "stream": |c| c.stream = 7 => Harmless("documented: ignored on the CPU");
        "flags": none => Counts;
        "reserved": |c| c.reserved = 1 => Refused("reserved is 1");
    ];
    check(
        "omniid_residual_call",
        || call(output),
        rows,
        |call| {
            // SAFETY: initialised structs of this test.
            unsafe { omniid_inject_residual(objects.conditioning, call) }
        },
    );
    let mut flagged = call(output);
    flagged.flags = 64;
    // SAFETY: as above.
    let status = unsafe { omniid_inject_residual(objects.conditioning, &flagged) };
    assert_eq!((status, flagged.roles), (OMNIID_STATUS_UNSUPPORTED, null()));
}
