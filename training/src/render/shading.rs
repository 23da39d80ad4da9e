//! What is seen at a sample: its colour, and whether it is head or clothes.

use super::camera::Pose;
use super::lifelike::strand_light;
use super::light::LUMINANCE;
use super::mesh::{Shape, Surface};
use super::occlusion::DepthMap;
use super::person::Person;
use super::photo::PhotoSpec;
use super::raster::weights;
use super::shade::{shade, Finish, Sample};
use super::style::Style;
use super::texture::{to_linear, Level};
use super::vector::{dot, fused, mul, normalize, scale, Vec3};

/// A posed person in the light of a photo.
pub(crate) struct Scene<'a> {
    person: &'a Person,
    photo: &'a PhotoSpec,
    pose: &'a Pose,
    shape: &'a Shape,
    posed: &'a [Vec3],
    /// Samples from the left and upper edge, and depth.
    projected: &'a [Vec3],
    /// Samples per centimetre.
    density: f32,
    normals: Vec<Vec3>,
    shadow: Option<DepthMap>,
    finish: Finish,
    /// The layer of dyed hair and its tint.
    dyed: Option<(usize, Vec3)>,
    open_mouth: f32,
}

impl<'a> Scene<'a> {
    pub fn new(
        person: &'a Person,
        photo: &'a PhotoSpec,
        pose: &'a Pose,
        shape: &'a Shape,
        posed: &'a [Vec3],
        projected: &'a [Vec3],
        density: f32,
    ) -> Self {
        let normals = shape
            .positions
            .iter()
            .zip(&shape.normals)
            .map(|(&p, &n)| pose.direction(p, n))
            .collect();
        let shadow = match photo.lighting.lights.first() {
            Some(light) if photo.lighting.shadow => {
                Some(DepthMap::new(light.direction, &person.appearance.layers, posed, 128))
            }
            _ => None,
        };
        let dyed = person.appearance.hair.and_then(|(layer, brightness)| {
            let colour = photo.hair_colour?;
            Some((layer, colour.map(|c| c / brightness)))
        });
        Self {
            person,
            photo,
            pose,
            shape,
            posed,
            projected,
            density,
            normals,
            shadow,
            finish: Finish {
                gloss: person.appearance.look.gloss,
            },
            dyed,
            open_mouth: 0.3 + 0.4 * photo.view.expression[2].min(1.0),
        }
    }

    /// `levels`: the size of each layer's texture that fits the samples.
    pub fn shading<'b>(&'b self, levels: &'b [Option<&'b Level>]) -> Shading<'b> {
        Shading { scene: self, levels }
    }
}

/// Shades samples.
pub(crate) struct Shading<'a> {
    scene: &'a Scene<'a>,
    levels: &'a [Option<&'a Level>],
}

