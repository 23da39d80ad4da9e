//! Every picture beside the true one, and beside everybody's.

use super::options::{Drawn, GenerationOptions};
use crate::evaluate::metric::{Metric, PictureMetrics};
use crate::evaluate::progress::Progress;
use crate::evaluate::subjects::{images, Subject};
use crate::evaluate::verifier::{cosine, Embedding, Verifier};
use image::RgbImage;
use omniid::Result;

/// True pictures and what the verifier thinks of them.
pub(super) struct Scorer<'a> {
    subjects: &'a [Subject<'a>],
    options: &'a GenerationOptions,
    /// By person.
    pub(super) truth: Vec<Vec<RgbImage>>,
    faces: Option<Faces<'a>>,
}

struct Faces<'a> {
    verifier: &'a Verifier,
    /// By person and target.
    truth: Vec<Vec<Embedding>>,
    /// By person.
    gallery: Vec<Embedding>,
    /// By person and photo that is read.
    read: Vec<Vec<Embedding>>,
}

impl<'a> Scorer<'a> {
    /// Looks at all true pictures.
    pub(super) fn new(
        subjects: &'a [Subject<'a>],
        size: u32,
        verifier: Option<&'a Verifier>,
        options: &'a GenerationOptions,
        progress: &mut Progress<'_>,
    ) -> Result<Self> {
        let truth: Vec<Vec<RgbImage>> = subjects.iter().map(|subject| images(&subject.targets, size)).collect();
        let faces = match verifier {
            Some(verifier) => {
                let mut faces = Faces {
                    verifier,
                    truth: Vec::with_capacity(subjects.len()),
                    gallery: Vec::with_capacity(subjects.len()),
                    read: Vec::with_capacity(subjects.len()),
                };
                for (person, pictures) in truth.iter().enumerate() {
                    progress.report("comparing true pictures", person, subjects.len())?;
                    faces.truth.push(embed(verifier, pictures, options)?);
                    let other = images(&[subjects[person].gallery], size);
                    faces.gallery.extend(embed(verifier, &other, options)?);
                    let read = images(&subjects[person].inputs, size);
                    faces.read.push(embed(verifier, &read, options)?);
                }
                Some(faces)
            }
            None => None,
        };
        Ok(Self {
            subjects,
            options,
            truth,
            faces,
        })
    }

    /// A person's pictures of an identity, one per target.
    pub(super) fn score(&self, person: usize, kind: Drawn, pictures: &[RgbImage]) -> Result<Vec<PictureMetrics>> {
        let embeddings = match &self.faces {
            Some(faces) => Some(embed(faces.verifier, pictures, self.options)?),
            None => None,
        };
        let targets = self.subjects[person].targets.iter().zip(&self.truth[person]);
        pictures
            .iter()
            .zip(targets)
            .enumerate()
            .map(|(place, (picture, (target, truth)))| {
                let mut metrics = PictureMetrics::default();
                if let (Some(faces), Some(embeddings)) = (&self.faces, &embeddings) {
                    let own = &embeddings[place];
                    metrics.add(Metric::Similarity, cosine(own, &faces.truth[person][place]));
                    self.add_identity(&mut metrics, faces, person, own);
                    if let Drawn::Photos(count) | Drawn::Averaged(count) = kind {
                        let read = &faces.read[person][..count];
                        metrics.add(Metric::CopyPaste, copy_paste(own, &faces.truth[person][place], read));
                    }
                }
                if self.options.pixels {
                    metrics.add_pixels(picture, truth, &target.mask)?;
                }
                Ok(metrics)
            })
            .collect()
    }

    /// The true pictures, as if they had been drawn.
    pub(super) fn score_truth(&self, person: usize) -> Vec<PictureMetrics> {
        let Some(faces) = &self.faces else {
            return self.truth[person].iter().map(|_| PictureMetrics::default()).collect();
        };
        faces.truth[person]
            .iter()
            .map(|own| {
                let mut metrics = PictureMetrics::default();
                self.add_identity(&mut metrics, faces, person, own);
                metrics
            })
            .collect()
    }

    /// Compares a face with one true picture of everybody in the family.
    fn add_identity(&self, metrics: &mut PictureMetrics, faces: &Faces<'_>, person: usize, own: &Embedding) {
        let family = self.subjects[person].family;
        let score = cosine(own, &faces.gallery[person]);
        let others: Vec<f64> = self
            .subjects
            .iter()
            .zip(&faces.gallery)
            .enumerate()
            .filter(|(other, (subject, _))| *other != person && subject.family == family)
            .map(|(_, (_, embedding))| cosine(own, embedding))
            .collect();
        metrics.add(Metric::OtherView, score);
        if !others.is_empty() {
            let mean = others.iter().sum::<f64>() / others.len() as f64;
            metrics.add(Metric::Impostor, mean);
            metrics.add(Metric::Margin, score - mean);
            let first = others.iter().all(|other| *other < score);
            metrics.add(Metric::Rank1, f64::from(u8::from(first)));
        }
    }
}

