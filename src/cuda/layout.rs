//! Tensors of the host on the device, and how a launch divides them.
//!
//! Nothing here touches a GPU: what a host hands in is checked before the driver sees it.

use crate::error::{Error, Result};
use crate::inject::ViewLayout;
use candle_core::DType;

/// Queries per block of the attention kernel: 4 warps of 8.
pub(super) const BLOCK_QUERIES: usize = 32;
/// Channels that one lane group holds.
const GROUP: usize = 32;
/// Largest head width: 8 groups of 32 channels, 70 KiB of shared memory.
pub const MAX_HEAD_DIM: usize = 256;
/// Most blocks in the second and third dimension of a grid.
const MAX_GRID: usize = 65_535;

/// Element type, with the number that the kernels' macros use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Element {
    F32 = 0,
    F16 = 1,
    Bf16 = 2,
}

impl Element {
    pub(super) fn of(dtype: DType, what: &str) -> Result<Self> {
        match dtype {
            DType::F32 => Ok(Self::F32),
            DType::F16 => Ok(Self::F16),
            DType::BF16 => Ok(Self::Bf16),
            other => Err(Error::unsupported(format!(
                "{what} has elements of type {other:?}; on a GPU f32, f16 and bf16 are supported"
            ))),
        }
    }
}

/// A tensor of up to four dimensions in device memory that belongs to the host. It is read or written during a call
/// and never kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeviceView {
    pub(super) data: u64,
    pub(super) element: Element,
    pub(super) dtype: DType,
    /// Filled up in front with dimensions of size 1.
    pub(super) layout: ViewLayout,
    dims: usize,
}

impl DeviceView {
    /// A view of a tensor whose element 0 is at address `data` on the device, byte offset included. `shape` and
    /// `strides` (in elements) have one entry per dimension; `what` names the tensor in errors.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument): NULL or misaligned data, an empty dimension, another
    /// number of strides than dimensions, offsets that overflow. [`Unsupported`](crate::ErrorKind::Unsupported): more
    /// than four dimensions, or elements other than f32, f16 and bf16.
    pub fn new(data: u64, dtype: DType, shape: &[usize], strides: &[usize], what: &str) -> Result<Self> {
        let element = Element::of(dtype, what)?;
        let dims = shape.len();
        if dims > 4 {
            return Err(Error::unsupported(format!(
                "{what} has {dims} dimensions; at most 4 are supported"
            )));
        }
        if strides.len() != dims {
            return Err(Error::invalid(format!(
                "{what} has {dims} dimensions but {} strides",
                strides.len()
            )));
        }
        let mut layout = ViewLayout {
            shape: [1; 4],
            strides: [0; 4],
        };
        layout.shape[4 - dims..].copy_from_slice(shape);
        layout.strides[4 - dims..].copy_from_slice(strides);
        Self::with_layout(data, dtype, layout, what).map(|view| Self {
            element,
            dims,
            ..view
        })
    }

    /// A view `[batch, rows, heads, head_dim]` of a query or an output; see [`DeviceView::new`].
    ///
    /// # Errors
    /// As [`DeviceView::new`].
    pub fn with_layout(data: u64, dtype: DType, layout: ViewLayout, what: &str) -> Result<Self> {
        let element = Element::of(dtype, what)?;
        let size = dtype.size_in_bytes();
        if data == 0 {
            return Err(Error::invalid(format!("{what}: data is NULL")));
        }
        if !data.is_multiple_of(size as u64) {
            return Err(Error::invalid(format!(
                "{what}: address {data:#x} is not a multiple of the element size {size}"
            )));
        }
        let span = layout.span().map_err(|error| error.context(what))?;
        let bytes = span.checked_mul(size).and_then(|bytes| u64::try_from(bytes).ok());
        // Broadcast dimensions make a tensor of few addresses large.
        let count = layout
            .shape
            .iter()
            .try_fold(8i64, |count, &size| count.checked_mul(i64::try_from(size).ok()?));
        if bytes.and_then(|bytes| data.checked_add(bytes)).is_none() || count.is_none() {
            return Err(Error::invalid(format!(
                "{what}: {span} elements from address {data:#x} leave the address space"
            )));
        }
        Ok(Self {
            data,
            element,
            dtype,
            layout,
            dims: 4,
        })
    }

