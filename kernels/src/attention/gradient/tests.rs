use super::*;
use crate::{attention, AttentionInput, KeyValue, OutputMode, Place};
use rand::{rngs::StdRng, Rng, SeedableRng};

struct Case {
    shape: [usize; 4],
    keys: [usize; 4],
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    gradient: Vec<f32>,
}

impl Case {
    fn new([batch, rows, heads, dim]: [usize; 4], key_batch: usize, tokens: usize, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut values = |n: usize| -> Vec<f32> { (0..n).map(|_| random.random_range(-1.0..1.0)).collect() };
        let (shape, keys) = ([batch, rows, heads, dim], [key_batch, tokens, heads, dim]);
        let (n, m) = (shape.iter().product(), keys.iter().product());
        Self {
            shape,
            keys,
            q: values(n),
            k: values(m),
            v: values(m),
            gradient: values(n),
        }
    }

    fn output(&self, pool: &ThreadPool) -> Vec<f32> {
        let mut output = vec![0.0; self.q.len()];
        let set = KeyValue {
            keys: TensorView::contiguous(&self.k, self.keys).unwrap(),
            values: TensorView::contiguous(&self.v, self.keys).unwrap(),
        };
        let input = AttentionInput {
            query: TensorView::contiguous(&self.q, self.shape).unwrap(),
            key_values: &[set],
            select: None,
            scale: None,
            zero_tokens: 0,
        };
        let mut view = TensorViewMut::contiguous(&mut output, self.shape).unwrap();
        attention(pool, &input, &mut view, OutputMode::Overwrite).unwrap();
        output
    }

    fn gradients(&self, pool: &ThreadPool) -> [Vec<f32>; 3] {
        let output = self.output(pool);
        let (mut q, mut k, mut v) = (
            vec![f32::NAN; self.q.len()],
            vec![f32::NAN; self.k.len()],
            vec![f32::NAN; self.v.len()],
        );
        let input = AttentionGradientInput {
            query: TensorView::contiguous(&self.q, self.shape).unwrap(),
            keys: TensorView::contiguous(&self.k, self.keys).unwrap(),
            values: TensorView::contiguous(&self.v, self.keys).unwrap(),
            output: TensorView::contiguous(&output, self.shape).unwrap(),
            output_gradient: TensorView::contiguous(&self.gradient, self.shape).unwrap(),
        };
        let mut gradients = AttentionGradients {
            query: TensorViewMut::contiguous(&mut q, self.shape).unwrap(),
            keys: TensorViewMut::contiguous(&mut k, self.keys).unwrap(),
            values: TensorViewMut::contiguous(&mut v, self.keys).unwrap(),
        };
        attention_gradient(pool, &input, &mut gradients).unwrap();
        [q, k, v]
    }

    /// The chain rule written out in f64.
    fn exact(&self) -> [Vec<f64>; 3] {
        let [batch, rows, heads, dim] = self.shape;
        let [key_batch, tokens, ..] = self.keys;
        let mut to = [
            vec![0.0; self.q.len()],
            vec![0.0; self.k.len()],
            vec![0.0; self.v.len()],
        ];
        let scale = 1.0 / (dim as f64).sqrt();
        let dot = |a: &[f32], i: usize, b: &[f32], j: usize| -> f64 {
            (0..dim).map(|d| f64::from(a[i + d]) * f64::from(b[j + d])).sum()
        };
        for b in 0..batch {
            for h in 0..heads {
                let key = |t: usize| ((if key_batch == 1 { 0 } else { b } * tokens + t) * heads + h) * dim;
                for s in 0..rows {
                    let row = ((b * rows + s) * heads + h) * dim;
                    let e: Vec<f64> = (0..tokens)
                        .map(|t| (scale * dot(&self.q, row, &self.k, key(t))).exp())
                        .collect();
                    let total: f64 = e.iter().sum();
                    let p: Vec<f64> = e.iter().map(|e| e / total).collect();
                    let dp: Vec<f64> = (0..tokens).map(|t| dot(&self.gradient, row, &self.v, key(t))).collect();
                    let mean: f64 = p.iter().zip(&dp).map(|(p, d)| p * d).sum();
                    for t in 0..tokens {
                        let ds = p[t] * (dp[t] - mean) * scale;
                        for d in 0..dim {
                            to[0][row + d] += ds * f64::from(self.k[key(t) + d]);
                            to[1][key(t) + d] += ds * f64::from(self.q[row + d]);
                            to[2][key(t) + d] += p[t] * f64::from(self.gradient[row + d]);
                        }
                    }
                }
            }
        }
        to
    }
}

