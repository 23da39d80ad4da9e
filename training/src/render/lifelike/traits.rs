//! Who somebody is, and how they look at one time of their life: traits that go together as in people.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::colours;
use crate::render::look::normal;
use crate::render::vector::{mix, smoothstep, Vec3};

/// A time of a person's life.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Moment {
    /// 0 is the time that others are counted from; each number has its own hair, beard, weight, make-up.
    pub number: u32,
    /// Years by which the other times may lie apart from it, either way.
    pub years: f32,
}

/// Lengths of a beard's parts, centimetres; 0 is shaved.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct BeardCut {
    pub moustache: f32,
    pub chin: f32,
    pub cheeks: f32,
    /// Hairs per area, 0…1.
    pub density: f32,
    /// Dark skin where hair was shaved off, 0…1.
    pub shadow: f32,
}

/// Make-up, each 0…1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct MakeUp {
    pub lips: f32,
    pub lids: f32,
    pub lashes: f32,
    pub cheeks: f32,
    /// Evens out the skin.
    pub foundation: f32,
    /// sRGB 0…255.
    pub lip_colour: Vec3,
    /// sRGB 0…255.
    pub lid_colour: Vec3,
}

/// What stays and what is of a moment.
#[derive(Debug, Clone)]
pub(crate) struct Traits {
    pub male: bool,
    /// 0 feminine shape, 1 masculine shape.
    pub masculine: f32,
    pub years: f32,
    /// Shares of African, Asian and European origin.
    pub origin: [f32; 3],
    /// −1 thin, 1 heavy.
    pub weight: f32,
    /// Pigment of the skin, 0 light, 1 dark.
    pub pigment: f32,
    /// sRGB 0…255 of the skin.
    pub skin: Vec3,
    /// Linear colours of hair that is not grey, and of brows.
    pub hair: Vec3,
    pub brow_colour: Vec3,
    /// Share of grey hairs.
    pub grey: f32,
    pub dyed: bool,
    /// 0 full hair, 1 only a wreath is left.
    pub baldness: f32,
    /// 0 straight, 1 tight curls.
    pub curl: f32,
    /// Hairs per area, 0…1.
    pub fullness: f32,
    pub beard: BeardCut,
    pub make_up: MakeUp,
    /// 0 smooth, 1 deep.
    pub wrinkles: f32,
    pub freckles: f32,
    pub blotches: f32,
    pub gloss: f32,
    /// Whether glasses are usually worn.
    pub glasses: bool,
    /// sRGB 0…255.
    pub iris: Vec3,
    /// Seeds of what is drawn elsewhere: for life, and for the moment.
    pub for_life: u64,
    pub for_now: u64,
}

/// Streams of the random numbers.
const LIFE: u64 = 0;
const SHAPE: u64 = 1;
const MOMENT: u64 = 1000;
const KEY: u64 = 0x6c69_6665_6c69_6b65;

impl Traits {
    /// Random numbers for the shape of the head, which stays.
    pub fn shape_rng(seed: u64) -> ChaCha8Rng {
        stream(seed, SHAPE)
    }

    /// From a young adult, 0, to the oldest people, 1: the age of the artists' heads.
    pub fn age(&self) -> f32 {
        ((self.years - 25.0) / 65.0).clamp(0.0, 1.0)
    }

    /// Mean colour of the hair, grey ones included; linear.
    pub fn hair_with_grey(&self) -> Vec3 {
        mix(self.hair, [0.46, 0.45, 0.43], 0.9 * self.grey)
    }

    /// Random numbers for a part of what stays for life.
    pub fn life_rng(&self, part: u64) -> ChaCha8Rng {
        stream(self.for_life, part)
    }

    /// Random numbers for a part of what is of the moment.
    pub fn now_rng(&self, part: u64) -> ChaCha8Rng {
        stream(self.for_now, part)
    }

