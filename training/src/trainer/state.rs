//! The state of a run on disk: everything that the next step depends on.
//!
//! One safetensors file: `weight/…`, `average/…`, `first/…`, `second/…` (the optimiser's means) for every trained
//! tensor, `weight/…` alone for the others. Two generations are kept, `state.safetensors` and
//! `state-previous.safetensors`. A state is complete under a third name before it replaces anything, so a run may be
//! killed at any moment.

use candle_core::{DType, Device, Tensor};
use omniid::checkpoint::{write_safetensors, Checkpoint};
use omniid::Limits;
use omniid::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Version of the file, in metadata under `omniid.training`.
const FORMAT_VERSION: u32 = 1;

const CURRENT: &str = "state.safetensors";
const PREVIOUS: &str = "state-previous.safetensors";
const NEXT: &str = "state-next.safetensors";

/// A state in memory.
pub struct State {
    /// Steps made.
    pub step: u64,
    /// Updates made: steps that were not skipped.
    pub updates: u64,
    /// Steps skipped in a row, up to the last.
    pub skipped: u32,
    /// The configuration of the run, as TOML.
    pub config: String,
    /// All tensors, f32, by name.
    pub tensors: BTreeMap<String, Tensor>,
}

impl State {
    /// Writes the state into `folder`. The state before stays as the previous generation.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when it cannot be written, as on a full disk; what was there is then untouched.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let tensors = self
            .tensors
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.clone()))
            .collect::<Vec<_>>();
        let metadata = BTreeMap::from(
            [
                ("omniid.training", FORMAT_VERSION.to_string()),
                ("omniid.step", self.step.to_string()),
                ("omniid.updates", self.updates.to_string()),
                ("omniid.skipped", self.skipped.to_string()),
                ("omniid.config", self.config.clone()),
                ("omniid.checksum", format!("{:016x}", checksum(&self.tensors)?)),
            ]
            .map(|(key, value)| (key.to_string(), value)),
        );
        let [current, previous, next] = [CURRENT, PREVIOUS, NEXT].map(|name| folder.join(name));
        write_safetensors(&next, &tensors, &metadata)?;
        if current.exists() {
            std::fs::rename(&current, &previous).map_err(|error| Error::io(&current, error))?;
        }
        std::fs::rename(&next, &current).map_err(|error| Error::io(&next, error))
    }

    /// Whether `folder` holds a state.
    pub fn exists(folder: &Path) -> bool {
        [CURRENT, PREVIOUS, NEXT].iter().any(|name| folder.join(name).exists())
    }

    /// The newest sound state in `folder`, and what was wrong with newer ones. `None` when there is no state.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] when there are states and none is sound: nothing is started over by itself.
    pub fn load_latest(folder: &Path) -> Result<Option<(Self, Vec<String>)>> {
        let mut problems = Vec::new();
        let mut found = Vec::new();
        for path in [NEXT, CURRENT, PREVIOUS].map(|name| folder.join(name)) {
            if !path.exists() {
                continue;
            }
            match open(&path) {
                Ok((step, file)) => found.push((step, path, file)),
                Err(error) => problems.push(error.message().to_string()),
            }
        }
        found.sort_by_key(|(step, _, _)| std::cmp::Reverse(*step));
        for (step, path, file) in found {
            match Self::read(&file, step) {
                Ok(state) => {
                    let problems = problems
                        .into_iter()
                        .map(|problem| format!("{problem}; went back to {} (step {step})", path.display()))
                        .collect();
                    return Ok(Some((state, problems)));
                }
                Err(error) => problems.push(error.context(path.display()).message().to_string()),
            }
        }
        if problems.is_empty() {
            return Ok(None);
        }
        Err(Error::format(format!(
            "no saved state of the run can be used: {}",
            problems.join("; ")
        )))
    }

    fn read(file: &Checkpoint, step: u64) -> Result<Self> {
        let tensors = file
            .names()
            .map(|name| Ok((name.to_string(), file.tensor(name, DType::F32, &Device::Cpu)?)))
            .collect::<Result<BTreeMap<_, _>>>()?;
        let expected = text(file, "omniid.checksum")?;
        let found = format!("{:016x}", checksum(&tensors)?);
        if found != expected {
            return Err(Error::format(format!(
                "the numbers have checksum {found}, they were written with {expected}"
            )));
        }
        Ok(Self {
            step,
            updates: number(file, "omniid.updates")?,
            skipped: number(file, "omniid.skipped")? as u32,
            config: text(file, "omniid.config")?.to_string(),
            tensors,
        })
    }
}

/// The path of the newest generation in `folder`.
pub fn current_path(folder: &Path) -> PathBuf {
    folder.join(CURRENT)
}

