//! The loop that every objective is trained with.

mod gradients;
mod metrics;
mod objective;
mod observer;
mod snapshot;
mod state;
#[cfg(test)]
pub(crate) mod tests;
mod window;
mod workers;

pub use objective::{Loss, Objective, StepCost};
pub use observer::{Observer, Silent, TrainingProgress};
pub use state::{current_path, State};

use crate::config::{Configuration, Plan, Precision};
use crate::optimisation::{schedule, AdamW, Average, Parameters};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use gradients::LossAndGradients;
use metrics::Metrics;
use omniid::{Error, Result};
use omniid_kernels::layers::autocast;
use omniid_kernels::Element;
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::Instant;
use window::{StepResult, Window};
use workers::Workers;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are result.
    Finished,
    /// The observer asked to stop; the state is saved.
    Stopped,
}

/// A model in training.
pub struct Trainer<'a, O: Objective> {
    objective: &'a O,
    plan: Plan,
    parameters: Parameters,
    model: O::Model,
    optimiser: AdamW,
    average: Average,
    workers: Workers,
    step: u64,
    skipped: u32,
}

impl<'a, O: Objective> Trainer<'a, O> {
    /// A model at its random start.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](omniid::ErrorKind::Format) for impossible sizes,
    /// [`ErrorKind::Device`](omniid::ErrorKind::Device) from the GPU.
    pub fn new(objective: &'a O, config: &impl Configuration, device: &Device) -> Result<Self> {
        let groups = objective.groups();
        let seed = config.plan()?.seed;
        let parameters = Parameters::new(&objective.parameters()?, &groups, seed, device)?;
        Self::with_parameters(objective, config, parameters)
    }

