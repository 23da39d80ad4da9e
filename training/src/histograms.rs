//! The directions in which faces are compared by their histograms of oriented gradients.
//!
//! Found on rendered people by linear discriminant analysis ([`Scatter`]); no network takes part. Edges and where they
//! run carry over from renders to photos: portraits from the front are told apart better than by the directions of a
//! small model's tokens, faces that turn less well (docs/training.md has the figures).

use crate::data::Dataset;
use crate::statistics::Scatter;
use candle_core::{Device, Tensor};
use image::RgbImage;
use omniid::face::hog::{face_histograms, SIDE, VALUES};
use omniid::identity::similarity::SimilaritySpace;
use omniid::{Error, ErrorKind, Result};
use rayon::prelude::*;
use std::ops::ControlFlow;

/// People that are described between two reports of progress.
const AT_ONCE: usize = 64;

/// How the directions are found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HistogramOptions {
    /// Directions. Default 128.
    pub directions: usize,
    /// How far the covariance within people is shrunk towards equal variance in all values, above 0 to 1. Default 0.1.
    pub shrinkage: f64,
}

impl Default for HistogramOptions {
    fn default() -> Self {
        Self {
            directions: 128,
            shrinkage: 0.1,
        }
    }
}

/// Finds the directions on all pictures of `people`; those with one picture are left out. The mean over the pictures is
/// the space's mean. `progress` is told the finished and all people, and cancels by [`ControlFlow::Break`].
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] for pictures under 64 pixels a side, for too few people for so many directions and a
/// shrinkage out of range, [`ErrorKind::Cancelled`].
pub fn histogram_space(
    people: &Dataset,
    options: &HistogramOptions,
    progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<SimilaritySpace> {
    if people.size < SIDE {
        return Err(Error::invalid(format!(
            "pictures of {} pixels a side, orientation histograms need {SIDE}",
            people.size
        )));
    }
    if !(options.shrinkage > 0.0 && options.shrinkage <= 1.0) {
        return Err(Error::invalid(format!(
            "shrinkage {}, expected above 0 and at most 1",
            options.shrinkage
        )));
    }
    let mut scatter = Scatter::new(VALUES)?;
    let (mut sum, mut pictures) = (vec![0f64; VALUES], 0usize);
    let usable: Vec<_> = people
        .people
        .iter()
        .filter(|person| person.pictures.len() > 1)
        .collect();
    let mut done = 0;
    for chunk in usable.chunks(AT_ONCE) {
        if progress(done, usable.len()).is_break() {
            let text = format!("cancelled after {done} of {} people", usable.len());
            return Err(Error::new(ErrorKind::Cancelled, text));
        }
        let images: Vec<RgbImage> = chunk
            .iter()
            .flat_map(|person| &person.pictures)
            .filter_map(|picture| picture.image(people.size))
            .collect();
        let vectors = images.par_iter().map(face_histograms).collect::<Result<Vec<_>>>()?;
        for vector in &vectors {
            for (sum, value) in sum.iter_mut().zip(vector) {
                *sum += f64::from(*value);
            }
        }
        pictures += vectors.len();
        let counts: Vec<usize> = chunk.iter().map(|person| person.pictures.len()).collect();
        let rows = Tensor::from_vec(vectors.concat(), (images.len(), VALUES), &Device::Cpu)?;
        scatter.add(&rows, &counts)?;
        done += chunk.len();
    }
    let directions = scatter.directions(options.directions, options.shrinkage)?;
    let mean = sum.iter().map(|sum| (sum / pictures.max(1) as f64) as f32).collect();
    SimilaritySpace::new(
        Some(mean),
        options.directions,
        directions.flatten_all()?.to_vec1::<f32>()?,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::toy_people;

    fn fit(people: &Dataset, directions: usize) -> Result<SimilaritySpace> {
        let options = HistogramOptions {
            directions,
            ..HistogramOptions::default()
        };
        histogram_space(people, &options, &mut |_, _| ControlFlow::Continue(()))
    }

    #[test]
    fn the_mean_is_that_of_all_pictures_and_people_lie_apart() -> Result<()> {
        let people = toy_people(70, 3, SIDE, 3);
        let space = fit(&people, 8)?;
        assert_eq!((space.directions(), space.projection().len()), (8, 8 * VALUES));
        let mut sum = vec![0f64; VALUES];
        let mut vectors = Vec::new();
        for person in &people.people {
            let images = person.pictures.iter().filter_map(|picture| picture.image(SIDE));
            let own = images
                .map(|image| face_histograms(&image))
                .collect::<Result<Vec<_>>>()?;
            for vector in &own {
                sum.iter_mut()
                    .zip(vector)
                    .for_each(|(sum, value)| *sum += f64::from(*value) / 210.0);
            }
            vectors.push(own);
        }
        let mean = space.mean().expect("a mean");
        assert!(mean
            .iter()
            .zip(&sum)
            .all(|(mean, sum)| (f64::from(*mean) - sum).abs() < 1e-5));
        // Along the first direction, people's means vary more than the pictures of one person do.
        let along = |vector: &[f32]| -> f64 {
            let each = vector.iter().zip(mean).zip(space.projection());
            each.map(|((v, m), d)| f64::from(v - m) * f64::from(*d)).sum()
        };
        let (mut within, mut means) = (0.0, Vec::new());
        for own in &vectors {
            let places: Vec<f64> = own.iter().map(|vector| along(vector)).collect();
            let middle = places.iter().sum::<f64>() / places.len() as f64;
            within += places.iter().map(|place| (place - middle).powi(2)).sum::<f64>() / (2.0 * vectors.len() as f64);
            means.push(middle);
        }
        let middle = means.iter().sum::<f64>() / means.len() as f64;
        let between = means.iter().map(|place| (place - middle).powi(2)).sum::<f64>() / (means.len() - 1) as f64;
        assert!(between > 2.0 * within, "{between} {within}");
        Ok(())
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        for (people, named) in [
            (toy_people(9, 3, 32, 3), "need 64"),
            (toy_people(9, 3, SIDE, 3), "9 people"),
            (toy_people(30, 1, SIDE, 3), "0 people"),
        ] {
            let error = fit(&people, 9).expect_err(named);
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.message().contains(named), "{error}");
        }
        let people = toy_people(9, 3, SIDE, 3);
        let options = HistogramOptions {
            shrinkage: 0.0,
            ..HistogramOptions::default()
        };
        assert!(histogram_space(&people, &options, &mut |_, _| ControlFlow::Continue(())).is_err());
        let cancelled = histogram_space(
            &people,
            &HistogramOptions::default(),
            &mut |_, _| ControlFlow::Break(()),
        );
        assert_eq!(cancelled.unwrap_err().kind(), ErrorKind::Cancelled);
    }
}
