//! The presets `tiny` and `tiny-flow` on rendered people learn who somebody is: people never seen are drawn better from
//! their own tokens than from another person's, from nobody's and from an untrained encoder's.
//!
//! Skips, and says so, without the heads of `OMNIID_ASSETS` (default `../shared/assets`).

use omniid::Result;
use omniid_training::config::{preset, RunConfig};
use omniid_training::data::Dataset;
use omniid_training::render::{render_people, Assets, RenderConfig};
use omniid_training::run::{run_on, RunOptions, RunReport};
use omniid_training::trainer::Silent;

fn assets() -> Option<Assets> {
    let folder = omniid_test_support::assets("ict_facekit")?;
    Some(Assets::open(&folder).expect("the heads' assets"))
}

fn people(assets: &Assets) -> Result<Dataset> {
    let config = RenderConfig {
        people: 260,
        inputs_per_person: 6,
        targets_per_person: 5,
        size: 32,
        ..RenderConfig::default()
    };
    render_people(assets, &config, &|_, _| true)
}

fn config(name: &str, steps: u64) -> Result<RunConfig> {
    let mut config = RunConfig::from_toml(preset(name).expect("a preset"))?;
    config.steps = steps;
    config.data.validation = 0.2;
    config.data.test = 0.0;
    config.evaluation.every = 0;
    config.report.preview_every = 0;
    Ok(config)
}

fn measure(report: &RunReport, name: &str) -> f64 {
    let found = report.metrics.iter().find(|(known, _)| known == name);
    found.unwrap_or_else(|| panic!("no {name} in {:?}", report.metrics)).1
}

#[test]
fn masked_and_flow_runs_learn_who_somebody_is() -> Result<()> {
    let Some(assets) = assets() else { return Ok(()) };
    let folder = tempfile::tempdir().expect("temporary folder");
    let options = |name: &str| RunOptions::new(folder.path().join(name));
    let people = people(&assets)?;

    // A single step leaves the encoder as it was drawn.
    let untrained = run_on(&config("tiny", 1)?, people.clone(), &options("untrained"), &mut Silent)?;
    let masked = run_on(&config("tiny", 400)?, people.clone(), &options("masked"), &mut Silent)?;
    // Shuffling tokens among people is what a model blind to identity could not notice.
    assert!(measure(&masked, "gap") >= 0.15, "{:?}", masked.metrics);
    assert!(measure(&masked, "right_to_mean") <= 0.92, "{:?}", masked.metrics);
    assert!(measure(&masked, "auc_set") >= 0.8, "{:?}", masked.metrics);
    assert!(
        measure(&masked, "auc_set") >= measure(&untrained, "auc_set") + 0.03,
        "{:?} against {:?}",
        masked.metrics,
        untrained.metrics
    );
    assert!(measure(&untrained, "gap").abs() < 0.02, "{:?}", untrained.metrics);

    let mut config = config("tiny-flow", 120)?;
    config.start = vec![masked.model.clone()];
    let flow = run_on(&config, people, &options("flow"), &mut Silent)?;
    assert!(measure(&flow, "gap_20") >= 0.05, "{:?}", flow.metrics);
    assert!(measure(&flow, "right_to_mean_20") <= 0.98, "{:?}", flow.metrics);
    assert!(flow.host.is_some_and(|host| host.is_file()));
    Ok(())
}
