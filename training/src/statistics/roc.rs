//! How well scores tell pairs of pictures of one person from pairs of two: receiver operating characteristic.

use omniid::{Error, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// A compared pair of pictures, or of sets of pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// How alike they are; more is more alike. Any scale.
    pub score: f32,
    /// Who the first shows: below the number of people.
    pub first: u32,
    /// Who the second shows. Equal to `first` for a genuine pair, different for an impostor pair.
    pub second: u32,
}

/// A value with the interval that holds 95 % of its bootstrap values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The value on all people.
    pub value: f64,
    /// 2.5th percentile of the bootstrap values.
    pub low: f64,
    /// 97.5th percentile of the bootstrap values.
    pub high: f64,
}

/// The measures of one threshold-free comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Curve {
    /// Area under the curve: how often a genuine pair scores above an impostor pair, ties counting half.
    pub auc: f64,
    /// Genuine pairs accepted where at most 1 % of the impostor pairs are.
    pub tar_at_1_percent: f64,
    /// Genuine pairs accepted where at most 0.1 % of the impostor pairs are.
    pub tar_at_01_percent: f64,
    /// Error rate where as many genuine pairs are refused as impostor pairs are accepted.
    pub equal_error_rate: f64,
    /// Best mean of accepted genuine and refused impostor pairs.
    pub best_accuracy: f64,
    /// A score from which on pairs are accepted for [`Curve::best_accuracy`].
    pub best_threshold: f64,
}

/// What was measured on scored pairs, with intervals from resampling people.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verification {
    /// On all pairs.
    pub curve: Curve,
    /// [`Curve::auc`] with its interval.
    pub auc: Estimate,
    /// [`Curve::tar_at_1_percent`] with its interval.
    pub tar_at_1_percent: Estimate,
    /// Mean score of the genuine pairs.
    pub genuine_mean: f64,
    /// Mean score of the impostor pairs.
    pub impostor_mean: f64,
    /// Number of genuine pairs.
    pub genuine: usize,
    /// Number of impostor pairs.
    pub impostor: usize,
}

/// Scored pairs in order.
#[derive(Debug, Clone)]
pub struct ScoredPairs {
    /// By falling score.
    pairs: Vec<Pair>,
    people: usize,
}

impl ScoredPairs {
    /// Takes pairs in any order.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](omniid::ErrorKind::InvalidArgument) without genuine or without impostor pairs,
    /// for a score that is not a number, and for a person who does not exist.
    pub fn new(mut pairs: Vec<Pair>, people: usize) -> Result<Self> {
        if let Some(pair) = pairs
            .iter()
            .find(|pair| pair.score.is_nan() || pair.first.max(pair.second) as usize >= people)
        {
            return Err(Error::invalid(format!(
                "comparing {people} people: {pair:?} is no scored pair of them"
            )));
        }
        let genuine = pairs.iter().filter(|pair| pair.first == pair.second).count();
        if genuine == 0 || genuine == pairs.len() {
            return Err(Error::invalid(format!(
                "comparing {people} people: {genuine} genuine and {} impostor pairs, at least one of each is needed",
                pairs.len() - genuine
            )));
        }
        pairs.par_sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(Self { pairs, people })
    }

    /// The measures on all pairs.
    pub fn curve(&self) -> Curve {
        self.weighted(&vec![1.0; self.people])
    }

    /// The measures, with 95 % intervals from `resamples` draws of the people with replacement.
    ///
    /// People are drawn, not pairs: pairs of one person depend on each other. A person drawn twice counts twice in
    /// genuine pairs and in impostor pairs with others, and is no impostor of itself.
    pub fn verification(&self, resamples: usize, seed: u64) -> Verification {
        let curve = self.curve();
        let draws: Vec<Curve> = (0..resamples as u64)
            .into_par_iter()
            .map(|draw| self.weighted(&draw_people(self.people, seed, draw)))
            .collect();
        let estimate = |value: fn(&Curve) -> f64| interval(value(&curve), draws.iter().map(value).collect());
        let mean = |genuine: bool| {
            let scores = || {
                self.pairs
                    .iter()
                    .filter(|pair| (pair.first == pair.second) == genuine)
                    .map(|pair| f64::from(pair.score))
            };
            (scores().sum::<f64>() / scores().count() as f64, scores().count())
        };
        let ((genuine_mean, genuine), (impostor_mean, impostor)) = (mean(true), mean(false));
        Verification {
            curve,
            auc: estimate(|curve| curve.auc),
            tar_at_1_percent: estimate(|curve| curve.tar_at_1_percent),
            genuine_mean,
            impostor_mean,
            genuine,
            impostor,
        }
    }

