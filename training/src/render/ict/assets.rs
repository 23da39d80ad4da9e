//! The ICT-FaceKit head model, read from one safetensors file.

use std::path::Path;
use std::sync::Arc;

use half::f16;
use omniid::{Error, ErrorKind, Result};
use safetensors::{Dtype, SafeTensors};

use super::features::{self, EyeTexel, FaceTexel, BACK_SIDE};
use crate::render::mesh::Topology;
use crate::render::vector::{add, mean, scale, sub, Vec3};

/// Vertices by what they belong to, as the file's metadata lists them.
pub(crate) const TEETH_AND_GUMS: std::ops::Range<usize> = 14062..21451;
pub(crate) const EYEBALLS: [std::ops::Range<usize>; 2] = [21451..23021, 23021..24591];
const SOCKETS: std::ops::Range<u32> = 11248..14062;
const VERTICES: usize = 24591;

/// One blendshape: vertices and offsets, centimetres.
#[derive(Debug, Clone, Default)]
pub(crate) struct Blendshape {
    pub name: String,
    pub rows: Vec<(u32, Vec3)>,
}

/// Everything of the ICT family.
pub(crate) struct Ict {
    pub mean: Vec<Vec3>,
    /// Per mode the offsets of all vertices.
    pub identity: Vec<Vec<Vec3>>,
    pub expressions: Vec<Blendshape>,
    pub landmarks: Vec<u32>,
    pub face: Arc<Topology>,
    pub back: Arc<Topology>,
    pub sockets: Arc<Topology>,
    pub gums: Arc<Topology>,
    pub teeth: Arc<Topology>,
    pub eyes: [Arc<Topology>; 2],
    pub face_texels: Vec<FaceTexel>,
    pub back_texels: Vec<Vec3>,
    pub eye_texels: [Vec<EyeTexel>; 2],
    /// The mean head's landmarks, centimetres from the pivot.
    pub mean_points: Vec<Vec3>,
}

impl Ict {
    /// Reads the folder `ict_facekit`.
    pub fn open(root: &Path) -> Result<Self> {
        let path = root.join("ict_head.safetensors");
        let bytes =
            std::fs::read(&path).map_err(|e| Error::new(ErrorKind::Io, format!("reading {}: {e}", path.display())))?;
        Self::parse(&bytes).map_err(|e| e.context(path.display()))
    }

    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes).map_err(|e| Error::format(format!("not safetensors: {e}")))?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| Error::format(e.to_string()))?;
        let mean = vectors(&floats(&file, "mean", &[VERTICES, 3])?);
        let modes = floats(&file, "identity", &[100, VERTICES, 3])?;
        let identity = modes.chunks_exact(VERTICES * 3).map(vectors).collect();
        let expressions = expressions(&file, header.metadata())?;
        let landmarks = indices(&file, "landmarks68", VERTICES)?;
        if landmarks.len() != 68 {
            return Err(Error::format(format!(
                "landmarks68 has {} entries, 68 are right",
                landmarks.len()
            )));
        }
        let quads = indices(&file, "quads", VERTICES)?;
        let uvs = floats(&file, "uv", &[])?;
        let quad_uv = indices(&file, "quad_uv", uvs.len() / 2)?;
        let materials = integers(&file, "quad_material")?;
        if quads.len() != quad_uv.len() || quads.len() != 4 * materials.len() {
            return Err(Error::mismatch(format!(
                "quads, quad_uv and quad_material have {}, {} and {} entries; 4 : 4 : 1 is right",
                quads.len(),
                quad_uv.len(),
                materials.len()
            )));
        }
        let part = |keep: &dyn Fn(u32, &[u32]) -> bool| topology(&quads, &quad_uv, &uvs, &materials, keep);
        let is_socket = |q: &[u32]| q.iter().any(|i| SOCKETS.contains(i));
        let face = part(&|m, _| m == 0);
        let back = part(&|m, q| m == 1 && !is_socket(q));
        let eyes = [part(&|m, _| m == 4), part(&|m, _| m == 6)];
        let origin = pivot(&mean);
        let centred: Vec<Vec3> = mean.iter().map(|&p| sub(p, origin)).collect();
        let mean_points: Vec<Vec3> = landmarks.iter().map(|&i| centred[i as usize]).collect();
        let eye_texels = [0, 1].map(|i| features::eye(&eyes[i], &centred, i));
        Ok(Self {
            face_texels: features::face(&face, &centred, &mean_points),
            back_texels: crate::render::unwrap::unwrap(&back, &centred, BACK_SIDE, BACK_SIDE),
            eye_texels,
            sockets: Arc::new(part(&|m, q| m == 1 && is_socket(q))),
            gums: Arc::new(part(&|m, _| m == 2)),
            teeth: Arc::new(part(&|m, _| m == 3)),
            face: Arc::new(face),
            back: Arc::new(back),
            eyes: eyes.map(Arc::new),
            mean_points,
            mean,
            identity,
            expressions,
            landmarks,
        })
    }
}

/// The point between the ears: about which heads turn.
pub(crate) fn pivot(shape: &[Vec3]) -> Vec3 {
    let [left, right] = EYEBALLS.map(|range| mean(shape[range].iter().copied()));
    // The eyeballs' vertices lie denser in front: their mean is 0.55 centimetres before the centres.
    sub(scale(add(left, right), 0.5), [0.0, 4.0, 8.55])
}

