//! Pictures drawn from identities, against the true pictures of the same views.

use super::measure::{mean_difference, Judged, Means, Measure, Resampling};
use super::progress::Progress;
use super::roc::Estimate;
use super::subjects::{from_front, Subject};
use super::tokens::IdentityModel;
use super::verification::image_of;
use super::verifier::{cosine, Embedding, Verifier};
use crate::data::{CropTemplate, Dataset, Picture};
use image::RgbImage;
use omniid::encoder::EncoderKind;
use omniid::error::{Error, Result};
use omniid::identity::{Identity, Provenance};
use omniid_minihost::{GenerateOptions, Generator, Minihost, View};
use serde::{Deserialize, Serialize};

/// How pictures are drawn and judged.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationOptions {
    /// Numbers of photos that identities are made of, rising. The last is the one that other identities are compared
    /// with. Default 1, 3, 5, 7.
    pub counts: Vec<usize>,
    /// Pictures drawn of a person. Default 4.
    pub targets: usize,
    /// How they are drawn; the noise differs from person to person and is the same for all identities of a person.
    pub generate: GenerateOptions,
    /// Whether the views determine the true pictures, so that pixels can be compared: yes for renders, no for photos.
    pub pixels: bool,
    /// Whether everything is made grey before the verifier sees it: for grey photos.
    pub grey: bool,
    /// Where faces lie in the pictures.
    pub template: CropTemplate,
    /// Draws of people for the intervals. Default 1000.
    pub resamples: usize,
    /// For drawing people.
    pub seed: u64,
    /// People whose pictures are returned to look at. Default 8.
    pub examples: usize,
}

impl Default for GenerationOptions {
    fn default() -> Self {
        Self {
            counts: vec![1, 3, 5, 7],
            targets: 4,
            generate: GenerateOptions::default(),
            pixels: true,
            grey: false,
            template: CropTemplate::default(),
            resamples: 1000,
            seed: 0,
            examples: 8,
        }
    }
}

/// Whose identity is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drawn {
    /// The person's, of so many photos together.
    Photos(usize),
    /// The mean of the identities of so many single photos.
    Averaged(usize),
    /// Somebody else's of the family.
    OtherPerson,
    /// The mean of all people's.
    MeanTokens,
    /// Nobody's: the identity is not added at all.
    Nobody,
}

impl Drawn {
    /// Its name in tables.
    pub fn title(self) -> String {
        match self {
            Self::Photos(1) => "1 photo".to_string(),
            Self::Photos(count) => format!("{count} photos"),
            Self::Averaged(count) => format!("mean of {count} single photos"),
            Self::OtherPerson => "another person".to_string(),
            Self::MeanTokens => "mean tokens".to_string(),
            Self::Nobody => "no identity".to_string(),
        }
    }
}

/// Bounds of the angles between nearest input and target that errors are told for, degrees.
pub const ANGLES: [f64; 5] = [0.0, 15.0, 30.0, 60.0, 180.0];

/// A head that looks at most so many degrees past the camera counts as frontal.
pub const FRONTAL: f64 = 30.0;

/// Means of the pictures of one kind of identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrawnResult {
    /// Whose identity.
    pub drawn: Drawn,
    /// Over all views.
    pub all: Means,
    /// Over views within [`FRONTAL`] degrees of the camera.
    pub frontal: Means,
}

/// Means of the pictures whose nearest input is so far away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AngleResult {
    /// Whose identity.
    pub drawn: Drawn,
    /// Smallest angle, degrees.
    pub from: f64,
    /// The angle that is too large already.
    pub to: f64,
    /// The means.
    pub means: Means,
}

/// How much one identity's pictures are better than another's, person by person.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// These pictures'
    pub drawn: Drawn,
    /// less those'.
    pub against: Drawn,
    /// What.
    pub measure: Measure,
    /// Mean over people.
    pub estimate: Estimate,
}

