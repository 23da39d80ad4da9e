//! The host's query and output as strided views of its own memory.

use crate::error::{Error, Result};
use candle_core::DType;
use half::{bf16, f16};

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
    pub(crate) fn repeats_elements(&self) -> bool {
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

/// Elements that are read.
#[derive(Debug, Clone, Copy)]
pub enum Elements<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// IEEE half precision.
    F16(&'a [f16]),
    /// bfloat16.
    Bf16(&'a [bf16]),
}

/// Elements that are written.
#[derive(Debug)]
pub enum ElementsMut<'a> {
    /// 32-bit floats.
    F32(&'a mut [f32]),
    /// IEEE half precision.
    F16(&'a mut [f16]),
    /// bfloat16.
    Bf16(&'a mut [bf16]),
}

impl Elements<'_> {
    /// Number type.
    pub fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::F16(_) => DType::F16,
            Self::Bf16(_) => DType::BF16,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::Bf16(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl ElementsMut<'_> {
    /// Number type.
    pub fn dtype(&self) -> DType {
        self.as_ref().dtype()
    }

    /// The same elements for reading.
    pub fn as_ref(&self) -> Elements<'_> {
        match self {
            Self::F32(values) => Elements::F32(values),
            Self::F16(values) => Elements::F16(values),
            Self::Bf16(values) => Elements::Bf16(values),
        }
    }
}

/// Queries to attend with.
#[derive(Debug, Clone, Copy)]
pub struct QueryView<'a> {
    pub(crate) elements: Elements<'a>,
    pub(crate) layout: ViewLayout,
}

/// Output to add to.
#[derive(Debug)]
pub struct OutputView<'a> {
    pub(crate) elements: ElementsMut<'a>,
    pub(crate) layout: ViewLayout,
}

impl<'a> QueryView<'a> {
    /// A view that begins at the slice's first element.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when the slice is shorter than the layout's span or a
    /// dimension is empty.
    pub fn new(elements: Elements<'a>, layout: ViewLayout) -> Result<Self> {
        check("query", elements.len(), &layout)?;
        Ok(Self { elements, layout })
    }
}

impl<'a> OutputView<'a> {
    /// A view that begins at the slice's first element.
    ///
    /// # Errors
    /// As [`QueryView::new`], and when two places of the view share an element.
    pub fn new(elements: ElementsMut<'a>, layout: ViewLayout) -> Result<Self> {
        check("output", elements.as_ref().len(), &layout)?;
        if layout.repeats_elements() {
            return Err(Error::invalid(format!(
                "output of shape {:?} with strides {:?} has places that share memory; it cannot be added to",
                layout.shape, layout.strides
            )));
        }
        Ok(Self { elements, layout })
    }
}

fn check(what: &str, len: usize, layout: &ViewLayout) -> Result<()> {
    let span = layout.span().map_err(|error| error.context(what))?;
    if span > len {
        return Err(Error::invalid(format!(
            "{what} of shape {:?} with strides {:?} spans {span} elements, the memory has {len}",
            layout.shape, layout.strides
        )));
    }
    Ok(())
}

/// Checks that a query and an output do not overlap, for callers that hold raw addresses: byte ranges from the first
/// to behind the last element. Slices cannot overlap, so a safe caller needs no check.
///
/// # Errors
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when they share a byte. The output cannot be the query
/// either: the query would be overwritten while later identities still need it.
pub fn check_disjoint(query: std::ops::Range<usize>, output: std::ops::Range<usize>) -> Result<()> {
    if query.start < output.end && output.start < query.end {
        return Err(Error::invalid(
            "query and output share memory; the output must be a tensor of its own, usually the layer's text attention",
        ));
    }
    Ok(())
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
    fn broadcast_outputs_are_refused() {
        let mut memory = vec![0f32; 120];
        let layout = ViewLayout::heads_first(2, 3, 4, 5);
        assert!(OutputView::new(ElementsMut::F32(&mut memory), layout).is_ok());
        let broadcast = ViewLayout {
            strides: [0, 5, 15, 1],
            ..layout
        };
        assert!(OutputView::new(ElementsMut::F32(&mut memory), broadcast).is_err());
        assert!(QueryView::new(Elements::F32(&memory), broadcast).is_ok());
        assert!(QueryView::new(Elements::F32(&memory[1..]), layout)
            .unwrap_err()
            .message()
            .contains("120"));
    }

    #[test]
    fn neighbours_are_disjoint_and_overlaps_are_not() {
        assert!(check_disjoint(0..16, 16..32).is_ok() && check_disjoint(16..32, 0..16).is_ok());
        assert!(check_disjoint(0..16, 0..16).is_err() && check_disjoint(0..17, 16..32).is_err());
    }
}
