//! A progress bar on standard error, and the way out on Ctrl-C.

use indicatif::{ProgressBar, ProgressStyle};
use omniid::progress::{Progress, Reporter, Stage};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether Ctrl-C was pressed.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// The exit code after Ctrl-C: 128 and the number of the signal, as shells have it.
pub const INTERRUPTED_CODE: u8 = 130;

/// Makes Ctrl-C cancel the running call, so that its temporary files go away. Pressed again, it ends the program.
pub fn watch_interrupts() {
    let watched = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED_CODE));
        }
    });
    if let Err(error) = watched {
        eprintln!("warning: Ctrl-C may leave temporary files: {error}");
    }
}

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
        if INTERRUPTED.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
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
