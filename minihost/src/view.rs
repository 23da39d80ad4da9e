//! What a picture shows beside the identity: the condition of the generator.

use omniid::face::crop::{Similarity, ARCFACE_TEMPLATE};
use serde::{Deserialize, Serialize};

/// Expression channels, each 0 (absent) to 1 (full); they mean the same for every head model.
pub const EXPRESSIONS: [&str; 12] = [
    "smile",
    "frown",
    "jaw_open",
    "pucker",
    "brows_up",
    "brows_down",
    "eyes_closed",
    "squint",
    "sneer",
    "cheek_puff",
    "mouth_left",
    "mouth_right",
];

/// Everything that a picture of a person shows beside the identity.
///
/// Angles follow the viewer: positive yaw turns the nose to the right of the picture, positive pitch raises the
/// chin, positive roll tilts the head clockwise. Plain data.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct View {
    /// Turn to the side, radians.
    pub yaw: f32,
    /// Nod, radians.
    pub pitch: f32,
    /// Tilt, radians.
    pub roll: f32,
    /// Where an average head in this pose and crop has its eye at image left, eye at image right, nose tip, mouth
    /// corner left, mouth corner right: −1…1 from the left and upper to the right and lower edge. The points of an
    /// average head tell the decoder the crop without giving the shape of the face away.
    pub points: [[f32; 2]; 5],
    /// Strength of each of [`EXPRESSIONS`].
    pub expression: [f32; 12],
    /// Direction of the eyes relative to the head: right and up of the picture are positive, radians.
    pub gaze: [f32; 2],
    /// Light as spherical harmonics of order 1, linear RGB: ambient, then the parts along x (right), y (up), z (to
    /// the viewer).
    pub light: [[f32; 3]; 4],
    /// Mean colour of the background's upper and lower half, sRGB 0…1.
    pub background: [[f32; 3]; 2],
    /// 1 with glasses, 0 without.
    pub glasses: f32,
}

impl View {
    /// Numbers of [`View::to_vector`].
    pub const LENGTH: usize = 3 + 10 + 12 + 2 + 12 + 6 + 1;

    /// The numbers in the order of the fields, each of the order of 1.
    pub fn to_vector(&self) -> [f32; Self::LENGTH] {
        let mut vector = [0.0; Self::LENGTH];
        let values = [self.yaw, self.pitch, self.roll]
            .into_iter()
            .chain(self.points.into_iter().flatten())
            .chain(self.expression)
            .chain(self.gaze)
            .chain(self.light.into_iter().flatten())
            .chain(self.background.into_iter().flatten())
            .chain([self.glasses]);
        for (place, value) in vector.iter_mut().zip(values) {
            *place = value;
        }
        vector
    }

    /// The view whose [`View::to_vector`] is `vector`.
    pub fn from_vector(vector: &[f32; Self::LENGTH]) -> Self {
        let mut values = vector.iter().copied();
        // The array has exactly as many numbers as the fields below take.
        let mut next = || values.next().unwrap_or_default();
        let mut view = Self {
            yaw: next(),
            pitch: next(),
            roll: next(),
            ..Self::default()
        };
        view.points.iter_mut().flatten().for_each(|value| *value = next());
        view.expression.iter_mut().for_each(|value| *value = next());
        view.gaze.iter_mut().for_each(|value| *value = next());
        view.light.iter_mut().flatten().for_each(|value| *value = next());
        view.background.iter_mut().flatten().for_each(|value| *value = next());
        view.glasses = next();
        view
    }

    /// This view in another pose (radians), with the points of the average head in that pose.
    pub fn posed(mut self, yaw: f32, pitch: f32, roll: f32) -> Self {
        (self.yaw, self.pitch, self.roll) = (yaw, pitch, roll);
        self.points = average_points(yaw, pitch, roll);
        self
    }

