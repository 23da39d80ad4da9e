//! Injection does not allocate once it has run before. Alone in its file: the counter sees the whole process.

use candle_core::{DType, Device, Tensor};
use omniid::adapter::{Adapter, AdapterLayer, Linear};
use omniid::conditioning::{Conditioning, ConditioningOptions, IdentityInput, Mask, PulidMode, Role, StepRange};
use omniid::host::{HostLayer, HostSpec};
use omniid::inject::{InjectCall, TensorView, TensorViewMut};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn the_second_call_and_all_later_ones_do_not_allocate() {
    let (heads, width, context, tokens) = (8, 40, 64, 256);
    let shape = [2, 256, heads, width];
    let inner = heads * width;
    let random = |rows: usize, columns: usize| Tensor::randn(0f32, 0.3, (rows, columns), &Device::Cpu).unwrap();
    let affine = || Linear::stored(random(inner, context), None).unwrap();
    let host = HostSpec::custom("one", vec![HostLayer::new("layer", heads, width, context)]).unwrap();
    let adapter = Adapter::new(None, vec![AdapterLayer::new(affine(), affine())]);
    let (identity, negative) = (random(tokens, context), random(tokens, context));
    let input = IdentityInput::new(&identity)
        .with_unconditional(&negative)
        .with_mask(Mask::new(2, 2, &[0.0, 1.0, 0.5, 0.25]).unwrap())
        .with_steps(StepRange::Sigma { start: 10.0, end: 1.0 });
    for (dtype, mode) in [
        (DType::F32, PulidMode::Neutral),
        (DType::BF16, PulidMode::Neutral),
        (DType::F32, PulidMode::Style),
        (DType::F32, PulidMode::Fidelity),
    ] {
        let options = ConditioningOptions::pulid(mode).with_dtype(dtype);
        let inputs = [input.clone(), input.clone()];
        let conditioning = Conditioning::new(&adapter, &host, &inputs, &options).unwrap();
        let query = vec![0.1f32; shape.iter().product()];
        let mut output = vec![0f32; query.len()];
        let mut inject = || {
            let mut call = InjectCall::new(
                0,
                TensorView::contiguous(&query, shape).unwrap(),
                TensorViewMut::contiguous(&mut output, shape).unwrap(),
            );
            call.roles = &[Role::Unconditional, Role::Conditional];
            call.latent = Some((16, 16));
            call.step.sigma = Some(5.0);
            conditioning.inject(call).unwrap();
        };
        // Which thread of the pool takes part in a call is chance; a few rounds reach them all. On a machine that is
        // busy with other things it takes more of them.
        let mut twenty_calls = || {
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            (0..20).for_each(|_| inject());
            ALLOCATIONS.load(Ordering::Relaxed) - before
        };
        twenty_calls();
        let counts: Vec<usize> = (0..10).map(|_| twenty_calls()).take_while(|count| *count > 0).collect();
        assert!(
            counts.len() < 10,
            "{dtype:?} {mode:?}: allocations of 20 calls each: {counts:?}"
        );
        assert!(output.iter().any(|value| *value != 0.0));
    }
}
