//! How far the surface of a head is from its middle, by direction; and hair of one head on another: every vertex keeps
//! its direction from the middle and its height over the scalp in proportion.

use crate::render::vector::{length, scale, sub, Vec3};

/// The middle of the skull, centimetres from the pivot.
const MIDDLE: Vec3 = [0.0, 3.0, -0.5];
const COLUMNS: usize = 48;
const ROWS: usize = 24;

/// How far the surface of a head is from its middle, by direction.
pub(crate) struct RadiusMap {
    cells: Vec<f32>,
}

impl RadiusMap {
    /// From points on the surface. Ears are left out: hair does not follow them.
    pub fn new(points: impl IntoIterator<Item = Vec3>) -> Self {
        let mut cells = vec![0.0f32; COLUMNS * ROWS];
        for p in points {
            if p[1] < -9.0 || (p[0].abs() > 7.4 && p[1] < 7.0 && p[2] < 4.5 && p[2] > -4.0) {
                continue;
            }
            let (column, row) = place(p);
            let (column, row) = (column.round() as usize % COLUMNS, row.round() as usize);
            let cell = &mut cells[row.min(ROWS - 1) * COLUMNS + column];
            *cell = cell.max(length(sub(p, MIDDLE)));
        }
        // Gaps take the mean of their neighbours, then everything is smoothed.
        for _ in 0..ROWS {
            cells = smoothed(&cells, true);
        }
        for _ in 0..2 {
            cells = smoothed(&cells, false);
        }
        Self { cells }
    }

    /// Distance of the surface in the direction of a point.
    pub fn radius(&self, p: Vec3) -> f32 {
        let (column, row) = place(p);
        let (left, top) = (column.floor(), row.floor());
        let (fx, fy) = (column - left, row - top);
        let at = |dx: usize, dy: usize| {
            let column = (left as usize + dx) % COLUMNS;
            let row = (top as usize + dy).min(ROWS - 1);
            self.cells[row * COLUMNS + column]
        };
        let upper = at(0, 0) * (1.0 - fx) + at(1, 0) * fx;
        let lower = at(0, 1) * (1.0 - fx) + at(1, 1) * fx;
        upper * (1.0 - fy) + lower * fy
    }
}

/// Column (around) and row (from top to bottom) of a direction.
fn place(p: Vec3) -> (f32, f32) {
    use std::f32::consts::{PI, TAU};
    let d = sub(p, MIDDLE);
    let around = (d[0].atan2(d[2]) / TAU).rem_euclid(1.0) * COLUMNS as f32;
    let down = (d[1] / length(d).max(1e-6)).clamp(-1.0, 1.0).acos() / PI * (ROWS - 1) as f32;
    (around, down)
}

fn smoothed(cells: &[f32], only_gaps: bool) -> Vec<f32> {
    let mut out = cells.to_vec();
    for row in 0..ROWS {
        for column in 0..COLUMNS {
            let own = cells[row * COLUMNS + column];
            if only_gaps && own > 0.0 {
                continue;
            }
            let (mut sum, mut weight) = (2.0 * own, if own > 0.0 { 2.0 } else { 0.0 });
            let neighbours = [
                (row, (column + 1) % COLUMNS),
                (row, (column + COLUMNS - 1) % COLUMNS),
                ((row + 1).min(ROWS - 1), column),
                (row.saturating_sub(1), column),
            ];
            for (r, c) in neighbours {
                let value = cells[r * COLUMNS + c];
                if value > 0.0 {
                    sum += value;
                    weight += 1.0;
                }
            }
            if weight > 0.0 {
                out[row * COLUMNS + column] = sum / weight;
            }
        }
    }
    out
}

/// Hair that sits on the head `from`, moved to the head `to`.
pub(crate) fn transfer(hair: &[Vec3], from: &RadiusMap, to: &RadiusMap) -> Vec<Vec3> {
    hair.iter()
        .map(|&p| {
            let (a, b) = (from.radius(p), to.radius(p));
            if a <= 0.0 || b <= 0.0 {
                return p;
            }
            let d = sub(p, MIDDLE);
            let moved = scale(d, 1.015 * b / a);
            [moved[0] + MIDDLE[0], moved[1] + MIDDLE[1], moved[2] + MIDDLE[2]]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sphere(radius: f32) -> RadiusMap {
        RadiusMap::new((0..4000).map(|i| {
            let z = 1.0 - (2.0 * i as f32 + 1.0) / 4000.0;
            let (flat, angle) = ((1.0 - z * z).sqrt(), i as f32 * 2.399_963);
            [
                flat * angle.cos() * radius + MIDDLE[0],
                z * radius + MIDDLE[1],
                flat * angle.sin() * radius + MIDDLE[2],
            ]
        }))
    }

    #[test]
    fn hair_on_a_sphere_grows_with_it() {
        let (small, large) = (sphere(6.0), sphere(7.0));
        let hair = [[0.0, 9.5, -0.5], [3.0, 8.0, 2.0]];
        let moved = transfer(&hair, &small, &large);
        for (before, after) in hair.iter().zip(&moved) {
            let ratio = length(sub(*after, MIDDLE)) / length(sub(*before, MIDDLE));
            assert!((ratio - 1.015 * 7.0 / 6.0).abs() < 0.02, "{ratio}");
        }
    }
}
