//! The loop that every objective is trained with.

mod gradients;
mod metrics;
mod objective;
mod observer;
mod state;
#[cfg(test)]
pub(crate) mod tests;
mod workers;

pub use objective::{Loss, Objective, Work};
pub use observer::{Observer, Silent, TrainingProgress};
pub use state::{current_path, State};

use crate::config::{Configuration, Plan, Precision};
use crate::optimisation::{schedule, AdamW, Average, Moments, Parameters, Slot};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use gradients::Part;
use metrics::Metrics;
use omniid::{Error, Result};
use omniid_kernels::layers::autocast;
use omniid_kernels::Element;
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::Instant;
use workers::Workers;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are made.
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

/// What happened in the steps since the last line of metrics.
struct Window {
    steps: f64,
    loss: f64,
    parts: Vec<(&'static str, f64)>,
    gradient: f64,
    skipped: u64,
    since: Instant,
}

impl Window {
    fn new() -> Self {
        Self {
            steps: 0.0,
            loss: 0.0,
            parts: Vec::new(),
            gradient: 0.0,
            skipped: 0,
            since: Instant::now(),
        }
    }
}

/// One step's numbers.
struct Made {
    loss: f64,
    parts: Vec<(&'static str, f64)>,
    gradient: f64,
    skipped: bool,
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
    pub fn with_parameters(
        objective: &'a O,
        config: &impl Configuration,
        parameters: Parameters,
    ) -> Result<Self> {
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

    /// Steps made.
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
                    if sender
                        .send(batch.map(|batch| objective.micro_batches(batch)))
                        .is_err()
                    {
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
            let made = self.advance(&next()?)?;
            let seconds = began.elapsed().as_secs_f64();
            let smooth = seconds_per_step.map_or(seconds, |old: f64| 0.9 * old + 0.1 * seconds);
            seconds_per_step = Some(smooth);
            if made.skipped {
                window.skipped += 1;
                observer.message(&format!(
                    "step {} was skipped: loss {}, gradient {}",
                    self.step, made.loss, made.gradient
                ));
                if self.skipped >= self.plan.optimiser.most_skipped {
                    return Err(Error::internal(format!(
                        "{} steps in a row had a loss or a gradient that is not finite; the last saved state is \
                         untouched. A smaller learning_rate or clip may help",
                        self.skipped
                    )));
                }
            } else {
                window.add(&made);
            }
            let flow = observer.progress(&TrainingProgress {
                step: self.step,
                steps: self.plan.steps,
                loss: made.loss,
                pictures_per_second: self.objective.work().pictures as f64 / smooth,
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

    /// One step: forward and backward passes of the parts of a batch, update.
    fn advance(&mut self, batches: &[O::Batch]) -> Result<Made> {
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
            Part::of(&loss, share)
        };
        let part = if device.is_cpu() {
            let parts = self.workers.each(batches, compute)?;
            Part::sum(parts.into_iter().map(Ok), parameters)?
        } else {
            // One after the other, each added at once: there, parts are for what does not fit the memory in one.
            Part::sum(batches.iter().map(compute), parameters)?
        };
        let Part {
            loss,
            parts,
            gradients,
        } = part;
        let gradient = self.optimiser.gradient_length(&self.parameters, &gradients)?;
        let skipped = !(loss.is_finite() && gradient.is_finite());
        if skipped {
            self.skipped += 1;
        } else {
            self.skipped = 0;
            let factor = schedule::rate(&self.plan.schedule, self.step, self.plan.steps);
            let rate = self.plan.optimiser.learning_rate * factor;
            self.optimiser
                .update(&self.parameters, &gradients, rate, gradient)?;
            self.average.update(&self.parameters, self.optimiser.updates)?;
        }
        self.step += 1;
        Ok(Made {
            loss,
            parts,
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
            let values = window.values(self);
            *window = Window::new();
            note("metrics", metrics.write("train", self.step, &values));
        }
        let (judge, draw) = (due(self.plan.evaluate_every), due(report.preview_every));
        if judge || draw {
            let model = self.averaged_model()?;
            let device = self.parameters.device();
            if judge {
                let values = self.objective.evaluate(&model, device)?;
                note("metrics", metrics.write("evaluation", self.step, &values));
            }
            if draw {
                if let Some(picture) = self.objective.preview(&model, device)? {
                    let path = folder.join(format!("preview-{:07}.png", self.step));
                    note("a preview", crate::pictures::save(&picture, &path));
                }
            }
            // What was judged took time that belongs to no step.
            window.since = Instant::now();
        }
        if last {
            self.state()?.save(folder)?;
        } else if due(report.state_every) {
            note("a state", self.state()?.save(folder));
        }
        Ok(())
    }

    /// Everything that the next step depends on.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](omniid::ErrorKind::Device) from the GPU.
    pub fn state(&self) -> Result<State> {
        let mut tensors = BTreeMap::new();
        for (name, parameter) in self.parameters.iter() {
            let shape = parameter.tensor().dims();
            let host = |values: &[f32]| Tensor::from_slice(values, shape, &Device::Cpu);
            tensors.insert(
                format!("weight/{name}"),
                parameter.tensor().copy()?.detach().to_device(&Device::Cpu)?,
            );
            let moments = match self.optimiser.moments.get(name) {
                Some(Moments::Host(first, second)) => Some((host(first)?, host(second)?)),
                Some(Moments::Device(first, second)) => {
                    Some((first.to_device(&Device::Cpu)?, second.to_device(&Device::Cpu)?))
                }
                None => None,
            };
            if let Some((first, second)) = moments {
                tensors.insert(format!("first/{name}"), first);
                tensors.insert(format!("second/{name}"), second);
            }
            let average = match self.average.values.get(name) {
                Some(Slot::Host(values)) => Some(host(values)?),
                Some(Slot::Device(tensor)) => Some(tensor.to_device(&Device::Cpu)?),
                None => None,
            };
            if let Some(average) = average {
                tensors.insert(format!("average/{name}"), average);
            }
        }
        Ok(State {
            step: self.step,
            updates: self.optimiser.updates,
            skipped: self.skipped,
            config: self.plan.text.clone(),
            tensors,
        })
    }

    /// Continues from a saved state.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](omniid::ErrorKind::Mismatch) when the state is of another model.
    pub fn restore(&mut self, state: &State) -> Result<()> {
        let names = self
            .parameters
            .iter()
            .map(|(name, parameter)| (name.to_string(), parameter.variable().is_some()))
            .collect::<Vec<_>>();
        let expected = names
            .iter()
            .map(|(_, trained)| if *trained { 4 } else { 1 })
            .sum::<usize>();
        if state.tensors.len() != expected {
            return Err(Error::mismatch(format!(
                "the saved state has {} tensors, a state of this model has {expected}",
                state.tensors.len()
            )));
        }
        let device = self.parameters.device().clone();
        for (name, trained) in names {
            let get = |kind: &str| {
                let key = format!("{kind}/{name}");
                state
                    .tensors
                    .get(&key)
                    .ok_or_else(|| Error::mismatch(format!("the saved state has no tensor {key:?}")))
            };
            self.parameters.set(&name, get("weight")?)?;
            if !trained {
                continue;
            }
            let count = get("weight")?.elem_count();
            let [first, second, average] = [get("first")?, get("second")?, get("average")?];
            if [first, second, average]
                .iter()
                .any(|tensor| tensor.elem_count() != count)
            {
                return Err(Error::mismatch(format!(
                    "the saved means of {name:?} do not have its size"
                )));
            }
            let host = |tensor: &Tensor| tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
            let (moments, slot) = if device.is_cpu() {
                (
                    Moments::Host(host(first)?, host(second)?),
                    Slot::Host(host(average)?),
                )
            } else {
                (
                    Moments::Device(first.to_device(&device)?, second.to_device(&device)?),
                    Slot::Device(average.to_device(&device)?),
                )
            };
            self.optimiser.moments.insert(name.clone(), moments);
            self.average.values.insert(name, slot);
        }
        self.step = state.step;
        self.optimiser.updates = state.updates;
        self.skipped = state.skipped;
        Ok(())
    }
}

impl Window {
    fn add(&mut self, made: &Made) {
        self.steps += 1.0;
        self.loss += made.loss;
        self.gradient = self.gradient.max(made.gradient);
        for (name, value) in &made.parts {
            match self.parts.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum += value,
                None => self.parts.push((name, *value)),
            }
        }
    }

    fn values<O: Objective>(&self, trainer: &Trainer<'_, O>) -> Vec<(String, f64)> {
        let mean = |sum: f64| sum / self.steps;
        let work = trainer.objective.work();
        let speed = (self.steps + self.skipped as f64) / self.since.elapsed().as_secs_f64();
        let plan = &trainer.plan;
        let rate = plan.optimiser.learning_rate
            * schedule::rate(&plan.schedule, trainer.step.saturating_sub(1), plan.steps);
        let mut values = vec![("loss".to_string(), mean(self.loss))];
        if self.parts.len() > 1 {
            let parts = self.parts.iter();
            values.extend(parts.map(|(name, sum)| ((*name).to_string(), mean(*sum))));
        }
        values.extend(
            [
                ("learning_rate", rate),
                ("gradient", self.gradient),
                ("skipped", self.skipped as f64),
                ("steps_per_second", speed),
                ("pictures_per_second", speed * work.pictures as f64),
                ("gflops", speed * work.operations / 1e9),
            ]
            .map(|(name, value)| (name.to_string(), value)),
        );
        values
    }
}
