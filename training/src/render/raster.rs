//! Which triangle is seen at which sample.
//!
//! A visibility buffer: triangles only write depth and their number; shading happens later, once per sample. Corners
//! are rounded to 1/256 sample and edges are tested in whole numbers with the top-left rule, so that neighbours neither
//! overlap nor leave gaps.

use super::vector::Vec3;

/// Nothing is seen here.
pub(crate) const EMPTY: u32 = u32::MAX;
const SUBSAMPLE: f32 = 256.0;
/// Corners farther out than this many samples would overflow; such triangles are left out.
const FARTHEST: f32 = 16384.0;

/// Depth and triangle number per sample.
#[derive(Debug, Clone, Default)]
pub(crate) struct Visibility {
    pub width: u32,
    pub height: u32,
    pub depth: Vec<f32>,
    pub id: Vec<u32>,
}

impl Visibility {
    pub fn new(width: u32, height: u32) -> Self {
        let count = (width * height) as usize;
        Self {
            width,
            height,
            depth: vec![f32::MAX; count],
            id: vec![EMPTY; count],
        }
    }

    /// Empties the buffer, at another size if need be.
    pub fn reset(&mut self, width: u32, height: u32) {
        let count = (width * height) as usize;
        (self.width, self.height) = (width, height);
        self.depth.clear();
        self.depth.resize(count, f32::MAX);
        self.id.clear();
        self.id.resize(count, EMPTY);
    }

    /// Draws one triangle; corners are x, y in samples and depth. `both` draws it from behind too. `visible` is asked,
    /// with the three corner weights and the sample's place, before a sample is written.
    #[inline(always)]
    pub fn triangle(
        &mut self,
        corners: [Vec3; 3],
        id: u32,
        both: bool,
        mut visible: impl FnMut([f32; 3], u32, u32) -> bool,
    ) {
        let [a, mut b, mut c] = corners;
        // Twice the area; y points down, so that counter-clockwise seen from outside is negative here.
        let area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]);
        let swapped = area < 0.0;
        if swapped {
            std::mem::swap(&mut b, &mut c);
        } else if !both {
            return;
        }
        let min_x = a[0].min(b[0]).min(c[0]);
        let max_x = a[0].max(b[0]).max(c[0]);
        let min_y = a[1].min(b[1]).min(c[1]);
        let max_y = a[1].max(b[1]).max(c[1]);
        if max_x < 0.0 || max_y < 0.0 || min_x > self.width as f32 || min_y > self.height as f32 {
            return;
        }
        if min_x < -FARTHEST || min_y < -FARTHEST || max_x > FARTHEST || max_y > FARTHEST {
            return;
        }
        // Samples lie at the centres of the squares; half a unit around covers the rounding of the corners.
        let left = (min_x - 0.502).ceil().max(0.0) as i32;
        let right = ((max_x - 0.498).floor() as i32).min(self.width as i32 - 1);
        let top = (min_y - 0.502).ceil().max(0.0) as i32;
        let bottom = ((max_y - 0.498).floor() as i32).min(self.height as i32 - 1);
        if left > right || top > bottom {
            return;
        }
        let fixed = |p: Vec3| ((p[0] * SUBSAMPLE).round() as i64, (p[1] * SUBSAMPLE).round() as i64);
        let (pa, pb, pc) = (fixed(a), fixed(b), fixed(c));
        let edges = [Edge::new(pb, pc), Edge::new(pc, pa), Edge::new(pa, pb)];
        let area = (pb.0 - pa.0) * (pc.1 - pa.1) - (pc.0 - pa.0) * (pb.1 - pa.1);
        if area <= 0 {
            return;
        }
        let inverse = 1.0 / area as f32;
        let step = SUBSAMPLE as i64;
        let (x0, y0) = (i64::from(left) * step + step / 2, i64::from(top) * step + step / 2);
        let mut row = edges.each_ref().map(|edge| edge.at(x0, y0));
        for y in top..=bottom {
            let mut value = row;
            let line = y as usize * self.width as usize;
            for x in left..=right {
                if (value[0] | value[1] | value[2]) >= 0 {
                    let w1 = (value[1] - edges[1].bias) as f32 * inverse;
                    let w2 = (value[2] - edges[2].bias) as f32 * inverse;
                    let w0 = 1.0 - w1 - w2;
                    let depth = w0 * a[2] + w1 * b[2] + w2 * c[2];
                    let place = line + x as usize;
                    if depth < self.depth[place] {
                        let weights = if swapped { [w0, w2, w1] } else { [w0, w1, w2] };
                        if visible(weights, x as u32, y as u32) {
                            self.depth[place] = depth;
                            self.id[place] = id;
                        }
                    }
                }
                for (v, edge) in value.iter_mut().zip(&edges) {
                    *v += edge.dx;
                }
            }
            for (v, edge) in row.iter_mut().zip(&edges) {
                *v += edge.dy;
            }
        }
    }
}

