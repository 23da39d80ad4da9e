//! What sex, age, weight and origin do to the shape of a head, carried over from one family's mesh to the other's.
//!
//! The scans' modes do not say which is which; the artists' targets do. Both average heads lie on each other (their
//! eyes do), so that a vertex of one takes the mean movement of the nearest vertices of the other.

use omniid::Result;
use rayon::prelude::*;

use super::assets::{Ict, EYEBALLS, TEETH_AND_GUMS};
use crate::render::makehuman::{macro_shape, pivot, to_centimetres, MakeHuman};
use crate::render::obj::gather;
use crate::render::vector::{add, fused, mean, scale, sub, Vec3};

/// Movements of all vertices of the scanned head, centimetres.
pub(crate) struct Fields {
    /// From a feminine to a masculine head.
    masculine: Vec<Vec3>,
    /// From 25 to 90 years.
    old: Vec<Vec3>,
    thin: Vec<Vec3>,
    heavy: Vec<Vec3>,
    /// From the average to African, Asian, European.
    origins: [Vec<Vec3>; 3],
}

/// Vertices that count, and how fast their share falls with the distance (centimetres).
const NEAREST: usize = 10;
const REACH: f32 = 0.55;

impl Fields {
    /// Measured once per process: some tenths of a second.
    pub fn new(makehuman: &MakeHuman, ict: &Ict, centred: &[Vec3]) -> Result<Self> {
        const EVEN: [f32; 3] = [1.0 / 3.0; 3];
        let head = |races: [f32; 3], male: f32, age: f32, weight: f32| -> Result<Vec<Vec3>> {
            let shape = macro_shape(makehuman, &races, male, age, weight)?;
            let origin = pivot(&shape);
            let drawn = gather(&shape, &makehuman.drawn);
            Ok(drawn.into_iter().map(|p| to_centimetres(p, origin)).collect())
        };
        let middle = head(EVEN, 0.5, 0.0, 0.0)?;
        let near = Neighbours::new(&middle, centred);
        let difference = |a: Vec<Vec3>, b: &[Vec3]| -> Vec<Vec3> {
            let moved: Vec<Vec3> = a.iter().zip(b).map(|(&a, &b)| sub(a, b)).collect();
            inner_parts(ict, near.carry(&moved))
        };
        let race = |which: usize| -> Result<Vec<Vec3>> {
            let mut races = [0.0; 3];
            races[which] = 1.0;
            head(races, 0.5, 0.0, 0.0)
        };
        Ok(Self {
            masculine: difference(head(EVEN, 1.0, 0.0, 0.0)?, &head(EVEN, 0.0, 0.0, 0.0)?),
            old: difference(head(EVEN, 0.5, 1.0, 0.0)?, &middle),
            thin: difference(head(EVEN, 0.5, 0.0, -1.0)?, &middle),
            heavy: difference(head(EVEN, 0.5, 0.0, 1.0)?, &middle),
            origins: [
                difference(race(0)?, &middle),
                difference(race(1)?, &middle),
                difference(race(2)?, &middle),
            ],
        })
    }

    /// Moves a head. `masculine` 0…1, `age` 0 (25 years)…1 (90), `weight` −1…1, shares of the origins.
    pub fn apply(&self, shape: &mut [Vec3], masculine: f32, age: f32, weight: f32, origin: &[f32; 3]) {
        let build = if weight < 0.0 { &self.thin } else { &self.heavy };
        let parts = [
            (&self.masculine, masculine - 0.5),
            (&self.old, age),
            (build, weight.abs()),
            (&self.origins[0], origin[0]),
            (&self.origins[1], origin[1]),
            (&self.origins[2], origin[2]),
        ];
        for (field, weight) in parts {
            for (position, &movement) in shape.iter_mut().zip(field) {
                *position = fused(*position, movement, weight);
            }
        }
    }
}

/// Eyeballs and teeth move as a whole, with the lids and the lips.
fn inner_parts(ict: &Ict, mut field: Vec<Vec3>) -> Vec<Vec3> {
    let at = |range: std::ops::Range<usize>, field: &[Vec3]| mean(range.map(|i| field[ict.landmarks[i] as usize]));
    // The first eyeball is the person's left, at x > 0: landmarks 42 to 47.
    let moves = [
        (EYEBALLS[0].clone(), at(42..48, &field)),
        (EYEBALLS[1].clone(), at(36..42, &field)),
        (TEETH_AND_GUMS, at(60..68, &field)),
    ];
    for (range, movement) in moves {
        field[range].fill(movement);
    }
    field
}

/// For each vertex of one mesh, vertices of another with weights.
struct Neighbours {
    rows: Vec<[(u32, f32); NEAREST]>,
}

impl Neighbours {
    fn new(from: &[Vec3], to: &[Vec3]) -> Self {
        let candidates: Vec<(u32, Vec3)> = from
            .iter()
            .enumerate()
            .filter(|(_, p)| p[1] > -16.0 && p[0].abs() < 16.0)
            .map(|(i, &p)| (i as u32, p))
            .collect();
        let row = |&p: &Vec3| {
            let mut best = [(0u32, f32::MAX); NEAREST];
            for &(index, q) in &candidates {
                let d = sub(p, q);
                let square = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
                if square < best[NEAREST - 1].1 {
                    let place = best.partition_point(|b| b.1 <= square);
                    best[place..].rotate_right(1);
                    best[place] = (index, square);
                }
            }
            // Relative to the nearest, so that vertices far from everything still follow something.
            let nearest = best[0].1;
            let weights = best.map(|(_, square)| (-(square - nearest) / (2.0 * REACH * REACH)).exp());
            let sum: f32 = weights.iter().sum();
            std::array::from_fn(|i| (best[i].0, weights[i] / sum))
        };
        Self {
            rows: to.par_iter().map(row).collect(),
        }
    }

    fn carry(&self, movement: &[Vec3]) -> Vec<Vec3> {
        self.rows
            .iter()
            .map(|row| {
                row.iter()
                    .fold([0.0; 3], |sum, &(i, w)| add(sum, scale(movement[i as usize], w)))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn movements_arrive_where_they_start() {
        let grid: Vec<Vec3> = (0..400)
            .map(|i| [(i % 20) as f32 * 0.4, (i / 20) as f32 * 0.4, 0.0])
            .collect();
        let movement: Vec<Vec3> = grid.iter().map(|p| [0.0, 0.0, p[0]]).collect();
        let near = Neighbours::new(&grid, &[[4.0, 4.0, 0.3], [2.1, 3.3, -0.2]]);
        let carried = near.carry(&movement);
        assert!((carried[0][2] - 4.0).abs() < 0.1, "{carried:?}");
        assert!((carried[1][2] - 2.1).abs() < 0.15, "{carried:?}");
    }
}
