//! The worker pool under every kernel.
//!
//! A run is a number of tasks and one function. The calling thread takes part, so a pool of one has no
//! threads at all. Jobs live on the callers' stacks and are listed in a table of fixed capacity: a run
//! allocates nothing.

use super::environment::threads_asked_for;
use super::scoped::scoped;
use std::any::Any;
use std::cell::Cell;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

/// Runs that may be open at once; further callers work alone until a slot is free.
const SLOTS: usize = 64;

/// How often a worker looks for a new job before it sleeps. Layers follow each other within microseconds,
/// and waking a sleeping thread costs more than that.
const SPINS: usize = 2_000;

/// How often a caller looks whether the last workers are done before it sleeps: what is left is a part of one task.
const LAST_SPINS: usize = 4 * SPINS;

thread_local! {
    /// Set while this thread executes a task: a run from inside a task is executed in place.
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
}

/// One call of [`ThreadPool::run`], on the caller's stack.
struct Job {
    function: *const (dyn Fn(usize) + Sync),
    tasks: usize,
    next: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// A listed job and the number of workers inside it.
#[derive(Clone, Copy)]
struct Slot {
    job: *const Job,
    helpers: usize,
}

struct State {
    slots: [Option<Slot>; SLOTS],
    open: usize,
    stop: bool,
}

// SAFETY: the pointers in the slots are only followed by workers that are counted in `helpers`, and the
// caller of `run` does not return before that count is zero.
unsafe impl Send for State {}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    done: Condvar,
    /// Changes with every listed job; workers watch it while they spin.
    generation: AtomicUsize,
    /// Changes with every worker that leaves a job; callers watch it while they spin.
    left: AtomicUsize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held, so a poisoned lock still guards a consistent state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Persistent worker threads that share the tasks of a run with the calling thread.
///
/// Any number of threads may call [`run`](Self::run) at the same time.
pub struct ThreadPool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThreadPool").field("threads", &self.threads()).finish()
    }
}