/// What [`evaluate_generation`] found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerationReport {
    /// People.
    pub people: usize,
    /// Pictures drawn for each kind of identity.
    pub pictures: usize,
    /// Rows and columns of a picture.
    pub size: u32,
    /// Steps from noise to picture.
    pub steps: usize,
    /// Guidance.
    pub guidance: f64,
    /// Each kind of identity.
    pub results: Vec<DrawnResult>,
    /// The true pictures themselves, judged like generated ones: what the verifier can give at this size. Over all
    /// views, then over frontal ones. Empty without a verifier.
    pub truth: [Means; 2],
    /// By the angle between nearest input and target, for the fewest and the most photos.
    pub angles: Vec<AngleResult>,
    /// The most photos against everything else.
    pub differences: Vec<Difference>,
}

impl GenerationReport {
    /// Where the similarity of generated to true pictures lies between that of two people (0) and that of two true
    /// pictures of one person (1): over all views, over frontal ones. `None` without a verifier.
    pub fn position(&self, result: &DrawnResult) -> [Option<f64>; 2] {
        let position = |means: &Means, truth: &Means| {
            let value = |means: &Means, measure| means.get(measure).map(|found| found.value);
            let similarity = value(means, Measure::Similarity)?;
            let (low, high) = (
                value(truth, Measure::Impostor)?,
                value(truth, Measure::OtherView)?,
            );
            (high > low).then(|| (similarity - low) / (high - low))
        };
        [
            position(&result.all, &self.truth[0]),
            position(&result.frontal, &self.truth[1]),
        ]
    }
}

/// One person's pictures to look at.
#[derive(Debug, Clone)]
pub struct Example {
    /// What the encoder read.
    pub inputs: Vec<RgbImage>,
    /// The true pictures of the views.
    pub truth: Vec<RgbImage>,
    /// What was drawn of each kind of identity.
    pub drawn: Vec<(Drawn, Vec<RgbImage>)>,
}

/// Draws the people of a set from different identities and judges the pictures.
///
/// Pictures of the set are crops of the generator's size. `verifier` judges who is shown; without it only pixels are
/// compared.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`](omniid::ErrorKind::InvalidArgument) when fewer than two people have enough pictures,
/// [`ErrorKind::Mismatch`](omniid::ErrorKind::Mismatch) when model, host and pictures do not belong together,
/// [`ErrorKind::Cancelled`](omniid::ErrorKind::Cancelled).
pub fn evaluate_generation(
    model: &IdentityModel,
    host: &Minihost,
    dataset: &Dataset,
    verifier: Option<&Verifier>,
    options: &GenerationOptions,
    progress: &mut Progress<'_>,
) -> Result<(GenerationReport, Vec<Example>)> {
    let generator = Generator::new(host.clone(), model.engine().clone())?;
    let most = options.counts.iter().copied().max().unwrap_or(0);
    if dataset.size as usize != host.config().size {
        return Err(Error::mismatch(format!(
            "pictures of side {} for a generator of {}",
            dataset.size,
            host.config().size
        )));
    }
    let subjects = Subject::of(dataset, most, options.targets);
    if most == 0 || subjects.len() < 2 {
        return Err(Error::invalid(format!(
            "{} of {} people have {most} pictures to read, one to compare with and one to draw; at least 2 people and 1 \
             photo are needed",
            subjects.len(),
            dataset.people.len()
        )));
    }
    let judge = Judge::new(&subjects, dataset.size, verifier, options, progress)?;
    let identities = identities(model, &subjects, dataset.size, &options.counts, progress)?;
    let mut drawn = Vec::with_capacity(identities.len());
    let mut examples: Vec<Example> = (0..subjects.len().min(options.examples))
        .map(|person| Example {
            inputs: images(&subjects[person].inputs, dataset.size),
            truth: judge.truth[person].clone(),
            drawn: Vec::new(),
        })
        .collect();
    let total = identities.len() * subjects.len();
    for (kind, people) in &identities {
        let mut judged = Vec::with_capacity(subjects.len());
        for (person, identity) in people.iter().enumerate() {
            let done = drawn.len() * subjects.len() + person;
            progress.report("drawing people", done, total)?;
            let generate = sampling(options, *kind, person, model.token_mean().is_some());
            let views: Vec<View> = subjects[person]
                .targets
                .iter()
                .map(|target| target.view)
                .collect();
            let pictures = generator.generate(identity, &views, &generate, |_, _| Ok(()))?;
            judged.push(judge.judge(person, &pictures)?);
            if let Some(example) = examples.get_mut(person) {
                example.drawn.push((*kind, pictures));
            }
        }
        drawn.push((*kind, judged));
    }
    Ok((report(&subjects, &judge, &drawn, host, options)?, examples))
}

