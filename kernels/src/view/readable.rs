//! The numbers of a view.

use super::{TensorView, MAX_RANK};
use crate::error::Result;
use crate::simd::load_one;

impl TensorView<'_> {
    /// All values in row-major order, as f32.
    ///
    /// # Errors
    /// `Unsupported` when the memory is not the processor's.
    pub fn to_vec(&self) -> Result<Vec<f32>> {
        self.require_cpu()?;
        let [a, b, c, d]: [usize; MAX_RANK] = self.shape;
        let mut values = Vec::with_capacity(a * b * c * d);
        let rows = (0..a).flat_map(|a| (0..b).flat_map(move |b| (0..c).map(move |c| (a, b, c))));
        for (a, b, c) in rows {
            // SAFETY: the indices are inside the shape, for which the constructor vouches.
            values.extend((0..d).map(|d| unsafe { load_one(self.at([a, b, c, d]), self.element) }));
        }
        Ok(values)
    }
}
