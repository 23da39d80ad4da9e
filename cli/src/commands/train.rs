//! `omniid train`: a run from a configuration, watched and resumable.

use super::render::{people, AssetArgs};
use crate::args::{device, first_named, parse_device, LimitArgs, Seed};
use crate::claim::Claim;
use crate::detector;
use crate::dropped;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::progress::Bar;
use crate::remedy;
use crate::signals;
use omniid::engine::DeviceChoice;
use omniid::{Error, ErrorKind};
use omniid_training::config::{preset, RunConfig, PRESETS};
use omniid_training::data::photos::{file_hash, load_photos, PhotoOptions};
use omniid_training::render::{Assets, RenderConfig};
use omniid_training::run::{load_data, run_on, RunOptions};
use omniid_training::trainer::{Observer, Outcome as RunOutcome, TrainingProgress};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Written into the run's folder:
  state.safetensors     the training's state, for --resume, and the one before
  config.toml           the configuration with every value written out
  metrics.jsonl         a line per so many steps, and per evaluation
  preview-*.png         what the model draws by now
  model.safetensors     the model with averaged weights, for every other command
  host.safetensors      flow runs only: the generator trained with it, for --minihost
  people.safetensors    rendered people, where the configuration named no data
  photos-N.safetensors  prepared photos of --photos, with a report of what was left out beside them

Examples:
  omniid train tiny --out runs/tiny --assets assets
  omniid train --print-preset mini > my.toml
  omniid train my.toml --out runs/my --data train.safetensors
  omniid train my.toml --out runs/my --data train.safetensors --resume
  omniid train mini --out runs/photos --photos my-photos
  omniid train tiny-flow --out runs/flow --start runs/tiny/model.safetensors --data runs/tiny/people.safetensors
  omniid train mini-flow --out runs/more --start omniid-mini.safetensors --start minihost-mini.safetensors \\
      --data people";

#[derive(clap::Args)]
#[command(after_help = format!("Presets:\n{}\n\n{EXAMPLES}", presets()))]
pub struct Args {
    /// A configuration file (TOML), or the name of a preset.
    #[arg(value_name = "CONFIG", required_unless_present = "print_preset")]
    config: Option<PathBuf>,
    /// The run's folder; it is made if it is missing.
    #[arg(short, long, value_name = "FOLDER", required_unless_present = "print_preset")]
    out: Option<PathBuf>,
    /// Print a preset's configuration and stop.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["config", "out", "resume", "data", "photos", "people", "start", "steps", "seed"])]
    print_preset: Option<String>,
    /// Continue the run in the folder where it stopped.
    #[arg(long)]
    resume: bool,
    /// Continue although the configuration has changed; the model must be the same.
    #[arg(long, requires = "resume")]
    allow_changes: bool,
    /// Training set to use instead of the configuration's; may be given several times.
    #[arg(long = "data", value_name = "FILE|FOLDER")]
    data: Vec<PathBuf>,
    /// Folder of photos to train on, one folder per person (MFHQ layout); may be given several times.
    #[arg(long = "photos", value_name = "FOLDER")]
    photos: Vec<PathBuf>,
    /// Face detector for --photos: YuNet, or a native checkpoint that has one [default: the one inside the program].
    #[arg(long, value_name = "FILE", env = "OMNIID_DETECTOR", hide_env_values = true)]
    detector: Option<PathBuf>,
    #[command(flatten)]
    assets: AssetArgs,
    /// People to render where there is no other data [default: what the run's length can use].
    #[arg(long, value_name = "N", conflicts_with_all = ["data", "photos"],
          value_parser = clap::value_parser!(u32).range(2..=10_000_000))]
    people: Option<u32>,
    /// Checkpoint, state or host whose tensors replace the random start, such as the model of a masked run for a flow
    /// run; may be given several times, as for a model and its host. Instead of the configuration's.
    #[arg(long, value_name = "FILE")]
    start: Vec<PathBuf>,
    /// Steps, instead of the configuration's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
    /// Seed of weights and batches, instead of the configuration's; -1 for any, which is printed.
    #[arg(long, value_name = "N", value_parser = Seed::parse)]
    seed: Option<Seed>,
    /// Where to compute: cpu, cuda or cuda:N.
    #[arg(long, value_name = "DEVICE", env = "OMNIID_DEVICE", hide_env_values = true, default_value = "cpu",
          value_parser = parse_device)]
    device: DeviceChoice,
    /// No progress bar; messages are still printed.
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    limits: LimitArgs,
}

