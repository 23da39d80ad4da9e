//! Preview pictures: small square pictures on a grid.

use image::{Rgb, RgbImage};

/// Pixels between pictures.
const GAP: u32 = 2;

/// Pictures `[size, size, 3]` of −1…1 in rows, magnified without smoothing.
pub struct Grid {
    size: u32,
    zoom: u32,
    rows: Vec<Vec<Vec<f32>>>,
}

impl Grid {
    /// An empty grid of pictures of side `size`; each pixel becomes `zoom` × `zoom` pixels.
    pub fn new(size: u32, zoom: u32) -> Self {
        Self {
            size,
            zoom: zoom.max(1),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Vec<Vec<f32>>) {
        self.rows.push(row);
    }

    /// The whole picture. Missing pictures and missing values are grey.
    pub fn picture(&self) -> RgbImage {
        let step = self.size * self.zoom + GAP;
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0) as u32;
        let mut sheet = RgbImage::from_pixel(
            (columns * step + GAP).max(1),
            (self.rows.len() as u32 * step + GAP).max(1),
            Rgb([96; 3]),
        );
        for (row, pictures) in self.rows.iter().enumerate() {
            for (column, values) in pictures.iter().enumerate() {
                for y in 0..self.size * self.zoom {
                    for x in 0..self.size * self.zoom {
                        let at = 3 * ((y / self.zoom) * self.size + x / self.zoom) as usize;
                        let Some(pixel) = values.get(at..at + 3) else {
                            continue;
                        };
                        let level = |i: usize| ((pixel[i] + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8;
                        let (left, top) = (column as u32 * step + GAP, row as u32 * step + GAP);
                        sheet.put_pixel(left + x, top + y, Rgb([level(0), level(1), level(2)]));
                    }
                }
            }
        }
        sheet
    }
}

/// 8-bit levels to −1…1.
pub fn levels(pixels: &[u8]) -> Vec<f32> {
    pixels.iter().map(|level| f32::from(*level) / 127.5 - 1.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_stand_in_their_places() {
        let mut grid = Grid::new(2, 3);
        grid.push(vec![vec![-1.0; 12], vec![1.0; 12]]);
        grid.push(vec![vec![0.0; 12]]);
        let sheet = grid.picture();
        assert_eq!(sheet.dimensions(), (2 * 8 + 2, 2 * 8 + 2));
        assert_eq!(sheet.get_pixel(2, 2), &Rgb([0; 3]));
        assert_eq!(sheet.get_pixel(7, 7), &Rgb([0; 3]));
        assert_eq!(sheet.get_pixel(8, 2), &Rgb([96; 3]));
        assert_eq!(sheet.get_pixel(10, 2), &Rgb([255; 3]));
        assert_eq!(sheet.get_pixel(2, 10), &Rgb([128; 3]));
        assert_eq!(sheet.get_pixel(12, 12), &Rgb([96; 3]));
    }
}
