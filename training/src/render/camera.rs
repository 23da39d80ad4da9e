//! From a head's own coordinates to the picture.

use omniid::face::crop::{Similarity, ARCFACE_TEMPLATE};
use omniid::Result;

use super::photo::Framing;
use super::vector::{add, mix, product, rotate, smoothstep, sub, Mat3, Vec3};

/// Scale of the face template in training crops: a little more of the head than the template shows.
pub const TEMPLATE_SCALE: f64 = 0.98;
/// The point of the 112-pixel template that lies at the centre of a training crop.
pub const TEMPLATE_CENTRE: [f64; 2] = [56.0, 62.0];
const TEMPLATE_SIDE: f64 = 112.0;

/// Where an aligned crop of `size` pixels has eye left, eye right, nose tip, mouth corner left and right.
pub fn template(size: f64) -> [[f64; 2]; 5] {
    ARCFACE_TEMPLATE.map(|[x, y]| {
        let place =
            |value: f32, centre: f64| ((f64::from(value) - centre) * TEMPLATE_SCALE / TEMPLATE_SIDE + 0.5) * size;
        [place(x, TEMPLATE_CENTRE[0]), place(y, TEMPLATE_CENTRE[1])]
    })
}

/// Eyes, nose tip and mouth corners from the 68 landmarks.
pub fn five_points(landmarks: &[[f32; 2]]) -> [[f32; 2]; 5] {
    let mean = |range: std::ops::Range<usize>| {
        let count = range.len() as f32;
        let sum = landmarks[range]
            .iter()
            .fold([0.0; 2], |sum, p| [sum[0] + p[0], sum[1] + p[1]]);
        [sum[0] / count, sum[1] / count]
    };
    [mean(36..42), mean(42..48), landmarks[30], landmarks[48], landmarks[54]]
}

/// The rotation of a head: nod, then turn, then tilt.
pub(crate) fn rotation(yaw: f32, pitch: f32, roll: f32) -> Mat3 {
    let (sy, cy) = yaw.sin_cos();
    let (sp, cp) = pitch.sin_cos();
    let (sr, cr) = roll.sin_cos();
    let nod = [[1.0, 0.0, 0.0], [0.0, cp, sp], [0.0, -sp, cp]];
    let turn = [[cy, 0.0, sy], [0.0, 1.0, 0.0], [-sy, 0.0, cy]];
    let tilt = [[cr, sr, 0.0], [-sr, cr, 0.0], [0.0, 0.0, 1.0]];
    product(&tilt, &product(&turn, &nod))
}

/// Head pose: the head turns fully, the shoulders a part of it.
pub(crate) struct Pose {
    head: Mat3,
    body: Mat3,
}

/// About which the shoulders turn, centimetres.
const NECK: Vec3 = [0.0, -9.0, -4.0];

impl Pose {
    pub fn new(yaw: f32, pitch: f32, roll: f32) -> Self {
        Self {
            head: rotation(yaw, pitch, roll),
            body: rotation(0.45 * yaw, 0.15 * pitch, 0.2 * roll),
        }
    }

    /// How much a vertex belongs to the head, by its height.
    #[inline(always)]
    fn share(position: Vec3) -> f32 {
        smoothstep(-15.0, -6.5, position[1])
    }

    /// A point of the head, turned.
    #[inline(always)]
    pub fn point(&self, position: Vec3) -> Vec3 {
        let share = Self::share(position);
        let head = rotate(&self.head, position);
        if share == 1.0 {
            return head;
        }
        mix(add(rotate(&self.body, sub(position, NECK)), NECK), head, share)
    }

    /// A direction at a point of the head, turned.
    #[inline(always)]
    pub fn direction(&self, position: Vec3, direction: Vec3) -> Vec3 {
        let share = Self::share(position);
        let head = rotate(&self.head, direction);
        if share == 1.0 {
            return head;
        }
        mix(rotate(&self.body, direction), head, share)
    }
}

/// Projection by a camera at a distance (centimetres from the head's pivot), then a similarity onto the picture.
pub(crate) struct Camera {
    distance: f32,
    place: Similarity,
}

impl Camera {
    /// A camera that frames a posed head. `landmarks` are its 68 landmarks, posed; `size` is the picture's side in
    /// pixels.
    pub fn frame(distance: f32, framing: &Framing, landmarks: &[Vec3], size: f64) -> Result<Self> {
        let mut camera = Self {
            distance,
            place: Similarity {
                a: 1.0,
                b: 0.0,
                tx: 0.0,
                ty: 0.0,
            },
        };
        camera.place = match *framing {
            Framing::Aligned { scale, shift, rotation } => {
                let flat: Vec<[f32; 2]> = landmarks
                    .iter()
                    .map(|&p| camera.project(p))
                    .map(|p| [p[0], p[1]])
                    .collect();
                let from = five_points(&flat).map(|p| p.map(f64::from));
                let fit = Similarity::fit(&from, &template(size))?;
                let (sin, cos) = f64::from(rotation).sin_cos();
                let (sin, cos) = (sin * f64::from(scale), cos * f64::from(scale));
                let half = size / 2.0;
                let (tx, ty) = (fit.tx - half, fit.ty - half);
                Similarity {
                    a: cos * fit.a - sin * fit.b,
                    b: sin * fit.a + cos * fit.b,
                    tx: cos * tx - sin * ty + half + f64::from(shift[0]) * size,
                    ty: sin * tx + cos * ty + half + f64::from(shift[1]) * size,
                }
            }
            Framing::Loose { centre, head } => {
                // A head is about 24 centimetres high.
                let scale = f64::from(head) * size * f64::from(distance) / 24.0;
                Similarity {
                    a: scale,
                    b: 0.0,
                    tx: f64::from(centre[0]) * size,
                    ty: f64::from(centre[1]) * size,
                }
            }
        };
        Ok(camera)
    }

    /// Picture coordinates and depth of a posed point.
    #[inline(always)]
    pub fn project(&self, position: Vec3) -> Vec3 {
        let depth = self.distance - position[2];
        let near = depth.max(1.0);
        let (x, y) = (position[0] / near, -position[1] / near);
        let (a, b) = (self.place.a as f32, self.place.b as f32);
        [
            a * x - b * y + self.place.tx as f32,
            b * x + a * y + self.place.ty as f32,
            depth,
        ]
    }

    /// Pixels per centimetre at the pivot.
    pub fn scale(&self) -> f32 {
        self.place.scale() as f32 / self.distance
    }
}
