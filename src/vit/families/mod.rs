//! The tensors of the families' files under the names of [`VisionTransformer`](super::VisionTransformer).

pub(super) mod dinov2;
pub(super) mod eva02;
pub(super) mod siglip;

use super::parts::{block_of, stacked, unneeded, whole, Others, Parts};
use crate::tensor_file::Part;

/// Looks `name` up in pairs of names.
fn renamed(table: &[(&str, &str)], name: &str) -> Option<String> {
    let (_, new) = table.iter().find(|(old, _)| *old == name)?;
    Some(new.to_string())
}

/// Looks up what `part` begins with and keeps the rest, such as `weight`.
fn renamed_begin(table: &[(&str, &str)], part: &str) -> Option<String> {
    let (old, new) = table.iter().find(|(old, _)| part.starts_with(old))?;
    Some(format!("{new}{}", &part[old.len()..]))
}

/// A tensor with leading dimensions of size 1, which go until `rank` are left.
fn squeezed(name: &str, rank: usize) -> Parts {
    Some(vec![(name.to_string(), Part::Squeezed(rank))])
}

/// The name of a tensor in block `block`.
fn in_block(block: &str, part: &str) -> String {
    format!("vision_model.encoder.layers.{block}.{part}")
}

/// The three names of a fused query, key and value projection; `kind` is `weight` or `bias`.
fn query_key_value(begin: &str, kind: &str) -> [String; 3] {
    ["q_proj", "k_proj", "v_proj"].map(|projection| format!("{begin}.{projection}.{kind}"))
}
