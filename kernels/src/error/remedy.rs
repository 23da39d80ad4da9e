//! What the reader of a message can do about it.

use std::fmt;

/// What the reader of a message can do: the words that the message ends with, and the entry of
/// `docs/troubleshooting.md` that says more.
///
/// Each crate keeps its remedies in one file named `remedy.rs`. The tests find all of them there, and demand an entry
/// for each; no message names a remedy in words of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Remedy {
    id: &'static str,
    text: &'static str,
}

impl Remedy {
    /// A remedy with the anchor of its entry and the words that a message ends with: an imperative, without a full
    /// stop.
    pub const fn new(id: &'static str, text: &'static str) -> Self {
        Self { id, text }
    }

    /// The anchor of the entry in `docs/troubleshooting.md`; it does not change between releases.
    pub const fn id(self) -> &'static str {
        self.id
    }

    /// What to do.
    pub const fn text(self) -> &'static str {
        self.text
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}
