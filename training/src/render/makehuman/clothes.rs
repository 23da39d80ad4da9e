//! Readers of MakeHuman's `.mhclo` fittings and `.mhmat` materials.

use std::path::{Path, PathBuf};

use omniid::{Error, Result};

use crate::render::text;
use crate::render::vector::Vec3;

/// How one vertex of a fitted part follows the base mesh.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Anchor {
    Vertex(u32),
    /// Weighted sum of three vertices, and an offset in units of the scales.
    Triangle([u32; 3], [f32; 3], [f32; 3]),
}

/// A part (hair, brows, eyes, …) that is fitted to a morphed base mesh.
#[derive(Debug, Clone)]
pub(crate) struct Clothes {
    pub obj_file: PathBuf,
    pub material: Option<PathBuf>,
    /// Per axis two vertices and their distance in the shape that the part was made on.
    pub scales: [Option<(u32, u32, f32)>; 3],
    pub anchors: Vec<Anchor>,
}

impl Clothes {
    /// Reads a file for a base mesh of `vertices` vertices; paths in it are relative to its folder.
    pub fn read(path: &Path, vertices: usize) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut clothes = Self::parse(&text::read(path)?, vertices).map_err(|e| e.context(path.display()))?;
        clothes.obj_file = folder.join(&clothes.obj_file);
        clothes.material = clothes.material.map(|material| folder.join(material));
        Ok(clothes)
    }

    pub fn parse(content: &str, vertices: usize) -> Result<Self> {
        let mut clothes = Self {
            obj_file: PathBuf::new(),
            material: None,
            scales: [None; 3],
            anchors: Vec::new(),
        };
        let mut in_rows = false;
        for (number, line) in content.lines().enumerate() {
            clothes
                .line(line.trim(), vertices, &mut in_rows)
                .map_err(|e| e.context(format!("line {}", number + 1)))?;
        }
        if clothes.obj_file.as_os_str().is_empty() {
            return Err(Error::format("there is no line \"obj_file\""));
        }
        if clothes.anchors.is_empty() {
            return Err(Error::format("there is no row after \"verts 0\""));
        }
        Ok(clothes)
    }

    fn line(&mut self, line: &str, vertices: usize, in_rows: &mut bool) -> Result<()> {
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else { return Ok(()) };
        if *in_rows && first.starts_with(|c: char| c.is_ascii_digit()) {
            let rest: Vec<&str> = words.collect();
            self.anchors.push(match rest.len() {
                0 => Anchor::Vertex(text::vertex(first, vertices)?),
                8 => Anchor::Triangle(
                    [
                        text::vertex(first, vertices)?,
                        text::vertex(rest[0], vertices)?,
                        text::vertex(rest[1], vertices)?,
                    ],
                    text::numbers::<3>(rest[2..5].iter().copied())?,
                    text::numbers::<3>(rest[5..8].iter().copied())?,
                ),
                other => {
                    return Err(Error::format(format!(
                        "a row has {} numbers, 1 or 9 are right",
                        other + 1
                    )))
                }
            });
            return Ok(());
        }
        let mut scale = |axis: usize| -> Result<()> {
            let (p, q) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
            let distance = text::number(words.next().unwrap_or(""))?;
            if distance <= 0.0 {
                return Err(Error::format(format!(
                    "{first} {distance}: the distance must be positive"
                )));
            }
            self.scales[axis] = Some((text::vertex(p, vertices)?, text::vertex(q, vertices)?, distance));
            Ok(())
        };
        match first {
            "x_scale" => scale(0)?,
            "y_scale" => scale(1)?,
            "z_scale" => scale(2)?,
            "obj_file" => self.obj_file = words.collect::<Vec<_>>().join(" ").into(),
            "material" => self.material = Some(words.collect::<Vec<_>>().join(" ").into()),
            "verts" => *in_rows = true,
            _ => {}
        }
        Ok(())
    }

    /// The part's vertices on the morphed base mesh `base`, appended to `out`.
    pub fn fit(&self, base: &[Vec3], out: &mut Vec<Vec3>) {
        let mut scales = [1.0f32; 3];
        for (axis, scale) in scales.iter_mut().enumerate() {
            if let Some((p, q, distance)) = self.scales[axis] {
                *scale = (base[p as usize][axis] - base[q as usize][axis]).abs() / distance;
            }
        }
        out.extend(self.anchors.iter().map(|anchor| match *anchor {
            Anchor::Vertex(index) => base[index as usize],
            Anchor::Triangle(indices, weights, offset) => {
                let mut position = [0.0; 3];
                for axis in 0..3 {
                    position[axis] = offset[axis] * scales[axis]
                        + weights[0] * base[indices[0] as usize][axis]
                        + weights[1] * base[indices[1] as usize][axis]
                        + weights[2] * base[indices[2] as usize][axis];
                }
                position
            }
        }));
    }
}

