//! What happens to a product before it becomes the output.

use crate::elementwise::Activation;
use crate::simd::{load_first, Lanes};

/// What happens to the product before it becomes the output.
#[derive(Debug, Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// Added to every row: `[out]`.
    pub bias: Option<&'a [f32]>,
    /// Applied after the bias.
    pub activation: Option<Activation>,
    /// A tensor `[rows, out]` that the result is added to, after the activation.
    pub residual: Option<&'a [f32]>,
}

impl Epilogue<'_> {
    /// That of `count` rows of `outputs` values from row `first` on.
    pub(super) fn of_rows(&self, first: usize, count: usize, outputs: usize) -> Self {
        Self {
            residual: self.residual.map(|all| &all[first * outputs..][..count * outputs]),
            ..*self
        }
    }

    /// The output of `count` values of the product, of columns from `column` on; `offset` is their place in the output.
    ///
    /// # Safety
    /// `count` values exist at both places; `L`'s instructions exist.
    #[inline(always)]
    pub(super) unsafe fn complete<L: Lanes>(&self, value: L::V, column: usize, offset: usize, count: usize) -> L::V {
        let mut value = value;
        // SAFETY: the caller vouches for the places and the instructions.
        unsafe {
            if let Some(bias) = self.bias {
                value = L::add(value, load_first::<L>(bias.as_ptr().add(column), count));
            }
            if let Some(activation) = self.activation {
                value = activation.vector::<L>(value);
            }
            if let Some(residual) = self.residual {
                value = L::add(value, load_first::<L>(residual.as_ptr().add(offset), count));
            }
        }
        value
    }
}
