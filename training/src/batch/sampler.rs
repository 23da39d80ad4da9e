//! The few-to-many sampler: which pictures of which people make a step.

use crate::config::{Pairing, SamplerConfig};
use crate::data::Dataset;
use crate::random::{stream, Purpose};
use omniid::{Error, Result};
use rand::seq::SliceRandom;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Change of an input photo's tones: `gain` · value + `offset` on the scale −1…1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tone {
    /// Multiplies.
    pub gain: f32,
    /// Is added.
    pub offset: f32,
}

impl Tone {
    /// Changes nothing.
    pub const NONE: Self = Self {
        gain: 1.0,
        offset: 0.0,
    };
}

/// One person's part in a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Draw {
    /// Place in the dataset.
    pub person: usize,
    /// Places of the pictures that the encoder reads, with their tones.
    pub inputs: Vec<(usize, Tone)>,
    /// A second set of inputs without a picture of the first, for losses that compare two identities of a person.
    /// Empty unless the sampler was asked for it.
    pub second: Vec<(usize, Tone)>,
    /// Places of the pictures that the decoder draws.
    pub targets: Vec<usize>,
    /// Whether all pictures are grey.
    pub grey: bool,
    /// Whether all pictures are mirrored.
    pub mirrored: bool,
}

/// Draws people and pictures for every step.
///
/// Every person comes once in an epoch, in an order drawn for the epoch. Step k depends on the seed and on k alone.
pub struct Sampler {
    config: SamplerConfig,
    seed: u64,
    second: bool,
    /// Per usable person: place in the dataset, inputs, targets.
    people: Vec<(usize, Vec<usize>, Vec<usize>)>,
}

impl Sampler {
    /// A sampler over the people of `dataset` who have an input and, besides it, a target; with `second` two inputs,
    /// for a second set.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](omniid::ErrorKind::InvalidArgument) when nobody is usable.
    pub fn new(dataset: &Dataset, config: SamplerConfig, second: bool, seed: u64) -> Result<Self> {
        let sets = if second { 2 } else { 1 };
        let people = dataset
            .people
            .iter()
            .enumerate()
            .map(|(place, person)| (place, person.inputs(), person.targets()))
            .filter(|(_, inputs, targets)| match config.pairing {
                Pairing::Same => inputs.len() >= sets,
                Pairing::Disjoint => reserved(inputs, targets, sets).is_some(),
            })
            .collect::<Vec<_>>();
        if people.is_empty() {
            return Err(Error::invalid(format!(
                "none of {} people has {sets} input pictures and another one as target; nothing can be trained",
                dataset.people.len()
            )));
        }
        Ok(Self {
            config,
            seed,
            second,
            people,
        })
    }

    /// Places in the dataset of the people who are used, in order.
    pub fn people(&self) -> Vec<usize> {
        self.people.iter().map(|(place, _, _)| *place).collect()
    }

    /// People of a step.
    pub fn people_per_step(&self) -> usize {
        self.config.people.min(self.people.len())
    }

    /// The draws of a step: one for each of its people. All have equally many inputs and equally many targets; where
    /// a person has too few pictures some come more than once.
    pub fn draw(&self, step: u64) -> Vec<Draw> {
        let count = self.people_per_step();
        // The people who do not fill a last step sit an epoch out; the next epoch's order is another one.
        let per_epoch = (self.people.len() / count) as u64;
        let mut order = (0..self.people.len()).collect::<Vec<_>>();
        order.shuffle(&mut stream(self.seed, Purpose::People, step / per_epoch));
        let first = (step % per_epoch) as usize * count;
        let mut generator = stream(self.seed, Purpose::Pictures, step);
        let inputs = generator.random_range(self.config.fewest_inputs..=self.config.most_inputs);
        order[first..first + count]
            .iter()
            .map(|place| self.person(&self.people[*place], inputs, &mut generator))
            .collect()
    }

    fn person(
        &self,
        (place, inputs, targets): &(usize, Vec<usize>, Vec<usize>),
        count: usize,
        generator: &mut ChaCha8Rng,
    ) -> Draw {
        let config = &self.config;
        let (mut inputs, mut targets) = (inputs.clone(), targets.clone());
        inputs.shuffle(generator);
        targets.shuffle(generator);
        let wanted = count * self.sets();
        match config.pairing {
            Pairing::Same => {
                inputs.truncate(wanted);
                targets = inputs.clone();
            }
            Pairing::Disjoint => {
                // One target is set aside first, so that pictures which serve as either leave one.
                let aside = reserved(&inputs, &targets, self.sets());
                inputs.retain(|input| Some(*input) != aside);
                inputs.truncate(wanted);
                targets.retain(|target| !inputs.contains(target));
            }
        }
        let second = if self.second {
            inputs.split_off(count.min(inputs.len() / 2))
        } else {
            Vec::new()
        };
        let grey = generator.random_bool(config.grey_fraction);
        let mirrored = config.mirror && generator.random_bool(0.5);
        let mut toned = |places: &[usize], count: usize| -> Vec<(usize, Tone)> {
            repeat(places, count)
                .map(|place| (place, self.tone(generator)))
                .collect()
        };
        Draw {
            person: *place,
            inputs: toned(&inputs, count),
            second: toned(&second, count),
            targets: repeat(&targets, config.targets).collect(),
            grey,
            mirrored,
        }
    }

    /// Sets of inputs that a draw has.
    fn sets(&self) -> usize {
        if self.second {
            2
        } else {
            1
        }
    }

    fn tone(&self, generator: &mut ChaCha8Rng) -> Tone {
        let mut normal = |std: f64| {
            let value: f64 = StandardNormal.sample(generator);
            value * std
        };
        Tone {
            gain: normal(self.config.gain_std).exp() as f32,
            offset: normal(self.config.offset_std) as f32,
        }
    }
}

/// The first of `targets` besides which `sets` inputs remain.
fn reserved(inputs: &[usize], targets: &[usize], sets: usize) -> Option<usize> {
    targets
        .iter()
        .copied()
        .find(|target| inputs.iter().filter(|input| *input != target).count() >= sets)
}

/// `count` places, from the first again when they are used up.
fn repeat(places: &[usize], count: usize) -> impl Iterator<Item = usize> + '_ {
    places.iter().copied().cycle().take(count)
}

#[cfg(test)]
mod tests {
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
                    let set = |places: &[(usize, Tone)]| {
                        places.iter().map(|(place, _)| *place).collect::<HashSet<_>>()
                    };
                    let (inputs, others) = (set(&draw.inputs), set(&draw.second));
                    let targets = draw.targets.iter().copied().collect::<HashSet<_>>();
                    assert!(inputs.is_disjoint(&targets) && others.is_disjoint(&targets));
                    assert!(inputs.is_disjoint(&others));
                    assert!(inputs
                        .union(&others)
                        .all(|place| pictures[*place].role.is_input()));
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
        let fraction =
            |of: fn(&Draw) -> bool| draws.iter().filter(|draw| of(draw)).count() as f64 / draws.len() as f64;
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
}