    /// The traits of a seed at a moment.
    pub fn draw(seed: u64, moment: Moment) -> Self {
        let mut life = stream(seed, LIFE);
        let mut now = stream(seed, MOMENT + u64::from(moment.number));
        let rng = &mut life;
        let male = rng.random_bool(0.5);
        let masculine = if male {
            1.0 - 0.3 * rng.random::<f32>()
        } else {
            0.3 * rng.random::<f32>()
        };
        let origin = origin(rng);
        let first_years = 18.0 + 58.0 * rng.random::<f32>().powf(1.6);
        let build = (0.42 * normal(rng)).clamp(-0.9, 0.9);
        let pigment = pigment(rng, &origin);
        let natural = colours::hair(rng, &origin, pigment);
        let iris = colours::iris(rng, &origin, pigment);
        let grey_from = 40.0 + 9.0 * normal(rng);
        let bald_until = if male { rng.random_range(0.0f32..1.0) } else { 0.0 };
        let bald_from = rng.random_range(20.0f32..55.0);
        let weathered = 0.75 + 0.5 * rng.random::<f32>();
        let curl = curl(rng, &origin);
        let fullness = 0.7 + 0.3 * rng.random::<f32>();
        let freckled = pigment < 0.3 && rng.random::<f32>() < if natural[0] > 8.0 * natural[2] { 0.55 } else { 0.15 };
        let freckles = if freckled { rng.random_range(0.3..1.0) } else { 0.0 };
        let beard_growth = rng.random_range(0.45f32..1.0) * (1.0 - 0.45 * origin[1]);
        let blotches = rng.random_range(0.3..1.0);
        let gloss = rng.random_range(0.02..0.10);
        let hue = [normal(rng), normal(rng), normal(rng)];
        let brow_tone = rng.random_range(0.25..0.75);
        // Those who need glasses wear them at most times, others hardly ever.
        let short_sighted = if rng.random::<f32>() < 0.2 { 0.6 } else { 0.02 };
        let for_life = rng.random();

        let rng = &mut now;
        let shift = rng.random_range(-1.0f32..1.0) * moment.years;
        let years = if moment.number == 0 {
            first_years
        } else {
            (first_years + shift).clamp(18.0, 85.0)
        };
        let drift = if moment.number == 0 { 0.0 } else { 0.18 * normal(rng) };
        let weight = (build + drift + 0.006 * (years - 40.0).min(25.0)).clamp(-1.0, 1.0);
        let grey = smoothstep(grey_from, grey_from + 26.0, years);
        let dyed = grey > 0.15 && rng.random::<f32>() < if male { 0.06 } else { 0.5 };
        let fashion = rng.random::<f32>() < if male { 0.02 } else { 0.12 };
        let hair = if dyed || fashion {
            colours::dyed(rng, natural)
        } else {
            natural
        };
        let baldness = if male && bald_until > 0.4 {
            (bald_until - 0.4) / 0.6 * smoothstep(bald_from, bald_from + 30.0, years)
        } else {
            0.25 * smoothstep(55.0, 85.0, years) * bald_until.max(0.3)
        };
        let tan = 0.03 * normal(rng);
        let make_up = make_up(rng, male, years);
        let beard = beard(rng, male, beard_growth, years);
        let glasses = rng.random::<f32>() < short_sighted + 0.25 * smoothstep(40.0, 70.0, years);
        let for_now = rng.random();
        Self {
            male,
            masculine,
            years,
            weight,
            pigment,
            skin: colours::skin((pigment + tan).clamp(0.0, 1.0), hue),
            hair,
            brow_colour: mix(natural, [0.55, 0.53, 0.5], 0.55 * grey).map(|c| c * brow_tone),
            grey: if dyed { 0.05 } else { grey },
            dyed,
            baldness,
            curl,
            fullness: fullness * (1.0 - 0.25 * smoothstep(45.0, 85.0, years)),
            beard,
            wrinkles: (smoothstep(26.0, 82.0, years) * weathered).min(1.0),
            freckles,
            blotches: blotches * (0.7 + 0.6 * smoothstep(35.0, 80.0, years)),
            gloss,
            glasses,
            iris,
            origin,
            make_up,
            for_life,
            for_now,
        }
    }
}

fn stream(seed: u64, number: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ KEY);
    rng.set_stream(number);
    rng
}

/// Mostly of one origin.
fn origin(rng: &mut ChaCha8Rng) -> [f32; 3] {
    let often = [0.9f32, 0.9, 1.3];
    let mut shares = often.map(|weight| (weight * -(1.0 - rng.random::<f32>()).ln()).powf(2.4) + 0.005);
    let sum: f32 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= sum);
    shares
}

fn pigment(rng: &mut ChaCha8Rng, origin: &[f32; 3]) -> f32 {
    let mean = 0.74 * origin[0] + 0.32 * origin[1] + 0.17 * origin[2];
    (mean + 0.09 * normal(rng)).clamp(0.0, 1.0)
}

fn curl(rng: &mut ChaCha8Rng, origin: &[f32; 3]) -> f32 {
    let own: f32 = rng.random();
    origin[0] * (0.75 + 0.25 * own) + origin[1] * 0.2 * own.powi(2) + origin[2] * 0.75 * own.powf(1.7)
}