    /// Sizes of the dimensions that the tensor has.
    pub fn shape(&self) -> &[usize] {
        &self.layout.shape[4 - self.dims..]
    }

    /// Sizes of all four dimensions.
    #[cfg(feature = "cuda")]
    pub(crate) fn shape4(&self) -> [usize; 4] {
        self.layout.shape
    }

    /// Refuses a tensor that cannot be written because two of its places share an address.
    pub(super) fn check_writable(&self, what: &str) -> Result<()> {
        if self.layout.repeats_elements() {
            return Err(Error::invalid(format!(
                "{what} of shape {:?} with strides {:?} has places that share memory; it cannot be written",
                self.layout.shape, self.layout.strides
            )));
        }
        Ok(())
    }

    /// Strides as the kernels take them.
    pub(super) fn strides(&self) -> [i64; 4] {
        // `span` keeps every stride that is ever multiplied by an index below 2⁶³.
        self.layout
            .strides
            .map(|stride| i64::try_from(stride).unwrap_or(0))
    }
}

/// How the attention kernel is launched for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Launch {
    /// Blocks: tiles of queries, heads, batch rows.
    pub grid: (u32, u32, u32),
    /// Threads per block.
    pub threads: u32,
    /// Bytes of dynamic shared memory per block.
    pub shared_bytes: u32,
    /// ⌈head width / 32⌉, the kernel's macro `GROUPS`.
    pub groups: usize,
}

/// Groups of 32 channels of a head, and the shared memory that the attention kernel needs for them.
pub(super) fn groups(head_dim: usize) -> Result<(usize, u32)> {
    if head_dim == 0 || head_dim > MAX_HEAD_DIM {
        return Err(Error::unsupported(format!(
            "head width {head_dim}: the GPU's attention kernel takes 1 to {MAX_HEAD_DIM}"
        )));
    }
    let groups = head_dim.div_ceil(GROUP);
    let width = groups * GROUP + 4;
    let floats = 2 * BLOCK_QUERIES * width + 4 * 8 * 32;
    Ok((groups, (floats * 4) as u32))
}

