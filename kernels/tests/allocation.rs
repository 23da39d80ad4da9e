//! The kernels allocate nothing per call once every thread has its working memory.

use omniid_kernels::{
    attention, layer_norm, AttentionInput, Element, Epilogue, KeyValue, OutputMode, PackedMatrix, TensorView,
    TensorViewMut, ThreadPool,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Barrier;

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all calls go to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn calls_allocate_nothing_after_warm_up() {
    const THREADS: usize = 3;
    let pool = ThreadPool::new(THREADS);
    let shape = [2, 300, 4, 40];
    let query = vec![0.25_f32; shape.iter().product()];
    let mut output = query.clone();
    let tokens = vec![0.5_f32; 600 * 4 * 40];
    let keys = TensorView::contiguous(&tokens, [1, 600, 4, 40]).unwrap();
    let set = [KeyValue { keys, values: keys }];
    let weight = vec![0.1_f32; 200 * 160];
    let packed = PackedMatrix::pack(&weight, 200, 160, Element::BF16).unwrap();
    let mut product = vec![0.0_f32; 600 * 200];
    let input = &query[..600 * 160];
    let mut normal = vec![0.0_f32; 600 * 160];

    let mut all = || {
        let input_view = TensorView::contiguous(&query, shape).unwrap();
        let call = AttentionInput {
            query: input_view,
            key_values: &set,
            select: None,
            scale: None,
            zero_tokens: 0,
        };
        let mut view = TensorViewMut::contiguous(&mut output, shape).unwrap();
        let mode = OutputMode::Add {
            factors: &[0.5, 0.0],
            row_weights: None,
        };
        attention(&pool, &call, &mut view, mode).unwrap();
        for leading_tokens in [None, Some(5)] {
            let mode = OutputMode::AddOrthogonal {
                factors: &[0.5, 0.0],
                row_weights: None,
                leading_tokens,
            };
            attention(&pool, &call, &mut view, mode).unwrap();
        }
        packed.forward(&pool, input, &mut product, Epilogue::default()).unwrap();
        layer_norm(&pool, input, &weight[..160], None, 1e-5, &mut normal).unwrap();
    };
    // Which threads take part in a run is chance. Each may need its working memory once per kernel that wants
    // more than it has, so the number of threads bounds the allocations of any number of calls.
    all();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..200 {
        all();
    }
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    assert!(allocations <= 3 * THREADS, "{allocations} allocations in 200 rounds");

    // A run of the pool itself: every thread is made to take part, and nothing is allocated.
    let barrier = Barrier::new(THREADS);
    let meet = |_: usize| {
        barrier.wait();
    };
    pool.run(THREADS, &meet);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..50 {
        pool.run(THREADS, &meet);
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), before);
}
