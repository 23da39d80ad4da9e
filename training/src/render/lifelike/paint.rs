//! The skin of a lifelike person: colour and relief of every texel.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::brows::BrowForm;
use super::features::Texel;
use super::haircut::Haircut;
use super::hairline::Hairline;
use super::traits::Traits;
use super::variation::Variation;
use super::whiskers;
use super::wrinkles::Wrinkles;
use crate::render::look::{hash, normal};
use crate::render::noise::Noise;
use crate::render::texture::to_srgb;
use crate::render::vector::{length, mix, mul, smoothstep, sub, Vec3};

/// Height of the skin per step of the texture's alpha, centimetres; 128 is level.
pub(crate) const RELIEF: f32 = 0.1 / 127.0;

/// Dark or raised spots: place on the average head, radius (centimetres), strength, height.
type Spot = (Vec3, f32, f32, f32);

/// Paints texels.
pub(crate) struct Painter<'a> {
    traits: &'a Traits,
    line: &'a Hairline,
    brows: &'a BrowForm,
    wrinkles: Wrinkles,
    variation: Variation,
    noise: Noise,
    spots: Vec<Spot>,
    /// Strengths of colour zones: cheeks, nose, eyes' surroundings, ears.
    zones: [f32; 4],
    lips: Vec3,
    hair: Vec3,
    beard: Vec3,
    brow: Vec3,
    scalp: f32,
    seed: u32,
}

impl<'a> Painter<'a> {
    /// `life` draws marks that stay. `landmarks`: 68 of the average head. `grown`: whether locks cover the scalp.
    pub fn draw(
        life: &mut ChaCha8Rng,
        traits: &'a Traits,
        line: &'a Hairline,
        brows: &'a BrowForm,
        cut: &Haircut,
        landmarks: &[Vec3],
    ) -> Self {
        let wrinkles = Wrinkles::draw(life, traits, landmarks);
        let zones = [life.random(), life.random(), life.random(), life.random()];
        let fullness: f32 = life.random_range(0.0..1.0);
        let spots = spots(life, traits);
        let seed = traits.for_life as u32;
        let skin = traits.skin;
        let pale = 1.0 - traits.pigment;
        let red = 0.55 + 0.45 * fullness;
        let natural = [
            skin[0] * (0.85 + 0.05 * pale),
            skin[1] * (0.77 - 0.15 * pale * red),
            skin[2] * (0.93 - 0.15 * pale * red),
        ];
        let silver = mix(traits.hair, [0.45, 0.44, 0.42], 0.9 * traits.grey);
        let srgb = |colour: Vec3, shade: f32| colour.map(|c| to_srgb((c * shade).min(1.0)));
        Self {
            line,
            brows,
            wrinkles,
            variation: Variation::draw(traits),
            noise: Noise::new(traits.for_life),
            spots,
            zones,
            lips: mix(natural, traits.make_up.lip_colour, traits.make_up.lips),
            hair: srgb(silver, 0.75),
            beard: srgb(mix(traits.brow_colour, [0.4, 0.39, 0.38], 0.7 * traits.grey), 0.9),
            brow: srgb(traits.brow_colour, 0.9),
            scalp: if cut.is_cropped() {
                (0.45 + 0.5 * cut.top) * traits.fullness
            } else {
                0.8
            },
            seed,
            traits,
        }
    }

