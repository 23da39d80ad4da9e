//! Reader of MakeHuman's `.target` morphs.

use std::collections::BTreeMap;
use std::path::Path;

use omniid::{Error, Result};
use rayon::prelude::*;

use super::files::{files, stem};
use crate::render::text;
use crate::render::vector::{fused, Vec3};

/// Offsets of some vertices of the base mesh; a shape is base + Σ weight · offset.
#[derive(Debug, Clone, Default)]
pub(crate) struct Target {
    /// Vertex and offset, decimetres.
    pub rows: Vec<(u32, [f32; 3])>,
}

impl Target {
    /// Reads a file for a base mesh of `vertices` vertices.
    ///
    /// # Errors
    /// `Io` when the file cannot be read, `Format` naming the line for anything malformed.
    pub fn read(path: &Path, vertices: usize) -> Result<Self> {
        Self::parse(&text::read(path)?, vertices).map_err(|e| e.context(path.display()))
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// `Format`, naming the line.
    pub fn parse(content: &str, vertices: usize) -> Result<Self> {
        let mut rows = Vec::new();
        for (number, line) in content.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let row = (|| {
                let (index, offset) = line
                    .split_once(char::is_whitespace)
                    .ok_or_else(|| Error::format(format!("{line:?} is not \"index dx dy dz\"")))?;
                Ok((
                    text::vertex(index, vertices)?,
                    text::numbers::<3>(offset.split_whitespace())?,
                ))
            })();
            rows.push(row.map_err(|e: Error| e.context(format!("line {}", number + 1)))?);
        }
        // Zero offsets are common in these files and cost as much as others.
        rows.retain(|row| row.1 != [0.0; 3]);
        Ok(Self { rows })
    }

    /// Adds `weight` times the offsets.
    pub(crate) fn apply(&self, weight: f32, positions: &mut [Vec3]) {
        if weight == 0.0 {
            return;
        }
        for &(index, offset) in &self.rows {
            let position = &mut positions[index as usize];
            *position = fused(*position, offset, weight);
        }
    }
}

/// All `.target` files of a folder, by name without the extension.
pub(crate) fn named_targets(folder: &Path, vertices: usize) -> Result<BTreeMap<String, Target>> {
    files(folder, "target")?
        .par_iter()
        .map(|path| Ok((stem(path), Target::read(path, vertices)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rows_and_applies_them() {
        let target = Target::parse("# note\n0 -.5 0 1\n\n2 0 0 0\n1 1 2 -.25\n", 3).unwrap();
        assert_eq!(target.rows.len(), 2);
        let mut shape = [[1.0; 3]; 3];
        target.apply(2.0, &mut shape);
        assert_eq!(shape, [[0.0, 1.0, 3.0], [3.0, 5.0, 0.5], [1.0; 3]]);
    }

    #[test]
    fn errors_name_the_line() {
        for (text, part) in [
            (
                "#\n3 0 0 1\n",
                "line 2: \"3\" is not a vertex of the base mesh, which has 3",
            ),
            ("1 0 x 1\n", "line 1: \"x\" is not a number"),
            ("1 0 1\n", "line 1: 2 numbers, 3 are needed"),
            ("hello\n", "line 1: \"hello\" is not"),
        ] {
            let error = Target::parse(text, 3).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
