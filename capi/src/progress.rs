//! Progress and cancellation of long calls.

use omniid::{Progress, ProgressFn};
use std::ffi::c_void;
use std::ops::ControlFlow;

/// Weights are being read. Unit: tensors.
pub const OMNIID_STAGE_LOAD: i32 = 0;
/// Photos are being decoded and cropped. Unit: photos.
pub const OMNIID_STAGE_PHOTOS: i32 = 1;
/// Photos are passing through the image encoder. Unit: photos.
pub const OMNIID_STAGE_ENCODE: i32 = 2;
/// Keys and values are being projected. Unit: host layers.
pub const OMNIID_STAGE_CONDITION: i32 = 3;
/// A file is being written. Unit: tensors.
pub const OMNIID_STAGE_SAVE: i32 = 4;

/// Is told that `done` of `total` units of a stage, `OMNIID_STAGE_...`, are finished.
///
/// Called on the thread of the long call, with the `user_data` given beside it. Return 0 to continue; any other value
/// cancels the call, which then fails with `OMNIID_STATUS_CANCELLED`. Must not unwind: no exceptions, no longjmp.
pub type omniid_progress_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, stage: i32, done: u64, total: u64) -> i32>;

/// Runs `body` with a function that calls the caller's callback.
///
/// # Safety
/// `callback` may be called with `user_data` on this thread during `body`.
pub(crate) unsafe fn with_progress<T>(
    callback: omniid_progress_fn,
    user_data: *mut c_void,
    body: impl FnOnce(ProgressFn<'_>) -> T,
) -> T {
    let Some(callback) = callback else {
        return body(&mut |_| ControlFlow::Continue(()));
    };
    let mut forward = |progress: Progress| {
        // SAFETY: the caller's promise.
        match unsafe { callback(user_data, progress.stage as i32, progress.done, progress.total) } {
            0 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    };
    body(&mut forward)
}

#[cfg(test)]
mod tests {
    use super::*;
    use omniid::Stage;

    unsafe extern "C" fn cancel_at_two(user_data: *mut c_void, stage: i32, done: u64, total: u64) -> i32 {
        // SAFETY: the test passes a vector.
        unsafe { &mut *user_data.cast::<Vec<(i32, u64, u64)>>() }.push((stage, done, total));
        i32::from(done == 2)
    }

    #[test]
    fn stages_are_the_librarys() {
        let stages = [
            (Stage::Load, OMNIID_STAGE_LOAD),
            (Stage::Photos, OMNIID_STAGE_PHOTOS),
            (Stage::Encode, OMNIID_STAGE_ENCODE),
            (Stage::Condition, OMNIID_STAGE_CONDITION),
            (Stage::Save, OMNIID_STAGE_SAVE),
        ];
        assert!(stages.iter().all(|(stage, number)| *stage as i32 == *number));
    }

    #[test]
    fn anything_but_zero_cancels() {
        let mut seen: Vec<(i32, u64, u64)> = Vec::new();
        // SAFETY: the vector outlives the call.
        let result = unsafe {
            with_progress(Some(cancel_at_two), (&raw mut seen).cast(), |progress| {
                (1..=3).try_for_each(|done| {
                    progress(Progress {
                        stage: Stage::Encode,
                        done,
                        total: 3,
                    })
                })
            })
        };
        assert_eq!(result, ControlFlow::Break(()));
        assert_eq!(seen, [(OMNIID_STAGE_ENCODE, 1, 3), (OMNIID_STAGE_ENCODE, 2, 3)]);
    }
}
