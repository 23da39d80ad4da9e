//! Progress and cancellation of long calls.

use crate::error::{Error, ErrorKind, Result};
use std::ops::ControlFlow;

/// What a long call is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
#[non_exhaustive]
pub enum Stage {
    /// Weights are being read. Unit: tensors.
    Load = 0,
    /// Photos are being decoded and cropped. Unit: photos.
    Photos = 1,
    /// Photos pass the image encoder. Unit: photos.
    Encode = 2,
    /// Keys and values are being projected. Unit: host layers.
    Condition = 3,
    /// A file is being written. Unit: tensors.
    Save = 4,
}

/// A step of a long call: `done` of `total` units of `stage` are finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// Finished units.
    pub done: u64,
    /// All units of this stage.
    pub total: u64,
}

/// Receives progress on the calling thread. [`ControlFlow::Break`] cancels the call.
pub type ProgressFn<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// Carries an optional [`ProgressFn`] through a long call.
pub struct Reporter<'a> {
    callback: Option<ProgressFn<'a>>,
}

impl<'a> Reporter<'a> {
    /// Reports to `callback`.
    pub fn new(callback: ProgressFn<'a>) -> Self {
        Self {
            callback: Some(callback),
        }
    }

    /// Reports to nobody.
    pub fn silent() -> Self {
        Self { callback: None }
    }

    /// Reports one step.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] when the callback asks to stop.
    pub fn report(&mut self, stage: Stage, done: usize, total: usize) -> Result<()> {
        let Some(callback) = self.callback.as_mut() else {
            return Ok(());
        };
        match callback(Progress {
            stage,
            done: done as u64,
            total: total as u64,
        }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::new(
                ErrorKind::Cancelled,
                format!("cancelled by the progress callback at {done} of {total} ({stage:?})"),
            )),
        }
    }
}
