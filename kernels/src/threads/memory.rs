//! Memory that is freed and needed again at once.

/// Lets the process keep the memory that it frees, where the allocator is glibc's; elsewhere it does nothing.
///
/// A training step makes and drops the same large tensors as the step before. glibc gives them back to the system, and
/// every new one then costs the clearing of its pages: a tenth of a step. Call it before other threads run; what is
/// kept is at most what the process needed at once.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
    {
        use std::ffi::c_int;
        extern "C" {
            fn mallopt(parameter: c_int, value: c_int) -> c_int;
        }
        // From glibc's malloc.h.
        const TRIM_THRESHOLD: c_int = -1;
        const TOP_PAD: c_int = -2;
        const MMAP_THRESHOLD: c_int = -3;
        const ARENA_MAX: c_int = -8;
        // SAFETY: glibc has this function; it takes any values and says 0 for those that it does not know.
        unsafe {
            mallopt(ARENA_MAX, 1);
            mallopt(TRIM_THRESHOLD, c_int::MAX);
            mallopt(TOP_PAD, 64 << 20);
            if mallopt(MMAP_THRESHOLD, 1 << 30) == 0 {
                mallopt(MMAP_THRESHOLD, 32 << 20);
            }
        }
    }
}
