//! Whole training steps of the presets `mini` and `mini-flow`: forward and backward pass, clipping, AdamW, average.
//!
//! `cargo bench -p omniid-training --bench training [-- mini | mini-flow] [--steps N] [--curve | --export FOLDER]`. People
//! are drawn, every step has the same batch of three photos a person. Prints the fastest and the median step. With
//! `--curve` it prints the loss of N steps with the batches of a run instead, to compare two builds. With `--export` it
//! writes weights, batch, loss and gradients to FOLDER/NAME.safetensors, from which benches/training/torch_step.py
//! computes the same step with PyTorch; benches/training/run.sh runs both.

use candle_core::{Device, Tensor};
use omniid::Result;
use omniid_training::config::{preset, Precision, RunConfig};
use omniid_training::data::toy_people;
use omniid_training::flow::FlowReconstruction;
use omniid_training::masked::MaskedReconstruction;
use omniid_training::optimisation::Parameters;
use omniid_training::trainer::{Objective, Trainer};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Photos per person in the batch that is measured.
const INPUTS: usize = 3;

/// Steps before weights and gradients are written.
const WARM_STEPS: usize = 5;

struct Arguments {
    chosen: Option<String>,
    steps: usize,
    curve: bool,
    export: Option<PathBuf>,
}

fn arguments() -> Arguments {
    let mut found = Arguments {
        chosen: None,
        steps: 10,
        curve: false,
        export: None,
    };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--steps" => {
                found.steps = given
                    .next()
                    .and_then(|n| n.parse().ok())
                    .expect("--steps takes a number")
            }
            "--export" => found.export = Some(given.next().expect("--export takes a folder").into()),
            "--curve" => found.curve = true,
            "--bench" => {}
            _ => found.chosen = Some(argument),
        }
    }
    found
}

/// The numbers of a batch by name.
type Named<'a, O> = &'a dyn Fn(&<O as Objective>::Batch) -> Result<Vec<(&'static str, Tensor)>>;

fn run<O: Objective>(name: &str, asked: &Arguments, config: &RunConfig, objective: &O, named: Named<O>) -> Result<()> {
    if asked.curve {
        return curve(name, asked.steps, config, objective);
    }
    let photos = |batch: &O::Batch| -> Result<usize> { Ok(named(batch)?[0].1.dim(1)?) };
    let step = (0..).find(|step| objective.batch(*step).and_then(|batch| photos(&batch)).ok() == Some(INPUTS));
    let batches = objective.micro_batches(objective.batch(step.expect("some step has so many photos"))?);
    match &asked.export {
        Some(folder) => export(
            &folder.join(format!("{name}.safetensors")),
            config,
            objective,
            named,
            &batches,
        ),
        None => measure(name, asked.steps, config, objective, &batches),
    }
}

fn measure<O: Objective>(
    name: &str,
    steps: usize,
    config: &RunConfig,
    objective: &O,
    batches: &[O::Batch],
) -> Result<()> {
    let mut trainer = Trainer::new(objective, config, &Device::Cpu)?;
    let first = trainer.step_on(batches)?;
    let mut last = first;
    let mut times = Vec::new();
    for _ in 0..steps.max(1) {
        let start = Instant::now();
        last = trainer.step_on(batches)?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    println!(
        "{name}: fastest {:.4} s, median {:.4} s, slowest {:.4} s of {} steps; loss {first:.4} to {last:.4}",
        times[0],
        times[times.len() / 2],
        times[times.len() - 1],
        times.len()
    );
    Ok(())
}

fn curve<O: Objective>(name: &str, steps: usize, config: &RunConfig, objective: &O) -> Result<()> {
    let mut trainer = Trainer::new(objective, config, &Device::Cpu)?;
    for step in 0..steps {
        let batches = objective.micro_batches(objective.batch(step as u64)?);
        println!("{name} step {step}: loss {:.6}", trainer.step_on(&batches)?);
    }
    Ok(())
}

fn export<O: Objective>(
    path: &Path,
    config: &RunConfig,
    objective: &O,
    named: Named<O>,
    batches: &[O::Batch],
) -> Result<()> {
    let mut tensors = Vec::new();
    // At the start whole branches are zero; after a few steps none is.
    let mut first = Trainer::new(objective, config, &Device::Cpu)?;
    for _ in 0..WARM_STEPS {
        first.step_on(batches)?;
    }
    for (precision, kind) in [(Precision::F32, "f32"), (Precision::Bf16, "bf16")] {
        let config = RunConfig {
            precision,
            ..config.clone()
        };
        let groups = objective.groups();
        let mut parameters = Parameters::new(&objective.parameters()?, &groups, config.seed, &Device::Cpu)?;
        for (name, parameter) in first.parameters().iter() {
            parameters.set(name, parameter.tensor())?;
        }
        let mut trainer = Trainer::with_parameters(objective, &config, parameters)?;
        let (loss, gradients) = trainer.gradients(batches)?;
        tensors.push((format!("loss/{kind}"), Tensor::new(&[loss as f32], &Device::Cpu)?));
        let named = gradients.into_iter();
        tensors.extend(named.map(|(name, gradient)| (format!("gradient/{kind}/{name}"), gradient)));
        if precision == Precision::F32 {
            let weights = trainer.parameters().iter();
            tensors.extend(weights.map(|(name, weight)| (format!("weight/{name}"), weight.tensor().clone())));
        }
    }
    for (part, batch) in batches.iter().enumerate() {
        let named = named(batch)?.into_iter();
        tensors.extend(named.map(|(name, tensor)| (format!("batch/{part}/{name}"), tensor)));
    }
    omniid::checkpoint::write_safetensors(path, &tensors, &BTreeMap::new())
}

fn main() -> Result<()> {
    // As the program does before it computes: candle's threads would spin while they wait.
    if std::env::var_os("CANDLE_NUM_THREADS").is_none() {
        std::env::set_var("CANDLE_NUM_THREADS", "1");
    }
    let asked = arguments();
    for name in ["mini", "mini-flow"] {
        if asked.chosen.as_ref().is_some_and(|chosen| chosen != name) {
            continue;
        }
        let config = RunConfig::from_toml(preset(name).expect("a preset"))?;
        let (people, nobody) = (toy_people(80, 8, 64, 1), toy_people(0, 0, 64, 2));
        if config.flow.is_some() {
            let objective = FlowReconstruction::new(&config, people, nobody)?;
            run(name, &asked, &config, &objective, &|batch| {
                objective.named(batch, &Device::Cpu)
            })?;
        } else {
            let objective = MaskedReconstruction::new(&config, people, nobody)?;
            run(name, &asked, &config, &objective, &|batch| {
                objective.named(batch, &Device::Cpu)
            })?;
        }
    }
    Ok(())
}