    /// One pass from the highest score down; every person counts by a weight.
    fn weighted(&self, weights: &[f64]) -> Curve {
        let weight = |pair: &Pair| {
            let first = weights[pair.first as usize];
            if pair.first == pair.second {
                (first, 0.0)
            } else {
                (0.0, first * weights[pair.second as usize])
            }
        };
        let (genuine, impostor) = self
            .pairs
            .iter()
            .map(weight)
            .fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
        let mut curve = Curve {
            auc: 0.0,
            tar_at_1_percent: 0.0,
            tar_at_01_percent: 0.0,
            equal_error_rate: f64::NAN,
            best_accuracy: 0.0,
            best_threshold: f64::INFINITY,
        };
        // A resample of one person alone has no impostor pairs.
        let (genuine, impostor) = (genuine.max(f64::MIN_POSITIVE), impostor.max(f64::MIN_POSITIVE));
        let (mut accepted, mut wrong) = (0.0, 0.0);
        for ties in self.pairs.chunk_by(|a, b| a.score == b.score) {
            let (more, more_wrong) = ties
                .iter()
                .map(weight)
                .fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
            let before = (accepted / genuine, wrong / impostor);
            curve.auc += more_wrong * (accepted + more / 2.0);
            accepted += more;
            wrong += more_wrong;
            let after = (accepted / genuine, wrong / impostor);
            if after.1 <= 0.01 {
                curve.tar_at_1_percent = after.0;
            }
            if after.1 <= 0.001 {
                curve.tar_at_01_percent = after.0;
            }
            let accuracy = (after.0 + 1.0 - after.1) / 2.0;
            if accuracy > curve.best_accuracy {
                curve.best_accuracy = accuracy;
                curve.best_threshold = f64::from(ties[0].score);
            }
            // Refused genuine less accepted impostors: falls from 1 to −1; its zero is interpolated.
            let gap = |(accepted, wrong): (f64, f64)| 1.0 - accepted - wrong;
            if curve.equal_error_rate.is_nan() && gap(after) <= 0.0 {
                let part = gap(before) / (gap(before) - gap(after));
                curve.equal_error_rate = before.1 + part * (after.1 - before.1);
            }
        }
        curve.auc /= genuine * impostor;
        curve
    }
}

/// How often each of `people` is drawn in draw number `draw`.
pub(super) fn draw_people(people: usize, seed: u64, draw: u64) -> Vec<f64> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(draw);
    let mut counts = vec![0.0; people];
    for _ in 0..people {
        counts[random.random_range(0..people)] += 1.0;
    }
    counts
}

/// The central 95 % of bootstrap values; the value itself when there are none.
pub(super) fn interval(value: f64, mut draws: Vec<f64>) -> Estimate {
    draws.retain(|draw| draw.is_finite());
    draws.sort_by(f64::total_cmp);
    let at = |part: f64| match draws.len() {
        0 => value,
        count => draws[(part * (count - 1) as f64).round() as usize],
    };
    Estimate {
        value,
        low: at(0.025),
        high: at(0.975),
    }
}

/// Mean of one value per person, with the interval from drawing people with replacement. NaN without people.
pub fn mean_estimate(per_person: &[f64], resamples: usize, seed: u64) -> Estimate {
    let count = per_person.len().max(1) as f64;
    let mean = |weights: Option<&[f64]>| {
        let sum: f64 = match weights {
            None => per_person.iter().sum(),
            Some(weights) => per_person
                .iter()
                .zip(weights)
                .map(|(value, weight)| value * weight)
                .sum(),
        };
        if per_person.is_empty() {
            f64::NAN
        } else {
            sum / count
        }
    };
    let draws = (0..if per_person.is_empty() { 0 } else { resamples as u64 })
        .map(|draw| mean(Some(&draw_people(per_person.len(), seed, draw))))
        .collect();
    interval(mean(None), draws)
}

#[cfg(test)]
mod tests;
