//! Who a MakeHuman person is: shape weights and choices of parts, drawn from a seed.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::assets::{MakeHuman, GENDERS, RACES};
use crate::render::look::{normal, pick, Look};
use crate::render::vector::{smoothstep, Vec3};
use omniid::Result;

/// Everything that a MakeHuman person keeps from photo to photo.
pub(crate) struct Identity {
    pub races: [f32; 3],
    pub male: f32,
    pub age: f32,
    /// −1 thin, 1 heavy.
    pub weight: f32,
    pub axes: Vec<f32>,
    pub asymmetry: Vec<f32>,
    pub neck: Vec<f32>,
    pub skins: [usize; 2],
    /// Share of the second skin.
    pub skin_mix: f32,
    /// Linear factor on the skin's colour.
    pub tone: Vec3,
    pub brows: usize,
    pub lashes: usize,
    pub iris: usize,
    pub iris_tint: Vec3,
    pub teeth: usize,
    pub hair: Option<usize>,
    pub look: Look,
}

impl Identity {
    pub fn draw(rng: &mut ChaCha8Rng, assets: &MakeHuman) -> Self {
        let mut races = [0.0; 3].map(|_: f32| (-(1.0 - rng.random::<f32>()).ln()).powf(1.6) + 0.01);
        let sum: f32 = races.iter().sum();
        races.iter_mut().for_each(|r| *r /= sum);
        let is_male = rng.random_bool(0.5);
        let male = if is_male {
            rng.random_range(0.65..1.0)
        } else {
            rng.random_range(0.0..0.35)
        };
        let age = rng.random::<f32>().powf(1.7);
        let weight = (0.45 * normal(rng)).clamp(-1.0, 1.0);
        let axes = assets.identity.iter().map(|axis| draw_axis(rng, &axis.name)).collect();
        let asymmetry = assets
            .asymmetry
            .iter()
            .map(|_| (0.18 * normal(rng)).clamp(0.0, 0.5))
            .collect();
        let neck = assets
            .neck
            .iter()
            .map(|_| (0.3 * normal(rng)).clamp(-0.8, 0.8))
            .collect();
        let (skins, skin_mix, tone) = draw_skin(rng, assets, &races, is_male, age);
        let dark = (races[0] + races[1] + 0.15).min(1.0);
        let look = Look::draw(rng, is_male, age, dark);
        Self {
            hair: draw_hair(rng, assets, is_male, age, races[0]),
            brows: rng.random_range(0..assets.brows.len()),
            lashes: rng.random_range(0..assets.lashes.len()),
            iris: draw_iris(rng, assets, dark),
            iris_tint: std::array::from_fn(|_| (0.15 * normal(rng)).exp()),
            teeth: rng.random_range(0..assets.teeth.len().max(1)),
            races,
            male,
            age,
            weight,
            axes,
            asymmetry,
            neck,
            skins,
            skin_mix,
            tone,
            look,
        }
    }

    /// The neutral shape in decimetres, helpers included.
    pub fn shape(&self, assets: &MakeHuman) -> Result<Vec<Vec3>> {
        let mut shape = macro_shape(assets, &self.races, self.male, self.age, self.weight)?;
        for (axis, &weight) in assets.identity.iter().zip(&self.axes) {
            axis.apply(weight, &mut shape);
        }
        for (target, &weight) in assets.asymmetry.iter().zip(&self.asymmetry) {
            target.apply(weight, &mut shape);
        }
        for (axis, &weight) in assets.neck.iter().zip(&self.neck) {
            axis.apply(weight, &mut shape);
        }
        Ok(shape)
    }
}

/// A head without any peculiarity, in decimetres, helpers included. `male` and `age` (25 to 90 years) 0…1, `weight`
/// −1…1.
pub(crate) fn macro_shape(assets: &MakeHuman, races: &[f32; 3], male: f32, age: f32, weight: f32) -> Result<Vec<Vec3>> {
    let mut shape = assets.base.clone();
    let genders = [1.0 - male, male];
    let ages = [("young", 1.0 - age), ("old", age)];
    let build = if weight < 0.0 { "minweight" } else { "maxweight" };
    for (gender, &gender_weight) in GENDERS.iter().zip(&genders) {
        for (age, age_weight) in ages {
            let share = gender_weight * age_weight;
            for (race, race_weight) in RACES.iter().zip(races) {
                assets
                    .macro_target(&format!("{race}-{gender}-{age}"))?
                    .apply(share * race_weight, &mut shape);
            }
            assets
                .macro_target(&format!("universal-{gender}-{age}-averagemuscle-{build}"))?
                .apply(share * weight.abs(), &mut shape);
        }
    }
    Ok(shape)
}

