//! What can go wrong, and the exit code for it.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done, or the reader of our output went away |
//! | 1 | failed: `error[KIND]` on standard error says how |
//! | 2 | wrong usage, from this program or from the argument parser |
//! | 3 | no usable face in any photo |
//! | 129, 130, 143 | ended by SIGHUP, Ctrl-C, SIGTERM |
//!
//! With `--json`, an object with the same kind and message goes to standard output.

use crate::signals;
use omniid::{Error, ErrorKind, Remedy};
use serde_json::json;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// Why a command ended early.
#[derive(Debug)]
pub enum Failure {
    /// The library refused.
    Library(Error),
    /// The arguments do not make sense together.
    Usage(Error),
    /// Standard output could not be written.
    Output(std::io::Error),
    /// Some of many inputs could not be used; the command has reported each and gone on.
    Partial {
        /// The first error's kind, which decides the exit code.
        kind: ErrorKind,
        /// How many of how many.
        message: String,
    },
}

/// A command's result.
pub type Outcome<T = ()> = Result<T, Failure>;

/// Whether the arguments ask for JSON; set once, before any work.
static JSON: AtomicBool = AtomicBool::new(false);

/// Whether an error was reported: the thread of signals must not report it again.
static REPORTED: AtomicBool = AtomicBool::new(false);

/// Errors go to standard output as JSON, too.
pub fn report_as_json() {
    JSON.store(true, Ordering::Relaxed);
}

/// A report goes to standard output. It has the errors of single inputs in it, so that no other JSON may follow.
pub fn has_reported() {
    JSON.store(false, Ordering::Relaxed);
}

impl Failure {
    /// A mistake in the arguments.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(Error::invalid(message))
    }

    /// The same failure with what the reader can do about it, at the end of the message.
    #[must_use]
    pub fn with_remedy(self, remedy: Remedy) -> Self {
        match self {
            Self::Library(error) => Self::Library(error.with_remedy(remedy)),
            Self::Usage(error) => Self::Usage(error.with_remedy(remedy)),
            other => other,
        }
    }

    /// The error of one input among many, which do not stop at it; anything that ends the command comes back.
    pub fn of_input(self) -> Result<Error, Self> {
        match self {
            Self::Library(error) if error.kind() != ErrorKind::Cancelled => Ok(error),
            Self::Usage(error) => Ok(error),
            other => Err(other),
        }
    }

    /// The end of a command of whose `all` inputs some had errors; `None` when there were none.
    pub fn partial(errors: &[ErrorKind], all: usize, what: &str) -> Option<Self> {
        Some(Self::Partial {
            kind: *errors.first()?,
            message: format!("{} of {all} {what} could not be used", errors.len()),
        })
    }

    /// Prints the failure to standard error and gives the exit code.
    pub fn report(self) -> ExitCode {
        match self {
            // `omniid … | head` is no failure.
            Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Self::Output(error) => {
                say("io", &format!("standard output: {error}"), None);
                ExitCode::from(1)
            }
            Self::Usage(error) => {
                say("usage", error.message(), error.remedy());
                ExitCode::from(2)
            }
            Self::Library(error) => {
                say(kind_name(error.kind()), error.message(), error.remedy());
                ExitCode::from(exit_code(error.kind()))
            }
            Self::Partial { kind, message } => {
                say(kind_name(kind), &message, None);
                ExitCode::from(exit_code(kind))
            }
        }
    }
}

/// Reports that a signal ended the program, unless the command has reported an error itself.
pub fn report_cancelled() {
    say(
        kind_name(ErrorKind::Cancelled),
        &format!("cancelled by {}", signals::cause()),
        None,
    );
}

/// Prints an error, once, to standard error and with `--json` also to standard output.
fn say(kind: &str, message: &str, remedy: Option<Remedy>) {
    if REPORTED.swap(true, Ordering::Relaxed) {
        return;
    }
    tell!("error[{kind}]: {message}");
    if JSON.load(Ordering::Relaxed) {
        use std::io::Write;
        // Nobody is left to be told that this fails.
        let _ = writeln!(std::io::stdout(), "{:#}", as_json(kind, message, remedy));
    }
}

/// An error as programs get it; `remedy` is the anchor of its entry in docs/troubleshooting.md.
pub fn as_json(kind: &str, message: &str, remedy: Option<Remedy>) -> serde_json::Value {
    let mut error = json!({ "kind": kind, "message": message });
    if let Some(remedy) = remedy {
        error["remedy"] = remedy.id().into();
    }
    json!({ "error": error })
}

fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::InvalidArgument => 2,
        ErrorKind::NoFace => 3,
        ErrorKind::Cancelled => signals::exit_code(),
        _ => 1,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Library(error)
    }
}

/// The kind of an error as a word for programs.
pub fn kind_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidArgument => "invalid",
        ErrorKind::Io => "io",
        ErrorKind::Format => "format",
        ErrorKind::Unsupported => "unsupported",
        ErrorKind::Mismatch => "mismatch",
        ErrorKind::NoFace => "no-face",
        ErrorKind::LimitExceeded => "limit",
        ErrorKind::Cancelled => "cancelled",
        ErrorKind::Device => "device",
        ErrorKind::AbiMismatch => "abi",
        _ => "internal",
    }
}
