//! From what photos are drawn.

use std::f32::consts::TAU;

use omniid_minihost::View;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::augment::Augmentation;
use super::light::{DirectionalLight, Lighting};
use super::look::{hair_colour, normal};
use super::photo::{Background, Framing, PhotoSpec};
use super::style::Style;
use super::vector::{normalize, scale, Vec3};

/// From what photos are drawn: pose, expression, light, background, faults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PhotoDistribution {
    /// Standard deviation of yaw and its limit, radians.
    pub yaw: (f32, f32),
    /// Share of photos whose yaw is uniform up to the limit, so that profiles are not rare.
    pub turned: f32,
    /// Standard deviation of pitch and its limit, radians.
    pub pitch: (f32, f32),
    /// Standard deviation of roll, radians.
    pub roll: f32,
    /// Probability of an expression (otherwise neutral).
    pub expression: f32,
    /// Standard deviation of gaze, radians.
    pub gaze: f32,
    /// Probability of glasses.
    pub glasses: f32,
    /// Probability of dyed hair.
    pub dyed: f32,
    /// Studio pictures follow from identity and `View` alone: one soft light, a plain background, no faults.
    pub studio: bool,
    /// Jitter of aligned crops: scale, shift (picture widths), rotation (radians), standard deviations.
    pub jitter: (f32, f32, f32),
    /// Whole heads anywhere in the picture instead of aligned crops.
    pub loose: bool,
    /// Of the light, the background and the rest.
    pub style: Style,
}

impl PhotoDistribution {
    /// What users bring: everything varies.
    pub fn input() -> Self {
        Self {
            yaw: (0.4, 1.35),
            turned: 0.15,
            pitch: (0.2, 0.6),
            roll: 0.06,
            expression: 0.7,
            gaze: 0.2,
            glasses: 0.12,
            dyed: 0.12,
            studio: false,
            jitter: (0.03, 0.015, 0.04),
            loose: false,
            style: Style::Classic,
        }
    }

    /// What the decoder learns to draw: pose and expression vary, light and background are known, nothing else.
    pub fn target() -> Self {
        Self {
            yaw: (0.45, 1.45),
            turned: 0.25,
            pitch: (0.2, 0.6),
            roll: 0.06,
            expression: 0.75,
            gaze: 0.15,
            glasses: 0.04,
            dyed: 0.0,
            studio: true,
            jitter: (0.02, 0.01, 0.03),
            loose: false,
            style: Style::Classic,
        }
    }

    /// A neutral studio picture from the front, looking into the camera.
    pub fn frontal() -> Self {
        Self {
            yaw: (0.0, 0.1),
            turned: 0.0,
            pitch: (0.0, 0.1),
            roll: 0.0,
            expression: 0.0,
            gaze: 0.0,
            glasses: 0.0,
            dyed: 0.0,
            studio: true,
            jitter: (0.0, 0.0, 0.0),
            loose: false,
            style: Style::Classic,
        }
    }

    /// Heads of any size anywhere, for training a face detector.
    pub fn detector() -> Self {
        Self {
            roll: 0.25,
            // Frames hide what a detector looks for: they deserve more than their share.
            glasses: 0.35,
            loose: true,
            ..Self::input()
        }
    }

    /// The same for people of a style.
    pub fn styled(self, style: Style) -> Self {
        Self { style, ..self }
    }

    /// A view of which the head's angles are drawn.
    pub(crate) fn pose(&self, rng: &mut ChaCha8Rng) -> View {
        let mut view = View::default();
        let (deviation, limit) = self.yaw;
        view.yaw = if rng.random::<f32>() < self.turned {
            rng.random_range(-limit..limit)
        } else {
            (deviation * normal(rng)).clamp(-limit, limit)
        };
        view.pitch = (self.pitch.0 * normal(rng)).clamp(-self.pitch.1, self.pitch.1);
        view.roll = self.roll * normal(rng);
        view
    }

