//! The host's query and output as strided views of its own memory.

use super::ViewLayout;
use crate::error::Result;
use candle_core::DType;
use half::{bf16, f16};
use omniid_kernels::{TensorView, TensorViewMut};

/// Elements that are read, of a number type known at run time.
#[derive(Debug, Clone, Copy)]
pub enum Elements<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// IEEE half precision.
    F16(&'a [f16]),
    /// bfloat16.
    Bf16(&'a [bf16]),
}

/// Elements that are written, of a number type known at run time.
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

/// Queries to attend with. Also made from any [`TensorView`].
#[derive(Debug, Clone, Copy)]
pub struct QueryView<'a>(pub(super) TensorView<'a>);

/// Output to add to. Also made from any [`TensorViewMut`].
#[derive(Debug)]
pub struct OutputView<'a>(pub(super) TensorViewMut<'a>);

impl<'a> QueryView<'a> {
    /// A view that begins at the slice's first element.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when the slice is shorter than the layout's span or a
    /// dimension is empty.
    pub fn new(elements: Elements<'a>, layout: ViewLayout) -> Result<Self> {
        layout.span().map_err(|error| error.context("query"))?;
        let view = match elements {
            Elements::F32(values) => TensorView::new(values, layout.shape, layout.strides),
            Elements::F16(values) => TensorView::new(values, layout.shape, layout.strides),
            Elements::Bf16(values) => TensorView::new(values, layout.shape, layout.strides),
        };
        view.map(Self).map_err(|error| error.context("query"))
    }
}

impl<'a> OutputView<'a> {
    /// A view that begins at the slice's first element.
    ///
    /// # Errors
    /// As [`QueryView::new`], and when two places of the view share an element.
    pub fn new(elements: ElementsMut<'a>, layout: ViewLayout) -> Result<Self> {
        layout.span().map_err(|error| error.context("output"))?;
        let view = match elements {
            ElementsMut::F32(values) => TensorViewMut::new(values, layout.shape, layout.strides),
            ElementsMut::F16(values) => TensorViewMut::new(values, layout.shape, layout.strides),
            ElementsMut::Bf16(values) => TensorViewMut::new(values, layout.shape, layout.strides),
        };
        view.map(Self).map_err(|error| error.context("output"))
    }
}

impl<'a> From<TensorView<'a>> for QueryView<'a> {
    fn from(view: TensorView<'a>) -> Self {
        Self(view)
    }
}

impl<'a> From<TensorViewMut<'a>> for OutputView<'a> {
    fn from(view: TensorViewMut<'a>) -> Self {
        Self(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_outside_their_memory_are_refused() {
        let mut memory = vec![0f32; 120];
        let layout = ViewLayout::heads_first(2, 3, 4, 5);
        assert!(OutputView::new(ElementsMut::F32(&mut memory), layout).is_ok());
        let broadcast = ViewLayout {
            strides: [0, 5, 15, 1],
            ..layout
        };
        let error = OutputView::new(ElementsMut::F32(&mut memory), broadcast).unwrap_err();
        assert!(error.message().starts_with("output"), "{error}");
        assert!(QueryView::new(Elements::F32(&memory), broadcast).is_ok());
        let error = QueryView::new(Elements::F32(&memory[1..]), layout).unwrap_err();
        assert!(
            error.message().starts_with("query") && error.message().contains("120"),
            "{error}"
        );
        let empty = ViewLayout {
            shape: [2, 0, 4, 5],
            ..layout
        };
        assert!(QueryView::new(Elements::F32(&memory), empty).is_err());
    }
}
