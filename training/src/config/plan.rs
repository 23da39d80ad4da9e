//! What the loop of the training needs to know, whatever is trained.

use super::{AverageConfig, OptimiserConfig, Precision, ReportConfig, RunConfig, ScheduleConfig};
use omniid::Result;
use std::path::PathBuf;

/// The settings of [`Trainer`](crate::trainer::Trainer).
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Seed of the weights.
    pub seed: u64,
    /// Optimiser steps of the whole run.
    pub steps: u64,
    /// Number type of matrix products.
    pub precision: Precision,
    /// AdamW.
    pub optimiser: OptimiserConfig,
    /// Learning rate over time.
    pub schedule: ScheduleConfig,
    /// Moving average of the weights.
    pub average: AverageConfig,
    /// Steps between evaluations; 0 evaluates at the end only.
    pub evaluate_every: u64,
    /// How often something is written.
    pub report: ReportConfig,
    /// The configuration as TOML, which is kept in every saved state.
    pub text: String,
}

/// The description of a run of any kind, as one TOML file.
pub trait Configuration: Sized {
    /// The settings of the loop.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](omniid::ErrorKind::Internal) if the configuration cannot be written.
    fn plan(&self) -> Result<Plan>;

    /// Reads a configuration.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](omniid::ErrorKind::Format) naming the value that is unknown, missing or impossible.
    fn parse(text: &str) -> Result<Self>;

    /// The first value, by its dotted name, in which a run that is to be resumed differs from this one; values that do
    /// not change the weights do not count.
    fn difference_to(&self, other: &Self) -> Option<String>;

    /// The files whose tensors replace the random start.
    fn start(&self) -> &[PathBuf];
}

impl Configuration for RunConfig {
    fn plan(&self) -> Result<Plan> {
        Ok(Plan {
            seed: self.seed,
            steps: self.steps,
            precision: self.precision,
            optimiser: self.optimiser.clone(),
            schedule: self.schedule.clone(),
            average: self.average.clone(),
            evaluate_every: self.evaluation.every,
            report: self.report.clone(),
            text: self.to_toml()?,
        })
    }

    fn parse(text: &str) -> Result<Self> {
        Self::from_toml(text)
    }

    fn difference_to(&self, other: &Self) -> Option<String> {
        self.difference(other)
    }

    fn start(&self) -> &[PathBuf] {
        &self.start
    }
}
