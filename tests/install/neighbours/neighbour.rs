//! Another Rust library in the same process, with threads, thread-locals and panics of its own.

use std::cell::Cell;

thread_local! {
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

/// Panics in another thread and in this one, catches both, and counts: 2 at the first call of a thread, then 4, …
#[no_mangle]
pub extern "C" fn neighbour_work() -> u32 {
    std::panic::set_hook(Box::new(|_| {}));
    let other = std::thread::spawn(|| panic!("in a thread")).join().is_err();
    let here = std::panic::catch_unwind(|| panic!("here")).is_err();
    CALLS.with(|calls| calls.set(calls.get() + u32::from(other) + u32::from(here)));
    CALLS.with(Cell::get)
}
