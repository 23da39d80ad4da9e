//! Everything that is known about a model, by one call.

use super::descriptor::{
    ColourDescriptor, Descriptor, HistogramDescriptor, HogDescriptor, SimilarityDescriptor, TokenDescriptor,
    VerifierDescriptor,
};
use super::generation::{evaluate_generation, Drawn, Example, GenerationOptions, GenerationReport};
use super::model::EvaluatedModel;
use super::progress::Progress;
use super::token_statistics::TokenStatistics;
use super::verification::{images_of, verify, PersonImages, VerificationOptions};
use super::verifier::Verifier;
use crate::data::{CropTemplate, Dataset};
use crate::statistics::Estimate;
use image::RgbImage;
use omniid::face::hog::SIDE;
use omniid::Result;
use omniid_minihost::Minihost;
use serde::{Deserialize, Serialize};

/// People to evaluate on, none of whom the model was trained on.
pub struct TestPeople<'a> {
    /// What they are called in tables.
    pub name: String,
    /// Their pictures, of the generator's size.
    pub dataset: &'a Dataset,
    /// Whether they are photos: pixels are then not compared, and where most of them are grey, everything is judged in
    /// grey.
    pub photos: bool,
}

/// How much is done.
#[derive(Debug, Clone, PartialEq)]
pub struct SuiteOptions {
    /// People that are drawn, at most; all are verified. Default 64.
    pub drawn_people: usize,
    /// Photos of the sets that are verified. Default 1, 3, 5.
    pub set_photos: Vec<usize>,
    /// Photos of a person that are verified, at most. Default 10.
    pub verified_photos: usize,
    /// How pictures are drawn and judged, for rendered people.
    pub generation: GenerationOptions,
    /// Draws of people for the intervals of verification. Default 200.
    pub resamples: usize,
    /// Seed of the encoder with random weights.
    pub untrained_seed: u64,
}

impl Default for SuiteOptions {
    fn default() -> Self {
        Self {
            drawn_people: 64,
            set_photos: vec![1, 3, 5],
            verified_photos: 10,
            generation: GenerationOptions::default(),
            resamples: VerificationOptions::default().resamples,
            untrained_seed: 1,
        }
    }
}

/// How well a descriptor tells people apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerificationRow {
    /// The descriptor.
    pub descriptor: String,
    /// Photos of a set.
    pub photos: usize,
    /// People compared.
    pub people: usize,
    /// Photos or sets compared.
    pub sets: usize,
    /// Area under the curve.
    pub auc: Estimate,
    /// Genuine pairs accepted where 1 % of the impostor pairs are.
    pub tar_at_1_percent: Estimate,
    /// Error rate where both errors are equally frequent.
    pub equal_error_rate: f64,
    /// How often the most similar other one shows the same person.
    pub rank_1: f64,
}

/// Token statistics of a model on some people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenRow {
    /// Trained or untrained.
    pub model: String,
    /// Photos of an identity.
    pub photos: usize,
    /// The statistics.
    pub statistics: TokenStatistics,
}

/// What was found on one group of people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeopleReport {
    /// The group.
    pub name: String,
    /// Its people and pictures in a line.
    pub data: String,
    /// Who can be told apart.
    pub verification: Vec<VerificationRow>,
    /// How the tokens differ.
    pub tokens: Vec<TokenRow>,
    /// Drawn pictures; absent without a generator or without people who have enough pictures.
    pub generation: Option<GenerationReport>,
    /// Why pictures were not drawn although there is a generator.
    pub not_drawn: Option<String>,
    /// Of photos, where people have two or three only: drawn from all of them and compared with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation_from_all: Option<GenerationReport>,
}

/// Pictures of the first people of a group, to look at.
#[derive(Debug, Clone, Default)]
pub struct Examples {
    /// Beside the true pictures of the same views.
    pub unseen: Vec<Example>,
    /// Of [`PeopleReport::generation_from_all`].
    pub from_all: Vec<Example>,
}

/// Most photos of a person that are also all read together: with more, some can be kept apart to compare with.
const FEW_PHOTOS: usize = 3;

/// The name, in tables, of what the evaluated model compares when it is asked how alike two identities are.
pub const SIMILARITY: &str = "identity similarity";
/// The name of the evaluated model's own tokens in tables.
pub const TOKENS: &str = "identity tokens";
/// The name of the same encoder with random weights in tables.
pub const UNTRAINED: &str = "untrained encoder";