impl ThreadPool {
    /// A pool in which `threads` threads work on a run, the calling one included. Zero counts as one.
    ///
    /// A thread that the operating system refuses to start is left out.
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                slots: [None; SLOTS],
                open: 0,
                stop: false,
            }),
            work: Condvar::new(),
            done: Condvar::new(),
            generation: AtomicUsize::new(0),
            left: AtomicUsize::new(0),
        });
        let workers = (1..threads.max(1))
            .filter_map(|index| {
                let shared = Arc::clone(&shared);
                let builder = std::thread::Builder::new().name(format!("omniid-{index}"));
                builder.spawn(move || work(&shared)).ok()
            })
            .collect();
        Self { shared, workers }
    }

    /// The pool of the process: one thread per available processor, or as many as the environment variable
    /// `OMNIID_THREADS` says when it is first used ([`threads_asked_for`]).
    pub fn global() -> &'static Self {
        static GLOBAL: OnceLock<ThreadPool> = OnceLock::new();
        GLOBAL.get_or_init(|| {
            // Whoever opens an engine was told if it is no number.
            let threads = threads_asked_for().ok().flatten();
            let available = || std::thread::available_parallelism().map_or(1, |n| n.get());
            Self::new(threads.unwrap_or_else(available))
        })
    }

    /// Threads that work on a run, the calling one included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Threads that a run started by this thread gets: one from inside a task, where all happens in place.
    #[cfg(feature = "gradients")]
    pub(crate) fn available(&self) -> usize {
        match IN_TASK.get() {
            true => 1,
            false => self.threads(),
        }
    }

    /// Cuts `output` into parts of `size` elements and calls `fill(number, part)` for each, on all threads.
    pub fn fill_parts<T: Send>(&self, output: &mut [T], size: usize, fill: &(dyn Fn(usize, &mut [T]) + Sync)) {
        // Each lock is taken once: it only proves that no two tasks share a part.
        let parts: Vec<Mutex<&mut [T]>> = output.chunks_mut(size.max(1)).map(Mutex::new).collect();
        self.run(parts.len(), &|number| {
            let mut part = parts[number].lock().unwrap_or_else(PoisonError::into_inner);
            fill(number, &mut part);
        });
    }

    /// Calls `function` once with each index below `tasks`, on all threads, and returns when all calls ended.
    ///
    /// From inside a task the calls happen in place, one after another. When calls panic, the others are
    /// still made, and the first panic goes on in the calling thread afterwards.
    pub fn run(&self, tasks: usize, function: &(dyn Fn(usize) + Sync)) {
        if tasks <= 1 || self.workers.is_empty() || IN_TASK.get() {
            return run_in_place(tasks, function);
        }
        // SAFETY: only the lifetime is dropped. The job is taken off the table below, and no worker is inside
        // it, before this function returns and the borrow ends.
        let function = unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const (dyn Fn(usize) + Sync + 'static)>(function)
        };
        let job = Job {
            function,
            tasks,
            next: AtomicUsize::new(0),
            panic: Mutex::new(None),
        };
        let slot = self.list(&job);
        job.take_part();
        if let Some(slot) = slot {
            self.unlist(slot);
        }
        let panic = job.panic.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }

    /// Calls `function`; runs that it starts on this thread are executed in place, whichever pool they are of. For
    /// callers that divide their work among threads themselves, so that their threads do not wait for each other's
    /// workers.
    pub fn in_place<R>(function: impl FnOnce() -> R) -> R {
        scoped(&IN_TASK, true, function)
    }

    fn list(&self, job: &Job) -> Option<usize> {
        let mut state = self.shared.lock();
        let index = state.slots.iter().position(Option::is_none)?;
        state.slots[index] = Some(Slot { job, helpers: 0 });
        state.open += 1;
        self.shared.generation.fetch_add(1, Ordering::Release);
        drop(state);
        if job.tasks > 2 {
            self.shared.work.notify_all();
        } else {
            self.shared.work.notify_one();
        }
        Some(index)
    }

    fn unlist(&self, index: usize) {
        let has_helpers = |state: &State| state.slots[index].is_some_and(|slot| slot.helpers > 0);
        let mut state = self.shared.lock();
        let mut spins = LAST_SPINS;
        // The job has no task left, so no further worker enters it.
        while has_helpers(&state) {
            if spins == 0 {
                state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            // Counted under the lock, so a change that comes later is seen.
            let seen = self.shared.left.load(Ordering::Acquire);
            drop(state);
            while spins > 0 && self.shared.left.load(Ordering::Acquire) == seen {
                std::hint::spin_loop();
                spins -= 1;
            }
            state = self.shared.lock();
        }
        state.slots[index] = None;
        state.open -= 1;
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.generation.fetch_add(1, Ordering::Release);
        self.shared.work.notify_all();
        for worker in self.workers.drain(..) {
            // A worker cannot panic: every task is caught.
            let _ = worker.join();
        }
    }
}

impl Job {
    /// Takes tasks until none is left.
    fn take_part(&self) {
        // SAFETY: `run` keeps the function alive until all who take part have left.
        let function = unsafe { &*self.function };
        ThreadPool::in_place(|| loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.tasks {
                break;
            }
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| function(index))) {
                let mut first = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert(payload);
            }
        });
    }
}

/// All tasks on this thread, with the same behaviour on panics as the shared run.
fn run_in_place(tasks: usize, function: &(dyn Fn(usize) + Sync)) {
    let mut panic = None;
    ThreadPool::in_place(|| {
        for index in 0..tasks {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| function(index))) {
                panic.get_or_insert(payload);
            }
        }
    });
    if let Some(payload) = panic {
        resume_unwind(payload);
    }
}

