//! Lifelike people on the artists' heads.

use std::sync::Arc;

use omniid::Result;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::assets::MakeHuman;
use super::base_mesh::{landmarks, pivot, to_centimetres};
use super::identity::{draw_axis, draw_skin, macro_shape};
use super::part::FittedPart;
use super::person::MakeHumanHead;
use super::skin;
use crate::render::head::{Appearance, Head};
use crate::render::lifelike::{
    every_second, BrowForm, FaceMap, Ground, Growth, Haircut, Hairline, Headwear, Moment, Painter, Texel, Traits,
    Variation, RELIEF,
};
use crate::render::look::{normal, Look};
use crate::render::mesh::{Layer, Surface};
use crate::render::obj::gather;
use crate::render::radius_map::RadiusMap;
use crate::render::style::Style;
use crate::render::texture::Texture;
use crate::render::vector::{fused, Vec3};

const WIDTH: u32 = skin::WIDTH / 2;
const HEIGHT: u32 = skin::HEIGHT / 2;

/// The lighter of the painted brown irises.
const BROWN: usize = 3;

/// What is measured once about the average head and the painted skins.
pub(crate) struct Lifelike {
    map: FaceMap,
    /// The drawn vertices of the average head.
    centred: Vec<Vec3>,
    texels: Vec<Texel>,
    /// The skins at half their size, sRGB, and the median colour of each one's face.
    skins: Vec<(Vec<[u8; 3]>, Vec3)>,
    /// Per form the textures of thin lashes and of painted ones.
    lashes: Vec<[Option<Arc<Texture>>; 2]>,
    dark_brown: Option<Arc<Texture>>,
}

impl Lifelike {
    pub fn new(assets: &MakeHuman) -> Self {
        let origin = pivot(&assets.average);
        let drawn = gather(&assets.average, &assets.drawn);
        let map = FaceMap::new(&with_brows(landmarks(&assets.average)));
        let texels = map.texels(&every_second(&assets.texel_positions, skin::WIDTH));
        let skins = assets.skins.iter().map(|skin| {
            let half = halved(&skin.atlas.texels);
            let face = texels
                .iter()
                .filter(|t| t.position[2] > 7.0 && t.position[1] < 8.0 && t.lips < -0.3);
            let colours: Vec<[u8; 3]> = face.map(|texel| half[texel.place as usize]).collect();
            let middle = std::array::from_fn(|c| {
                let mut levels: Vec<u8> = colours.iter().map(|colour| colour[c]).collect();
                levels.sort_unstable();
                f32::from(levels.get(levels.len() / 2).copied().unwrap_or(128))
            });
            (half, middle)
        });
        let lashes = assets.lashes.iter().map(|part| {
            [0.35, 0.65].map(|share| part.texture.as_ref().map(|texture| Arc::new(texture.thinned(share))))
        });
        Self {
            dark_brown: assets.irises.get(BROWN).map(|iris| Arc::new(dark_brown(iris))),
            lashes: lashes.collect(),
            skins: skins.collect(),
            centred: drawn.into_iter().map(|p| to_centimetres(p, origin)).collect(),
            texels,
            map,
        }
    }
}

/// Landmarks whose brows lie on the brow ridge; those of the mesh lie on the fold above the eye.
fn with_brows(mut landmarks: Vec<Vec3>) -> Vec<Vec3> {
    let ridge = [[-5.0, 4.85], [-4.3, 5.35], [-3.3, 5.55], [-2.1, 5.4], [-1.0, 5.15]];
    for (i, [x, y]) in ridge.into_iter().enumerate() {
        for (landmark, sign) in [(17 + i, 1.0), (26 - i, -1.0)] {
            [landmarks[landmark][0], landmarks[landmark][1]] = [sign * x, y];
        }
    }
    landmarks
}

/// Means of four texels.
fn halved(texels: &[[u8; 3]]) -> Vec<[u8; 3]> {
    let at = |x: u32, y: u32| texels[(y * skin::WIDTH + x) as usize];
    (0..WIDTH * HEIGHT)
        .map(|place| {
            let (x, y) = (2 * (place % WIDTH), 2 * (place / WIDTH));
            let four = [at(x, y), at(x + 1, y), at(x, y + 1), at(x + 1, y + 1)];
            std::array::from_fn(|c| (four.iter().map(|t| u32::from(t[c])).sum::<u32>() / 4) as u8)
        })
        .collect()
}

