//! Parts of a tensor: one head of one batch entry, some rows of all.

use super::{TensorView, TensorViewMut};
use crate::error::{Error, Result};
use std::ops::Range;

impl<'a> TensorView<'a> {
    /// One head of one batch entry of a tensor `[batch, rows, heads, width]`, as `[1, rows, 1, width]`.
    ///
    /// # Errors
    /// `InvalidArgument` when there is no such batch entry or head.
    pub fn head(mut self, batch: usize, head: usize) -> Result<Self> {
        let [batches, rows, heads, width] = self.shape;
        if batch >= batches || head >= heads {
            return Err(Error::invalid(format!(
                "head {head} of batch entry {batch} of a tensor of shape {:?}",
                self.dims()
            )));
        }
        self.data = self.at([batch, 0, head, 0]);
        self.shape = [1, rows, 1, width];
        let [_, by_row, _, by_column] = self.strides;
        self.strides = [0, by_row, 0, by_column];
        self.rank = 4;
        Ok(self)
    }

    /// Some rows of every batch entry of a tensor `[batch, rows, heads, width]`.
    ///
    /// # Errors
    /// `InvalidArgument` when there are no such rows.
    pub fn rows(mut self, rows: Range<usize>) -> Result<Self> {
        let [_, count, ..] = self.shape;
        if rows.start > rows.end || rows.end > count {
            return Err(Error::invalid(format!(
                "rows {rows:?} of a tensor of shape {:?}",
                self.dims()
            )));
        }
        if !rows.is_empty() {
            self.data = self.at([0, rows.start, 0, 0]);
        }
        self.shape[1] = rows.len();
        if rows.len() <= 1 {
            self.strides[1] = 0;
        }
        self.rank = 4;
        Ok(self)
    }
}

impl TensorViewMut<'_> {
    /// As [`TensorView::head`], to write.
    ///
    /// # Errors
    /// As there.
    pub fn head(&mut self, batch: usize, head: usize) -> Result<TensorViewMut<'_>> {
        let view = self.as_view().head(batch, head)?;
        // SAFETY: the memory is part of this view's, which may write it and is borrowed exclusively.
        unsafe { view.writable() }
    }

    /// As [`TensorView::rows`], to write.
    ///
    /// # Errors
    /// As there.
    pub fn rows(&mut self, rows: Range<usize>) -> Result<TensorViewMut<'_>> {
        let view = self.as_view().rows(rows)?;
        // SAFETY: as in `head`.
        unsafe { view.writable() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ThreadPool;

    #[test]
    fn a_head_is_its_rows() {
        let mut data: Vec<f32> = (0..2 * 3 * 2 * 4).map(|i| i as f32).collect();
        let view = TensorView::contiguous(&data, [2, 3, 2, 4]).unwrap();
        let head = view.head(1, 1).unwrap();
        assert_eq!(head.shape(), [1, 3, 1, 4]);
        let mut rows = [0.0; 12];
        let pool = ThreadPool::new(1);
        head.transpose(1, 2)
            .unwrap()
            .widen_rows(&pool, 0, 0..3, &mut rows)
            .unwrap();
        assert_eq!(rows[..5], [28.0, 29.0, 30.0, 31.0, 36.0]);
        assert!(view.head(2, 0).is_err() && view.head(0, 2).is_err());
        let last = view.rows(1..3).unwrap();
        assert_eq!((last.shape(), last.to_vec().unwrap()[0]), ([2, 2, 2, 4], 8.0));
        assert_eq!(last.to_vec().unwrap()[16], 32.0);
        assert!(view.rows(3..3).unwrap().is_empty() && view.rows(2..4).is_err());
        let mut view = TensorViewMut::contiguous(&mut data, [2, 3, 2, 4]).unwrap();
        view.head(0, 1).unwrap().copy_from(&[-1.0; 12]).unwrap();
        assert_eq!(data[3..13], [3.0, -1.0, -1.0, -1.0, -1.0, 8.0, 9.0, 10.0, 11.0, -1.0]);
    }
}
