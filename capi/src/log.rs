//! Log messages. The library prints nothing; without a callback messages are dropped.

use crate::status::{c_text, omniid_status};
use omniid::{Error, Result};
use omniid_capi_export::export;
use std::cell::Cell;
use std::ffi::{c_char, c_void};
use std::sync::{OnceLock, PoisonError, RwLock};

/// A failure.
pub const OMNIID_LOG_LEVEL_ERROR: i32 = 1;
/// Something was skipped or looks wrong; the call continues.
pub const OMNIID_LOG_LEVEL_WARN: i32 = 2;
/// Information for users.
pub const OMNIID_LOG_LEVEL_INFO: i32 = 3;
/// Information for developers of a host.
pub const OMNIID_LOG_LEVEL_DEBUG: i32 = 4;
/// Everything.
pub const OMNIID_LOG_LEVEL_TRACE: i32 = 5;

/// Receives log messages, on the threads on which they arise, possibly several at once.
///
/// `target` names the part of the library. Both strings are UTF-8 and valid during the call only. The callback must
/// not unwind. Messages that arise inside it are dropped.
pub type omniid_log_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, level: i32, target: *const c_char, message: *const c_char)>;

type Callback = unsafe extern "C" fn(*mut c_void, i32, *const c_char, *const c_char);

/// An installed callback.
struct Sink {
    callback: Callback,
    user_data: *mut c_void,
    level: log::LevelFilter,
}

// SAFETY: the pointer is never dereferenced here; the caller of `omniid_log_set` promises that the callback may be
// called with it from any thread.
unsafe impl Send for Sink {}
// SAFETY: as above.
unsafe impl Sync for Sink {}

/// Where messages go. Holding the read lock during a call makes removal wait for calls in flight.
static SINK: RwLock<Option<Sink>> = RwLock::new(None);
static INSTALLED: OnceLock<bool> = OnceLock::new();

thread_local! {
    /// True while this thread is inside the callback: a second read lock could wait for a waiting writer forever.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

struct Forwarder;

impl log::Log for Forwarder {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("omniid") && metadata.level() <= log::max_level()
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) || INSIDE.get() {
            return;
        }
        let sink = SINK.read().unwrap_or_else(PoisonError::into_inner);
        let Some(sink) = sink.as_ref().filter(|sink| record.level() <= sink.level) else {
            return;
        };
        let (target, message) = (c_text(record.target()), c_text(&record.args().to_string()));
        INSIDE.set(true);
        // SAFETY: the caller of `omniid_log_set` promised a function of this type that may be called from any
        // thread until it is removed, and removal waits for the lock held here.
        unsafe { (sink.callback)(sink.user_data, record.level() as i32, target.as_ptr(), message.as_ptr()) };
        INSIDE.set(false);
    }

    fn flush(&self) {}
}

/// Installs the process's log callback, or removes it when `callback` is NULL.
///
/// `max_level` is the most detailed level wanted, `OMNIID_LOG_LEVEL_ERROR` to `OMNIID_LOG_LEVEL_TRACE`; it is ignored
/// on removal. Returns after all calls of the previous callback have ended, so that its `user_data` may be freed.
///
/// Fails with `OMNIID_STATUS_INVALID_ARGUMENT` for an unknown level or when called from inside the callback, and with
/// `OMNIID_STATUS_UNSUPPORTED` in a Rust program that has installed a logger of its own.
///
/// # Safety
/// `callback` must be callable with `user_data` from any thread until it is replaced or removed.
#[export]
pub unsafe extern "C" fn omniid_log_set(
    callback: omniid_log_fn,
    user_data: *mut c_void,
    max_level: i32,
) -> omniid_status {
    if INSIDE.get() {
        return Err(Error::invalid("omniid_log_set: called from inside the log callback"));
    }
    let sink = match callback {
        None => None,
        Some(callback) => Some(Sink {
            callback,
            user_data,
            level: level(max_level)?,
        }),
    };
    if sink.is_some() && !*INSTALLED.get_or_init(|| log::set_logger(&Forwarder).is_ok()) {
        return Err(Error::unsupported(
            "omniid_log_set: this program has a logger of its own",
        ));
    }
    let mut slot = SINK.write().unwrap_or_else(PoisonError::into_inner);
    if INSTALLED.get() == Some(&true) {
        log::set_max_level(sink.as_ref().map_or(log::LevelFilter::Off, |sink| sink.level));
    }
    *slot = sink;
    Ok(())
}