/// Draws and prepares the person of a seed at a time of life.
pub(crate) fn prepare(
    assets: &Arc<MakeHuman>,
    extra: &Lifelike,
    seed: u64,
    moment: Moment,
) -> Result<(MakeHumanHead, Appearance)> {
    let traits = Traits::draw(seed, moment);
    let neutral = shape(assets, &traits, &mut Traits::shape_rng(seed))?;
    let (mut life, mut now) = (traits.life_rng(0), traits.now_rng(0));
    let line = Hairline::draw(&mut traits.life_rng(1), &traits);
    let brows = BrowForm::draw(&mut traits.life_rng(2), &traits);
    let lashes = life.random_range(0..assets.lashes.len());
    let teeth_shape = life.random_range(0..assets.teeth.len().max(1));
    let wear = Headwear::draw(&mut traits.now_rng(3), traits.male);
    let mut cut = Haircut::draw(&mut traits.now_rng(1), &traits);
    let made = wear.is_none() && traits.baldness < 0.15 && now.random::<f32>() < 0.22;
    let style = made
        .then(|| assets.draw_hair_style(&mut now, traits.male, traits.curl * traits.origin[0]))
        .flatten();
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
    let texture = paint(assets, extra, &traits, &painter, &mut life);

    let origin = pivot(&neutral);
    let mut layers = vec![Layer {
        texture: Some(Arc::new(texture)),
        relief: RELIEF,
        ..Layer::new(assets.body.clone(), 0, [1.0; 3], Surface::Skin)
    }];
    let mut vertices = assets.drawn.len();
    let mut part = |part: &FittedPart, texture: Option<Arc<Texture>>, tint: Vec3, surface: Surface| {
        layers.push(part.layer(vertices, texture, tint, surface));
        vertices += part.clothes.anchors.len();
    };
    let (iris, tint) = iris(traits.iris, assets.irises.len());
    let iris = match &extra.dark_brown {
        Some(dark) if traits.iris[0] < 85.0 && traits.iris[0] > 1.35 * traits.iris[2] => dark.clone(),
        _ => assets.irises[iris].clone(),
    };
    part(&assets.eyes, Some(iris), tint, Surface::Eye);
    let lash = &assets.lashes[lashes];
    let thin = extra.lashes[lashes][usize::from(traits.make_up.lashes > 0.3)].clone();
    part(lash, thin, lash.tint([0.012, 0.008, 0.007]), Surface::Strand);
    let teeth = (!assets.teeth.is_empty()).then_some(teeth_shape);
    if let Some(teeth) = teeth {
        let white = 1.0 - 0.15 * traits.wrinkles;
        part(
            &assets.teeth[teeth],
            None,
            [1.2 * white, 1.12 * white, 0.98 * white],
            Surface::Mouth,
        );
    }
    if let Some(tongue) = &assets.tongue {
        part(tongue, None, [0.8; 3], Surface::Mouth);
    }
    let mut fixed = Vec::new();
    if let Some(style) = style {
        let style = &assets.hair[style];
        style.clothes.fit(&neutral, &mut fixed);
        part(style, None, style.tint(traits.hair_with_grey()), Surface::Hair);
        for position in &mut fixed {
            *position = to_centimetres(*position, origin);
        }
    }
    let mut head = MakeHumanHead {
        assets: assets.clone(),
        races: traits.origin,
        pivot: origin,
        neutral,
        brows: None,
        lashes,
        teeth,
        fixed,
    };
    let bare = head.shape(&[0.0; 12], [0.0; 2])?;
    let own = &bare.positions[..assets.drawn.len()];
    let surface = RadiusMap::new(own.iter().copied());
    if let Some(wear) = wear {
        let (topology, cloth) = wear.mesh(&surface);
        let first = bare.positions.len();
        layers.push(Layer::sheet(topology, first, wear.colour, Surface::Cloth));
        head.fixed.extend(cloth);
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
        triangles: vec![assets.body.triangles.as_slice()],
        mean: &extra.centred,
        own,
    };
    let locks = growth.grow(&ground, &surface);
    Ok((
        head,
        Appearance {
            layers,
            look,
            mean_points: extra.map.landmarks.clone(),
            hair: None,
            skin_vertices: assets.drawn.len(),
            locks,
            style: Style::Lifelike,
            hair_gloss: cut.gloss,
            glasses: Some(traits.glasses),
        },
    ))
}

