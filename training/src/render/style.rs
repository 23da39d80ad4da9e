//! Versions of the renderer, so that what earlier models learnt from stays reproducible.

use serde::{Deserialize, Serialize};

/// How rendered people and their photos look. Each style gives its own people: the same seed is somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// What the built-in weights were trained on. It stays as it is, to the byte.
    #[default]
    Classic,
    /// Nearer to photos: sex, age, skin, hair and beard belong together, hair and brows grow in locks, skin has relief,
    /// light and backgrounds follow photographs.
    Lifelike,
}
