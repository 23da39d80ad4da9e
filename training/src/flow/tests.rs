use super::*;
use crate::data::toy_people;
use crate::masked::tests::measure;
use crate::trainer::{Outcome, Silent, Trainer};
use omniid_minihost::MinihostSizes;

/// Small enough for a hundred steps in seconds.
pub fn quick(steps: u64) -> Result<RunConfig> {
    let mut config = crate::masked::tests::quick(steps)?;
    config.flow = Some(FlowConfig {
        host: MinihostSizes {
            size: 16,
            block: 2,
            channels: vec![32, 32],
            layers_per_block: 1,
            plain_levels: 0,
            time_width: None,
            transformer_layers_per_block: 1,
            head_width: 16,
            context_width: 32,
            context_tokens: 2,
            map_channels: 4,
        },
        ..FlowConfig::default()
    });
    config.sampler.grey_fraction = 0.0;
    config.sampler.people = 12;
    config.optimiser.learning_rate = 3e-3;
    Ok(config)
}

fn objective(config: &RunConfig) -> Result<FlowReconstruction> {
    FlowReconstruction::new(config, toy_people(300, 8, 16, 1), toy_people(16, 9, 16, 2))
}

#[test]
fn right_tokens_draw_people_never_seen_better_than_wrong_ones() -> Result<()> {
    let folder = tempfile::tempdir().expect("temporary folder");
    let config = quick(250)?;
    let objective = objective(&config)?;
    let mut trainer = Trainer::new(&objective, &config, &Device::Cpu)?;
    let before = objective.evaluate(&trainer.averaged_model()?, &Device::Cpu)?;
    assert_eq!(trainer.run(folder.path(), &mut Silent)?, Outcome::Finished);
    let after = objective.evaluate(&trainer.averaged_model()?, &Device::Cpu)?;
    assert!(measure(&before, "gap_20").abs() < 0.02, "{before:?}");
    assert!(measure(&after, "gap_20") > 0.1, "{after:?}");
    assert!(measure(&after, "right_to_mean_20") < 0.97, "{after:?}");
    assert!(
        measure(&after, "sampled_l1_right") < 0.9 * measure(&after, "sampled_l1_other"),
        "{after:?}"
    );
    Ok(())
}

#[test]
fn every_tensor_learns() -> Result<()> {
    let config = quick(4)?;
    let objective = objective(&config)?;
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut trainer = Trainer::new(&objective, &config, &Device::Cpu)?;
    // At the start whole branches are zero; after a few steps none is.
    trainer.run(folder.path(), &mut Silent)?;
    let model = objective.load(trainer.parameters().builder())?;
    let loss = objective.loss(&model, &objective.batch(9)?, &Device::Cpu)?;
    let gradients = loss.total.backward()?;
    for (name, _, variable) in trainer.parameters().trained() {
        let gradient = gradients
            .get(variable)
            .unwrap_or_else(|| panic!("no gradient for {name}"));
        let size = gradient.abs()?.sum_all()?.to_scalar::<f32>()?;
        assert!(size.is_finite() && size > 0.0, "{name}: {size}");
    }
    Ok(())
}

#[test]
fn dropped_people_see_the_mean_of_the_step() -> Result<()> {
    let config = quick(1)?;
    let objective = objective(&config)?;
    let trainer = Trainer::new(&objective, &config, &Device::Cpu)?;
    let model = objective.load(trainer.parameters().builder())?;
    let loss = |batch: &FlowBatch| -> Result<f32> {
        Ok(objective.loss(&model, batch, &Device::Cpu)?.total.to_scalar::<f32>()?)
    };
    // With everybody dropped, it does not matter whose photos are whose.
    let mut batch = objective.batch(0)?;
    batch.kept = vec![0.0; batch.people];
    let before = loss(&batch)?;
    let each = batch.photos.len() / batch.people;
    batch.photos.rotate_left(each);
    let after = loss(&batch)?;
    assert!((before - after).abs() < 1e-5 * before, "{before} {after}");
    let total = (0..200)
        .map(|step| Ok(objective.batch(step)?.kept.iter().sum::<f32>()))
        .sum::<Result<f32>>()?;
    // 2,400 draws at 0.9: five standard errors are 0.03.
    assert!((total / 2400.0 - 0.9).abs() < 0.03, "{total}");
    Ok(())
}