    /// Colour and, in alpha, height of a texel whose skin without any of this has the colour `base` (sRGB 0…255).
    /// `width`: of the texture. `drawn`: the base has lips and lids of its own.
    pub fn texel(&self, texel: &Texel, width: u32, base: Vec3, drawn: bool) -> [u8; 4] {
        let p = texel.position;
        let (x, y) = (texel.place % width, texel.place / width);
        let mut height = self.relief(p, x, y);
        let mut colour = self.tone(p, base, x, y);
        if p[2] > 3.0 {
            colour = mul(colour, self.variation.tone(p));
            colour = self.zones(p, colour, drawn);
            // Furrows are darker and redder than what is around them.
            let deep = (-height / 0.05).clamp(-0.25, 1.6) * (1.0 - 0.5 * self.traits.make_up.foundation);
            colour = [
                colour[0] * (1.0 - 0.07 * deep),
                colour[1] * (1.0 - 0.12 * deep),
                colour[2] * (1.0 - 0.12 * deep),
            ];
            for &(place, radius, strength, raised) in &self.spots {
                let distance = length(sub([p[0], p[1], 0.0], [place[0], place[1], 0.0]));
                if distance < radius {
                    let inside = strength * smoothstep(radius, 0.45 * radius, distance);
                    colour = mix(colour, [0.50, 0.36, 0.30].map(|k: f32| k * colour[0]), inside);
                    height += raised * inside;
                }
            }
            colour = self.eyes(texel, colour, drawn);
            let beard = whiskers::shadow(&self.traits.beard, p);
            if beard > 0.0 {
                let grain = 0.6 + 0.8 * hash(x as i32, y as i32, 7, self.seed);
                colour = mix(colour, self.beard, (beard * grain).min(0.9));
                height += 0.012 * beard * (hash(x as i32, y as i32, 8, self.seed) - 0.5);
            }
            colour = self.lips(texel, colour, x, y, drawn);
        }
        colour = self.scalp(p, colour, x, y);
        if let Some(place) = &texel.brow {
            let cover = self.brows.cover(place);
            if cover > 0.0 {
                let grain = 0.7 + 0.4 * hash(x as i32, y as i32, 13, self.seed);
                colour = mix(colour, self.brow, (cover * grain).min(0.88));
            }
        }
        let [r, g, b] = colour.map(|c| c.clamp(0.0, 255.0) as u8);
        [r, g, b, (128.0 + height / RELIEF).clamp(0.0, 255.0) as u8]
    }

    /// Lines, unevenness, pores.
    fn relief(&self, p: Vec3, x: u32, y: u32) -> f32 {
        let coarse = 0.5 + 0.5 * self.traits.wrinkles + 0.3 * self.traits.masculine;
        let pores = 0.0045 * (hash(x as i32, y as i32, 4, self.seed) - 0.5);
        let uneven = 0.006 * self.noise.at(1.7 * p[0] + 3.0, 1.7 * p[1] + 0.8 * p[2]);
        self.wrinkles.height(p) + coarse * (pores + uneven)
    }

    /// Smooth differences of tone, freckles, grain.
    fn tone(&self, p: Vec3, base: Vec3, x: u32, y: u32) -> Vec3 {
        let traits = self.traits;
        let (u, v) = (p[0] * 0.33 + 11.0, p[1] * 0.33 + p[2] * 0.12 + 17.0);
        let blotch = self.noise.at(u, v) + 0.6 * self.noise.at(2.7 * u + 3.0, 2.7 * v);
        let red = self.noise.at(0.8 * u + 20.0, 0.8 * v + 5.0) + 0.5 * self.noise.at(4.1 * u, 4.1 * v + 9.0);
        let even = traits.blotches * (1.0 - 0.6 * traits.make_up.foundation);
        let grain = 1.0 + 0.035 * (hash(x as i32, y as i32, 3, self.seed) - 0.5);
        let shade = grain * (1.0 + 0.035 * even * blotch);
        let mut colour = [
            base[0] * shade * (1.0 + 0.022 * even * red),
            base[1] * shade * (1.0 - 0.012 * even * red),
            base[2] * shade * (1.0 - 0.028 * even * red),
        ];
        if traits.freckles > 0.0 {
            let spot = freckle(p, traits.freckles, self.seed);
            for (c, strength) in [0.16, 0.27, 0.33].into_iter().enumerate() {
                colour[c] *= 1.0 - strength * spot;
            }
        }
        colour
    }