    /// A model that starts at `parameters`.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn with_parameters(objective: &'a O, config: &impl Configuration, parameters: Parameters) -> Result<Self> {
        omniid_kernels::keep_freed_memory();
        let plan = config.plan()?;
        let model = objective.load(parameters.builder())?;
        let optimiser = AdamW::new(plan.optimiser.clone(), objective.groups(), &parameters)?;
        let average = Average::new(plan.average.decay, &parameters)?;
        Ok(Self {
            objective,
            plan,
            parameters,
            model,
            optimiser,
            average,
            workers: Workers::default(),
            step: 0,
            skipped: 0,
        })
    }

    /// Steps result.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The trained tensors.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The averaged weights, by name.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](omniid::ErrorKind::Device) from the GPU.
    pub fn averaged(&self) -> Result<BTreeMap<String, Tensor>> {
        self.average.tensors(&self.parameters)
    }

    /// The model with averaged weights, as constants: fast, without gradients.
    ///
    /// # Errors
    /// As [`Trainer::averaged`].
    pub fn averaged_model(&self) -> Result<O::Model> {
        let tensors: HashMap<_, _> = self.averaged()?.into_iter().collect();
        let builder = VarBuilder::from_tensors(tensors, DType::F32, self.parameters.device());
        self.objective.load(builder)
    }

    /// Makes steps until the configured number, writing metrics, previews and states into `folder`.
    ///
    /// # Errors
    /// Whatever the objective returns; [`ErrorKind::Internal`](omniid::ErrorKind::Internal) after too many steps in
    /// a row that were not finite; [`ErrorKind::Io`](omniid::ErrorKind::Io) when the last state cannot be saved. A
    /// state that cannot be saved on the way is reported and tried again.
    pub fn run(&mut self, folder: &Path, observer: &mut dyn Observer) -> Result<Outcome> {
        let metrics = Metrics::open(&folder.join("metrics.jsonl"), self.step)?;
        let objective = self.objective;
        let (first, steps) = (self.step, self.plan.steps);
        std::thread::scope(|scope| {
            let (sender, batches) = sync_channel(1);
            scope.spawn(move || {
                for step in first..steps {
                    let batch = objective.batch(step);
                    // The receiver is gone once the run has ended.
                    if sender.send(batch.map(|batch| objective.micro_batches(batch))).is_err() {
                        return;
                    }
                }
            });
            self.steps(folder, &metrics, observer, || {
                batches
                    .recv()
                    .map_err(|_| Error::internal("the preparation of batches ended early"))?
            })
        })
    }

    fn steps(
        &mut self,
        folder: &Path,
        metrics: &Metrics,
        observer: &mut dyn Observer,
        next: impl Fn() -> Result<Vec<O::Batch>>,
    ) -> Result<Outcome> {
        let mut window = Window::new();
        let mut seconds_per_step = None;
        while self.step < self.plan.steps {
            let began = Instant::now();
            let result = self.advance(&next()?)?;
            let seconds = began.elapsed().as_secs_f64();
            let smooth = seconds_per_step.map_or(seconds, |old: f64| 0.9 * old + 0.1 * seconds);
            seconds_per_step = Some(smooth);
            if result.skipped {
                window.skipped += 1;
                observer.message(&format!(
                    "step {} was skipped: loss {}, gradient {}",
                    self.step, result.loss, result.gradient
                ));
                if self.skipped >= self.plan.optimiser.most_skipped {
                    return Err(Error::internal(format!(
                        "{} steps in a row had a loss or a gradient that is not finite; the last saved state is \
                         untouched. A smaller learning_rate or clip may help",
                        self.skipped
                    )));
                }
            } else {
                window.add(&result);
            }
            let flow = observer.progress(&TrainingProgress {
                step: self.step,
                steps: self.plan.steps,
                loss: result.loss,
                pictures_per_second: self.objective.step_cost().pictures as f64 / smooth,
                seconds_left: (self.plan.steps - self.step) as f64 * smooth,
            });
            let last = self.step == self.plan.steps;
            self.write(folder, metrics, &mut window, last, observer)?;
            if flow == ControlFlow::Break(()) && !last {
                self.state()?.save(folder)?;
                return Ok(Outcome::Stopped);
            }
        }
        Ok(Outcome::Finished)
    }

    fn learning_rate(&self, step: u64) -> f64 {
        let factor = schedule::rate(&self.plan.schedule, step, self.plan.steps);
        self.plan.optimiser.learning_rate * factor
    }

    /// One step on these micro batches, whatever the objective would have drawn for it: its loss.
    ///
    /// # Errors
    /// Whatever the objective returns.
    pub fn step_on(&mut self, batches: &[O::Batch]) -> Result<f64> {
        Ok(self.advance(batches)?.loss)
    }

    /// Loss and gradients of a step on these micro batches, by name of the tensor, without an update.
    ///
    /// # Errors
    /// Whatever the objective returns.
    pub fn gradients(&mut self, batches: &[O::Batch]) -> Result<(f64, BTreeMap<String, Tensor>)> {
        let LossAndGradients { loss, gradients, .. } = self.sum(batches)?;
        let named = self.parameters.trained().filter_map(|(name, _, variable)| {
            let gradient = gradients.get(variable)?;
            Some((name.to_string(), gradient.clone()))
        });
        Ok((loss, named.collect()))
    }

    /// Loss and gradients of the micro batches together.
    fn sum(&mut self, batches: &[O::Batch]) -> Result<LossAndGradients> {
        let element = match self.plan.precision {
            Precision::F32 => Element::F32,
            Precision::Bf16 => Element::BF16,
        };
        let (objective, model, parameters) = (self.objective, &self.model, &self.parameters);
        let device = parameters.device();
        let share = 1.0 / batches.len().max(1) as f64;
        let compute = |batch: &O::Batch| {
            // The backward pass of an operation has the precision of its forward pass.
            let loss = autocast(element, || objective.loss(model, batch, device))?;
            LossAndGradients::of(&loss, share)
        };
        if device.is_cpu() {
            let each = self.workers.each(batches, compute)?;
            return LossAndGradients::sum(each.into_iter().map(Ok), parameters);
        }
        // One after the other, each added at once: there, micro batches are for what does not fit the memory in one.
        LossAndGradients::sum(batches.iter().map(compute), parameters)
    }

    /// One step: forward and backward passes of the micro batches, update.
    fn advance(&mut self, batches: &[O::Batch]) -> Result<StepResult> {
        let LossAndGradients { loss, terms, gradients } = self.sum(batches)?;
        let gradient = self.optimiser.gradient_length(&self.parameters, &gradients)?;
        let skipped = !(loss.is_finite() && gradient.is_finite());
        if skipped {
            self.skipped += 1;
        } else {
            self.skipped = 0;
            let rate = self.learning_rate(self.step);
            self.optimiser.update(&self.parameters, &gradients, rate, gradient)?;
            self.average.update(&self.parameters, self.optimiser.updates)?;
        }
        self.step += 1;
        Ok(StepResult {
            loss,
            terms,
            gradient,
            skipped,
        })
    }

    /// Writes what is due after a step. Only the last state must not fail.
    fn write(
        &self,
        folder: &Path,
        metrics: &Metrics,
        window: &mut Window,
        last: bool,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let due = |every: u64| last || (every > 0 && self.step.is_multiple_of(every));
        let report = &self.plan.report;
        let mut note = |what: &str, result: Result<()>| {
            if let Err(error) = result {
                observer.message(&format!("{what} could not be written: {error}"));
            }
        };
        if due(report.metrics_every) {
            let rate = self.learning_rate(self.step.saturating_sub(1));
            let values = window.values(rate, self.objective.step_cost());
            *window = Window::new();
            note("metrics", metrics.write("train", self.step, &values));
        }
        let (evaluate, draw) = (due(self.plan.evaluate_every), due(report.preview_every));
        if evaluate || draw {
            let model = self.averaged_model()?;
            let device = self.parameters.device();
            if evaluate {
                let values = self.objective.evaluate(&model, device)?;
                note("metrics", metrics.write("evaluation", self.step, &values));
            }
            if draw {
                if let Some(picture) = self.objective.preview(&model, device)? {
                    let path = folder.join(format!("preview-{:07}.png", self.step));
                    note("a preview", crate::pictures::save(&picture, &path));
                }
            }
            // The evaluation took time that belongs to no step.
            window.since = Instant::now();
        }
        if last {
            self.state()?.save(folder)?;
        } else if due(report.state_every) {
            note("a state", self.state()?.save(folder));
        }
        Ok(())
    }
}
