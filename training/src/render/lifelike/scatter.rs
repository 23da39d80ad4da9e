//! Roots of hairs on the skin.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::render::vector::{add, cross, length, normalize, scale, sub, Vec3};

/// The skin that hair grows on. Its vertices are the first of the head's.
pub(crate) struct Ground<'a> {
    pub triangles: Vec<&'a [[u32; 3]]>,
    /// The family's average head, centimetres from the pivot: says where something grows.
    pub mean: &'a [Vec3],
    /// The person's own neutral head, centimetres from the pivot.
    pub own: &'a [Vec3],
}

/// Where a lock is rooted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Root {
    pub vertices: [u32; 3],
    pub weights: [f32; 3],
    /// The place on the average head.
    pub mean: Vec3,
    /// The place on the person's neutral head, and the skin's direction there.
    pub position: Vec3,
    pub normal: Vec3,
}

impl Ground<'_> {
    /// Random roots, `per_area` per square centimetre where `density` (a function of the place on the average head) is
    /// 1, fewer where it is less.
    pub fn scatter(&self, rng: &mut ChaCha8Rng, per_area: f32, density: impl Fn(Vec3) -> f32) -> Vec<Root> {
        let mut roots = Vec::new();
        for triangle in self.triangles.iter().flat_map(|part| part.iter()) {
            let mean = triangle.map(|i| self.mean[i as usize]);
            let centre = scale(add(add(mean[0], mean[1]), mean[2]), 1.0 / 3.0);
            if density(centre) <= 0.0 && mean.iter().all(|&corner| density(corner) <= 0.0) {
                continue;
            }
            let own = triangle.map(|i| self.own[i as usize]);
            let normal = cross(sub(own[1], own[0]), sub(own[2], own[0]));
            let area = 0.5 * length(normal);
            let expected = area * per_area + rng.random::<f32>();
            for _ in 0..expected as usize {
                let (mut a, mut b) = (rng.random::<f32>(), rng.random::<f32>());
                if a + b > 1.0 {
                    (a, b) = (1.0 - a, 1.0 - b);
                }
                let weights = [1.0 - a - b, a, b];
                let place = |corners: [Vec3; 3]| -> Vec3 {
                    std::array::from_fn(|k| (0..3).map(|i| corners[i][k] * weights[i]).sum())
                };
                let place_on_mean = place(mean);
                if rng.random::<f32>() < density(place_on_mean) {
                    roots.push(Root {
                        vertices: *triangle,
                        weights,
                        mean: place_on_mean,
                        position: place(own),
                        normal: normalize(normal),
                    });
                }
            }
        }
        roots
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn roots_follow_area_and_density() {
        let corners = [[0.0, 0.0, 0.0], [10.0, 0.0, 0.0], [0.0, 10.0, 0.0], [10.0, 10.0, 0.0]];
        let triangles = [[0, 1, 2], [1, 3, 2]];
        let ground = Ground {
            triangles: vec![&triangles[..]],
            mean: &corners,
            own: &corners,
        };
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let roots = ground.scatter(&mut rng, 20.0, |p| if p[0] < 5.0 { 1.0 } else { 0.25 });
        let left = roots.iter().filter(|root| root.position[0] < 5.0).count() as f32;
        let right = roots.len() as f32 - left;
        assert!(
            (left - 1000.0).abs() < 60.0 && (right - 250.0).abs() < 60.0,
            "{left} {right}"
        );
        for root in &roots {
            assert!(length(sub(root.normal, [0.0, 0.0, 1.0])) < 1e-5);
            let sum: f32 = root.weights.iter().sum();
            assert!((sum - 1.0).abs() < 1e-5);
        }
    }
}
