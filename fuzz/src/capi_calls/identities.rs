//! Identities.

use super::check;
use super::handle::{identity_bytes, World};
use super::memory::{choice, or_null, text, HostTensor, Struct};
use crate::draft::{number, pick};
use crate::model;
use arbitrary::Unstructured;
use omniid_capi::*;
use std::ptr::null_mut;

pub fn from_bytes(input: &mut Unstructured<'_>, world: &mut World) {
    let mut bytes = identity_bytes().to_vec();
    for _ in 0..number(input, 0..=2) {
        let place = number(input, 0..=bytes.len() - 1);
        bytes[place] = input.arbitrary().unwrap_or(0);
    }
    if number(input, 0..=7) == 7 {
        bytes.truncate(number(input, 0..=bytes.len()));
    }
    let mut out = null_mut();
    let place = or_null(input, &mut out);
    // SAFETY: the bytes live through the call.
    let made = check(unsafe { omniid_identity_from_bytes(bytes.as_ptr().cast(), bytes.len(), place) });
    world.identities.keep(made, out, omniid_identity_free);
}

/// Asks for the size, then writes into a buffer that fits, is too small, or is NULL.
pub fn to_bytes(input: &mut Unstructured<'_>, world: &World) {
    let identity = world.identities.any(input);
    let precision = choice(input, 3);
    let mut size = usize::MAX;
    // SAFETY: the handle is live or NULL; the buffer has `capacity` bytes.
    unsafe {
        if !check(omniid_identity_to_bytes(identity, precision, null_mut(), 0, &mut size)) {
            return;
        }
        let capacity = *pick(input, &[size, size + 9, size - 1, 1, 0]);
        let mut buffer = vec![0u8; capacity];
        let mut written = 0;
        let place = or_null(input, &mut written);
        let done = check(omniid_identity_to_bytes(
            identity,
            precision,
            buffer.as_mut_ptr().cast(),
            capacity,
            place,
        ));
        assert_eq!(done, capacity >= size && !place.is_null());
        if done {
            let mut again = null_mut();
            assert!(check(omniid_identity_from_bytes(
                buffer.as_ptr().cast(),
                written,
                &mut again
            )));
            omniid_identity_free(again);
        }
    }
}

pub fn describe(input: &mut Unstructured<'_>, world: &mut World) {
    let identity = world.identities.any(input);
    let mut info = Struct::<omniid_identity_info>::new(input);
    let [tokens, width] = model::TOKENS;
    let target = HostTensor::new(input, &[tokens, width]);
    let mut tensor = null_mut();
    // SAFETY: the handle is live or NULL; elements of the tensor lie in its memory, or it is impossible.
    unsafe {
        check(omniid_identity_describe(identity, info.place(input)));
        check(omniid_identity_copy_tokens(identity, &target.tensor));
        let made = check(omniid_identity_tokens(identity, or_null(input, &mut tensor)));
        world.tensors.keep(made, tensor, omniid_managed_tensor_free);
    }
}

pub fn copies(input: &mut Unstructured<'_>, world: &mut World) {
    let identity = world.identities.any(input);
    let mut out = null_mut();
    // SAFETY: the handle is live or NULL; texts are NULL or NUL-terminated.
    let made = check(unsafe {
        match number(input, 0..=1) {
            0 => omniid_identity_with_notes(identity, text(input), text(input), &mut out),
            _ => omniid_identity_without_features(identity, &mut out),
        }
    });
    world.identities.keep(made, out, omniid_identity_free);
}

pub fn compare(input: &mut Unstructured<'_>, world: &mut World) {
    let engine = world.engines.any(input);
    let (first, second) = (world.identities.any(input), world.identities.any(input));
    let (mut similarity, mut tensor) = (0f32, null_mut());
    // SAFETY: handles are live or NULL.
    unsafe {
        if check(omniid_identity_similarity(engine, first, second, &mut similarity)) {
            assert!(similarity.abs() <= 1.0 + 1e-4, "{similarity}");
        }
        let made = check(match number(input, 0..=1) {
            0 => omniid_identity_comparison_vector(engine, first, &mut tensor),
            _ => omniid_identity_context_tokens(engine, first, &mut tensor),
        });
        world.tensors.keep(made, tensor, omniid_managed_tensor_free);
    }
}

/// Files that cannot be read or written: nothing of a run stays on the disk.
pub fn files(input: &mut Unstructured<'_>, world: &mut World) {
    let path = *pick(input, &[c"/no/such/folder/a.omniid", c"", c"/dev/null/a", c"\xff/\xff"]);
    let (engine, identity) = (world.engines.any(input), world.identities.any(input));
    let mut out = null_mut();
    // SAFETY: handles are live or NULL; the paths are NUL-terminated.
    unsafe {
        assert!(!check(omniid_identity_save(identity, path.as_ptr(), choice(input, 3))));
        assert!(!check(omniid_engine_save_lora(engine, path.as_ptr(), choice(input, 2))));
        assert!(!check(omniid_identity_load(path.as_ptr(), &mut out)));
    }
    assert!(out.is_null());
}