    /// Where in the picture the head is.
    pub(crate) fn framing(&self, rng: &mut ChaCha8Rng) -> Framing {
        if self.loose {
            let head = rng.random_range(0.06f32..0.65);
            let room = 0.5 - 0.35 * head;
            return Framing::Loose {
                centre: [(); 2].map(|()| 0.5 + rng.random_range(-room..room)),
                head,
            };
        }
        let (scale, shift, rotation) = self.jitter;
        Framing::Aligned {
            scale: (scale * normal(rng)).exp(),
            shift: [shift * normal(rng), shift * normal(rng)],
            rotation: rotation * normal(rng),
        }
    }

    /// Draws a photo of the classic style.
    pub(crate) fn classic(&self, rng: &mut ChaCha8Rng) -> PhotoSpec {
        let mut view = self.pose(rng);
        if rng.random::<f32>() < self.expression {
            view.expression = expression(rng);
        }
        let gaze = [normal(rng), normal(rng)].map(|g| (self.gaze * g).clamp(-0.45, 0.45));
        view.gaze = [gaze[0], 0.6 * gaze[1]];
        view.glasses = f32::from(rng.random::<f32>() < self.glasses);
        let framing = self.framing(rng);
        let distance = if self.studio {
            90.0
        } else {
            // Uniform in nearness: distortion goes with 1/distance.
            1.0 / rng.random_range(1.0 / 160.0f32..1.0 / 42.0)
        };
        let lighting = if self.studio { studio_light(rng) } else { any_light(rng) };
        view.light = lighting.harmonics();
        let background = if self.studio {
            view.background = two_colours(rng, 0.25);
            Background::Plain
        } else {
            any_background(rng)
        };
        let dyed = rng.random::<f32>() < self.dyed;
        PhotoSpec {
            view,
            distance,
            framing,
            lighting,
            background,
            hair_colour: dyed.then(|| hair_colour(rng, 0.3, 0.0)),
            augmentation: if self.studio {
                Augmentation::default()
            } else {
                faults(rng)
            },
        }
    }
}

/// One to three channels, rarely contradicting ones.
fn expression(rng: &mut ChaCha8Rng) -> [f32; 12] {
    const SMILE: usize = 0;
    const FROWN: usize = 1;
    const PUCKER: usize = 3;
    let mut channels = [0.0; 12];
    // How often each channel is drawn, in the order of `EXPRESSIONS`.
    let often = [4.0, 1.2, 2.2, 1.0, 1.5, 1.5, 0.8, 1.0, 0.7, 0.5, 0.5, 0.5];
    for _ in 0..rng.random_range(1..=3) {
        let mut choice = rng.random_range(0.0..often.iter().sum::<f32>());
        let mut channel = 0;
        for (i, weight) in often.iter().enumerate() {
            channel = i;
            choice -= weight;
            if choice < 0.0 {
                break;
            }
        }
        channels[channel] = rng.random_range(0.25..1.0);
    }
    if channels[SMILE] > 0.0 {
        channels[FROWN] = 0.0;
        channels[PUCKER] *= 0.3;
    }
    if channels[10] > 0.0 {
        channels[11] = 0.0;
    }
    if channels[4] > 0.0 {
        channels[5] *= 0.4;
    }
    // Mouths are often a little open.
    if rng.random_bool(0.25) {
        channels[2] = f32::max(channels[2], rng.random_range(0.0..0.2));
    }
    channels
}

/// Near white, warm or cold.
fn light_colour(rng: &mut ChaCha8Rng, strength: f32, spread: f32) -> Vec3 {
    let warmth = spread * normal(rng);
    let tint = 0.4 * spread * normal(rng);
    [warmth + tint, -0.5 * tint, -warmth + tint].map(|c| strength * c.exp())
}

fn light_direction(rng: &mut ChaCha8Rng, side: f32) -> Vec3 {
    normalize([side * normal(rng), 0.45 + 0.45 * normal(rng), 1.0])
}

