//! Checks of the sources themselves.

mod imports;
mod public_api;
mod remedies;
mod tree;
mod versions;

use std::path::Path;
use tree::Workspace;

/// The crates from the bottom up: each may use those before it.
const CRATES: [(&str, &str); 6] = [
    ("omniid_kernels", "kernels/src/lib.rs"),
    ("omniid", "src/lib.rs"),
    ("omniid_capi", "capi/src/lib.rs"),
    ("omniid_minihost", "minihost/src/lib.rs"),
    ("omniid_training", "training/src/lib.rs"),
    ("omniid_cli", "cli/src/main.rs"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All crates as they are on disk.
fn workspace() -> Workspace {
    let mut workspace = Workspace::default();
    for (name, file) in CRATES {
        workspace.add_crate(name, &root().join(file), &|path| std::fs::read_to_string(path).ok());
    }
    workspace
}
