//! Which pictures make a step, and their numbers.

mod condition;
mod pixels;
mod sampler;

pub use condition::{condition_length, condition_numbers};
pub use pixels::{
    input_planes, planes, targets, write_face_weights, write_patch, write_patch_weights, write_planes, write_weights,
    PatchArea, Reading,
};
pub use sampler::{Draw, Sampler, Tone};

/// Part number `part` of `parts` equal ones.
pub(crate) fn share<T>(values: &[T], part: usize, parts: usize) -> &[T] {
    let each = values.len() / parts;
    &values[part * each..(part + 1) * each]
}