impl Launch {
    /// `rows`: batch rows that get anything.
    pub(super) fn new(queries: usize, heads: usize, rows: usize, head_dim: usize) -> Result<Self> {
        let (groups, shared_bytes) = groups(head_dim)?;
        // Token indices are 32-bit in the kernel, a tile past the end included.
        let tiles = match i32::try_from(queries) {
            Ok(count) if count <= i32::MAX - BLOCK_QUERIES as i32 => queries.div_ceil(BLOCK_QUERIES) as u32,
            _ => {
                return Err(Error::unsupported(format!(
                    "{queries} query tokens are more than the GPU kernel counts"
                )))
            }
        };
        if heads > MAX_GRID || rows > MAX_GRID {
            return Err(Error::unsupported(format!(
                "{heads} heads and {rows} batch rows: the GPU kernel takes at most {MAX_GRID} of each"
            )));
        }
        Ok(Self {
            grid: (tiles, heads as u32, rows as u32),
            threads: 128,
            shared_bytes,
            groups,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn missing_dimensions_are_filled_up_in_front() {
        let view = DeviceView::new(512, DType::F16, &[9, 24], &[30, 1], "tensor").unwrap();
        assert_eq!(
            view.layout,
            ViewLayout {
                shape: [1, 1, 9, 24],
                strides: [0, 0, 30, 1]
            }
        );
        assert_eq!((view.shape(), view.strides()), (&[9, 24][..], [0, 0, 30, 1]));
        let scalar = DeviceView::new(512, DType::F32, &[], &[], "tensor").unwrap();
        assert_eq!((scalar.shape(), scalar.layout.span().unwrap()), (&[][..], 1));
    }

    #[test]
    fn bad_tensors_are_named_and_refused() {
        type Case = (
            u64,
            DType,
            &'static [usize],
            &'static [usize],
            ErrorKind,
            &'static str,
        );
        let cases: [Case; 9] = [
            (
                0,
                DType::F32,
                &[4, 6],
                &[6, 1],
                ErrorKind::InvalidArgument,
                "NULL",
            ),
            (
                258,
                DType::F32,
                &[4, 6],
                &[6, 1],
                ErrorKind::InvalidArgument,
                "0x102",
            ),
            (256, DType::U8, &[4, 6], &[6, 1], ErrorKind::Unsupported, "U8"),
            (
                256,
                DType::F32,
                &[4, 6],
                &[1],
                ErrorKind::InvalidArgument,
                "1 strides",
            ),
            (
                256,
                DType::F32,
                &[4, 0],
                &[6, 1],
                ErrorKind::InvalidArgument,
                "[1, 1, 4, 0]",
            ),
            (
                256,
                DType::F32,
                &[1; 5],
                &[1; 5],
                ErrorKind::Unsupported,
                "5 dimensions",
            ),
            (
                256,
                DType::F32,
                &[4, 6],
                &[usize::MAX, 1],
                ErrorKind::InvalidArgument,
                "4, 6",
            ),
            (
                256,
                DType::F32,
                &[1 << 40, 1 << 40],
                &[0, 0],
                ErrorKind::InvalidArgument,
                "address space",
            ),
            (
                u64::MAX - 3,
                DType::F32,
                &[4, 6],
                &[6, 1],
                ErrorKind::InvalidArgument,
                "address space",
            ),
        ];
        for (data, dtype, shape, strides, kind, word) in cases {
            let error = DeviceView::new(data, dtype, shape, strides, "query").unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(
                error.message().contains("query") && error.message().contains(word),
                "{error}"
            );
        }
    }

    #[test]
    fn broadcast_tensors_are_read_only() {
        let broadcast = DeviceView::new(256, DType::F32, &[2, 3], &[0, 1], "output").unwrap();
        assert_eq!(
            broadcast.check_writable("output").unwrap_err().kind(),
            ErrorKind::InvalidArgument
        );
        let transposed = DeviceView::new(256, DType::F32, &[2, 3], &[1, 2], "output").unwrap();
        assert!(transposed.check_writable("output").is_ok());
    }

    #[test]
    fn launches_cover_all_queries_and_fit_shared_memory() {
        for (queries, heads, rows, head_dim, grid, groups) in [
            (4096, 10, 2, 64, (128, 10, 2), 2),
            (4097, 8, 1, 40, (129, 8, 1), 2),
            (1, 8, 1, 160, (1, 8, 1), 5),
            (64, 1, 3, 256, (2, 1, 3), 8),
        ] {
            let launch = Launch::new(queries, heads, rows, head_dim).unwrap();
            assert_eq!((launch.grid, launch.groups), (grid, groups));
            // 99 KiB is what a block may have on the smallest supported chips (compute capability 8.6).
            assert!(launch.shared_bytes <= 99 * 1024);
        }
        assert_eq!(
            Launch::new(1, 1, 1, 64).unwrap().shared_bytes,
            (64 * 68 + 1024) * 4
        );
        for (queries, heads, rows, head_dim) in [
            (1, 1, 1, 257),
            (1, 1, 1, 0),
            (1, 65_536, 1, 8),
            (usize::MAX, 1, 1, 8),
        ] {
            assert_eq!(
                Launch::new(queries, heads, rows, head_dim).unwrap_err().kind(),
                ErrorKind::Unsupported
            );
        }
    }
}
