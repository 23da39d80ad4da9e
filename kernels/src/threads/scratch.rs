//! Working memory of the kernels: one buffer per thread, aligned to cache lines, grown and kept.

use std::alloc::{alloc_zeroed, dealloc, handle_alloc_error, Layout};
use std::cell::Cell;
use std::ptr::NonNull;
use std::thread::LocalKey;

const ALIGNMENT: usize = 64;

/// Memory for f32 values, aligned to 64 bytes, without meaning between uses.
struct Buffer {
    data: NonNull<u8>,
    layout: Layout,
}

impl Buffer {
    fn new(bytes: usize) -> Self {
        // The sizes come from the fixed block sizes of the kernels; overflow is a defect, not bad input.
        let layout = Layout::from_size_align(bytes.max(ALIGNMENT), ALIGNMENT).expect("scratch size");
        // Zeroed, so that whole vectors may be read at the end of a row.
        // SAFETY: the layout has a non-zero size.
        let data = unsafe { alloc_zeroed(layout) };
        match NonNull::new(data) {
            Some(data) => Self { data, layout },
            None => handle_alloc_error(layout),
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the same layout.
        unsafe { dealloc(self.data.as_ptr(), self.layout) }
    }
}

thread_local! {
    static BUFFER: Cell<Option<Buffer>> = const { Cell::new(None) };
    static SHARED: Cell<Option<Buffer>> = const { Cell::new(None) };
}

/// Calls `function` with memory for `len` f32 values, with arbitrary values, aligned to 64 bytes.
///
/// The buffer belongs to the thread and is kept for the next call. A nested call gets one of its own.
#[inline]
pub(crate) fn with_scratch<R>(len: usize, function: impl FnOnce(*mut f32) -> R) -> R {
    with_buffer(&BUFFER, len, function)
}

/// As [`with_scratch`], with memory that the tasks of a run share, each of which may use [`with_scratch`].
#[inline]
pub(crate) fn with_shared_scratch<R>(len: usize, function: impl FnOnce(*mut f32) -> R) -> R {
    with_buffer(&SHARED, len, function)
}

#[inline]
fn with_buffer<R>(
    kept: &'static LocalKey<Cell<Option<Buffer>>>,
    len: usize,
    function: impl FnOnce(*mut f32) -> R,
) -> R {
    let bytes = len.checked_mul(4).expect("scratch size");
    let buffer = match kept.take() {
        Some(buffer) if buffer.layout.size() >= bytes => buffer,
        _ => Buffer::new(bytes),
    };
    let result = function(buffer.data.as_ptr().cast());
    kept.set(Some(buffer));
    result
}
