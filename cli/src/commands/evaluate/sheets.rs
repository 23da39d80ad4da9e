//! Pictures of the first people of an evaluation, to judge by eye.

use crate::picture::{Cell, Sheet};
use image::RgbImage;
use omniid_minihost::View;
use omniid_training::evaluate::Example;

/// People whose pictures are shown.
pub const PEOPLE: usize = 10;

/// Side of a picture.
const SIDE: u32 = 96;

/// Views of the people beside their photos.
const PORTRAITS: [&str; 4] = ["front", "three-quarter left", "right", "smile"];

/// The views that [`beside_photos`] shows.
pub fn portraits() -> Vec<View> {
    PORTRAITS.iter().filter_map(|name| View::named(name)).collect()
}

/// Photos, truth, and what was drawn from each identity.
pub fn beside_truth(examples: &[Example]) -> RgbImage {
    let columns = examples.iter().map(|one| one.inputs.len().max(one.truth.len())).max();
    let mut sheet = Sheet::new(SIDE, columns.unwrap_or(1));
    let cells = |pictures: &[RgbImage]| -> Vec<Cell> {
        pictures.iter().map(|picture| Cell::new("", picture.clone())).collect()
    };
    for (place, example) in examples.iter().enumerate() {
        sheet.group(format!("person {}: photos", place + 1), cells(&example.inputs));
        sheet.group("truth", cells(&example.truth));
        for (drawn, pictures) in &example.drawn {
            sheet.group(drawn.title(), cells(pictures));
        }
    }
    sheet.draw()
}

/// A row for each person: all photos, then the views that were drawn from them.
pub fn beside_photos(examples: &[Example]) -> RgbImage {
    let row = |example: &Example| -> Vec<Cell> {
        let photos = example.inputs.iter().map(|photo| Cell::new("photo", photo.clone()));
        let drawn = PORTRAITS.iter().zip(&example.portraits);
        photos
            .chain(drawn.map(|(name, picture)| Cell::new(*name, picture.clone())))
            .collect()
    };
    let rows: Vec<Vec<Cell>> = examples.iter().map(row).collect();
    let mut sheet = Sheet::new(SIDE, rows.iter().map(Vec::len).max().unwrap_or(1));
    for (place, row) in rows.into_iter().enumerate() {
        sheet.group(format!("person {}", place + 1), row);
    }
    sheet.draw()
}
