//! Flow matching.

use super::{need, ModelConfig};
use omniid::Result;
use omniid_minihost::flow::{FlowOptions, Prediction};
use omniid_minihost::{MinihostConfig, MinihostSizes};
use serde::{Deserialize, Serialize};

/// Flow matching: the decoder is a diffusion host, and the identity enters it through the plugin's own adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlowConfig {
    /// Probability that a person's pictures see the mean identity of the step instead of their own: what guidance
    /// pushes away from.
    pub identity_dropout: f64,
    /// Weight of a background pixel in the loss; a pixel of the head weighs 1.
    pub background_weight: f32,
    /// Weight of a pixel in the middle of the face, between eyes, nose and mouth; it falls off to that of the head by a
    /// Gaussian whose deviation is 0.7 of the distance from the eyes to the mouth. Above 1, hair and outline stop
    /// outweighing the features that people are told apart by.
    pub face_weight: f32,
    /// Parts that the people of a step are divided into, at least two people each. On the CPU parts are computed at the
    /// same time, on other devices one after the other, which takes less memory; their gradients are averaged. The
    /// weights depend on it: every part has noise, a mean identity and a sum of pixel weights of its own.
    pub micro_batches: usize,
    /// Weight decay of the host's and the adapter's matrices.
    pub weight_decay: f64,
    /// What the host predicts.
    pub prediction: Prediction,
    /// Times and weights of the loss.
    pub times: FlowOptions,
    /// Sizes of the host. `size` must be the model's `image_size`.
    pub host: MinihostSizes,
}

impl Default for FlowConfig {
    fn default() -> Self {
        Self {
            identity_dropout: 0.1,
            background_weight: 0.3,
            face_weight: 1.0,
            micro_batches: 1,
            weight_decay: 0.01,
            prediction: Prediction::default(),
            times: FlowOptions::default(),
            host: MinihostSizes::default(),
        }
    }
}

impl FlowConfig {
    /// The host that is trained.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](omniid::ErrorKind::InvalidArgument) for sizes that do not fit each other.
    pub fn host(&self) -> Result<MinihostConfig> {
        MinihostConfig::new(&self.host, self.prediction)
    }

    /// Whether the people of a step can be divided into the micro-batches. One person alone has no mean identity to
    /// stand for nobody's.
    pub fn divides(&self, people: usize) -> bool {
        let fewest = if self.micro_batches == 1 { 1 } else { 2 };
        self.micro_batches > 0 && people.is_multiple_of(self.micro_batches) && people / self.micro_batches >= fewest
    }

    pub(super) fn validate(&self, model: &ModelConfig, people: usize) -> Result<()> {
        need(
            self.divides(people),
            "micro_batches",
            self.micro_batches,
            "a divisor of [sampler] people that leaves two people or more in each",
        )?;
        need(
            (0.0..1.0).contains(&self.identity_dropout),
            "identity_dropout",
            self.identity_dropout,
            "at least 0 and below 1",
        )?;
        need(
            self.background_weight > 0.0 && self.background_weight <= 1.0,
            "background_weight",
            self.background_weight,
            "above 0 and at most 1",
        )?;
        need(
            (1.0..=100.0).contains(&self.face_weight),
            "face_weight",
            self.face_weight,
            "1 to 100",
        )?;
        need(
            self.weight_decay >= 0.0 && self.weight_decay.is_finite(),
            "weight_decay",
            self.weight_decay,
            "0 or more",
        )?;
        need(
            self.host.size == model.image_size,
            "host.size",
            self.host.size,
            "the model's image_size",
        )?;
        self.times.check()?;
        self.host().map(|_| ())
    }
}