#[test]
fn mirrored_targets_have_mirrored_weights_and_views() -> Result<()> {
    let dataset = toy_people(1, 2, 16, 4);
    let draw = |mirrored: bool| Draw {
        person: 0,
        inputs: Vec::new(),
        second: Vec::new(),
        targets: vec![1],
        grey: false,
        mirrored,
    };
    let weights = PixelWeights {
        background: 0.25,
        face: 1.0,
    };
    let plain = Pictures::new(&dataset, &[draw(false)], weights);
    let mirrored = Pictures::new(&dataset, &[draw(true)], weights);
    for (plain, mirrored) in [
        (&plain.weights, &mirrored.weights),
        (&plain.pictures, &mirrored.pictures),
    ] {
        for (a, b) in plain.chunks(16).zip(mirrored.chunks(16)) {
            assert!(a.iter().zip(b.iter().rev()).all(|(a, b)| a == b));
        }
    }
    let weights = PixelWeights { face: 3.0, ..weights };
    let featured = [false, true].map(|mirrored| Pictures::new(&dataset, &[draw(mirrored)], weights).weights);
    for (a, b) in featured[0].chunks(16).zip(featured[1].chunks(16)) {
        assert!(a.iter().zip(b.iter().rev()).all(|(a, b)| (a - b).abs() < 1e-5));
    }
    let picture = &dataset.people[0].pictures[1];
    assert_eq!(mirrored.views, picture.view.mirrored().to_vector());
    let head = picture.mask.iter().filter(|mask| **mask == 255).count();
    let heavy = plain.weights.iter().filter(|weight| **weight == 1.0).count();
    assert_eq!(head, heavy);
    Ok(())
}

#[test]
fn micro_batches_hold_the_batch_in_order() -> Result<()> {
    let config = quick(1)?;
    let objective = objective(&config)?;
    let whole = objective.batch(3)?;
    for parts in [1, 2, 3, 12] {
        let split = objective.batch(3)?.split(parts);
        assert_eq!(split.len(), parts);
        let noises: std::collections::HashSet<_> = split.iter().map(|part| part.noise).collect();
        assert_eq!(noises.len(), parts, "every part has noise of its own");
        let joined = |values: fn(&FlowBatch) -> &Vec<f32>| split.iter().flat_map(values).copied().collect::<Vec<_>>();
        assert_eq!(joined(|part| &part.photos), whole.photos);
        assert_eq!(joined(|part| &part.kept), whole.kept);
        assert_eq!(joined(|part| &part.targets.pictures), whole.targets.pictures);
        assert_eq!(joined(|part| &part.targets.views), whole.targets.views);
        assert_eq!(joined(|part| &part.targets.weights), whole.targets.weights);
        for part in &split {
            assert_eq!((part.people * parts, part.targets.all * parts), (12, whole.targets.all));
            assert_eq!(part.kept.len(), part.people);
        }
    }
    Ok(())
}

#[test]
fn a_run_in_micro_batches_repeats_and_is_another_one() -> Result<()> {
    let run = |parts: usize| -> Result<Vec<f32>> {
        let mut config = quick(12)?;
        if let Some(flow) = &mut config.flow {
            flow.micro_batches = parts;
        }
        config.validate()?;
        let objective = objective(&config)?;
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut trainer = Trainer::new(&objective, &config, &Device::Cpu)?;
        trainer.run(folder.path(), &mut Silent)?;
        Ok(trainer.averaged()?["encoder.queries"].flatten_all()?.to_vec1()?)
    };
    let divided = run(3)?;
    assert_eq!(divided, run(3)?);
    assert_ne!(divided, run(1)?);
    // 12 people in parts of 2.4, of 1, of none.
    for wrong in [5, 12, 0] {
        assert!(run(wrong).unwrap_err().message().contains("micro_batches"), "{wrong}");
    }
    // Only 7 people have pictures.
    let mut config = quick(1)?;
    if let Some(flow) = &mut config.flow {
        flow.micro_batches = 3;
    }
    let few = FlowReconstruction::new(&config, toy_people(7, 8, 16, 1), toy_people(2, 9, 16, 2));
    assert!(few.err().is_some_and(|error| error.message().contains("micro_batches")));
    Ok(())
}

/// What a run is judged by does not follow what it minimises.
#[test]
fn errors_are_measured_without_the_weight_of_detail() -> Result<()> {
    let measured = |detail_weight: f64| -> Result<Vec<(String, f64)>> {
        let mut config = quick(1)?;
        if let Some(flow) = &mut config.flow {
            flow.times.detail_weight = detail_weight;
        }
        let objective = objective(&config)?;
        let trainer = Trainer::new(&objective, &config, &Device::Cpu)?;
        objective.evaluate(&trainer.averaged_model()?, &Device::Cpu)
    };
    let (plain, detailed) = (measured(0.0)?, measured(4.0)?);
    assert!(measure(&plain, "mse_20_right") > 0.0);
    assert_eq!(plain, detailed);
    Ok(())
}
