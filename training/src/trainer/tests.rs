use super::*;
use crate::config::RunConfig;
use crate::optimisation::{ParameterGroup, ParameterSpec};
use crate::random::{stream, Purpose};
use crate::trainer::{Loss, Silent, StepCost};
use omniid_kernels::layers::{Initial, TensorSpec};
use rand::Rng;
use std::collections::HashSet;

/// Fits a vector to noisy copies of (1, 2, 3); steps named in `broken` have a loss that is not a number.
#[derive(Default)]
struct Fit {
    broken: HashSet<u64>,
    /// How far the two halves of a batch lie from it on either side; 0 keeps batches whole.
    apart: f32,
}

impl Objective for Fit {
    type Model = Tensor;
    type Batch = Vec<f32>;

    fn groups(&self) -> Vec<ParameterGroup> {
        vec![ParameterGroup {
            name: "all".to_string(),
            rate: 1.0,
            weight_decay: 0.0,
        }]
    }

    fn parameters(&self) -> Result<Vec<ParameterSpec>> {
        let spec = |name: &str, trained| ParameterSpec {
            spec: TensorSpec::new(name, &[3], Initial::Normal(1.0)),
            group: 0,
            decays: false,
            trained,
        };
        Ok(vec![spec("x", true), spec("fixed", false)])
    }

    fn load(&self, vb: VarBuilder) -> Result<Tensor> {
        omniid_kernels::layers::load_parameter(&vb, &[3], "x", candle_nn::Init::Const(0.0))
    }

    fn batch(&self, step: u64) -> Result<Vec<f32>> {
        let mut generator = stream(1, Purpose::Noise, step);
        let scale = if self.broken.contains(&step) { f32::NAN } else { 0.1 };
        Ok((1..=3)
            .map(|i| i as f32 + scale * generator.random_range(-1.0..1.0f32))
            .collect())
    }

    fn micro_batches(&self, batch: Vec<f32>) -> Vec<Vec<f32>> {
        if self.apart == 0.0 {
            return vec![batch];
        }
        [self.apart, -self.apart]
            .map(|apart| batch.iter().map(|value| value + apart).collect())
            .to_vec()
    }

    fn loss(&self, model: &Tensor, batch: &Vec<f32>, device: &Device) -> Result<Loss> {
        let total = (model - Tensor::new(batch.as_slice(), device)?)?.sqr()?.sum_all()?;
        Ok(Loss {
            terms: vec![("fit", total.clone())],
            total,
        })
    }

    fn evaluate(&self, model: &Tensor, _: &Device) -> Result<Vec<(String, f64)>> {
        let last = model.to_vec1::<f32>()?[2];
        Ok(vec![("last".to_string(), f64::from(last))])
    }

    fn preview(&self, _: &Tensor, _: &Device) -> Result<Option<image::RgbImage>> {
        Ok(None)
    }

    fn step_cost(&self) -> StepCost {
        StepCost {
            operations: 1.0,
            pictures: 1,
        }
    }
}

fn config(steps: u64) -> Result<RunConfig> {
    let mut config = RunConfig::from_toml(crate::config::preset("tiny").expect("a preset"))?;
    config.steps = steps;
    config.optimiser.learning_rate = 0.1;
    config.schedule.warm_up = 5;
    config.report.metrics_every = 10;
    config.report.state_every = 25;
    config.evaluation.every = 50;
    Ok(config)
}

/// Stops a run after a step and keeps what it was told.
pub(crate) struct Watcher {
    stop: u64,
    pub messages: Vec<String>,
}

impl Watcher {
    pub fn new(stop: u64) -> Self {
        Self {
            stop,
            messages: Vec::new(),
        }
    }

    pub fn heard(&self, text: &str) -> bool {
        self.messages.iter().any(|message| message.contains(text))
    }
}

