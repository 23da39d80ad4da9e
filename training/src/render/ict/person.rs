//! An ICT person: prepared layers, and the shape of any expression.

use std::sync::Arc;

use omniid::Result;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::assets::{pivot, Ict, EYEBALLS, TEETH_AND_GUMS};
use super::expression;
use super::paint::Paint;
use crate::render::head::{gaze_rotation, Appearance, Head};
use crate::render::look::{normal, Look};
use crate::render::makehuman::MakeHuman;
use crate::render::mesh::{Layer, Shape, Surface, Topology};
use crate::render::radius_map::{transfer, RadiusMap};
use crate::render::style::Style;
use crate::render::texture::Texture;
use crate::render::torso::torso;
use crate::render::vector::{add, fused, rotate, scale, sub, Vec3};

/// Standard deviation of the shape weights, and their limit.
const SIGMA: f32 = 1.3;
const LIMIT: f32 = 3.0;

/// Vertices of the face and the back of the head, without sockets, mouth and eyes.
pub(super) const SKIN: usize = 11248;

/// Hair styles of the other family, on its average head.
pub(crate) struct HairStyles {
    pub(super) makehuman: Arc<MakeHuman>,
    pub(super) surface: RadiusMap,
    pub(super) styles: Vec<Vec<Vec3>>,
}

impl HairStyles {
    pub fn new(makehuman: &Arc<MakeHuman>) -> Self {
        let (body, styles) = makehuman.average_hair();
        Self {
            makehuman: makehuman.clone(),
            surface: RadiusMap::new(body),
            styles,
        }
    }
}

/// What of a person the shape of a photo needs.
pub(crate) struct IctHead {
    pub(super) assets: Arc<Ict>,
    /// Neutral shape, centimetres from the pivot.
    pub(super) neutral: Vec<Vec3>,
    pub(super) eye_centres: [Vec3; 2],
    /// Shoulders and hair.
    pub(super) fixed: Vec<Vec3>,
    /// How far the lids hang when the eyes are open, 0…1.
    pub(super) lids: f32,
    /// How much a smile bares the teeth, 0…1, beyond what all smiles do.
    pub(super) smile: f32,
}

impl Head for IctHead {
    fn shape(&self, expression: &[f32; 12], gaze: [f32; 2]) -> Result<Shape> {
        let mut positions = Vec::with_capacity(self.neutral.len() + self.fixed.len());
        positions.extend_from_slice(&self.neutral);
        let mut expression = *expression;
        expression[6] += (1.0 - expression[6]) * self.lids;
        expression::apply(&self.assets, &expression, gaze, EYEBALLS[0].start, &mut positions)?;
        expression::bare_teeth(&self.assets, self.smile * expression[0], &mut positions)?;
        if gaze != [0.0; 2] {
            let rotation = gaze_rotation(gaze);
            for (range, centre) in EYEBALLS.iter().zip(self.eye_centres) {
                for position in &mut positions[range.clone()] {
                    *position = add(centre, rotate(&rotation, sub(*position, centre)));
                }
            }
        }
        let landmarks = self.assets.landmarks.iter().map(|&i| positions[i as usize]).collect();
        positions.extend_from_slice(&self.fixed);
        Ok(Shape {
            positions,
            normals: Vec::new(),
            landmarks,
        })
    }
}

/// The average head with random weights of its modes, of this standard deviation and within this limit.
pub(super) fn random_modes(assets: &Ict, rng: &mut ChaCha8Rng, sigma: f32, limit: f32) -> Vec<Vec3> {
    let mut shape = assets.mean.clone();
    for mode in &assets.identity {
        let weight = (sigma * normal(rng)).clamp(-limit, limit);
        for (position, &offset) in shape.iter_mut().zip(mode) {
            *position = fused(*position, offset, weight);
        }
    }
    shape
}

/// Moves a shape's pivot to the origin, and its teeth behind its lips.
pub(super) fn settle(assets: &Ict, shape: &mut [Vec3]) {
    let origin = pivot(shape);
    for position in &mut *shape {
        *position = sub(*position, origin);
    }
    // Strong weights push teeth through closed lips: they move back and shrink a little.
    let middle = [0.0, shape[assets.landmarks[62] as usize][1], 7.5];
    for position in &mut shape[TEETH_AND_GUMS] {
        *position = add(middle, scale(sub(*position, middle), 0.94));
        position[2] -= 0.25;
    }
}

