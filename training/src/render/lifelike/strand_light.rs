//! Light on hairs: bright across, with highlights that run over a lock.

use crate::render::light::Lighting;
use crate::render::vector::{add, dot, fused, mul, normalize, scale, Vec3};

/// Linear colour towards the viewer of a hair that runs along `tangent`, in a mass of hair whose surface looks to
/// `normal` (both of length 1). After Kajiya and Kay (1989): the highlight depends on the angle to the hair alone. The
/// mass shades itself like any body.
#[inline]
pub(crate) fn strand_light(
    albedo: Vec3,
    normal: Vec3,
    tangent: Vec3,
    openness: f32,
    lit: f32,
    gloss: f32,
    lighting: &Lighting,
) -> Vec3 {
    let mut diffuse = scale(lighting.ambient, 0.85 * openness);
    let mut shine = [0.0; 3];
    for (index, light) in lighting.lights.iter().enumerate() {
        let along = dot(tangent, light.direction);
        let sine = (1.0 - along * along).max(0.0).sqrt();
        let body = ((dot(normal, light.direction) + 0.35) / 1.35).max(0.0);
        let arriving = scale(
            light.colour,
            if index == 0 { lit } else { 1.0 } * (0.35 + 0.65 * openness),
        );
        diffuse = fused(diffuse, arriving, body * (0.35 + 0.65 * sine));
        let half = normalize(add(light.direction, [0.0, 0.0, 1.0]));
        let across = dot(tangent, half);
        let peak = (1.0 - across * across).max(0.0);
        // sqrt(peak)^(2n) without a power: n = 16.
        let p2 = peak * peak;
        let p8 = p2 * p2 * p2 * p2;
        shine = fused(shine, arriving, body * p8 * p8);
    }
    // Mostly in the hair's own colour.
    let tint = albedo.map(|c| 0.035 + 0.65 * c);
    let lustre = scale(mul(tint, shine), 2.2 * gloss);
    add(mul(albedo, diffuse), lustre).map(shoulder)
}

/// As for other surfaces.
#[inline(always)]
fn shoulder(value: f32) -> f32 {
    if value <= 0.7 {
        value
    } else {
        let over = (value - 0.7) / 0.3;
        0.7 + 0.3 * over / (1.0 + over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::light::DirectionalLight;

    #[test]
    fn hair_across_the_light_is_brighter_than_along_it() {
        let lighting = Lighting {
            ambient: [0.1; 3],
            lights: vec![DirectionalLight {
                direction: [0.0, 0.0, 1.0],
                colour: [1.0; 3],
            }],
            shadow: false,
        };
        let at = |tangent: Vec3| strand_light([0.2; 3], [0.0, 0.0, 1.0], tangent, 1.0, 1.0, 0.5, &lighting)[0];
        assert!(at([1.0, 0.0, 0.0]) > 2.0 * at([0.0, 0.0, 1.0]));
        let dark = strand_light([0.2; 3], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0], 1.0, 0.0, 0.5, &lighting)[0];
        assert!((dark - 0.2 * 0.085).abs() < 1e-5, "{dark}");
    }
}
