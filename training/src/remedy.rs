//! What the reader of the training's messages can do; see `omniid::remedy`.

use omniid::Remedy;

/// A new run in the folder of another one.
pub(crate) const RUN_FOLDER: Remedy = Remedy::new("run-folder", "resume the run or choose another folder");
/// A run that is continued with another configuration.
pub(crate) const CHANGED_RUN: Remedy = Remedy::new(
    "changed-run",
    "restore the value, or allow changes (--allow-changes) if they are meant",
);
