//! Views by name.

use crate::view::{View, EXPRESSIONS};

/// Names of [`View::named`], a pose or an expression each.
pub const VIEW_NAMES: [&str; 22] = [
    "front",
    "left",
    "right",
    "three-quarter left",
    "three-quarter right",
    "profile left",
    "profile right",
    "up",
    "down",
    "tilt",
    "smile",
    "laugh",
    "surprise",
    "frown",
    "angry",
    "pucker",
    "squint",
    "eyes closed",
    "puffed cheeks",
    "look left",
    "look right",
    "glasses",
];

/// A view for eight pictures of a sheet: poses, then expressions.
pub const SHEET_VIEWS: [&str; 8] = [
    "front",
    "three-quarter left",
    "three-quarter right",
    "up",
    "down",
    "smile",
    "surprise",
    "profile right",
];

impl View {
    /// This view with one channel of [`EXPRESSIONS`] set; unknown names change nothing.
    pub fn with_expression(mut self, name: &str, strength: f32) -> Self {
        if let Some(channel) = EXPRESSIONS.iter().position(|known| *known == name) {
            self.expression[channel] = strength;
        }
        self
    }

    /// A view by its name in [`VIEW_NAMES`]. Left and right are those of the picture.
    pub fn named(name: &str) -> Option<Self> {
        let front = Self::default();
        let turned = |degrees: f32| front.posed(degrees.to_radians(), 0.0, 0.0);
        let nodding = |degrees: f32| front.posed(0.0, degrees.to_radians(), 0.0);
        let looking = |right: f32| Self {
            gaze: [right, 0.0],
            ..front
        };
        Some(match name {
            "front" => front,
            "left" => turned(-25.0),
            "right" => turned(25.0),
            "three-quarter left" => turned(-45.0),
            "three-quarter right" => turned(45.0),
            "profile left" => turned(-80.0),
            "profile right" => turned(80.0),
            "up" => nodding(22.0),
            "down" => nodding(-22.0),
            "tilt" => front.posed(0.0, 0.0, 12f32.to_radians()),
            "smile" => front.with_expression("smile", 0.8),
            "laugh" => front
                .with_expression("smile", 1.0)
                .with_expression("jaw_open", 0.4)
                .with_expression("squint", 0.3),
            "surprise" => front.with_expression("brows_up", 0.9).with_expression("jaw_open", 0.6),
            "frown" => front.with_expression("frown", 0.8),
            "angry" => front.with_expression("brows_down", 0.9).with_expression("sneer", 0.4),
            "pucker" => front.with_expression("pucker", 0.8),
            "squint" => front.with_expression("squint", 0.9),
            "eyes closed" => front.with_expression("eyes_closed", 1.0),
            "puffed cheeks" => front.with_expression("cheek_puff", 0.8),
            "look left" => looking(-0.35),
            "look right" => looking(0.35),
            "glasses" => Self { glasses: 1.0, ..front },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_are_views_and_differ() {
        let views: Vec<_> = VIEW_NAMES
            .iter()
            .map(|name| View::named(name).expect(name).to_vector())
            .collect();
        for (i, view) in views.iter().enumerate() {
            assert!(!views[..i].contains(view), "{}", VIEW_NAMES[i]);
        }
        assert!(SHEET_VIEWS.iter().all(|name| VIEW_NAMES.contains(name)));
        assert!(View::named("sideways").is_none());
    }
}
