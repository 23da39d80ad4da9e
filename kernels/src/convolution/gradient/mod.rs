//! 3×3 convolutions in training: forward pass and gradients, without a matrix of windows in memory.

mod product;
#[cfg(test)]
mod tests;

use crate::element::Element;
use crate::error::{Error, Result};
use crate::matmul::{transposed_product, PackedMatrix, Right, TransposedProduct, Window, Windows, TAPS};
use crate::simd::Isa;
use crate::threads::ThreadPool;
use product::{halves, multiply, Source};

/// Sizes of a convolution and the number type of its products.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Convolution3x3 {
    /// Where the windows lie.
    pub window: Window,
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// [`Element::BF16`] rounds both operands to bf16 where the processor multiplies bf16; anything else is f32.
    pub element: Element,
}

/// What windows are cut out of.
#[derive(Clone, Copy)]
enum Of {
    Input,
    /// The gradient of the output.
    Gradient,
}

impl Of {
    fn windows<T: Copy + Default>(self, values: &[T], window: Window, channels: usize) -> Result<Windows<'_, T>> {
        match self {
            Self::Input => Windows::of_input(values, window, channels),
            Self::Gradient => Windows::of_gradient(values, window, channels),
        }
    }
}

/// A weight `[outputs, inputs, 3, 3]` as `[outputs, TAPS, inputs]`.
fn taps_first(pool: &ThreadPool, weight: &[f32], inputs: usize) -> Vec<f32> {
    let mut taps = vec![0.0_f32; weight.len()];
    pool.fill_parts(&mut taps, TAPS * inputs, &|output, to| {
        let from = &weight[output * TAPS * inputs..][..to.len()];
        for (input, window) in from.chunks_exact(TAPS).enumerate() {
            for (tap, value) in window.iter().enumerate() {
                to[tap * inputs + input] = *value;
            }
        }
    });
    taps
}

impl Convolution3x3 {
    fn brain(&self) -> bool {
        self.element == Element::BF16 && Isa::current().multiplies_bf16()
    }

    /// The number type that the processor multiplies.
    fn products(&self) -> Element {
        match self.brain() {
            true => Element::BF16,
            false => Element::F32,
        }
    }

