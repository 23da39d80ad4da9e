//! Textures with smaller copies of themselves, and the sRGB curve.

use std::path::Path;
use std::sync::OnceLock;

use omniid::{Error, ErrorKind, Result};

/// An sRGB picture with alpha in halving sizes.
#[derive(Debug, Clone)]
pub struct Texture {
    pub(crate) levels: Vec<Level>,
}

/// One size of a texture.
#[derive(Debug, Clone)]
pub(crate) struct Level {
    pub width: u32,
    pub height: u32,
    pub texels: Vec<[u8; 4]>,
}

impl Texture {
    /// Reads a picture file; one larger than `largest` is halved until it fits.
    ///
    /// # Errors
    /// `Io` or `Format`, naming the file.
    pub fn read(path: &Path, largest: u32) -> Result<Self> {
        let bytes =
            std::fs::read(path).map_err(|e| Error::new(ErrorKind::Io, format!("reading {}: {e}", path.display())))?;
        let image = image::load_from_memory(&bytes)
            .map_err(|e| Error::format(format!("{}: not a readable picture: {e}", path.display())))?
            .into_rgba8();
        let mut level = Level {
            width: image.width(),
            height: image.height(),
            texels: image.pixels().map(|p| p.0).collect(),
        };
        while level.width.max(level.height) > largest {
            level = level.half();
        }
        Ok(Self::new(level))
    }

    pub(crate) fn new(level: Level) -> Self {
        let mut levels = vec![level];
        loop {
            let last = &levels[levels.len() - 1];
            if last.width.min(last.height) <= 16 {
                return Self { levels };
            }
            let next = last.half();
            levels.push(next);
        }
    }

    /// The texture with this share of its cover.
    pub(crate) fn thinned(&self, share: f32) -> Self {
        let mut thin = self.clone();
        for texel in thin.levels.iter_mut().flat_map(|level| &mut level.texels) {
            texel[3] = (f32::from(texel[3]) * share) as u8;
        }
        thin
    }

    /// Mean linear colour of what is visible.
    pub(crate) fn mean_colour(&self) -> [f32; 3] {
        let (mut sum, mut weight) = ([0.0f32; 3], 1e-6f32);
        for texel in &self.levels[self.levels.len() / 2].texels {
            let alpha = f32::from(texel[3]) / 255.0;
            for c in 0..3 {
                sum[c] += alpha * to_linear(f32::from(texel[c]));
            }
            weight += alpha;
        }
        sum.map(|s| s / weight)
    }

    /// The level whose texels are about as large as samples, when `ratio` texels of the full size fall on a sample.
    pub(crate) fn level(&self, ratio: f32) -> &Level {
        let level = (ratio.max(1.0).log2() + 0.3) as usize;
        &self.levels[level.min(self.levels.len() - 1)]
    }
}

impl Level {
    /// The picture at half the size. Colours count by their alpha, so that what is invisible does not bleed in.
    fn half(&self) -> Self {
        let (width, height) = ((self.width / 2).max(1), (self.height / 2).max(1));
        let mut texels = Vec::with_capacity((width * height) as usize);
        for y in 0..height {
            for x in 0..width {
                let mut sum = [0u32; 4];
                for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                    let texel = self.texel((2 * x + dx) as i32, (2 * y + dy) as i32);
                    // One is added so that fully transparent neighbours still have a colour.
                    let weight = u32::from(texel[3]) + 1;
                    for c in 0..3 {
                        sum[c] += u32::from(texel[c]) * weight;
                    }
                    sum[3] += weight;
                }
                let colour = |c: usize| ((sum[c] + sum[3] / 2) / sum[3]) as u8;
                texels.push([colour(0), colour(1), colour(2), ((sum[3] - 4 + 2) / 4) as u8]);
            }
        }
        Self { width, height, texels }
    }

    #[inline(always)]
    pub fn texel(&self, x: i32, y: i32) -> [u8; 4] {
        let x = x.clamp(0, self.width as i32 - 1) as usize;
        let y = y.clamp(0, self.height as i32 - 1) as usize;
        self.texels[y * self.width as usize + x]
    }

    /// Bilinear, repeating the border; sRGB 0…255 and alpha 0…255.
    #[inline]
    pub fn sample(&self, uv: [f32; 2]) -> [f32; 4] {
        let x = uv[0].clamp(-0.5, 1.5) * self.width as f32 - 0.5;
        let y = uv[1].clamp(-0.5, 1.5) * self.height as f32 - 0.5;
        let (left, top) = (x.floor(), y.floor());
        let (fx, fy) = (x - left, y - top);
        let (left, top) = (left as i32, top as i32);
        let a = self.texel(left, top);
        let b = self.texel(left + 1, top);
        let c = self.texel(left, top + 1);
        let d = self.texel(left + 1, top + 1);
        let weights = [(1.0 - fx) * (1.0 - fy), fx * (1.0 - fy), (1.0 - fx) * fy, fx * fy];
        std::array::from_fn(|i| {
            f32::from(a[i]) * weights[0]
                + f32::from(b[i]) * weights[1]
                + f32::from(c[i]) * weights[2]
                + f32::from(d[i]) * weights[3]
        })
    }

    /// Alpha between texels, bilinear, 0…255.
    #[inline]
    pub fn height(&self, uv: [f32; 2]) -> f32 {
        let x = uv[0].clamp(-0.5, 1.5) * self.width as f32 - 0.5;
        let y = uv[1].clamp(-0.5, 1.5) * self.height as f32 - 0.5;
        let (left, top) = (x.floor(), y.floor());
        let (fx, fy) = (x - left, y - top);
        let at = |dx: i32, dy: i32| f32::from(self.texel(left as i32 + dx, top as i32 + dy)[3]);
        (at(0, 0) * (1.0 - fx) + at(1, 0) * fx) * (1.0 - fy) + (at(0, 1) * (1.0 - fx) + at(1, 1) * fx) * fy
    }

    /// Alpha at the nearest texel.
    #[inline(always)]
    pub fn alpha(&self, uv: [f32; 2]) -> u8 {
        let x = (uv[0] * self.width as f32) as i32;
        let y = (uv[1] * self.height as f32) as i32;
        self.texel(x, y)[3]
    }
}