/// Evaluates a model on one group of people.
///
/// # Errors
/// As [`verify`] and [`evaluate_generation`]; a group with too few pictures for drawing is no error.
pub fn evaluate_people(
    model: &EvaluatedModel,
    host: Option<&Minihost>,
    verifier: Option<&Verifier>,
    people: &TestPeople<'_>,
    options: &SuiteOptions,
    progress: &mut Progress<'_>,
) -> Result<(PeopleReport, Examples)> {
    let untrained = model.untrained_like(options.untrained_seed)?;
    let images: Vec<PersonImages> = images_of(people.dataset)
        .into_iter()
        .map(|person| PersonImages {
            images: person.images.into_iter().take(options.verified_photos).collect(),
            ..person
        })
        .collect();
    let verification = verification(model, &untrained, verifier, &images, options, progress)?;
    let tokens = tokens(model, &untrained, &images, progress)?;
    let mut report = PeopleReport {
        name: people.name.clone(),
        data: people.dataset.report().to_string(),
        verification,
        tokens,
        generation: None,
        not_drawn: None,
        generation_from_all: None,
    };
    let mut examples = Examples::default();
    if let Some(host) = host {
        let generation = GenerationOptions {
            pixels: !people.photos,
            grey: people.photos && is_grey(&images),
            portraits: Vec::new(),
            ..options.generation.clone()
        };
        let some = Dataset {
            size: people.dataset.size,
            people: people
                .dataset
                .people
                .iter()
                .take(options.drawn_people)
                .cloned()
                .collect(),
        };
        match evaluate_generation(model, host, &some, verifier, &generation, progress) {
            Ok((found, shown)) => {
                report.generation = Some(found);
                examples.unseen = shown;
            }
            Err(error) if error.kind() == omniid::ErrorKind::InvalidArgument => {
                report.not_drawn = Some(error.message().to_string());
            }
            Err(error) => return Err(error),
        }
        if let Some(photos) = few_photos(&some).filter(|_| people.photos) {
            let all = GenerationOptions {
                counts: vec![photos],
                averaged: Vec::new(),
                drawn_are_read: true,
                portraits: options.generation.portraits.clone(),
                ..generation
            };
            let (found, shown) = evaluate_generation(model, host, &some, verifier, &all, progress)?;
            report.generation_from_all = Some(found);
            examples.from_all = shown;
        }
    }
    Ok((report, examples))
}

/// The photos that at least two people have, if they are few and more than one.
fn few_photos(dataset: &Dataset) -> Option<usize> {
    let mut photos: Vec<usize> = dataset.people.iter().map(|person| person.pictures.len()).collect();
    photos.sort_unstable_by(|a, b| b.cmp(a));
    photos
        .get(1)
        .copied()
        .filter(|photos| (2..=FEW_PHOTOS).contains(photos))
}

/// Whether most pictures have no colour. A camera's grey may have a tint, so small differences of the channels count as
/// none.
fn is_grey(people: &[PersonImages]) -> bool {
    /// Mean difference of two channels, of 255.
    const TINT: f64 = 4.0;
    let grey = |image: &RgbImage| {
        let differences = image.pixels().map(|pixel| {
            let [r, g, b] = pixel.0;
            u64::from(r.abs_diff(g)) + u64::from(g.abs_diff(b))
        });
        differences.sum::<u64>() as f64 <= TINT * 2.0 * f64::from(image.width()) * f64::from(image.height())
    };
    let all: usize = people.iter().map(|person| person.images.len()).sum();
    let without = people
        .iter()
        .flat_map(|person| &person.images)
        .filter(|image| grey(image))
        .count();
    2 * without > all
}

