//! From 8-bit pictures to the numbers of a batch.

use super::sampler::{Draw, Tone};
use crate::data::{Dataset, Picture};
use omniid_minihost::View;
use rayon::prelude::*;

/// How a picture is read into a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Change of the tones.
    pub tone: Tone,
    /// Whether colours become their brightness.
    pub grey: bool,
    /// Whether left and right are exchanged.
    pub mirrored: bool,
}

impl Reading {
    /// The picture as it is.
    pub const PLAIN: Self = Self {
        tone: Tone::NONE,
        grey: false,
        mirrored: false,
    };

    /// How a step reads a picture of `draw`, its tones changed by `tone`.
    fn of(draw: &Draw, tone: Tone) -> Self {
        Self {
            tone,
            grey: draw.grey,
            mirrored: draw.mirrored,
        }
    }

    /// What the picture shows when it is read like this.
    pub fn view(&self, picture: &Picture) -> View {
        if self.mirrored {
            picture.view.mirrored()
        } else {
            picture.view
        }
    }

    /// The column that `column` of `size` is read from.
    fn column(&self, column: usize, size: usize) -> usize {
        if self.mirrored {
            size - 1 - column
        } else {
            column
        }
    }

    /// The value −1…1 of every level.
    fn table(&self) -> [f32; 256] {
        std::array::from_fn(|level| {
            // The plugin's own preparation of a level, so that training and use agree to the bit.
            let value = ((level as f64 / 255.0 - 0.5) / 0.5) as f32;
            if self.tone == Tone::NONE {
                value
            } else {
                (value * self.tone.gain + self.tone.offset).clamp(-1.0, 1.0)
            }
        })
    }

    /// One pixel's three levels.
    fn levels(&self, pixel: &[u8]) -> [u8; 3] {
        match *pixel {
            [red, green, blue] if self.grey => {
                // ITU-R BT.601 in 16-bit fixed point; the weights sum to 65536.
                let sum = 19595 * u32::from(red) + 38470 * u32::from(green) + 7471 * u32::from(blue);
                [((sum + 32768) >> 16) as u8; 3]
            }
            [red, green, blue] => [red, green, blue],
            _ => [0; 3],
        }
    }
}

/// Writes a picture of side `size` channel by channel into `out` `[3, size, size]`.
pub fn write_planes(picture: &Picture, size: usize, reading: &Reading, out: &mut [f32]) {
    let table = reading.table();
    let plane = size * size;
    for (row, pixels) in picture.pixels.chunks_exact(3 * size).enumerate().take(size) {
        for (column, pixel) in pixels.chunks_exact(3).enumerate() {
            let column = reading.column(column, size);
            let levels = reading.levels(pixel);
            for (channel, level) in levels.into_iter().enumerate() {
                if let Some(value) = out.get_mut(channel * plane + row * size + column) {
                    *value = table[usize::from(level)];
                }
            }
        }
    }
}

/// A patch of a picture, in pixels.
#[derive(Debug, Clone, Copy)]
pub struct PatchArea {
    size: usize,
    patch: usize,
    top: usize,
    left: usize,
}

impl PatchArea {
    /// Patch number `place` (row by row) of side `patch` in a picture of side `size`.
    pub fn new(size: usize, patch: usize, place: usize) -> Self {
        let side = size / patch;
        Self {
            size,
            patch,
            top: place / side * patch,
            left: place % side * patch,
        }
    }

    /// Places in the picture of the patch's pixels, row by row, in an upright or mirrored picture.
    fn pixels<'r>(&self, reading: &'r Reading) -> impl Iterator<Item = usize> + use<'r> {
        let Self { size, patch, top, left } = *self;
        (0..patch * patch).map(move |index| (top + index / patch) * size + reading.column(left + index % patch, size))
    }
}

