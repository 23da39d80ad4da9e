//! Working memory of calls on the CPU.

use std::sync::{Mutex, PoisonError};

/// Memory of finished calls, kept for later ones: as much as ran at once.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    spare: Mutex<Vec<Vec<f32>>>,
}

impl Memory {
    /// Calls `run` with memory for `len` values, without meaning.
    pub(crate) fn with<R>(&self, len: usize, run: impl FnOnce(&mut [f32]) -> R) -> R {
        // Memory has no state that a panic of another thread could leave half-written.
        let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let mut memory = spare().pop().unwrap_or_default();
        memory.resize(len.max(memory.len()), 0.0);
        let result = run(&mut memory[..len]);
        spare().push(memory);
        result
    }
}
