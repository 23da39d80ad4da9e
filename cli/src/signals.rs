//! Ctrl-C and the other requests to end.
//!
//! Long calls ask [`go_on`] between their steps and stop cleanly. A step may last long, and decoding a photo or reading
//! a file has no steps at all: so when the program is still there [`GRACE`] after the signal, the thread that waits for
//! signals removes the files that are half-written and ends it. Only work that would be lost ([`finish_first`]) is
//! waited for. A second signal ends the program at once in any case.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::OnceLock;
use std::time::Duration;

/// How long a command may take to stop by itself.
const GRACE: Duration = Duration::from_millis(300);

/// The number of the signal that came first; 0 before.
static RECEIVED: AtomicI32 = AtomicI32::new(0);

/// Whether something runs that is waited for.
static FINISHES: AtomicBool = AtomicBool::new(false);

/// Says that the program ends, before it does.
static REPORT: OnceLock<fn()> = OnceLock::new();

/// The number of Ctrl-C's signal.
const INTERRUPT: i32 = 2;

/// The number of the signal that a closed terminal sends.
#[cfg(windows)]
const HANGUP: i32 = 1;

/// The number of the signal that asks to end.
#[cfg(windows)]
const TERMINATE: i32 = 15;

/// Whether the program was asked to end.
pub fn is_interrupted() -> bool {
    RECEIVED.load(Ordering::Relaxed) != 0
}

/// Breaks when the program was asked to end.
pub fn go_on() -> ControlFlow<()> {
    match is_interrupted() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

/// The exit code after a signal: 128 and its number, as shells have it.
pub fn exit_code() -> u8 {
    let number = match RECEIVED.load(Ordering::Relaxed) {
        0 => INTERRUPT,
        number => number,
    };
    128 + number as u8
}

/// What ended the program, in words.
pub fn cause() -> &'static str {
    match RECEIVED.load(Ordering::Relaxed) {
        0 | INTERRUPT => "Ctrl-C",
        1 if cfg!(windows) => "the end of the console",
        1 => "the end of the terminal (SIGHUP)",
        _ if cfg!(windows) => "the end of the session",
        _ => "SIGTERM",
    }
}

/// Waits for the running step at the end of which the work is saved, when it returns; a second signal still ends the
/// program at once.
pub fn finish_first() -> FinishFirst {
    FINISHES.store(true, Ordering::Relaxed);
    FinishFirst
}

/// While it lives, the first signal only asks to stop.
pub struct FinishFirst;

impl Drop for FinishFirst {
    fn drop(&mut self) {
        FINISHES.store(false, Ordering::Relaxed);
    }
}

/// Notes a signal and makes sure that the program ends.
fn received(number: i32) {
    if RECEIVED.swap(number, Ordering::Relaxed) != 0 {
        end();
    }
    if FINISHES.load(Ordering::Relaxed) {
        tell!(
            "\n{}: the running step is finished and the state saved; once more ends the program at once",
            cause()
        );
        return;
    }
    std::thread::spawn(|| {
        std::thread::sleep(GRACE);
        end();
    });
}

/// Removes what is half-written and ends the program.
fn end() -> ! {
    omniid::checkpoint::remove_unfinished();
    // Another thread may hold the lock of an output whose reader is asleep: that must not keep the program.
    let (done, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        if let Some(report) = REPORT.get() {
            report();
        }
        let _ = done.send(());
    });
    let _ = wait.recv_timeout(Duration::from_millis(300));
    std::process::exit(i32::from(exit_code()));
}

/// Starts to listen. Must be called before any other thread starts: they inherit which signals they leave alone.
/// `report` says that the program ends, where no command does.
#[cfg(unix)]
pub fn watch(report: fn()) {
    REPORT.get_or_init(|| report);
    use nix::sys::signal::{SigSet, Signal};
    let mut asked = SigSet::empty();
    asked.add(Signal::SIGINT);
    asked.add(Signal::SIGTERM);
    // `nohup` asks to stay when the terminal goes.
    if !ignores_hangup() {
        asked.add(Signal::SIGHUP);
    }
    let mut blocked = asked;
    // Without the signal a write beyond the permitted size of files is an error like any other.
    blocked.add(Signal::SIGXFSZ);
    let listening = blocked.thread_block().and_then(|()| {
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                while let Ok(signal) = asked.wait() {
                    received(signal as i32);
                }
            })
            .map_err(|_| nix::errno::Errno::EAGAIN)
    });
    if let Err(error) = listening {
        tell!("warning: Ctrl-C may leave temporary files: {error}");
    }
}

/// Whether this process was started with SIGHUP ignored, where the system tells.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

/// Starts to listen. `report` says that the program ends, where no command does.
#[cfg(windows)]
pub fn watch(report: fn()) {
    REPORT.get_or_init(|| report);
    if let Err(error) = console::listen(|event| match event {
        console::Event::Interrupt => received(INTERRUPT),
        console::Event::Close => received(HANGUP),
        console::Event::Shutdown => received(TERMINATE),
    }) {
        tell!("warning: Ctrl-C may leave temporary files: {error}");
    }
}

/// What the console of Windows tells its programs.
#[cfg(windows)]
mod console {
    use std::sync::OnceLock;

    pub enum Event {
        /// Ctrl-C or Ctrl-Break.
        Interrupt,
        /// The window is closed.
        Close,
        /// The user logs off, or the machine stops.
        Shutdown,
    }

    static LISTENER: OnceLock<fn(Event)> = OnceLock::new();

    #[link(name = "kernel32")]
    extern "system" {
        fn SetConsoleCtrlHandler(handler: Option<extern "system" fn(u32) -> i32>, add: i32) -> i32;
    }

    /// Called by the system in a thread of its own. 0 and 1 are CTRL_C_EVENT and CTRL_BREAK_EVENT, 2 is
    /// CTRL_CLOSE_EVENT.
    extern "system" fn handle(event: u32) -> i32 {
        let Some(listener) = LISTENER.get() else { return 0 };
        match event {
            0 | 1 => listener(Event::Interrupt),
            2 => listener(Event::Close),
            _ => listener(Event::Shutdown),
        }
        if event > 1 {
            // The system ends the process when this function returns, at the latest after some seconds.
            std::thread::sleep(std::time::Duration::from_secs(60));
        }
        1
    }

    /// Calls `listener` for each event from now on.
    pub fn listen(listener: fn(Event)) -> std::io::Result<()> {
        LISTENER.get_or_init(|| listener);
        // SAFETY: the handler is a function that lives as long as the program.
        match unsafe { SetConsoleCtrlHandler(Some(handle), 1) } {
            0 => Err(std::io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
}

/// Nothing is known of signals here. `report` is not used.
#[cfg(not(any(unix, windows)))]
pub fn watch(report: fn()) {
    REPORT.get_or_init(|| report);
}
