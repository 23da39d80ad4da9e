//! Handles of the C ABI that are freed when their last user is done with them.

use crate::draft::number;
use crate::model;
use arbitrary::Unstructured;
use omniid_capi::*;
use std::ptr::{null, null_mut};
use std::sync::{Arc, OnceLock};

/// One handle.
pub struct Handle<T> {
    raw: *mut T,
    free: unsafe extern "C" fn(*mut T),
}

// SAFETY: the header promises that handles may be used by any number of threads and freed on any of them.
unsafe impl<T> Send for Handle<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Handle<T> {}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        // SAFETY: this was the last user.
        unsafe { (self.free)(self.raw) }
    }
}

/// Handles of one type that a thread knows.
pub struct Handles<T>(Vec<Arc<Handle<T>>>);

impl<T> Clone for Handles<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Handles<T> {
    fn new() -> Self {
        Self(Vec::new())
    }

    /// Keeps a handle; the status of the call that made it says whether there is one.
    pub fn keep(&mut self, made: bool, raw: *mut T, free: unsafe extern "C" fn(*mut T)) {
        assert_eq!(made, !raw.is_null(), "a handle does not belong to a failed call");
        if made && self.0.len() < 6 {
            self.0.push(Arc::new(Handle { raw, free }));
        } else {
            // SAFETY: just made, or NULL.
            unsafe { free(raw) };
        }
    }

    /// One of the handles; NULL when there is none, and now and then.
    pub fn any(&self, input: &mut Unstructured<'_>) -> *mut T {
        let choice = number(input, 0..=63);
        match self.0.get(choice % self.0.len().max(1)) {
            Some(handle) if choice != 63 => handle.raw,
            _ => null_mut(),
        }
    }

    fn forget(&mut self, input: &mut Unstructured<'_>) {
        if !self.0.is_empty() {
            let index = number(input, 0..=self.0.len() - 1);
            self.0.swap_remove(index);
        }
    }
}

/// Everything that a thread has.
#[derive(Clone)]
pub struct World {
    pub engines: Handles<omniid_engine>,
    pub identities: Handles<omniid_identity>,
    pub conditionings: Handles<omniid_conditioning>,
    pub graphs: Handles<omniid_graph>,
    pub reports: Handles<omniid_report>,
    pub tensors: Handles<omniid_managed_tensor>,
}

/// Bytes of an identity of the first engine.
pub fn identity_bytes() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let [tokens, width] = model::TOKENS;
        let values = (0..tokens * width).map(|i| (i as f32 * 0.3).sin()).collect();
        let identity = model::identity_of(model::engine(), model::TOKENS, values).expect("a sound identity");
        identity.to_bytes(omniid::Precision::F32).expect("a sound identity")
    })
}

fn engine_of(checkpoint: &'static [u8]) -> Arc<Handle<omniid_engine>> {
    let mut raw = null_mut();
    // SAFETY: zeros are valid in the struct; the bytes are static.
    let status = unsafe {
        let mut options: omniid_engine_options = std::mem::zeroed();
        options.struct_size = size_of::<omniid_engine_options>() as u32;
        options.abi_version = OMNIID_ABI_VERSION;
        (options.checkpoint_data, options.checkpoint_size) = (checkpoint.as_ptr().cast(), checkpoint.len());
        omniid_engine_open(&options, &mut raw)
    };
    assert_eq!(status, OMNIID_STATUS_OK);
    Arc::new(Handle {
        raw,
        free: omniid_engine_free,
    })
}

impl World {
    /// Two engines that all runs share, an identity, a conditioning and a graph.
    pub fn new() -> Self {
        static FIRST: OnceLock<World> = OnceLock::new();
        FIRST.get_or_init(Self::first).clone()
    }

    fn first() -> Self {
        let mut world = Self {
            engines: Handles(vec![
                engine_of(model::checkpoint()),
                engine_of(model::residual_checkpoint()),
            ]),
            identities: Handles::new(),
            conditionings: Handles::new(),
            graphs: Handles::new(),
            reports: Handles::new(),
            tensors: Handles::new(),
        };
        let bytes = identity_bytes();
        // SAFETY: zeros are valid in the struct; all pointers live through the calls.
        unsafe {
            let mut identity = null_mut();
            let status = omniid_identity_from_bytes(bytes.as_ptr().cast(), bytes.len(), &mut identity);
            world
                .identities
                .keep(status == OMNIID_STATUS_OK, identity, omniid_identity_free);
            let mut person: omniid_conditioning_input = std::mem::zeroed();
            person.struct_size = size_of::<omniid_conditioning_input>() as u32;
            (person.identity, person.scale) = (identity, 1.0);
            let mut conditioning = null_mut();
            let engine = world.engines.0[0].raw;
            let status = omniid_conditioning_create(engine, &person, 1, null(), &mut conditioning);
            world
                .conditionings
                .keep(status == OMNIID_STATUS_OK, conditioning, omniid_conditioning_free);
            let mut graph = null_mut();
            let manifest = super::graphs::MANIFEST;
            let status = omniid_graph_parse(manifest.as_ptr().cast(), manifest.len(), &mut graph);
            world.graphs.keep(status == OMNIID_STATUS_OK, graph, omniid_graph_free);
        }
        world
    }

    /// Lets a handle go; whoever uses it last frees it.
    pub fn forget(&mut self, input: &mut Unstructured<'_>) {
        match number(input, 0..=5) {
            0 => self.engines.forget(input),
            1 => self.identities.forget(input),
            2 => self.conditionings.forget(input),
            3 => self.graphs.forget(input),
            4 => self.reports.forget(input),
            _ => self.tensors.forget(input),
        }
    }
}
