//! Attention at the shapes of SD1.5 and SDXL, linear layers at those of ViT-H/14, and the arithmetic peak.
//!
//! `cargo bench -p omniid-kernels`. Throughput is in floating-point operations: criterion's "Gelem/s" is GFLOP/s.
//! `OMNIID_ISA` chooses a weaker instruction set, `OMNIID_THREADS` the number of threads.

mod peak;

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};
use half::{bf16, f16};
use omniid_kernels::{
    attention, Activation, AttentionInput, Element, Epilogue, KeyValue, OutputMode, PackedMatrix, Scalar, TensorView,
    TensorViewMut, ThreadPool,
};
use peak::{operations, peak};

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 104_729) % 1000) as f32 / 500.0 - 1.0).collect()
}

fn arithmetic_peak(c: &mut Criterion) {
    const ROUNDS: u64 = 200_000;
    let mut group = c.benchmark_group("peak");
    for threads in [1, ThreadPool::global().threads()] {
        let pool = ThreadPool::new(threads);
        group.throughput(Throughput::Elements(operations(ROUNDS) * threads as u64));
        group.bench_function(BenchmarkId::new("threads", threads), |b| {
            b.iter(|| {
                pool.run(threads, &|_| {
                    peak(ROUNDS);
                });
            });
        });
    }
}

fn attention_layers(c: &mut Criterion) {
    attention_of::<f32>(c, "f32");
    attention_of::<f16>(c, "f16");
    attention_of::<bf16>(c, "bf16");
}

fn attention_of<T: Scalar>(c: &mut Criterion, element: &str) {
    const TOKENS: usize = 256;
    let mut group = c.benchmark_group(format!("attention {element}"));
    for [batch, rows, heads, dim] in [
        [2, 4096, 8, 40],
        [2, 1024, 8, 80],
        [2, 256, 8, 160],
        [2, 4096, 10, 64],
        [2, 1024, 20, 64],
    ] {
        let narrow = |values: Vec<f32>| -> Vec<T> { values.into_iter().map(T::narrow).collect() };
        let shape = [batch, rows, heads, dim];
        let query = narrow(values(shape.iter().product()));
        let tokens = narrow(values(TOKENS * heads * dim));
        let mut output = vec![T::narrow(0.0); query.len()];
        let keys = TensorView::contiguous(&tokens, [1, TOKENS, heads, dim]).unwrap();
        let set = [KeyValue { keys, values: keys }];
        let query = TensorView::contiguous(&query, shape).unwrap();
        let input = AttentionInput {
            query,
            key_values: &set,
            select: None,
            scale: None,
            zero_tokens: 0,
        };
        group.throughput(Throughput::Elements((4 * batch * rows * heads * dim * TOKENS) as u64));
        group.bench_function(format!("B{batch} S{rows} H{heads} D{dim} T{TOKENS}"), |b| {
            b.iter(|| {
                let mut output = TensorViewMut::contiguous(&mut output, shape).unwrap();
                let mode = OutputMode::Add {
                    factors: &[0.5, 0.5],
                    row_weights: None,
                };
                attention(ThreadPool::global(), &input, &mut output, mode).unwrap();
            });
        });
    }
}

fn linear_layers(c: &mut Criterion) {
    let mut group = c.benchmark_group("linear");
    let pool = ThreadPool::global();
    for (rows, inputs, outputs) in [(257, 1280, 1280), (257, 1280, 5120), (257, 5120, 1280), (1, 1280, 5120)] {
        let weight = values(inputs * outputs);
        let input = values(rows * inputs);
        let mut output = vec![0.0; rows * outputs];
        let epilogue = Epilogue {
            activation: Some(Activation::Gelu),
            ..Default::default()
        };
        group.throughput(Throughput::Elements((2 * rows * inputs * outputs) as u64));
        for element in [Element::F32, Element::F16, Element::BF16] {
            let packed = PackedMatrix::pack(&weight, outputs, inputs, element).unwrap();
            group.bench_function(format!("{rows}x{inputs} to {outputs}, packed {element:?}"), |b| {
                b.iter(|| packed.forward(pool, &input, &mut output, epilogue).unwrap());
            });
        }
    }
}

criterion_group!(benches, arithmetic_peak, attention_layers, linear_layers);
criterion_main!(benches);
