//! The expression channels in ICT-FaceKit's blendshapes.

use omniid::{Error, Result};

use super::assets::{Ict, EYEBALLS};
use crate::render::vector::{fused, Vec3};

/// Blendshapes per channel of `EXPRESSIONS`, with their weights at full strength; `_L` and `_R` are added to names
/// that end in `_`.
const UNITS: [&[(&str, f32)]; 12] = [
    // smile
    &[
        ("mouthSmile_", 0.85),
        ("mouthUpperUp_", 0.25),
        ("mouthLowerDown_", 0.2),
        ("cheekSquint_", 0.35),
        ("eyeSquint_", 0.25),
    ],
    // frown
    &[("mouthFrown_", 0.9), ("mouthShrugLower", 0.2)],
    // jaw_open
    &[("jawOpen", 0.75)],
    // pucker
    &[("mouthPucker", 0.9), ("mouthFunnel", 0.2)],
    // brows_up
    &[("browInnerUp_", 0.8), ("browOuterUp_", 0.9), ("eyeWide_", 0.5)],
    // brows_down
    &[("browDown_", 1.0)],
    // eyes_closed
    &[("eyeBlink_", 1.0)],
    // squint
    &[("eyeSquint_", 1.0), ("cheekRaiser_", 0.4), ("eyeBlink_", 0.25)],
    // sneer
    &[("noseSneer_", 0.9), ("mouthUpperUp_", 0.35)],
    // cheek_puff
    &[("cheekPuff_", 0.9)],
    // mouth_left
    &[("mouthLeft", 0.8)],
    // mouth_right
    &[("mouthRight", 0.8)],
];

/// Blendshapes and their summed weights for an expression and a vertical gaze (the lids follow the eyes).
fn weights(expression: &[f32; 12], gaze: [f32; 2]) -> Vec<(String, f32)> {
    let mut weights: Vec<(String, f32)> = Vec::new();
    let mut put = |name: &str, weight: f32| {
        if weight == 0.0 {
            return;
        }
        match weights.iter_mut().find(|w| w.0 == name) {
            Some(found) => found.1 += weight,
            None => weights.push((name.to_owned(), weight)),
        }
    };
    for (units, &strength) in UNITS.iter().zip(expression) {
        for &(unit, weight) in *units {
            if let Some(stem) = unit.strip_suffix('_') {
                put(&format!("{stem}_L"), weight * strength);
                put(&format!("{stem}_R"), weight * strength);
            } else {
                put(unit, weight * strength);
            }
        }
    }
    let open = 1.0 - expression[6];
    for (name, weight) in [("eyeLookUp", gaze[1]), ("eyeLookDown", -gaze[1])] {
        for side in ["_L", "_R"] {
            put(&format!("{name}{side}"), (weight * 2.0).clamp(0.0, 1.0) * open);
        }
    }
    // Closed lids end where they meet.
    let closed: f32 = expression[6];
    for weight in &mut weights {
        if weight.0.starts_with("eyeSquint") || weight.0.starts_with("eyeWide") || weight.0.starts_with("cheekSquint") {
            weight.1 *= 1.0 - closed;
        }
        weight.1 = weight.1.min(1.1);
    }
    weights
}

/// Moves the vertices of `shape` before `end` (the eyeballs turn elsewhere).
pub(crate) fn apply(
    assets: &Ict,
    expression: &[f32; 12],
    gaze: [f32; 2],
    end: usize,
    shape: &mut [Vec3],
) -> Result<()> {
    for (name, weight) in weights(expression, gaze) {
        if weight == 0.0 {
            continue;
        }
        blend(assets, &name, weight, end, shape)?;
    }
    Ok(())
}

/// Parts the lips over the teeth, as smiles of many people do.
pub(super) fn bare_teeth(assets: &Ict, strength: f32, shape: &mut [Vec3]) -> Result<()> {
    if strength <= 0.0 {
        return Ok(());
    }
    for (stem, weight) in [("mouthUpperUp", 0.35), ("mouthLowerDown", 0.35), ("mouthStretch", 0.25)] {
        for side in ["_L", "_R"] {
            blend(
                assets,
                &format!("{stem}{side}"),
                weight * strength,
                EYEBALLS[0].start,
                shape,
            )?;
        }
    }
    Ok(())
}

/// Adds a blendshape to the vertices before `end`.
fn blend(assets: &Ict, name: &str, weight: f32, end: usize, shape: &mut [Vec3]) -> Result<()> {
    let blendshape = assets
        .expressions
        .iter()
        .find(|shape| shape.name == name)
        .ok_or_else(|| Error::format(format!("the ICT head lacks the expression {name:?}")))?;
    for &(index, offset) in &blendshape.rows {
        let index = index as usize;
        if index < end {
            shape[index] = fused(shape[index], offset, weight);
        }
    }
    Ok(())
}
