//! A progress bar on standard error, and the way out on Ctrl-C.

use indicatif::{ProgressBar, ProgressStyle};
use omniid::{Error, ErrorKind};
use omniid::{Progress, ProgressFn, Stage};
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

/// Whether Ctrl-C was pressed.
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// The error of work that Ctrl-C stopped.
pub fn cancelled(what: &str) -> Error {
    Error::new(ErrorKind::Cancelled, format!("{what}: cancelled"))
}

/// A progress bar. Nothing is drawn when quiet or when standard error is no terminal. May be used from any thread.
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// A bar without a length yet.
    pub fn new(quiet: bool) -> Self {
        Self::with_template(quiet, "{msg:>20} [{bar:40}] {pos}/{len} {elapsed}")
    }

    /// A bar that also estimates the time left.
    pub fn with_time_left(quiet: bool) -> Self {
        Self::with_template(quiet, "{msg:>28} [{bar:30}] {pos}/{len} {elapsed}, {eta} left")
    }

    /// A bar for long runs, whose text tells the time left.
    pub fn for_run(quiet: bool) -> Self {
        Self::with_template(quiet, "{pos}/{len} [{bar:30}] {elapsed}  {msg}")
    }

    fn with_template(quiet: bool, template: &str) -> Self {
        let bar = if quiet {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(0)
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar }
    }

    /// Shows that `done` of `total` steps of `what` are finished. Breaks after Ctrl-C.
    pub fn show(&self, what: &str, done: u64, total: u64) -> ControlFlow<()> {
        if self.bar.message() != what {
            self.bar.set_message(what.to_string());
            self.bar.reset_eta();
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
        if is_interrupted() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Writes a line to standard error without spoiling the bar.
    pub fn line(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Runs `work` with a callback that draws a bar. Nothing is drawn when `quiet` or when standard error is no
/// terminal.
pub fn with_bar<T>(quiet: bool, work: impl FnOnce(ProgressFn<'_>) -> T) -> T {
    let bar = Bar::new(quiet);
    work(&mut |progress: Progress| bar.show(stage_name(progress.stage), progress.done, progress.total))
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
