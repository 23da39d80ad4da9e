//! From what lifelike photos are drawn: poses, faces that people make, where they look, light, background, faults.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::light;
use crate::render::augment::Augmentation;
use crate::render::distribution::{studio_light, PhotoDistribution};
use crate::render::look::normal;
use crate::render::photo::{Background, PhotoSpec};
use omniid_minihost::View;

/// Draws a photo of a lifelike person.
pub(crate) fn sample(from: &PhotoDistribution, rng: &mut ChaCha8Rng) -> PhotoSpec {
    let mut view = from.pose(rng);
    if rng.random::<f32>() < from.expression {
        view.expression = expression(rng);
    }
    view.gaze = gaze(rng, &view, from.gaze);
    view.glasses = f32::from(rng.random::<f32>() < from.glasses);
    let framing = from.framing(rng);
    let distance = if from.studio {
        90.0
    } else {
        1.0 / rng.random_range(1.0 / 220.0f32..1.0 / 45.0)
    };
    let lighting = if from.studio {
        light::exposed(studio_light(rng), rng.random_range(0.9..1.1))
    } else {
        light::any(rng)
    };
    view.light = lighting.harmonics();
    let background = if from.studio {
        view.background = wall(rng);
        Background::Plain
    } else {
        Background::Scene { seed: rng.random() }
    };
    PhotoSpec {
        view,
        distance,
        framing,
        lighting,
        background,
        hair_colour: None,
        augmentation: if from.studio {
            Augmentation::default()
        } else {
            faults(rng)
        },
    }
}

/// The upper and the lower half of a plain wall: greys with a little colour.
fn wall(rng: &mut ChaCha8Rng) -> [[f32; 3]; 2] {
    let grey: f32 = rng.random_range(0.1..0.92);
    let vivid = 0.03 + 0.1 * rng.random::<f32>().powi(3);
    let upper: [f32; 3] = std::array::from_fn(|_| (grey + vivid * normal(rng)).clamp(0.05, 0.95));
    let change = 0.1 * normal(rng);
    [upper, upper.map(|c| (c + change).clamp(0.05, 0.95))]
}

/// Mostly into the lens, whatever the head does; else about where the head points.
fn gaze(rng: &mut ChaCha8Rng, view: &View, deviation: f32) -> [f32; 2] {
    let error = [normal(rng), normal(rng)];
    if deviation <= 0.0 {
        return [0.0; 2];
    }
    if rng.random::<f32>() < 0.75 {
        [
            (-0.9 * view.yaw + 0.04 * error[0]).clamp(-0.6, 0.6),
            (-0.9 * view.pitch + 0.03 * error[1]).clamp(-0.35, 0.35),
        ]
    } else {
        [
            (deviation * error[0]).clamp(-0.45, 0.45),
            (0.6 * deviation * error[1]).clamp(-0.3, 0.3),
        ]
    }
}

/// Smiles of all strengths, talking, and what else faces do, in channels of [`omniid_minihost::EXPRESSIONS`].
fn expression(rng: &mut ChaCha8Rng) -> [f32; 12] {
    const SMILE: usize = 0;
    const FROWN: usize = 1;
    const JAW: usize = 2;
    const PUCKER: usize = 3;
    const BROWS_UP: usize = 4;
    const BROWS_DOWN: usize = 5;
    const CLOSED: usize = 6;
    const SQUINT: usize = 7;
    let mut channels = [0.0; 12];
    let kind: f32 = rng.random();
    if kind < 0.62 {
        // From a hint to a laugh.
        let strength = 0.1 + 0.9 * rng.random::<f32>();
        channels[SMILE] = strength;
        channels[SQUINT] = 0.3 * strength * rng.random::<f32>();
        if strength > 0.45 && rng.random_bool(0.5) {
            channels[JAW] = rng.random_range(0.02..0.18);
        }
    } else if kind < 0.76 {
        // Talking.
        channels[JAW] = 0.03 + 0.3 * rng.random::<f32>().powf(1.5);
        channels[PUCKER] = 0.3 * rng.random::<f32>().powi(2);
        channels[BROWS_UP] = 0.4 * rng.random::<f32>().powi(2);
        channels[SMILE] = 0.3 * rng.random::<f32>().powi(2);
    } else if kind < 0.86 {
        channels[BROWS_UP] = rng.random_range(0.05..0.5);
    } else if kind < 0.94 {
        channels[BROWS_DOWN] = rng.random_range(0.1..0.6);
        channels[FROWN] = 0.4 * rng.random::<f32>();
        channels[SQUINT] = 0.3 * rng.random::<f32>();
    } else {
        // Anything, also far.
        let channel = rng.random_range(0..12);
        channels[channel] = rng.random_range(0.2..0.9);
        channels[JAW] = f32::max(channels[JAW], 0.6 * rng.random::<f32>().powi(3));
    }
    if rng.random_bool(0.03) {
        channels[CLOSED] = rng.random_range(0.5..1.0);
    }
    channels
}

/// What lenses, sensors, processing and files do.
fn faults(rng: &mut ChaCha8Rng) -> Augmentation {
    let gain = (0.08 * normal(rng)).exp();
    let soft = rng.random_bool(0.2);
    Augmentation {
        blur: if soft {
            0.2 + 0.8 * rng.random::<f32>().powi(2)
        } else {
            0.0
        },
        gain: std::array::from_fn(|_| gain * (0.035 * normal(rng)).exp()),
        gamma: (0.09 * normal(rng)).exp(),
        grey: f32::from(rng.random_bool(0.15)),
        noise: if rng.random_bool(0.3) {
            rng.random_range(0.0f32..0.12).powi(2) + 0.003
        } else {
            0.0
        },
        sharpen: if !soft && rng.random_bool(0.5) {
            rng.random_range(0.1..0.6)
        } else {
            0.0
        },
        jpeg: rng.random_bool(0.4).then(|| rng.random_range(45..95)),
        seed: rng.random(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Style;
    use rand::SeedableRng;

    #[test]
    fn most_people_look_into_the_lens_and_photos_repeat() {
        let from = PhotoDistribution::input().styled(Style::Lifelike);
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let photos: Vec<PhotoSpec> = (0..400).map(|_| from.sample(&mut rng)).collect();
        let looking = photos
            .iter()
            .filter(|p| (p.view.yaw + p.view.gaze[0]).abs() < 0.2)
            .count();
        assert!(looking > 220, "{looking}");
        let smiling = photos.iter().filter(|p| p.view.expression[0] > 0.1).count();
        assert!((80..280).contains(&smiling), "{smiling}");
        let again = from.sample(&mut ChaCha8Rng::seed_from_u64(5));
        assert_eq!(again, photos[0]);
        assert!(photos.iter().all(|p| matches!(p.background, Background::Scene { .. })));
        let studio = PhotoDistribution::frontal().styled(Style::Lifelike).sample(&mut rng);
        assert_eq!((studio.background, studio.view.gaze), (Background::Plain, [0.0; 2]));
    }
}
