//! Everything that is known about a model, by one call.

use super::descriptor::{
    ColourDescriptor, Descriptor, HogDescriptor, SimilarityDescriptor, TokenDescriptor, VerifierDescriptor,
};
use super::generation::{evaluate_generation, Drawn, Example, GenerationOptions, GenerationReport};
use super::model::EvaluatedModel;
use super::progress::Progress;
use super::token_statistics::TokenStatistics;
use super::verification::{images_of, verify, PersonImages, VerificationOptions};
use super::verifier::Verifier;
use crate::data::{CropTemplate, Dataset};
use crate::statistics::Estimate;
use omniid::Result;
use omniid_minihost::Minihost;
use serde::{Deserialize, Serialize};

/// People to evaluate on, none of whom the model was trained on.
pub struct TestPeople<'a> {
    /// What they are called in tables.
    pub name: String,
    /// Their pictures, of the generator's size.
    pub dataset: &'a Dataset,
    /// Whether they are photos: grey is then judged as grey, and pixels are not compared.
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
}

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
) -> Result<(PeopleReport, Vec<Example>)> {
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
    };
    let mut examples = Vec::new();
    if let Some(host) = host {
        let generation = GenerationOptions {
            pixels: !people.photos,
            grey: people.photos,
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
                examples = shown;
            }
            Err(error) if error.kind() == omniid::ErrorKind::InvalidArgument => {
                report.not_drawn = Some(error.message().to_string());
            }
            Err(error) => return Err(error),
        }
    }
    Ok((report, examples))
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
