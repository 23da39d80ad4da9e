//! Factors that the values of a tensor are multiplied by when they are read.

use std::sync::Arc;

/// Factors of a tensor's values.
#[derive(Debug, Clone)]
pub(super) struct Scale {
    /// One factor for all, or one for each place along `axis`.
    values: Arc<[f32]>,
    axis: usize,
    /// The place in `values` of the first row of the view.
    first: usize,
}

impl Scale {
    /// One factor, or one for each row.
    pub(super) fn new(values: Vec<f32>) -> Self {
        Self {
            values: values.into(),
            axis: 0,
            first: 0,
        }
    }

    /// The factor of element `index` of the row-major order of a tensor of shape `shape`.
    pub(super) fn of(&self, index: usize, shape: &[usize]) -> f32 {
        if let [one] = *self.values {
            return one;
        }
        let inner: usize = shape.iter().skip(self.axis + 1).product();
        let along = index / inner.max(1) % shape.get(self.axis).copied().unwrap_or(1).max(1);
        self.values.get(self.first + along).copied().unwrap_or(f32::NAN)
    }

    /// Multiplies `values`, which begin with element `index` of the tensor.
    pub(super) fn apply(&self, values: &mut [f32], index: usize, shape: &[usize]) {
        match *self.values {
            [one] => values.iter_mut().for_each(|value| *value *= one),
            _ => {
                for (offset, value) in values.iter_mut().enumerate() {
                    *value *= self.of(index + offset, shape);
                }
            }
        }
    }

    /// The factors of the rows from `start` on.
    pub(super) fn rows(mut self, start: usize) -> Self {
        if self.axis == 0 && self.values.len() > 1 {
            self.first += start;
        }
        self
    }

    /// The factors of the matrix with rows and columns exchanged.
    pub(super) fn transposed(mut self) -> Self {
        self.axis = 1 - self.axis.min(1);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_follow_rows_and_columns() {
        let scale = Scale::new(vec![1.0, 10.0, 100.0]);
        let mut values = vec![1.0; 6];
        scale.apply(&mut values, 0, &[3, 2]);
        assert_eq!(values, [1.0, 1.0, 10.0, 10.0, 100.0, 100.0]);
        // The same matrix lying on its side, from its second element on.
        let mut values = vec![2.0; 4];
        scale.clone().transposed().apply(&mut values, 1, &[2, 3]);
        assert_eq!(values, [20.0, 200.0, 2.0, 20.0]);
        let mut values = vec![1.0; 2];
        scale.rows(2).apply(&mut values, 0, &[1, 2]);
        assert_eq!(values, [100.0, 100.0]);
        assert_eq!(Scale::new(vec![0.5]).rows(7).transposed().of(3, &[9, 9]), 0.5);
    }
}
