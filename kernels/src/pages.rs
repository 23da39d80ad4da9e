//! Memory of packed weights: pages of its own, large ones where the system has them.
//!
//! A model's weights are read once for every photo. Three gigabytes lie in 720,000 pages of 4 KiB, far more than a
//! processor remembers the places of, and in 1,400 of 2 MiB. Pages of its own also keep what lives as long as the model
//! out of the allocator's heap: between matrices that stay, the gaps of those that were only read would stay, too.

use half::f16;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// Numbers of packed weights.
///
/// # Safety
/// Zero bytes are the default value.
pub(crate) unsafe trait Number: Copy + Default + Send + Sync {}

// SAFETY: zero bytes are the number zero.
unsafe impl Number for f32 {}
// SAFETY: as above.
unsafe impl Number for f16 {}
// SAFETY: as above.
unsafe impl Number for u32 {}

/// A slice of numbers in memory of its own.
pub(crate) struct Pages<T>(Memory<T>);

enum Memory<T> {
    #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
    Mapped(mapped::Mapped<T>),
    Heap(Vec<T>),
}

impl<T: Number> Pages<T> {
    /// So many zeros. Few of them lie in the heap, as all do where the system gives no pages.
    pub(crate) fn zeroed(len: usize) -> Self {
        #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
        if let Some(pages) = mapped::Mapped::new(len) {
            return Self(Memory::Mapped(pages));
        }
        Self(Memory::Heap(vec![T::default(); len]))
    }
}

impl<T> From<Vec<T>> for Pages<T> {
    fn from(values: Vec<T>) -> Self {
        Self(Memory::Heap(values))
    }
}

impl<T> Deref for Pages<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
            Memory::Mapped(pages) => pages.values(),
            Memory::Heap(values) => values,
        }
    }
}

impl<T> DerefMut for Pages<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.0 {
            #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
            Memory::Mapped(pages) => pages.values_mut(),
            Memory::Heap(values) => values,
        }
    }
}

impl<T: Number> Clone for Pages<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::zeroed(self.len());
        copy.copy_from_slice(self);
        copy
    }
}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pages({} numbers)", self.len())
    }
}

/// Pages that the system maps.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
mod mapped {
    use super::Number;
    use std::ffi::{c_int, c_void};
    use std::ptr::{self, NonNull};

    extern "C" {
        fn mmap(address: *mut c_void, bytes: usize, access: c_int, kind: c_int, file: c_int, at: i64) -> *mut c_void;
        fn munmap(address: *mut c_void, bytes: usize) -> c_int;
        fn madvise(address: *mut c_void, bytes: usize, advice: c_int) -> c_int;
    }

    // From Linux' mman.h for these processors.
    const READ_AND_WRITE: c_int = 1 | 2;
    const PRIVATE_AND_ANONYMOUS: c_int = 2 | 0x20;
    const HUGE_PAGES: c_int = 14;

    /// A large page.
    const LARGE: usize = 2 << 20;

    /// A multiple of every size that small pages have on these processors.
    const SMALL: usize = 64 << 10;

    /// A mapping that begins at a large page and is not longer than its numbers need.
    pub(super) struct Mapped<T> {
        start: NonNull<T>,
        len: usize,
        bytes: usize,
    }

    // SAFETY: it owns its memory, as a vector does.
    unsafe impl<T: Send> Send for Mapped<T> {}
    // SAFETY: as above.
    unsafe impl<T: Sync> Sync for Mapped<T> {}

    impl<T: Number> Mapped<T> {
        /// So many zeros; `None` for less than a large page, and where the system refuses.
        pub(super) fn new(len: usize) -> Option<Self> {
            let bytes = len.checked_mul(size_of::<T>()).filter(|bytes| *bytes >= LARGE)?;
            let bytes = bytes.checked_next_multiple_of(SMALL)?;
            let whole = bytes.checked_add(LARGE)?;
            // SAFETY: a new mapping of which nobody knows; the parts that are given back lie inside of it and are whole
            // pages. Advice changes no contents, and a system without large pages refuses it.
            unsafe {
                let all = mmap(ptr::null_mut(), whole, READ_AND_WRITE, PRIVATE_AND_ANONYMOUS, -1, 0);
                if all.addr() == usize::MAX {
                    return None;
                }
                let before = all.addr().next_multiple_of(LARGE) - all.addr();
                let start = all.byte_add(before);
                if before > 0 {
                    munmap(all, before);
                }
                munmap(start.byte_add(bytes), LARGE - before);
                madvise(start, bytes, HUGE_PAGES);
                Some(Self {
                    start: NonNull::new(start.cast())?,
                    len,
                    bytes,
                })
            }
        }
    }

    impl<T> Mapped<T> {
        pub(super) fn values(&self) -> &[T] {
            // SAFETY: the mapping holds that many numbers, which were zero or written.
            unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
        }

        pub(super) fn values_mut(&mut self) -> &mut [T] {
            // SAFETY: as above, and borrowed for writing.
            unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
        }
    }

    impl<T> Drop for Mapped<T> {
        fn drop(&mut self) {
            // SAFETY: the mapping is whole and nobody uses it any more.
            unsafe { munmap(self.start.as_ptr().cast(), self.bytes) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_numbers_are_zero_and_keep_what_is_written() {
        for len in [0, 1, 1000, (1 << 19) - 1, 1 << 19, (1 << 20) + 12_345] {
            let mut pages = Pages::<u32>::zeroed(len);
            assert_eq!(pages.len(), len);
            assert!(pages.iter().all(|&value| value == 0));
            for (place, value) in pages.iter_mut().enumerate() {
                *value = place as u32;
            }
            let copy = pages.clone();
            drop(pages);
            assert!(copy.iter().enumerate().all(|(place, &value)| value == place as u32));
        }
    }

    #[test]
    #[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
    fn what_fills_large_pages_begins_at_one() {
        for len in [1 << 19, 1_638_400] {
            assert!(Pages::<f32>::zeroed(len).as_ptr().addr().is_multiple_of(2 << 20));
        }
    }
}