    /// The view of the picture mirrored left to right.
    pub fn mirrored(&self) -> Self {
        let mut view = *self;
        view.yaw = -self.yaw;
        view.roll = -self.roll;
        view.points = mirrored_points(&self.points);
        view.expression.swap(MOUTH_LEFT, MOUTH_RIGHT);
        view.gaze[0] = -self.gaze[0];
        view.light[1] = self.light[1].map(|value| -value);
        view
    }
}

/// Places of "mouth_left" and "mouth_right" among [`EXPRESSIONS`].
const MOUTH_LEFT: usize = 10;
const MOUTH_RIGHT: usize = 11;

/// Five points (eye left, eye right, nose, mouth left, mouth right; −1…1) of the picture mirrored left to right.
pub fn mirrored_points(points: &[[f32; 2]; 5]) -> [[f32; 2]; 5] {
    [1, 0, 2, 4, 3].map(|from: usize| [-points[from][0], points[from][1]])
}

impl Default for View {
    /// Frontal, neutral, evenly lit from the front, on grey, at the place where aligned crops have their points.
    fn default() -> Self {
        Self {
            yaw: 0.0,
            pitch: 0.0,
            roll: 0.0,
            points: average_points(0.0, 0.0, 0.0),
            expression: [0.0; 12],
            gaze: [0.0; 2],
            light: [[0.5; 3], [0.0; 3], [0.1; 3], [0.5; 3]],
            background: [[0.5; 3]; 2],
            glasses: 0.0,
        }
    }
}

/// Eye centres (image left, right), nose tip and mouth corners of an average head, centimetres from a point between the
/// ears, 4 below and 8 behind the eyes: x right, y up, z to the viewer.
///
/// Means of landmarks 36–41, 42–47, 30, 48 and 54 of the neutral head of ICT-FaceKit (Li et al. 2020, MIT licence).
pub const AVERAGE_HEAD: [[f64; 3]; 5] = [
    [-3.256, 3.842, 9.222],
    [3.256, 3.842, 9.222],
    [0.0, 0.806, 13.069],
    [-2.535, -3.120, 10.188],
    [2.535, -3.120, 10.188],
];

/// Distance of the camera from that point, centimetres.
const CAMERA: f64 = 90.0;

/// Scale of the face template in aligned crops, and the template's point that lies at the crop's centre.
const TEMPLATE_SCALE: f64 = 0.98;
const TEMPLATE_CENTRE: [f64; 2] = [56.0, 62.0];
const TEMPLATE_SIDE: f64 = 112.0;

