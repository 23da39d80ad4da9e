//! Targets that belong together.

use std::collections::BTreeMap;

use super::target::Target;
use crate::render::vector::Vec3;

/// Targets that move a shape to either side of neutral; left and right together.
#[derive(Debug, Default)]
pub(crate) struct Axis {
    pub name: String,
    pub increase: Vec<Target>,
    pub decrease: Vec<Target>,
}

impl Axis {
    /// Moves a shape along the axis; a one-sided axis ignores negative weights.
    pub fn apply(&self, weight: f32, positions: &mut [Vec3]) {
        let targets = if weight >= 0.0 { &self.increase } else { &self.decrease };
        for target in targets {
            target.apply(weight.abs(), positions);
        }
    }
}

/// Suffixes that are each other's opposites; the first is the increase.
const OPPOSITES: [(&str, &str); 6] = [
    ("incr", "decr"),
    ("up", "down"),
    ("in", "out"),
    ("forward", "backward"),
    ("concave", "convex"),
    ("compress", "uncompress"),
];

/// Joins opposite targets, and left and right, into axes.
pub(crate) fn axes(targets: BTreeMap<String, Target>) -> Vec<Axis> {
    let mut axes: BTreeMap<String, Axis> = BTreeMap::new();
    for (name, target) in targets {
        let both_sides = name.strip_prefix("l-").or(name.strip_prefix("r-")).unwrap_or(&name);
        let opposite = OPPOSITES.iter().find_map(|&(up, down)| {
            let (stem, suffix) = both_sides.rsplit_once('-')?;
            (suffix == up || suffix == down).then(|| (format!("{stem}-{up}-{down}"), suffix == up))
        });
        let (key, increases) = opposite.unwrap_or_else(|| (both_sides.to_owned(), true));
        let axis = axes.entry(key.clone()).or_default();
        axis.name = key;
        if increases {
            axis.increase.push(target);
        } else {
            axis.decrease.push(target);
        }
    }
    axes.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opposites_and_sides_are_joined() {
        let names = [
            "l-eye-scale-decr",
            "l-eye-scale-incr",
            "r-eye-scale-decr",
            "r-eye-scale-incr",
            "nose-trans-in",
            "nose-trans-out",
            "nose-trans-up",
            "head-oval",
        ];
        let axes = axes(names.iter().map(|n| (n.to_string(), Target::default())).collect());
        let listed: Vec<_> = axes
            .iter()
            .map(|a| (a.name.as_str(), a.increase.len(), a.decrease.len()))
            .collect();
        assert_eq!(
            listed,
            [
                ("eye-scale-incr-decr", 2, 2),
                ("head-oval", 1, 0),
                ("nose-trans-in-out", 1, 1),
                ("nose-trans-up-down", 1, 0),
            ]
        );
    }
}
