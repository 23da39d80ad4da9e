//! Against the formula of a convolution, term by term in f64.

use super::*;

fn values(seed: usize, count: usize) -> Vec<f32> {
    (0..count)
        .map(|i| (((i + seed) * 7919 + seed * 104_729) % 2003) as f32 / 1000.0 - 1.0)
        .collect()
}

/// Everything that a convolution is made of.
struct Case {
    shape: ConvolutionShape,
    size: [usize; 3],
    depthwise: bool,
    affine: bool,
    bias: bool,
    slope: bool,
    residual: bool,
    relu: bool,
}

impl Case {
    fn weights(&self) -> Vec<f32> {
        let inputs = if self.depthwise { 1 } else { self.shape.inputs };
        values(3, self.shape.outputs * inputs * self.shape.kernel * self.shape.kernel)
    }

    fn out(&self) -> [usize; 3] {
        let side = |side| self.shape.output_side(side).unwrap();
        [self.size[0], side(self.size[1]), side(self.size[2])]
    }

    fn expected(&self) -> Vec<f64> {
        let ConvolutionShape {
            inputs,
            outputs,
            kernel,
            stride,
            padding,
        } = self.shape;
        let [batch, height, width] = self.size;
        let [_, out_height, out_width] = self.out();
        let input = values(1, batch * height * width * inputs);
        let (weight, scale, shift) = (self.weights(), values(5, inputs), values(6, inputs));
        let (bias, slope) = (values(7, outputs), values(8, outputs));
        let residual = values(9, batch * out_height * out_width * outputs);
        let mut result = Vec::new();
        for (n, y, x, o) in (0..batch)
            .flat_map(|n| (0..out_height).map(move |y| (n, y)))
            .flat_map(|(n, y)| (0..out_width).map(move |x| (n, y, x)))
            .flat_map(|(n, y, x)| (0..outputs).map(move |o| (n, y, x, o)))
        {
            let mut sum = 0.0;
            for ky in 0..kernel {
                for kx in 0..kernel {
                    let (Some(sy), Some(sx)) = (
                        (y * stride + ky).checked_sub(padding).filter(|&sy| sy < height),
                        (x * stride + kx).checked_sub(padding).filter(|&sx| sx < width),
                    ) else {
                        continue;
                    };
                    let channels = if self.depthwise { o..o + 1 } else { 0..inputs };
                    for c in channels {
                        let mut value = f64::from(input[((n * height + sy) * width + sx) * inputs + c]);
                        if self.affine {
                            value = value * f64::from(scale[c]) + f64::from(shift[c]);
                        }
                        let filter = if self.depthwise { o } else { o * inputs + c };
                        sum += value * f64::from(weight[(filter * kernel + ky) * kernel + kx]);
                    }
                }
            }
            if self.bias {
                sum += f64::from(bias[o]);
            }
            if self.slope && sum < 0.0 {
                sum *= f64::from(slope[o]);
            }
            if self.residual {
                sum += f64::from(residual[result.len()]);
            }
            result.push(if self.relu { sum.max(0.0) } else { sum });
        }
        result
    }

    fn computed(&self, pool: &ThreadPool) -> Vec<f32> {
        let [batch, height, width] = self.size;
        let count = self.out().iter().product::<usize>() * self.shape.outputs;
        let input = values(1, batch * height * width * self.shape.inputs);
        let (bias, slope) = (values(7, self.shape.outputs), values(8, self.shape.outputs));
        let residual = values(9, count);
        let finish = Finish {
            bias: self.bias.then_some(&bias),
            slope: self.slope.then_some(&slope),
            residual: self.residual.then_some(&residual),
            relu: self.relu,
        };
        let mut output = vec![f32::NAN; count];
        if self.depthwise {
            let layer = DepthwiseConvolution::new(&self.weights(), self.shape).unwrap();
            layer.forward(pool, &input, self.size, &mut output, finish).unwrap();
        } else {
            let mut layer = Convolution::new(&self.weights(), self.shape).unwrap();
            if self.affine {
                let (scale, shift) = (values(5, self.shape.inputs), values(6, self.shape.inputs));
                layer = layer.with_affine(&scale, &shift).unwrap();
            }
            layer.forward(pool, &input, self.size, &mut output, finish).unwrap();
        }
        output
    }
}

