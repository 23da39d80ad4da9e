//! A MakeHuman person: prepared layers, and the shape of any expression.

use std::sync::Arc;

use omniid::Result;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::assets::MakeHuman;
use super::base_mesh::{landmarks, pivot, to_centimetres, EYES, LANDMARKS};
use super::expression;
use super::identity::Identity;
use super::part::FittedPart;
use super::skin;
use crate::render::head::{gaze_rotation, Appearance, Head};
use crate::render::marks::Marks;
use crate::render::mesh::{Layer, Shape, Surface};
use crate::render::noise::Noise;
use crate::render::obj::gather;
use crate::render::style::Style;
use crate::render::texture::{to_srgb, Texture};
use crate::render::vector::{add, mean, rotate, sub, Vec3};

/// What of a person the shape of a photo needs.
pub(crate) struct MakeHumanHead {
    pub(super) assets: Arc<MakeHuman>,
    pub(super) races: [f32; 3],
    /// Neutral shape, decimetres.
    pub(super) neutral: Vec<Vec3>,
    pub(super) pivot: Vec3,
    /// None where brows grow as hair.
    pub(super) brows: Option<usize>,
    pub(super) lashes: usize,
    pub(super) teeth: Option<usize>,
    /// Hair and whatever else does not follow the expression, centimetres.
    pub(super) fixed: Vec<Vec3>,
}

impl Head for MakeHumanHead {
    fn shape(&self, expression: &[f32; 12], gaze: [f32; 2]) -> Result<Shape> {
        let mut base = self.neutral.clone();
        expression::apply(&self.assets, expression, &self.races, &mut base)?;
        let assets = &*self.assets;
        let mut positions = gather(&base, &assets.drawn);
        let eyes = positions.len();
        assets.eyes.clothes.fit(&base, &mut positions);
        let rotation = gaze_rotation(gaze);
        let centres = EYES.map(|range| mean(base[range].iter().copied()));
        for position in &mut positions[eyes..] {
            let centre = centres[usize::from(position[0] < self.pivot[0])];
            *position = add(centre, rotate(&rotation, sub(*position, centre)));
        }
        if let Some(brows) = self.brows {
            assets.brows[brows].clothes.fit(&base, &mut positions);
        }
        assets.lashes[self.lashes].clothes.fit(&base, &mut positions);
        if let Some(teeth) = self.teeth {
            assets.teeth[teeth].clothes.fit(&base, &mut positions);
        }
        if let Some(tongue) = &assets.tongue {
            tongue.clothes.fit(&base, &mut positions);
        }
        for position in &mut positions {
            *position = squeeze(to_centimetres(*position, self.pivot));
        }
        positions.extend_from_slice(&self.fixed);
        let landmarks = LANDMARKS
            .iter()
            .map(|&i| to_centimetres(base[i as usize], self.pivot))
            .collect();
        Ok(Shape {
            positions,
            normals: Vec::new(),
            landmarks,
        })
    }
}

/// The base figure holds its arms out; they come nearer, as far as a picture of a head shows them.
fn squeeze(position: Vec3) -> Vec3 {
    let [x, y, z] = position;
    const SHOULDER: f32 = 15.0;
    if x.abs() <= SHOULDER {
        return position;
    }
    [x.signum() * (SHOULDER + 0.35 * (x.abs() - SHOULDER)), y, z]
}

