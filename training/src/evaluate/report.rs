//! An evaluation as JSON for programs and as Markdown tables to read.

use super::generation::{GenerationReport, FRONTAL};
use super::metric::{Means, Metric};
use super::suite::PeopleReport;
use crate::statistics::Estimate;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// A model, as a report names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelName {
    /// For people.
    pub name: String,
    /// Of its weights.
    pub fingerprint: String,
}

/// One evaluation of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Version of this format.
    pub format: u32,
    /// Version of the program.
    pub version: String,
    /// Commit that the program was built from, or "unknown".
    pub commit: String,
    /// Identity model.
    pub model: ModelName,
    /// Generator, if pictures were drawn.
    pub minihost: Option<ModelName>,
    /// The judge of identities, if there was one.
    pub verifier: Option<ModelName>,
    /// Seed of the first rendered person.
    pub first_seed: u64,
    /// Draws of people behind the intervals of drawn pictures.
    pub resamples: usize,
    /// How long it took.
    pub seconds: f64,
    /// What was found, by group of people.
    pub people: Vec<PeopleReport>,
}

/// Version of [`Evaluation`].
pub const FORMAT_VERSION: u32 = 1;

impl Evaluation {
    /// Tables in Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::from("# Evaluation\n\n");
        let named = |model: &ModelName| format!("{} (`{}`)", model.name, model.fingerprint);
        let missing = "none".to_string();
        let lines = [
            ("identity model", named(&self.model)),
            ("generator", self.minihost.as_ref().map_or(missing.clone(), named)),
            ("verifier", self.verifier.as_ref().map_or(missing, named)),
            ("program", format!("{}, commit {}", self.version, self.commit)),
            ("first seed of rendered people", self.first_seed.to_string()),
            ("took", format!("{:.0} s", self.seconds)),
        ];
        for (name, value) in lines {
            let _ = writeln!(text, "- {name}: {value}");
        }
        text.push_str(
            "\nNobody here was trained on. In brackets: the interval that holds 95 % of the values when people are drawn \
             anew with replacement. What the measures mean: docs/evaluation.md.\n",
        );
        for people in &self.people {
            people_section(&mut text, people);
        }
        text
    }
}

fn people_section(text: &mut String, people: &PeopleReport) {
    let _ = writeln!(text, "\n## {}\n\n{}.\n", people.name, people.data);
    text.push_str("### Telling people apart\n\n");
    let mut table = Table::new(&[
        "descriptor",
        "photos",
        "AUC",
        "TAR at 1 % FAR",
        "equal error",
        "rank 1",
        "people",
        "sets",
    ]);
    for row in &people.verification {
        table.row(vec![
            row.descriptor.clone(),
            row.photos.to_string(),
            estimate(row.auc, 3),
            estimate(row.tar_at_1_percent, 3),
            format!("{:.3}", row.equal_error_rate),
            format!("{:.3}", row.rank_1),
            row.people.to_string(),
            row.sets.to_string(),
        ]);
    }
    text.push_str(&table.text());
    text.push_str("\n### How tokens differ\n\n");
    let mut table = Table::new(&[
        "model",
        "photos",
        "cosine within a person",
        "the same, centred",
        "effective rank over people",
    ]);
    for row in &people.tokens {
        table.row(vec![
            row.model.clone(),
            row.photos.to_string(),
            format!("{:.3}", row.statistics.raw_cosine),
            format!("{:.3}", row.statistics.centred_cosine),
            format!("{:.1}", row.statistics.effective_rank),
        ]);
    }
    text.push_str(&table.text());
    if let Some(generation) = &people.generation {
        generation_section(text, "Generated pictures", generation);
    }
    if let Some(reason) = &people.not_drawn {
        let _ = writeln!(text, "\nNo pictures were drawn: {reason}.");
    }
    if let Some(generation) = &people.generation_from_all {
        generation_section(text, "Generated pictures, from all photos", generation);
    }
}

