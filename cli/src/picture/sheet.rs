//! Contact sheets: rows of pictures under captions.

use super::Canvas;
use image::imageops::{resize, FilterType};
use image::RgbImage;

const PAPER: [u8; 3] = [250, 250, 248];
const INK: [u8; 3] = [40, 40, 40];
const PALE: [u8; 3] = [140, 140, 140];
const GAP: i64 = 6;
/// Side of a dot of a letter.
const DOT: i64 = 2;
/// Pixels that a letter takes along a line.
const LETTER: i64 = 4 * DOT;
/// Height of a caption.
const CAPTION: i64 = 16;
/// Height of the line above a group.
const TITLE: i64 = 22;

/// A picture and what is written above it. Without a picture the place is framed.
pub struct Cell {
    pub caption: String,
    pub picture: Option<RgbImage>,
}

impl Cell {
    /// A picture under a caption.
    pub fn new(caption: impl Into<String>, picture: RgbImage) -> Self {
        Self {
            caption: caption.into(),
            picture: Some(picture),
        }
    }
}

/// Groups of pictures, each under a title, in rows of a fixed number of columns.
pub struct Sheet {
    side: u32,
    columns: usize,
    groups: Vec<(String, Vec<Cell>)>,
    footer: Vec<String>,
}

impl Sheet {
    /// An empty sheet; every picture is drawn `side` pixels wide and high.
    pub fn new(side: u32, columns: usize) -> Self {
        Self {
            side: side.max(1),
            columns: columns.max(1),
            groups: Vec::new(),
            footer: Vec::new(),
        }
    }

    /// Adds a group; long ones take several rows.
    pub fn group(&mut self, title: impl Into<String>, cells: Vec<Cell>) {
        self.groups.push((title.into(), cells));
    }

    /// Adds a line below all pictures.
    pub fn footer(&mut self, line: impl Into<String>) {
        self.footer.push(line.into());
    }

    /// The size of the picture that [`Sheet::draw`] makes.
    pub fn size(&self) -> (u32, u32) {
        let step = i64::from(self.side) + GAP;
        let rows: i64 = self
            .groups
            .iter()
            .map(|(_, cells)| cells.len().div_ceil(self.columns) as i64)
            .sum();
        let widest = self.groups.iter().map(|(_, cells)| cells.len()).max();
        let columns = widest.unwrap_or(0).clamp(1, self.columns) as i64;
        let height =
            GAP + self.groups.len() as i64 * TITLE + rows * (CAPTION + step) + self.footer.len() as i64 * CAPTION;
        ((GAP + columns * step) as u32, height as u32)
    }

    /// The whole picture.
    pub fn draw(&self) -> RgbImage {
        let (width, height) = self.size();
        let mut canvas = Canvas::new(width, height, PAPER);
        let step = i64::from(self.side) + GAP;
        let letters = |pixels: i64| (pixels / LETTER).max(0) as usize;
        let cut = |text: &str, most: usize| text.chars().take(most).collect::<String>();
        let mut top = GAP;
        for (title, cells) in &self.groups {
            canvas.text(&cut(title, letters(i64::from(width) - GAP)), GAP, top + 4, DOT, INK);
            top += TITLE;
            for row in cells.chunks(self.columns) {
                for (column, cell) in row.iter().enumerate() {
                    let left = GAP + column as i64 * step;
                    canvas.text(&cut(&cell.caption, letters(step)), left, top + 2, DOT, PALE);
                    self.place(&mut canvas, cell, left, top + CAPTION);
                }
                top += CAPTION + step;
            }
        }
        for line in &self.footer {
            canvas.text(&cut(line, letters(i64::from(width) - GAP)), GAP, top, DOT, PALE);
            top += CAPTION;
        }
        canvas.into_image()
    }

    fn place(&self, canvas: &mut Canvas, cell: &Cell, left: i64, top: i64) {
        let side = i64::from(self.side);
        match &cell.picture {
            Some(picture) if picture.dimensions() == (self.side, self.side) => {
                canvas.paste(picture, left, top);
            }
            Some(picture) => {
                canvas.paste(
                    &resize(picture, self.side, self.side, FilterType::CatmullRom),
                    left,
                    top,
                );
            }
            None => canvas.frame([left, top, left + side - 1, top + side - 1], 1, PALE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn pictures_lie_in_rows_below_their_titles() {
        let mut sheet = Sheet::new(20, 2);
        let red = RgbImage::from_pixel(5, 5, Rgb([255, 0, 0]));
        let blue = RgbImage::from_pixel(20, 20, Rgb([0, 0, 255]));
        sheet.group("one", vec![Cell::new("a", red.clone())]);
        sheet.group(
            "two",
            vec![
                Cell::new("b", blue.clone()),
                Cell {
                    caption: String::new(),
                    picture: None,
                },
                Cell::new("c", red),
            ],
        );
        sheet.footer("end");
        let picture = sheet.draw();
        // Two columns of 20 with gaps; a gap, two titles, three rows with captions and gaps, one line.
        assert_eq!(picture.dimensions(), (6 + 2 * 26, 6 + 2 * 22 + 3 * 42 + 16));
        let colour = |x, y| picture.get_pixel(x, y).0;
        assert_eq!(colour(16, 6 + 22 + 16 + 10), [255, 0, 0]);
        let second = 6 + 22 + 42 + 22 + 16;
        assert_eq!(colour(16, second + 10), [0, 0, 255]);
        assert_eq!(colour(42, second + 10), PAPER);
        assert_eq!(colour(32, second), PALE);
        assert_eq!(colour(16, second + 42 + 10), [255, 0, 0]);
    }
}
