//! Metrics of a run as JSON lines.

use omniid::checkpoint::save_bytes_atomically;
use omniid::{Error, Result};
use serde_json::{Map, Value};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A file with one JSON object per line, each with a `step`.
pub struct Metrics {
    path: PathBuf,
}

impl Metrics {
    /// Opens the file for a run that has made `step` steps: lines of later steps, left over from a run that was
    /// killed after its last saved state, are taken out.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](omniid::ErrorKind::Io) naming the path.
    pub fn open(path: &Path, step: u64) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let kept = |line: &&str| {
                    serde_json::from_str::<Value>(line)
                        .ok()
                        .and_then(|line| line.get("step").and_then(Value::as_u64))
                        .is_some_and(|at| at <= step)
                };
                let lines = text.lines().filter(kept).map(|line| format!("{line}\n"));
                let lines = lines.collect::<String>();
                if lines != text {
                    save_bytes_atomically(path, lines.as_bytes())?;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io(path, error)),
        }
        Ok(Self {
            path: path.to_path_buf(),
        })
    }

    /// Adds a line. Numbers that are not finite become null, as JSON has no other word for them.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](omniid::ErrorKind::Io) naming the path.
    pub fn write(&self, kind: &str, step: u64, values: &[(String, f64)]) -> Result<()> {
        let mut line = Map::new();
        line.insert("kind".to_string(), kind.into());
        line.insert("step".to_string(), step.into());
        for (name, value) in values {
            line.insert(name.clone(), significant(*value));
        }
        let text = format!("{}\n", Value::Object(line));
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| Error::io(&self.path, error))
    }
}

/// The value with six significant digits: more would be noise.
fn significant(value: f64) -> Value {
    format!("{value:.5e}")
        .parse::<f64>()
        .ok()
        .and_then(serde_json::Number::from_f64)
        .map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_later_steps_are_taken_out_on_resuming() -> Result<()> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("metrics.jsonl");
        let metrics = Metrics::open(&path, 0)?;
        for step in [10, 20, 30] {
            metrics.write(
                "train",
                step,
                &[("loss".to_string(), 0.123_456_78), ("bad".to_string(), f64::NAN)],
            )?;
        }
        // Cut in the middle of a line, as a full disk leaves it.
        let text = std::fs::read_to_string(&path).expect("written");
        std::fs::write(&path, &text[..text.len() - 5]).expect("writable");
        Metrics::open(&path, 20)?.write("train", 30, &[])?;
        let text = std::fs::read_to_string(&path).expect("written");
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
            .collect::<Vec<_>>();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[1]["step"], 20);
        assert_eq!(lines[1]["loss"], 0.123457);
        assert!(lines[1]["bad"].is_null());
        Ok(())
    }
}