/// Writes the pixel values of a patch into `values` `[patch, patch, 3]`.
pub fn write_patch(picture: &Picture, area: PatchArea, reading: &Reading, values: &mut [f32]) {
    let table = reading.table();
    for (value, pixel) in values.chunks_exact_mut(3).zip(area.pixels(reading)) {
        let pixel = picture.pixels.get(3 * pixel..3 * pixel + 3);
        let levels = reading.levels(pixel.unwrap_or_default());
        value.copy_from_slice(&levels.map(|level| table[usize::from(level)]));
    }
}

/// Writes the weights of a patch's values into `weights` `[patch, patch, 3]`: 1 on the head, `background` outside.
pub fn write_patch_weights(
    picture: &Picture,
    area: PatchArea,
    reading: &Reading,
    background: f32,
    weights: &mut [f32],
) {
    for (weight, pixel) in weights.chunks_exact_mut(3).zip(area.pixels(reading)) {
        weight.fill(head_weight(picture, pixel, background));
    }
}

/// Writes the weights of a picture's pixels into `out` `[size, size]`: 1 on the head, `background` outside.
pub fn write_weights(picture: &Picture, size: usize, reading: &Reading, background: f32, out: &mut [f32]) {
    for (row, weights) in out.chunks_exact_mut(size).enumerate() {
        for (column, weight) in weights.iter_mut().enumerate() {
            *weight = head_weight(picture, row * size + reading.column(column, size), background);
        }
    }
}

fn head_weight(picture: &Picture, pixel: usize, background: f32) -> f32 {
    let mask = picture.mask.get(pixel).copied().unwrap_or(0);
    background + (1.0 - background) * f32::from(mask) / 255.0
}

/// Raises `weights` `[size, size]` in the middle of a face by up to `factor`: a Gaussian around the mean of its five
/// `points` (−1…1, eyes first, mouth corners last) with 0.7 of the way from eyes to mouth as deviation. 1 changes
/// nothing.
pub fn write_face_weights(points: &[[f32; 2]; 5], size: usize, factor: f32, weights: &mut [f32]) {
    if factor == 1.0 {
        return;
    }
    let mean =
        |axis: usize, some: &[usize]| some.iter().map(|&point| points[point][axis]).sum::<f32>() / some.len() as f32;
    let [x, y] = [0, 1].map(|axis| mean(axis, &[0, 1, 2, 3, 4]));
    let [across, down] = [0, 1].map(|axis| mean(axis, &[3, 4]) - mean(axis, &[0, 1]));
    let width = 0.7 * across.hypot(down).max(1e-3);
    let at = |index: usize| (index as f32 + 0.5) * 2.0 / size as f32 - 1.0;
    for (row, weights) in weights.chunks_exact_mut(size).enumerate() {
        for (column, weight) in weights.iter_mut().enumerate() {
            let distance = (at(column) - x).hypot(at(row) - y) / width;
            *weight *= 1.0 + (factor - 1.0) * (-0.5 * distance * distance).exp();
        }
    }
}

/// The input photos of a step, `[people, inputs, 3, size, size]` in a flat vector. `second` takes the second sets.
pub fn input_planes(dataset: &Dataset, draws: &[Draw], second: bool) -> Vec<f32> {
    let photos = draws
        .iter()
        .flat_map(|draw| {
            let places = if second { &draw.second } else { &draw.inputs };
            let pictures = &dataset.people[draw.person].pictures;
            places
                .iter()
                .map(move |(place, tone)| (&pictures[*place], Reading::of(draw, *tone)))
        })
        .collect::<Vec<_>>();
    planes(&photos, dataset.size as usize)
}

/// The targets of a step, people in order.
pub fn targets<'a>(dataset: &'a Dataset, draws: &[Draw]) -> Vec<(&'a Picture, Reading)> {
    let target = |draw: &Draw, place: usize| {
        let picture = &dataset.people[draw.person].pictures[place];
        (picture, Reading::of(draw, Tone::NONE))
    };
    draws
        .iter()
        .flat_map(|draw| draw.targets.iter().map(move |place| target(draw, *place)))
        .collect()
}

