//! Marks on the skin: beard, freckles, moles, flush.

use super::look::{hash, Look};
use super::vector::{length, mix, smoothstep, sub, Vec3};

/// Beard, freckles, moles, flush, in sRGB 0…255.
pub(crate) struct Marks<'a> {
    look: &'a Look,
}

impl<'a> Marks<'a> {
    pub fn new(look: &'a Look) -> Self {
        Self { look }
    }

    /// Cover of the beard at a texel, 0…1.
    pub fn beard(&self, p: Vec3, x: u32, y: u32, seed: u32) -> f32 {
        if self.look.beard_strength <= 0.0 {
            return 0.0;
        }
        let density = self.look.beard_at(p) * self.look.beard_strength;
        if density <= 0.0 {
            return 0.0;
        }
        let grain = 0.65 + 0.7 * hash(x as i32, y as i32 / 2, 7, seed);
        (density * grain).min(0.92)
    }

    pub fn apply(&self, p: Vec3, colour: Vec3, beard: f32, beard_colour: Vec3, seed: u32) -> Vec3 {
        let look = self.look;
        let mut colour = colour;
        if look.flush > 0.0 && p[2] > 4.0 {
            // Cheeks and the tip of the nose.
            let cheek = length([(p[0].abs() - 4.2) / 2.6, (p[1] + 0.3) / 2.2, 0.0]);
            let nose = length([p[0] / 1.6, (p[1] - 0.6) / 1.3, 0.0]);
            let flush = look.flush * (smoothstep(1.3, 0.2, cheek) + 0.8 * smoothstep(1.2, 0.3, nose)).min(1.0);
            colour[1] *= 1.0 - 0.09 * flush;
            colour[2] *= 1.0 - 0.09 * flush;
        }
        if look.freckles > 0.0 {
            let spot = freckle(p, look.freckles, seed);
            for (c, strength) in [0.14, 0.24, 0.3].into_iter().enumerate() {
                colour[c] *= 1.0 - strength * spot;
            }
        }
        for &(place, radius, strength) in &look.moles {
            let distance = length(sub([p[0], p[1], 0.0], [place[0], place[1], 0.0]));
            if distance < radius && p[2] > 3.0 {
                let dark = strength * smoothstep(radius, 0.5 * radius, distance);
                colour = mix(colour, [0.42, 0.30, 0.25].map(|k: f32| k * colour[0]), dark);
            }
        }
        if beard > 0.0 {
            colour = mix(colour, beard_colour, beard);
        }
        colour
    }
}

/// Freckles at a place: 0 none, 1 in the middle of one. `many` 0…1.
fn freckle(p: Vec3, many: f32, seed: u32) -> f32 {
    // Cheeks and nose have most.
    let share = smoothstep(-4.0, 0.5, p[1]) * smoothstep(6.0, 2.5, p[1]) * smoothstep(5.0, 8.0, p[2]);
    if share <= 0.0 {
        return 0.0;
    }
    const CELL: f32 = 0.38;
    let cell = p.map(|c| (c / CELL).floor() as i32);
    if hash(cell[0], cell[1], cell[2], seed) > many * share * 0.5 {
        return 0.0;
    }
    let place: Vec3 = std::array::from_fn(|k| {
        let shift = hash(cell[0], cell[1], cell[2], seed.wrapping_add(1 + k as u32));
        (cell[k] as f32 + 0.25 + 0.5 * shift) * CELL
    });
    let distance = length(sub(p, place));
    smoothstep(0.15, 0.0, distance)
}
