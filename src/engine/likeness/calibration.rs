//! From which similarity on two photos count as photos of one person.

/// When a photo does not look like the others of its set.
///
/// The threshold is `fraction` of the median similarity of the photos that belong together, each to the others, and at
/// least `floor`. It follows the set, because photos of real people, of one session or of one camera are more alike
/// than others, strangers among them included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Calibration {
    /// Lowest threshold, and the one for two photos.
    pub(crate) floor: f32,
    /// Part of the similarity of the others.
    pub(crate) fraction: f32,
    /// Which data it comes from and how often it errs, to follow "the threshold is 0.31, ".
    pub(crate) source: &'static str,
}

/// Measured for `models/omniid-mini.safetensors`; docs/strangers.md has the tables. Chosen on one half of the people,
/// reported on the other.
const OMNIID_MINI: Calibration = Calibration {
    floor: 0.25,
    fraction: 0.5,
    source: "which notes under 1 % of the right photos of real faces and 75 % of strangers, ORL",
};

/// The calibration of the model with this fingerprint whose identities are compared in so many directions.
///
/// Directions are no part of the fingerprint, and their similarities are others.
pub(crate) fn calibration(fingerprint: &str, directions: usize) -> Option<&'static Calibration> {
    (fingerprint == "5a5ea0cf696670974543e1fdf53e1a89" && directions == 128).then_some(&OMNIID_MINI)
}
