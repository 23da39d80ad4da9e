//! A progress bar on standard error.

use indicatif::{ProgressBar, ProgressStyle};
use omniid::progress::{Progress, Reporter, Stage};
use std::ops::ControlFlow;

/// Runs `work` with a reporter that draws a bar. Nothing is drawn when `quiet` or when standard error is no
/// terminal.
pub fn with_bar<T>(quiet: bool, work: impl FnOnce(&mut Reporter<'_>) -> T) -> T {
    let bar = if quiet {
        ProgressBar::hidden()
    } else {
        ProgressBar::new(0)
    };
    if let Ok(style) = ProgressStyle::with_template("{msg:>20} [{bar:40}] {pos}/{len} {elapsed}") {
        bar.set_style(style.progress_chars("=> "));
    }
    let mut shown = None;
    let mut step = |progress: Progress| {
        if shown != Some(progress.stage) {
            shown = Some(progress.stage);
            bar.set_message(stage_name(progress.stage));
        }
        bar.set_length(progress.total);
        bar.set_position(progress.done);
        ControlFlow::Continue(())
    };
    let result = work(&mut Reporter::new(&mut step));
    bar.finish_and_clear();
    result
}

fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Load => "loading",
        Stage::Photos => "preparing photos",
        Stage::Encode => "encoding photos",
        Stage::Condition => "keys and values",
        Stage::Save => "writing",
        _ => "working",
    }
}