/// The middle of an eyeball: its foremost and hindmost points lie a diameter apart.
pub(super) fn eye_centre(shape: &[Vec3], range: std::ops::Range<usize>) -> Vec3 {
    let side = |axis: usize| {
        let (low, high) = shape[range.clone()]
            .iter()
            .fold((f32::MAX, f32::MIN), |(low, high), p| {
                (low.min(p[axis]), high.max(p[axis]))
            });
        (low, high)
    };
    let ((left, right), (bottom, top), (back, _)) = (side(0), side(1), side(2));
    let radius = 0.25 * (right - left + top - bottom);
    [0.5 * (left + right), 0.5 * (bottom + top), back + radius]
}

/// Draws and prepares the person of a seed.
pub(crate) fn prepare(assets: &Arc<Ict>, hair: Option<&HairStyles>, seed: u64) -> Result<(IctHead, Appearance)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x1c7);
    let mut shape = random_modes(assets, &mut rng, SIGMA, LIMIT);
    settle(assets, &mut shape);
    let male = rng.random_bool(0.5);
    let mut paint = Paint::draw(&mut rng, male);
    let age = rng.random::<f32>().powf(1.7);
    let dark = (1.4 * paint.tone).min(1.0);
    let look = Look::draw(&mut rng, male, age, dark);
    let style = hair.and_then(|styles| draw_style(&mut rng, styles, male, age, paint.tone));
    paint.scalp = if style.is_some() {
        0.6
    } else if rng.random_bool(0.5) {
        // Cropped.
        rng.random_range(0.5..0.9)
    } else {
        rng.random_range(0.0..0.3)
    };

    let mut layers = Vec::new();
    let mut layer = |topology: &Arc<Topology>, texture: Option<Texture>, tint: Vec3, surface: Surface| {
        layers.push(Layer {
            texture: texture.map(Arc::new),
            ..Layer::new(topology.clone(), 0, tint, surface)
        });
    };
    layer(&assets.face, Some(paint.face(assets, &look)), [1.0; 3], Surface::Skin);
    layer(&assets.back, Some(paint.back(assets, &look)), [1.0; 3], Surface::Skin);
    layer(&assets.sockets, None, [0.22, 0.055, 0.05], Surface::Cavity);
    layer(&assets.gums, None, [0.42, 0.13, 0.12], Surface::Mouth);
    layer(&assets.teeth, None, [0.72, 0.66, 0.56], Surface::Mouth);
    for (side, eye) in assets.eyes.iter().enumerate() {
        let texture = paint.eye(assets, side, look.noise_seed as u32);
        layer(eye, Some(texture), [0.88; 3], Surface::Eye);
    }
    let (torso, shoulders) = torso(rng.random_range(0.85..1.1), rng.random_range(0.9..1.15));
    let mut fixed = shoulders;
    layers.push(Layer::sheet(torso, shape.len(), look.cloth, Surface::Cloth));
    let mut hair_layer = None;
    if let (Some(styles), Some(style)) = (hair, style) {
        let part = &styles.makehuman.hair[style];
        let surface = RadiusMap::new(shape[..SKIN].iter().copied());
        let moved = transfer(&styles.styles[style], &styles.surface, &surface);
        let tint = part.tint(look.hair);
        layers.push(part.layer(shape.len() + fixed.len(), None, tint, Surface::Hair));
        hair_layer = Some((layers.len() - 1, part.brightness));
        fixed.extend(moved);
    }
    let eye_centres = EYEBALLS.map(|range| eye_centre(&shape, range));
    let head = IctHead {
        assets: assets.clone(),
        eye_centres,
        neutral: shape,
        fixed,
        lids: 0.0,
        smile: 0.0,
    };
    Ok((
        head,
        Appearance {
            layers,
            look,
            mean_points: assets.mean_points.clone(),
            hair: hair_layer,
            skin_vertices: SKIN,
            locks: Vec::new(),
            style: Style::Classic,
            hair_gloss: 0.0,
            glasses: None,
        },
    ))
}

fn draw_style(rng: &mut ChaCha8Rng, styles: &HairStyles, male: bool, age: f32, tone: f32) -> Option<usize> {
    let none = if male { 0.3 + 0.2 * age } else { 0.04 };
    if rng.random::<f32>() < none {
        return None;
    }
    styles.makehuman.draw_hair_style(rng, male, (tone - 0.4).max(0.0) * 1.6)
}
