//! Files that parts are found in, and names before what goes wrong with them.

use crate::checkpoint::{Checkpoint, Role, Source};
use crate::error::{Error, Result};
use crate::limits::Limits;
use std::io::Read;
use std::path::Path;

/// Opens a source and puts its name before what goes wrong.
pub(super) fn read(source: &Source, limits: &Limits) -> Result<Checkpoint> {
    read_as(source, Role::Model, limits)
}

pub(super) fn read_as(source: &Source, role: Role, limits: &Limits) -> Result<Checkpoint> {
    Checkpoint::open_as(source, role, limits).map_err(|error| match source.path() {
        Some(path) => in_file(path, error),
        None => error.context("checkpoint in memory"),
    })
}

/// Names the file, unless the message begins with it already.
fn in_file(path: &Path, error: Error) -> Error {
    let name = path.display().to_string();
    if error.message().starts_with(&name) {
        error
    } else {
        error.context(name)
    }
}

/// The `config.json` in the folder of a file, if there is one.
pub(super) fn config_beside(file: &Checkpoint, limits: &Limits) -> Result<Option<String>> {
    let Some(path) = file.path() else {
        return Ok(None);
    };
    let path = path.with_file_name("config.json");
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(&path, error)),
    };
    let (mut text, most) = (String::new(), limits.max_header_bytes);
    file.take(most.saturating_add(1))
        .read_to_string(&mut text)
        .map_err(|error| Error::io(&path, error))?;
    if text.len() as u64 > most {
        return Err(Error::limit(format!(
            "{}: more than {most} bytes (max_header_bytes)",
            path.display()
        )));
    }
    Ok(Some(text))
}
