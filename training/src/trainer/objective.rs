//! What is trained: tensors, batches, loss, evaluation.

use crate::optimisation::{ParameterGroup, ParameterSpec};
use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use image::RgbImage;
use omniid::checkpoint::Checkpoint;
use omniid::Result;

/// One way to train. [`Trainer`](crate::trainer::Trainer) does the rest, the same for every objective: optimiser,
/// schedule, average, states, metrics.
///
/// An objective holds its data. Everything random about a step must follow from the step's number (see
/// [`random::stream`](crate::random::stream)); then a resumed run equals an uninterrupted one.
pub trait Objective: Sync {
    /// The model, with whatever belongs to it. Several threads compute with it when a batch is divided.
    type Model: Sync;
    /// The numbers of a step, on the CPU. Prepared on another thread while the step before is computed.
    type Batch: Send + Sync;

    /// The groups of parameters: each has a factor of the learning rate and a weight decay.
    fn groups(&self) -> Vec<ParameterGroup>;

    /// Every tensor of the model.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](omniid::ErrorKind::Format) for impossible sizes.
    fn parameters(&self) -> Result<Vec<ParameterSpec>>;

    /// The tensors to start from, of the file that a configuration names: as they are, unless the model in training
    /// has others than the file of a finished one.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](omniid::ErrorKind::Format) when a tensor is missing or has another shape.
    fn start(&self, checkpoint: Checkpoint) -> Result<Checkpoint> {
        Ok(checkpoint)
    }

    /// Builds the model on the tensors of `vb`: variables when it is trained, constants when it is evaluated.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](omniid::ErrorKind::Format) when a tensor is missing or has another shape.
    fn load(&self, vb: VarBuilder) -> Result<Self::Model>;

    /// The numbers of step `step`, which follow from `step` alone.
    ///
    /// # Errors
    /// Whatever reading the data gives.
    fn batch(&self, step: u64) -> Result<Self::Batch>;

    /// Divides a batch into micro batches, which the CPU computes at the same time; the step's gradient is the mean of
    /// theirs. Without an implementation a batch stays whole.
    fn micro_batches(&self, batch: Self::Batch) -> Vec<Self::Batch> {
        vec![batch]
    }

    /// The loss of a batch or a micro batch.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](omniid::ErrorKind::Mismatch) when model and batch do not fit each other.
    fn loss(&self, model: &Self::Model, batch: &Self::Batch, device: &Device) -> Result<Loss>;

    /// Metrics on people who are not trained on: name and value. The same weights give the same values.
    ///
    /// # Errors
    /// As [`Objective::loss`].
    fn evaluate(&self, model: &Self::Model, device: &Device) -> Result<Vec<(String, f64)>>;

    /// A picture of what the model does, if there are validation people to show it with.
    ///
    /// # Errors
    /// As [`Objective::loss`].
    fn preview(&self, model: &Self::Model, device: &Device) -> Result<Option<RgbImage>>;

    /// What a step costs.
    fn step_cost(&self) -> StepCost;
}

/// The loss of a step.
pub struct Loss {
    /// What is minimised: one number.
    pub total: Tensor,
    /// Its terms, unweighted, for the metrics.
    pub terms: Vec<(&'static str, Tensor)>,
}

/// The cost of a step, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepCost {
    /// Floating-point operations of forward and backward pass in matrix products: multiplications and additions.
    pub operations: f64,
    /// Pictures read or drawn.
    pub pictures: usize,
}