    /// Redder cheeks, nose and ears; shade around the eyes.
    fn zones(&self, p: Vec3, colour: Vec3, drawn: bool) -> Vec3 {
        let [cheeks, nose, sockets, ears] = self.zones;
        let x = p[0].abs();
        let cheek = smoothstep(1.3, 0.2, length([(x - 4.3) / 2.7, (p[1] + 0.2) / 2.3, 0.0]));
        let tip = smoothstep(1.2, 0.2, length([x / 1.7, (p[1] - 0.6) / 1.5, 0.0]));
        let ear = smoothstep(7.2, 8.4, x);
        let rouge = self.traits.make_up.cheeks;
        let pale = 1.0 - 0.7 * self.traits.pigment;
        let red =
            pale * ((0.25 + 0.75 * cheeks) * cheek + 0.8 * nose * tip + ears * ear).min(1.2) + 0.9 * rouge * cheek;
        let mut out = [
            colour[0],
            colour[1] * (1.0 - 0.085 * red),
            colour[2] * (1.0 - 0.075 * red),
        ];
        let socket = smoothstep(1.2, 0.25, length([(x - 3.0) / 2.2, (p[1] - 4.0) / 1.7, 0.0]));
        let below = smoothstep(1.2, 0.2, length([(x - 2.7) / 1.7, (p[1] - 2.75) / 0.8, 0.0]));
        // Painted skins have shade of their own there.
        let own = if drawn { 0.35 } else { 1.0 };
        let tired = own * (0.2 + 0.8 * sockets) * (0.5 + 0.6 * self.traits.wrinkles);
        let dark = (0.12 * socket + 0.22 * below) * tired * (1.0 - 0.6 * self.traits.make_up.foundation);
        out = [
            out[0] * (1.0 - dark),
            out[1] * (1.0 - 1.15 * dark),
            out[2] * (1.0 - 0.95 * dark),
        ];
        out
    }

    fn eyes(&self, texel: &Texel, colour: Vec3, drawn: bool) -> Vec3 {
        let [upper, lower] = texel.lids;
        if upper > 2.0 {
            return colour;
        }
        let make_up = &self.traits.make_up;
        let mut colour = colour;
        if make_up.lids > 0.0 {
            let lid = smoothstep(1.2, 0.15, upper) * f32::from(upper < lower);
            colour = mix(colour, make_up.lid_colour, 0.75 * make_up.lids * lid);
        }
        let lashes = if self.traits.male { 0.45 } else { 0.6 } + 0.4 * make_up.lashes;
        let line = if drawn { 0.55 } else { 0.9 };
        let width = if drawn { 0.2 } else { 0.3 };
        let dark = (line * (0.35 + 0.65 * lashes) * smoothstep(width, 0.04, upper))
            .max(0.6 * line * lashes * smoothstep(0.16, 0.02, lower))
            .min(0.95);
        // The crease of the upper lid.
        let crease = 0.22 * smoothstep(0.13, 0.02, (upper - 0.55).abs()) * f32::from(texel.position[1] > 4.2);
        colour = colour.map(|c| c * (1.0 - crease));
        mix(colour, [26.0, 19.0, 17.0], dark)
    }

    fn lips(&self, texel: &Texel, colour: Vec3, x: u32, y: u32, drawn: bool) -> Vec3 {
        if texel.lips < -0.35 {
            return colour;
        }
        let edge = 0.16 - 0.08 * self.traits.make_up.lips;
        let strength = if drawn { 0.35 } else { 0.8 };
        let cover = smoothstep(-edge, edge, texel.lips) * (strength + (1.0 - strength) * self.traits.make_up.lips);
        let fine = 1.0 + 0.1 * (hash(x as i32 / 2, y as i32 / 5, 11, self.seed) - 0.5);
        let colour = mix(colour, self.lips.map(|c| c * fine), cover);
        let dark = 0.55 * smoothstep(0.13, 0.0, texel.slit);
        mix(colour, [colour[0] * 0.42, colour[1] * 0.28, colour[2] * 0.28], dark)
    }

    fn scalp(&self, p: Vec3, colour: Vec3, x: u32, y: u32) -> Vec3 {
        let grown = self.line.at(p);
        if grown <= 0.0 {
            return colour;
        }
        let grain = 0.7 + 0.6 * hash(x as i32, y as i32, 5, self.seed);
        mix(colour, self.hair, (grown * self.scalp * grain).min(0.92))
    }
}

