//! Where a head looks, from five points.
//!
//! The points are compared with those of an average head: across and up as the ArcFace template has them, in depth as
//! the mean head of ICT-FaceKit. Under weak perspective (Dementhon and Davis, 1995) yaw, pitch, roll, size and place
//! are fitted by damped least squares (Levenberg, Marquardt). Nobody has the average head: expect errors of some
//! degrees, in pitch more than in yaw.

/// Points of the average head in distances between its eyes: right, up, to the viewer; the middle of the eyes is the
/// origin. Order as in [`omniid::face::Landmarks`].
const HEAD: [[f64; 3]; 5] = [
    [-0.5, 0.0, 0.0],
    [0.5, 0.0, 0.0],
    [0.0, -0.571, 0.591],
    [-0.414, -1.155, 0.148],
    [0.414, -1.155, 0.148],
];

/// Yaw and pitch beyond which five points say nothing more, radians.
const LARGEST: f64 = 1.4;

/// The average head in a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct HeadPose {
    /// Yaw, pitch, roll as in [`omniid_minihost::View`], radians.
    pub angles: [f64; 3],
    /// Pixels per distance between the eyes.
    pub scale: f64,
    /// The middle of the eyes, pixels.
    pub origin: [f64; 2],
}

impl HeadPose {
    /// The pose whose points are nearest to `points`, in pixels of the picture.
    pub fn fit(points: &[[f32; 2]; 5]) -> Self {
        let points = points.map(|point| point.map(f64::from));
        // A turned head shows its nose to one side: start on both sides and keep the better.
        let starts = [-0.6, 0.0, 0.6].map(|yaw| Self::start(&points, yaw).refine(&points));
        let error = |pose: &Self| pose.residuals(&points).iter().map(|r| r * r).sum::<f64>();
        let mut best = starts[0];
        for pose in starts {
            if error(&pose) < error(&best) {
                best = pose;
            }
        }
        best
    }

    /// Where a point of the head, in distances between its eyes, lies in the picture.
    pub fn project(&self, point: [f64; 3]) -> [f64; 2] {
        let [yaw, pitch, roll] = self.angles;
        let [x, y, z] = point;
        let (sin, cos) = pitch.sin_cos();
        let (y, z) = (y * cos + z * sin, z * cos - y * sin);
        let (sin, cos) = yaw.sin_cos();
        let x = x * cos + z * sin;
        // The picture's y points down.
        let (sin, cos) = roll.sin_cos();
        let (x, y) = (x * cos + y * sin, x * sin - y * cos);
        [self.origin[0] + self.scale * x, self.origin[1] + self.scale * y]
    }

    /// The five points of the average head in this pose.
    pub fn points(&self) -> [[f64; 2]; 5] {
        HEAD.map(|point| self.project(point))
    }

    fn start(points: &[[f64; 2]; 5], yaw: f64) -> Self {
        let middle = |a: [f64; 2], b: [f64; 2]| [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0];
        let (eyes, mouth) = (middle(points[0], points[1]), middle(points[3], points[4]));
        // Eyes to mouth keeps its length when the head turns sideways.
        let down = [mouth[0] - eyes[0], mouth[1] - eyes[1]];
        Self {
            angles: [yaw, 0.0, (-down[0]).atan2(down[1])],
            scale: (down[0].hypot(down[1]) / 1.155).max(1e-6),
            origin: eyes,
        }
    }

    fn residuals(&self, points: &[[f64; 2]; 5]) -> [f64; 10] {
        let found = self.points();
        std::array::from_fn(|i| (found[i / 2][i % 2] - points[i / 2][i % 2]) / self.scale.abs().max(1e-6))
    }

    fn parameters(&self) -> [f64; 6] {
        let [yaw, pitch, roll] = self.angles;
        [yaw, pitch, roll, self.scale.ln(), self.origin[0], self.origin[1]]
    }

    fn with(parameters: [f64; 6]) -> Self {
        let [yaw, pitch, roll, scale, x, y] = parameters;
        Self {
            angles: [yaw.clamp(-LARGEST, LARGEST), pitch.clamp(-LARGEST, LARGEST), roll],
            scale: scale.exp(),
            origin: [x, y],
        }
    }

