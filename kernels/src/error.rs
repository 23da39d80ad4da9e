//! The error type of every fallible operation.
//!
//! An [`Error`] is a kind, which a program acts on, and a message, which a person reads. The kinds are the
//! C ABI's status codes; their numbers never change and are never used again for something else.

mod remedy;

pub use remedy::Remedy;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// What went wrong, as a class that a program can act on.
///
/// The numbers are the C ABI's status codes (`omniid_status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A parameter has a value that is never valid: NULL, zero photos, an absurd size, an unknown enum value.
    InvalidArgument = 1,
    /// The operating system refused: no such file, no permission, disk full.
    Io = 2,
    /// A file or a buffer does not hold what its format promises: truncated, lying header, missing key.
    Format = 3,
    /// Well-formed, but not something this build can do: a dtype, a device, a checkpoint family.
    Unsupported = 4,
    /// Two things that do not belong together: identity and model, adapter and host, tensor and layer.
    Mismatch = 5,
    /// No usable face in any of the photos.
    NoFace = 6,
    /// A limit set by the caller was reached: pixels, decoded bytes, file size.
    LimitExceeded = 7,
    /// The caller's progress callback asked to stop.
    Cancelled = 8,
    /// The GPU, its driver or its libraries failed.
    Device = 9,
    /// The caller was built for another major version of the C ABI.
    AbiMismatch = 10,
    /// A defect in OmniID itself. Please report it.
    Internal = 255,
}

/// An error: a kind for programs, a message for the reader.
///
/// The message names the thing, the value seen and what would be right. An error of the operating system or of a
/// library underneath is part of the message and is kept as [`source`](std::error::Error::source). If the reader can
/// do something about it, the message ends with a [`Remedy`].
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    remedy: Option<Remedy>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// A [`std::result::Result`] with OmniID's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of the given kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            remedy: None,
            source: None,
        }
    }

    /// The same error with the one that caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into().into());
        self
    }

    /// The same error with what the reader can do about it, at the end of the message.
    #[must_use]
    pub fn with_remedy(mut self, remedy: Remedy) -> Self {
        self.message = format!("{}; {remedy}", self.message);
        self.remedy = Some(remedy);
        self
    }

    /// What the reader can do about it; `None` if the message names nothing.
    pub fn remedy(&self) -> Option<Remedy> {
        self.remedy
    }

    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The text that says what went wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Puts `context` and a colon before the message: what was being done when it failed.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// [`ErrorKind::InvalidArgument`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// [`ErrorKind::Format`].
    pub fn format(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Format, message)
    }

    /// [`ErrorKind::Unsupported`].
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// [`ErrorKind::Mismatch`].
    pub fn mismatch(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Mismatch, message)
    }

    /// [`ErrorKind::LimitExceeded`].
    pub fn limit(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::LimitExceeded, message)
    }

    /// [`ErrorKind::Io`], with the path that was touched.
    pub fn io(path: impl AsRef<Path>, error: std::io::Error) -> Self {
        let message = format!("{}: {error}", path.as_ref().display());
        Self::new(ErrorKind::Io, message).with_source(error)
    }

    /// Wraps the error for a function that must return a candle error, such as a `VarBuilder` backend.
    /// Converting it back with `?` or `From` restores kind and message.
    pub fn into_candle(self) -> candle_core::Error {
        candle_core::Error::WrappedContext {
            wrapped: Box::new(self),
            context: String::new(),
        }
    }

    /// [`ErrorKind::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.source.as_ref()?;
        Some(source.as_ref())
    }
}

/// candle reports shapes and devices; what reaches the user through it is a defect of ours or a device failure.
/// An [`Error`] that passed through candle (see [`Error::into_candle`]) comes out as it was.
impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        use candle_core::Error as Candle;
        let kind = match error {
            Candle::WithBacktrace { inner, .. } => return Self::from(*inner),
            Candle::Context { inner, context } => return Self::from(*inner).context(context),
            Candle::WithPath { inner, path } => return Self::from(*inner).context(path.display()),
            Candle::WrappedContext { wrapped, context } => {
                return match wrapped.downcast::<Self>() {
                    Ok(own) => *own,
                    Err(other) => Self::new(ErrorKind::Internal, format!("{context}: {other}")).with_source(other),
                };
            }
            Candle::Cuda(_) => ErrorKind::Device,
            Candle::NotCompiledWithCudaSupport => ErrorKind::Unsupported,
            Candle::CannotFindTensor { .. } | Candle::UnexpectedShape { .. } => ErrorKind::Format,
            _ => ErrorKind::Internal,
        };
        Self::new(kind, error.to_string()).with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_way_through_candle() {
        let inside = || Error::format("tensor \"a\" is missing").into_candle();
        let outside = Error::from(inside());
        assert_eq!(
            (outside.kind(), outside.message()),
            (ErrorKind::Format, "tensor \"a\" is missing")
        );
        let outside = Error::from(inside().bt().context("layer 3"));
        assert_eq!(
            (outside.kind(), outside.message()),
            (ErrorKind::Format, "layer 3: tensor \"a\" is missing")
        );
        assert_eq!(Error::from(candle_core::Error::msg("x")).kind(), ErrorKind::Internal);
    }

    #[test]
    fn the_remedy_ends_the_message() {
        const CONVERT: Remedy = Remedy::new("photo-format", "convert it to JPEG");
        let error = Error::unsupported("photo.heic is HEIC")
            .with_remedy(CONVERT)
            .context("encoding");
        assert_eq!(error.to_string(), "encoding: photo.heic is HEIC; convert it to JPEG");
        let error = Error::from(error.into_candle());
        assert_eq!(error.remedy().map(Remedy::id), Some("photo-format"));
        assert_eq!(Error::invalid("x").remedy(), None);
    }

    #[test]
    fn the_cause_is_kept() {
        use std::error::Error as _;
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        let error = Error::io("photo.jpg", missing).context("encoding").clone();
        assert!(error.message().starts_with("encoding: photo.jpg: "), "{error}");
        let cause = error.source().unwrap().downcast_ref::<std::io::Error>().unwrap();
        assert_eq!(cause.kind(), std::io::ErrorKind::NotFound);
        let error = Error::from(candle_core::Error::Cuda("no device".into()));
        assert_eq!(error.kind(), ErrorKind::Device);
        assert!(error.source().unwrap().is::<candle_core::Error>());
        assert!(Error::invalid("x").source().is_none());
    }
}
