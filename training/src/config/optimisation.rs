//! Batches, optimiser, schedule, averages, intervals.

use super::need;
use omniid::Result;
use serde::{Deserialize, Serialize};

/// Number type of matrix products. Weights, sums, norms and the optimiser are f32 in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// Factors rounded to bfloat16, sums in f32.
    Bf16,
}

/// How targets relate to inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pairing {
    /// Targets are other pictures than the inputs: few-to-many reconstruction.
    #[default]
    Disjoint,
    /// Targets are drawn among the inputs: auto-encoding, the paper's ablation.
    Same,
}

/// Which pictures make a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplerConfig {
    /// People of a step, all different. At most the people there are.
    pub people: usize,
    /// Fewest inputs of a person. Every step draws one number for all its people.
    pub fewest_inputs: usize,
    /// Most inputs of a person.
    pub most_inputs: usize,
    /// Targets of a person.
    pub targets: usize,
    /// Whether targets are other pictures than inputs.
    pub pairing: Pairing,
    /// Fraction of people whose inputs and targets are grey in a step.
    pub grey_fraction: f64,
    /// Standard deviation of the logarithm of an input photo's gain.
    pub gain_std: f64,
    /// Standard deviation of an input photo's offset, on the scale −1…1.
    pub offset_std: f64,
    /// Mirrors half of the people, inputs and targets together.
    pub mirror: bool,
}

impl Default for SamplerConfig {
    /// The paper's 3 inputs and 8 targets.
    fn default() -> Self {
        Self {
            people: 32,
            fewest_inputs: 3,
            most_inputs: 3,
            targets: 8,
            pairing: Pairing::default(),
            grey_fraction: 0.2,
            gain_std: 0.1,
            offset_std: 0.06,
            mirror: true,
        }
    }
}

impl SamplerConfig {
    pub(super) fn validate(&self) -> Result<()> {
        for (name, value) in [
            ("people", self.people),
            ("fewest_inputs", self.fewest_inputs),
            ("targets", self.targets),
        ] {
            need((1..=1 << 16).contains(&value), name, value, "1 to 65536")?;
        }
        need(
            (self.fewest_inputs..=1 << 16).contains(&self.most_inputs),
            "most_inputs",
            self.most_inputs,
            "at least fewest_inputs",
        )?;
        need(
            (0.0..=1.0).contains(&self.grey_fraction),
            "grey_fraction",
            self.grey_fraction,
            "0 to 1",
        )?;
        for (name, value) in [("gain_std", self.gain_std), ("offset_std", self.offset_std)] {
            need((0.0..=2.0).contains(&value), name, value, "0 to 2")?;
        }
        Ok(())
    }
}

/// AdamW: Adam with weight decay apart from the gradient (Loshchilov and Hutter 2019).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimiserConfig {
    /// Learning rate after the warm-up.
    pub learning_rate: f64,
    /// Decay of the mean gradient.
    pub beta1: f64,
    /// Decay of the mean squared gradient.
    pub beta2: f64,
    /// Added to the root of the mean squared gradient.
    pub epsilon: f64,
    /// Weight decay of matrices. Vectors, norms, positions and queries do not decay.
    pub weight_decay: f64,
    /// Longest gradient over all weights; a longer one is scaled down. 0 does not clip.
    pub clip: f64,
    /// Multiplies the learning rate of the image encoder and the identity encoder. 0 freezes both: they are constants,
    /// without gradients, moments or average; decoder and adapter are trained all the same.
    pub encoder_rate: f64,
    /// A step whose loss or gradient is not finite is skipped; after this many in a row the run ends with an error.
    pub most_skipped: u32,
}

impl Default for OptimiserConfig {
    fn default() -> Self {
        Self {
            learning_rate: 1.5e-3,
            beta1: 0.9,
            beta2: 0.95,
            epsilon: 1e-8,
            weight_decay: 0.05,
            clip: 1.0,
            encoder_rate: 1.0,
            most_skipped: 20,
        }
    }
}

impl OptimiserConfig {
    pub(super) fn validate(&self) -> Result<()> {
        need(
            self.learning_rate > 0.0 && self.learning_rate < 10.0,
            "learning_rate",
            self.learning_rate,
            "above 0 and below 10",
        )?;
        for (name, value) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            need((0.0..1.0).contains(&value), name, value, "at least 0 and below 1")?;
        }
        need(
            self.epsilon > 0.0 && self.epsilon < 1.0,
            "epsilon",
            self.epsilon,
            "above 0 and below 1",
        )?;
        for (name, value) in [
            ("weight_decay", self.weight_decay),
            ("clip", self.clip),
            ("encoder_rate", self.encoder_rate),
        ] {
            need(value >= 0.0 && value.is_finite(), name, value, "0 or more")?;
        }
        need(self.most_skipped > 0, "most_skipped", self.most_skipped, "at least 1")
    }
}

/// Learning rate over time: linear warm-up, then half a cosine down to a fraction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleConfig {
    /// Steps of the warm-up.
    pub warm_up: u64,
    /// Fraction of the learning rate at the end.
    pub final_fraction: f64,
    /// Steps until the end of the cosine; 0 takes the steps of the run.
    pub length: u64,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self {
            warm_up: 100,
            final_fraction: 0.05,
            length: 0,
        }
    }
}

impl ScheduleConfig {
    pub(super) fn validate(&self) -> Result<()> {
        need(
            (0.0..=1.0).contains(&self.final_fraction),
            "final_fraction",
            self.final_fraction,
            "0 to 1",
        )
    }
}

/// Exponential moving average of the weights, which is what is judged and exported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AverageConfig {
    /// Decay per step once warm; 0 follows the weights exactly.
    pub decay: f64,
}

impl Default for AverageConfig {
    fn default() -> Self {
        Self { decay: 0.998 }
    }
}

impl AverageConfig {
    pub(super) fn validate(&self) -> Result<()> {
        need(
            (0.0..1.0).contains(&self.decay),
            "decay",
            self.decay,
            "at least 0 and below 1",
        )
    }
}

/// Judging on validation people during the run, always on the same pictures and masks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationConfig {
    /// Steps between evaluations; 0 evaluates at the end only.
    pub every: u64,
    /// Most people judged on.
    pub people: usize,
    /// Inputs of a person.
    pub inputs: usize,
    /// Targets of a person.
    pub targets: usize,
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self {
            every: 200,
            people: 200,
            inputs: 3,
            targets: 4,
        }
    }
}

impl EvaluationConfig {
    pub(super) fn validate(&self) -> Result<()> {
        for (name, value) in [
            ("people", self.people),
            ("inputs", self.inputs),
            ("targets", self.targets),
        ] {
            need((1..=1 << 16).contains(&value), name, value, "1 to 65536")?;
        }
        Ok(())
    }
}

/// How often something is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReportConfig {
    /// Steps between lines of metrics.
    pub metrics_every: u64,
    /// Steps between preview pictures; 0 draws one at the end only.
    pub preview_every: u64,
    /// Steps between saved states; one is always saved at the end.
    pub state_every: u64,
}

impl Default for ReportConfig {
    fn default() -> Self {
        Self {
            metrics_every: 10,
            preview_every: 500,
            state_every: 200,
        }
    }
}

impl ReportConfig {
    pub(super) fn validate(&self) -> Result<()> {
        for (name, value) in [("metrics_every", self.metrics_every), ("state_every", self.state_every)] {
            need(value > 0, name, value, "at least 1")?;
        }
        Ok(())
    }
}