/// Where an aligned crop of the average head in this pose (radians, as in [`View`]) has its five points, −1…1 from the
/// left and upper to the right and lower edge.
pub fn average_points(yaw: f32, pitch: f32, roll: f32) -> [[f32; 2]; 5] {
    let [yaw, pitch, roll] = [yaw, pitch, roll].map(f64::from);
    let flat = AVERAGE_HEAD.map(|[x, y, z]| {
        // Nod, then turn, then tilt.
        let (y, z) = (y * pitch.cos() + z * pitch.sin(), z * pitch.cos() - y * pitch.sin());
        let (x, z) = (x * yaw.cos() + z * yaw.sin(), z * yaw.cos() - x * yaw.sin());
        let (x, y) = (x * roll.cos() + y * roll.sin(), y * roll.cos() - x * roll.sin());
        [x / (CAMERA - z), -y / (CAMERA - z)]
    });
    let side = TEMPLATE_SIDE / 2.0;
    let template = ARCFACE_TEMPLATE.map(|[x, y]| {
        let [cx, cy] = TEMPLATE_CENTRE;
        [
            (f64::from(x) - cx) * TEMPLATE_SCALE / side,
            (f64::from(y) - cy) * TEMPLATE_SCALE / side,
        ]
    });
    match Similarity::fit(&flat, &template) {
        Ok(place) => flat.map(|point| place.apply(point).map(|value| value as f32)),
        // Angles that are not numbers have no picture; the template's own points are then as good as any.
        Err(_) => template.map(|point| point.map(|value| value as f32)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_points_follow_the_pose() {
        let front = average_points(0.0, 0.0, 0.0);
        // An average face lies near the template: within a tenth of the half picture.
        let template = [[-0.31, -0.18], [0.31, -0.18], [0.0, 0.17], [-0.25, 0.53], [0.26, 0.53]];
        for (point, wanted) in front.iter().zip(template) {
            assert!((point[0] - wanted[0]).hypot(point[1] - wanted[1]) < 0.1, "{front:?}");
        }
        // Mirrored poses have mirrored points.
        let (left, right) = (average_points(-0.6, 0.2, 0.0), average_points(0.6, 0.2, 0.0));
        for (a, b) in [(0, 1), (1, 0), (2, 2), (3, 4), (4, 3)] {
            assert!((left[a][0] + right[b][0]).abs() < 6e-3, "{left:?} {right:?}");
            assert!((left[a][1] - right[b][1]).abs() < 6e-3);
        }
        // The nose goes where the head turns, relative to the eyes' middle; looking up raises it.
        let nose = |p: [[f32; 2]; 5]| [0, 1].map(|axis| p[2][axis] - 0.5 * (p[0][axis] + p[1][axis]));
        assert!(nose(right)[0] > nose(front)[0] + 0.1);
        assert!(nose(average_points(0.0, 0.3, 0.0))[1] < nose(front)[1] - 0.05);
        // A tilt in the picture plane is undone by the alignment, up to perspective.
        let tilted = average_points(0.0, 0.0, 0.3);
        for (point, wanted) in tilted.iter().zip(front) {
            assert!((point[0] - wanted[0]).hypot(point[1] - wanted[1]) < 1e-3);
        }
        assert!(average_points(f32::NAN, 0.0, 0.0)[0][0].is_finite());
    }

    #[test]
    fn every_field_reaches_the_vector() {
        let view = View {
            yaw: 1.0,
            glasses: 2.0,
            ..View::default()
        };
        let vector = view.to_vector();
        assert_eq!(vector[0], 1.0);
        assert_eq!(vector[View::LENGTH - 1], 2.0);
        assert_eq!(vector[3..5], view.points[0]);
    }

    #[test]
    fn a_view_comes_back_from_its_vector() {
        let vector = std::array::from_fn(|i| i as f32 * 0.25 - 3.0);
        assert_eq!(View::from_vector(&vector).to_vector(), vector);
    }

    #[test]
    fn mirroring_turns_left_to_right_and_back() {
        assert_eq!(EXPRESSIONS[MOUTH_LEFT], "mouth_left");
        assert_eq!(EXPRESSIONS[MOUTH_RIGHT], "mouth_right");
        let view = View::from_vector(&std::array::from_fn(|i| i as f32 + 1.0));
        let mirrored = view.mirrored();
        assert_eq!(mirrored.mirrored(), view);
        assert_eq!(
            (mirrored.yaw, mirrored.pitch, mirrored.roll),
            (-view.yaw, view.pitch, -view.roll)
        );
        // The eye at image left was the eye at image right.
        assert_eq!(mirrored.points[0], [-view.points[1][0], view.points[1][1]]);
        assert_eq!(mirrored.points[2], [-view.points[2][0], view.points[2][1]]);
        assert_eq!(mirrored.expression[MOUTH_LEFT], view.expression[MOUTH_RIGHT]);
        assert_eq!(mirrored.light[0], view.light[0]);
        assert_eq!(mirrored.light[1], view.light[1].map(|value| -value));
        // A frontal default looks the same in the mirror, but for the face template, which is not quite symmetric.
        let (here, there) = (View::default().points, View::default().mirrored().points);
        for (a, b) in here.iter().flatten().zip(there.iter().flatten()) {
            assert!((a - b).abs() < 6e-3, "{here:?} {there:?}");
        }
    }
}