/// Draws and prepares the person of a seed.
pub(crate) fn prepare(assets: &Arc<MakeHuman>, seed: u64) -> Result<(MakeHumanHead, Appearance)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let identity = Identity::draw(&mut rng, assets);
    let neutral = identity.shape(assets)?;
    let origin = pivot(&neutral);
    let mut layers = Vec::new();
    let mut vertices = assets.drawn.len();
    layers.push(Layer {
        texture: Some(Arc::new(paint(assets, &identity))),
        ..Layer::new(assets.body.clone(), 0, [1.0; 3], Surface::Skin)
    });
    let mut part = |part: &FittedPart, texture: Option<Arc<Texture>>, tint: Vec3, surface: Surface| {
        layers.push(part.layer(vertices, texture, tint, surface));
        vertices += part.clothes.anchors.len();
    };
    let look = identity.look.clone();
    let iris = assets.irises[identity.iris].clone();
    part(
        &assets.eyes,
        Some(iris),
        identity.iris_tint.map(|t| 0.5 + 0.4 * t.min(1.0)),
        Surface::Eye,
    );
    let brows = &assets.brows[identity.brows];
    part(brows, None, brows.tint(look.brows), Surface::Strand);
    let lashes = &assets.lashes[identity.lashes];
    part(lashes, None, lashes.tint([0.012, 0.008, 0.007]), Surface::Strand);
    let teeth = (!assets.teeth.is_empty()).then_some(identity.teeth);
    if let Some(teeth) = teeth {
        part(&assets.teeth[teeth], None, [1.25, 1.15, 1.0], Surface::Mouth);
    }
    if let Some(tongue) = &assets.tongue {
        part(tongue, None, [0.8; 3], Surface::Mouth);
    }
    let mut fixed = Vec::new();
    let mut hair = None;
    if let Some(style) = identity.hair {
        let style = &assets.hair[style];
        style.clothes.fit(&neutral, &mut fixed);
        part(style, None, style.tint(look.hair), Surface::Hair);
        hair = Some((layers.len() - 1, style.brightness));
        for position in &mut fixed {
            *position = to_centimetres(*position, origin);
        }
    }
    let head = MakeHumanHead {
        assets: assets.clone(),
        races: identity.races,
        pivot: origin,
        neutral,
        brows: Some(identity.brows),
        lashes: identity.lashes,
        teeth,
        fixed,
    };
    Ok((
        head,
        Appearance {
            layers,
            look,
            mean_points: landmarks(&assets.average),
            hair,
            skin_vertices: assets.drawn.len(),
            locks: Vec::new(),
            style: Style::Classic,
            hair_gloss: 0.0,
            glasses: None,
        },
    ))
}

/// The skin of a person: two painted skins blended, toned, marked.
fn paint(assets: &MakeHuman, identity: &Identity) -> Texture {
    let look = &identity.look;
    let [first, second] = identity.skins.map(|i| &assets.skins[i].atlas);
    let noise = Noise::new(look.noise_seed);
    let tone = identity.tone;
    let seed = look.noise_seed as u32;
    // In sRGB a factor on linear light is nearly a factor to the power of 1/2.2.
    let factor = tone.map(|t| t.powf(1.0 / 2.2));
    let beard_colour = look.brows.map(|c| to_srgb(c * 0.8));
    let mut texels = Vec::with_capacity(first.texels.len());
    let marks = Marks::new(look);
    for (place, &p) in assets.texel_positions.iter().enumerate() {
        let (a, b) = (first.texels[place], second.texels[place]);
        let (x, y) = (place as u32 % skin::WIDTH, place as u32 / skin::WIDTH);
        let mut colour: Vec3 = std::array::from_fn(|c| {
            let (a, b) = (f32::from(a[c]), f32::from(b[c]));
            (a + (b - a) * identity.skin_mix) * factor[c]
        });
        if !p[0].is_nan() {
            let (u, v) = (x as f32, y as f32);
            let blotch = noise.at(u / 37.0, v / 37.0);
            let red = noise.at(u / 61.0 + 9.0, v / 61.0);
            let shade = 1.0 + 0.05 * look.blotches * blotch;
            colour[0] *= shade * (1.0 + 0.035 * look.blotches * red);
            colour[1] *= shade;
            colour[2] *= shade * (1.0 - 0.035 * look.blotches * red);
            let beard = marks.beard(p, x, y, seed);
            colour = marks.apply(p, colour, beard, beard_colour, seed);
        }
        texels.push([
            colour[0].clamp(0.0, 255.0) as u8,
            colour[1].clamp(0.0, 255.0) as u8,
            colour[2].clamp(0.0, 255.0) as u8,
            255,
        ]);
    }
    skin::texture(texels, skin::WIDTH, skin::HEIGHT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_come_nearer_and_heads_stay() {
        assert_eq!(squeeze([7.0, 1.0, 2.0]), [7.0, 1.0, 2.0]);
        assert_eq!(squeeze([-25.0, 1.0, 2.0])[0], -18.5);
    }
}