/// The neutral shape in decimetres, helpers included.
fn shape(assets: &MakeHuman, traits: &Traits, rng: &mut ChaCha8Rng) -> Result<Vec<Vec3>> {
    let age = traits.age();
    let mut shape = macro_shape(assets, &traits.origin, traits.masculine, age, traits.weight)?;
    for axis in &assets.identity {
        let strong = ["nose", "mouth", "chin", "cheek", "l-eye", "eye", "forehead"];
        let factor = if strong.iter().any(|part| axis.name.starts_with(part)) {
            0.85
        } else {
            0.75
        };
        // Corners of mouths that lie high make smiles pointed.
        let shift = if axis.name == "mouth-angles-up-down" { -0.2 } else { 0.0 };
        axis.apply(
            (shift + factor * draw_axis(rng, &axis.name)).clamp(-1.0, 1.0),
            &mut shape,
        );
    }
    for target in &assets.asymmetry {
        target.apply((0.1 * normal(rng)).clamp(0.0, 0.3), &mut shape);
    }
    let variation = Variation::draw(traits);
    let origin = pivot(&assets.average);
    for (position, &middle) in shape.iter_mut().zip(&assets.average) {
        *position = fused(*position, variation.movement(to_centimetres(middle, origin)), 0.1);
    }
    for axis in &assets.neck {
        axis.apply((0.3 * normal(rng)).clamp(-0.8, 0.8), &mut shape);
    }
    Ok(shape)
}

/// The skin: two painted ones blended, brought to the person's colour, and everything that is painted over them.
fn paint(assets: &MakeHuman, extra: &Lifelike, traits: &Traits, painter: &Painter, life: &mut ChaCha8Rng) -> Texture {
    let age = traits.age();
    // The painted dark skins go with much pigment.
    let dark = [traits.pigment, 0.0, 0.0];
    let ([first, second], share, _) = draw_skin(life, assets, &dark, traits.male, age);
    let middles = [first, second].map(|i| extra.skins[i].1);
    // Light and dark skins do not mix.
    let alike = (middles[0][1] / middles[1][1]).ln().abs() < 0.4;
    let share = if alike { share } else { 0.0 };
    let (first, second) = (&extra.skins[first].0, &extra.skins[second].0);
    let brightness = |colour: Vec3| 0.3 * colour[0] + 0.6 * colour[1] + 0.1 * colour[2];
    // Differences from the skin's own colour, those of hue at half their strength.
    let relative = |texel: [u8; 3], middle: Vec3| -> Vec3 {
        let ratio = brightness(texel.map(f32::from)) / brightness(middle);
        std::array::from_fn(|c| 0.5 * (f32::from(texel[c]) / middle[c] + ratio))
    };
    let blend = |place: usize| -> Vec3 {
        let (a, b) = (relative(first[place], middles[0]), relative(second[place], middles[1]));
        std::array::from_fn(|c| (a[c] + (b[c] - a[c]) * share) * traits.skin[c])
    };
    let mut texels: Vec<[u8; 4]> = (0..(WIDTH * HEIGHT) as usize)
        .map(|place| {
            let [r, g, b] = blend(place).map(|c| c.clamp(0.0, 255.0) as u8);
            [r, g, b, 128]
        })
        .collect();
    for texel in &extra.texels {
        let place = texel.place as usize;
        texels[place] = painter.texel(texel, WIDTH, blend(place), true);
    }
    skin::texture(texels, WIDTH, HEIGHT)
}

/// A lighter brown iris made dark brown: the dark one is painted red. Whites are left alone.
fn dark_brown(texture: &Texture) -> Texture {
    let mut dark = texture.clone();
    for [r, g, b, _] in dark.levels.iter_mut().flat_map(|level| &mut level.texels) {
        let coloured = (f32::from(*r) - f32::from(*b) - 15.0) / 30.0;
        let share = 1.0 - 0.6 * coloured.clamp(0.0, 1.0);
        *r = (f32::from(*r) * share * 0.95) as u8;
        *g = (f32::from(*g) * share) as u8;
        *b = (f32::from(*b) * share) as u8;
    }
    dark
}

/// The painted iris nearest to a colour (sRGB 0…255), and a tint.
fn iris([r, g, b]: Vec3, count: usize) -> (usize, Vec3) {
    // By name: blue, bluegreen, brown, brownlight, deepblue, green, grey, ice, lightblue.
    let wanted = if r > 1.35 * b {
        BROWN
    } else if g > r + 6.0 && g > b + 6.0 {
        5
    } else if b > r + 20.0 {
        if r > 100.0 {
            8
        } else {
            0
        }
    } else {
        6
    };
    let bright = 0.85 + (r + g + b) / 2500.0;
    (wanted.min(count - 1), [0.92, 0.9, 0.87].map(|c: f32| c * bright))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn irises_are_named() {
        assert_eq!(iris([46.0, 28.0, 18.0], 9).0, 3);
        assert_eq!(iris([110.0, 80.0, 44.0], 9).0, 3);
        assert_eq!(iris([78.0, 110.0, 148.0], 9).0, 0);
        assert_eq!(iris([98.0, 112.0, 76.0], 9).0, 5);
        assert_eq!(iris([118.0, 126.0, 132.0], 3).0, 2);
    }
}
