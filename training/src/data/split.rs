//! Splitting people into those trained on and those evaluated on.

use super::{Dataset, PersonPictures};
use omniid::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What people of a split are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subset {
    /// Weights are fitted to these people.
    Train,
    /// Settings are chosen by these people.
    Validation,
    /// Results are stated on these people.
    Test,
}

/// How many of the people go to validation and to test; the rest is for training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitFractions {
    /// Fraction for validation, 0…1.
    pub validation: f64,
    /// Fraction for test, 0…1.
    pub test: f64,
}

impl Default for SplitFractions {
    fn default() -> Self {
        Self {
            validation: 0.05,
            test: 0.05,
        }
    }
}

impl Dataset {
    /// Splits the people by identity: training, validation, test.
    ///
    /// Within every family the people are ordered by a hash of seed, family and name; the first ones go to
    /// validation, the next to test. So the order of people in the set does not matter, and every family is in every
    /// subset that has room for it. Fractions are rounded to whole people.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](omniid::ErrorKind::InvalidArgument) unless the fractions are 0…1 and leave
    /// something for training.
    pub fn split(self, fractions: SplitFractions, seed: u64) -> Result<[Dataset; 3]> {
        let subsets = self.assignment(fractions, seed)?;
        let mut split = [Subset::Train, Subset::Validation, Subset::Test].map(|_| Dataset::new(self.size));
        for (person, subset) in self.people.into_iter().zip(subsets) {
            split[subset as usize].people.push(person);
        }
        Ok(split)
    }

    /// The subset of every person of [`Dataset::split`], in the order of the people.
    ///
    /// # Errors
    /// As [`Dataset::split`].
    pub fn assignment(&self, fractions: SplitFractions, seed: u64) -> Result<Vec<Subset>> {
        let SplitFractions { validation, test } = fractions;
        let sound = |fraction: f64| (0.0..=1.0).contains(&fraction);
        if !sound(validation) || !sound(test) || validation + test >= 1.0 {
            return Err(Error::invalid(format!(
                "split: validation {validation} and test {test} must be 0 to 1 and less than 1 together"
            )));
        }
        let mut families = BTreeMap::<&str, Vec<(u64, usize)>>::new();
        for (place, person) in self.people.iter().enumerate() {
            families
                .entry(&person.family)
                .or_default()
                .push((hash(person, seed), place));
        }
        let mut subsets = vec![Subset::Train; self.people.len()];
        for mut people in families.into_values() {
            people.sort_unstable();
            let count = |fraction: f64| (fraction * people.len() as f64).round() as usize;
            let (validation, test) = (count(validation), count(test));
            for (rank, (_, place)) in people.into_iter().enumerate() {
                if rank < validation {
                    subsets[place] = Subset::Validation;
                } else if rank < validation + test {
                    subsets[place] = Subset::Test;
                }
            }
        }
        Ok(subsets)
    }
}

/// FNV-1a over seed, family and name, with SplitMix64's finaliser.
fn hash(person: &PersonPictures, seed: u64) -> u64 {
    let bytes = seed
        .to_le_bytes()
        .into_iter()
        .chain(person.family.bytes())
        .chain([0])
        .chain(person.name.bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
