//! Colour of what a sample shows.

use super::light::Lighting;
use super::mesh::Surface;
use super::vector::{add, dot, fused, mix, mul, normalize, scale, Vec3};

/// What the shading of a sample needs to know.
pub(crate) struct Sample {
    pub surface: Surface,
    /// Linear.
    pub albedo: Vec3,
    /// Length 1, to the viewer's side.
    pub normal: Vec3,
    /// Open sky, 0…1.
    pub openness: f32,
    /// Of the key light, 0…1.
    pub lit: f32,
}

/// Skin that shines more or less.
pub(crate) struct Finish {
    pub gloss: f32,
}

/// Linear colour towards the viewer.
#[inline]
pub(crate) fn shade(sample: &Sample, lighting: &Lighting, finish: &Finish) -> Vec3 {
    // How far light reaches around the edge of light and shadow, per channel: red travels farthest in skin.
    let (wrap, gloss, sharpness): (Vec3, f32, f32) = match sample.surface {
        Surface::Skin => ([0.30, 0.17, 0.12], finish.gloss, 18.0),
        Surface::Hair => ([0.3; 3], 0.05, 14.0),
        // Grown hair is shaded elsewhere.
        Surface::Strand | Surface::Lock | Surface::Whisker => ([0.4; 3], 0.0, 1.0),
        Surface::Eye => ([0.3; 3], 0.45, 90.0),
        Surface::Mouth => ([0.4; 3], 0.05, 30.0),
        Surface::Cavity => ([0.4; 3], 0.0, 1.0),
        Surface::Cloth => ([0.1; 3], 0.0, 1.0),
        Surface::Frame => ([0.1; 3], 0.3, 40.0),
    };
    let open = sample.openness;
    // Light that enters creases leaves them redder.
    let open_colour = if sample.surface == Surface::Skin {
        [open.powf(0.75), open, open * (0.9 + 0.1 * open)]
    } else {
        [open; 3]
    };
    let mut diffuse = mul(lighting.ambient, open_colour);
    let mut shine = [0.0; 3];
    let view = [0.0, 0.0, 1.0];
    for (index, light) in lighting.lights.iter().enumerate() {
        let cosine = dot(sample.normal, light.direction);
        let reach: Vec3 = std::array::from_fn(|c| ((cosine + wrap[c]) / (1.0 + wrap[c])).max(0.0));
        let lit = if index == 0 { sample.lit } else { 1.0 };
        let colour = scale(light.colour, lit);
        let arriving = mul(mul(colour, reach), mix([1.0; 3], open_colour, 0.65));
        diffuse = add(diffuse, arriving);
        if gloss > 0.0 && cosine > 0.0 {
            let half = normalize(add(light.direction, view));
            let peak = dot(sample.normal, half).max(0.0).powf(sharpness);
            shine = fused(shine, colour, gloss * peak * cosine.sqrt() * open);
        }
    }
    let rim = (1.0 - sample.normal[2].clamp(0.0, 1.0)).powi(4);
    if sample.surface == Surface::Skin {
        shine = fused(shine, lighting.ambient, 0.06 * rim * open);
    }
    let mut colour = mul(sample.albedo, diffuse);
    if sample.surface == Surface::Hair {
        // Hair shines in its own colour, mostly.
        shine = mul(shine, mix(sample.albedo.map(|c| (c * 5.0).min(1.0)), [0.3; 3], 0.3));
    }
    colour = add(colour, shine);
    colour.map(shoulder)
}

/// Keeps bright colours below 1 without a kink.
#[inline(always)]
fn shoulder(value: f32) -> f32 {
    const KNEE: f32 = 0.7;
    if value <= KNEE {
        value
    } else {
        let over = (value - KNEE) / (1.0 - KNEE);
        KNEE + (1.0 - KNEE) * over / (1.0 + over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::light::DirectionalLight;

    #[test]
    fn facing_the_light_is_brighter_and_open_ambient_is_the_albedo() {
        let finish = Finish { gloss: 0.0 };
        let sample = |normal: Vec3| Sample {
            surface: Surface::Cloth,
            albedo: [0.5, 0.4, 0.3],
            normal,
            openness: 1.0,
            lit: 1.0,
        };
        let ambient = Lighting {
            ambient: [0.8; 3],
            lights: vec![],
            shadow: false,
        };
        let colour = shade(&sample([0.0, 0.0, 1.0]), &ambient, &finish);
        assert!((colour[0] - 0.4).abs() < 1e-6 && (colour[2] - 0.24).abs() < 1e-6);
        let side = Lighting {
            ambient: [0.0; 3],
            lights: vec![DirectionalLight {
                direction: [1.0, 0.0, 0.0],
                colour: [1.0; 3],
            }],
            shadow: false,
        };
        let bright = shade(&sample([1.0, 0.0, 0.0]), &side, &finish);
        let dark = shade(&sample([-1.0, 0.0, 0.0]), &side, &finish);
        assert!((bright[0] - 0.5).abs() < 1e-6);
        assert_eq!(dark, [0.0; 3]);
        assert!(shoulder(100.0) < 1.0);
    }
}