/// Every kind of identity with everybody's.
type Identities = Vec<(Drawn, Vec<Identity>)>;

fn identities(
    model: &IdentityModel,
    subjects: &[Subject<'_>],
    size: u32,
    counts: &[usize],
    progress: &mut Progress<'_>,
) -> Result<Identities> {
    let most = counts.iter().copied().max().unwrap_or(1);
    let mut photos: Identities = counts
        .iter()
        .map(|count| (Drawn::Photos(*count), Vec::new()))
        .collect();
    let mut averaged = Vec::new();
    for (person, subject) in subjects.iter().enumerate() {
        progress.report("encoding people", person, subjects.len())?;
        let inputs = images(&subject.inputs, size);
        let all: Vec<&RgbImage> = inputs.iter().collect();
        for (kind, people) in &mut photos {
            let Drawn::Photos(count) = kind else { continue };
            people.push(model.identity(&all[..*count])?);
        }
        let singles = all[..most]
            .iter()
            .map(|picture| model.tokens(&[picture]))
            .collect::<Result<Vec<_>>>()?;
        averaged.push(made(
            model,
            super::descriptor::average(singles.into_iter()),
            most,
        )?);
    }
    let full = photos
        .iter()
        .find(|(kind, _)| *kind == Drawn::Photos(most))
        .map(|(_, people)| people.clone())
        .unwrap_or_default();
    let mean = match model.token_mean() {
        Some(mean) => mean.to_vec(),
        None => super::descriptor::average(full.iter().map(|identity| identity.values().to_vec())),
    };
    let mean = made(model, mean, 1)?;
    let others = (0..subjects.len())
        .map(|own| full[other_of(subjects, own)].clone())
        .collect();
    let mut all = photos;
    if most > 1 {
        all.push((Drawn::Averaged(most), averaged));
    }
    all.push((Drawn::OtherPerson, others));
    all.push((Drawn::MeanTokens, vec![mean; subjects.len()]));
    all.push((Drawn::Nobody, full));
    Ok(all)
}

/// The next person of the family, or of any if there is none.
fn other_of(subjects: &[Subject<'_>], own: usize) -> usize {
    let count = subjects.len();
    (1..count)
        .map(|ahead| (own + ahead) % count)
        .find(|other| subjects[*other].family == subjects[own].family)
        .unwrap_or((own + 1) % count)
}

/// An identity of given tokens.
fn made(model: &IdentityModel, tokens: Vec<f32>, photos: usize) -> Result<Identity> {
    let provenance = Provenance {
        model: model.fingerprint().to_string(),
        photos,
        ..Provenance::default()
    };
    Identity::new(EncoderKind::OmniId, model.shape(), tokens, Vec::new(), provenance)
}

/// How one person's pictures are sampled. `centred`: the mean identity is the generator's nobody.
fn sampling(options: &GenerationOptions, kind: Drawn, person: usize, centred: bool) -> GenerateOptions {
    let mut generate = GenerateOptions {
        seed: options.generate.seed.wrapping_add(person as u64),
        ..options.generate.clone()
    };
    if kind == Drawn::Nobody {
        generate.identity_scale = 0.0;
    }
    if kind == Drawn::Nobody || (kind == Drawn::MeanTokens && centred) {
        // Guidance from nobody towards nobody changes nothing but the time.
        generate.guidance = 1.0;
    }
    generate
}

/// True pictures and what the verifier thinks of them.
struct Judge<'a> {
    subjects: &'a [Subject<'a>],
    options: &'a GenerationOptions,
    /// By person.
    truth: Vec<Vec<RgbImage>>,
    faces: Option<Faces<'a>>,
}