/// [`Metric::CopyPaste`], the mean over the photos that were read; not a number if the true picture is the same as each.
fn copy_paste(drawn: &Embedding, truth: &Embedding, read: &[Embedding]) -> f64 {
    /// Radians between two faces below which they are one picture: above the rounding of single precision. The benchmark
    /// has 1e-6.
    const SAME: f64 = 1e-3;
    let angle = |a: &Embedding, b: &Embedding| cosine(a, b).clamp(-1.0, 1.0).acos();
    let from_truth = angle(drawn, truth);
    let each = read.iter().filter_map(|photo| {
        let apart = angle(truth, photo);
        (apart >= SAME).then(|| (from_truth - angle(drawn, photo)) / apart)
    });
    let (count, sum) = each.fold((0.0, 0.0), |(count, sum), part| (count + 1.0, sum + part));
    sum / count
}

fn embed(verifier: &Verifier, pictures: &[RgbImage], options: &GenerationOptions) -> Result<Vec<Embedding>> {
    let grey: Vec<RgbImage> = if options.grey {
        pictures.iter().map(without_colour).collect()
    } else {
        Vec::new()
    };
    let pictures = if options.grey { &grey } else { pictures };
    verifier.embed_crops(&pictures.iter().collect::<Vec<_>>(), &options.template)
}

/// Every pixel's brightness (ITU-R BT.601) in all channels.
fn without_colour(picture: &RgbImage) -> RgbImage {
    let mut grey = picture.clone();
    for pixel in grey.pixels_mut() {
        let [r, g, b] = pixel.0.map(f64::from);
        pixel.0 = [(0.299 * r + 0.587 * g + 0.114 * b).round() as u8; 3];
    }
    grey
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::verifier::EMBEDDING;

    /// A unit vector at an angle in the plane of the first two values.
    fn at(degrees: f32) -> Embedding {
        let mut vector = [0.0; EMBEDDING];
        (vector[1], vector[0]) = degrees.to_radians().sin_cos();
        vector
    }

    #[test]
    fn copies_are_told_from_portraits() {
        let (truth, photo) = (at(0.0), at(60.0));
        let measure = |drawn: f32, read: &[Embedding]| copy_paste(&at(drawn), &truth, read);
        // The photo itself, the true picture itself, half-way, and a quarter from the truth: (15 − 45) / 60.
        for (drawn, expected) in [(60.0, 1.0), (0.0, -1.0), (30.0, 0.0), (15.0, -0.5)] {
            assert!((measure(drawn, &[photo]) - expected).abs() < 1e-5, "{drawn}");
        }
        // The mean over the photos; one that is the true picture says nothing.
        assert!((measure(30.0, &[photo, at(-60.0), truth]) - (0.0 - 1.0) / 2.0).abs() < 1e-5);
        assert!(measure(30.0, &[truth]).is_nan());
    }
}
