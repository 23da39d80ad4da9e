//! The means that a line of metrics states.

use super::objective::StepCost;
use std::time::Instant;

/// What happened in the steps since the last line of metrics.
pub(super) struct Window {
    pub steps: f64,
    pub loss: f64,
    pub terms: Vec<(&'static str, f64)>,
    pub gradient: f64,
    pub skipped: u64,
    pub since: Instant,
}

/// One step's numbers.
pub(super) struct StepResult {
    pub loss: f64,
    pub terms: Vec<(&'static str, f64)>,
    pub gradient: f64,
    pub skipped: bool,
}

impl Window {
    pub fn new() -> Self {
        Self {
            steps: 0.0,
            loss: 0.0,
            terms: Vec::new(),
            gradient: 0.0,
            skipped: 0,
            since: Instant::now(),
        }
    }

    /// Takes a step that was not skipped.
    pub fn add(&mut self, result: &StepResult) {
        self.steps += 1.0;
        self.loss += result.loss;
        self.gradient = self.gradient.max(result.gradient);
        for (name, value) in &result.terms {
            match self.terms.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum += value,
                None => self.terms.push((name, *value)),
            }
        }
    }

    /// The line's values: means over the steps, the last step's learning rate, the speed.
    pub fn values(&self, learning_rate: f64, cost: StepCost) -> Vec<(String, f64)> {
        let mean = |sum: f64| sum / self.steps;
        let speed = (self.steps + self.skipped as f64) / self.since.elapsed().as_secs_f64();
        let mut values = vec![("loss", mean(self.loss))];
        if self.terms.len() > 1 {
            values.extend(self.terms.iter().map(|(name, sum)| (*name, mean(*sum))));
        }
        values.extend([
            ("learning_rate", learning_rate),
            ("gradient", self.gradient),
            ("skipped", self.skipped as f64),
            ("steps_per_second", speed),
            ("pictures_per_second", speed * cost.pictures as f64),
            ("gflops", speed * cost.operations / 1e9),
        ]);
        let named = values.into_iter().map(|(name, value)| (name.to_string(), value));
        named.collect()
    }
}
