//! Photos of people's folders that could not be used.

use crate::failure::Outcome;
use crate::progress::Bar;
use omniid::checkpoint::save_bytes_atomically;
use omniid_training::data::photos::PhotoReport;
use std::path::Path;

/// The first photos that were left out go to the terminal, all of them into a text.
pub fn tell(report: &PhotoReport, text: &Path, bar: &Bar) -> Outcome {
    const SHOWN: usize = 10;
    if report.dropped.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = report
        .dropped
        .iter()
        .map(|dropped| {
            let detail = match dropped.detail.as_str() {
                "" => String::new(),
                detail => format!(": {detail}"),
            };
            format!("{}: {}{detail}", dropped.path, dropped.reason.text())
        })
        .collect();
    for line in lines.iter().take(SHOWN) {
        bar.line(&format!("  left out {line}"));
    }
    if lines.len() > SHOWN {
        bar.line(&format!("  and {} more, see {}", lines.len() - SHOWN, text.display()));
    }
    Ok(save_bytes_atomically(text, (lines.join("\n") + "\n").as_bytes())?)
}
