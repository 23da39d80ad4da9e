//! Buffers of the host.

use super::{Graph, GraphInput};
use crate::error::{Error, Result};
use crate::precision::Precision;

/// The memory that the host has for one input of the graph.
#[derive(Debug)]
#[non_exhaustive]
pub struct GraphBuffer<'a> {
    /// Name of the input.
    pub name: &'a str,
    /// The buffer's number type, which has to be the input's: that of the graph, f32 for scales.
    pub precision: Precision,
    /// Its shape; empty when only the number of bytes is to be compared.
    pub shape: &'a [usize],
    /// Its memory: all of it is written. Of any alignment.
    pub bytes: &'a mut [u8],
}

impl<'a> GraphBuffer<'a> {
    /// A buffer of f32 numbers without a shape.
    pub fn new(name: &'a str, bytes: &'a mut [u8]) -> Self {
        Self {
            name,
            precision: Precision::F32,
            shape: &[],
            bytes,
        }
    }

    /// Sets the number type.
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Sets the shape.
    #[must_use]
    pub fn with_shape(mut self, shape: &'a [usize]) -> Self {
        self.shape = shape;
        self
    }

    /// Compares it with what the graph takes.
    pub(super) fn check(&self, graph: &Graph, input: &GraphInput, shape: &[usize]) -> Result<()> {
        let precision = graph.input_precision(input.kind);
        let needed = byte_size(shape, precision)?;
        let is_shape = self.shape.is_empty() || self.shape == shape;
        if self.precision == precision && is_shape && self.bytes.len() == needed {
            return Ok(());
        }
        let given = match self.shape {
            [] => format!("of {}", self.precision),
            shape => format!("{shape:?} {}", self.precision),
        };
        Err(Error::mismatch(format!(
            "{}: the graph takes {shape:?} {precision} ({needed} bytes), the buffer is {given} ({} bytes)",
            graph.describe(input),
            self.bytes.len()
        )))
    }
}

/// Bytes of a tensor.
pub(super) fn byte_size(shape: &[usize], precision: Precision) -> Result<usize> {
    let count = shape.iter().try_fold(1usize, |count, size| count.checked_mul(*size));
    count
        .and_then(|count| count.checked_mul(precision.dtype().size_in_bytes()))
        .filter(|bytes| *bytes <= isize::MAX as usize)
        .ok_or_else(|| Error::limit(format!("a tensor {shape:?} of {precision} does not fit into memory")))
}
