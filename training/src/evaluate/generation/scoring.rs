//! Every picture beside the true one, and beside everybody's.

use super::options::GenerationOptions;
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
                };
                for (person, pictures) in truth.iter().enumerate() {
                    progress.report("comparing true pictures", person, subjects.len())?;
                    faces.truth.push(embed(verifier, pictures, options)?);
                    let other = images(&[subjects[person].gallery], size);
                    faces.gallery.extend(embed(verifier, &other, options)?);
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

    /// A person's pictures, one per target.
    pub(super) fn score(&self, person: usize, pictures: &[RgbImage]) -> Result<Vec<PictureMetrics>> {
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
            metrics.add(Metric::Impostor, others.iter().sum::<f64>() / others.len() as f64);
            let first = others.iter().all(|other| *other < score);
            metrics.add(Metric::Rank1, f64::from(u8::from(first)));
        }
    }
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