fn verification(
    model: &EvaluatedModel,
    untrained: &EvaluatedModel,
    verifier: Option<&Verifier>,
    people: &[PersonImages],
    options: &SuiteOptions,
    progress: &mut Progress<'_>,
) -> Result<Vec<VerificationRow>> {
    let template = CropTemplate::default();
    let (plain, centred) = (HogDescriptor { centred: false }, HogDescriptor { centred: true });
    let judge = verifier.map(|verifier| VerifierDescriptor { verifier, template });
    let descriptor = |model, name: &str| TokenDescriptor {
        model,
        name: name.to_string(),
    };
    let (trained, random) = (descriptor(model, TOKENS), descriptor(untrained, UNTRAINED));
    let similarity = SimilarityDescriptor {
        model,
        name: SIMILARITY.to_string(),
    };
    let mut descriptors: Vec<&dyn Descriptor> = vec![&trained, &plain, &centred, &ColourDescriptor, &random];
    if model.engine().similarity_directions() > 0 {
        descriptors.insert(0, &similarity);
    }
    let histograms = HistogramDescriptor { model };
    let large = people
        .iter()
        .flat_map(|person| &person.images)
        .all(|image| image.width() >= SIDE);
    if model.engine().histogram_directions() > 0 && large {
        descriptors.insert(1, &histograms);
    }
    if let Some(judge) = &judge {
        descriptors.push(judge);
    }
    let mut rows = Vec::new();
    for photos in &options.set_photos {
        // Sets need twice as many photos; people who lack them are left out, and without any pair there is no row.
        let enough = people.iter().filter(|person| person.images.len() >= 2 * photos).count();
        if enough < 2 {
            continue;
        }
        for descriptor in &descriptors {
            let settings = VerificationOptions {
                photos: *photos,
                resamples: options.resamples,
                ..VerificationOptions::default()
            };
            let found = verify(*descriptor, people, settings, progress)?;
            rows.push(VerificationRow {
                descriptor: found.descriptor,
                photos: found.photos,
                people: found.people,
                sets: found.sets,
                auc: found.verification.auc,
                tar_at_1_percent: found.verification.tar_at_1_percent,
                equal_error_rate: found.verification.curve.equal_error_rate,
                rank_1: found.rank_1,
            });
        }
    }
    Ok(rows)
}

/// Statistics of identities from one photo and from up to three.
fn tokens(
    model: &EvaluatedModel,
    untrained: &EvaluatedModel,
    people: &[PersonImages],
    progress: &mut Progress<'_>,
) -> Result<Vec<TokenRow>> {
    let mut rows = Vec::new();
    if people.len() < 2 || model.shape()[0] < 2 {
        return Ok(rows);
    }
    for (name, model) in [(TOKENS, model), (UNTRAINED, untrained)] {
        for photos in [1, 3] {
            let mut identities = Vec::with_capacity(people.len());
            for (place, person) in people.iter().enumerate() {
                progress.report("token statistics", place, people.len())?;
                let set: Vec<_> = person.images.iter().take(photos).collect();
                identities.push(model.tokens(&set)?);
            }
            rows.push(TokenRow {
                model: name.to_string(),
                photos,
                statistics: TokenStatistics::of(&identities, model.shape())?,
            });
        }
    }
    Ok(rows)
}

impl PeopleReport {
    /// The row of a descriptor for sets of so many photos.
    pub fn row(&self, descriptor: &str, photos: usize) -> Option<&VerificationRow> {
        self.verification
            .iter()
            .find(|row| row.descriptor == descriptor && row.photos == photos)
    }

    /// The drawn pictures' identities, in order.
    pub fn kinds(&self) -> Vec<Drawn> {
        let generation = self.generation.iter();
        generation
            .flat_map(|found| found.results.iter().map(|result| result.drawn))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::toy_people;
    use image::Rgb;

    #[test]
    fn colour_is_judged_as_colour() {
        let people = |pixels: [u8; 3], grey: usize| {
            let image = |pixel| RgbImage::from_pixel(4, 4, Rgb(pixel));
            let images = (0..3).map(|place| image(if place < grey { [90, 92, 95] } else { pixels }));
            vec![PersonImages {
                family: String::new(),
                images: images.collect(),
            }]
        };
        assert!(is_grey(&people([120; 3], 0)) && is_grey(&people([200, 150, 120], 2)));
        assert!(!is_grey(&people([200, 150, 120], 1)));
    }

    #[test]
    fn people_with_few_photos_are_drawn_from_all_of_them() {
        let mut people = toy_people(3, 2, 16, 1);
        assert_eq!(few_photos(&people), Some(2));
        people.people[0].pictures.truncate(1);
        assert_eq!(few_photos(&people), Some(2));
        people.people[1].pictures.truncate(1);
        assert_eq!(few_photos(&people), None);
        assert_eq!(few_photos(&toy_people(3, 4, 16, 1)), None);
    }
}
