//! A whole run: configuration in, training state, metrics, previews and a native checkpoint out.

pub mod export;

use crate::config::{Configuration, RunConfig};
use crate::data::Dataset;
use crate::flow::{FlowReconstruction, HOST_PREFIX};
use crate::masked::MaskedReconstruction;
use crate::optimisation::Parameters;
use crate::remedy;
use crate::tokens::{similarity_projection, PROJECTION};
use crate::trainer::{Objective, Observer, Outcome, State, Trainer};
use candle_core::{DType, Device, Tensor};
use export::{export, Extras};
use omniid::checkpoint::{save_bytes_atomically, Checkpoint};
use omniid::engine::HostConfig;
use omniid::Limits;
use omniid::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The native checkpoint that a finished or stopped run leaves in its folder.
pub const MODEL_FILE: &str = "model.safetensors";

/// The host that a run of flow matching leaves beside it.
pub const HOST_FILE: &str = "host.safetensors";

/// How a run is started.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Folder for states, metrics, previews and the model; made if it is not there.
    pub folder: PathBuf,
    /// Continues the run that `folder` holds. Without it, a folder that holds a run is refused, so that no run is
    /// lost by mistake.
    pub resume: bool,
    /// Resumes although the configuration differs from the saved one, where the model is the same.
    pub allow_changes: bool,
    /// Where to compute.
    pub device: Device,
    /// Number type of the model written at the end.
    pub model_dtype: DType,
}

impl RunOptions {
    /// A new run into `folder`, on the CPU, model in f16.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            resume: false,
            allow_changes: false,
            device: Device::Cpu,
            model_dtype: DType::F16,
        }
    }
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq)]
pub struct RunReport {
    /// How it ended.
    pub outcome: Outcome,
    /// Steps made in all.
    pub step: u64,
    /// Metrics on validation people at the end, by name; empty without such people.
    pub metrics: Vec<(String, f64)>,
    /// The model.
    pub model: PathBuf,
    /// The host that was trained with it, by flow matching only.
    pub host: Option<PathBuf>,
}

/// Runs the configuration file (or preset) `config` on the dataset files it names. See [`run_on`].
///
/// # Errors
/// As [`RunConfig::open`], [`Dataset::load`] and [`run_on`].
pub fn run(config: &Path, options: &RunOptions, observer: &mut dyn Observer) -> Result<RunReport> {
    let config = RunConfig::open(config)?;
    let dataset = load_data(&config, observer)?;
    run_on(&config, dataset, options, observer)
}

/// Reads and joins the dataset files of a configuration.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`](omniid::ErrorKind::InvalidArgument) when it names none; as [`Dataset::load`].
pub fn load_data(config: &RunConfig, observer: &mut dyn Observer) -> Result<Dataset> {
    let mut all = Dataset::default();
    for path in &dataset_files(&config.data.files)? {
        let dataset = Dataset::load(path)?;
        observer.message(&format!("{}: {}", path.display(), dataset.report()));
        // Files may hold pictures of different sizes; the model's decides.
        all.append(dataset.resized(config.model.image_size as u32)?)?;
    }
    if all.people.is_empty() {
        return Err(Error::invalid(format!(
            "run {:?}: data.files names no dataset with people in it",
            config.name
        )));
    }
    Ok(all)
}

/// Files as they are, and the files of folders in the order of their names.
///
/// # Errors
/// [`ErrorKind::Io`](omniid::ErrorKind::Io) for a folder that cannot be read.
pub fn dataset_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).map_err(|error| Error::io(path, error))? {
            let file = entry.map_err(|error| Error::io(path, error))?.path();
            if file.extension().is_some_and(|extension| extension == "safetensors") {
                inside.push(file);
            }
        }
        inside.sort();
        files.append(&mut inside);
    }
    Ok(files)
}

/// Trains on the people of `dataset`: splits them, starts or resumes, and exports the model with averaged weights at
/// the end or when the observer stops the run. With a section `[flow]` it trains by flow matching and exports adapter
/// and host, too.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`](omniid::ErrorKind::InvalidArgument) when the folder holds a run and `resume` is not
/// set, or nobody can be trained on;
/// [`ErrorKind::Mismatch`](omniid::ErrorKind::Mismatch) when the saved run had another configuration, naming the value;
/// as [`Trainer::run`].
pub fn run_on(
    config: &RunConfig,
    dataset: Dataset,
    options: &RunOptions,
    observer: &mut dyn Observer,
) -> Result<RunReport> {
    config.validate()?;
    std::fs::create_dir_all(&options.folder).map_err(|error| Error::io(&options.folder, error))?;
    let [train, validation, _] = split(config, dataset)?;
    observer.message(&format!("training: {}", train.report()));
    observer.message(&format!("validation: {}", validation.report()));
    if config.flow.is_none() {
        let objective = MaskedReconstruction::new(config, train, validation)?;
        let used = objective.sampler().people().len();
        return finish(&objective, objective.dataset(), used, config, options, observer, |_| {
            Ok((Extras::default(), None))
        });
    }
    let objective = FlowReconstruction::new(config, train, validation)?;
    let used = objective.sampler().people().len();
    finish(
        &objective,
        objective.dataset(),
        used,
        config,
        options,
        observer,
        |weights| {
            let adapter = weights
                .iter()
                .filter(|(name, _)| name.starts_with("adapter."))
                .map(|(name, tensor)| Ok((name.clone(), tensor.to_device(&Device::Cpu)?)))
                .collect::<Result<Vec<_>>>()?;
            let extras = Extras {
                tensors: adapter,
                host: Some(HostConfig::from(objective.host_spec())),
            };
            let host = options.folder.join(HOST_FILE);
            let tensors = weights
                .iter()
                .filter_map(|(name, tensor)| Some((name.strip_prefix(HOST_PREFIX)?.strip_prefix('.')?, tensor)));
            let metadata = BTreeMap::from([("name".to_string(), config.name.clone())]);
            omniid_minihost::file::save(&host, objective.host(), tensors, options.model_dtype, &metadata)?;
            Ok((extras, Some(host)))
        },
    )
}

