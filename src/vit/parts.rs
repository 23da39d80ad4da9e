//! How the tensors of one layout of names are described in another.

use crate::tensor_file::Part;

/// What a tensor of a file is: its parts under our names, nothing for one that is left out, `None` for an unknown one.
pub(super) type Parts = Option<Vec<(String, Part)>>;

/// The shapes of the other tensors, by name.
pub(super) type Others<'a> = &'a dyn Fn(&str) -> Option<Vec<usize>>;

/// All of a tensor under `name`.
pub(super) fn whole(name: impl Into<String>) -> Parts {
    Some(vec![(name.into(), Part::Whole)])
}

/// A tensor that the network does not need.
pub(super) fn unneeded() -> Parts {
    Some(Vec::new())
}

/// A tensor with equal parts one above the other.
pub(super) fn stacked(names: &[String], shape: &[usize]) -> Parts {
    let count = names.len();
    let rows = shape.first().filter(|rows| *rows % count == 0)? / count;
    let part = |(index, name): (usize, &String)| (name.clone(), Part::Rows(index * rows..(index + 1) * rows));
    Some(names.iter().enumerate().map(part).collect())
}

/// The number of a block and the rest of a name that begins with `list`.
pub(super) fn block_of<'a>(name: &'a str, list: &str) -> Option<(&'a str, &'a str)> {
    let (block, part) = name.strip_prefix(list)?.split_once('.')?;
    let is_number = !block.is_empty() && block.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some((block, part))
}
