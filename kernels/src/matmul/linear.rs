//! Linear layers: products with packed weights.

use super::epilogue::Epilogue;
use super::packed::PackedMatrix;
use super::plan::MOST_ROWS;
use super::product::{multiplies_values, multiply, multiply_twice, Layer};
use crate::error::{Error, Result};
use crate::threads::{Target, ThreadPool};

impl PackedMatrix {
    /// `output = activation(input · weightᵀ + bias) + residual`, input `[rows, in]`, output `[rows, out]`.
    ///
    /// # Errors
    /// `InvalidArgument` when a length does not fit; nothing is written then.
    pub fn forward(&self, pool: &ThreadPool, input: &[f32], output: &mut [f32], epilogue: Epilogue<'_>) -> Result<()> {
        let rows = self.check(input.len(), output.len(), &epilogue)?;
        multiply(pool, rows, input, &[self.layer(output.as_mut_ptr(), epilogue)]);
        Ok(())
    }

    /// [`forward`](Self::forward) into new memory, which is not filled with zeros before: one thread would do it while
    /// the others wait.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn product(&self, pool: &ThreadPool, input: &[f32], epilogue: Epilogue<'_>) -> Result<Vec<f32>> {
        let len = (input.len() / self.inputs).saturating_mul(self.outputs);
        let rows = self.check(input.len(), len, &epilogue)?;
        let mut output = Vec::with_capacity(len);
        multiply(pool, rows, input, &[self.layer(output.as_mut_ptr(), epilogue)]);
        // SAFETY: the product has written every value.
        unsafe { output.set_len(len) };
        Ok(output)
    }

    /// The products of one input `[rows, in]` with several matrices, each with its own epilogue: as
    /// [`product`](Self::product) of each. Matrices that are stored alike share the work of bringing the input into
    /// order, and no thread waits between them.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn products<const N: usize>(
        pool: &ThreadPool,
        input: &[f32],
        layers: [(&Self, Epilogue<'_>); N],
    ) -> Result<[Vec<f32>; N]> {
        let mut outputs: [Vec<f32>; N] = std::array::from_fn(|_| Vec::new());
        let mut rows = 0;
        for ((matrix, epilogue), output) in layers.iter().zip(&mut outputs) {
            let len = (input.len() / matrix.inputs).saturating_mul(matrix.outputs);
            rows = matrix.check(input.len(), len, epilogue)?;
            output.reserve_exact(len);
        }
        let alike = layers.windows(2).all(|pair| pair[0].0.is_like(pair[1].0));
        let mut targets = outputs.iter_mut().map(|output| output.as_mut_ptr());
        let layers = layers.map(|(matrix, epilogue)| Layer {
            matrix,
            output: Target(targets.next().unwrap_or(std::ptr::null_mut())),
            epilogue,
        });
        for part in layers.chunks(if alike { N.max(1) } else { 1 }) {
            multiply(pool, rows, input, part);
        }
        for (output, layer) in outputs.iter_mut().zip(&layers) {
            // SAFETY: the product has written every value.
            unsafe { output.set_len(rows * layer.matrix.outputs) };
        }
        Ok(outputs)
    }

    /// `self` applied to an input `[rows, in]`, then `second` to the result: as two times [`product`](Self::product).
    /// Where both multiply f32 values, what lies between them is written once, as `second` reads it.
    ///
    /// # Errors
    /// As [`forward`](Self::forward); also when the inputs of `second` are not the outputs of `self`.
    pub fn product_of_product(
        &self,
        pool: &ThreadPool,
        input: &[f32],
        epilogue: Epilogue<'_>,
        (second, then): (&Self, Epilogue<'_>),
    ) -> Result<Vec<f32>> {
        if second.inputs != self.outputs {
            return Err(Error::invalid(format!(
                "a product of {} columns for a matrix of rows of {}",
                self.outputs, second.inputs
            )));
        }
        let between = (input.len() / self.inputs).saturating_mul(self.outputs);
        let len = (input.len() / self.inputs).saturating_mul(second.outputs);
        let rows = self.check(input.len(), between, &epilogue)?;
        second.check(between, len, &then)?;
        let mut output = Vec::with_capacity(len);
        let target = second.layer(output.as_mut_ptr(), then);
        if epilogue.residual.is_none() && multiplies_values(self) && multiplies_values(second) {
            multiply_twice(pool, rows, input, &self.layer(std::ptr::null_mut(), epilogue), &target);
        } else {
            // Some rows at a time: what lies between is the largest of all, and stays in the caches.
            let part = MOST_ROWS * pool.threads().div_ceil(4);
            for (index, input) in input.chunks(part * self.inputs).enumerate() {
                let (first, count) = (index * part, input.len() / self.inputs);
                let between = self.product(pool, input, epilogue.of_rows(first, count, self.outputs))?;
                let then = then.of_rows(first, count, second.outputs);
                // SAFETY: the output has room for all rows.
                let place = unsafe { target.output.0.add(first * second.outputs) };
                multiply(pool, count, &between, &[second.layer(place, then)]);
            }
        }
        // SAFETY: the second product has written every value.
        unsafe { output.set_len(len) };
        Ok(output)
    }

    fn layer<'a>(&'a self, output: *mut f32, epilogue: Epilogue<'a>) -> Layer<'a> {
        Layer {
            matrix: self,
            output: Target(output),
            epilogue,
        }
    }

    /// Whether it is stored as `other` is and has the same inputs.
    fn is_like(&self, other: &Self) -> bool {
        self.inputs == other.inputs && std::mem::discriminant(&self.storage) == std::mem::discriminant(&other.storage)
    }

    /// Rows of the input, when everything fits together.
    fn check(&self, input: usize, output: usize, epilogue: &Epilogue<'_>) -> Result<usize> {
        let (outputs, inputs) = (self.outputs, self.inputs);
        let rows = input / inputs;
        if rows * inputs != input || rows.checked_mul(outputs) != Some(output) {
            return Err(Error::invalid(format!(
                "{input} input values and {output} output values for a matrix of {outputs} rows of {inputs}"
            )));
        }
        if let Some(bias) = epilogue.bias.filter(|bias| bias.len() != outputs) {
            return Err(Error::invalid(format!("{} biases for {outputs} outputs", bias.len())));
        }
        if let Some(residual) = epilogue.residual.filter(|residual| residual.len() != output) {
            return Err(Error::invalid(format!(
                "a residual of {} values for {} outputs",
                residual.len(),
                output
            )));
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests;
