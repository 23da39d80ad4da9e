//! Shape and strides of attention tensors.

use crate::error::{Error, Result};

/// Shape and strides of a view `[batch, rows, heads, head_dim]`. Strides count elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewLayout {
    /// Batch rows, image tokens, heads, width of a head.
    pub shape: [usize; 4],
    /// Distance of neighbours along each dimension.
    pub strides: [usize; 4],
}

impl ViewLayout {
    /// Contiguous `[batch, rows, heads · head_dim]`.
    pub fn rows_first(batch: usize, rows: usize, heads: usize, head_dim: usize) -> Self {
        let inner = heads.saturating_mul(head_dim);
        let strides = [rows.saturating_mul(inner), inner, head_dim, 1];
        Self {
            shape: [batch, rows, heads, head_dim],
            strides,
        }
    }

    /// Contiguous `[batch, heads, rows, head_dim]`.
    pub fn heads_first(batch: usize, rows: usize, heads: usize, head_dim: usize) -> Self {
        let plane = rows.saturating_mul(head_dim);
        let strides = [heads.saturating_mul(plane), head_dim, plane, 1];
        Self {
            shape: [batch, rows, heads, head_dim],
            strides,
        }
    }

    /// Number of elements from the first to the last one, both included; what a slice must at least have.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for an empty dimension or a span that overflows.
    pub fn span(&self) -> Result<usize> {
        let mut last = 0usize;
        for (size, stride) in self.shape.iter().zip(self.strides) {
            let reach = size.checked_sub(1).and_then(|steps| steps.checked_mul(stride));
            last = reach
                .and_then(|reach| last.checked_add(reach))
                .filter(|last| *last < isize::MAX as usize)
                .ok_or_else(|| {
                    Error::invalid(format!(
                        "a view of shape {:?} and strides {:?}",
                        self.shape, self.strides
                    ))
                })?;
        }
        Ok(last + 1)
    }

    /// Whether two index tuples may name the same element. A view to be written must not do that.
    ///
    /// Dimensions are sorted by stride; each must step over everything that the smaller ones reach. That holds for
    /// every permuted or sliced array and refuses broadcast views.
    pub fn repeats_elements(&self) -> bool {
        let mut dimensions: [(usize, usize); 4] = std::array::from_fn(|i| (self.strides[i], self.shape[i]));
        dimensions.sort_unstable();
        let mut reach = 0;
        for (stride, size) in dimensions.into_iter().filter(|(_, size)| *size > 1) {
            if stride <= reach {
                return true;
            }
            reach += stride * (size - 1);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_reach_the_last_element() {
        assert_eq!(ViewLayout::rows_first(2, 3, 4, 5).span().unwrap(), 120);
        assert_eq!(ViewLayout::heads_first(2, 3, 4, 5).span().unwrap(), 120);
        let sliced = ViewLayout {
            shape: [2, 3, 4, 5],
            strides: [180, 60, 5, 1],
        };
        assert_eq!(sliced.span().unwrap(), 180 + 120 + 15 + 4 + 1);
        for shape in [[0, 1, 1, 1], [usize::MAX, 2, 1, 1]] {
            assert!(ViewLayout {
                shape,
                strides: [usize::MAX, 1, 1, 1]
            }
            .span()
            .is_err());
        }
    }

    #[test]
    fn broadcast_layouts_repeat_elements() {
        let layout = ViewLayout::heads_first(2, 3, 4, 5);
        assert!(!layout.repeats_elements() && !ViewLayout::rows_first(2, 3, 4, 5).repeats_elements());
        assert!(ViewLayout {
            strides: [0, 5, 15, 1],
            ..layout
        }
        .repeats_elements());
    }
}
