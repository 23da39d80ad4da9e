//! What tests need that a machine may lack, and how a test reports that it did not run.
//!
//! libtest has no result between "ok" and "failed" for a test that finds out at run time that it cannot run. Such a
//! test returns early and calls [`skip`], which adds a line to the file that the environment variable `OMNIID_SKIPPED`
//! names. `scripts/test` sets the variable and lists the lines in its summary. Shell scripts write the same lines with
//! `scripts/skipped`, pytest with `omniid_skips.py`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a test cannot run on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// A program or package that a package registry has. In continuous integration this is a failure.
    Installable,
    /// Files that are not part of the repository: see [`assets`].
    Assets,
    /// Hardware, such as a GPU or an instruction set.
    Hardware,
    /// Another operating system.
    Platform,
}

/// Records that the calling test does not run: `why`, and `how` to get what it lacks.
pub fn skip(missing: Missing, why: &str, how: &str) {
    let thread = std::thread::current();
    let program = std::env::current_exe().unwrap_or_default();
    let program = program.file_stem().unwrap_or_default().to_string_lossy();
    // Cargo adds a hash to the name of a test program.
    let program = program.rsplit_once('-').map_or(&*program, |(name, _)| name);
    let test = format!("{program} {}", thread.name().unwrap_or("test"));
    eprintln!("SKIPPED: {test}: {why} ({how})");
    let Some(path) = std::env::var_os("OMNIID_SKIPPED") else {
        return;
    };
    let kind = format!("{missing:?}").to_lowercase();
    let line = format!("{kind}\t{test}\t{why}\t{how}\n");
    let file = std::fs::File::options().append(true).create(true).open(&path);
    // One write, so that lines of processes that run at the same time stay whole.
    file.and_then(|mut file| file.write_all(line.as_bytes()))
        .unwrap_or_else(|error| panic!("OMNIID_SKIPPED={}: {error}", Path::new(&path).display()));
}

/// The folder of assets that are not part of the repository, if it holds `file`; otherwise the test is recorded as
/// skipped. The folder is `OMNIID_ASSETS`, by default `../shared/assets` beside the repository.
pub fn assets(file: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/assets");
    let folder = std::env::var_os("OMNIID_ASSETS").map_or_else(beside, PathBuf::from);
    if folder.join(file).exists() {
        return Some(folder);
    }
    let how = "set OMNIID_ASSETS to a folder that has it; docs/training.md says where the assets come from";
    skip(Missing::Assets, &format!("the assets have no {file}"), how);
    None
}

/// Whether `tool` can be started; otherwise the test is recorded as skipped, with the Debian `package` that has the
/// tool.
pub fn has_tool(tool: &str, package: &str) -> bool {
    let mut command = Command::new(tool);
    let status = command
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let found = status.is_ok_and(|status| status.success());
    if !found {
        let how = format!("apt-get install {package}");
        skip(Missing::Installable, &format!("{tool} is not installed"), &how);
    }
    found
}