/// The life of a worker: look for a job with tasks left, help, look again; spin a little, then sleep.
fn work(shared: &Shared) {
    let mut state = shared.lock();
    loop {
        if state.stop {
            return;
        }
        let seen = shared.generation.load(Ordering::Acquire);
        if let Some(index) = find(&state) {
            let Some(slot) = state.slots[index].as_mut() else {
                continue;
            };
            slot.helpers += 1;
            let job = slot.job;
            drop(state);
            // SAFETY: this worker is counted as a helper, so the caller is still inside `run`.
            unsafe { &*job }.take_part();
            state = shared.lock();
            if let Some(slot) = state.slots[index].as_mut() {
                slot.helpers -= 1;
                shared.left.fetch_add(1, Ordering::Release);
                if slot.helpers == 0 {
                    shared.done.notify_all();
                }
            }
            continue;
        }
        drop(state);
        for _ in 0..SPINS {
            if shared.generation.load(Ordering::Acquire) != seen {
                break;
            }
            std::hint::spin_loop();
        }
        state = shared.lock();
        if shared.generation.load(Ordering::Acquire) == seen && !state.stop {
            state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A listed job with tasks left; the one with the fewest helpers, so that callers share the workers.
fn find(state: &State) -> Option<usize> {
    if state.open == 0 {
        return None;
    }
    let has_tasks = |slot: &Slot| {
        // SAFETY: a listed job is alive, because it is taken off the table under the lock held here.
        let job = unsafe { &*slot.job };
        job.next.load(Ordering::Relaxed) < job.tasks
    };
    let listed = state
        .slots
        .iter()
        .enumerate()
        .filter_map(|(index, slot)| slot.as_ref().map(|s| (index, s)));
    listed
        .filter(|(_, slot)| has_tasks(slot))
        .min_by_key(|(_, slot)| slot.helpers)
        .map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    const MANY: usize = if cfg!(miri) { 20 } else { 2_000 };

    fn check_each_once(pool: &ThreadPool, tasks: usize) {
        let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
        pool.run(tasks, &|index| {
            counts[index].fetch_add(1, Ordering::Relaxed);
        });
        assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
    }

    #[test]
    fn every_task_runs_once() {
        for threads in [0, 1, 2, 5] {
            let pool = ThreadPool::new(threads);
            assert_eq!(pool.threads(), threads.max(1));
            for tasks in [0, 1, 2, 3, 17, 100] {
                check_each_once(&pool, tasks);
            }
        }
    }

    #[test]
    fn many_callers_at_once() {
        let pool = ThreadPool::new(3);
        let callers = if cfg!(miri) { 4 } else { SLOTS + 16 };
        std::thread::scope(|scope| {
            for _ in 0..callers {
                scope.spawn(|| {
                    for tasks in 0..MANY / 50 {
                        check_each_once(&pool, tasks);
                    }
                });
            }
        });
    }

    #[test]
    fn results_written_by_workers_are_seen() {
        let pool = ThreadPool::new(4);
        for round in 0..MANY {
            let sum = AtomicUsize::new(0);
            pool.run(8, &|index| {
                sum.fetch_add(index * round, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 28 * round);
        }
    }

    #[test]
    fn a_run_inside_a_task_stays_on_its_thread() {
        let pool = ThreadPool::new(3);
        let calls = AtomicUsize::new(0);
        let moved = AtomicBool::new(false);
        pool.run(6, &|_| {
            let outer = std::thread::current().id();
            pool.run(5, &|_| {
                calls.fetch_add(1, Ordering::Relaxed);
                if std::thread::current().id() != outer {
                    moved.store(true, Ordering::Relaxed);
                }
            });
        });
        assert_eq!(calls.into_inner(), 30);
        assert!(!moved.into_inner());
    }

    #[test]
    fn in_place_keeps_runs_on_the_calling_thread_and_ends_also_by_a_panic() {
        let pool = ThreadPool::new(3);
        let here = std::thread::current().id();
        let strangers = AtomicUsize::new(0);
        let count = |_| {
            if std::thread::current().id() != here {
                strangers.fetch_add(1, Ordering::Relaxed);
            }
        };
        ThreadPool::in_place(|| {
            pool.run(500, &count);
            ThreadPool::in_place(|| pool.run(500, &count));
            pool.run(500, &count);
            assert!(IN_TASK.get());
        });
        assert_eq!(strangers.into_inner(), 0);
        let panicked = catch_unwind(|| ThreadPool::in_place(|| resume_unwind(Box::new("unwind"))));
        assert!(panicked.is_err());
        assert!(!IN_TASK.get());
    }

    #[test]
    fn a_panic_reaches_the_caller_after_all_tasks_and_the_pool_goes_on() {
        for threads in [1, 3] {
            let pool = ThreadPool::new(threads);
            let calls = AtomicUsize::new(0);
            let result = catch_unwind(AssertUnwindSafe(|| {
                pool.run(9, &|index| {
                    calls.fetch_add(1, Ordering::Relaxed);
                    if index % 4 == 2 {
                        resume_unwind(Box::new("task failed"));
                    }
                });
            }));
            let payload = result.expect_err("the panic is passed on");
            assert_eq!(payload.downcast_ref::<&str>(), Some(&"task failed"));
            assert_eq!(calls.into_inner(), 9);
            check_each_once(&pool, 50);
        }
    }

    #[test]
    fn the_global_pool_is_one() {
        assert!(std::ptr::eq(ThreadPool::global(), ThreadPool::global()));
        assert!(ThreadPool::global().threads() >= 1);
    }
}
