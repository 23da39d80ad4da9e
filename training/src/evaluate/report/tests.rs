use super::super::generation::{Difference, Drawn, DrawnResult};
use super::super::metric::MetricEstimate;
use super::*;

fn measured(measure: Metric, value: f64) -> MetricEstimate {
    MetricEstimate {
        measure,
        estimate: Estimate {
            value,
            low: value - 0.125,
            high: value + 0.125,
        },
    }
}

fn means(values: &[(Metric, f64)]) -> Means {
    Means {
        pictures: 12,
        measured: values
            .iter()
            .map(|(measure, value)| measured(*measure, *value))
            .collect(),
    }
}

fn evaluation() -> Evaluation {
    let drawn = means(&[(Metric::Similarity, 0.5), (Metric::L1, 0.25), (Metric::L1Head, 0.25)]);
    let truth = means(&[(Metric::OtherView, 0.75), (Metric::Impostor, 0.25)]);
    let generation = GenerationReport {
        people: 3,
        pictures: 12,
        size: 64,
        steps: 8,
        guidance: 2.0,
        compared_with_drawn: false,
        drawn_are_read: false,
        results: vec![DrawnResult {
            drawn: Drawn::Photos(3),
            all: drawn.clone(),
            frontal: drawn,
            people: Vec::new(),
        }],
        truth: [truth.clone(), truth],
        angles: Vec::new(),
        differences: vec![Difference {
            drawn: Drawn::Photos(3),
            against: Drawn::Photos(3),
            measure: Metric::L1Head,
            estimate: measured(Metric::L1Head, -0.5).estimate,
        }],
    };
    let name = |name: &str| ModelName {
        name: name.to_string(),
        fingerprint: "abc".to_string(),
    };
    Evaluation {
        format: FORMAT_VERSION,
        version: "1.2.3".to_string(),
        commit: "unknown".to_string(),
        model: name("m"),
        minihost: Some(name("h")),
        verifier: None,
        first_seed: 17,
        resamples: 10,
        seconds: 1.0,
        people: vec![PeopleReport {
            name: "Rendered people".to_string(),
            data: "3 people".to_string(),
            verification: Vec::new(),
            tokens: Vec::new(),
            generation: Some(generation),
            not_drawn: None,
            generation_from_all: None,
        }],
    }
}

#[test]
fn tables_hold_the_numbers() {
    let text = evaluation().markdown();
    for part in [
        "1.2.3, commit unknown",
        "first seed of rendered people: 17",
        // Half of the way from 0.25 to 0.75.
        "| 3 photos | 0.500 [0.375, 0.625] | – | – | – | – | – | 0.50 | 12 |",
        "| true pictures | – | 0.750 [0.625, 0.875] | 0.250 [0.125, 0.375] | – | – | – | 1 | 12 |",
        "0.2500 [0.1250, 0.3750]",
        "| 3 photos | -0.5000 [-0.6250, -0.3750] |",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    // Every row of a table has as many cells as its head.
    let mut columns = 0;
    for line in text.lines() {
        let bars = line.matches('|').count();
        assert!(bars == 0 || columns == 0 || bars == columns, "{line}");
        columns = bars;
    }
}

#[test]
fn the_file_comes_back() {
    let evaluation = evaluation();
    let text = serde_json::to_string(&evaluation).unwrap();
    assert_eq!(serde_json::from_str::<Evaluation>(&text).unwrap(), evaluation);
}
