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
    pub const NONE: Self = Self { gain: 1.0, offset: 0.0 };
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
mod tests;
