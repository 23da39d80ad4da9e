//! Telling how far an evaluation is.

use omniid::{Error, ErrorKind, Result};
use std::ops::ControlFlow;

/// Receives what is being done and how many of all steps are finished, on the calling thread. Breaking cancels.
pub type ProgressFn<'a> = &'a mut dyn FnMut(&str, usize, usize) -> ControlFlow<()>;

/// Carries an optional [`ProgressFn`] through an evaluation.
pub struct Progress<'a> {
    callback: Option<ProgressFn<'a>>,
}

impl<'a> Progress<'a> {
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

    /// Reports that `done` of `total` steps of `what` are finished.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] when the callback asks to stop.
    pub fn report(&mut self, what: &str, done: usize, total: usize) -> Result<()> {
        match self.callback.as_mut().map(|callback| callback(what, done, total)) {
            Some(ControlFlow::Break(())) => Err(Error::new(
                ErrorKind::Cancelled,
                format!("evaluation cancelled at {done} of {total} ({what})"),
            )),
            _ => Ok(()),
        }
    }
}
