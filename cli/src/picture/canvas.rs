//! Drawing on an RGB picture. Whatever lies outside is not drawn.

use super::font;
use image::{Rgb, RgbImage};

/// A picture to draw on.
pub struct Canvas {
    image: RgbImage,
}

impl Canvas {
    /// An empty picture of one colour.
    pub fn new(width: u32, height: u32, colour: [u8; 3]) -> Self {
        Self {
            image: RgbImage::from_pixel(width.max(1), height.max(1), Rgb(colour)),
        }
    }

    /// The picture.
    pub fn into_image(self) -> RgbImage {
        self.image
    }

    fn set(&mut self, x: i64, y: i64, colour: [u8; 3]) {
        if let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) {
            if x < self.image.width() && y < self.image.height() {
                self.image.put_pixel(x, y, Rgb(colour));
            }
        }
    }

    /// Fills a rectangle.
    pub fn fill(&mut self, x: i64, y: i64, width: i64, height: i64, colour: [u8; 3]) {
        // Only the visible part is walked: a box from a file may be of any size.
        let (right, bottom) = (i64::from(self.image.width()), i64::from(self.image.height()));
        for row in y.clamp(0, bottom)..y.saturating_add(height).clamp(0, bottom) {
            for column in x.clamp(0, right)..x.saturating_add(width).clamp(0, right) {
                self.set(column, row, colour);
            }
        }
    }

    /// Draws the border of a rectangle, `thick` pixels wide.
    pub fn frame(&mut self, [left, top, right, bottom]: [i64; 4], thick: i64, colour: [u8; 3]) {
        let width = right.saturating_sub(left).saturating_add(thick);
        let height = bottom.saturating_sub(top).saturating_add(thick);
        self.fill(left, top, width, thick, colour);
        self.fill(left, bottom, width, thick, colour);
        self.fill(left, top, thick, height, colour);
        self.fill(right, top, thick, height, colour);
    }

    /// Draws a filled disc.
    pub fn dot(&mut self, x: i64, y: i64, radius: i64, colour: [u8; 3]) {
        for dy in -radius..=radius {
            for dx in -radius..=radius {
                if dx * dx + dy * dy <= radius * radius {
                    self.set(x.saturating_add(dx), y.saturating_add(dy), colour);
                }
            }
        }
    }

    /// Copies a picture to a place.
    pub fn paste(&mut self, picture: &RgbImage, x: i64, y: i64) {
        for (column, row, pixel) in picture.enumerate_pixels() {
            self.set(x + i64::from(column), y + i64::from(row), pixel.0);
        }
    }

    /// Writes text in capitals; `size` is the side of a dot of a letter in pixels.
    pub fn text(&mut self, text: &str, x: i64, y: i64, size: i64, colour: [u8; 3]) {
        for (index, letter) in text.chars().enumerate() {
            let left = x.saturating_add(index as i64 * (font::WIDTH + 1) * size);
            for (row, bits) in font::glyph(letter).into_iter().enumerate() {
                let top = y.saturating_add(row as i64 * size);
                for column in 0..font::WIDTH {
                    if bits & (1 << (font::WIDTH - 1 - column)) != 0 {
                        self.fill(left.saturating_add(column * size), top, size, size, colour);
                    }
                }
            }
        }
    }
}

impl From<RgbImage> for Canvas {
    fn from(image: RgbImage) -> Self {
        Self { image }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: [u8; 3] = [255, 0, 0];

    fn count(canvas: Canvas) -> usize {
        canvas.into_image().pixels().filter(|pixel| pixel.0 == RED).count()
    }

    #[test]
    fn shapes_cover_what_they_should() {
        let mut canvas = Canvas::new(20, 20, [0; 3]);
        canvas.frame([2, 3, 10, 12], 1, RED);
        // Border pixels of a 9 × 10 rectangle.
        assert_eq!(count(canvas), 2 * 9 + 2 * 10 - 4);
        let mut canvas = Canvas::new(20, 20, [0; 3]);
        canvas.dot(5, 5, 2, RED);
        assert_eq!(count(canvas), 13);
        let mut canvas = Canvas::new(20, 20, [0; 3]);
        canvas.text("1", 0, 0, 2, RED);
        // The digit has 8 dots of 2 × 2 pixels.
        assert_eq!(count(canvas), 32);
    }

    #[test]
    fn the_outside_is_left_alone() {
        let mut canvas = Canvas::new(4, 4, [0; 3]);
        canvas.frame([-10, -10, 1_000_000, 1_000_000], 2, RED);
        canvas.dot(-1, -1, 1, RED);
        canvas.fill(3, 3, i64::MAX, 1, RED);
        assert_eq!(count(canvas), 1);
    }
}
