//! Lights, and what is left of them in spherical harmonics of order 1.

use super::vector::{dot, fused, length, scale, Vec3};

/// Weights of red, green and blue in brightness.
pub(crate) const LUMINANCE: Vec3 = [0.2126, 0.7152, 0.0722];

/// A far light.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DirectionalLight {
    /// Towards the light, length 1: x right, y up, z to the viewer.
    pub direction: [f32; 3],
    /// Linear RGB that it adds to a white surface facing it.
    pub colour: [f32; 3],
}

/// The light of a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Lighting {
    /// Linear RGB from everywhere.
    pub ambient: [f32; 3],
    /// Far lights; the first is the key light.
    pub lights: Vec<DirectionalLight>,
    /// Whether the head casts the key light's shadow on itself.
    pub shadow: bool,
}

impl Lighting {
    /// Order-1 spherical harmonics of the light that arrives on a surface, as `View::light` holds them: a light that
    /// adds `c·max(0, n·l)` has mean `c/4` and linear part `c/2·l` (the projection of the clamped cosine).
    pub fn harmonics(&self) -> [[f32; 3]; 4] {
        let mut harmonics = [self.ambient, [0.0; 3], [0.0; 3], [0.0; 3]];
        for light in &self.lights {
            harmonics[0] = fused(harmonics[0], light.colour, 0.25);
            for axis in 0..3 {
                harmonics[axis + 1] = fused(harmonics[axis + 1], light.colour, 0.5 * light.direction[axis]);
            }
        }
        harmonics
    }

    /// Brightness of a white face, on average over the directions that a face has.
    pub(crate) fn brightness(&self) -> f32 {
        let lights = self.lights.iter().map(|light| {
            let front = 0.35 + 0.65 * light.direction[2];
            dot(light.colour, LUMINANCE) * front.max(0.05)
        });
        (dot(self.ambient, LUMINANCE) + lights.sum::<f32>()).max(1e-3)
    }

    /// One light and an ambient part that have these harmonics: the light of pictures that must follow from their
    /// `View` alone. Exact for what one light and an ambient part make; otherwise the nearest such.
    pub fn from_harmonics(harmonics: &[[f32; 3]; 4]) -> Self {
        let direction: Vec3 = std::array::from_fn(|axis| dot(harmonics[axis + 1], LUMINANCE));
        let strength = length(direction);
        if strength < 1e-6 {
            return Self {
                ambient: harmonics[0],
                lights: Vec::new(),
                shadow: false,
            };
        }
        let direction = scale(direction, 1.0 / strength);
        let colour: Vec3 = std::array::from_fn(|c| {
            let along: f32 = (0..3).map(|axis| harmonics[axis + 1][c] * direction[axis]).sum();
            2.0 * along.max(0.0)
        });
        Self {
            ambient: std::array::from_fn(|c| (harmonics[0][c] - 0.25 * colour[c]).max(0.0)),
            lights: vec![DirectionalLight { direction, colour }],
            shadow: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_light_there_and_back() {
        let lighting = Lighting {
            ambient: [0.3, 0.2, 0.1],
            lights: vec![DirectionalLight {
                direction: [0.6, 0.0, 0.8],
                colour: [1.0, 0.9, 0.7],
            }],
            shadow: false,
        };
        let back = Lighting::from_harmonics(&lighting.harmonics());
        for c in 0..3 {
            assert!((back.ambient[c] - lighting.ambient[c]).abs() < 1e-5);
            assert!((back.lights[0].colour[c] - lighting.lights[0].colour[c]).abs() < 1e-5);
            assert!((back.lights[0].direction[c] - lighting.lights[0].direction[c]).abs() < 1e-5);
        }
    }

    /// The harmonics are the projection of the clamped cosine, measured over many directions.
    #[test]
    fn harmonics_are_a_projection() {
        let light = DirectionalLight {
            direction: [0.36, 0.48, 0.8],
            colour: [1.0; 3],
        };
        let (mut mean, mut linear) = (0.0f64, 0.0f64);
        let count = 20000;
        for i in 0..count {
            // Fibonacci sphere.
            let z = 1.0 - (2.0 * i as f64 + 1.0) / f64::from(count);
            let (radius, angle) = ((1.0 - z * z).sqrt(), i as f64 * 2.399_963_229_728_653);
            let normal = [(radius * angle.cos()) as f32, (radius * angle.sin()) as f32, z as f32];
            let received = f64::from(dot(normal, light.direction).max(0.0));
            mean += received / f64::from(count);
            linear += 3.0 * received * f64::from(normal[0]) / f64::from(count);
        }
        let harmonics = Lighting {
            ambient: [0.0; 3],
            lights: vec![light],
            shadow: false,
        }
        .harmonics();
        assert!((f64::from(harmonics[0][0]) - mean).abs() < 1e-3);
        assert!((f64::from(harmonics[1][0]) - linear).abs() < 1e-3);
    }
}
