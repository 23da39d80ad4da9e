//! A painted eyeball: pupil, iris with fibres and a dark rim, white with veins towards the corners.

use super::features::EyeTexel;
use crate::render::look::hash;
use crate::render::texture::{Level, Texture};
use crate::render::vector::{mix, smoothstep, Vec3};

/// The texture of an eyeball of `side` × `side` texels. `iris` in sRGB 0…255; `size` scales the iris; `red` 0…1.
pub(crate) fn eye_texture(texels: &[EyeTexel], side: u32, iris: Vec3, size: f32, red: f32, seed: u32) -> Texture {
    let paint = |texel: &EyeTexel| -> [u8; 4] {
        let degrees = texel.angle.to_degrees() / size;
        if degrees.is_nan() {
            return [214, 206, 200, 255];
        }
        let ray = hash((texel.around * 15.0) as i32, 1, 17, seed);
        let fine = hash((texel.around * 41.0) as i32, 2, 17, seed);
        let vein = smoothstep(0.86, 1.0, hash((texel.around * 19.0) as i32, 3, 17, seed));
        let corner = smoothstep(28.0, 70.0, degrees);
        let white = mix(
            [219.0, 213.0, 208.0],
            [196.0, 150.0, 142.0],
            (0.75 * corner + red * vein * smoothstep(24.0, 45.0, degrees)).min(1.0),
        );
        // A collar around the pupil, fibres, and a dark rim.
        let collar = smoothstep(15.0, 10.0, degrees);
        let glow = 0.8 + 0.25 * smoothstep(9.0, 17.0, degrees) + 0.3 * (ray - 0.5) + 0.22 * (fine - 0.5);
        let rim = 1.0 - 0.72 * smoothstep(17.5, 22.0, degrees);
        let inner = mix(iris, [iris[0] * 1.1, iris[1] * 0.85, iris[2] * 0.6], 0.6 * collar);
        let coloured = inner.map(|c| c * glow * rim);
        let mut colour = mix(coloured, white, smoothstep(21.0, 24.0, degrees));
        colour = mix([9.0, 7.0, 7.0], colour, smoothstep(8.2, 9.6, degrees));
        let [r, g, b] = colour.map(|c| c.clamp(0.0, 255.0) as u8);
        [r, g, b, 255]
    };
    Texture::new(Level {
        width: side,
        height: side,
        texels: texels.iter().map(paint).collect(),
    })
}

/// The eyeball in the shade of the upper lid and its lashes.
pub(super) fn under_lid(texture: Texture, texels: &[EyeTexel]) -> Texture {
    let mut levels = texture.levels;
    let mut level = levels.swap_remove(0);
    for (colour, texel) in level.texels.iter_mut().zip(texels) {
        let up = texel.angle.to_degrees() * texel.around.sin();
        if up > 4.0 {
            let shade = 1.0 - 0.55 * smoothstep(4.0, 20.0, up);
            (0..3).for_each(|c| colour[c] = (f32::from(colour[c]) * shade) as u8);
        }
    }
    Texture::new(level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pupil_iris_and_white() {
        let at = |degrees: f32| EyeTexel {
            angle: degrees.to_radians(),
            around: 0.3,
        };
        let mut texels = vec![at(2.0), at(16.0), at(30.0)];
        texels.resize(256, at(30.0));
        let texture = eye_texture(&texels, 16, [78.0, 110.0, 148.0], 1.0, 0.2, 1);
        let [pupil, iris, white] = [0, 1, 2].map(|i| texture.levels[0].texels[i]);
        texels[2].around = 1.5;
        let shaded = under_lid(texture.clone(), &texels);
        assert!(shaded.levels[0].texels[2][0] < 130 && shaded.levels[0].texels[0] == pupil);
        assert!(pupil[2] < 20 && white[0] > 190);
        assert!(iris[2] > iris[0] && iris[2] > 40 && iris[2] < 200, "{iris:?}");
    }
}