impl Observer for Watcher {
    fn progress(&mut self, progress: &TrainingProgress) -> ControlFlow<()> {
        assert!(progress.seconds_left >= 0.0 && progress.step <= progress.steps);
        if progress.step == self.stop {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn message(&mut self, text: &str) {
        self.messages.push(text.to_string());
    }
}

fn bits(state: &State) -> Result<BTreeMap<String, Vec<u32>>> {
    state
        .tensors
        .iter()
        .map(|(name, tensor)| {
            let values = tensor.flatten_all()?.to_vec1::<f32>()?;
            Ok((name.clone(), values.into_iter().map(f32::to_bits).collect()))
        })
        .collect()
}

/// Runs `objective` to the end at once and again with a stop after `stop` steps; both must end alike to the bit.
pub(crate) fn resumed_equals_uninterrupted<O: Objective>(objective: &O, config: &RunConfig, stop: u64) -> Result<()> {
    let (one, two) = (
        tempfile::tempdir().expect("temporary folder"),
        tempfile::tempdir().expect("temporary folder"),
    );
    let mut whole = Trainer::new(objective, config, &Device::Cpu)?;
    assert_eq!(whole.run(one.path(), &mut Silent)?, Outcome::Finished);
    let mut first = Trainer::new(objective, config, &Device::Cpu)?;
    assert_eq!(first.run(two.path(), &mut Watcher::new(stop))?, Outcome::Stopped);
    let (state, problems) = State::load_latest(two.path())?.expect("a state");
    assert!(problems.is_empty() && state.step == stop);
    let mut second = Trainer::new(objective, config, &Device::Cpu)?;
    second.restore(&state)?;
    assert_eq!(second.run(two.path(), &mut Silent)?, Outcome::Finished);
    assert_eq!(bits(&whole.state()?)?, bits(&second.state()?)?);
    let (from_disk, _) = State::load_latest(two.path())?.expect("a state");
    assert_eq!(bits(&from_disk)?, bits(&whole.state()?)?);
    Ok(())
}

#[test]
fn a_resumed_fit_equals_an_uninterrupted_one_to_the_bit() -> Result<()> {
    let objective = Fit {
        broken: HashSet::from([12]),
        ..Fit::default()
    };
    resumed_equals_uninterrupted(&objective, &config(60)?, 13)?;
    let divided = Fit {
        apart: 0.5,
        ..objective
    };
    resumed_equals_uninterrupted(&divided, &config(60)?, 13)
}

#[test]
fn a_fit_reaches_its_goal_and_writes_what_it_did() -> Result<()> {
    let folder = tempfile::tempdir().expect("temporary folder");
    let objective = Fit {
        broken: HashSet::from([7, 30, 31]),
        ..Fit::default()
    };
    let mut watcher = Watcher::new(u64::MAX);
    let mut trainer = Trainer::new(&objective, &config(400)?, &Device::Cpu)?;
    trainer.run(folder.path(), &mut watcher)?;
    let fitted = trainer.averaged_model()?.to_vec1::<f32>()?;
    for (value, goal) in fitted.iter().zip([1.0, 2.0, 3.0]) {
        assert!((value - goal).abs() < 0.05, "{fitted:?}");
    }
    assert_eq!(watcher.messages.len(), 3, "{:?}", watcher.messages);
    assert!(watcher.messages[0].contains("step 8 was skipped"));
    let text = std::fs::read_to_string(folder.path().join("metrics.jsonl")).expect("metrics");
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .collect::<Vec<_>>();
    let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).count();
    assert_eq!((of("train"), of("evaluation")), (40, 8));
    assert_eq!(lines[0]["skipped"], 1.0);
    let (state, _) = State::load_latest(folder.path())?.expect("a state");
    assert_eq!((state.step, state.updates), (400, 397));
    Ok(())
}

#[test]
fn many_bad_steps_in_a_row_end_the_run_and_keep_the_state() -> Result<()> {
    let folder = tempfile::tempdir().expect("temporary folder");
    let objective = Fit {
        broken: (30..1000).collect(),
        ..Fit::default()
    };
    let mut trainer = Trainer::new(&objective, &config(400)?, &Device::Cpu)?;
    let error = trainer.run(folder.path(), &mut Silent).expect_err("NaN for ever");
    assert!(error.message().contains("20 steps in a row"), "{error}");
    let (state, _) = State::load_latest(folder.path())?.expect("a state");
    assert_eq!(state.step, 25);
    Ok(())
}

#[test]
fn a_state_of_another_model_is_refused() -> Result<()> {
    let objective = Fit {
        broken: HashSet::new(),
        ..Fit::default()
    };
    let mut trainer = Trainer::new(&objective, &config(10)?, &Device::Cpu)?;
    let mut state = trainer.state()?;
    state.tensors.remove("first/x");
    assert!(trainer.restore(&state).is_err());
    let mut state = trainer.state()?;
    state
        .tensors
        .insert("weight/x".to_string(), Tensor::zeros(4, DType::F32, &Device::Cpu)?);
    let error = trainer.restore(&state).expect_err("4 is not 3");
    assert_eq!(error.kind(), omniid::ErrorKind::Mismatch);
    Ok(())
}

/// Two squares around a middle have the slope of the middle's, and lie above it by the square of the distance.
#[test]
fn gradients_of_micro_batches_are_averaged() -> Result<()> {
    let run = |apart: f32| -> Result<(Vec<f32>, StepResult)> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let objective = Fit {
            apart,
            ..Fit::default()
        };
        let mut trainer = Trainer::new(&objective, &config(30)?, &Device::Cpu)?;
        let first = trainer.advance(&objective.micro_batches(objective.batch(0)?))?;
        assert!((first.terms[0].1 - first.loss).abs() < 1e-6);
        assert_eq!(trainer.run(folder.path(), &mut Silent)?, Outcome::Finished);
        Ok((trainer.averaged()?["x"].to_vec1()?, first))
    };
    let ((whole, once), (halves, twice)) = (run(0.0)?, run(0.5)?);
    for (a, b) in whole.iter().zip(&halves) {
        assert!((a - b).abs() < 1e-4, "{whole:?} {halves:?}");
    }
    let (slope, same) = (once.gradient, twice.gradient);
    assert!((slope - same).abs() < 1e-5 * slope, "{slope} and {same}");
    let (loss, higher) = (once.loss, twice.loss);
    assert!((higher - loss - 3.0 * 0.25).abs() < 1e-5, "{loss} and {higher}");
    Ok(())
}
