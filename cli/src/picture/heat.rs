//! Numbers as colours.

use super::Canvas;
use image::{Rgb, RgbImage};

/// Colour of a value between 0 and 1: dark blue, teal, yellow. Lightness rises evenly, so it reads in grey too.
pub fn heat_colour(value: f32) -> [u8; 3] {
    const STOPS: [[f32; 3]; 5] = [
        [68.0, 1.0, 84.0],
        [59.0, 82.0, 139.0],
        [33.0, 145.0, 140.0],
        [94.0, 201.0, 98.0],
        [253.0, 231.0, 37.0],
    ];
    let place = if value.is_nan() {
        0.0
    } else {
        value.clamp(0.0, 1.0) * (STOPS.len() - 1) as f32
    };
    let first = (place as usize).min(STOPS.len() - 2);
    let part = place - first as f32;
    std::array::from_fn(|channel| {
        let (from, to) = (STOPS[first][channel], STOPS[first + 1][channel]);
        (from + (to - from) * part).round() as u8
    })
}

/// A square matrix as a heat map with its values in the cells. Colours stretch from the smallest to the largest value.
pub fn matrix_picture(names: &[String], rows: &[Vec<f32>]) -> RgbImage {
    const CELL: i64 = 64;
    const MARGIN: i64 = 96;
    let side = MARGIN + rows.len() as i64 * CELL + 8;
    let mut canvas = Canvas::new(side as u32, side as u32, [255; 3]);
    let values = || rows.iter().flatten().copied();
    let (low, high) = (
        values().fold(f32::INFINITY, f32::min),
        values().fold(f32::NEG_INFINITY, f32::max),
    );
    for (i, row) in rows.iter().enumerate() {
        let at = MARGIN + i as i64 * CELL;
        let name: String = names
            .get(i)
            .map(|name| name.chars().take(11).collect())
            .unwrap_or_default();
        canvas.text(&name, 4, at + CELL / 2 - 5, 2, [0; 3]);
        // Column names alternate in height, because they are wider than a cell.
        canvas.text(&name, at, if i % 2 == 0 { MARGIN - 40 } else { MARGIN - 20 }, 2, [0; 3]);
        for (j, &value) in row.iter().enumerate() {
            let share = if high > low { (value - low) / (high - low) } else { 1.0 };
            let left = MARGIN + j as i64 * CELL;
            canvas.fill(left, at, CELL - 1, CELL - 1, heat_colour(share));
            let ink = if share > 0.6 { [0; 3] } else { [255; 3] };
            canvas.text(&format!("{value:.2}"), left + CELL / 2 - 16, at + CELL / 2 - 5, 2, ink);
        }
    }
    canvas.into_image()
}

/// A photo with a coarse grid of values over it, row by row: bright where they are large, dark where they are small.
pub fn overlay_heat(photo: &RgbImage, values: &[f32], columns: usize) -> RgbImage {
    let columns = columns.max(1);
    let rows = (values.len() / columns).max(1);
    let (low, high) = values
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| {
            (low.min(v), high.max(v))
        });
    let (width, height) = (photo.width() as usize, photo.height() as usize);
    RgbImage::from_fn(photo.width(), photo.height(), |x, y| {
        let cell = (y as usize * rows / height) * columns + x as usize * columns / width;
        let value = values.get(cell).copied().unwrap_or(low);
        let share = if high > low { (value - low) / (high - low) } else { 0.0 };
        let heat = heat_colour(share);
        let pixel = photo.get_pixel(x, y).0;
        Rgb(std::array::from_fn(|channel| {
            ((u16::from(pixel[channel]) + u16::from(heat[channel])) / 2) as u8
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_run_from_dark_to_bright() {
        assert_eq!(heat_colour(0.0), [68, 1, 84]);
        assert_eq!(heat_colour(1.0), [253, 231, 37]);
        assert_eq!((heat_colour(-1.0), heat_colour(f32::NAN)), ([68, 1, 84], [68, 1, 84]));
        let light = |value| {
            heat_colour(value)
                .iter()
                .map(|&channel| u32::from(channel))
                .sum::<u32>()
        };
        assert!((0..10).all(|i| light(i as f32 / 10.0) < light((i + 1) as f32 / 10.0)));
    }

    #[test]
    fn the_largest_value_is_the_brightest_cell() {
        let black = RgbImage::new(4, 4);
        let picture = overlay_heat(&black, &[0.0, 0.1, 0.2, 0.9], 2);
        assert_eq!(picture.get_pixel(3, 3).0, heat_colour(1.0).map(|channel| channel / 2));
        assert_eq!(picture.get_pixel(0, 0).0, heat_colour(0.0).map(|channel| channel / 2));
    }
}
