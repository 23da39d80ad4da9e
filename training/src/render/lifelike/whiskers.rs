//! Beards: where they grow, and their hairs.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::lock_texture::COLUMNS;
use super::locks::{along_surface, Strand};
use super::scatter::{Ground, Root};
use super::traits::BeardCut;
use crate::render::look::normal;
use crate::render::vector::{add, fused, normalize, scale, smoothstep, Vec3};

/// Points of a hair.
const ROWS: usize = 4;

/// Membership of a place of an average head (centimetres from the pivot) in moustache, chin and cheeks, each 0…1. The
/// three add up to the whole beard.
pub(crate) fn parts(p: Vec3) -> [f32; 3] {
    let x = p[0].abs();
    if p[1] > 2.0 || p[1] < -10.5 || p[2] < 1.0 {
        return [0.0; 3];
    }
    // Lips stay bare.
    let lips = ((x / 2.75).powi(2) + ((p[1] + 2.75) / 0.95).powi(2)).sqrt();
    let bare = smoothstep(0.95, 1.12, lips);
    // The upper edge: under the nose, down beside the mouth, up to the ears.
    let edge = -1.35 - 1.4 * smoothstep(1.7, 3.4, x) + 4.2 * smoothstep(4.2, 7.2, x);
    let below = smoothstep(edge + 0.5, edge - 0.5, p[1]);
    let throat = smoothstep(-9.8, -7.8, p[1]);
    let full = below * throat * bare;
    let moustache = smoothstep(3.6, 3.0, x) * smoothstep(-3.3, -2.6, p[1]);
    let chin = (1.0 - moustache) * smoothstep(3.3, 2.5, x);
    [full * moustache, full * chin, full * (1.0 - moustache - chin).max(0.0)]
}

/// Cover of the skin by shaved or growing hair, 0…1.
pub(crate) fn shadow(cut: &BeardCut, p: Vec3) -> f32 {
    let part = parts(p);
    let whole: f32 = part.iter().sum();
    let grown = |length: f32| smoothstep(0.0, 0.6, length);
    let under = part[0] * grown(cut.moustache) + part[1] * grown(cut.chin) + part[2] * grown(cut.cheeks);
    (0.38 * cut.shadow * whole).max(0.75 * cut.density * under)
}

/// The hairs of a beard.
pub(crate) fn grow(ground: &Ground, cut: &BeardCut, curl: f32, rng: &mut ChaCha8Rng) -> Vec<Strand> {
    let lengths = [cut.moustache, cut.chin, cut.cheeks];
    let longest = lengths.iter().fold(0.0f32, |a, &b| a.max(b));
    if longest < 0.15 {
        return Vec::new();
    }
    let width = (0.06 + 0.06 * longest).clamp(0.07, 0.26);
    let per_area = (1.1 / width).min(11.0) * cut.density / (0.6 + 0.3 * longest);
    let grown = lengths.map(|length| smoothstep(0.05, 0.2, length));
    let roots = ground.scatter(rng, per_area, |p| {
        let part = parts(p);
        (part[0] * grown[0] + part[1] * grown[1] + part[2] * grown[2]).powf(0.8)
    });
    let mut hair = |root: Root| {
        let part = parts(root.mean);
        let sum: f32 = part.iter().sum::<f32>().max(1e-3);
        let length = (0..3).map(|i| part[i] * lengths[i]).sum::<f32>() / sum;
        let length = length * rng.random_range(0.65..1.15) * (0.4 + 0.6 * sum.min(1.0));
        // Down, and outwards from the middle of the moustache.
        let aside = if part[0] > 0.5 * sum { 0.9 } else { 0.2 };
        let wanted = [
            aside * root.mean[0].signum() * (root.mean[0].abs() / 2.0).min(1.0),
            -1.0,
            0.15,
        ];
        let flow = along_surface(wanted, root.normal);
        let lift = 0.3 + 0.25 * rng.random::<f32>();
        let turn = [normal(rng), normal(rng), normal(rng)].map(|n| (0.15 + 0.25 * curl) * n);
        let mut direction = normalize(add(add(scale(flow, 1.0 - lift), scale(root.normal, lift)), turn));
        let mut place = fused(root.position, root.normal, -0.02);
        let mut points = vec![place];
        let step = length / (ROWS - 1) as f32;
        for _ in 1..ROWS {
            place = fused(place, direction, step);
            let bend = [normal(rng), normal(rng), normal(rng)].map(|n| 0.3 * curl * n);
            direction = normalize(add(fused(direction, [0.0, -1.0, 0.0], 0.3 * step.min(1.0)), bend));
            points.push(place);
        }
        Strand {
            root,
            points,
            width: width * rng.random_range(0.7..1.3),
            out: vec![root.normal; ROWS],
            twist: 0.5 * normal(rng),
            column: rng.random_range(0..COLUMNS),
        }
    };
    roots.into_iter().map(&mut hair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lips_cheekbones_and_foreheads_stay_bare() {
        for bare in [[0.0, -2.75, 11.0], [4.0, 1.5, 8.5], [0.0, 7.0, 10.0], [0.0, 0.5, 13.0]] {
            assert_eq!(parts(bare).iter().sum::<f32>(), 0.0, "{bare:?}");
        }
        let main = |p: Vec3| {
            let part = parts(p);
            (0..3).fold(0, |best, i| if part[i] > part[best] { i } else { best })
        };
        assert_eq!(main([0.9, -1.75, 11.3]), 0);
        assert_eq!(main([0.5, -6.0, 10.0]), 1);
        assert_eq!(main([6.0, -3.5, 5.0]), 2);
        for i in 0..200 {
            let p = [i as f32 * 0.07 - 7.0, -(i % 17) as f32 * 0.6, 6.0];
            assert!(parts(p).iter().all(|v| (0.0..=1.0).contains(v)));
        }
    }

    #[test]
    fn stubble_is_short_and_shaved_skin_has_no_hair() {
        use rand::SeedableRng;
        let corners = [[-2.0, -5.0, 10.0], [2.0, -5.0, 10.0], [0.0, -7.0, 9.5]];
        let triangles = [[0, 2, 1]];
        let ground = Ground {
            triangles: vec![&triangles[..]],
            mean: &corners,
            own: &corners,
        };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let cut = BeardCut {
            chin: 0.3,
            density: 1.0,
            ..BeardCut::default()
        };
        let hairs = grow(&ground, &cut, 0.2, &mut rng);
        assert!(hairs.len() > 10);
        for hair in &hairs {
            let way = crate::render::vector::length(crate::render::vector::sub(hair.points[ROWS - 1], hair.points[0]));
            assert!(way < 0.4, "{way}");
        }
        assert!(grow(
            &ground,
            &BeardCut {
                shadow: 1.0,
                ..cut_off()
            },
            0.2,
            &mut rng
        )
        .is_empty());
        assert!(
            shadow(
                &BeardCut {
                    shadow: 1.0,
                    ..cut_off()
                },
                [0.0, -6.0, 10.0]
            ) > 0.2
        );
    }

    fn cut_off() -> BeardCut {
        BeardCut::default()
    }
}
