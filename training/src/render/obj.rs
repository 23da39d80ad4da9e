//! Reader of Wavefront OBJ meshes.
//!
//! Morph targets and fitted parts address vertices by their number in the file, so the file's order must be kept. The
//! crate `tobj` numbers vertices anew per group and material; `obj` and `obj-rs` keep the order, but refuse two of the
//! MakeHuman files for a line that is neither comment nor keyword.

use std::path::Path;

use omniid::{Error, Result};

use super::mesh::Topology;
use super::text;
use super::vector::Vec3;

/// A mesh as it stands in an OBJ file: positions, texture coordinates (v upwards) and polygons.
#[derive(Debug, Clone, Default)]
pub(crate) struct Obj {
    /// Positions of the `v` lines.
    pub positions: Vec<[f32; 3]>,
    /// Texture coordinates of the `vt` lines, v upwards.
    pub uvs: Vec<[f32; 2]>,
    /// Polygons: per corner the index of the position and of the texture coordinate (0 where the file has none), from
    /// 0.
    pub faces: Vec<Vec<[u32; 2]>>,
}

impl Obj {
    /// Reads a file. Lines other than `v`, `vt` and `f` are skipped.
    ///
    /// # Errors
    /// `Io` when the file cannot be read, `Format` naming the line for anything malformed.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&text::read(path)?).map_err(|e| e.context(path.display()))
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// `Format`, naming the line.
    pub fn parse(content: &str) -> Result<Self> {
        let mut obj = Self::default();
        for (number, line) in content.lines().enumerate() {
            let mut words = line.split_whitespace();
            let result = match words.next() {
                Some("v") => text::numbers::<3>(words).map(|p| obj.positions.push(p)),
                Some("vt") => text::numbers::<2>(words).map(|p| obj.uvs.push(p)),
                Some("f") => obj.face(words).map(|face| obj.faces.push(face)),
                _ => Ok(()),
            };
            result.map_err(|e| e.context(format!("line {}", number + 1)))?;
        }
        Ok(obj)
    }

    fn face<'a>(&self, words: impl Iterator<Item = &'a str>) -> Result<Vec<[u32; 2]>> {
        let corners = words
            .map(|word| {
                let mut parts = word.split('/');
                let position = index(parts.next().unwrap_or(""), self.positions.len(), "vertex")?;
                let uv = match parts.next() {
                    Some(part) if !part.is_empty() => index(part, self.uvs.len(), "texture coordinate")?,
                    _ => 0,
                };
                Ok([position, uv])
            })
            .collect::<Result<Vec<_>>>()?;
        if corners.len() < 3 {
            return Err(Error::format(format!(
                "a face has {} corners, at least 3 are needed",
                corners.len()
            )));
        }
        Ok(corners)
    }

    /// The faces that `keep` accepts (by the positions' indices), cut into triangles. Texture coordinates change to
    /// v downwards.
    pub fn topology(&self, keep: impl Fn(&[[u32; 2]]) -> bool) -> Topology {
        let mut topology = Topology {
            uvs: self.uvs.iter().map(|&[u, v]| [u, 1.0 - v]).collect(),
            ..Topology::default()
        };
        if topology.uvs.is_empty() {
            topology.uvs.push([0.0; 2]);
        }
        for face in self.faces.iter().filter(|face| keep(face)) {
            for i in 1..face.len() - 1 {
                let corners = [face[0], face[i], face[i + 1]];
                topology.triangles.push(corners.map(|c| c[0]));
                topology.uv_triangles.push(corners.map(|c| c[1]));
            }
        }
        topology
    }
}

/// An index as OBJ writes it: from 1, or negative from the end.
fn index(word: &str, count: usize, what: &str) -> Result<u32> {
    let number: i64 = word
        .parse()
        .map_err(|_| Error::format(format!("{what} index {word:?} is not a whole number")))?;
    let index = if number < 0 { count as i64 + number } else { number - 1 };
    if index < 0 || index >= count as i64 {
        return Err(Error::format(format!(
            "{what} index {number} is out of range, {count} are defined so far"
        )));
    }
    Ok(index as u32)
}

/// Positions of some vertices.
pub(crate) fn gather(positions: &[Vec3], indices: &[u32]) -> Vec<Vec3> {
    indices.iter().map(|&i| positions[i as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQUARE: &str = "# a square and a triangle\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 .5\nvt 0 0\nvt 1 0.25\n\
                          g body\nf 1/1 2/2 3/2 4/1\nf -4 -3 -2\n";

    #[test]
    fn reads_polygons_and_cuts_them() {
        let obj = Obj::parse(SQUARE).unwrap();
        assert_eq!(obj.positions[3], [0.0, 1.0, 0.5]);
        assert_eq!(
            obj.faces,
            [vec![[0, 0], [1, 1], [2, 1], [3, 0]], vec![[0, 0], [1, 0], [2, 0]]]
        );
        let topology = obj.topology(|face| face.len() == 4);
        assert_eq!(topology.triangles, [[0, 1, 2], [0, 2, 3]]);
        assert_eq!(topology.uv_triangles, [[0, 1, 1], [0, 1, 0]]);
        assert_eq!(topology.uvs[1], [1.0, 0.75]);
    }

    #[test]
    fn errors_name_the_line() {
        for (text, part) in [
            ("v 0 0 0\nv 1 0\n", "line 2: 2 numbers, 3 are needed"),
            ("v 0 0 zero\n", "line 1: \"zero\" is not a number"),
            (
                "v 0 0 0\nf 1 1 2\n",
                "line 2: vertex index 2 is out of range, 1 are defined so far",
            ),
            ("v 0 0 0\nf 1 1\n", "line 2: a face has 2 corners"),
        ] {
            let error = Obj::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
