use super::*;
use crate::data::{toy_people, Role};
use std::collections::HashSet;

fn config() -> SamplerConfig {
    SamplerConfig {
        people: 4,
        fewest_inputs: 1,
        most_inputs: 3,
        targets: 5,
        ..SamplerConfig::default()
    }
}

/// Ten people with pictures of the roles in turn: some of few pictures.
fn mixed() -> Dataset {
    let mut dataset = toy_people(10, 8, 16, 3);
    for (n, person) in dataset.people.iter_mut().enumerate() {
        for (m, picture) in person.pictures.iter_mut().enumerate() {
            picture.role = match (n + m) % 3 {
                0 => Role::Input,
                1 => Role::Target,
                _ => Role::Both,
            };
        }
        person.pictures.truncate(if n < 6 { 8 } else { n - 4 });
    }
    dataset
}

#[test]
fn inputs_and_targets_are_disjoint_and_counted() -> Result<()> {
    let dataset = mixed();
    for second in [false, true] {
        let sampler = Sampler::new(&dataset, config(), second, 5)?;
        assert!(sampler.people().len() >= 6, "{:?}", sampler.people());
        let mut counts = HashSet::new();
        for step in 0..60 {
            let draws = sampler.draw(step);
            assert_eq!(draws.len(), 4);
            let people = draws.iter().map(|draw| draw.person).collect::<HashSet<_>>();
            assert_eq!(people.len(), 4, "no person twice in a step");
            for draw in &draws {
                assert_eq!(draw.inputs.len(), draws[0].inputs.len());
                assert_eq!(draw.targets.len(), 5);
                counts.insert(draw.inputs.len());
                let pictures = &dataset.people[draw.person].pictures;
                let set = |places: &[(usize, Tone)]| places.iter().map(|(place, _)| *place).collect::<HashSet<_>>();
                let (inputs, others) = (set(&draw.inputs), set(&draw.second));
                let targets = draw.targets.iter().copied().collect::<HashSet<_>>();
                assert!(inputs.is_disjoint(&targets) && others.is_disjoint(&targets));
                assert!(inputs.is_disjoint(&others));
                assert!(inputs.union(&others).all(|place| pictures[*place].role.is_input()));
                assert!(targets.iter().all(|place| pictures[*place].role.is_target()));
                assert_eq!(draw.second.len(), if second { draw.inputs.len() } else { 0 });
            }
        }
        assert_eq!(counts, HashSet::from([1, 2, 3]));
    }
    Ok(())
}

#[test]
fn a_step_depends_on_seed_and_step_alone() -> Result<()> {
    let dataset = mixed();
    let one = Sampler::new(&dataset, config(), false, 5)?;
    let all = (0..10).map(|step| one.draw(step)).collect::<Vec<_>>();
    let fresh = Sampler::new(&dataset, config(), false, 5)?;
    assert_eq!(fresh.draw(9), all[9]);
    assert_eq!(fresh.draw(2), all[2]);
    let other = Sampler::new(&dataset, config(), false, 6)?;
    assert_ne!(other.draw(2), all[2]);
    Ok(())
}

#[test]
fn an_epoch_shows_everybody() -> Result<()> {
    let dataset = toy_people(12, 6, 16, 1);
    let sampler = Sampler::new(&dataset, config(), false, 1)?;
    for epoch in 0..3 {
        let seen = (3 * epoch..3 * epoch + 3)
            .flat_map(|step| sampler.draw(step))
            .map(|draw| draw.person)
            .collect::<HashSet<_>>();
        assert_eq!(seen.len(), 12);
    }
    Ok(())
}

#[test]
fn grey_mirror_and_tones_come_as_often_as_asked() -> Result<()> {
    let dataset = toy_people(12, 6, 16, 1);
    let sampler = Sampler::new(&dataset, config(), false, 1)?;
    let draws = (0..500).flat_map(|step| sampler.draw(step)).collect::<Vec<_>>();
    let fraction = |of: fn(&Draw) -> bool| draws.iter().filter(|draw| of(draw)).count() as f64 / draws.len() as f64;
    // 2,000 draws: four standard errors are 0.036 and 0.045.
    assert!((fraction(|draw| draw.grey) - 0.2).abs() < 0.036);
    assert!((fraction(|draw| draw.mirrored) - 0.5).abs() < 0.045);
    let offsets = draws
        .iter()
        .flat_map(|draw| &draw.inputs)
        .map(|(_, tone)| f64::from(tone.offset))
        .collect::<Vec<_>>();
    let deviation = (offsets.iter().map(|x| x * x).sum::<f64>() / offsets.len() as f64).sqrt();
    assert!((deviation - 0.06).abs() < 0.004, "{deviation}");
    let plain = SamplerConfig {
        grey_fraction: 0.0,
        gain_std: 0.0,
        offset_std: 0.0,
        mirror: false,
        ..config()
    };
    let draw = Sampler::new(&dataset, plain, false, 1)?.draw(0).remove(0);
    assert!(!draw.grey && !draw.mirrored && draw.inputs.iter().all(|(_, tone)| *tone == Tone::NONE));
    Ok(())
}

#[test]
fn people_without_a_pair_are_left_out() -> Result<()> {
    let mut dataset = toy_people(4, 3, 16, 1);
    dataset.people[0].pictures.truncate(1);
    dataset.people[1].pictures.clear();
    for picture in &mut dataset.people[2].pictures {
        picture.role = Role::Input;
    }
    let sampler = Sampler::new(&dataset, config(), false, 1)?;
    assert_eq!(sampler.people(), [3]);
    assert_eq!(sampler.draw(3).len(), 1);
    dataset.people.truncate(3);
    assert!(Sampler::new(&dataset, config(), false, 1).is_err());
    // Auto-encoding needs no pair.
    let same = SamplerConfig {
        pairing: Pairing::Same,
        ..config()
    };
    let sampler = Sampler::new(&dataset, same, false, 1)?;
    assert_eq!(sampler.people(), [0, 2]);
    for draw in sampler.draw(0) {
        let inputs = draw.inputs.iter().map(|(place, _)| *place).collect::<Vec<_>>();
        assert!(draw.targets.iter().all(|target| inputs.contains(target)));
    }
    Ok(())
}
