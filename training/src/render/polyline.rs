//! Distances from lines in the plane.

/// Distance of a point from a polyline, how far along (0…1 by segments) its nearest point is, and whether the point
/// lies above it.
pub(crate) fn polyline(line: &[[f32; 2]], p: [f32; 2]) -> (f32, f32, bool) {
    let mut best = (f32::MAX, 0.0, false);
    for (i, pair) in line.windows(2).enumerate() {
        let (a, b) = (pair[0], pair[1]);
        let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
        let along = ((p[0] - a[0]) * dx + (p[1] - a[1]) * dy) / (dx * dx + dy * dy).max(1e-9);
        let t = along.clamp(0.0, 1.0);
        let nearest = [a[0] + t * dx, a[1] + t * dy];
        let distance = ((p[0] - nearest[0]).powi(2) + (p[1] - nearest[1]).powi(2)).sqrt();
        if distance < best.0 {
            best = (distance, (i as f32 + t) / (line.len() - 1) as f32, p[1] > nearest[1]);
        }
    }
    best
}

/// Whether a closed polygon holds a point.
pub(crate) fn inside(polygon: &[[f32; 2]], p: [f32; 2]) -> bool {
    let mut odd = false;
    for pair in polygon.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        if (a[1] > p[1]) != (b[1] > p[1]) && p[0] < a[0] + (p[1] - a[1]) / (b[1] - a[1]) * (b[0] - a[0]) {
            odd = !odd;
        }
    }
    odd
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_in_the_plane() {
        let square = [[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0], [0.0, 0.0]];
        assert!(inside(&square, [1.0, 1.5]) && !inside(&square, [3.0, 1.0]));
        let (distance, along, above) = polyline(&square[..3], [1.0, 0.5]);
        assert!((distance - 0.5).abs() < 1e-6 && (along - 0.25).abs() < 1e-6 && above);
    }
}