#[test]
fn gradients_agree_with_double_precision_on_any_number_of_threads() {
    let pools = [ThreadPool::new(1), ThreadPool::new(3)];
    let cases = [
        ([1, 1, 1, 1], 1, 1),
        ([2, 5, 3, 7], 2, 9),
        ([2, 64, 2, 32], 2, 64),
        ([3, 33, 2, 32], 3, 100),
        ([11, 13, 2, 40], 1, 37),
        ([2, 130, 1, 64], 2, 70),
        ([1, 20, 1, 20], 1, 1100),
    ];
    for isa in Isa::available() {
        for (seed, (shape, key_batch, tokens)) in cases.into_iter().enumerate() {
            let case = Case::new(shape, key_batch, tokens, seed as u64);
            let exact = case.exact();
            let [one, three] = pools.each_ref().map(|pool| isa.with(|| case.gradients(pool)));
            assert_eq!(one, three, "threads must not change a bit");
            for (which, (found, exact)) in one.iter().zip(&exact).enumerate() {
                let limit = 2e-5 * exact.iter().fold(0.1, |m: f64, x| m.max(x.abs()));
                for (i, (a, b)) in found.iter().zip(exact).enumerate() {
                    assert!(
                        (f64::from(*a) - b).abs() < limit,
                        "{isa:?} {shape:?}, {tokens} tokens, gradient {which} at {i}: {a} {b}"
                    );
                }
            }
        }
    }
}

#[test]
fn strides_do_not_change_the_result() {
    let pool = ThreadPool::new(2);
    let [batch, rows, heads, dim] = [2, 14, 3, 8];
    let case = Case::new([batch, rows, heads, dim], batch, rows, 9);
    let expected = case.gradients(&pool);
    let output = case.output(&pool);
    // Queries, keys and values side by side in one tensor, and their gradients in another.
    let (inner, strides) = (heads * dim, [rows * 3 * heads * dim, 3 * heads * dim, dim, 1]);
    let mut packed = vec![0.0; 3 * case.q.len()];
    for row in 0..batch * rows {
        for (part, values) in [&case.q, &case.k, &case.v].into_iter().enumerate() {
            packed[(row * 3 + part) * inner..][..inner].copy_from_slice(&values[row * inner..][..inner]);
        }
    }
    let mut gradients = vec![f32::NAN; packed.len()];
    let pointer = gradients.as_mut_ptr();
    let input = |part: usize| TensorView::new(&packed[part * inner..], case.shape, strides).unwrap();
    // SAFETY: the three views cover disjoint columns of `gradients`, which nobody else touches meanwhile.
    let to = |part: usize| unsafe {
        let pointer = pointer.add(part * inner).cast();
        TensorView::from_raw(pointer, Place::Cpu, Element::F32, &case.shape, Some(&strides))
            .and_then(|view| view.writable())
            .unwrap()
    };
    attention_gradient(
        &pool,
        &AttentionGradientInput {
            query: input(0),
            keys: input(1),
            values: input(2),
            output: TensorView::contiguous(&output, case.shape).unwrap(),
            output_gradient: TensorView::contiguous(&case.gradient, case.shape).unwrap(),
        },
        &mut AttentionGradients {
            query: to(0),
            keys: to(1),
            values: to(2),
        },
    )
    .unwrap();
    for row in 0..batch * rows {
        for (part, values) in expected.iter().enumerate() {
            assert_eq!(
                gradients[(row * 3 + part) * inner..][..inner],
                values[row * inner..][..inner]
            );
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let data = [0.0_f32; 64];
    let mut to = [[1.0_f32; 64]; 3];
    let view = |shape| TensorView::contiguous(&data, shape).unwrap();
    for (keys, values) in [
        ([2, 3, 2, 4], [2, 2, 2, 4]),
        ([3, 2, 2, 4], [3, 2, 2, 4]),
        ([2, 0, 2, 4], [2, 0, 2, 4]),
        ([2, 2, 4, 2], [2, 2, 4, 2]),
    ] {
        let input = AttentionGradientInput {
            query: view([2, 3, 2, 4]),
            keys: view(keys),
            values: view(values),
            output: view([2, 3, 2, 4]),
            output_gradient: view([2, 3, 2, 4]),
        };
        let [q, k, v] = &mut to;
        let mut gradients = AttentionGradients {
            query: TensorViewMut::contiguous(q, [2, 3, 2, 4]).unwrap(),
            keys: TensorViewMut::contiguous(k, keys).unwrap(),
            values: TensorViewMut::contiguous(v, values).unwrap(),
        };
        assert!(attention_gradient(&pool_of_one(), &input, &mut gradients).is_err());
    }
    assert_eq!(to, [[1.0; 64]; 3]);
}

fn pool_of_one() -> ThreadPool {
    ThreadPool::new(1)
}