    fn check(&self, input: &[f32], weight: &[f32]) -> Result<()> {
        self.window.check()?;
        let weights = (self.inputs.checked_mul(TAPS)).and_then(|each| each.checked_mul(self.outputs));
        let picture = (self.window.height * self.window.width).checked_mul(self.inputs);
        // No values at all are no pictures, which is a whole number of them.
        let whole = picture.is_some_and(|picture| picture > 0 && input.len().is_multiple_of(picture));
        if whole && self.outputs > 0 && weights == Some(weight.len()) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "{} input values and {} weights for {self:?}",
            input.len(),
            weight.len()
        )))
    }

    /// The convolution of `input` `[batch, height · width, inputs]` with `weight` `[outputs, inputs, 3, 3]` plus `bias`
    /// `[outputs]`: `[batch, windows, outputs]`.
    ///
    /// # Errors
    /// `InvalidArgument` when a length does not fit.
    pub fn forward(&self, pool: &ThreadPool, input: &[f32], weight: &[f32], bias: &[f32]) -> Result<Vec<f32>> {
        self.check(input, weight)?;
        if bias.len() != self.outputs {
            return Err(Error::invalid(format!("{} biases for {self:?}", bias.len())));
        }
        let taps = taps_first(pool, weight, self.inputs);
        let weight = PackedMatrix::pack_f32(pool, &taps, self.outputs, TAPS * self.inputs, self.products())?;
        self.windowed(pool, input, &weight, Some(bias), Of::Input)
    }

    /// The gradient of the input from that of the output.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn input_gradient(&self, pool: &ThreadPool, gradient: &[f32], weight: &[f32]) -> Result<Vec<f32>> {
        let Self { inputs, outputs, .. } = *self;
        self.check(&[], weight)?;
        // [tap][output][input]: the transposed matrix of the product.
        let mut turned = vec![0.0_f32; weight.len()];
        pool.fill_parts(&mut turned, outputs * inputs, &|tap, to| {
            for (output, row) in to.chunks_exact_mut(inputs).enumerate() {
                let from = &weight[output * inputs * TAPS..][..inputs * TAPS];
                for (value, window) in row.iter_mut().zip(from.chunks_exact(TAPS)) {
                    *value = window[tap];
                }
            }
        });
        let weight = PackedMatrix::pack_transposed(pool, &turned, inputs, TAPS * outputs, self.products())?;
        let channels = Self {
            inputs: outputs,
            ..*self
        };
        let large = channels.windowed(pool, gradient, &weight, None, Of::Gradient)?;
        Ok(match self.window.enlarge {
            1 => large,
            _ => self.reduced(pool, &large),
        })
    }

    /// Gradients of weight `[outputs, inputs, 3, 3]` and bias `[outputs]`.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn weight_gradient(&self, pool: &ThreadPool, input: &[f32], gradient: &[f32]) -> Result<[Vec<f32>; 2]> {
        let Self { inputs, outputs, .. } = *self;
        let windows = Windows::of_input(input, self.window, inputs)?;
        let mut product = vec![0.0_f32; outputs * TAPS * inputs];
        let mut sums = vec![0.0_f32; outputs];
        let operands = TransposedProduct {
            left: gradient,
            right: Right::Windows(&windows),
            outputs,
            inputs: TAPS * inputs,
            element: self.element,
            product: &mut product,
            column_sums: Some(&mut sums),
        };
        transposed_product(pool, operands)?;
        let mut weight = vec![0.0_f32; product.len()];
        pool.fill_parts(&mut weight, TAPS * inputs, &|output, to| {
            let from = &product[output * TAPS * inputs..][..to.len()];
            for (input, window) in to.chunks_exact_mut(TAPS).enumerate() {
                for (tap, value) in window.iter_mut().enumerate() {
                    *value = from[tap * inputs + input];
                }
            }
        });
        Ok([weight, sums])
    }

    /// The windows of `values` times `weight`.
    fn windowed(
        &self,
        pool: &ThreadPool,
        values: &[f32],
        weight: &PackedMatrix,
        bias: Option<&[f32]>,
        of: Of,
    ) -> Result<Vec<f32>> {
        if self.brain() {
            let values = halves(pool, values);
            let windows = of.windows(&values, self.window, self.inputs)?;
            let mut output = vec![0.0_f32; windows.rows() * weight.outputs()];
            multiply(pool, Source::Halves(&windows), weight, bias, &mut output)?;
            return Ok(output);
        }
        let windows = of.windows(values, self.window, self.inputs)?;
        let mut output = vec![0.0_f32; windows.rows() * weight.outputs()];
        multiply(pool, Source::F32(&windows), weight, bias, &mut output)?;
        Ok(output)
    }

    /// The sums over the pixels that each pixel of the input was repeated to.
    fn reduced(&self, pool: &ThreadPool, large: &[f32]) -> Vec<f32> {
        let Window { width, enlarge, .. } = self.window;
        let channels = self.inputs;
        let line = width * channels;
        let mut sums = vec![0.0_f32; large.len() / (enlarge * enlarge)];
        pool.fill_parts(&mut sums, line, &|number, sums| {
            // Lines of all pictures follow each other.
            let lines = &large[number * enlarge * enlarge * line..][..enlarge * enlarge * line];
            for from in lines.chunks_exact(enlarge * line) {
                for (x, sum) in sums.chunks_exact_mut(channels).enumerate() {
                    for pixel in from[x * enlarge * channels..][..enlarge * channels].chunks_exact(channels) {
                        for (sum, value) in sum.iter_mut().zip(pixel) {
                            *sum += value;
                        }
                    }
                }
            }
        });
        sums
    }
}
