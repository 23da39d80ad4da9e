use super::*;
use crate::config::preset;
use crate::data::toy_people;
use crate::trainer::tests::resumed_equals_uninterrupted;
use crate::trainer::{Outcome, Silent, Trainer};

/// Small enough for a hundred steps in seconds.
pub fn quick(steps: u64) -> Result<RunConfig> {
    let mut config = RunConfig::from_toml(preset("tiny").expect("a preset"))?;
    config.steps = steps;
    config.model.image_size = 16;
    config.model.patch_size = 4;
    config.model.width = 32;
    config.model.blocks = 1;
    config.model.encoder_width = 32;
    config.model.token_width = 32;
    config.model.queries = 8;
    config.masked.width = 32;
    config.masked.depth = 1;
    config.sampler.people = 16;
    config.sampler.fewest_inputs = 2;
    config.sampler.most_inputs = 2;
    config.sampler.targets = 3;
    config.schedule.warm_up = 10;
    config.optimiser.learning_rate = 5e-3;
    config.evaluation.inputs = 2;
    config.average.decay = 0.95;
    Ok(config)
}

fn objective(config: &RunConfig) -> Result<MaskedReconstruction> {
    MaskedReconstruction::new(config, toy_people(400, 8, 16, 1), toy_people(16, 9, 16, 2))
}

/// The value of a measure, which must be there.
pub fn measure(values: &[(String, f64)], name: &str) -> f64 {
    values
        .iter()
        .find(|(known, _)| known == name)
        .unwrap_or_else(|| panic!("no {name} in {values:?}"))
        .1
}

#[test]
fn right_tokens_beat_wrong_and_mean_ones_on_people_never_seen() -> Result<()> {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut config = quick(300)?;
    config.sampler.grey_fraction = 0.0;
    let objective = objective(&config)?;
    let mut trainer = Trainer::new(&objective, &config, &Device::Cpu)?;
    let before = objective.evaluate(&trainer.averaged_model()?, &Device::Cpu)?;
    assert_eq!(trainer.run(folder.path(), &mut Silent)?, Outcome::Finished);
    let after = objective.evaluate(&trainer.averaged_model()?, &Device::Cpu)?;
    assert!(measure(&before, "gap").abs() < 0.02, "{before:?}");
    assert!(measure(&after, "gap") > 0.12, "{after:?}");
    assert!(measure(&after, "right_to_mean") < 0.92, "{after:?}");
    assert!(measure(&after, "auc_set") > 0.9, "{after:?}");
    let sheets = std::fs::read_dir(folder.path()).expect("the folder").flatten();
    let sheets = sheets.filter(|entry| entry.path().extension().is_some_and(|end| end == "png"));
    assert_eq!(sheets.count(), 1, "one preview at the end");
    Ok(())
}

#[test]
fn every_option_gives_finite_gradients_to_all_its_tensors() -> Result<()> {
    let mut options = Vec::new();
    for change in [
        |config: &mut RunConfig| config.loss.contrastive = 0.5,
        |config: &mut RunConfig| config.loss.classifier = 0.5,
        |config: &mut RunConfig| {
            config.loss.reconstruction = 0.0;
            config.loss.contrastive = 1.0;
            config.loss.classifier = 1.0;
        },
        |config: &mut RunConfig| config.masked.condition = crate::config::Condition::None,
        |config: &mut RunConfig| config.masked.condition = crate::config::Condition::Pose,
        |config: &mut RunConfig| config.masked.masked_fraction = 1.0,
        |config: &mut RunConfig| {
            config.masked.token_dropout = 0.5;
            config.masked.background_weight = 0.2;
        },
        |config: &mut RunConfig| {
            config.sampler.pairing = crate::config::Pairing::Same;
            config.sampler.fewest_inputs = 1;
            config.sampler.most_inputs = 1;
        },
        |config: &mut RunConfig| {
            config.model.anchored_queries = true;
            config.model.class_token = false;
            config.model.token_width = 24;
        },
    ] {
        let mut config = quick(1)?;
        change(&mut config);
        config.validate()?;
        options.push(config);
    }
    for config in options {
        let objective = objective(&config)?;
        let trainer = Trainer::new(&objective, &config, &Device::Cpu)?;
        let model = objective.load(trainer.parameters().builder())?;
        let loss = objective.loss(&model, &objective.batch(3)?, &Device::Cpu)?;
        let gradients = loss.total.backward()?;
        for (name, _, variable) in trainer.parameters().trained() {
            // Nothing reads them when nothing is visible.
            if config.masked.masked_fraction == 1.0
                && (name.contains("patch_projection") || name.contains("patch_kind"))
            {
                continue;
            }
            let gradient = gradients
                .get(variable)
                .unwrap_or_else(|| panic!("no gradient for {name} with {config:?}"));
            let size = gradient.abs()?.sum_all()?.to_scalar::<f32>()?;
            assert!(size.is_finite() && size > 0.0, "{name}: {size} with {config:?}");
        }
    }
    Ok(())
}

#[test]
fn decoding_a_subset_equals_decoding_all() -> Result<()> {
    // Hidden patches do not see each other, so the loss on a subset is unbiased.
    let config = quick(1)?;
    let objective = objective(&config)?;
    let trainer = Trainer::new(&objective, &config, &Device::Cpu)?;
    let model = trainer.averaged_model()?;
    let decoder = model.decoder.as_ref().expect("a decoder");
    let draws = &objective.sampler.draw(0)[..1];
    let count = draws[0].targets.len();
    let decode = |decoded: Vec<usize>| -> Result<Vec<Vec<Vec<f32>>>> {
        let patches = vec![
            Patches {
                visible: vec![5],
                decoded
            };
            count
        ];
        let fraction = patches[0].decoded.len() as f64 / 16.0;
        let masked = crate::config::MaskedConfig {
            decoded_fraction: fraction,
            ..config.masked.clone()
        };
        let batch = TargetBuilder::new(&masked, 16, 4).build(&objective.dataset, draws, &patches);
        let tokens = Tensor::ones((1, 8, 32), candle_core::DType::F32, &Device::Cpu)?;
        Ok(decoder.forward(&tokens, &batch.targets(&Device::Cpu)?)?.to_vec3()?)
    };
    let all = decode((0..16).filter(|place| *place != 5).collect())?;
    let some = decode(vec![15, 2])?;
    for (all, some) in all.iter().zip(&some) {
        for (a, b) in all[14].iter().zip(&some[0]).chain(all[2].iter().zip(&some[1])) {
            assert!((a - b).abs() < 1e-5, "{a} against {b}");
        }
    }
    Ok(())
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_to_the_bit() -> Result<()> {
    let mut config = quick(12)?;
    config.sampler.fewest_inputs = 1;
    config.masked.token_dropout = 0.25;
    let objective = MaskedReconstruction::new(&config, toy_people(40, 6, 16, 1), Dataset::new(16))?;
    resumed_equals_uninterrupted(&objective, &config, 5)
}
