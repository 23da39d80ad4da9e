//! From texture back to surface.

use super::mesh::Topology;
use super::raster::Visibility;
use super::vector::Vec3;

/// Where on a mesh each texel of a texture of `width` × `height` lies; NaN where nothing uses it. A few texels around
/// every island are filled from their neighbours, so that painting has no seams.
pub(crate) fn unwrap(topology: &Topology, positions: &[Vec3], width: u32, height: u32) -> Vec<Vec3> {
    let mut texels = vec![[f32::NAN; 3]; (width * height) as usize];
    let mut buffer = Visibility::new(width, height);
    for (triangle, uvs) in topology.triangles.iter().zip(&topology.uv_triangles) {
        let corners = uvs.map(|i| {
            let [u, v] = topology.uvs[i as usize];
            [u * width as f32, v * height as f32, 0.0]
        });
        buffer.triangle(corners, 0, true, |w, x, y| {
            let [a, b, c] = triangle.map(|i| positions[i as usize]);
            texels[(y * width + x) as usize] = std::array::from_fn(|k| w[0] * a[k] + w[1] * b[k] + w[2] * c[k]);
            false
        });
    }
    for _ in 0..4 {
        let before = texels.clone();
        for y in 0..height as i32 {
            for x in 0..width as i32 {
                let place = (y * width as i32 + x) as usize;
                if !before[place][0].is_nan() {
                    continue;
                }
                for (dx, dy) in [(1, 0), (-1, 0), (0, 1), (0, -1)] {
                    let (nx, ny) = (x + dx, y + dy);
                    if nx < 0 || ny < 0 || nx >= width as i32 || ny >= height as i32 {
                        continue;
                    }
                    let neighbour = before[(ny * width as i32 + nx) as usize];
                    if !neighbour[0].is_nan() {
                        texels[place] = neighbour;
                        break;
                    }
                }
            }
        }
    }
    texels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unwrapping_finds_positions() {
        let topology = Topology {
            triangles: vec![[0, 1, 2]],
            uv_triangles: vec![[0, 1, 2]],
            uvs: vec![[0.25, 0.25], [0.75, 0.25], [0.25, 0.75]],
        };
        let positions = [[0.0, 0.0, 0.0], [8.0, 0.0, 1.0], [0.0, 8.0, 1.0]];
        let texels = unwrap(&topology, &positions, 32, 32);
        let at = texels[10 * 32 + 12];
        // The centre of the texel is u = 12.5 / 32, v = 10.5 / 32; half of u or v is 8.
        assert!((at[0] - 2.25).abs() < 0.01 && (at[1] - 1.25).abs() < 0.01, "{at:?}");
        assert!(texels[31 * 32 + 31][0].is_nan());
        assert!(!texels[10 * 32 + 5][0].is_nan());
    }
}
