//! A progress bar on standard error.

use crate::signals::go_on;
use indicatif::{ProgressBar, ProgressStyle};
use omniid::{Error, ErrorKind};
use omniid::{Progress, ProgressFn, Stage};
use std::ops::ControlFlow;
use std::time::Duration;

/// The error of work that a signal stopped.
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

    /// For work whose steps nobody counts: what is done, and for how long.
    pub fn busy(quiet: bool, what: &str) -> Self {
        let bar = Self::with_template(quiet, "{msg} {elapsed}");
        bar.bar.set_message(what.to_string());
        bar
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
        // Steps may be long: the time shows that the program is alive.
        if !quiet {
            bar.enable_steady_tick(Duration::from_millis(500));
        }
        Self { bar }
    }

    /// Shows that `done` of `total` steps of `what` are finished. Breaks when a signal asks to stop.
    pub fn show(&self, what: &str, done: u64, total: u64) -> ControlFlow<()> {
        if self.bar.message() != what {
            self.bar.set_message(what.to_string());
            self.bar.reset_eta();
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
        go_on()
    }

    /// As [`Bar::show`], for loops of this program.
    pub fn step(&self, what: &str, done: usize, total: usize) -> Result<(), Error> {
        match self.show(what, done as u64, total as u64) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(cancelled(what)),
        }
    }

    /// Writes a line to standard error without spoiling the bar.
    pub fn line(&self, text: &str) {
        self.pause(|| tell!("{text}"));
    }

    /// Does something, such as printing a result, while the bar is off the screen.
    pub fn pause<T>(&self, work: impl FnOnce() -> T) -> T {
        self.bar.suspend(work)
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