/// The weight of an identity axis: normal, narrower where the target is strong.
pub(super) fn draw_axis(rng: &mut ChaCha8Rng, name: &str) -> f32 {
    // Without these shifts neutral faces look cross.
    let shift = match name {
        "eyebrows-angle-up-down" => 0.3,
        "mouth-angles-up-down" => 0.15,
        _ => 0.0,
    };
    let is = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    let sigma = if is(&["head-trans", "head-scale", "head-age"]) {
        0.12
    } else if is(&["ear", "head-", "eyebrows", "mouth-angles"]) {
        0.2
    } else if has(&["trans", "push", "corner"]) {
        0.22
    } else {
        0.34
    };
    (shift + sigma * normal(rng)).clamp(-0.9, 0.9)
}

/// Two skins that suit race, sex and age, how to mix them, and a factor on their colour.
pub(super) fn draw_skin(
    rng: &mut ChaCha8Rng,
    assets: &MakeHuman,
    races: &[f32; 3],
    male: bool,
    age: f32,
) -> ([usize; 2], f32, Vec3) {
    let dark = races[0] + 0.15 * normal(rng) > 0.5;
    let years = age + 0.12 * normal(rng);
    let group = if years < 0.3 {
        "young"
    } else if years < 0.6 {
        "middleage"
    } else {
        "old"
    };
    let gender = if male { "_male" } else { "_female" };
    let suits = |name: &str, ages: bool| {
        name.contains(gender)
            && name.contains("darkskinned") == dark
            && (!ages || name.starts_with(group))
            // Those two carry make-up and a painted collar.
            && (!name.contains("special_suit") || !male)
    };
    let mut chosen: Vec<usize> = (0..assets.skins.len())
        .filter(|&i| suits(&assets.skins[i].name, true))
        .collect();
    if chosen.is_empty() {
        chosen = (0..assets.skins.len())
            .filter(|&i| suits(&assets.skins[i].name, false))
            .collect();
    }
    if chosen.is_empty() {
        chosen = (0..assets.skins.len()).collect();
    }
    let first = *pick(rng, &chosen);
    // The second may be of any age and tone of the same sex, with a smaller share.
    let others: Vec<usize> = (0..assets.skins.len())
        .filter(|&i| assets.skins[i].name.contains(gender) && !assets.skins[i].name.contains("special_suit"))
        .collect();
    let (second, mix) = if others.is_empty() || rng.random_bool(0.4) {
        (*pick(rng, &chosen), rng.random_range(0.0..1.0))
    } else {
        (*pick(rng, &others), rng.random_range(0.0..0.4))
    };
    let lightness = (0.2 * normal(rng)).clamp(-0.45, 0.45);
    let hue = 0.05 * normal(rng);
    let tone = [
        (lightness + 0.6 * hue).exp(),
        lightness.exp(),
        (lightness - 1.2 * hue + 0.05 * normal(rng)).exp(),
    ];
    ([first, second], mix, tone)
}

fn draw_hair(rng: &mut ChaCha8Rng, assets: &MakeHuman, male: bool, age: f32, african: f32) -> Option<usize> {
    let bald = if male {
        0.10 + 0.3 * smoothstep(0.2, 0.8, age)
    } else {
        0.02
    };
    if assets.hair.is_empty() || rng.random::<f32>() < bald {
        return None;
    }
    assets.draw_hair_style(rng, male, african)
}

/// Brown eyes go with dark hair mostly.
fn draw_iris(rng: &mut ChaCha8Rng, assets: &MakeHuman, dark: f32) -> usize {
    let count = assets.irises.len();
    // By name: blue, bluegreen, brown, brownlight, …
    let brown: Vec<usize> = [2, 3].into_iter().filter(|&i| i < count).collect();
    if !brown.is_empty() && rng.random::<f32>() < 0.25 + 0.7 * dark {
        *pick(rng, &brown)
    } else {
        rng.random_range(0..count)
    }
}