impl Shading<'_> {
    /// Linear colour, and 1 for the head or 2 for clothes, of a triangle of a layer at a sample.
    #[inline(always)]
    pub fn at(&self, index: usize, number: usize, [x, y]: [f32; 2]) -> (Vec3, u8) {
        let scene = self.scene;
        let person = scene.person;
        let layer = &person.appearance.layers[index];
        let corners = layer.topology.triangles[number].map(|i| (i + layer.first_vertex) as usize);
        let w = weights(corners.map(|i| scene.projected[i]), x, y);
        let mut normal = normalize(interpolate3(corners.map(|i| scene.normals[i]), w));
        let is_hair = matches!(layer.surface, Surface::Hair | Surface::Lock | Surface::Whisker);
        if layer.two_sided && normal[2] < 0.0 && !is_hair {
            normal = scale(normal, -1.0);
        }
        if let (true, Some(level)) = (layer.relief > 0.0, self.levels[index]) {
            let uvs = layer.topology.uv_triangles[number].map(|i| layer.topology.uvs[i as usize]);
            let slope = slope(level, uvs, corners.map(|i| scene.projected[i]), w, [x, y]);
            normal = tilted(normal, slope, layer.relief * scene.density);
        }
        let mut surface = layer.surface;
        let cloth = interpolate1(corners.map(|i| person.cloth[i]), w);
        let mut tint = layer.tint;
        if let Some((hair, colour)) = scene.dyed {
            if hair == index {
                tint = colour;
            }
        }
        let albedo = if cloth > 0.0 {
            surface = Surface::Cloth;
            person.appearance.look.cloth
        } else if let Some(level) = self.levels[index] {
            let uvs = layer.topology.uv_triangles[number].map(|i| layer.topology.uvs[i as usize]);
            let texel = level.sample(interpolate2(uvs, w));
            let texel = [to_linear(texel[0]), to_linear(texel[1]), to_linear(texel[2])];
            if matches!(surface, Surface::Hair | Surface::Strand) {
                scale(tint, dot(texel, LUMINANCE)).map(|c| c.min(0.9))
            } else {
                mul(texel, tint)
            }
        } else {
            tint
        };
        let lit = match &scene.shadow {
            Some(map) => {
                // A little off the surface, so that it does not shade itself.
                let position = interpolate3(corners.map(|i| scene.posed[i]), w);
                map.lit(fused(position, normal, 0.45), 0.3)
            }
            None => 1.0,
        };
        let mut openness = interpolate1(corners.map(|i| person.openness[i]), w);
        if surface == Surface::Mouth {
            // Measured with the mouth shut; they are drawn when it is open.
            openness = 0.25 + 0.75 * openness.max(scene.open_mouth);
        }
        if person.style() == Style::Lifelike {
            openness = match surface {
                Surface::Skin => bounced(openness, dot(albedo, LUMINANCE)),
                // Lids hide it from the coarse maps that openness is measured with.
                Surface::Eye => 0.55 + 0.45 * openness,
                Surface::Mouth => 0.4 + 0.6 * openness,
                _ => openness,
            };
        }
        let lighting = &scene.photo.lighting;
        if matches!(surface, Surface::Lock | Surface::Whisker) {
            let (first, tangents) = &person.tangents;
            let tangent = interpolate3(corners.map(|i| tangents[i - first]), w);
            let position = interpolate3(corners.map(|i| scene.shape.positions[i]), w);
            let tangent = normalize(scene.pose.direction(position, tangent));
            let gloss = person.appearance.hair_gloss;
            return (strand_light(albedo, normal, tangent, openness, lit, gloss, lighting), 1);
        }
        let sample = Sample {
            surface,
            albedo,
            normal,
            openness,
            lit,
        };
        let kind = if surface == Surface::Cloth { 2 } else { 1 };
        (shade(&sample, lighting, &scene.finish), kind)
    }
}

/// Open sky with what the surroundings, of the same albedo, reflect (the fit of Jimenez, Wu, Pesce and Jarabo 2016).
#[inline(always)]
fn bounced(open: f32, albedo: f32) -> f32 {
    let (a, b, c) = (
        2.0404 * albedo - 0.3324,
        -4.7951 * albedo + 0.6417,
        2.7552 * albedo + 0.6903,
    );
    (((open * a + b) * open + c) * open).max(open)
}

/// How a texture's height changes per sample to the right and down, in steps of alpha, at a sample of a triangle.
#[inline(always)]
fn slope(level: &Level, uvs: [[f32; 2]; 3], corners: [Vec3; 3], w: [f32; 3], [x, y]: [f32; 2]) -> [f32; 2] {
    let here = level.height(interpolate2(uvs, w));
    let right = level.height(interpolate2(uvs, weights(corners, x + 1.0, y)));
    let down = level.height(interpolate2(uvs, weights(corners, x, y + 1.0)));
    [right - here, down - here]
}

/// A normal on a surface whose height changes by this slope; `factor` brings it to height per length.
#[inline(always)]
fn tilted(normal: Vec3, slope: [f32; 2], factor: f32) -> Vec3 {
    // Seen at a flat angle, a sample covers more of the surface.
    let factor = factor * normal[2].max(0.0);
    let [right, down] = slope.map(|s| (s * factor).clamp(-0.9, 0.9));
    normalize([normal[0] - right, normal[1] + down, normal[2]])
}

#[inline(always)]
fn interpolate1([a, b, c]: [f32; 3], w: [f32; 3]) -> f32 {
    a * w[0] + b * w[1] + c * w[2]
}

/// The mean of three places by these weights.
#[inline(always)]
pub(crate) fn interpolate2([a, b, c]: [[f32; 2]; 3], w: [f32; 3]) -> [f32; 2] {
    [
        a[0] * w[0] + b[0] * w[1] + c[0] * w[2],
        a[1] * w[0] + b[1] * w[1] + c[1] * w[2],
    ]
}

#[inline(always)]
fn interpolate3([a, b, c]: [Vec3; 3], w: [f32; 3]) -> Vec3 {
    std::array::from_fn(|k| a[k] * w[0] + b[k] * w[1] + c[k] * w[2])
}
