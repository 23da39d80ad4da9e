//! The orthogonal modes of attention against plain addition, at the shapes of SDXL with PuLID's 32 tokens (v1.1) and 10 (v1).
//!
//! `cargo bench -p omniid-kernels --bench orthogonal`. Rounds of the three take turns, so that a busy machine slows all
//! of them; the median of each round's ratio is printed.

use omniid_kernels::{attention, AttentionInput, KeyValue, OutputMode, TensorView, TensorViewMut, ThreadPool};
use std::time::Instant;

const ROUNDS: usize = 31;

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 104_729) % 1000) as f32 / 500.0 - 1.0).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let pool = ThreadPool::global();
    println!(
        "{} threads; time of one call, and its ratio to plain addition",
        pool.threads()
    );
    for [batch, rows, heads, dim, tokens] in [
        [2, 4096, 10, 64, 32],
        [2, 1024, 20, 64, 32],
        [2, 4096, 10, 64, 10],
        [2, 1024, 20, 64, 10],
        [2, 4096, 10, 64, 256],
    ] {
        let shape = [batch, rows, heads, dim];
        let query = values(shape.iter().product());
        let data = values(tokens * heads * dim);
        let mut output = query.clone();
        let keys = TensorView::contiguous(&data, [1, tokens, heads, dim]).unwrap();
        let set = [KeyValue { keys, values: keys }];
        let factors = vec![1e-3; batch];
        let input = AttentionInput {
            query: TensorView::contiguous(&query, shape).unwrap(),
            key_values: &set,
            select: None,
            scale: None,
            zero_tokens: 8,
        };
        let (factors, row_weights) = (&factors[..], None);
        let orthogonal = |leading_tokens| OutputMode::AddOrthogonal {
            factors,
            row_weights,
            leading_tokens,
        };
        let modes = [
            OutputMode::Add { factors, row_weights },
            orthogonal(None),
            orthogonal(Some(5)),
        ];
        let mut times = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            for (times, mode) in times.iter_mut().zip(modes) {
                let mut view = TensorViewMut::contiguous(&mut output, shape).unwrap();
                let start = Instant::now();
                attention(pool, &input, &mut view, mode).unwrap();
                times.push(start.elapsed().as_secs_f64());
            }
        }
        let ratio = |mode: usize| median(times[mode].iter().zip(&times[0]).map(|(a, b)| a / b).collect());
        let plain = median(times[0].clone()) * 1e3;
        println!(
            "B{batch} S{rows} H{heads} D{dim} T{tokens}: plain {plain:.2} ms, orthogonal {:.2}, orthogonal v2 {:.2}",
            ratio(1),
            ratio(2)
        );
    }
}