struct Faces<'a> {
    verifier: &'a Verifier,
    /// By person and target.
    truth: Vec<Vec<Embedding>>,
    /// By person.
    gallery: Vec<Embedding>,
}

impl<'a> Judge<'a> {
    fn new(
        subjects: &'a [Subject<'a>],
        size: u32,
        verifier: Option<&'a Verifier>,
        options: &'a GenerationOptions,
        progress: &mut Progress<'_>,
    ) -> Result<Self> {
        let truth: Vec<Vec<RgbImage>> = subjects
            .iter()
            .map(|subject| images(&subject.targets, size))
            .collect();
        let faces = match verifier {
            Some(verifier) => {
                let mut faces = Faces {
                    verifier,
                    truth: Vec::with_capacity(subjects.len()),
                    gallery: Vec::with_capacity(subjects.len()),
                };
                for (person, pictures) in truth.iter().enumerate() {
                    progress.report("judging true pictures", person, subjects.len())?;
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
    fn judge(&self, person: usize, pictures: &[RgbImage]) -> Result<Vec<Judged>> {
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
                let mut judged = Judged::default();
                if let (Some(faces), Some(embeddings)) = (&self.faces, &embeddings) {
                    let own = &embeddings[place];
                    judged.add(Measure::Similarity, cosine(own, &faces.truth[person][place]));
                    self.add_identity(&mut judged, faces, person, own);
                }
                if self.options.pixels {
                    judged.add_pixels(picture, truth, &target.mask)?;
                }
                Ok(judged)
            })
            .collect()
    }

    /// The true pictures, as if they had been drawn.
    fn judge_truth(&self, person: usize) -> Vec<Judged> {
        let Some(faces) = &self.faces else {
            return self.truth[person].iter().map(|_| Judged::default()).collect();
        };
        faces.truth[person]
            .iter()
            .map(|own| {
                let mut judged = Judged::default();
                self.add_identity(&mut judged, faces, person, own);
                judged
            })
            .collect()
    }

    /// Compares a face with one true picture of everybody in the family.
    fn add_identity(&self, judged: &mut Judged, faces: &Faces<'_>, person: usize, own: &Embedding) {
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
        judged.add(Measure::OtherView, score);
        if !others.is_empty() {
            judged.add(
                Measure::Impostor,
                others.iter().sum::<f64>() / others.len() as f64,
            );
            let first = others.iter().all(|other| *other < score);
            judged.add(Measure::Rank1, f64::from(u8::from(first)));
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

/// Pixels of pictures whose size was checked with their set.
fn images(pictures: &[&Picture], size: u32) -> Vec<RgbImage> {
    pictures
        .iter()
        .filter_map(|picture| image_of(picture, size))
        .collect()
}

/// All pictures of all people of one kind of identity.
type JudgedPeople = Vec<Vec<Judged>>;

fn report(
    subjects: &[Subject<'_>],
    judge: &Judge<'_>,
    drawn: &[(Drawn, JudgedPeople)],
    host: &Minihost,
    options: &GenerationOptions,
) -> Result<GenerationReport> {
    let resampling = Resampling {
        resamples: options.resamples,
        seed: options.seed,
    };
    // The pictures of every person whose target fulfils a condition.
    fn chosen<'j>(
        subjects: &[Subject<'_>],
        judged: &'j JudgedPeople,
        keep: impl Fn(&Subject<'_>, &View) -> bool,
    ) -> Vec<Vec<&'j Judged>> {
        subjects
            .iter()
            .zip(judged)
            .map(|(subject, own)| {
                let pairs = subject.targets.iter().zip(own);
                let kept = pairs.filter(|(target, _)| keep(subject, &target.view));
                kept.map(|(_, judged)| judged).collect()
            })
            .collect()
    }
    let means = |judged: &JudgedPeople, keep: &dyn Fn(&Subject<'_>, &View) -> bool| {
        Means::of(&chosen(subjects, judged, keep), resampling)
    };
    let frontal = |_: &Subject<'_>, view: &View| from_front(view) <= FRONTAL;
    let results = drawn
        .iter()
        .map(|(kind, judged)| DrawnResult {
            drawn: *kind,
            all: means(judged, &|_, _| true),
            frontal: means(judged, &frontal),
        })
        .collect();
    let truth: JudgedPeople = (0..subjects.len())
        .map(|person| judge.judge_truth(person))
        .collect();
    let (fewest, most) = (
        options.counts.iter().copied().min().unwrap_or(1),
        options.counts.iter().copied().max().unwrap_or(1),
    );
    let mut angles = Vec::new();
    for (kind, judged) in drawn {
        let Drawn::Photos(count) = *kind else { continue };
        if count != fewest && count != most {
            continue;
        }
        for pair in ANGLES.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let near =
                |subject: &Subject<'_>, view: &View| (from..to).contains(&subject.nearest(view, count));
            angles.push(AngleResult {
                drawn: *kind,
                from,
                to,
                means: means(judged, &near),
            });
        }
    }
    let mut differences = Vec::new();
    if let Some((best, judged)) = drawn.iter().find(|(kind, _)| *kind == Drawn::Photos(most)) {
        let all = |judged| chosen(subjects, judged, |_, _| true);
        let own = all(judged);
        for (kind, other) in drawn.iter().filter(|(kind, _)| kind != best) {
            for measure in [
                Measure::Similarity,
                Measure::OtherView,
                Measure::L1Head,
                Measure::PsnrHead,
                Measure::SsimHead,
                Measure::DetailError,
            ] {
                if let Some(estimate) = mean_difference(&own, &all(other), measure, resampling) {
                    differences.push(Difference {
                        drawn: *best,
                        against: *kind,
                        measure,
                        estimate,
                    });
                }
            }
        }
    }
    Ok(GenerationReport {
        people: subjects.len(),
        pictures: subjects.iter().map(|subject| subject.targets.len()).sum(),
        size: host.config().size as u32,
        steps: options.generate.steps,
        guidance: options.generate.guidance,
        results,
        truth: [means(&truth, &|_, _| true), means(&truth, &frontal)],
        angles,
        differences,
    })
}

#[cfg(test)]
mod tests {
    use super::super::image_error::l1;
    use super::super::test_model;
    use super::*;
    use crate::toy::toy_people;

    fn options() -> GenerationOptions {
        GenerationOptions {
            counts: vec![1, 3],
            targets: 2,
            generate: GenerateOptions {
                steps: 2,
                ..GenerateOptions::default()
            },
            resamples: 20,
            ..GenerationOptions::default()
        }
    }

    #[test]
    fn tables_are_means_of_what_was_drawn() -> Result<()> {
        let (model, host) = test_model::generator(5);
        let people = toy_people(3, 7, test_model::DRAWN, 1);
        let (report, examples) =
            evaluate_generation(&model, &host, &people, None, &options(), &mut Progress::silent())?;
        assert_eq!((report.people, report.pictures, examples.len()), (3, 6, 3));
        let kinds: Vec<Drawn> = report.results.iter().map(|result| result.drawn).collect();
        assert_eq!(
            kinds,
            [
                Drawn::Photos(1),
                Drawn::Photos(3),
                Drawn::Averaged(3),
                Drawn::OtherPerson,
                Drawn::MeanTokens,
                Drawn::Nobody
            ]
        );
        let mut errors = Vec::new();
        for (place, result) in report.results.iter().enumerate() {
            let mut sum = 0.0;
            for example in &examples {
                let (drawn, pictures) = &example.drawn[place];
                assert_eq!(*drawn, result.drawn);
                for (picture, truth) in pictures.iter().zip(&example.truth) {
                    sum += l1(picture, truth, None)? / 6.0;
                }
            }
            let found = result.all.get(Measure::L1).expect("pixels were compared");
            assert!((found.value - sum).abs() < 1e-9 && found.low <= sum && sum <= found.high);
            assert_eq!(result.all.get(Measure::Similarity), None);
            errors.push(
                result
                    .all
                    .get(Measure::L1Head)
                    .expect("heads were compared")
                    .value,
            );
        }
        for row in &report.differences {
            let place = kinds
                .iter()
                .position(|kind| *kind == row.against)
                .expect("a kind");
            if row.measure == Measure::L1Head {
                assert!((row.estimate.value - (errors[1] - errors[place])).abs() < 1e-9);
            }
        }
        // Every picture is in one of the angles.
        for count in [1, 3] {
            let rows = report
                .angles
                .iter()
                .filter(|row| row.drawn == Drawn::Photos(count));
            assert_eq!(rows.map(|row| row.means.pictures).sum::<usize>(), 6);
        }
        Ok(())
    }

    #[test]
    fn pictures_are_of_the_identity_that_they_are_said_to_be_of() -> Result<()> {
        let (model, host) = test_model::generator(6);
        let people = toy_people(2, 7, test_model::DRAWN, 2);
        let options = options();
        let (_, examples) =
            evaluate_generation(&model, &host, &people, None, &options, &mut Progress::silent())?;
        let generator = Generator::new(host.clone(), model.engine().clone())?;
        let subjects = Subject::of(&people, 3, 2);
        let identity = |person: usize, count: usize| {
            let inputs = &examples[person].inputs[..count];
            model.identity(&inputs.iter().collect::<Vec<_>>())
        };
        let views: Vec<View> = subjects[1].targets.iter().map(|target| target.view).collect();
        let drawn = |identity: &Identity, scale: f32, guidance: f64| {
            let generate = GenerateOptions {
                // The second person's noise.
                seed: options.generate.seed + 1,
                identity_scale: scale,
                guidance,
                ..options.generate.clone()
            };
            generator.generate(identity, &views, &generate, |_, _| Ok(()))
        };
        let found = |kind: Drawn| {
            let all = &examples[1].drawn;
            all.iter()
                .find(|(known, _)| *known == kind)
                .map(|(_, pictures)| pictures.clone())
        };
        let guidance = options.generate.guidance;
        assert_eq!(
            found(Drawn::Photos(1)),
            Some(drawn(&identity(1, 1)?, 1.0, guidance)?)
        );
        assert_eq!(
            found(Drawn::Photos(3)),
            Some(drawn(&identity(1, 3)?, 1.0, guidance)?)
        );
        assert_eq!(
            found(Drawn::OtherPerson),
            Some(drawn(&identity(0, 3)?, 1.0, guidance)?)
        );
        assert_eq!(found(Drawn::Nobody), Some(drawn(&identity(0, 1)?, 0.0, 1.0)?));
        assert_ne!(found(Drawn::Photos(3)), found(Drawn::OtherPerson));
        assert_ne!(found(Drawn::Photos(3)), found(Drawn::Averaged(3)));
        Ok(())
    }

    #[test]
    fn what_cannot_be_evaluated_is_refused() {
        let (model, host) = test_model::generator(7);
        let evaluate = |people: &Dataset| {
            let options = options();
            evaluate_generation(&model, &host, people, None, &options, &mut Progress::silent()).map(|_| ())
        };
        let error = evaluate(&toy_people(3, 4, test_model::DRAWN, 1)).expect_err("too few pictures");
        assert_eq!(error.kind(), omniid::ErrorKind::InvalidArgument);
        let error = evaluate(&toy_people(3, 7, 2 * test_model::DRAWN, 1)).expect_err("another size");
        assert_eq!(error.kind(), omniid::ErrorKind::Mismatch);
    }
}
