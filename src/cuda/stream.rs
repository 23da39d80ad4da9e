//! The host's stream, in DLPack's numbering.

use crate::error::{Error, Result};
use crate::remedy;

/// The CUDA stream a host works on.
///
/// Work that OmniID does for the host is ordered on it: after everything the host has queued there before the call,
/// before everything it queues there afterwards. The numbers are those of the Python array API standard
/// (`__dlpack__(stream=…)`), which DLPack users know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HostStream {
    /// The legacy default stream, number 1.
    #[default]
    LegacyDefault,
    /// The per-thread default stream of the calling thread, number 2.
    PerThreadDefault,
    /// A stream made by the host: the value of its `cudaStream_t` or `CUstream`, always above 2.
    Handle(u64),
    /// No stream, number −1: the host has made sure that its data is ready, and the call returns when its work is
    /// finished on the device.
    Blocking,
}

impl HostStream {
    /// Reads a stream number. `None` means the legacy default stream, as in the standard.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for 0, which the standard forbids because libraries disagree on its meaning, and for
    /// numbers below −1.
    pub fn from_dlpack(number: Option<i64>) -> Result<Self> {
        match number {
            None | Some(1) => Ok(Self::LegacyDefault),
            Some(2) => Ok(Self::PerThreadDefault),
            Some(-1) => Ok(Self::Blocking),
            Some(handle @ 3..) => Ok(Self::Handle(handle.unsigned_abs())),
            Some(0) => Err(Error::invalid("CUDA stream 0 is ambiguous").with_remedy(remedy::CUDA_STREAM)),
            Some(other) => Err(Error::invalid(format!(
                "CUDA stream {other}: valid are -1 (block), 1 (legacy default), 2 (per-thread default) and the \
                 value of a stream handle"
            ))),
        }
    }

    /// The handle that the CUDA driver takes; `None` for [`HostStream::Blocking`].
    ///
    /// 1 and 2 are the driver's own special handles for the two default streams, so no number needs translating.
    /// A null handle would mean one or the other, depending on how a program was compiled.
    pub fn handle(self) -> Option<u64> {
        match self {
            Self::LegacyDefault => Some(1),
            Self::PerThreadDefault => Some(2),
            Self::Handle(handle) => Some(handle),
            Self::Blocking => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn numbers_follow_the_array_api_standard() {
        for (number, stream, handle) in [
            (None, HostStream::LegacyDefault, Some(1)),
            (Some(1), HostStream::LegacyDefault, Some(1)),
            (Some(2), HostStream::PerThreadDefault, Some(2)),
            (Some(3), HostStream::Handle(3), Some(3)),
            (
                Some(0x7f12_3456_7890),
                HostStream::Handle(0x7f12_3456_7890),
                Some(0x7f12_3456_7890),
            ),
            (Some(-1), HostStream::Blocking, None),
        ] {
            let read = HostStream::from_dlpack(number).unwrap();
            assert_eq!(read, stream, "{number:?}");
            assert_eq!(read.handle(), handle, "{number:?}");
        }
    }

    #[test]
    fn zero_and_other_negative_numbers_are_refused() {
        for number in [0, -2, i64::MIN] {
            let error = HostStream::from_dlpack(Some(number)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.message().contains(&number.to_string()), "{error}");
        }
    }
}