fn spots(life: &mut ChaCha8Rng, traits: &Traits) -> Vec<Spot> {
    let mut spots = Vec::new();
    let mut add = |life: &mut ChaCha8Rng, count: usize, radius: std::ops::Range<f32>, strength: f32, height: f32| {
        for _ in 0..count {
            let place = [life.random_range(-6.5..6.5), life.random_range(-6.5..9.0), 9.0];
            let own = life.random_range(0.5..1.0);
            spots.push((place, life.random_range(radius.clone()), strength * own, height * own));
        }
    };
    let moles = life.random_range(0..5);
    add(life, moles, 0.10..0.26, 0.75, 0.03);
    let aged = life.random_range(0.0f32..14.0) * traits.wrinkles.powi(2);
    add(life, aged as usize, 0.2..0.55, 0.28, 0.0);
    let pimples = if life.random_bool(0.2) {
        6.0 * (1.0 - traits.wrinkles)
    } else {
        0.0
    };
    add(life, pimples as usize, 0.1..0.2, 0.22, 0.03);
    if life.random_bool(0.04) {
        // A scar.
        let (x, y, slope) = (
            life.random_range(-5.0f32..5.0),
            life.random_range(-5.0f32..8.0),
            normal(life),
        );
        for step in 0..5 {
            let t = step as f32 * 0.25;
            spots.push(([x + t, y + 0.5 * slope * t, 9.0], 0.14, -0.18, -0.03));
        }
    }
    spots
}

/// Freckles at a place: 0 none, 1 in the middle of one. `many` 0…1.
fn freckle(p: Vec3, many: f32, seed: u32) -> f32 {
    let share = smoothstep(-4.0, 0.5, p[1]) * smoothstep(8.0, 3.0, p[1]) * smoothstep(4.0, 8.0, p[2]);
    if share <= 0.0 {
        return 0.0;
    }
    const CELL: f32 = 0.36;
    let cell = p.map(|c| (c / CELL).floor() as i32);
    if hash(cell[0], cell[1], cell[2], seed) > many * share * 0.55 {
        return 0.0;
    }
    let place: Vec3 = std::array::from_fn(|k| {
        let shift = hash(cell[0], cell[1], cell[2], seed.wrapping_add(1 + k as u32));
        (cell[k] as f32 + 0.25 + 0.5 * shift) * CELL
    });
    smoothstep(0.17, 0.0, length(sub(p, place)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::lifelike::traits::Moment;

    fn colour_at(seed: u64, change: impl Fn(&mut Traits), p: Vec3) -> [u8; 4] {
        let mut traits = Traits::draw(seed, Moment::default());
        change(&mut traits);
        let life = || Traits::shape_rng(seed);
        let line = Hairline::draw(&mut life(), &traits);
        let brows = BrowForm::draw(&mut life(), &traits);
        let cut = Haircut::draw(&mut life(), &traits);
        let landmarks: Vec<Vec3> = (0..68).map(|i| [i as f32 * 0.1 - 3.0, 0.0, 9.0]).collect();
        let painter = Painter::draw(&mut life(), &traits, &line, &brows, &cut, &landmarks);
        let texel = Texel {
            place: 70,
            position: p,
            brow: None,
            lips: -9.0,
            slit: 9.0,
            lids: [9.0; 2],
        };
        painter.texel(&texel, 64, traits.skin, false)
    }

    #[test]
    fn beards_and_scalps_are_darker_than_skin() {
        let dark = |t: &mut Traits| {
            t.hair = [0.01; 3];
            t.brow_colour = [0.01; 3];
            t.grey = 0.0;
            t.baldness = 0.0;
            t.pigment = 0.1;
            t.skin = [230.0, 190.0, 166.0];
            t.fullness = 1.0;
            t.beard = Default::default();
        };
        let chin = [0.5, -6.0, 10.0];
        let bare = colour_at(2, dark, chin);
        let bearded = colour_at(
            2,
            |t| {
                dark(t);
                t.beard.density = 1.0;
                t.beard.chin = 1.0;
            },
            chin,
        );
        assert!(u32::from(bearded[1]) + 40 < u32::from(bare[1]), "{bearded:?} {bare:?}");
        let crown = colour_at(2, dark, [0.0, 13.0, -2.0]);
        assert!(crown[1] < bare[1], "{crown:?}");
        assert_eq!(bare, colour_at(2, dark, chin));
    }
}
