//! Contact sheets.

use image::{Rgb, RgbImage};

/// Pictures side by side, `columns` per row, on white with a thin gap. Pictures may differ in size; every cell is as
/// large as the largest.
pub fn contact_sheet(pictures: &[RgbImage], columns: usize) -> RgbImage {
    const GAP: u32 = 2;
    let columns = columns.clamp(1, pictures.len().max(1));
    let width = pictures.iter().map(RgbImage::width).max().unwrap_or(1) + GAP;
    let height = pictures.iter().map(RgbImage::height).max().unwrap_or(1) + GAP;
    let rows = pictures.len().div_ceil(columns).max(1);
    let mut sheet = RgbImage::from_pixel(columns as u32 * width + GAP, rows as u32 * height + GAP, Rgb([255; 3]));
    for (i, picture) in pictures.iter().enumerate() {
        let (x, y) = ((i % columns) as u32 * width + GAP, (i / columns) as u32 * height + GAP);
        image::imageops::replace(&mut sheet, picture, i64::from(x), i64::from(y));
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_lie_in_order() {
        let pictures: Vec<RgbImage> = (0..5).map(|i| RgbImage::from_pixel(4, 4, Rgb([i * 10; 3]))).collect();
        let sheet = contact_sheet(&pictures, 3);
        assert_eq!(sheet.dimensions(), (20, 14));
        assert_eq!(sheet.get_pixel(2, 2).0, [0; 3]);
        assert_eq!(sheet.get_pixel(15, 3).0, [20; 3]);
        assert_eq!(sheet.get_pixel(9, 9).0, [40; 3]);
        assert_eq!(sheet.get_pixel(15, 9).0, [255; 3]);
        assert_eq!(contact_sheet(&[], 3).dimensions(), (5, 5));
    }
}
