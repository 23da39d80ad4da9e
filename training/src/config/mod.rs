//! One TOML file per run. Everything that an experiment changes is a value here.
//!
//! Unknown names are errors, so a misspelt value never goes unnoticed. Every section and every value but the ones
//! without a sensible default may be left out.

mod detector;
mod flow;
mod masked;
mod model;
mod optimisation;
mod plan;
mod similarity;

pub use detector::{DetectorConfig, DetectorEvaluationConfig, SceneConfig, DETECTOR_PRESET};
pub use flow::FlowConfig;
pub use masked::{Condition, LossConfig, MaskedConfig};
pub use model::ModelConfig;
pub use optimisation::{
    AverageConfig, EvaluationConfig, OptimiserConfig, Pairing, Precision, ReportConfig, SamplerConfig, ScheduleConfig,
};
pub use plan::{Configuration, Plan};
pub use similarity::SimilarityConfig;

use crate::data::SplitFractions;
use omniid::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize};
use std::path::{Path, PathBuf};

/// One path, or a list of them.
fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<PathBuf>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a path or a list of paths")]
    enum Paths {
        One(PathBuf),
        Several(Vec<PathBuf>),
    }
    Ok(match Paths::deserialize(deserializer)? {
        Paths::One(path) => vec![path],
        Paths::Several(paths) => paths,
    })
}

/// The whole description of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// A name, for display; also the name inside exported checkpoints.
    pub name: String,
    /// Seed of the weights, the batches and the split. The same seed gives the same weights on the CPU.
    #[serde(default)]
    pub seed: u64,
    /// Optimiser steps of the whole run.
    pub steps: u64,
    /// Number type of matrix products.
    #[serde(default)]
    pub precision: Precision,
    /// Native checkpoints, training states, hosts or CLIP vision models whose tensors of equal name and shape replace
    /// the random start; of a tensor that several have, the last file's counts. Relative to the current folder. In TOML
    /// one path or a list.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_several")]
    pub start: Vec<PathBuf>,
    /// Whose pictures.
    #[serde(default)]
    pub data: DataConfig,
    /// Which pictures make a step.
    #[serde(default)]
    pub sampler: SamplerConfig,
    /// Sizes of the image encoder and the identity encoder.
    pub model: ModelConfig,
    /// The masked decoder.
    #[serde(default)]
    pub masked: MaskedConfig,
    /// The flow-matching decoder. With this section the run trains by flow matching, without it by masked
    /// reconstruction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<FlowConfig>,
    /// What masked reconstruction minimises.
    #[serde(default)]
    pub loss: LossConfig,
    /// AdamW.
    #[serde(default)]
    pub optimiser: OptimiserConfig,
    /// Learning rate over time.
    #[serde(default)]
    pub schedule: ScheduleConfig,
    /// Moving average of the weights.
    #[serde(default)]
    pub average: AverageConfig,
    /// Judging on people who are not trained on.
    #[serde(default)]
    pub evaluation: EvaluationConfig,
    /// How the exported model compares identities. The training itself does not depend on it.
    #[serde(default)]
    pub similarity: SimilarityConfig,
    /// How often something is written.
    #[serde(default)]
    pub report: ReportConfig,
}

/// Where pictures come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Dataset files ([`Dataset::save`](crate::data::Dataset::save)), joined in this order; relative to the current
    /// folder. A folder stands for the `.safetensors` files in it, by name. Pictures of another size are scaled.
    pub files: Vec<PathBuf>,
    /// Fraction of the people for validation, the ones judged on during the run.
    pub validation: f64,
    /// Fraction of the people kept away from the run.
    pub test: f64,
    /// Seed of the split. Kept apart from the run's seed, so that runs with several seeds share their test people.
    pub split_seed: u64,
    /// Train on at most this many people; 0 takes all.
    pub most_people: usize,
}

impl Default for DataConfig {
    fn default() -> Self {
        let fractions = SplitFractions::default();
        Self {
            files: Vec::new(),
            validation: fractions.validation,
            test: fractions.test,
            split_seed: 0,
            most_people: 0,
        }
    }
}

/// The presets that come with the program: name and text.
pub const PRESETS: [(&str, &str); 8] = [
    ("tiny", include_str!("../../presets/tiny.toml")),
    ("tiny-flow", include_str!("../../presets/tiny-flow.toml")),
    ("mini", include_str!("../../presets/mini.toml")),
    ("mini-flow", include_str!("../../presets/mini-flow.toml")),
    ("lifelike", include_str!("../../presets/lifelike.toml")),
    ("lifelike-flow", include_str!("../../presets/lifelike-flow.toml")),
    ("paper", include_str!("../../presets/paper.toml")),
    ("paper-flow", include_str!("../../presets/paper-flow.toml")),
];