fn level(number: i32) -> Result<log::LevelFilter> {
    Ok(match number {
        OMNIID_LOG_LEVEL_ERROR => log::LevelFilter::Error,
        OMNIID_LOG_LEVEL_WARN => log::LevelFilter::Warn,
        OMNIID_LOG_LEVEL_INFO => log::LevelFilter::Info,
        OMNIID_LOG_LEVEL_DEBUG => log::LevelFilter::Debug,
        OMNIID_LOG_LEVEL_TRACE => log::LevelFilter::Trace,
        other => {
            return Err(Error::invalid(format!(
                "omniid_log_set: level {other}, expected 1 (error) to 5 (trace)"
            )))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::*;
    use std::ffi::CStr;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::Mutex;
    use std::time::Duration;

    #[derive(Default)]
    struct Seen {
        messages: Mutex<Vec<(i32, String)>>,
        slow: AtomicBool,
        entered: AtomicBool,
        left: AtomicBool,
        nested_status: Mutex<Option<i32>>,
    }

    unsafe extern "C" fn collect(user_data: *mut c_void, level: i32, _: *const c_char, message: *const c_char) {
        // SAFETY: the tests pass a `Seen` that outlives the callback, and the library passes NUL-terminated text.
        let (seen, text) = unsafe { (&*user_data.cast::<Seen>(), CStr::from_ptr(message)) };
        let text = text.to_str().unwrap();
        if !text.starts_with("capi log test") {
            return;
        }
        // SAFETY: removal needs no pointers.
        *seen.nested_status.lock().unwrap() = Some(unsafe { omniid_log_set(None, std::ptr::null_mut(), 0) });
        log::error!(target: "omniid::test", "capi log test: nested");
        seen.entered.store(true, Ordering::SeqCst);
        if seen.slow.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(200));
        }
        seen.messages.lock().unwrap().push((level, text.to_string()));
        seen.left.store(true, Ordering::SeqCst);
    }

    /// One test, because the callback belongs to the whole process.
    #[test]
    fn callback_lifecycle() {
        let seen = Seen::default();
        let data = (&raw const seen).cast_mut().cast();
        // SAFETY: `seen` outlives the callback, which is removed below.
        unsafe {
            assert_eq!(omniid_log_set(Some(collect), data, 0), OMNIID_STATUS_INVALID_ARGUMENT);
            assert_eq!(
                omniid_log_set(Some(collect), data, OMNIID_LOG_LEVEL_WARN),
                OMNIID_STATUS_OK
            );
        }
        log::warn!(target: "omniid::test", "capi log test: seen");
        log::info!(target: "omniid::test", "capi log test: too detailed");
        log::warn!(target: "elsewhere", "capi log test: foreign");
        assert_eq!(
            *seen.messages.lock().unwrap(),
            [(OMNIID_LOG_LEVEL_WARN, "capi log test: seen".to_string())]
        );
        assert_eq!(
            *seen.nested_status.lock().unwrap(),
            Some(OMNIID_STATUS_INVALID_ARGUMENT)
        );

        seen.slow.store(true, Ordering::SeqCst);
        seen.entered.store(false, Ordering::SeqCst);
        seen.left.store(false, Ordering::SeqCst);
        std::thread::scope(|scope| {
            scope.spawn(|| log::error!(target: "omniid::test", "capi log test: slow"));
            while !seen.entered.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            // SAFETY: removal needs no pointers.
            assert_eq!(
                unsafe { omniid_log_set(None, std::ptr::null_mut(), 0) },
                OMNIID_STATUS_OK
            );
            assert!(
                seen.left.load(Ordering::SeqCst),
                "removal returned while a call was in flight"
            );
        });
        log::error!(target: "omniid::test", "capi log test: after removal");
        assert_eq!(seen.messages.lock().unwrap().len(), 2);
    }
}
