//! One generated picture in numbers, and many of them as means with intervals.

use super::detail::detail;
use super::image_error::{l1, psnr};
use super::ssim::ssim;
use crate::statistics::{mean_estimate, Estimate};
use image::RgbImage;
use omniid::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is measured on a picture. The head is metrics by the truth's mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The verifier's cosine with the true picture of the same view.
    Similarity,
    /// The verifier's cosine with another true picture of the person.
    OtherView,
    /// The verifier's mean cosine with true pictures of others of the family.
    Impostor,
    /// [`Metric::OtherView`] less [`Metric::Impostor`].
    Margin,
    /// 1 when the most similar true face of the family is the person's, else 0.
    Rank1,
    /// How much nearer the picture is to a photo that was read than to the true picture, as a part of the distance of
    /// these two, −1 to 1: (θ_gt − θ_gr) / θ_tr, with the verifier's angles between generated picture g, true picture t
    /// and photo r. Above 0 the photo was copied rather than the person drawn (WithAnyone's MultiID-Bench, 2025).
    CopyPaste,
    /// Mean absolute difference on the head, 0 to 1.
    L1Head,
    /// Mean absolute difference of the whole picture, 0 to 1.
    L1,
    /// Signal-to-noise ratio on the head, dB.
    PsnrHead,
    /// Signal-to-noise ratio of the whole picture, dB.
    Psnr,
    /// Structural similarity on the head, at most 1.
    SsimHead,
    /// Structural similarity of the whole picture, at most 1.
    Ssim,
    /// Error of fine detail on the head: 0 for equal, 1 for none at all.
    DetailError,
    /// Amount of fine detail on the head as a part of the true one.
    DetailEnergy,
}

impl Metric {
    /// All, in the order of tables.
    pub const ALL: [Self; 14] = [
        Self::Similarity,
        Self::OtherView,
        Self::Impostor,
        Self::Margin,
        Self::Rank1,
        Self::CopyPaste,
        Self::L1Head,
        Self::L1,
        Self::PsnrHead,
        Self::Psnr,
        Self::SsimHead,
        Self::Ssim,
        Self::DetailError,
        Self::DetailEnergy,
    ];

    /// Its name in tables.
    pub fn title(self) -> &'static str {
        match self {
            Self::Similarity => "similarity to the true picture",
            Self::OtherView => "to another true view",
            Self::Impostor => "to others",
            Self::Margin => "another true view less others",
            Self::Rank1 => "rank 1",
            Self::CopyPaste => "copy-paste",
            Self::L1Head => "L1, head",
            Self::L1 => "L1",
            Self::PsnrHead => "PSNR, head",
            Self::Psnr => "PSNR",
            Self::SsimHead => "SSIM, head",
            Self::Ssim => "SSIM",
            Self::DetailError => "detail error",
            Self::DetailEnergy => "detail energy",
        }
    }
}

/// The measures of one picture; what was not measured is not there.
#[derive(Debug, Clone, Default)]
pub(super) struct PictureMetrics {
    values: Vec<(Metric, f64)>,
}

impl PictureMetrics {
    /// Takes a number. One that is not finite says nothing and is left out.
    pub fn add(&mut self, measure: Metric, value: f64) {
        if value.is_finite() {
            self.values.push((measure, value));
        }
    }

    /// Compares pixels with the truth, on the whole picture and on the head.
    pub fn add_pixels(&mut self, picture: &RgbImage, truth: &RgbImage, mask: &[u8]) -> Result<()> {
        self.add(Metric::L1, l1(picture, truth, None)?);
        self.add(Metric::Psnr, psnr(picture, truth, None)?);
        self.add(Metric::Ssim, ssim(picture, truth, None)?);
        // A head that lies outside of the picture cannot be metrics.
        if mask.iter().any(|weight| *weight > 0) {
            let head = Some(mask);
            self.add(Metric::L1Head, l1(picture, truth, head)?);
            self.add(Metric::PsnrHead, psnr(picture, truth, head)?);
            if let Ok(value) = ssim(picture, truth, head) {
                self.add(Metric::SsimHead, value);
            }
            let detail = detail(picture, truth, head)?;
            self.add(Metric::DetailError, detail.error);
            self.add(Metric::DetailEnergy, detail.energy);
        }
        Ok(())
    }

    /// The value of a measure.
    pub fn get(&self, measure: Metric) -> Option<f64> {
        self.values
            .iter()
            .find(|(known, _)| *known == measure)
            .map(|(_, value)| *value)
    }
}

/// A measure's mean over people.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MetricEstimate {
    /// The metric.
    pub measure: Metric,
    /// Mean over people of each person's mean over pictures; people are drawn for the interval.
    pub estimate: Estimate,
}

/// Means of all measures that were made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Means {
    /// Pictures in them.
    pub pictures: usize,
    /// The means.
    pub measured: Vec<MetricEstimate>,
}