impl RunConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](omniid::ErrorKind::Format) naming the value that is unknown, missing or impossible.
    pub fn from_toml(text: &str) -> Result<Self> {
        let config: Self =
            toml::from_str(text).map_err(|error| Error::format(format!("run configuration: {error}")))?;
        config.validate().map_err(|error| error.context("run configuration"))?;
        Ok(config)
    }

    /// Reads the configuration file at `path`, or the preset of that name if there is no such file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](omniid::ErrorKind::Io) when the file cannot be read; otherwise as [`RunConfig::from_toml`].
    pub fn open(path: &Path) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::from_toml(&text).map_err(|error| error.context(path.display())),
            Err(error) => match path.to_str().and_then(preset) {
                Some(text) => Self::from_toml(text),
                None => Err(Error::io(path, error).context(format!(
                    "no configuration file and no preset ({})",
                    PRESETS.map(|(name, _)| name).join(", ")
                ))),
            },
        }
    }

    /// The configuration as TOML, with every value written out.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](omniid::ErrorKind::Internal) if it cannot be written.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| Error::internal(format!("run configuration: {error}")))
    }

    /// Checks every section.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](omniid::ErrorKind::Format) naming section and value.
    pub fn validate(&self) -> Result<()> {
        need(self.steps > 0, "steps", self.steps, "at least 1")?;
        self.model.validate().map_err(|error| error.context("[model]"))?;
        self.masked
            .validate(self.model.patches())
            .map_err(|error| error.context("[masked]"))?;
        let parts = self.masked.micro_batches;
        need(
            self.masked.divides(self.sampler.people) && (parts == 1 || self.loss.contrastive == 0.0),
            "masked.micro_batches",
            parts,
            "a divisor of [sampler] people, and 1 with a contrastive loss",
        )?;
        self.sampler.validate().map_err(|error| error.context("[sampler]"))?;
        if let Some(flow) = &self.flow {
            flow.validate(&self.model, self.sampler.people)
                .map_err(|error| error.context("[flow]"))?;
        }
        self.loss.validate().map_err(|error| error.context("[loss]"))?;
        self.optimiser
            .validate()
            .map_err(|error| error.context("[optimiser]"))?;
        self.schedule.validate().map_err(|error| error.context("[schedule]"))?;
        self.average.validate().map_err(|error| error.context("[average]"))?;
        self.evaluation
            .validate()
            .map_err(|error| error.context("[evaluation]"))?;
        self.similarity
            .validate(self.model.queries * self.model.token_width)
            .map_err(|error| error.context("[similarity]"))?;
        self.report.validate().map_err(|error| error.context("[report]"))
    }

    /// The first value, by its dotted name, in which a run that is to be resumed differs from this configuration.
    /// Names, intervals, what is judged and how identities are compared may differ: they do not change the weights.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let value = |config: &Self| {
            let neutral = Self {
                name: String::new(),
                report: ReportConfig::default(),
                evaluation: EvaluationConfig::default(),
                similarity: SimilarityConfig::default(),
                ..config.clone()
            };
            serde_json::to_value(neutral).unwrap_or_default()
        };
        first_difference("", &value(self), &value(other))
    }
}

/// The text of the preset of this name.
pub fn preset(name: &str) -> Option<&'static str> {
    PRESETS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

fn first_difference(path: &str, a: &serde_json::Value, b: &serde_json::Value) -> Option<String> {
    use serde_json::Value;
    if let (Value::Object(a), Value::Object(b)) = (a, b) {
        let names = a.keys().chain(b.keys());
        return names.into_iter().find_map(|name| {
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            let none = Value::Null;
            first_difference(&path, a.get(name).unwrap_or(&none), b.get(name).unwrap_or(&none))
        });
    }
    (a != b).then(|| format!("{path} is {a} here and {b} there"))
}

/// Fails with the name and the value unless `sound`.
fn need(sound: bool, name: &str, value: impl std::fmt::Display, right: &str) -> Result<()> {
    if sound {
        return Ok(());
    }
    Err(Error::format(format!("{name} is {value}; it must be {right}")))
}

#[cfg(test)]
mod tests;
