//! What can go wrong, and the exit code for it.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done, or the reader of our output went away |
//! | 1 | failed: `error[KIND]` on standard error says how |
//! | 2 | wrong usage, from this program or from the argument parser |
//! | 3 | no usable face in any photo |
//! | 130 | cancelled by Ctrl-C |

use crate::progress::INTERRUPTED_CODE;
use omniid::{Error, ErrorKind, Remedy};
use std::process::ExitCode;

/// Why a command ended early.
#[derive(Debug)]
pub enum Failure {
    /// The library refused.
    Library(Error),
    /// The arguments do not make sense together.
    Usage(Error),
    /// Standard output could not be written.
    Output(std::io::Error),
}

/// A command's result.
pub type Outcome<T = ()> = Result<T, Failure>;

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
            Self::Output(error) => Self::Output(error),
        }
    }

    /// Prints the failure to standard error and gives the exit code.
    pub fn report(self) -> ExitCode {
        match self {
            // `omniid … | head` is no failure.
            Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Self::Output(error) => {
                eprintln!("error[io]: standard output: {error}");
                ExitCode::from(1)
            }
            Self::Usage(error) => {
                eprintln!("error[usage]: {error}");
                ExitCode::from(2)
            }
            Self::Library(error) => {
                eprintln!("error[{}]: {error}", kind_name(error.kind()));
                ExitCode::from(match error.kind() {
                    ErrorKind::InvalidArgument => 2,
                    ErrorKind::NoFace => 3,
                    ErrorKind::Cancelled => INTERRUPTED_CODE,
                    _ => 1,
                })
            }
        }
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