fn generation_section(text: &mut String, title: &str, found: &GenerationReport) {
    let _ = writeln!(
        text,
        "\n### {title}\n\n{} people, {} pictures of {} px each time, {} steps, guidance {}.",
        found.people, found.pictures, found.size, found.steps, found.guidance
    );
    if found.compared_with_drawn {
        text.push_str(
            "\nPeople have two photos: one is read, the other one drawn and also compared with. The true pictures are then \
             alike themselves by 1, and what is drawn seems less alike than with a third photo.\n",
        );
    }
    if found.drawn_are_read {
        text.push_str(
            "\nWhat is drawn is compared with the photos that were read: how like the person it is, and not how like an \
             unseen photo.\n",
        );
    }
    if !found.truth[0].measured.is_empty() {
        for (place, title) in [
            (0, "Identity by the verifier, all views".to_string()),
            (
                1,
                format!("Identity by the verifier, views within {FRONTAL:.0}° of the camera"),
            ),
        ] {
            identity_table(text, found, place, &title);
        }
    }
    let pixels = [
        Metric::L1Head,
        Metric::PsnrHead,
        Metric::SsimHead,
        Metric::L1,
        Metric::Psnr,
        Metric::Ssim,
        Metric::DetailError,
        Metric::DetailEnergy,
    ];
    let has_pixels = found.results.iter().any(|result| result.all.get(Metric::L1).is_some());
    if has_pixels {
        let _ = writeln!(text, "\nAgainst the true picture of the same view:\n");
        let mut table = metrics_table("identity of", &pixels);
        for result in &found.results {
            table.row(metrics_row(result.drawn.title(), &result.all, &pixels));
        }
        text.push_str(&table.text());
    }
    let _ = writeln!(text, "\nBy the angle between the target and the nearest photo:\n");
    let mut shown = vec![Metric::Similarity, Metric::Rank1];
    if has_pixels {
        shown.extend([Metric::L1Head, Metric::PsnrHead, Metric::SsimHead, Metric::DetailError]);
    }
    shown.retain(|measure| found.angles.iter().any(|row| row.means.get(*measure).is_some()));
    let mut table = metrics_table("identity of, angle", &shown);
    for row in &found.angles {
        let title = format!("{}, {:.0}–{:.0}°", row.drawn.title(), row.from, row.to);
        table.row(metrics_row(title, &row.means, &shown));
    }
    text.push_str(&table.text());
    if let Some(first) = found.differences.first() {
        let _ = writeln!(
            text,
            "\nWhat {} give more than others, person by person:\n",
            first.drawn.title()
        );
        let measures: Vec<Metric> = Metric::ALL
            .into_iter()
            .filter(|measure| found.differences.iter().any(|row| row.measure == *measure))
            .collect();
        let mut table = metrics_table("than", &measures);
        for result in &found.results {
            let own: Vec<_> = found
                .differences
                .iter()
                .filter(|row| row.against == result.drawn)
                .collect();
            if own.is_empty() {
                continue;
            }
            let mut cells = vec![result.drawn.title()];
            cells.extend(measures.iter().map(|measure| {
                let row = own.iter().find(|row| row.measure == *measure);
                row.map_or_else(|| "–".to_string(), |row| estimate(row.estimate, decimals(*measure)))
            }));
            table.row(cells);
        }
        text.push_str(&table.text());
    }
}

fn identity_table(text: &mut String, found: &GenerationReport, place: usize, title: &str) {
    let shown = [
        Metric::Similarity,
        Metric::OtherView,
        Metric::Impostor,
        Metric::Margin,
        Metric::Rank1,
        Metric::CopyPaste,
    ];
    let _ = writeln!(text, "\n{title}:\n");
    let mut titles = vec!["identity of".to_string()];
    titles.extend(shown.iter().map(|measure| measure.title().to_string()));
    titles.push("0 = others, 1 = another true view".to_string());
    titles.push("pictures".to_string());
    let mut table = Table { rows: vec![titles] };
    for result in &found.results {
        let means = [&result.all, &result.frontal][place];
        let mut cells = metrics_row(result.drawn.title(), means, &shown);
        let position = found.position(result)[place];
        let count = cells.pop().unwrap_or_default();
        cells.push(position.map_or_else(|| "–".to_string(), |value| format!("{value:.2}")));
        cells.push(count);
        table.row(cells);
    }
    let mut cells = metrics_row("true pictures".to_string(), &found.truth[place], &shown);
    let count = cells.pop().unwrap_or_default();
    cells.extend(["1".to_string(), count]);
    table.row(cells);
    text.push_str(&table.text());
}

fn metrics_table(first: &str, measures: &[Metric]) -> Table {
    let mut titles = vec![first.to_string()];
    titles.extend(measures.iter().map(|measure| measure.title().to_string()));
    titles.push("pictures".to_string());
    // Differences have no count of their own.
    if first == "than" {
        titles.pop();
    }
    Table { rows: vec![titles] }
}

fn metrics_row(title: String, means: &Means, measures: &[Metric]) -> Vec<String> {
    let mut cells = vec![title];
    cells.extend(measures.iter().map(|measure| {
        means
            .get(*measure)
            .map_or_else(|| "–".to_string(), |value| estimate(value, decimals(*measure)))
    }));
    cells.push(means.pictures.to_string());
    cells
}

fn decimals(measure: Metric) -> usize {
    match measure {
        Metric::L1 | Metric::L1Head => 4,
        Metric::Psnr | Metric::PsnrHead => 2,
        _ => 3,
    }
}

fn estimate(value: Estimate, decimals: usize) -> String {
    let Estimate { value, low, high } = value;
    format!("{value:.decimals$} [{low:.decimals$}, {high:.decimals$}]")
}

/// A Markdown table.
struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(titles: &[&str]) -> Self {
        Self {
            rows: vec![titles.iter().map(|title| (*title).to_string()).collect()],
        }
    }

    fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (place, row) in self.rows.iter().enumerate() {
            let _ = writeln!(text, "| {} |", row.join(" | "));
            if place == 0 {
                let _ = writeln!(text, "|{}", "---|".repeat(row.len()));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests;
