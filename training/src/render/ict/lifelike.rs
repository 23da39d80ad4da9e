//! Lifelike people on scanned heads.

use std::sync::Arc;

use omniid::Result;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::assets::{pivot, Ict, EYEBALLS, TEETH_AND_GUMS};
use super::eye::{eye_texture, under_lid};
use super::features::{BACK_SIDE, EYE_SIDE, FACE_SIDE};
use super::person::{eye_centre, random_modes, settle, HairStyles, IctHead, SKIN};
use super::transfer::Fields;
use crate::render::head::Appearance;
use crate::render::lifelike::{
    every_second, BrowForm, FaceMap, Ground, Growth, Haircut, Hairline, Headwear, Moment, Painter, Texel, Traits,
    Variation, RELIEF,
};
use crate::render::look::{normal, Look};
use crate::render::makehuman::MakeHuman;
use crate::render::mesh::{Layer, Surface, Topology};
use crate::render::radius_map::{transfer, RadiusMap};
use crate::render::style::Style;
use crate::render::texture::{Level, Texture};
use crate::render::torso::torso;
use crate::render::vector::{add, mean, sub, Vec3};

/// Standard deviation of the shape weights, and their limit.
const SIGMA: f32 = 1.2;
const LIMIT: f32 = 2.8;

/// What is measured once about the average head.
pub(crate) struct Lifelike {
    map: FaceMap,
    centred: Vec<Vec3>,
    face: Vec<Texel>,
    back: Vec<Texel>,
    /// Missing without the other family's files.
    fields: Option<Fields>,
}

impl Lifelike {
    pub fn new(assets: &Ict, makehuman: Option<&MakeHuman>) -> Result<Self> {
        let origin = pivot(&assets.mean);
        let centred: Vec<Vec3> = assets.mean.iter().map(|&p| sub(p, origin)).collect();
        let mut landmarks = assets.mean_points.clone();
        // The model's landmarks lie on the upper edge of raised brows.
        landmarks[17..27].iter_mut().for_each(|brow| brow[1] -= 0.75);
        let map = FaceMap::new(&landmarks);
        let face: Vec<Vec3> = assets.face_texels.iter().map(|texel| texel.position).collect();
        Ok(Self {
            face: map.texels(&every_second(&face, FACE_SIDE)),
            back: map.texels(&every_second(&assets.back_texels, BACK_SIDE)),
            fields: makehuman
                .map(|other| Fields::new(other, assets, &centred))
                .transpose()?,
            map,
            centred,
        })
    }
}

