//! Random streams that depend on what they are for, not on what was drawn before.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What random numbers are drawn for. Streams of different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Order of people within an epoch.
    People = 1,
    /// Pictures, tones and mirrors of a step.
    Pictures = 2,
    /// Patches and hidden tokens of a step.
    Masks = 3,
    /// Pictures and masks of an evaluation.
    Evaluation = 4,
    /// Noise and times of a flow-matching step.
    Noise = 5,
    /// Scenes of a detector's step.
    Scenes = 6,
}

/// The stream number `index` (a step, an epoch, a person) of `purpose`.
///
/// Equal arguments give equal numbers on every machine, whatever was drawn before: this is what makes a resumed run
/// equal to an uninterrupted one.
pub fn stream(seed: u64, purpose: Purpose, index: u64) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&(purpose as u64).to_le_bytes());
    let mut generator = ChaCha8Rng::from_seed(key);
    generator.set_stream(index);
    generator
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngCore;

    #[test]
    fn streams_differ_in_each_argument_and_repeat() {
        let first = |seed, purpose, index| stream(seed, purpose, index).next_u64();
        let value = first(1, Purpose::Masks, 7);
        assert_eq!(value, first(1, Purpose::Masks, 7));
        assert_ne!(value, first(2, Purpose::Masks, 7));
        assert_ne!(value, first(1, Purpose::People, 7));
        assert_ne!(value, first(1, Purpose::Masks, 8));
    }
}
