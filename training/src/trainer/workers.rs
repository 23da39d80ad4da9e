//! Parts of a step side by side.
//!
//! The matrix products of a small model are too small to share among processors without losing time, and much of a
//! backward pass runs on one thread. Two halves of a batch, each on a processor of its own, lose none.

use omniid::{Error, Result};
use omniid_kernels::ThreadPool as KernelPool;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Stack of a thread that computes a part. candle follows the graph of a loss by recursion, a frame per operation, and
/// a new thread's usual 2 MiB are less than the main thread has.
const STACK: usize = 64 << 20;

/// Thread pools for the parts of a step, made when a step first has several.
#[derive(Default)]
pub(crate) struct Workers {
    pools: Vec<ThreadPool>,
}

impl Workers {
    /// What `compute` makes of each of `parts`, in their order, computed at the same time. rayon's threads are divided
    /// among the parts. Where that leaves one for each, the kernels stay on it too; otherwise the parts share the
    /// kernels' workers. The number of threads decides how long it takes, not what comes out.
    ///
    /// # Errors
    /// The first error of `compute` in the order of the parts; [`ErrorKind::Internal`](omniid::ErrorKind::Internal)
    /// when no threads can be had.
    pub fn each<P: Sync, R: Send>(&mut self, parts: &[P], compute: impl Fn(&P) -> Result<R> + Sync) -> Result<Vec<R>> {
        if parts.len() < 2 {
            return parts.iter().map(compute).collect();
        }
        let refused =
            |error: &dyn std::fmt::Display| Error::internal(format!("threads for the parts of a step: {error}"));
        let threads = (rayon::current_num_threads() / parts.len()).max(1);
        while self.pools.len() < parts.len() {
            let pool = ThreadPoolBuilder::new()
                .num_threads(threads)
                .stack_size(STACK)
                .build()
                .map_err(|error| refused(&error))?;
            self.pools.push(pool);
        }
        let compute = |part: &P| match threads {
            1 => KernelPool::in_place(|| compute(part)),
            _ => compute(part),
        };
        let compute = &compute;
        std::thread::scope(|scope| {
            let running = parts
                .iter()
                .zip(&self.pools)
                .map(|(part, pool)| {
                    std::thread::Builder::new()
                        .spawn_scoped(scope, move || pool.install(|| compute(part)))
                        .map_err(|error| refused(&error))
                })
                .collect::<Vec<_>>();
            running
                .into_iter()
                .map(|thread| match thread?.join() {
                    Ok(result) => result,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
                .collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn parts_run_at_the_same_time_and_come_back_in_order() -> Result<()> {
        let mut workers = Workers::default();
        for _ in 0..2 {
            // Nobody passes the barrier unless all three are there.
            let barrier = Barrier::new(3);
            let found = workers.each(&[5, 6, 7], |part| {
                barrier.wait();
                Ok(part * part)
            })?;
            assert_eq!(found, [25, 36, 49]);
        }
        assert_eq!(workers.each(&[4], |part| Ok(part + 1))?, [5]);
        assert!(workers.each(&[0; 0], |part| Ok(*part))?.is_empty());
        Ok(())
    }

    #[test]
    fn the_first_error_is_returned() {
        let found = Workers::default().each(&[1, 2, 3], |part| match part {
            1 => Ok(()),
            _ => Err(Error::invalid(format!("part {part}"))),
        });
        assert_eq!(found.unwrap_err().message(), "part 2");
    }
}