/// Kernel, stride, padding, channels in and out, picture, batch.
const SIZES: [([usize; 3], [usize; 2], [usize; 3]); 12] = [
    ([3, 1, 1], [3, 64], [1, 13, 9]),
    ([3, 1, 1], [64, 64], [1, 12, 12]),
    ([3, 2, 1], [64, 33], [2, 9, 8]),
    ([3, 2, 1], [70, 40], [1, 7, 7]),
    ([3, 1, 1], [130, 20], [1, 5, 3]),
    ([1, 1, 0], [65, 31], [3, 4, 5]),
    ([1, 2, 0], [64, 128], [1, 7, 6]),
    ([7, 2, 3], [3, 16], [1, 20, 21]),
    ([5, 1, 0], [8, 8], [1, 6, 5]),
    ([3, 3, 2], [16, 16], [1, 8, 8]),
    ([3, 1, 1], [5, 5], [1, 1, 1]),
    ([3, 1, 1], [5, 5], [0, 4, 4]),
];

#[test]
fn equals_the_formula_on_every_instruction_set() {
    let pool = ThreadPool::new(3);
    for (i, ([kernel, stride, padding], [inputs, outputs], size)) in SIZES.into_iter().enumerate() {
        for depthwise in [false, true] {
            let case = Case {
                shape: ConvolutionShape {
                    inputs: if depthwise { outputs } else { inputs },
                    outputs,
                    kernel,
                    stride,
                    padding,
                },
                size,
                depthwise,
                // Each of them alone and with the others.
                affine: !depthwise && i % 2 == 0,
                bias: i % 3 != 0,
                slope: i % 4 < 2,
                residual: i % 3 != 1,
                relu: i % 5 == 4,
            };
            let expected = case.expected();
            for isa in Isa::available() {
                let computed = isa.with(|| case.computed(&pool));
                assert_eq!(computed.len(), expected.len());
                for (at, (a, b)) in computed.iter().zip(&expected).enumerate() {
                    // Sums of up to a thousand terms of size 1.
                    let difference = (f64::from(*a) - b).abs();
                    assert!(difference < 2e-4, "{isa:?} {:?} {at}: {a} {b}", case.shape);
                }
            }
        }
    }
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let case = Case {
        shape: ConvolutionShape {
            inputs: 64,
            outputs: 96,
            kernel: 3,
            stride: 1,
            padding: 1,
        },
        size: [2, 28, 28],
        depthwise: false,
        affine: true,
        bias: true,
        slope: true,
        residual: true,
        relu: false,
    };
    let one = case.computed(&ThreadPool::new(1));
    for threads in [2, 5] {
        assert_eq!(case.computed(&ThreadPool::new(threads)), one);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let shape = ConvolutionShape {
        inputs: 2,
        outputs: 3,
        kernel: 3,
        stride: 1,
        padding: 1,
    };
    assert!(Convolution::new(&[0.0; 53], shape).is_err());
    for wrong in [
        ConvolutionShape { padding: 3, ..shape },
        ConvolutionShape { stride: 0, ..shape },
        ConvolutionShape {
            kernel: usize::MAX,
            ..shape
        },
        ConvolutionShape { inputs: 0, ..shape },
    ] {
        assert!(Convolution::new(&[0.0; 54], wrong).is_err(), "{wrong:?}");
        assert!(DepthwiseConvolution::new(&[0.0; 54], wrong).is_err(), "{wrong:?}");
    }
    assert!(DepthwiseConvolution::new(&[0.0; 27], shape).is_err());
    let layer = Convolution::new(&[1.0; 54], shape).unwrap();
    assert!(layer.clone().with_affine(&[1.0; 2], &[1.0; 3]).is_err());
    let pool = ThreadPool::new(1);
    let mut output = [7.0; 48];
    let none = Finish::default();
    let three = Finish {
        bias: Some(&[0.0; 2]),
        ..none
    };
    for (count, size, finish) in [
        (32, [1, 4, 5], none),
        (31, [1, 4, 4], none),
        (32, [usize::MAX, 4, 4], none),
        (32, [1, 4, 4], three),
    ] {
        let outcome = layer.forward(&pool, &vec![0.0; count], size, &mut output, finish);
        assert!(outcome.is_err());
        assert_eq!(output, [7.0; 48]);
    }
    assert_eq!(shape.output_side(0), None);
    assert_eq!(shape.output_side(7), Some(7));
}
