use super::*;
use crate::data::toy_people;
use crate::random::{stream, Purpose};
use omniid_minihost::View;

fn builder(config: &MaskedConfig) -> TargetBuilder {
    TargetBuilder::new(config, 16, 4)
}

fn draw(target: usize, mirrored: bool, grey: bool) -> Draw {
    Draw {
        person: 0,
        inputs: Vec::new(),
        second: Vec::new(),
        targets: vec![target],
        grey,
        mirrored,
    }
}

#[test]
fn visible_and_decoded_patches_are_disjoint() {
    let config = MaskedConfig {
        masked_fraction: 0.75,
        decoded_fraction: 0.5,
        ..MaskedConfig::default()
    };
    let mut generator = stream(1, Purpose::Masks, 0);
    let mut seen = [0; 16];
    for _ in 0..200 {
        let patches = builder(&config).draw(&mut generator);
        assert_eq!((patches.visible.len(), patches.decoded.len()), (4, 8));
        assert!(patches.decoded.iter().all(|place| !patches.visible.contains(place)));
        patches.decoded.iter().for_each(|place| seen[*place] += 1);
    }
    // Each patch is decoded in half of the draws; five standard errors are 35.
    assert!(seen.iter().all(|count| (65..=135).contains(count)), "{seen:?}");
}

#[test]
fn a_perfect_decoder_has_no_loss_and_the_mask_weighs_it() -> Result<()> {
    let dataset = toy_people(1, 2, 16, 4);
    let device = Device::Cpu;
    let config = MaskedConfig {
        masked_fraction: 1.0,
        decoded_fraction: 1.0,
        background_weight: 0.25,
        ..MaskedConfig::default()
    };
    let patches = [Patches {
        visible: Vec::new(),
        decoded: (0..16).collect(),
    }];
    let batch = builder(&config).build(&dataset, &[draw(1, false, false)], &patches);
    let truth = batch.values(&device)?;
    assert_eq!(batch.loss(&truth, &device)?.to_scalar::<f32>()?, 0.0);
    assert!(batch.targets(&device)?.visible.is_none());
    // Wrong by 1 on the head only, then on the background only.
    let picture = &dataset.people[0].pictures[1];
    let head = picture.mask.iter().filter(|mask| **mask == 255).count() as f32;
    let background = 256.0 - head;
    let total = head + 0.25 * background;
    let off = |inside: bool| -> Result<f32> {
        let weights = &batch.weights;
        let error = weights
            .iter()
            .map(|weight| f32::from((*weight == 1.0) == inside))
            .collect::<Vec<_>>();
        let error = Tensor::from_vec(error, truth.dims(), &device)?;
        Ok(batch.loss(&(&truth + error)?, &device)?.to_scalar::<f32>()?)
    };
    assert!((off(true)? - head / total).abs() < 1e-5);
    assert!((off(false)? - 0.25 * background / total).abs() < 1e-5);
    Ok(())
}

#[test]
fn mirrored_targets_have_mirrored_conditions() -> Result<()> {
    let dataset = toy_people(1, 2, 16, 4);
    let config = MaskedConfig::default();
    let patches = [builder(&config).draw(&mut stream(1, Purpose::Masks, 1))];
    let condition = |mirrored: bool, grey: bool| -> Result<Vec<f32>> {
        let batch = builder(&config).build(&dataset, &[draw(0, mirrored, grey)], &patches);
        let condition = batch.targets(&Device::Cpu)?.condition.expect("View");
        Ok(condition.flatten_all()?.to_vec1()?)
    };
    let view = dataset.people[0].pictures[0].view;
    assert_eq!(condition(false, false)?, view.to_vector());
    assert_eq!(condition(true, false)?, view.mirrored().to_vector());
    let grey = View::from_vector(&condition(false, true)?.try_into().expect("46 numbers"));
    assert_eq!(grey.yaw, view.yaw);
    assert!(grey.background[0][0] == grey.background[0][2]);
    Ok(())
}

#[test]
fn hidden_tokens_are_drawn_for_every_person() {
    let config = MaskedConfig {
        token_dropout: 0.25,
        ..MaskedConfig::default()
    };
    let mut generator = stream(1, Purpose::Masks, 2);
    let kept = builder(&config)
        .draw_tokens(3, 8, &mut generator)
        .expect("a quarter is hidden");
    assert_eq!(kept.len(), 18);
    for (person, places) in kept.chunks(6).enumerate() {
        assert!(places
            .iter()
            .all(|place| (8 * person as u32..8 * person as u32 + 8).contains(place)));
        assert!(places.windows(2).all(|pair| pair[0] < pair[1]));
    }
    let all = MaskedConfig::default();
    assert!(builder(&all).draw_tokens(3, 8, &mut generator).is_none());
}
