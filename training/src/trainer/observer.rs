//! Who watches a run.

use std::ops::ControlFlow;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainingProgress {
    /// Steps made.
    pub step: u64,
    /// Steps of the run.
    pub steps: u64,
    /// Loss of the last step.
    pub loss: f64,
    /// Pictures per second, lately.
    pub pictures_per_second: f64,
    /// Seconds until the end at this speed.
    pub seconds_left: f64,
}

/// Watches a run, on the thread that called it.
pub trait Observer {
    /// A step was made. [`ControlFlow::Break`] stops the run after saving its state.
    fn progress(&mut self, progress: &TrainingProgress) -> ControlFlow<()>;

    /// Something a person should read.
    fn message(&mut self, text: &str);
}

/// Watches nothing and never stops.
pub struct Silent;

impl Observer for Silent {
    fn progress(&mut self, _: &TrainingProgress) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn message(&mut self, _: &str) {}
}
