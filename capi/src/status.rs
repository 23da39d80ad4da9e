//! Status codes and error messages.
//!
//! Every function that can fail returns an `omniid_status`. When it is not `OMNIID_STATUS_OK`, `omniid_last_error` has
//! the message: what failed, the value seen and what was expected.

use omniid::{Error, ErrorKind, Result};
use omniid_capi_export::export;
use std::any::Any;
use std::cell::RefCell;
use std::ffi::{c_char, CStr, CString};
use std::panic::{catch_unwind, AssertUnwindSafe};

/// The result of a call: `OMNIID_STATUS_OK` or the class of the error.
///
/// Numbers are never changed or reused. A later release may add some: treat an unknown one as a failure.
pub type omniid_status = i32;

/// Success.
pub const OMNIID_STATUS_OK: omniid_status = 0;
/// A parameter has a value that is never valid: NULL, zero photos, an absurd size, an unknown enum value.
pub const OMNIID_STATUS_INVALID_ARGUMENT: omniid_status = 1;
/// An operation of the system failed: no such file, no permission, disk full.
pub const OMNIID_STATUS_IO: omniid_status = 2;
/// A file or a buffer is malformed: truncated, inconsistent header, missing key.
pub const OMNIID_STATUS_FORMAT: omniid_status = 3;
/// Well-formed, but not supported by this build: a number type, a device, a checkpoint family.
pub const OMNIID_STATUS_UNSUPPORTED: omniid_status = 4;
/// Two inputs do not belong together: identity and model, adapter and host, tensor and layer.
pub const OMNIID_STATUS_MISMATCH: omniid_status = 5;
/// No usable face in any of the photos.
pub const OMNIID_STATUS_NO_FACE: omniid_status = 6;
/// An input exceeds a limit of the engine options: pixels, decoded bytes, file size.
pub const OMNIID_STATUS_LIMIT_EXCEEDED: omniid_status = 7;
/// The caller's progress callback cancelled the call.
pub const OMNIID_STATUS_CANCELLED: omniid_status = 8;
/// The GPU, its driver or its libraries failed.
pub const OMNIID_STATUS_DEVICE: omniid_status = 9;
/// The caller was built for another major version of the ABI.
pub const OMNIID_STATUS_ABI_MISMATCH: omniid_status = 10;
/// A defect in OmniID. Please report it with its message.
pub const OMNIID_STATUS_INTERNAL: omniid_status = 255;

/// Every status with its short text.
const TEXTS: [(omniid_status, &CStr); 12] = [
    (OMNIID_STATUS_OK, c"ok"),
    (OMNIID_STATUS_INVALID_ARGUMENT, c"invalid argument"),
    (OMNIID_STATUS_IO, c"input or output failed"),
    (OMNIID_STATUS_FORMAT, c"malformed file or buffer"),
    (OMNIID_STATUS_UNSUPPORTED, c"not supported"),
    (OMNIID_STATUS_MISMATCH, c"inputs do not belong together"),
    (OMNIID_STATUS_NO_FACE, c"no usable face"),
    (OMNIID_STATUS_LIMIT_EXCEEDED, c"limit exceeded"),
    (OMNIID_STATUS_CANCELLED, c"cancelled"),
    (OMNIID_STATUS_DEVICE, c"device failed"),
    (OMNIID_STATUS_ABI_MISMATCH, c"built for another ABI version"),
    (OMNIID_STATUS_INTERNAL, c"internal error"),
];

thread_local! {
    /// Message of the calling thread's last failed call.
    static LAST_ERROR: RefCell<CString> = RefCell::new(CString::default());
}

/// The status of an error kind: they share their numbers.
pub(crate) fn code(kind: ErrorKind) -> omniid_status {
    kind as i32
}

/// NUL-terminated text; a NUL inside, which C cannot express, becomes a question mark.
pub(crate) fn c_text(text: &str) -> CString {
    CString::new(text.replace('\0', "?")).unwrap_or_default()
}

/// What an exported function returns: made from what its body gives, or from the status of a failure.
pub(crate) trait Returned: Sized {
    /// What the body gives.
    type Body;

    fn from_body(body: Self::Body) -> Result<Self>;

    fn from_failure(status: omniid_status) -> Self;
}

/// Functions that can fail.
impl Returned for omniid_status {
    type Body = Result<()>;

    fn from_body(body: Result<()>) -> Result<Self> {
        body.map(|()| OMNIID_STATUS_OK)
    }

    fn from_failure(status: omniid_status) -> Self {
        status
    }
}

/// Functions that cannot fail, with what they return after a panic all the same.
macro_rules! infallible {
    ($($returned:ty: $after_panic:expr;)*) => {$(
        impl Returned for $returned {
            type Body = Self;

            fn from_body(body: Self) -> Result<Self> {
                Ok(body)
            }

            fn from_failure(_: omniid_status) -> Self {
                $after_panic
            }
        }
    )*};
}

infallible! {
    (): ();
    u32: 0;
    *const c_char: c"".as_ptr();
}

