//! What layers of the residual stream need at every step.

use super::memory::Memory;
use crate::adapter::{Adapter, ResidualLayer};

/// The host's side of an adapter's layers, and working memory for calls on the CPU.
#[derive(Debug)]
pub(crate) struct Residual {
    /// By token set, then by layer of the host's table.
    sets: Vec<Vec<ResidualLayer>>,
    memory: Memory,
}

impl Residual {
    /// That of an adapter; `None` when its layers are inside the host's attention. Shares the weights' memory.
    pub(super) fn of(adapter: &Adapter) -> Option<Self> {
        let sets = adapter.sets().iter().map(|set| {
            let layers = set.layers.iter().map(|layer| layer.residual.clone());
            layers.collect::<Option<Vec<_>>>()
        });
        let sets = sets.collect::<Option<Vec<_>>>().filter(|sets| !sets.is_empty())?;
        Some(Self {
            sets,
            memory: Memory::default(),
        })
    }

    /// The layer's weights, by token set.
    pub(crate) fn layers(&self, layer: usize) -> impl Iterator<Item = &ResidualLayer> {
        self.sets.iter().filter_map(move |set| set.get(layer))
    }

    /// Calls `run` with memory for `len` values, without meaning.
    pub(crate) fn with_memory<R>(&self, len: usize, run: impl FnOnce(&mut [f32]) -> R) -> R {
        self.memory.with(len, run)
    }
}
