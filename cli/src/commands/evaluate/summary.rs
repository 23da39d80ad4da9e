//! What is printed of an evaluation when it is done.

use omniid_training::evaluate::{Drawn, Metric, PeopleReport, SIMILARITY, TOKENS};

/// The most telling numbers of a group.
pub fn line(group: &PeopleReport) -> String {
    let mut text = format!("{}: ", group.name);
    let named = |name: &str| group.verification.iter().any(|row| row.descriptor == name);
    let own = if named(SIMILARITY) { SIMILARITY } else { TOKENS };
    for row in group.verification.iter().filter(|row| row.descriptor == own) {
        text.push_str(&format!("AUC {:.3} with {} photo(s), ", row.auc.value, row.photos));
    }
    if let Some(generation) = &group.generation {
        for result in &generation.results {
            if let [Some(position), _] = generation.position(result) {
                text.push_str(&format!("{}: {position:.2}, ", result.drawn.title()));
            }
        }
    }
    if let Some(found) = &group.generation_from_all {
        let own = found
            .results
            .iter()
            .find(|result| matches!(result.drawn, Drawn::Photos(_)));
        for metric in [Metric::Margin, Metric::Rank1] {
            if let Some(value) = own.and_then(|result| result.all.get(metric)) {
                text.push_str(&format!("from all photos, {}: {:.2}, ", metric.title(), value.value));
            }
        }
    }
    let mut text = format!("{}\n", text.trim_end_matches([',', ' ', ':']));
    if let Some(reason) = &group.not_drawn {
        text.push_str(&format!("{}: no pictures drawn: {reason}\n", group.name));
    }
    text
}