/// Names of the presets with the first sentence of each.
fn presets() -> String {
    let line = |(name, text): &(&str, &str)| {
        let words: Vec<&str> = text
            .lines()
            .map_while(|line| line.strip_prefix('#'))
            .map(str::trim)
            .collect();
        format!("  {name:<12}{}", words.join(" "))
    };
    PRESETS.iter().map(line).collect::<Vec<_>>().join("\n")
}

pub fn run(args: Args) -> Outcome {
    if let Some(name) = &args.print_preset {
        let text = preset(name).ok_or_else(|| {
            let known = PRESETS.map(|(name, _)| name).join(", ");
            Failure::usage(format!("no preset {name:?}; there are {known}"))
        })?;
        return output::print(text);
    }
    let (Some(config), Some(out)) = (&args.config, &args.out) else {
        return Err(Failure::usage("a configuration and --out FOLDER are needed"));
    };
    let mut config = RunConfig::open(config)?;
    if args.people.is_some() && !config.data.files.is_empty() {
        return Err(Failure::usage(
            "--people has no effect: nobody is rendered, the configuration names data",
        ));
    }
    if args.photos.is_empty() && first_named(&["--detector"]).is_some() {
        return Err(Failure::usage(
            "--detector has no effect: there are no photos (--photos FOLDER)",
        ));
    }
    if let Some(steps) = args.steps {
        config.steps = steps;
    }
    if let Some(seed) = args.seed {
        config.seed = seed.announced();
    }
    if !args.start.is_empty() {
        config.start.clone_from(&args.start);
    }
    let mut folder = RunFolder { path: out, claim: None };
    if out.is_dir() {
        folder.make()?;
    }
    gather(&mut config, &mut folder, &args, &Bar::with_time_left(args.quiet))?;
    folder.make()?;
    let options = RunOptions {
        resume: args.resume,
        allow_changes: args.allow_changes,
        device: device(args.device)?,
        ..RunOptions::new(out)
    };
    let mut watcher = Watcher {
        bar: Bar::for_run(args.quiet),
    };
    let dataset = load_data(&config, &mut watcher)?;
    // Hours of work end with a step, after which the state is saved.
    let _finish = signals::finish_first();
    let report = run_on(&config, dataset, &options, &mut watcher)?;
    drop(watcher);
    for (name, value) in &report.metrics {
        output::print(format!("{name:>24}  {value:.4}"))?;
    }
    for file in std::iter::once(&report.model).chain(&report.host) {
        output::print(file.display().to_string())?;
    }
    if report.outcome == RunOutcome::Stopped {
        return Err(Failure::Library(
            Error::new(
                ErrorKind::Cancelled,
                format!(
                    "training was stopped after step {} of {}; the state is saved",
                    report.step, config.steps
                ),
            )
            .with_remedy(remedy::RESUME),
        ));
    }
    Ok(())
}

/// The run's folder: one process at a time trains in it.
struct RunFolder<'a> {
    path: &'a Path,
    claim: Option<Claim>,
}

impl RunFolder<'_> {
    /// Makes the folder and claims it, once.
    fn make(&mut self) -> Outcome {
        if self.claim.is_none() {
            self.claim = Some(output::make_folder(self.path)?);
        }
        Ok(())
    }
}

/// Puts the data into the configuration: what was named, prepared photos, or people rendered for this run.
fn gather(config: &mut RunConfig, folder: &mut RunFolder<'_>, args: &Args, bar: &Bar) -> Outcome {
    let out = folder.path;
    if !args.data.is_empty() {
        config.data.files.clone_from(&args.data);
    }
    for (place, photos) in args.photos.iter().enumerate() {
        folder.make()?;
        let file = out.join(format!("photos-{}.safetensors", place + 1));
        prepare_photos(photos, &file, config, args, bar)?;
        if !config.data.files.contains(&file) {
            config.data.files.push(file);
        }
    }
    if !config.data.files.is_empty() {
        return Ok(());
    }
    let file = out.join("people.safetensors");
    // A run that is continued has rendered its people already.
    if !(args.resume && file.is_file()) {
        if !args.assets.is_given() {
            return Err(
                Failure::usage(format!("the configuration {:?} names no data", config.name))
                    .with_remedy(remedy::TRAINING_DATA),
            );
        }
        let render = fitting(config, args.people);
        bar.line(&format!(
            "no data named: rendering {} people with {} pictures of {} px each into {}",
            render.people,
            render.inputs_per_person + render.targets_per_person,
            render.size,
            file.display()
        ));
        let assets: Assets = args.assets.open()?;
        folder.make()?;
        people(&assets, &render, "rendering people", args.quiet)?.save(&file)?;
    }
    config.data.files.push(file);
    Ok(())
}