/// sRGB 0…255 to linear 0…1.
#[inline]
pub(crate) fn to_linear(srgb: f32) -> f32 {
    static TABLE: OnceLock<Vec<f32>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        (0..=1020)
            .map(|i| {
                let s = i as f32 / 1020.0;
                if s <= 0.040_45 {
                    s / 12.92
                } else {
                    ((s + 0.055) / 1.055).powf(2.4)
                }
            })
            .collect()
    });
    table[((srgb * 4.0 + 0.5) as usize).min(1020)]
}

/// Linear 0…1 to sRGB 0…255.
#[inline]
pub(crate) fn to_srgb(linear: f32) -> f32 {
    static TABLE: OnceLock<Vec<f32>> = OnceLock::new();
    // Indexed by the square root, which spreads the dark end.
    let table = TABLE.get_or_init(|| {
        (0..=2048)
            .map(|i| {
                let root = i as f32 / 2048.0;
                let l = root * root;
                255.0
                    * if l <= 0.003_130_8 {
                        12.92 * l
                    } else {
                        1.055 * l.powf(1.0 / 2.4) - 0.055
                    }
            })
            .collect()
    });
    table[((linear.clamp(0.0, 1.0).sqrt() * 2048.0 + 0.5) as usize).min(2048)]
}

/// An sRGB colour, 0…1, in linear light.
pub(crate) fn linear_colour(srgb: [f32; 3]) -> [f32; 3] {
    srgb.map(|c| to_linear(c.clamp(0.0, 1.0) * 255.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn srgb_there_and_back() {
        for value in 0..=255 {
            let back = to_srgb(to_linear(value as f32));
            assert!((back - value as f32).abs() < 0.3, "{value} {back}");
        }
        assert!((to_linear(127.5) - 0.2140).abs() < 1e-3);
    }

    #[test]
    fn halving_keeps_the_mean_and_ignores_invisible_colour() {
        let level = Level {
            width: 2,
            height: 2,
            texels: vec![[200, 0, 0, 255], [100, 0, 0, 255], [0, 255, 0, 0], [0, 255, 0, 0]],
        };
        let half = level.half();
        assert!((i32::from(half.texels[0][0]) - 150).abs() <= 1);
        assert!(half.texels[0][1] <= 1);
        assert!((i32::from(half.texels[0][3]) - 127).abs() <= 1);
    }

    #[test]
    fn bilinear_between_texel_centres() {
        let level = Level {
            width: 2,
            height: 1,
            texels: vec![[0, 0, 0, 255], [100, 0, 0, 255]],
        };
        assert_eq!(level.sample([0.25, 0.5])[0], 0.0);
        assert_eq!(level.sample([0.5, 0.5])[0], 50.0);
        assert_eq!(level.sample([1.0, 0.5])[0], 100.0);
    }
}
