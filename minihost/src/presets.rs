//! Views by name, and where an average head has its five points in any pose.

use crate::view::{View, EXPRESSIONS};
use omniid::face::crop::{Similarity, ARCFACE_TEMPLATE};

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
        let (y, z) = (
            y * pitch.cos() + z * pitch.sin(),
            z * pitch.cos() - y * pitch.sin(),
        );
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

/// Names of [`View::named`], a pose or an expression each.
pub const VIEW_NAMES: [&str; 22] = [
    "front",
    "left",
    "right",
    "three-quarter left",
    "three-quarter right",
    "profile left",
    "profile right",
    "up",
    "down",
    "tilt",
    "smile",
    "laugh",
    "surprise",
    "frown",
    "angry",
    "pucker",
    "squint",
    "eyes closed",
    "puffed cheeks",
    "look left",
    "look right",
    "glasses",
];

/// A view for eight pictures of a sheet: poses, then expressions.
pub const SHEET_VIEWS: [&str; 8] = [
    "front",
    "three-quarter left",
    "three-quarter right",
    "up",
    "down",
    "smile",
    "surprise",
    "profile right",
];

impl View {
    /// This view in another pose (radians), with the points of the average head in that pose.
    pub fn posed(mut self, yaw: f32, pitch: f32, roll: f32) -> Self {
        (self.yaw, self.pitch, self.roll) = (yaw, pitch, roll);
        self.points = average_points(yaw, pitch, roll);
        self
    }

    /// This view with one channel of [`EXPRESSIONS`] set; unknown names change nothing.
    pub fn with_expression(mut self, name: &str, strength: f32) -> Self {
        if let Some(channel) = EXPRESSIONS.iter().position(|known| *known == name) {
            self.expression[channel] = strength;
        }
        self
    }

    /// A view by its name in [`VIEW_NAMES`]. Left and right are those of the picture.
    pub fn named(name: &str) -> Option<Self> {
        let front = Self::default();
        let turned = |degrees: f32| front.posed(degrees.to_radians(), 0.0, 0.0);
        let nodding = |degrees: f32| front.posed(0.0, degrees.to_radians(), 0.0);
        let looking = |right: f32| Self {
            gaze: [right, 0.0],
            ..front
        };
        Some(match name {
            "front" => front,
            "left" => turned(-25.0),
            "right" => turned(25.0),
            "three-quarter left" => turned(-45.0),
            "three-quarter right" => turned(45.0),
            "profile left" => turned(-80.0),
            "profile right" => turned(80.0),
            "up" => nodding(22.0),
            "down" => nodding(-22.0),
            "tilt" => front.posed(0.0, 0.0, 12f32.to_radians()),
            "smile" => front.with_expression("smile", 0.8),
            "laugh" => front
                .with_expression("smile", 1.0)
                .with_expression("jaw_open", 0.4)
                .with_expression("squint", 0.3),
            "surprise" => front
                .with_expression("brows_up", 0.9)
                .with_expression("jaw_open", 0.6),
            "frown" => front.with_expression("frown", 0.8),
            "angry" => front
                .with_expression("brows_down", 0.9)
                .with_expression("sneer", 0.4),
            "pucker" => front.with_expression("pucker", 0.8),
            "squint" => front.with_expression("squint", 0.9),
            "eyes closed" => front.with_expression("eyes_closed", 1.0),
            "puffed cheeks" => front.with_expression("cheek_puff", 0.8),
            "look left" => looking(-0.35),
            "look right" => looking(0.35),
            "glasses" => Self {
                glasses: 1.0,
                ..front
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_points_follow_the_pose() {
        let front = average_points(0.0, 0.0, 0.0);
        // An average face lies near the template: within a tenth of the half picture.
        let template = [
            [-0.31, -0.18],
            [0.31, -0.18],
            [0.0, 0.17],
            [-0.25, 0.53],
            [0.26, 0.53],
        ];
        for (point, wanted) in front.iter().zip(template) {
            assert!(
                (point[0] - wanted[0]).hypot(point[1] - wanted[1]) < 0.1,
                "{front:?}"
            );
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
    fn all_names_are_views_and_differ() {
        let views: Vec<_> = VIEW_NAMES
            .iter()
            .map(|name| View::named(name).expect(name).to_vector())
            .collect();
        for (i, view) in views.iter().enumerate() {
            assert!(!views[..i].contains(view), "{}", VIEW_NAMES[i]);
        }
        assert!(SHEET_VIEWS.iter().all(|name| VIEW_NAMES.contains(name)));
        assert!(View::named("sideways").is_none());
    }
}