/// What a `.mhmat` material says of use here.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MhMaterial {
    pub texture: Option<PathBuf>,
    pub transparent: bool,
    pub two_sided: bool,
}

impl MhMaterial {
    pub fn read(path: &Path) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut material = Self::parse(&text::read(path)?);
        material.texture = material.texture.map(|texture| folder.join(texture));
        Ok(material)
    }

    pub fn parse(content: &str) -> Self {
        let mut material = Self {
            texture: None,
            transparent: false,
            two_sided: false,
        };
        for line in content.lines() {
            let Some((key, value)) = line.trim().split_once(char::is_whitespace) else {
                continue;
            };
            let value = value.trim();
            match key {
                "diffuseTexture" => material.texture = Some(value.into()),
                "transparent" => material.transparent = value.eq_ignore_ascii_case("true"),
                "backfaceCull" => material.two_sided = value.eq_ignore_ascii_case("false"),
                _ => {}
            }
        }
        material
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: &str =
        "# note\nname brow\nobj_file brow.obj\nz_scale 0 1 2\nx_scale 0 2 4.0\nmaterial a b.mhmat\nverts 0\n\
                        1\ntag late\n0 1 2 .5 .25 .25 1 1 1\n";

    #[test]
    fn fits_to_a_shape() {
        let part = Clothes::parse(PART, 3).unwrap();
        assert_eq!(part.obj_file, Path::new("brow.obj"));
        assert_eq!(part.material.as_deref(), Some(Path::new("a b.mhmat")));
        let base = [[0.0, 0.0, 0.0], [0.0, 4.0, 8.0], [2.0, 0.0, 4.0]];
        let mut fitted = Vec::new();
        part.fit(&base, &mut fitted);
        // Scales: x |0-2|/4 = 0.5, y 1 (not given), z |0-8|/2 = 4.
        assert_eq!(fitted, [[0.0, 4.0, 8.0], [0.5 + 0.5, 1.0 + 1.0, 3.0 + 4.0]]);
    }

    #[test]
    fn errors_name_the_line() {
        for (text, part) in [
            (
                "obj_file a\nverts 0\n1 2\n",
                "line 3: a row has 2 numbers, 1 or 9 are right",
            ),
            ("obj_file a\nverts 0\n9\n", "line 3: \"9\" is not a vertex"),
            ("verts 0\n1\n", "no line \"obj_file\""),
            ("obj_file a\n", "no row"),
            ("x_scale 0 1 0\n", "line 1: x_scale 0: the distance must be positive"),
        ] {
            let error = Clothes::parse(text, 3).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn reads_a_material() {
        let material = MhMaterial::parse("name x\ntransparent True\nbackfaceCull False\ndiffuseTexture my hair.png\n");
        assert_eq!(
            material,
            MhMaterial {
                texture: Some("my hair.png".into()),
                transparent: true,
                two_sided: true
            }
        );
    }
}