/// Runs an objective over `people`, of whom `used` have enough pictures, and exports what comes out. `extras` makes of
/// the averaged weights what the checkpoint holds besides the encoder, and may write a file of its own.
fn finish<O: Objective>(
    objective: &O,
    people: &Dataset,
    used: usize,
    config: &RunConfig,
    options: &RunOptions,
    observer: &mut dyn Observer,
    extras: impl FnOnce(&BTreeMap<String, Tensor>) -> Result<(Extras, Option<PathBuf>)>,
) -> Result<RunReport> {
    let unused = people.people.len() - used;
    if unused > 0 {
        observer.message(&format!(
            "{unused} training people have too few pictures for inputs and a target and are left out"
        ));
    }
    let mut trainer = start(objective, config, options, observer)?;
    let outcome = trainer.run(&options.folder, observer)?;
    let metrics = objective.evaluate(&trainer.averaged_model()?, &options.device)?;
    let model = options.folder.join(MODEL_FILE);
    let weights = trainer.averaged()?;
    let (mut extras, host) = extras(&weights)?;
    // A run that was stopped is not its last word; whoever stopped it does not want to wait.
    if outcome == Outcome::Finished && config.similarity.directions > 0 {
        extras.tensors.extend(comparison(config, &weights, people, observer)?);
    }
    export(
        &model,
        config,
        &weights,
        people,
        config.sampler.most_inputs,
        options.model_dtype,
        &extras,
    )?;
    Ok(RunReport {
        outcome,
        step: trainer.step(),
        metrics,
        model,
        host,
    })
}

/// The directions in which identities are compared, as a tensor of the checkpoint. A search that fails costs the
/// directions, not the trained model.
fn comparison(
    config: &RunConfig,
    weights: &BTreeMap<String, Tensor>,
    people: &Dataset,
    observer: &mut dyn Observer,
) -> Result<Option<(String, Tensor)>> {
    let [wanted, all] = [config.similarity.directions, people.people.len()];
    observer.message(&format!(
        "looking for the {wanted} directions that tell {all} people apart"
    ));
    match similarity_projection(config, weights, people) {
        Ok(projection) => Ok(projection.map(|tensor| (PROJECTION.to_string(), tensor))),
        Err(error) if error.kind() == omniid::ErrorKind::InvalidArgument => {
            observer.message(&format!("identities are compared as they are: {error}"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Training, validation and test people of a run.
///
/// # Errors
/// As [`Dataset::split`].
pub fn split(config: &RunConfig, dataset: Dataset) -> Result<[Dataset; 3]> {
    let data = &config.data;
    let fractions = crate::data::SplitFractions {
        validation: data.validation,
        test: data.test,
    };
    let [mut train, validation, test] = dataset.split(fractions, data.split_seed)?;
    if data.most_people > 0 && data.most_people < train.people.len() {
        // Evenly over the set, so that every family stays in.
        let (all, kept) = (train.people.len(), data.most_people);
        let mut place = 0;
        train.people.retain(|_| {
            let keep = (place + 1) * kept / all > place * kept / all;
            place += 1;
            keep
        });
    }
    Ok([train, validation, test])
}

/// A trainer of any objective at its start: random, from the configuration's `start`, or where the run in the
/// folder was interrupted.
///
/// # Errors
/// As [`run_on`].
pub fn start<'a, O: Objective, C: Configuration>(
    objective: &'a O,
    config: &C,
    options: &RunOptions,
    observer: &mut dyn Observer,
) -> Result<Trainer<'a, O>> {
    let folder = &options.folder;
    if !options.resume && State::exists(folder) {
        return Err(
            Error::invalid(format!("{} holds the state of a run", folder.display())).with_remedy(remedy::RUN_FOLDER)
        );
    }
    let mut parameters = Parameters::new(
        &objective.parameters()?,
        &objective.groups(),
        config.plan()?.seed,
        &options.device,
    )?;
    observer.message(&format!("{} parameters", parameters.count()));
    let saved = if options.resume {
        State::load_latest(folder)?
    } else {
        None
    };
    for start in config.start().iter().filter(|_| saved.is_none()) {
        let checkpoint = objective.start(Checkpoint::open(start, &Limits::default())?)?;
        let taken = parameters.start_from(&checkpoint)?;
        observer.message(&format!(
            "{} of {} tensors start from {}",
            taken.len(),
            parameters.iter().count(),
            start.display()
        ));
    }
    let mut trainer = Trainer::with_parameters(objective, config, parameters)?;
    if let Some((state, problems)) = saved {
        problems.iter().for_each(|problem| observer.message(problem));
        let before = C::parse(&state.config).map_err(|error| error.context("saved state"))?;
        if let Some(difference) = config.difference_to(&before) {
            let text = format!(
                "the run in {} has another configuration: {difference}",
                folder.display()
            );
            if !options.allow_changes {
                return Err(Error::mismatch(text).with_remedy(remedy::CHANGED_RUN));
            }
            observer.message(&text);
        }
        trainer.restore(&state)?;
        observer.message(&format!("resumed at step {}", state.step));
    }
    let text = config.plan()?.text;
    save_bytes_atomically(&folder.join("config.toml"), text.as_bytes())?;
    Ok(trainer)
}

#[cfg(test)]
mod tests;
