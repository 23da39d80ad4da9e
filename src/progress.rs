//! Progress and cancellation of long calls.

use crate::error::{Error, ErrorKind, Result};
use std::ops::ControlFlow;

/// What a long call is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
#[non_exhaustive]
pub enum Stage {
    /// Weights are being read. Unit: parts of the model.
    Load = 0,
    /// Photos are being decoded and cropped. Unit: photos.
    Photos = 1,
    /// Photos pass through the image encoder. Unit: photos.
    Encode = 2,
    /// Keys and values are being projected. Unit: host layers.
    Condition = 3,
    /// A file is being written. Unit: tensors.
    Save = 4,
}

impl Stage {
    /// What is counted, in words.
    fn unit(self) -> &'static str {
        match self {
            Self::Load => "parts of the model",
            Self::Photos | Self::Encode => "photos",
            Self::Condition => "host layers",
            Self::Save => "tensors",
        }
    }
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

/// Receives the progress of a long call, on the thread of that call. [`ControlFlow::Break`] cancels the call, which
/// then fails with [`ErrorKind::Cancelled`].
pub type ProgressFn<'a> = &'a mut (dyn FnMut(Progress) -> ControlFlow<()> + 'a);

/// For calls whose progress is not shown.
pub(crate) fn ignore(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Reports one step.
///
/// # Errors
/// [`ErrorKind::Cancelled`] when `progress` asks to stop.
pub(crate) fn report(progress: ProgressFn<'_>, stage: Stage, done: usize, total: usize) -> Result<()> {
    let step = Progress {
        stage,
        done: done as u64,
        total: total as u64,
    };
    match progress(step) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::new(
            ErrorKind::Cancelled,
            format!("cancelled at {done} of {total} {}", stage.unit()),
        )),
    }
}