/// People that a run can make use of: each is seen some 40 times, but not more of them than fit into 2 GB.
fn fitting(config: &RunConfig, asked: Option<u32>) -> RenderConfig {
    const VISITS: u64 = 40;
    const FEWEST: u64 = 200;
    const MOST: u64 = 4000;
    const BYTES: u64 = 2_000_000_000;
    let sampler = &config.sampler;
    let evaluation = &config.evaluation;
    // Two disjoint sets are compared in evaluations, and inputs should vary from step to step.
    let inputs = (2 * sampler.most_inputs.max(evaluation.inputs)).max(6);
    let targets = (2 * sampler.targets.max(evaluation.targets)).min(12);
    let size = config.model.image_size as u64;
    let person = 4 * size * size * (inputs + targets) as u64;
    let useful = config.steps.saturating_mul(sampler.people as u64) / VISITS;
    let fits = (BYTES / person.max(1)).max(2);
    RenderConfig {
        people: asked.map_or(useful.clamp(FEWEST, MOST).min(fits), u64::from) as usize,
        first_seed: 1,
        inputs_per_person: inputs,
        targets_per_person: targets,
        size: size as u32,
        ..RenderConfig::default()
    }
}

/// Finds and cuts out the faces of a folder of people, once, and says what was left out.
fn prepare_photos(folder: &Path, file: &Path, config: &RunConfig, args: &Args, bar: &Bar) -> Outcome {
    let limits = args.limits.limits();
    let detector = detector::named_or_built_in(args.detector.as_deref(), &limits)?;
    let name = match &args.detector {
        Some(path) => file_hash(path)?,
        None => format!("built into version {}", env!("CARGO_PKG_VERSION")),
    };
    let options = PhotoOptions {
        size: config.model.image_size as u32,
        limits,
        detector: name,
        cache: Some(file.to_path_buf()),
        ..PhotoOptions::default()
    };
    let (dataset, report) = load_photos(folder, &detector, &options, &mut |done, all| {
        bar.show("preparing photos", done as u64, all as u64)
    })?;
    bar.line(&format!("{}: {report}", folder.display()));
    dropped::tell(&report, &file.with_extension("dropped.txt"), bar)?;
    if dataset.people.is_empty() {
        return Err(Failure::usage(format!(
            "{}: nobody to train on; every person needs {} usable photos",
            folder.display(),
            options.min_photos
        )));
    }
    Ok(())
}

/// Shows a run.
struct Watcher {
    bar: Bar,
}

impl Observer for Watcher {
    fn progress(&mut self, progress: &TrainingProgress) -> ControlFlow<()> {
        let what = format!(
            "loss {:.4}, {:.0} pictures/s, {} left",
            progress.loss,
            progress.pictures_per_second,
            time_text(progress.seconds_left)
        );
        self.bar.show(&what, progress.step, progress.steps)
    }

    fn message(&mut self, text: &str) {
        self.bar.line(text);
    }
}

/// A readable time: `42 s`, `7 min`, `3.5 h`.
fn time_text(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 100.0 => format!("{seconds:.0} s"),
        seconds if seconds < 6000.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_for_people() {
        let texts = [42.3, 420.0, 12600.0].map(time_text);
        assert_eq!(texts, ["42 s", "7 min", "3.5 h"]);
    }

    #[test]
    fn enough_people_are_rendered_and_they_fit() {
        for (name, text) in PRESETS {
            let config = RunConfig::from_toml(text).unwrap();
            let render = fitting(&config, None);
            // Two disjoint sets of inputs, and targets beside them.
            assert!(render.inputs_per_person >= 2 * config.evaluation.inputs, "{name}");
            assert!(render.targets_per_person >= config.evaluation.targets, "{name}");
            let pictures = render.inputs_per_person + render.targets_per_person;
            let bytes = 4 * pictures as u64 * u64::from(render.size).pow(2) * render.people as u64;
            assert!(bytes <= 2_000_000_000 && render.people >= 2, "{name}: {bytes}");
            assert_eq!(fitting(&config, Some(17)).people, 17);
        }
        // 800 steps of 32 people, each seen 40 times.
        let tiny = RunConfig::from_toml(preset("tiny").unwrap()).unwrap();
        assert_eq!(fitting(&tiny, None).people, 640);
    }
}