/// How intervals are drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resampling {
    pub resamples: usize,
    pub seed: u64,
}

impl Means {
    /// Of every person's pictures.
    pub(super) fn of(people: &[Vec<&PictureMetrics>], resampling: Resampling) -> Self {
        let measured = Metric::ALL.into_iter().filter_map(|measure| {
            let means: Vec<f64> = people.iter().filter_map(|own| person_mean(own, measure)).collect();
            (!means.is_empty()).then(|| MetricEstimate {
                measure,
                estimate: mean_estimate(&means, resampling.resamples, resampling.seed),
            })
        });
        Self {
            pictures: people.iter().map(Vec::len).sum(),
            measured: measured.collect(),
        }
    }

    /// One of the means.
    pub fn get(&self, measure: Metric) -> Option<Estimate> {
        self.measured
            .iter()
            .find(|known| known.measure == measure)
            .map(|known| known.estimate)
    }
}

/// Mean of the differences of two groups of pictures of the same people, person by person.
pub(super) fn mean_difference(
    a: &[Vec<&PictureMetrics>],
    b: &[Vec<&PictureMetrics>],
    measure: Metric,
    resampling: Resampling,
) -> Option<Estimate> {
    let differences: Vec<f64> = a
        .iter()
        .zip(b)
        .filter_map(|(a, b)| Some(person_mean(a, measure)? - person_mean(b, measure)?))
        .collect();
    (!differences.is_empty()).then(|| mean_estimate(&differences, resampling.resamples, resampling.seed))
}

/// One person's means over pictures; what was measured on none of them is not there.
pub type PersonMeans = BTreeMap<Metric, f64>;

/// The means of every person.
pub(super) fn person_means(people: &[Vec<&PictureMetrics>]) -> Vec<PersonMeans> {
    let means = |own: &Vec<&PictureMetrics>| {
        let mean = |measure| Some((measure, person_mean(own, measure)?));
        Metric::ALL.into_iter().filter_map(mean).collect()
    };
    people.iter().map(means).collect()
}

fn person_mean(pictures: &[&PictureMetrics], measure: Metric) -> Option<f64> {
    let values: Vec<f64> = pictures.iter().filter_map(|picture| picture.get(measure)).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn metrics(value: f64) -> PictureMetrics {
        let mut metrics = PictureMetrics::default();
        metrics.add(Metric::L1, value);
        metrics
    }

    #[test]
    fn people_count_equally_however_many_pictures_they_have() {
        let resampling = Resampling { resamples: 50, seed: 1 };
        let pictures = [0.1, 0.3, 0.6].map(metrics);
        let a = [vec![&pictures[0], &pictures[1]], vec![&pictures[2]], Vec::new()];
        let means = Means::of(&a, resampling);
        assert_eq!(means.pictures, 3);
        let estimate = means.get(Metric::L1).unwrap();
        assert!((estimate.value - 0.4).abs() < 1e-12);
        // Two people: a draw is one of them twice, or both.
        assert!((estimate.low - 0.2).abs() < 1e-12 && (estimate.high - 0.6).abs() < 1e-12);
        assert_eq!(means.get(Metric::Ssim), None);
        let b = [vec![&pictures[0]], vec![&pictures[1]], vec![&pictures[2]]];
        let difference = mean_difference(&a, &b, Metric::L1, resampling).unwrap();
        assert!((difference.value - (0.1 + 0.3) / 2.0).abs() < 1e-12);
        assert_eq!(mean_difference(&a, &b, Metric::Rank1, resampling), None);
    }

    #[test]
    fn pixels_are_judged_on_the_head_and_on_all() {
        let truth = RgbImage::from_fn(16, 16, |x, y| Rgb([(x * 9 + y) as u8; 3]));
        let mut picture = truth.clone();
        // Wrong by 51 of 255 outside of the mask only.
        let mut mask = vec![0; 256];
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            if x < 8 {
                mask[(y * 16 + x) as usize] = 255;
            } else {
                pixel.0 = pixel.0.map(|level| level + 51);
            }
        }
        let mut metrics = PictureMetrics::default();
        metrics.add_pixels(&picture, &truth, &mask).unwrap();
        assert_eq!(metrics.get(Metric::L1Head), Some(0.0));
        assert!((metrics.get(Metric::L1).unwrap() - 0.1).abs() < 1e-9);
        // −10 log₁₀(0.2² / 2); on the head there is no error, which has no number in dB.
        assert!((metrics.get(Metric::Psnr).unwrap() - 16.9897).abs() < 1e-3);
        assert_eq!(metrics.get(Metric::PsnrHead), None);
        let mut nothing = PictureMetrics::default();
        nothing.add_pixels(&picture, &truth, &vec![0; 256]).unwrap();
        assert!(nothing.get(Metric::L1Head).is_none() && nothing.get(Metric::L1).is_some());
    }
}
