//! Numbers that stand for the person in one or several pictures.

use super::model::EvaluatedModel;
use super::progress::Progress;
use super::verifier::Verifier;
use crate::data::CropTemplate;
use crate::statistics::mean;
use image::RgbImage;
use omniid::face::hog::hog;
use omniid::Result;

/// Pictures of one person that are described together.
pub type PictureSet<'a> = Vec<&'a RgbImage>;

/// What is subtracted before two descriptors are compared by their cosine.
#[derive(Debug, Clone, PartialEq)]
pub enum Centre {
    /// Nothing.
    Nothing,
    /// The mean of the descriptors that are compared.
    Data,
    /// This vector.
    Given(Vec<f32>),
}

/// A function from pictures of one person to a vector. Two people are compared by the cosine of their vectors.
pub trait Descriptor {
    /// What it is called in tables.
    fn name(&self) -> String;

    /// One vector per set, all of one length.
    ///
    /// # Errors
    /// Those of the descriptor; [`ErrorKind::Cancelled`](omniid::ErrorKind::Cancelled).
    fn describe(&self, sets: &[PictureSet<'_>], progress: &mut Progress<'_>) -> Result<Vec<Vec<f32>>>;

    /// What is subtracted before the cosine. By default nothing.
    fn centre(&self) -> Centre {
        Centre::Nothing
    }
}

/// Histograms of oriented gradients; those of a set are averaged. Knows nothing about faces: a floor.
#[derive(Debug, Clone, Copy, Default)]
pub struct HogDescriptor {
    /// Whether the mean over the data is subtracted, which makes the floor higher. The usual comparison does without.
    pub centred: bool,
}

impl Descriptor for HogDescriptor {
    fn name(&self) -> String {
        let name = if self.centred { "HOG, centred" } else { "HOG" };
        name.to_string()
    }

    fn describe(&self, sets: &[PictureSet<'_>], _: &mut Progress<'_>) -> Result<Vec<Vec<f32>>> {
        Ok(sets
            .iter()
            .map(|set| mean(set.iter().map(|picture| hog(picture))))
            .collect())
    }

    fn centre(&self) -> Centre {
        if self.centred {
            Centre::Data
        } else {
            Centre::Nothing
        }
    }
}

/// Mean red, green and blue. Shows how much the tone of skin and hair alone gives away: a floor.
#[derive(Debug, Clone, Copy, Default)]
pub struct ColourDescriptor;

impl Descriptor for ColourDescriptor {
    fn name(&self) -> String {
        "mean colour".to_string()
    }

    fn describe(&self, sets: &[PictureSet<'_>], _: &mut Progress<'_>) -> Result<Vec<Vec<f32>>> {
        let colour = |picture: &RgbImage| -> [f32; 3] {
            let pixels = f64::from(picture.width()) * f64::from(picture.height());
            let sum = picture.pixels().fold([0u64; 3], |mut sum, pixel| {
                for (sum, level) in sum.iter_mut().zip(pixel.0) {
                    *sum += u64::from(level);
                }
                sum
            });
            sum.map(|sum| (sum as f64 / (255.0 * pixels)) as f32)
        };
        Ok(sets
            .iter()
            .map(|set| mean(set.iter().map(|picture| colour(picture))))
            .collect())
    }

    fn centre(&self) -> Centre {
        Centre::Data
    }
}

/// The judge's own embedding; those of a set are averaged. A ceiling.
pub struct VerifierDescriptor<'a> {
    /// The network.
    pub verifier: &'a Verifier,
    /// How the pictures were cut.
    pub template: CropTemplate,
}

impl Descriptor for VerifierDescriptor<'_> {
    fn name(&self) -> String {
        "MobileFaceNet".to_string()
    }

    fn describe(&self, sets: &[PictureSet<'_>], progress: &mut Progress<'_>) -> Result<Vec<Vec<f32>>> {
        // All pictures in one row, so that they pass the network in full batches.
        const CHUNK: usize = 64;
        let pictures: Vec<&RgbImage> = sets.iter().flatten().copied().collect();
        let mut embeddings = Vec::with_capacity(pictures.len());
        for chunk in pictures.chunks(CHUNK) {
            progress.report(&self.name(), embeddings.len(), pictures.len())?;
            embeddings.extend(self.verifier.embed_crops(chunk, &self.template)?);
        }
        let mut embeddings = embeddings.into_iter();
        let mut out = Vec::with_capacity(sets.len());
        for set in sets {
            let own = embeddings.by_ref().take(set.len());
            out.push(mean(own));
        }
        Ok(out)
    }
}

/// The identity tokens of the model, all photos of a set encoded together, flat.
pub struct TokenDescriptor<'a> {
    /// The model.
    pub model: &'a EvaluatedModel,
    /// What it is called in tables.
    pub name: String,
}

impl Descriptor for TokenDescriptor<'_> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn describe(&self, sets: &[PictureSet<'_>], progress: &mut Progress<'_>) -> Result<Vec<Vec<f32>>> {
        each(&self.name, sets, progress, |set| self.model.tokens(set))
    }

    /// The model's mean tokens; without them the mean of the data.
    fn centre(&self) -> Centre {
        self.model
            .token_mean()
            .map_or(Centre::Data, |mean| Centre::Given(mean.to_vec()))
    }
}

/// What [`Engine::similarity`](omniid::engine::Engine::similarity) compares: the tokens, projected onto the model's
/// directions.
pub struct SimilarityDescriptor<'a> {
    /// The model.
    pub model: &'a EvaluatedModel,
    /// What it is called in tables.
    pub name: String,
}

impl Descriptor for SimilarityDescriptor<'_> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn describe(&self, sets: &[PictureSet<'_>], progress: &mut Progress<'_>) -> Result<Vec<Vec<f32>>> {
        each(&self.name, sets, progress, |set| {
            let identity = self.model.identity(set)?;
            self.model.engine().comparison_vector(&identity)
        })
    }
}

/// The name, in tables, of orientation histograms in the evaluated model's directions.
pub const HISTOGRAMS: &str = "orientation histograms";

/// Histograms of oriented gradients in the directions of the model
/// ([`Engine::histogram_vector`](omniid::engine::Engine::histogram_vector)); those of a set are averaged.
pub struct HistogramDescriptor<'a> {
    /// The model, with directions.
    pub model: &'a EvaluatedModel,
}

impl Descriptor for HistogramDescriptor<'_> {
    fn name(&self) -> String {
        HISTOGRAMS.to_string()
    }

    fn describe(&self, sets: &[PictureSet<'_>], progress: &mut Progress<'_>) -> Result<Vec<Vec<f32>>> {
        let engine = self.model.engine();
        each(&self.name(), sets, progress, |set| {
            let vectors = set.iter().map(|picture| engine.histogram_vector_of_crop(picture));
            Ok(mean(vectors.collect::<Result<Vec<_>>>()?))
        })
    }
}

/// One vector per set, set by set, as `name`.
fn each(
    name: &str,
    sets: &[PictureSet<'_>],
    progress: &mut Progress<'_>,
    describe: impl Fn(&PictureSet<'_>) -> Result<Vec<f32>>,
) -> Result<Vec<Vec<f32>>> {
    let mut out = Vec::with_capacity(sets.len());
    for set in sets {
        progress.report(name, out.len(), sets.len())?;
        out.push(describe(set)?);
    }
    Ok(out)
}
