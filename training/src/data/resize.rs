//! Pictures of another size.

use super::Dataset;
use omniid::photo::ImageProcessor;
use omniid::{Error, Result};
use rayon::prelude::*;

impl Dataset {
    /// The set with pictures of another side, by the plugin's own bicubic filter; masks go the same way.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](omniid::ErrorKind::InvalidArgument) for a side of 0 or above 4096.
    pub fn resized(mut self, side: u32) -> Result<Self> {
        if side == self.size {
            return Ok(self);
        }
        if !(1..=4096).contains(&side) {
            return Err(Error::invalid(format!(
                "pictures of side {side} were asked for; 1 to 4096 is possible"
            )));
        }
        let (from, processor) = (self.size, ImageProcessor::clip(side));
        let scale = |values: Vec<u8>| -> Vec<u8> {
            match image::RgbImage::from_raw(from, from, values) {
                Some(picture) => processor.resize_crop(&picture).into_raw(),
                None => vec![0; 3 * side as usize * side as usize],
            }
        };
        self.people
            .par_iter_mut()
            .flat_map(|person| &mut person.pictures)
            .for_each(|picture| {
                picture.pixels = scale(std::mem::take(&mut picture.pixels));
                let mask = picture.mask.iter().flat_map(|value| [*value; 3]).collect();
                picture.mask = scale(mask).into_iter().step_by(3).collect();
            });
        self.size = side;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::toy_people;

    #[test]
    fn resizing_keeps_colours_and_masks() -> Result<()> {
        let dataset = toy_people(1, 2, 32, 2);
        let small = dataset.clone().resized(16)?;
        small.validate()?;
        assert_eq!(small.size, 16);
        let mean = |values: &[u8]| values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64;
        for (a, b) in dataset.people[0].pictures.iter().zip(&small.people[0].pictures) {
            assert!((mean(&a.pixels) - mean(&b.pixels)).abs() < 2.0);
            assert!((mean(&a.mask) - mean(&b.mask)).abs() < 4.0);
        }
        assert!(dataset.resized(0).is_err());
        Ok(())
    }
}
