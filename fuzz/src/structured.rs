//! Valid files of every format that is read, of which one field is broken: safetensors, identities, ZIP archives with
//! pickle programs, ONNX, JPEG, PNG.

mod jpeg;
mod onnx;
mod pickle;
mod png;
mod tensors;

use crate::draft::{Change, Draft};
use crate::{checkpoint, identity, image};
use arbitrary::Unstructured;

/// A kind of file: its name, how it is written, and who reads it.
pub type Kind = (&'static str, fn(&mut Draft, &mut Unstructured<'_>), fn(&[u8]));

/// Every kind.
pub const KINDS: [Kind; 6] = [
    ("safetensors", tensors::checkpoint, checkpoint::run),
    ("identity", tensors::identity, identity::run),
    ("pickle", pickle::archive, checkpoint::run),
    ("onnx", onnx::graph, crate::onnx::run),
    ("jpeg", jpeg::photo, photo),
    ("png", png::photo, photo),
];

fn photo(bytes: &[u8]) {
    image::run(bytes);
    crate::jpeg::run(bytes);
    crate::picture_headers::run(bytes);
}

/// A file of a kind as the input says; `None` for the number of the broken field leaves it whole. Also how many fields
/// it has.
pub fn build(kind: usize, broken: Option<usize>, change: Change, input: &mut Unstructured<'_>) -> (Vec<u8>, usize) {
    let mut draft = Draft::new(broken, change);
    let (_, write, _) = KINDS[kind % KINDS.len()];
    write(&mut draft, input);
    let fields = draft.fields();
    (draft.finish(), fields)
}

pub fn run(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let Ok((kind, broken, change)) = input.arbitrary::<(u8, u16, Change)>() else {
        return;
    };
    let (file, _) = build(usize::from(kind), Some(usize::from(broken)), change, &mut input);
    let (_, _, read) = KINDS[usize::from(kind) % KINDS.len()];
    read(&file);
}