    fn refine(self, points: &[[f64; 2]; 5]) -> Self {
        let unit = self.scale;
        // Differences in pixels would change with the scale that is fitted: fix the unit.
        let error_of = |pose: &Self| -> [f64; 10] {
            let found = pose.points();
            std::array::from_fn(|i| (found[i / 2][i % 2] - points[i / 2][i % 2]) / unit)
        };
        let square = |r: &[f64; 10]| r.iter().map(|r| r * r).sum::<f64>();
        let (mut pose, mut damping) = (self, 1e-3);
        for _ in 0..60 {
            let here = error_of(&pose);
            let parameters = pose.parameters();
            let steps = [1e-6, 1e-6, 1e-6, 1e-6, 1e-6 * unit, 1e-6 * unit];
            let columns: [[f64; 10]; 6] = std::array::from_fn(|k| {
                let mut moved = parameters;
                moved[k] += steps[k];
                let there = error_of(&Self::with(moved));
                std::array::from_fn(|i| (there[i] - here[i]) / steps[k])
            });
            let mut normal = [[0.0; 7]; 6];
            for (row, a) in normal.iter_mut().zip(&columns) {
                for (value, b) in row.iter_mut().zip(&columns) {
                    *value = dot(a, b);
                }
                row[6] = -dot(a, &here);
            }
            for (k, row) in normal.iter_mut().enumerate() {
                row[k] += damping * (row[k] + 1e-9);
            }
            let Some(step) = solve(normal) else { break };
            let next = Self::with(std::array::from_fn(|k| parameters[k] + step[k]));
            if square(&error_of(&next)) < square(&here) {
                pose = next;
                damping = (damping / 5.0).max(1e-12);
            } else {
                damping *= 8.0;
            }
        }
        pose
    }
}

fn dot(a: &[f64; 10], b: &[f64; 10]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Solves six equations by elimination with pivots; the last column is the right side.
fn solve(mut rows: [[f64; 7]; 6]) -> Option<[f64; 6]> {
    for k in 0..6 {
        let pivot = (k..6).max_by(|a, b| rows[*a][k].abs().total_cmp(&rows[*b][k].abs()))?;
        rows.swap(k, pivot);
        if rows[k][k].abs() < 1e-300 {
            return None;
        }
        for i in k + 1..6 {
            let factor = rows[i][k] / rows[k][k];
            let upper = rows[k];
            for (value, above) in rows[i].iter_mut().zip(upper) {
                *value -= factor * above;
            }
        }
    }
    let mut solution = [0.0; 6];
    for k in (0..6).rev() {
        let known: f64 = (k + 1..6).map(|j| rows[k][j] * solution[j]).sum();
        solution[k] = (rows[k][6] - known) / rows[k][k];
    }
    solution.iter().all(|value| value.is_finite()).then_some(solution)
}

#[cfg(test)]
mod tests {
    use super::*;
    use omniid::face::crop::ARCFACE_TEMPLATE;

    #[test]
    fn an_average_head_is_found_as_it_was_placed() {
        for yaw in [-1.0, -0.4, 0.0, 0.7, 1.1] {
            for pitch in [-0.4, 0.0, 0.3] {
                for roll in [-0.5, 0.0, 0.2] {
                    let placed = HeadPose {
                        angles: [yaw, pitch, roll],
                        scale: 30.0,
                        origin: [40.0, 50.0],
                    };
                    let points = placed.points().map(|point| point.map(|value| value as f32));
                    let found = HeadPose::fit(&points);
                    for (a, b) in found.angles.iter().zip(placed.angles) {
                        assert!((a - b).abs() < 2e-3, "{placed:?} {found:?}");
                    }
                    assert!((found.scale - 30.0).abs() < 0.05, "{found:?}");
                }
            }
        }
    }

    #[test]
    fn angles_have_the_signs_of_a_view() {
        let points = |angles| {
            let pose = HeadPose {
                angles,
                scale: 10.0,
                origin: [0.0; 2],
            };
            pose.points()
        };
        let straight = points([0.0; 3]);
        // The nose moves to the right with yaw and up with pitch; the right eye moves down with roll.
        assert!(points([0.3, 0.0, 0.0])[2][0] > straight[2][0] + 1.0);
        assert!(points([0.0, 0.3, 0.0])[2][1] < straight[2][1] - 1.0);
        assert!(points([0.0, 0.0, 0.3])[1][1] > straight[1][1] + 1.0);
    }

    #[test]
    fn the_template_itself_looks_ahead() {
        let found = HeadPose::fit(&ARCFACE_TEMPLATE);
        assert!(found.angles.iter().all(|angle| angle.abs() < 0.02), "{found:?}");
    }

    #[test]
    fn points_in_disorder_give_numbers() {
        let found = HeadPose::fit(&[[3.0, 3.0], [3.0, 3.0], [9.0, -4.0], [3.0, 3.0], [0.0, 0.0]]);
        assert!(found.angles.iter().chain(&found.origin).all(|value| value.is_finite()));
    }
}
