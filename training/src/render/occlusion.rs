//! How much open sky each vertex sees: soft shade in eye sockets, under the nose, under hair.

use super::mesh::{Layer, Surface};
use super::raster::Visibility;
use super::vector::{cross, dot, normalize, Vec3};

/// Directions that [`openness`] looks from, where one does not have to save time.
pub(crate) const DIRECTIONS: usize = 28;
/// Side of the depth maps.
const SIDE: u32 = 112;
/// Half of the region that is looked at, centimetres.
const REACH: f32 = 17.0;
/// Depth by which a vertex must lie behind something, centimetres.
const BIAS: f32 = 0.35;

/// Depth of the scene seen from a far light.
pub(crate) struct DepthMap {
    right: Vec3,
    up: Vec3,
    towards: Vec3,
    visibility: Visibility,
}

impl DepthMap {
    /// Draws all layers but glasses, seen from `towards` (length 1).
    pub fn new(towards: Vec3, layers: &[Layer], positions: &[Vec3], side: u32) -> Self {
        let helper = if towards[1].abs() < 0.9 {
            [0.0, 1.0, 0.0]
        } else {
            [1.0, 0.0, 0.0]
        };
        let right = normalize(cross(helper, towards));
        let up = cross(towards, right);
        let mut map = Self {
            right,
            up,
            towards,
            visibility: Visibility::new(side, side),
        };
        let projected: Vec<Vec3> = positions.iter().map(|&p| map.project(p)).collect();
        for layer in layers {
            if matches!(
                layer.surface,
                Surface::Frame | Surface::Strand | Surface::Whisker | Surface::Eye | Surface::Mouth
            ) {
                continue;
            }
            let level = layer.texture.as_ref().filter(|_| layer.alpha).map(|t| t.level(4.0));
            let topology = &layer.topology;
            for (triangle, uvs) in topology.triangles.iter().zip(&topology.uv_triangles) {
                let corners = triangle.map(|i| projected[(i + layer.first_vertex) as usize]);
                map.visibility
                    .triangle(corners, 0, layer.two_sided, |w, _, _| match level {
                        None => true,
                        Some(level) => {
                            let [a, b, c] = uvs.map(|i| topology.uvs[i as usize]);
                            level.alpha(std::array::from_fn(|k| w[0] * a[k] + w[1] * b[k] + w[2] * c[k])) > 110
                        }
                    });
            }
        }
        map
    }

    #[inline(always)]
    fn project(&self, p: Vec3) -> Vec3 {
        let half = self.visibility.width as f32 / 2.0;
        // The head is higher than it is wide; the middle of face and neck lies a little below the pivot.
        [
            (dot(p, self.right) / REACH + 1.0) * half,
            (1.0 - (dot(p, self.up) + 1.0) / REACH) * half,
            REACH - dot(p, self.towards),
        ]
    }

    /// 1 in light, 0 in shadow; soft over neighbouring samples.
    #[inline]
    pub fn lit(&self, position: Vec3, bias: f32) -> f32 {
        let [x, y, depth] = self.project(position);
        let (x, y) = (x - 0.5, y - 0.5);
        let (left, top) = (x.floor(), y.floor());
        let (fx, fy) = (x - left, y - top);
        let at = |dx: i32, dy: i32| {
            let (x, y) = (left as i32 + dx, top as i32 + dy);
            let side = self.visibility.width as i32;
            if x < 0 || y < 0 || x >= side || y >= side {
                return 1.0;
            }
            let nearest = self.visibility.depth[(y * side + x) as usize];
            if depth - nearest > bias {
                0.0
            } else {
                1.0
            }
        };
        (at(0, 0) * (1.0 - fx) + at(1, 0) * fx) * (1.0 - fy) + (at(0, 1) * (1.0 - fx) + at(1, 1) * fx) * fy
    }
}

/// Open sky per vertex, 0…1, by looking at the scene from `directions` sides.
pub(crate) fn openness(layers: &[Layer], positions: &[Vec3], normals: &[Vec3], directions: usize) -> Vec<f32> {
    let mut seen = vec![0.0f32; positions.len()];
    let mut possible = vec![1e-3f32; positions.len()];
    let hair: Vec<bool> = {
        let mut hair = vec![false; positions.len()];
        for layer in layers
            .iter()
            .filter(|layer| matches!(layer.surface, Surface::Hair | Surface::Lock))
        {
            for index in layer.topology.triangles.iter().flatten() {
                hair[(index + layer.first_vertex) as usize] = true;
            }
        }
        hair
    };
    for i in 0..directions {
        // Fibonacci sphere.
        let z = 1.0 - (2.0 * i as f32 + 1.0) / directions as f32;
        let (radius, angle) = ((1.0 - z * z).sqrt(), i as f32 * 2.399_963_1);
        // The poles lie left and right, so that no direction looks straight along the face.
        let direction = [z, radius * angle.cos(), radius * angle.sin()];
        let map = DepthMap::new(direction, layers, positions, SIDE);
        for (v, &position) in positions.iter().enumerate() {
            let cosine = if hair[v] { 0.5 } else { dot(normals[v], direction) };
            if cosine > 0.05 {
                possible[v] += cosine;
                seen[v] += cosine * map.lit(position, BIAS);
            }
        }
    }
    seen.iter()
        .zip(&possible)
        .zip(&hair)
        .map(|((s, p), &hair)| {
            let open = s / p;
            if hair {
                (0.3 + 1.4 * open).min(1.0)
            } else {
                open.clamp(0.0, 1.0)
            }
        })
        .collect()
}
