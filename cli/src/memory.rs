//! What this process took of the machine.

/// The most bytes of memory that this process held at once; `None` where the system does not tell.
pub fn peak() -> Option<u64> {
    #[cfg(windows)]
    return windows::peak_working_set();
    #[cfg(target_os = "linux")]
    return peak_in(&std::fs::read_to_string("/proc/self/status").ok()?);
    #[cfg(not(any(windows, target_os = "linux")))]
    None
}

/// The peak in a text like Linux's `/proc/self/status`, which counts in kibibytes.
#[cfg(any(test, target_os = "linux"))]
fn peak_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024 * number)
}

#[cfg(windows)]
mod windows {
    use std::ffi::c_void;

    /// `PROCESS_MEMORY_COUNTERS` of psapi.h.
    #[repr(C)]
    #[derive(Default)]
    struct Counters {
        size: u32,
        page_fault_count: u32,
        peak_working_set_size: usize,
        /// Working set, paged and non-paged pool with their peaks, page file and its peak.
        others: [usize; 7],
    }

    #[link(name = "kernel32")]
    extern "system" {
        fn GetCurrentProcess() -> *mut c_void;
        fn K32GetProcessMemoryInfo(process: *mut c_void, counters: *mut Counters, size: u32) -> i32;
    }

    /// The largest working set so far, in bytes.
    pub fn peak_working_set() -> Option<u64> {
        let size = size_of::<Counters>() as u32;
        let mut counters = Counters {
            size,
            ..Counters::default()
        };
        // SAFETY: the handle of this process needs not be closed; the struct is the system's, of the size that is told.
        let done = unsafe { K32GetProcessMemoryInfo(GetCurrentProcess(), &mut counters, size) };
        (done != 0).then_some(counters.peak_working_set_size as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_in_bytes() {
        assert_eq!(peak_in("Name:\tx\nVmPeak:\t 9 kB\nVmHWM:\t   2048 kB\n"), Some(2 << 20));
        assert_eq!(peak_in("Name:\tx\n"), None);
    }

    #[cfg(any(windows, target_os = "linux"))]
    #[test]
    fn the_peak_counts_what_was_used() {
        let before = peak().unwrap();
        const BYTES: usize = 256 << 20;
        let used = std::hint::black_box(vec![1u8; BYTES]);
        let after = peak().unwrap();
        assert!(before > 1 << 20 && after >= BYTES as u64, "{before}, {after}");
        assert!(after < 64 << 30 && used.len() == BYTES, "{after}");
    }
}