fn make_up(rng: &mut ChaCha8Rng, male: bool, years: f32) -> MakeUp {
    let much = rng.random::<f32>();
    let lips = [
        [176.0, 60.0, 70.0],
        [160.0, 30.0, 45.0],
        [190.0, 95.0, 100.0],
        [120.0, 35.0, 55.0],
        [200.0, 90.0, 80.0],
    ];
    let lids = [
        [90.0, 70.0, 60.0],
        [60.0, 50.0, 55.0],
        [120.0, 90.0, 80.0],
        [80.0, 80.0, 110.0],
    ];
    let lip_colour = lips[rng.random_range(0..lips.len())];
    let lid_colour = lids[rng.random_range(0..lids.len())];
    let mut one = |chance: f32| {
        let strength: f32 = rng.random_range(0.25..1.0);
        if rng.random::<f32>() < chance {
            strength
        } else {
            0.0
        }
    };
    let chance = if male || much < 0.4 {
        0.0
    } else {
        0.85 - 0.004 * (years - 25.0)
    };
    MakeUp {
        lips: 0.7 * one(0.8 * chance),
        lids: 0.7 * one(0.6 * chance),
        lashes: one(chance),
        cheeks: one(0.7 * chance),
        foundation: one(0.7 * chance),
        lip_colour,
        lid_colour,
    }
}

fn beard(rng: &mut ChaCha8Rng, male: bool, growth: f32, years: f32) -> BeardCut {
    let kind: f32 = rng.random();
    let long: f32 = rng.random::<f32>().powi(2);
    let short = rng.random_range(0.25..0.7);
    let shadow = growth * rng.random_range(0.15..0.8);
    if !male {
        return BeardCut::default();
    }
    let cut = |moustache: f32, chin: f32, cheeks: f32| BeardCut {
        moustache,
        chin,
        cheeks,
        density: growth,
        shadow,
    };
    let old = smoothstep(30.0, 65.0, years);
    // Shaved, stubble, moustache, around the mouth, full and short, full and long.
    if kind < 0.42 + 0.08 * old {
        cut(0.0, 0.0, 0.0)
    } else if kind < 0.60 {
        cut(0.22, 0.25, 0.22)
    } else if kind < 0.67 {
        cut(0.7 + 0.5 * long, 0.0, 0.0)
    } else if kind < 0.78 {
        cut(0.5 + 0.3 * long, 0.7 + 1.5 * long, 0.0)
    } else if kind < 0.91 {
        cut(short, short, 0.85 * short)
    } else {
        cut(0.9, 1.6 + 5.0 * long, 1.0 + 1.4 * long)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(moment: Moment) -> Vec<Traits> {
        (0..2000).map(|seed| Traits::draw(seed, moment)).collect()
    }

    fn correlation(pairs: &[(f32, f32)]) -> f32 {
        let count = pairs.len() as f32;
        let (a, b) = pairs.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0, sum.1 + p.1));
        let (a, b) = (a / count, b / count);
        let (mut both, mut first, mut second) = (0.0, 0.0, 0.0);
        for (x, y) in pairs {
            both += (x - a) * (y - b);
            first += (x - a).powi(2);
            second += (y - b).powi(2);
        }
        both / (first * second).sqrt()
    }

    #[test]
    fn what_goes_together_goes_together() {
        let crowd = crowd(Moment::default());
        let of = |pair: fn(&Traits) -> (f32, f32)| correlation(&crowd.iter().map(pair).collect::<Vec<_>>());
        assert!(of(|t| (t.years, t.grey)) > 0.5);
        assert!(of(|t| (t.years, t.wrinkles)) > 0.85);
        // Dark skin and dark hair: brightness falls with pigment.
        assert!(of(|t| (t.pigment, t.skin[1])) < -0.9);
        assert!(of(|t| (t.pigment, t.hair[1])) < -0.15);
        assert!(of(|t| (t.origin[0], t.curl)) > 0.6);
        let women = crowd.iter().filter(|t| !t.male);
        assert!(women.clone().count() > 850 && women.clone().count() < 1150);
        assert!(women
            .clone()
            .all(|t| t.beard == BeardCut::default() && t.masculine <= 0.3));
        let bearded = crowd.iter().filter(|t| t.male && t.beard.cheeks > 0.3).count();
        assert!((100..350).contains(&bearded), "{bearded}");
        assert!(crowd.iter().all(|t| (18.0..=85.0).contains(&t.years)));
        let old = crowd.iter().filter(|t| t.years > 60.0).count();
        assert!(old > 250, "{old}");
    }

    #[test]
    fn another_moment_changes_what_years_change() {
        let (mut hair, mut years) = (0, 0.0f32);
        for seed in 0..200 {
            let first = Traits::draw(seed, Moment::default());
            let later = Traits::draw(seed, Moment { number: 2, years: 20.0 });
            assert_eq!(
                (first.male, first.origin, first.pigment),
                (later.male, later.origin, later.pigment)
            );
            assert_eq!((first.for_life, first.iris), (later.for_life, later.iris));
            assert_ne!(first.for_now, later.for_now);
            years = years.max((first.years - later.years).abs());
            hair += usize::from(first.beard != later.beard || first.hair != later.hair);
        }
        assert!(years > 15.0 && years <= 20.0, "{years}");
        assert!(hair > 50, "{hair}");
    }
}