/// Pictures read into `[pictures, 3, size, size]`, flat.
pub fn planes(photos: &[(&Picture, Reading)], size: usize) -> Vec<f32> {
    let each = 3 * size * size;
    let mut values = vec![0f32; photos.len() * each];
    values
        .par_chunks_exact_mut(each.max(1))
        .zip(photos)
        .for_each(|(out, (picture, reading))| write_planes(picture, size, reading, out));
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::toy_people;
    use omniid::photo::ImageProcessor;

    fn picture() -> Picture {
        toy_people(1, 1, 8, 2).people.remove(0).pictures.remove(0)
    }

    #[test]
    fn planes_are_those_of_the_plugin() {
        let picture = picture();
        let mut out = vec![0.0; 3 * 64];
        write_planes(&picture, 8, &Reading::PLAIN, &mut out);
        let processor = ImageProcessor {
            size: 8,
            mean: crate::config::ModelConfig::PIXELS.mean,
            std: crate::config::ModelConfig::PIXELS.std,
            ..ImageProcessor::clip(8)
        };
        let image = image::RgbImage::from_raw(8, 8, picture.pixels.clone()).expect("64 pixels");
        assert_eq!(out, processor.normalise(&image));
    }

    #[test]
    fn patches_and_planes_agree_in_every_reading() {
        let picture = picture();
        for (grey, mirrored) in [(false, false), (true, false), (false, true), (true, true)] {
            let reading = Reading {
                tone: Tone {
                    gain: 1.2,
                    offset: -0.1,
                },
                grey,
                mirrored,
            };
            let mut planes = vec![0.0; 192];
            write_planes(&picture, 8, &reading, &mut planes);
            for place in 0..4 {
                let (mut values, mut weights) = (vec![0.0; 48], vec![0.0; 48]);
                let area = PatchArea::new(8, 4, place);
                write_patch(&picture, area, &reading, &mut values);
                write_patch_weights(&picture, area, &reading, 0.25, &mut weights);
                for (index, value) in values.iter().enumerate() {
                    let (pixel, channel) = (index / 3, index % 3);
                    let row = place / 2 * 4 + pixel / 4;
                    let column = place % 2 * 4 + pixel % 4;
                    assert_eq!(*value, planes[channel * 64 + row * 8 + column]);
                    let source = if mirrored { 7 - column } else { column };
                    let expected = if picture.mask[row * 8 + source] == 255 {
                        1.0
                    } else {
                        0.25
                    };
                    assert_eq!(weights[index], expected);
                }
                if grey {
                    assert!(values
                        .chunks(3)
                        .all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]));
                }
            }
        }
    }

    #[test]
    fn the_middle_of_a_face_weighs_more() {
        // Eyes above, mouth below, all around the picture's middle; one deviation is 0.7 · 1.0.
        let points = [[-0.3, -0.5], [0.3, -0.5], [0.0, 0.0], [-0.2, 0.5], [0.2, 0.5]];
        let mut weights = vec![0.5; 64 * 64];
        write_face_weights(&points, 64, 1.0, &mut weights);
        assert!(weights.iter().all(|weight| *weight == 0.5));
        write_face_weights(&points, 64, 3.0, &mut weights);
        let expected = |row: usize, column: usize| {
            let [x, y] = [column, row].map(|i| (i as f64 - 31.5) / 32.0);
            0.5 * (1.0 + 2.0 * (-(x * x + y * y) / (2.0 * 0.49)).exp())
        };
        for (row, column) in [(31, 31), (32, 32), (16, 22), (0, 0), (63, 10)] {
            let weight = f64::from(weights[row * 64 + column]);
            assert!(
                (weight - expected(row, column)).abs() < 1e-5,
                "{row} {column}: {weight}"
            );
        }
    }
}