fn open(path: &Path) -> Result<(u64, Checkpoint)> {
    let file = Checkpoint::open(path, &Limits::default())?;
    let named = |error: Error| error.context(path.display());
    let version = text(&file, "omniid.training").map_err(named)?;
    if version != FORMAT_VERSION.to_string() {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "{}: training state of format {version}, this program reads {FORMAT_VERSION}",
                path.display()
            ),
        ));
    }
    Ok((number(&file, "omniid.step").map_err(named)?, file))
}

fn text<'a>(file: &'a Checkpoint, key: &str) -> Result<&'a str> {
    file.metadata()
        .get(key)
        .map(String::as_str)
        .ok_or_else(|| Error::format(format!("this is no training state: metadata has no {key:?}")))
}

fn number(file: &Checkpoint, key: &str) -> Result<u64> {
    text(file, key)?
        .parse()
        .map_err(|_| Error::format(format!("{key} is not a number")))
}

/// FNV-1a over the names and the bits of the numbers.
fn checksum(tensors: &BTreeMap<String, Tensor>) -> Result<u64> {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut take = |value: u64| hash = (hash ^ value).wrapping_mul(0x0000_0100_0000_01b3);
    for (name, tensor) in tensors {
        name.bytes().for_each(|byte| take(u64::from(byte)));
        let values = tensor.flatten_all()?.to_device(&Device::Cpu)?.to_vec1::<f32>()?;
        values.iter().for_each(|value| take(u64::from(value.to_bits())));
    }
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(step: u64) -> Result<State> {
        let values = Tensor::arange(0f32, 50_000.0, &Device::Cpu)?;
        Ok(State {
            step,
            updates: step - 1,
            skipped: 1,
            config: "name = \"x\"".to_string(),
            tensors: BTreeMap::from([("weight/a".to_string(), (values + step as f64)?)]),
        })
    }

    fn latest(folder: &Path) -> Result<(u64, Vec<String>)> {
        let (state, problems) = State::load_latest(folder)?.expect("a state");
        assert_eq!(state.tensors["weight/a"].to_vec1::<f32>()?[1], 1.0 + state.step as f32);
        assert_eq!((state.updates, state.skipped), (state.step - 1, 1));
        Ok((state.step, problems))
    }

    #[test]
    fn a_damaged_state_gives_way_to_the_one_before() -> Result<()> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let folder = folder.path();
        assert!(State::load_latest(folder)?.is_none() && !State::exists(folder));
        for step in [10, 20, 30] {
            state(step)?.save(folder)?;
        }
        assert_eq!(latest(folder)?, (30, Vec::new()));
        let current = folder.join(CURRENT);
        let whole = std::fs::read(&current).expect("written");
        // Cut off, a flipped bit in the numbers, another file.
        let mut flipped = whole.clone();
        *flipped.last_mut().expect("not empty") ^= 1;
        for damaged in [&whole[..whole.len() / 2], &flipped, &b"nonsense"[..]] {
            std::fs::write(&current, damaged).expect("writable");
            let (step, problems) = latest(folder)?;
            assert_eq!(step, 20);
            assert!(
                problems.len() == 1
                    && problems[0].contains(CURRENT)
                    && problems[0].contains("went back")
                    && problems[0].contains("step 20"),
                "{problems:?}"
            );
        }
        std::fs::write(folder.join(PREVIOUS), b"nonsense").expect("writable");
        let error = State::load_latest(folder).err().expect("nothing is sound");
        assert_eq!(error.kind(), ErrorKind::Format);
        Ok(())
    }

    #[test]
    fn a_run_killed_between_the_renames_loses_nothing() -> Result<()> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let folder = folder.path();
        for step in [10, 20, 30] {
            state(step)?.save(folder)?;
        }
        std::fs::rename(folder.join(CURRENT), folder.join(NEXT)).expect("as if killed");
        assert_eq!(latest(folder)?, (30, Vec::new()));
        state(40)?.save(folder)?;
        assert_eq!(latest(folder)?, (40, Vec::new()));
        Ok(())
    }

    #[test]
    fn a_state_that_cannot_be_written_leaves_the_old_one() -> Result<()> {
        let folder = tempfile::tempdir().expect("temporary folder");
        state(10)?.save(folder.path())?;
        // A folder stands where the new file has to go, as good as a full disk.
        std::fs::create_dir(folder.path().join(NEXT)).expect("a folder");
        let error = state(20)?.save(folder.path()).expect_err("cannot be written");
        assert!(error.message().contains(NEXT), "{error}");
        std::fs::remove_dir(folder.path().join(NEXT)).expect("empty");
        assert_eq!(latest(folder.path())?.0, 10);
        Ok(())
    }
}
