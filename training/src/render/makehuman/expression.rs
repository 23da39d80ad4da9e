//! The expression channels in MakeHuman's units.

use std::collections::BTreeMap;

use omniid::{Error, Result};

use super::assets::MakeHuman;
use super::axis::Axis;
use super::target::Target;
use crate::render::vector::Vec3;

/// Units per channel of `EXPRESSIONS`, with their weights at full strength.
const UNITS: [&[(&str, f32)]; 12] = [
    // smile
    &[
        ("mouth-corner-puller", 0.85),
        ("mouth-retraction", 0.25),
        ("mouth-parling", 0.6),
        ("eye-left-slit", 0.25),
        ("eye-right-slit", 0.25),
    ],
    // frown
    &[("mouth-depression", 1.1)],
    // jaw_open
    &[("mouth-open", 0.8)],
    // pucker
    &[("mouth-pursing", 0.9), ("mouth-protusion", 0.5)],
    // brows_up
    &[
        ("eyebrows-left-up", 0.8),
        ("eyebrows-right-up", 0.8),
        ("eyebrows-left-inner-up", 0.4),
        ("eyebrows-right-inner-up", 0.4),
        ("eye-left-opened-up", 0.5),
        ("eye-right-opened-up", 0.5),
    ],
    // brows_down
    &[("eyebrows-left-down", 0.9), ("eyebrows-right-down", 0.9)],
    // eyes_closed
    &[("eye-left-closure", 1.0), ("eye-right-closure", 1.0)],
    // squint
    &[("eye-left-slit", 0.8), ("eye-right-slit", 0.8)],
    // sneer
    &[
        ("nose-left-elevation", 0.8),
        ("nose-right-elevation", 0.8),
        ("nose-compression", 0.5),
        ("mouth-upward-retraction", 0.35),
    ],
    // cheek_puff, mouth_left, mouth_right: see AXES
    &[("mouth-compression", 0.4)],
    &[],
    &[],
];

/// Channels that have no unit, in identity axes: channel, axis, weight.
const AXES: [(usize, &str, f32); 3] = [
    (9, "cheek-volume-incr-decr", 0.9),
    // The targets move towards (in) and away from (out) the person's right side.
    (10, "mouth-trans-in-out", -1.3),
    (11, "mouth-trans-in-out", 1.3),
];

/// Moves `shape` (decimetres) by an expression. Units of the three races are mixed by `races`.
pub(crate) fn apply(assets: &MakeHuman, expression: &[f32; 12], races: &[f32; 3], shape: &mut [Vec3]) -> Result<()> {
    let mut weights: BTreeMap<&str, f32> = BTreeMap::new();
    for (units, &strength) in UNITS.iter().zip(expression) {
        for &(unit, weight) in *units {
            *weights.entry(unit).or_default() += weight * strength;
        }
    }
    // Slit and closure add up: both close the eye.
    for side in ["left", "right"] {
        let closed = weights
            .get(format!("eye-{side}-closure").as_str())
            .copied()
            .unwrap_or(0.0);
        if let Some(slit) = weights.get_mut(format!("eye-{side}-slit").as_str()) {
            *slit *= 1.0 - closed;
        }
        if let Some(open) = weights.get_mut(format!("eye-{side}-opened-up").as_str()) {
            *open *= 1.0 - closed;
        }
    }
    for (name, weight) in weights {
        if weight == 0.0 {
            continue;
        }
        let unit: &[Target; 3] = assets
            .units
            .get(name)
            .ok_or_else(|| Error::format(format!("targets/expression/units lacks {name}.target")))?;
        for (target, race) in unit.iter().zip(races) {
            target.apply(weight.clamp(0.0, 1.1) * race, shape);
        }
    }
    for (channel, name, weight) in AXES {
        if expression[channel] != 0.0 {
            let axis: &Axis = assets.axis(name)?;
            axis.apply(weight * expression[channel], shape);
        }
    }
    Ok(())
}
