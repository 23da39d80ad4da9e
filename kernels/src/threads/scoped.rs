//! Values of a thread that hold for the length of a call.

use std::cell::Cell;
use std::thread::LocalKey;

/// Calls `function` while `key` has `value` on this thread. Afterwards, also after a panic, it has its old value again.
pub(crate) fn scoped<T: Copy, R>(key: &'static LocalKey<Cell<T>>, value: T, function: impl FnOnce() -> R) -> R {
    struct Restore<T: Copy + 'static>(&'static LocalKey<Cell<T>>, T);
    impl<T: Copy> Drop for Restore<T> {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    let _restore = Restore(key, key.replace(value));
    function()
}