/// Draws and prepares the person of a seed at a time of life.
pub(crate) fn prepare(
    assets: &Arc<Ict>,
    extra: &Lifelike,
    styles: Option<&HairStyles>,
    seed: u64,
    moment: Moment,
) -> Result<(IctHead, Appearance)> {
    let traits = Traits::draw(seed, moment);
    let mut shape_rng = Traits::shape_rng(seed);
    let shape = neutral(assets, extra, &traits, &mut shape_rng);
    let (mut life, mut now) = (traits.life_rng(0), traits.now_rng(0));
    let line = Hairline::draw(&mut traits.life_rng(1), &traits);
    let brows = BrowForm::draw(&mut traits.life_rng(2), &traits);
    let wear = Headwear::draw(&mut traits.now_rng(3), traits.male);
    let mut cut = Haircut::draw(&mut traits.now_rng(1), &traits);
    let style = styles.and_then(|styles| {
        let made = wear.is_none() && traits.baldness < 0.15 && now.random::<f32>() < 0.16;
        let chosen = made.then(|| {
            styles
                .makehuman
                .draw_hair_style(&mut now, traits.male, traits.curl * traits.origin[0])
        });
        chosen.flatten()
    });
    if style.is_some() {
        cut.top = 4.0;
    }
    let painter = Painter::draw(
        &mut traits.life_rng(3),
        &traits,
        &line,
        &brows,
        &cut,
        &extra.map.landmarks,
    );
    let mut look = Look::draw(&mut traits.now_rng(2), traits.male, 0.0, 0.5);
    look.gloss = traits.gloss;

    let mut layers = Vec::new();
    let mut layer = |topology: &Arc<Topology>, texture: Option<Texture>, tint: Vec3, surface: Surface| {
        layers.push(Layer {
            texture: texture.map(Arc::new),
            relief: if surface == Surface::Skin { RELIEF } else { 0.0 },
            ..Layer::new(topology.clone(), 0, tint, surface)
        });
    };
    let skin = |texels: &[Texel], side: u32| -> Texture {
        let [r, g, b] = traits.skin.map(|c| c as u8);
        let mut painted = vec![[r, g, b, 128]; (side * side) as usize];
        for texel in texels {
            painted[texel.place as usize] = painter.texel(texel, side, traits.skin, false);
        }
        Texture::new(Level {
            width: side,
            height: side,
            texels: painted,
        })
    };
    layer(
        &assets.face,
        Some(skin(&extra.face, FACE_SIDE / 2)),
        [1.0; 3],
        Surface::Skin,
    );
    layer(
        &assets.back,
        Some(skin(&extra.back, BACK_SIDE / 2)),
        [1.0; 3],
        Surface::Skin,
    );
    layer(&assets.sockets, None, [0.22, 0.055, 0.05], Surface::Cavity);
    layer(&assets.gums, None, [0.40, 0.13, 0.12], Surface::Mouth);
    let white = life.random_range(0.8f32..1.05) * (1.0 - 0.15 * traits.wrinkles);
    let teeth = [0.80 * white, 0.76 * white, 0.69 * white * white];
    layer(&assets.teeth, None, teeth, Surface::Mouth);
    let lids = (0.03 + 0.08 * normal(&mut life)).clamp(-0.12, 0.25);
    let smile = life.random_range(0.0f32..1.0);
    let (iris_size, red) = (life.random_range(0.95..1.06), life.random_range(0.0..0.7));
    for (texels, eye) in assets.eye_texels.iter().zip(&assets.eyes) {
        let texture = eye_texture(texels, EYE_SIDE, traits.iris, iris_size, red, traits.for_life as u32);
        layer(eye, Some(under_lid(texture, texels)), [0.9; 3], Surface::Eye);
    }
    let broad = 0.88 + 0.16 * traits.masculine + 0.05 * traits.weight;
    let (torso, shoulders) = torso(broad, broad + 0.03);
    let mut fixed = shoulders;
    layers.push(Layer::sheet(torso, shape.len(), look.cloth, Surface::Cloth));
    let surface = RadiusMap::new(shape[..SKIN].iter().copied());
    if let (Some(styles), Some(style)) = (styles, style) {
        let part = &styles.makehuman.hair[style];
        let moved = transfer(&styles.styles[style], &styles.surface, &surface);
        let tint = part.tint(traits.hair_with_grey());
        layers.push(part.layer(shape.len() + fixed.len(), None, tint, Surface::Hair));
        fixed.extend(moved);
    }
    if let Some(wear) = wear {
        let (topology, cloth) = wear.mesh(&surface);
        let first = shape.len() + fixed.len();
        layers.push(Layer::sheet(topology, first, wear.colour, Surface::Cloth));
        fixed.extend(cloth);
    }
    let growth = Growth {
        traits: &traits,
        line: &line,
        cut: &cut,
        brows: &brows,
        map: &extra.map,
        own_hair: style.is_none(),
        hidden_above: wear.map_or(100.0, |wear| wear.hides_above()),
    };
    let ground = Ground {
        triangles: vec![assets.face.triangles.as_slice(), assets.back.triangles.as_slice()],
        mean: &extra.centred,
        own: &shape,
    };
    let locks = growth.grow(&ground, &surface);
    let eye_centres = EYEBALLS.map(|range| eye_centre(&shape, range));
    let head = IctHead {
        assets: assets.clone(),
        eye_centres,
        neutral: shape,
        fixed,
        lids,
        smile,
    };
    Ok((
        head,
        Appearance {
            layers,
            look,
            mean_points: assets.mean_points.clone(),
            hair: None,
            skin_vertices: SKIN,
            locks,
            style: Style::Lifelike,
            hair_gloss: cut.gloss,
            glasses: Some(traits.glasses),
        },
    ))
}

/// The neutral shape: random modes, and what sex, age, weight and origin do.
fn neutral(assets: &Ict, extra: &Lifelike, traits: &Traits, rng: &mut ChaCha8Rng) -> Vec<Vec3> {
    let mut shape = random_modes(assets, rng, SIGMA, LIMIT);
    if let Some(fields) = &extra.fields {
        fields.apply(
            &mut shape,
            0.5 + 1.25 * (traits.masculine - 0.5),
            0.8 * traits.age(),
            traits.weight,
            &traits.origin,
        );
    }
    vary(assets, extra, &Variation::draw(traits), &mut shape);
    settle(assets, &mut shape);
    shape
}

/// Bumps of the person's own; eyes and teeth move as a whole.
fn vary(assets: &Ict, extra: &Lifelike, variation: &Variation, shape: &mut [Vec3]) {
    let mouth = mean((60..68).map(|i| variation.movement(extra.centred[assets.landmarks[i] as usize])));
    for (i, position) in shape.iter_mut().enumerate() {
        let movement = if TEETH_AND_GUMS.contains(&i) {
            mouth
        } else if let Some(eye) = EYEBALLS.iter().position(|range| range.contains(&i)) {
            // The first is the person's left, at x > 0.
            variation.eye(1 - eye)
        } else {
            variation.movement(extra.centred[i])
        };
        *position = add(*position, movement);
    }
}