pub(crate) fn studio_light(rng: &mut ChaCha8Rng) -> Lighting {
    let strength = rng.random_range(0.55..1.05);
    let ambient = rng.random_range(0.28..0.5);
    Lighting {
        ambient: light_colour(rng, ambient, 0.06),
        lights: vec![DirectionalLight {
            direction: light_direction(rng, 0.8),
            colour: light_colour(rng, strength, 0.08),
        }],
        shadow: false,
    }
}

fn any_light(rng: &mut ChaCha8Rng) -> Lighting {
    let ambient = rng.random_range(0.12..0.6);
    let key = rng.random_range(0.3..1.25);
    let mut lights = vec![DirectionalLight {
        direction: light_direction(rng, 1.1),
        colour: light_colour(rng, key, 0.14),
    }];
    if rng.random_bool(0.5) {
        // Fill, from the other side.
        let strength = rng.random_range(0.05..0.45);
        let side = -lights[0].direction[0].signum();
        lights.push(DirectionalLight {
            direction: normalize([side, 0.3 * normal(rng), 0.8]),
            colour: light_colour(rng, strength, 0.2),
        });
    }
    if rng.random_bool(0.3) {
        // From behind.
        let strength = rng.random_range(0.2..1.2);
        lights.push(DirectionalLight {
            direction: normalize([1.5 * normal(rng), 0.5 + 0.5 * normal(rng), -1.0]),
            colour: light_colour(rng, strength, 0.25),
        });
    }
    let mut lighting = Lighting {
        ambient: light_colour(rng, ambient, 0.1),
        lights,
        shadow: rng.random_bool(0.75),
    };
    // Cameras expose for the face.
    let exposure = rng.random_range(0.55..1.1) / lighting.brightness();
    lighting.ambient = scale(lighting.ambient, exposure);
    for light in &mut lighting.lights {
        light.colour = scale(light.colour, exposure);
    }
    lighting
}

/// Two colours that differ by about `spread`.
fn two_colours(rng: &mut ChaCha8Rng, spread: f32) -> [[f32; 3]; 2] {
    let grey: f32 = rng.random_range(0.12..0.88);
    let saturation = rng.random_range(0.0f32..1.0).powi(2) * 0.3;
    let first: Vec3 = std::array::from_fn(|_| (grey + saturation * normal(rng)).clamp(0.06, 0.94));
    let change = spread * normal(rng);
    let second = first.map(|c| (c + change + 0.2 * spread * normal(rng)).clamp(0.06, 0.94));
    [first, second]
}

fn any_background(rng: &mut ChaCha8Rng) -> Background {
    let colours = two_colours(rng, 0.3);
    let blobs = (0..rng.random_range(0..7))
        .map(|_| {
            let place = [
                rng.random_range(-0.1..1.1),
                rng.random_range(-0.1..1.1),
                rng.random_range(0.04..0.4),
            ];
            let [colour, _] = two_colours(rng, 0.0);
            (place, colour, rng.random_range(0.0..1.0))
        })
        .collect();
    Background::Busy {
        colours,
        angle: rng.random_range(0.0..TAU),
        blobs,
        noise: rng.random_range(0.0f32..1.0).powi(2) * 0.15,
        seed: rng.random(),
    }
}

fn faults(rng: &mut ChaCha8Rng) -> Augmentation {
    let gain = (0.1 * normal(rng)).exp();
    Augmentation {
        blur: if rng.random_bool(0.3) {
            rng.random_range(0.3..1.3)
        } else {
            0.0
        },
        gain: std::array::from_fn(|_| gain * (0.04 * normal(rng)).exp()),
        gamma: (0.12 * normal(rng)).exp(),
        grey: if rng.random_bool(0.1) { 1.0 } else { 0.0 },
        noise: if rng.random_bool(0.4) {
            rng.random_range(0.005..0.04)
        } else {
            0.0
        },
        sharpen: 0.0,
        jpeg: rng.random_bool(0.4).then(|| rng.random_range(35..95)),
        seed: rng.random(),
    }
}
