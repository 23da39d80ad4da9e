//! The curves of an evaluation: over the number of photos, and over the angle between photo and picture.

use super::chart::{Chart, Curve};
use super::html::{escape, Section};
use crate::failure::{Failure, Outcome};
use omniid::Error;
use omniid_training::evaluate::{
    AngleResult, Drawn, Evaluation, GenerationReport, Means, Metric, PeopleReport, FORMAT_VERSION, HISTOGRAMS,
    SIMILARITY, UNTRAINED,
};
use std::path::Path;

/// Most bytes of an evaluation's file. One of ten groups has some 300 kB.
const MOST_BYTES: u64 = 64 << 20;

/// Reads what `omniid evaluate` wrote for programs; a folder is that of its output.
pub fn read(path: &Path) -> Outcome<Evaluation> {
    let path = match path.is_dir() {
        true => path.join(crate::commands::evaluate::JSON),
        false => path.to_path_buf(),
    };
    let found = std::fs::metadata(&path).map_err(|error| Error::io(&path, error))?;
    if found.len() > MOST_BYTES {
        let text = format!(
            "{}: {} bytes, at most {MOST_BYTES} expected",
            path.display(),
            found.len()
        );
        return Err(Error::limit(text).into());
    }
    let bytes = std::fs::read(&path).map_err(|error| Error::io(&path, error))?;
    let evaluation: Evaluation = serde_json::from_slice(&bytes).map_err(|error| {
        Failure::usage(format!(
            "{}: expected evaluation.json of omniid evaluate: {error}",
            path.display()
        ))
    })?;
    match evaluation.format == FORMAT_VERSION {
        true => Ok(evaluation),
        false => Err(Failure::usage(format!(
            "{}: written in format {}, expected {FORMAT_VERSION}",
            path.display(),
            evaluation.format
        ))),
    }
}

/// The section of all groups of people.
pub fn section(evaluation: &Evaluation) -> Section {
    let verifier = evaluation.verifier.as_ref().map_or("no verifier", |model| &model.name);
    let mut body = format!(
        "<p>Model {}, version {}, commit {}, verifier {}. Bars are 95 % intervals over people.</p>\n",
        escape(&evaluation.model.name),
        escape(&evaluation.version),
        escape(&evaluation.commit),
        escape(verifier)
    );
    for people in &evaluation.people {
        body.push_str(&format!(
            "<h3>{}</h3>\n<p class=\"soft\">{}</p>\n",
            escape(&people.name),
            escape(&people.data)
        ));
        body.push_str(&told_apart(people));
        match &people.generation {
            Some(report) => body.push_str(&drawn(report)),
            None => {
                if let Some(reason) = &people.not_drawn {
                    body.push_str(&format!("<p>No pictures: {}</p>\n", escape(reason)));
                }
            }
        }
        if let Some(report) = &people.generation_from_all {
            body.push_str("<p>Drawn from all photos that people have, and compared with these:</p>\n");
            body.push_str(&drawn(report));
        }
    }
    Section {
        id: "evaluation",
        title: "Evaluation",
        body,
    }
}

/// How well people are told apart, by the photos of a set.
fn told_apart(people: &PeopleReport) -> String {
    let mut counts: Vec<usize> = people.verification.iter().map(|row| row.photos).collect();
    counts.sort_unstable();
    counts.dedup();
    let of = |descriptor: &str| Curve {
        name: descriptor.to_string(),
        points: counts
            .iter()
            .map(|count| {
                let mut rows = people.verification.iter();
                rows.find(|row| row.photos == *count && row.descriptor == descriptor)
                    .map(|row| row.auc)
            })
            .collect(),
    };
    // Two at most: beside the model's own similarity its histograms, or a floor.
    let described = people.verification.iter().any(|row| row.descriptor == HISTOGRAMS);
    let known = [SIMILARITY, if described { HISTOGRAMS } else { UNTRAINED }];
    let curves = known.map(of).into_iter();
    Chart {
        title: "Telling people apart (area under the curve)",
        axis: "photos of a set",
        places: counts.iter().map(usize::to_string).collect(),
        curves: curves
            .filter(|curve| curve.points.iter().any(Option::is_some))
            .collect(),
        levels: Vec::new(),
    }
    .html()
}

/// What was drawn, by the number of photos and by the angle.
fn drawn(report: &GenerationReport) -> String {
    let counts: Vec<usize> = report
        .results
        .iter()
        .filter_map(|result| match result.drawn {
            Drawn::Photos(count) => Some(count),
            _ => None,
        })
        .collect();
    let by_count = |metric| {
        let point = |count: &usize| {
            let mut results = report.results.iter();
            results
                .find(|result| result.drawn == Drawn::Photos(*count))
                .and_then(|result| result.all.get(metric))
        };
        counts.iter().map(point).collect::<Vec<_>>()
    };
    let level = |means: &Means, metric| means.get(metric).map(|found| found.value);
    let places: Vec<String> = counts.iter().map(usize::to_string).collect();
    let mut text = String::new();
    let [truth, _] = &report.truth;
    let levels = [
        ("two people", level(truth, Metric::Impostor)),
        ("two true pictures of one person", level(truth, Metric::OtherView)),
    ];
    text.push_str(
        &Chart {
            title: "Similarity of drawn to true pictures",
            axis: "photos",
            places: places.clone(),
            curves: vec![Curve {
                name: "own person".to_string(),
                points: by_count(Metric::Similarity),
            }],
            levels: levels
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_string(), value?)))
                .collect(),
        }
        .html(),
    );
    for metric in [Metric::Margin, Metric::CopyPaste, Metric::L1Head, Metric::DetailError] {
        let title = match metric {
            Metric::Margin => "Similarity to the own person less that to others".to_string(),
            Metric::CopyPaste => "Copy-paste: above 0, the photo was copied rather than the person drawn".to_string(),
            _ => format!("{} of drawn pictures", capital(metric.title())),
        };
        text.push_str(
            &Chart {
                title: &title,
                axis: "photos",
                places: places.clone(),
                curves: vec![Curve {
                    name: metric.title().to_string(),
                    points: by_count(metric),
                }],
                levels: Vec::new(),
            }
            .html(),
        );
    }
    for metric in [Metric::Similarity, Metric::L1Head] {
        text.push_str(&by_angle(&report.angles, metric));
    }
    text
}

/// A metric by the angle between picture and nearest photo, for the fewest and the most photos.
fn by_angle(angles: &[AngleResult], metric: Metric) -> String {
    let mut places: Vec<(f64, f64)> = Vec::new();
    let mut kinds: Vec<Drawn> = Vec::new();
    for result in angles {
        if !places.contains(&(result.from, result.to)) {
            places.push((result.from, result.to));
        }
        if !kinds.contains(&result.drawn) {
            kinds.push(result.drawn);
        }
    }
    let curve = |kind: &Drawn| Curve {
        name: kind.title(),
        points: places
            .iter()
            .map(|place| {
                let mut results = angles.iter();
                results
                    .find(|result| result.drawn == *kind && (result.from, result.to) == *place)
                    .and_then(|result| result.means.get(metric))
            })
            .collect(),
    };
    let title = format!("{}, by angle", capital(metric.title()));
    Chart {
        title: &title,
        axis: "degrees between the picture and the nearest photo",
        places: places.iter().map(|(from, to)| format!("{from} to {to}")).collect(),
        curves: kinds.iter().take(2).map(curve).collect(),
        levels: Vec::new(),
    }
    .html()
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}