/// Runs the body of a function that C calls: keeps the message of its error for the thread, and lets no panic out.
///
/// The attribute `export` puts it around the body of every exported function.
pub(crate) fn exported<R: Returned>(body: impl FnOnce() -> R::Body) -> R {
    guard(body).and_then(R::from_body).unwrap_or_else(|error| {
        keep(&error);
        R::from_failure(code(error.kind()))
    })
}

/// The one place where unwinding stops.
fn guard<T>(body: impl FnOnce() -> T) -> Result<T> {
    // Whatever a call does to the thread's CUDA context is undone when it returns.
    #[cfg(feature = "cuda")]
    let _context = omniid::cuda::CurrentContext::save();
    // Unwind safety: handles are immutable, and what a panic leaves half-written on the library's side is
    // either dropped with the closure or behind a lock that marks itself poisoned.
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        let error = Error::internal(format!("panic: {}", panic_text(payload.as_ref())));
        // Dropping a payload may panic in turn; it is a string in practice, so leaking it costs nothing.
        std::mem::forget(payload);
        error
    })
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// Stores the message for [`omniid_last_error`].
fn keep(error: &Error) {
    let text = c_text(error.message());
    // During thread exit the slot may be gone; then nobody can ask for it any more either.
    let _ = LAST_ERROR.try_with(|slot| {
        if let Ok(mut slot) = slot.try_borrow_mut() {
            *slot = text;
        }
    });
}

/// A short English description of a status. Static; never NULL, even for unknown numbers.
#[export]
pub extern "C" fn omniid_status_text(status: omniid_status) -> *const c_char {
    let known = TEXTS.iter().find(|(code, _)| *code == status);
    known.map_or(c"unknown status", |(_, text)| text).as_ptr()
}

/// The message of the calling thread's last failed call; empty if none has failed yet. Never NULL.
///
/// It belongs to the library and stays valid until the thread's next call fails or the thread ends. Successful calls
/// leave it as it is. A host that moves work between threads must read it on the thread that made the call.
#[export]
pub extern "C" fn omniid_last_error() -> *const c_char {
    LAST_ERROR
        .try_with(|slot| slot.try_borrow().map_or(c"".as_ptr(), |text| text.as_ptr()))
        .unwrap_or(c"".as_ptr())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last() -> String {
        // SAFETY: the function returns NUL-terminated text that lives until the next failing call.
        unsafe { CStr::from_ptr(omniid_last_error()) }
            .to_str()
            .unwrap()
            .to_string()
    }

    #[test]
    fn statuses_are_the_error_kinds() {
        let kinds = [
            (ErrorKind::InvalidArgument, OMNIID_STATUS_INVALID_ARGUMENT),
            (ErrorKind::Io, OMNIID_STATUS_IO),
            (ErrorKind::Format, OMNIID_STATUS_FORMAT),
            (ErrorKind::Unsupported, OMNIID_STATUS_UNSUPPORTED),
            (ErrorKind::Mismatch, OMNIID_STATUS_MISMATCH),
            (ErrorKind::NoFace, OMNIID_STATUS_NO_FACE),
            (ErrorKind::LimitExceeded, OMNIID_STATUS_LIMIT_EXCEEDED),
            (ErrorKind::Cancelled, OMNIID_STATUS_CANCELLED),
            (ErrorKind::Device, OMNIID_STATUS_DEVICE),
            (ErrorKind::AbiMismatch, OMNIID_STATUS_ABI_MISMATCH),
            (ErrorKind::Internal, OMNIID_STATUS_INTERNAL),
        ];
        assert_eq!(kinds.len() + 1, TEXTS.len());
        for (kind, status) in kinds {
            assert_eq!(exported::<omniid_status>(|| Err(Error::new(kind, "x"))), status);
            assert!(TEXTS.iter().any(|(code, text)| *code == status && !text.is_empty()));
        }
    }

    #[test]
    fn panics_become_a_status_and_a_message() {
        assert_eq!(
            exported::<omniid_status>(|| panic!("seven {}", 7)),
            OMNIID_STATUS_INTERNAL
        );
        assert_eq!(last(), "panic: seven 7");
        assert_eq!(
            exported::<omniid_status>(|| std::panic::panic_any(1u8)),
            OMNIID_STATUS_INTERNAL
        );
        assert_eq!(last(), "panic: no message");
        assert_eq!(exported::<u32>(|| panic!("static")), 0);
        assert_eq!(last(), "panic: static");
    }

    #[test]
    fn messages_belong_to_the_thread_and_survive_success() {
        assert_eq!(
            exported::<omniid_status>(|| Err(Error::invalid("a\0b"))),
            OMNIID_STATUS_INVALID_ARGUMENT
        );
        assert_eq!(exported::<omniid_status>(|| Ok(())), OMNIID_STATUS_OK);
        assert_eq!(std::thread::spawn(last).join().unwrap(), "");
        assert_eq!(last(), "a?b");
    }

    #[test]
    fn unknown_statuses_have_a_text() {
        for status in [-1, 11, 254, i32::MAX, i32::MIN] {
            // SAFETY: static NUL-terminated text.
            assert_eq!(unsafe { CStr::from_ptr(omniid_status_text(status)) }, c"unknown status");
        }
    }
}
