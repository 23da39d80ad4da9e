use super::*;
use rand::{rngs::StdRng, Rng, SeedableRng};

/// A convolution from its definition: every sum in f64.
struct Reference {
    window: Window,
    inputs: usize,
    outputs: usize,
}

impl Reference {
    /// Calls `f(output, input, weight)` with the places of all products.
    fn products(&self, batch: usize, mut f: impl FnMut(usize, usize, usize)) {
        let Window {
            height,
            width,
            stride,
            enlarge,
        } = self.window;
        let (rows, columns) = self.window.output();
        for (b, y, x) in triples(batch, rows, columns) {
            for (down, across, i) in triples(3, 3, self.inputs) {
                let (large_y, large_x) = (y * stride + down, x * stride + across);
                if large_y == 0 || large_x == 0 || large_y > height * enlarge || large_x > width * enlarge {
                    continue;
                }
                let (source_y, source_x) = ((large_y - 1) / enlarge, (large_x - 1) / enlarge);
                for o in 0..self.outputs {
                    f(
                        ((b * rows + y) * columns + x) * self.outputs + o,
                        ((b * height + source_y) * width + source_x) * self.inputs + i,
                        ((o * self.inputs + i) * 3 + down) * 3 + across,
                    );
                }
            }
        }
    }
}

fn triples(a: usize, b: usize, c: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a * b * c).map(move |n| (n / (b * c), n / c % b, n % c))
}

fn near(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let distance = (f64::from(*found) - expected).abs();
        assert!(distance <= tolerance, "{what} at {place}: {found} against {expected}");
    }
}

#[test]
fn all_passes_equal_the_definition_on_any_number_of_threads() {
    let mut random = StdRng::seed_from_u64(11);
    let pools = [ThreadPool::new(1), ThreadPool::new(3)];
    for (height, width, stride, enlarge, inputs, outputs, batch) in [
        (5, 6, 1, 1, 7, 5, 3),
        (6, 4, 2, 1, 33, 12, 2),
        (5, 7, 2, 1, 3, 40, 2),
        (3, 4, 1, 2, 16, 35, 2),
        (1, 1, 1, 1, 2, 3, 1),
        (16, 16, 1, 1, 120, 33, 2),
    ] {
        let window = Window {
            height,
            width,
            stride,
            enlarge,
        };
        // Numbers that bf16 holds exactly have the same products in both formats.
        let mut values = |count: usize| -> Vec<f32> {
            (0..count)
                .map(|_| half::bf16::from_f32(random.random_range(-1.0..1.0)).to_f32())
                .collect()
        };
        let (rows, columns) = window.output();
        let input = values(batch * height * width * inputs);
        let weight = values(outputs * inputs * 9);
        let bias = values(outputs);
        let gradient = values(batch * rows * columns * outputs);
        let reference = Reference {
            window,
            inputs,
            outputs,
        };
        let wide = |x: f32| f64::from(x);
        let mut output: Vec<f64> = (0..gradient.len()).map(|place| wide(bias[place % outputs])).collect();
        let mut to_input = vec![0.0; input.len()];
        let mut to_weight = vec![0.0; weight.len()];
        reference.products(batch, |o, i, w| {
            output[o] += wide(input[i]) * wide(weight[w]);
            to_input[i] += wide(gradient[o]) * wide(weight[w]);
            to_weight[w] += wide(gradient[o]) * wide(input[i]);
        });
        let mut to_bias = vec![0.0; outputs];
        for (place, value) in gradient.iter().enumerate() {
            to_bias[place % outputs] += wide(*value);
        }
        for isa in Isa::available() {
            for element in [Element::F32, Element::BF16] {
                let convolution = Convolution3x3 {
                    window,
                    inputs,
                    outputs,
                    element,
                };
                let [one, three] = pools.each_ref().map(|pool| {
                    isa.with(|| {
                        let forward = convolution.forward(pool, &input, &weight, &bias).unwrap();
                        let back = convolution.input_gradient(pool, &gradient, &weight).unwrap();
                        let [weight, bias] = convolution.weight_gradient(pool, &input, &gradient).unwrap();
                        [forward, back, weight, bias]
                    })
                });
                assert_eq!(one, three, "threads must not change a bit");
                for (found, (expected, what)) in one.iter().zip([
                    (&output, "output"),
                    (&to_input, "input"),
                    (&to_weight, "weight"),
                    (&to_bias, "bias"),
                ]) {
                    near(found, expected, 2e-4, &format!("{what} of {convolution:?} on {isa:?}"));
                }
            }
        }
    }
}

#[test]
fn lengths_are_checked() {
    let pool = ThreadPool::new(1);
    let convolution = Convolution3x3 {
        window: Window {
            height: 2,
            width: 2,
            stride: 1,
            enlarge: 1,
        },
        inputs: 1,
        outputs: 1,
        element: Element::F32,
    };
    assert!(convolution.forward(&pool, &[0.0; 4], &[0.0; 9], &[0.0]).is_ok());
    assert!(convolution.forward(&pool, &[0.0; 5], &[0.0; 9], &[0.0]).is_err());
    assert!(convolution.forward(&pool, &[0.0; 4], &[0.0; 8], &[0.0]).is_err());
    assert!(convolution.forward(&pool, &[0.0; 4], &[0.0; 9], &[0.0; 2]).is_err());
    assert!(convolution.input_gradient(&pool, &[0.0; 5], &[0.0; 9]).is_err());
    assert!(convolution.input_gradient(&pool, &[0.0; 4], &[0.0; 8]).is_err());
    assert!(convolution.weight_gradient(&pool, &[0.0; 4], &[0.0; 3]).is_err());
    let none = Convolution3x3 {
        window: Window {
            stride: 0,
            ..convolution.window
        },
        ..convolution
    };
    assert!(none.forward(&pool, &[0.0; 4], &[0.0; 9], &[0.0]).is_err());
}
