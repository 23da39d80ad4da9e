//! Pictures drawn from identities, against the true pictures of the same views.

mod options;
mod report;
mod scoring;

#[cfg(test)]
mod tests;

pub use options::{Drawn, GenerationOptions};
pub use report::{AngleResult, Difference, DrawnResult, Example, GenerationReport, ANGLES, FRONTAL};

use super::model::EvaluatedModel;
use super::progress::Progress;
use super::subjects::{images, Subject};
use super::verifier::Verifier;
use crate::data::{next_of_family, Dataset};
use crate::statistics;
use image::RgbImage;
use omniid::encoder::EncoderKind;
use omniid::identity::{Identity, Provenance};
use omniid::{Error, Result};
use omniid_minihost::{GenerateOptions, Generator, Minihost, View};
use scoring::Scorer;

/// Draws the people of a set from different identities and judges the pictures.
///
/// Pictures of the set are crops of the generator's size. Where a single picture is read and nobody has a third one,
/// the true picture of what is drawn is also the one that is compared with. `verifier` judges who is shown; without it
/// only pixels are compared.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`](omniid::ErrorKind::InvalidArgument) when fewer than two people have enough pictures,
/// [`ErrorKind::Mismatch`](omniid::ErrorKind::Mismatch) when model, host and pictures do not belong together,
/// [`ErrorKind::Cancelled`](omniid::ErrorKind::Cancelled).
pub fn evaluate_generation(
    model: &EvaluatedModel,
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
    if most == 0 {
        return Err(Error::invalid("0 pictures to read, expected at least 1"));
    }
    let mut subjects = match options.drawn_are_read {
        true => Subject::of_read(dataset, most, options.targets),
        false => Subject::of(dataset, most, options.targets),
    };
    let few = subjects.len() < 2 && most == 1 && !options.drawn_are_read;
    if few {
        subjects = Subject::of_two(dataset);
    }
    if subjects.len() < 2 {
        let needed = match most {
            most if options.drawn_are_read => format!("{most} pictures to read"),
            1 => "2 pictures, one to read and one to draw".to_string(),
            most => format!(
                "{} pictures, {most} to read, one to compare with and one to draw",
                most + 2
            ),
        };
        return Err(Error::invalid(format!(
            "{} of {} people have at least {needed}; expected 2 people",
            subjects.len(),
            dataset.people.len()
        )));
    }
    let scorer = Scorer::new(&subjects, dataset.size, verifier, options, progress)?;
    let identities = identities(model, &subjects, dataset.size, options, progress)?;
    let mut drawn = Vec::with_capacity(identities.len());
    let mut examples: Vec<Example> = (0..subjects.len().min(options.examples))
        .map(|person| Example {
            inputs: images(&subjects[person].inputs, dataset.size),
            truth: scorer.truth[person].clone(),
            drawn: Vec::new(),
            portraits: Vec::new(),
        })
        .collect();
    let total = identities.len() * subjects.len();
    for (kind, people) in &identities {
        let mut metrics = Vec::with_capacity(subjects.len());
        for (person, identity) in people.iter().enumerate() {
            let done = drawn.len() * subjects.len() + person;
            progress.report("drawing people", done, total)?;
            let generate = sampling(options, *kind, person, model.token_mean().is_some());
            let views: Vec<View> = subjects[person].targets.iter().map(|target| target.view).collect();
            let pictures = generator.generate(identity, &views, &generate, |_, _| Ok(()))?;
            metrics.push(scorer.score(person, *kind, &pictures)?);
            if let Some(example) = examples.get_mut(person) {
                if *kind == Drawn::Photos(most) && !options.portraits.is_empty() {
                    example.portraits = generator.generate(identity, &options.portraits, &generate, |_, _| Ok(()))?;
                }
                example.drawn.push((*kind, pictures));
            }
        }
        drawn.push((*kind, metrics));
    }
    let mut report = report::report(&subjects, &scorer, &drawn, host, options)?;
    report.compared_with_drawn = few;
    Ok((report, examples))
}

/// Every kind of identity with everybody's.
type Identities = Vec<(Drawn, Vec<Identity>)>;

fn identities(
    model: &EvaluatedModel,
    subjects: &[Subject<'_>],
    size: u32,
    options: &GenerationOptions,
    progress: &mut Progress<'_>,
) -> Result<Identities> {
    let counts = &options.counts;
    let most = counts.iter().copied().max().unwrap_or(1);
    let mut photos: Identities = counts.iter().map(|count| (Drawn::Photos(*count), Vec::new())).collect();
    let averages: &[usize] = match options.averaged.as_slice() {
        [] if most > 1 => std::slice::from_ref(&most),
        chosen => chosen,
    };
    if let Some(many) = averages.iter().find(|count| !(1..=most).contains(*count)) {
        return Err(Error::invalid(format!(
            "the mean of {many} single photos of {most} that are read, expected 1 to {most}"
        )));
    }
    let mut averaged: Identities = averages
        .iter()
        .map(|count| (Drawn::Averaged(*count), Vec::new()))
        .collect();
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
        for (kind, people) in &mut averaged {
            let Drawn::Averaged(count) = *kind else { continue };
            people.push(made(model, statistics::mean(&singles[..count]), count)?);
        }
    }
    let full = photos
        .iter()
        .find(|(kind, _)| *kind == Drawn::Photos(most))
        .map(|(_, people)| people.clone())
        .unwrap_or_default();
    let mean = match model.token_mean() {
        Some(mean) => mean.to_vec(),
        None => statistics::mean(full.iter().map(Identity::values)),
    };
    let mean = made(model, mean, 1)?;
    let families: Vec<&str> = subjects.iter().map(|subject| subject.family).collect();
    let others = next_of_family(&families)
        .into_iter()
        .map(|other| full[other].clone())
        .collect();
    let mut all = photos;
    all.append(&mut averaged);
    all.push((Drawn::OtherPerson, others));
    all.push((Drawn::MeanTokens, vec![mean; subjects.len()]));
    all.push((Drawn::Nobody, full));
    Ok(all)
}

/// An identity of given tokens.
fn made(model: &EvaluatedModel, tokens: Vec<f32>, photos: usize) -> Result<Identity> {
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