/// Quads of some materials as triangles. Texture tiles of width 1 are moved to 0…1.
fn topology(
    quads: &[u32],
    quad_uv: &[u32],
    uvs: &[f32],
    materials: &[u32],
    keep: &dyn Fn(u32, &[u32]) -> bool,
) -> Topology {
    let mut topology = Topology {
        uvs: uvs.chunks_exact(2).map(|uv| [uv[0].fract(), 1.0 - uv[1]]).collect(),
        ..Topology::default()
    };
    for (i, (quad, uv)) in quads.chunks_exact(4).zip(quad_uv.chunks_exact(4)).enumerate() {
        if !keep(materials[i], quad) {
            continue;
        }
        topology.triangles.push([quad[0], quad[1], quad[2]]);
        topology.uv_triangles.push([uv[0], uv[1], uv[2]]);
        if quad[3] != quad[2] {
            topology.triangles.push([quad[0], quad[2], quad[3]]);
            topology.uv_triangles.push([uv[0], uv[2], uv[3]]);
        }
    }
    topology
}

fn vectors(numbers: &[f32]) -> Vec<Vec3> {
    numbers.chunks_exact(3).map(|c| [c[0], c[1], c[2]]).collect()
}

/// A tensor as numbers; `shape` empty allows any.
fn floats(file: &SafeTensors, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let tensor = file
        .tensor(name)
        .map_err(|e| Error::format(format!("tensor {name:?}: {e}")))?;
    if !shape.is_empty() && tensor.shape() != shape {
        return Err(Error::mismatch(format!(
            "tensor {name:?} has shape {:?}, {shape:?} is right",
            tensor.shape()
        )));
    }
    let data = tensor.data();
    let numbers: Vec<f32> = match tensor.dtype() {
        Dtype::F32 => data
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect(),
        Dtype::F16 => data
            .chunks_exact(2)
            .map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32())
            .collect(),
        other => {
            return Err(Error::unsupported(format!(
                "tensor {name:?} is {other:?}, F32 or F16 are right"
            )))
        }
    };
    if numbers.iter().any(|n| !n.is_finite()) {
        return Err(Error::format(format!(
            "tensor {name:?} has numbers that are not finite"
        )));
    }
    Ok(numbers)
}

fn integers(file: &SafeTensors, name: &str) -> Result<Vec<u32>> {
    let tensor = file
        .tensor(name)
        .map_err(|e| Error::format(format!("tensor {name:?}: {e}")))?;
    let data = tensor.data();
    Ok(match tensor.dtype() {
        Dtype::U8 => data.iter().map(|&b| u32::from(b)).collect(),
        Dtype::U16 => data
            .chunks_exact(2)
            .map(|b| u32::from(u16::from_le_bytes([b[0], b[1]])))
            .collect(),
        Dtype::U32 => data
            .chunks_exact(4)
            .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect(),
        other => {
            return Err(Error::unsupported(format!(
                "tensor {name:?} is {other:?}, U8, U16 or U32 are right"
            )))
        }
    })
}

fn indices(file: &SafeTensors, name: &str, count: usize) -> Result<Vec<u32>> {
    let indices = integers(file, name)?;
    match indices.iter().find(|&&i| i as usize >= count) {
        Some(bad) => Err(Error::format(format!(
            "tensor {name:?} holds the index {bad}, there are {count}"
        ))),
        None => Ok(indices),
    }
}

fn expressions(
    file: &SafeTensors,
    metadata: &Option<std::collections::HashMap<String, String>>,
) -> Result<Vec<Blendshape>> {
    let names = metadata
        .as_ref()
        .and_then(|m| m.get("expression_names"))
        .ok_or_else(|| Error::format("the metadata lack expression_names"))?;
    let names: Vec<String> =
        serde_json::from_str(names).map_err(|e| Error::format(format!("expression_names in the metadata: {e}")))?;
    let index = indices(file, "expression_index", VERTICES)?;
    let delta = vectors(&floats(file, "expression_delta", &[index.len(), 3])?);
    let starts = indices(file, "expression_ptr", index.len() + 1)?;
    if starts.len() != names.len() + 1 || starts.windows(2).any(|w| w[0] > w[1]) {
        return Err(Error::format(format!(
            "expression_ptr has {} entries for {} names, one more is right, ascending",
            starts.len(),
            names.len()
        )));
    }
    Ok(names
        .into_iter()
        .zip(starts.windows(2))
        .map(|(name, range)| {
            let range = range[0] as usize..range[1] as usize;
            Blendshape {
                name,
                rows: index[range.clone()]
                    .iter()
                    .copied()
                    .zip(delta[range].iter().copied())
                    .collect(),
            }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_files_are_named() {
        let error = Ict::parse(b"not a file at all")
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default();
        assert!(error.contains("not safetensors"), "{error}");
        let data = vec![0u8; 12];
        let view = safetensors::tensor::TensorView::new(Dtype::F32, vec![1, 3], &data).unwrap();
        let bytes = safetensors::serialize([("mean", view)], None).unwrap();
        let error = Ict::parse(&bytes).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(
            error.contains("\"mean\" has shape [1, 3], [24591, 3] is right"),
            "{error}"
        );
    }
}