/// The signed distance from an edge, in whole numbers: at least 0 inside.
struct Edge {
    from: (i64, i64),
    dx: i64,
    dy: i64,
    /// 0 on top and left edges, −1 on the others: a sample on a shared edge belongs to one triangle.
    bias: i64,
    slope: (i64, i64),
}

impl Edge {
    #[inline(always)]
    fn new(from: (i64, i64), to: (i64, i64)) -> Self {
        let (ex, ey) = (to.0 - from.0, to.1 - from.1);
        let step = SUBSAMPLE as i64;
        Self {
            from,
            dx: -ey * step,
            dy: ex * step,
            bias: if ey < 0 || (ey == 0 && ex > 0) { 0 } else { -1 },
            slope: (ex, ey),
        }
    }

    #[inline(always)]
    fn at(&self, x: i64, y: i64) -> i64 {
        self.slope.0 * (y - self.from.1) - self.slope.1 * (x - self.from.0) + self.bias
    }
}

/// The corner weights of a point in a triangle that is not degenerate.
#[inline(always)]
pub(crate) fn weights(corners: [Vec3; 3], x: f32, y: f32) -> [f32; 3] {
    let [a, b, c] = corners;
    let area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]);
    let inverse = if area.abs() < 1e-9 { 0.0 } else { 1.0 / area };
    let w1 = ((x - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (y - a[1])) * inverse;
    let w2 = ((b[0] - a[0]) * (y - a[1]) - (x - a[0]) * (b[1] - a[1])) * inverse;
    // Rounding of the corners can put a sample a little outside.
    let (w1, w2) = (w1.clamp(0.0, 1.0), w2.clamp(0.0, 1.0));
    [(1.0 - w1 - w2).max(0.0), w1, w2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// A fan around an inner point covers every sample of a rectangle exactly once, wherever the point lies.
    #[test]
    fn a_fan_covers_each_sample_once() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for round in 0..200 {
            let size = 24;
            // Every other time on the samples' own grid, where edges run through samples.
            let mut coordinate = || {
                let v: f32 = rng.random_range(1.0..23.0);
                if round % 2 == 0 {
                    v.floor() + 0.5
                } else {
                    v
                }
            };
            let centre = [coordinate(), coordinate(), 1.0];
            let mut ring = vec![];
            for i in 0..24 {
                ring.push([i as f32, 0.0, 1.0]);
            }
            for i in 0..24 {
                ring.push([24.0, i as f32, 1.0]);
            }
            for i in 0..24 {
                ring.push([24.0 - i as f32, 24.0, 1.0]);
            }
            for i in 0..24 {
                ring.push([0.0, 24.0 - i as f32, 1.0]);
            }
            let mut count = vec![0; size * size];
            let mut buffer = Visibility::new(size as u32, size as u32);
            for i in 0..ring.len() {
                let corners = [centre, ring[i], ring[(i + 1) % ring.len()]];
                buffer.triangle(corners, i as u32, true, |w, x, y| {
                    count[y as usize * size + x as usize] += 1;
                    assert!((w[0] + w[1] + w[2] - 1.0).abs() < 1e-5);
                    let place = weights(corners, x as f32 + 0.5, y as f32 + 0.5);
                    for i in 0..3 {
                        assert!((place[i] - w[i]).abs() < 0.05, "{place:?} {w:?}");
                    }
                    false
                });
            }
            assert!(count.iter().all(|&c| c == 1), "round {round}: {count:?}");
        }
    }

    #[test]
    fn nearer_wins_and_backs_are_hidden() {
        let mut buffer = Visibility::new(4, 4);
        let at = |z: f32| [[0.0, 0.0, z], [0.0, 8.0, z], [8.0, 0.0, z]];
        buffer.triangle(at(2.0), 1, false, |_, _, _| true);
        buffer.triangle(at(3.0), 2, false, |_, _, _| true);
        let [a, b, c] = at(1.0);
        buffer.triangle([a, c, b], 3, false, |_, _, _| true);
        assert!(buffer.id.iter().all(|&id| id == 1));
        buffer.triangle([a, c, b], 4, true, |_, _, _| true);
        assert!(buffer.id.iter().all(|&id| id == 4));
        assert!(buffer.depth.iter().all(|&z| z == 1.0));
    }
}
