//! The tables of generated pictures.

use super::options::{Drawn, GenerationOptions};
use super::scoring::Scorer;
use crate::evaluate::metric::{mean_difference, person_means, Means, Metric, PersonMeans, PictureMetrics, Resampling};
use crate::evaluate::subjects::{from_front, Subject};
use crate::statistics::Estimate;
use image::RgbImage;
use omniid::Result;
use omniid_minihost::{Minihost, View};
use serde::{Deserialize, Serialize};

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
    /// The means of every person over all views, if they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<PersonMeans>,
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
    /// Those of every person, if they were asked for; empty for who has no such picture.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<PersonMeans>,
}

/// How much one identity's pictures are better than another's, person by person.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// These pictures'
    pub drawn: Drawn,
    /// less those'.
    pub against: Drawn,
    /// The metric that is compared.
    pub measure: Metric,
    /// Mean over people.
    pub estimate: Estimate,
}

/// What [`evaluate_generation`](super::evaluate_generation) found.
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
    /// Whether people have two pictures only, so that no other view than the drawn one can be compared with.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compared_with_drawn: bool,
    /// Whether the photos that were read are drawn and compared with.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drawn_are_read: bool,
    /// Each kind of identity.
    pub results: Vec<DrawnResult>,
    /// The true pictures themselves, metrics like generated ones: what the verifier can give at this size. Over all
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
            let similarity = value(means, Metric::Similarity)?;
            let (low, high) = (value(truth, Metric::Impostor)?, value(truth, Metric::OtherView)?);
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
    /// [`GenerationOptions::portraits`].
    pub portraits: Vec<RgbImage>,
}

/// All pictures of all people of one kind of identity.
type Scores = Vec<Vec<PictureMetrics>>;

/// The tables of what was drawn and metrics.
pub(super) fn report(
    subjects: &[Subject<'_>],
    scorer: &Scorer<'_>,
    drawn: &[(Drawn, Scores)],
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
        metrics: &'j Scores,
        keep: impl Fn(&Subject<'_>, &View) -> bool,
    ) -> Vec<Vec<&'j PictureMetrics>> {
        subjects
            .iter()
            .zip(metrics)
            .map(|(subject, own)| {
                let pairs = subject.targets.iter().zip(own);
                let kept = pairs.filter(|(target, _)| keep(subject, &target.view));
                kept.map(|(_, metrics)| metrics).collect()
            })
            .collect()
    }
    let means = |metrics: &Scores, keep: &dyn Fn(&Subject<'_>, &View) -> bool| {
        Means::of(&chosen(subjects, metrics, keep), resampling)
    };
    let people = |metrics: &Scores, keep: &dyn Fn(&Subject<'_>, &View) -> bool| match options.per_person {
        true => person_means(&chosen(subjects, metrics, keep)),
        false => Vec::new(),
    };
    let frontal = |_: &Subject<'_>, view: &View| from_front(view) <= FRONTAL;
    let results = drawn
        .iter()
        .map(|(kind, metrics)| DrawnResult {
            drawn: *kind,
            all: means(metrics, &|_, _| true),
            frontal: means(metrics, &frontal),
            people: people(metrics, &|_, _| true),
        })
        .collect();
    let truth: Scores = (0..subjects.len()).map(|person| scorer.score_truth(person)).collect();
    let (fewest, most) = (
        options.counts.iter().copied().min().unwrap_or(1),
        options.counts.iter().copied().max().unwrap_or(1),
    );
    let mut angles = Vec::new();
    for (kind, metrics) in drawn {
        let Drawn::Photos(count) = *kind else { continue };
        if count != fewest && count != most {
            continue;
        }
        for pair in ANGLES.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let near = |subject: &Subject<'_>, view: &View| (from..to).contains(&subject.nearest(view, count));
            angles.push(AngleResult {
                drawn: *kind,
                from,
                to,
                means: means(metrics, &near),
                people: people(metrics, &near),
            });
        }
    }
    let mut differences = Vec::new();
    if let Some((best, metrics)) = drawn.iter().find(|(kind, _)| *kind == Drawn::Photos(most)) {
        let all = |metrics| chosen(subjects, metrics, |_, _| true);
        let own = all(metrics);
        for (kind, other) in drawn.iter().filter(|(kind, _)| kind != best) {
            for measure in [
                Metric::Similarity,
                Metric::OtherView,
                Metric::Margin,
                Metric::L1Head,
                Metric::PsnrHead,
                Metric::SsimHead,
                Metric::DetailError,
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
        compared_with_drawn: false,
        drawn_are_read: options.drawn_are_read,
        results,
        truth: [means(&truth, &|_, _| true), means(&truth, &frontal)],
        angles,
        differences,
    })
}
