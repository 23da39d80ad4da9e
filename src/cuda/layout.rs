//! Tensors of the host on the device, and how a launch divides them.
//!
//! Nothing here touches a GPU: what a host hands in is checked before the driver sees it.

use crate::error::{Error, Result};
use candle_core::DType;

/// Queries per block of the attention kernel: 4 warps of 8.
pub(super) const BLOCK_QUERIES: usize = 32;
/// Threads per block of the attention kernel.
pub(super) const BLOCK_THREADS: u32 = 128;
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

    pub(super) fn size(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// A tensor in device memory that belongs to the host. It is read or written during a call and never kept.
///
/// Strides count elements and may be zero or negative for tensors that are only read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeviceTensor<'a> {
    /// Address of element 0 on the device, byte offset included.
    pub data: u64,
    /// Element type: f32, f16 or bf16.
    pub dtype: DType,
    /// Size of each dimension.
    pub shape: &'a [usize],
    /// Distance between neighbours in each dimension, in elements.
    pub strides: &'a [i64],
}

/// A tensor's `[batch, tokens, heads, head_dim]` view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heads {
    pub data: u64,
    pub element: Element,
    pub shape: [usize; 4],
    pub strides: [i64; 4],
}

/// Where the heads are in a query or an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HeadLayout {
    /// `[batch, tokens, heads · head_dim]`, or `[batch, tokens, heads, head_dim]`.
    TokensFirst,
    /// `[batch, heads, tokens, head_dim]`.
    HeadsFirst,
}

impl Heads {
    /// Views a query or an output by heads.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`: NULL or misaligned data, strides that do not match the shape in number, a shape so large
    /// that offsets overflow. `Mismatch`: another number of dimensions, heads or channels than the layer has.
    /// `Unsupported`: another element type.
    pub(super) fn new(
        tensor: &DeviceTensor<'_>,
        layout: HeadLayout,
        heads: usize,
        head_dim: usize,
        what: &str,
    ) -> Result<Self> {
        let element = Element::of(tensor.dtype, what)?;
        let mismatch = || {
            let expected = match layout {
                HeadLayout::TokensFirst => format!("[batch, tokens, {}]", heads.saturating_mul(head_dim)),
                HeadLayout::HeadsFirst => format!("[batch, {heads}, tokens, {head_dim}]"),
            };
            Error::mismatch(format!(
                "{what} has shape {:?}; the layer takes {expected}",
                tensor.shape
            ))
        };
        if tensor.shape.len() != tensor.strides.len() {
            return Err(Error::invalid(format!(
                "{what} has {} dimensions but {} strides",
                tensor.shape.len(),
                tensor.strides.len()
            )));
        }
        let (shape, strides) = match (layout, tensor.shape, tensor.strides) {
            (HeadLayout::TokensFirst, &[b, s, inner], &[sb, ss, sc])
                if heads.checked_mul(head_dim) == Some(inner) =>
            {
                let head_stride = i64::try_from(head_dim).ok().and_then(|dim| dim.checked_mul(sc));
                let head_stride = head_stride.ok_or_else(|| overflow(what))?;
                ([b, s, heads, head_dim], [sb, ss, head_stride, sc])
            }
            (HeadLayout::TokensFirst, &[b, s, h, d], &[sb, ss, sh, sd]) if (h, d) == (heads, head_dim) => {
                ([b, s, h, d], [sb, ss, sh, sd])
            }
            (HeadLayout::HeadsFirst, &[b, h, s, d], &[sb, sh, ss, sd]) if (h, d) == (heads, head_dim) => {
                ([b, s, h, d], [sb, ss, sh, sd])
            }
            _ => return Err(mismatch()),
        };
        check_extent(tensor.data, element, &shape, &strides, what)?;
        Ok(Self {
            data: tensor.data,
            element,
            shape,
            strides,
        })
    }
}

fn overflow(what: &str) -> Error {
    Error::invalid(format!("{what}: shape times strides overflow 63 bits"))
}

/// Refuses NULL, misaligned data and offsets that a 64-bit address cannot hold.
pub(super) fn check_extent(
    data: u64,
    element: Element,
    shape: &[usize],
    strides: &[i64],
    what: &str,
) -> Result<()> {
    if shape.contains(&0) {
        return Ok(());
    }
    if data == 0 {
        return Err(Error::invalid(format!("{what}: data is NULL")));
    }
    if !data.is_multiple_of(element.size()) {
        return Err(Error::invalid(format!(
            "{what}: address {data:#x} is not a multiple of the element size {}",
            element.size()
        )));
    }
    // The sum of all |stride| · (size − 1) bounds every partial offset that a kernel computes.
    let mut span: i64 = 1;
    for (&size, &stride) in shape.iter().zip(strides) {
        let last = i64::try_from(size - 1).map_err(|_| overflow(what))?;
        let step = stride.checked_abs().and_then(|stride| stride.checked_mul(last));
        span = step
            .and_then(|step| span.checked_add(step))
            .ok_or_else(|| overflow(what))?;
    }
    span.checked_mul(4).map(|_| ()).ok_or_else(|| overflow(what))
}

/// Whether two elements of the tensor may share an address; such a tensor cannot be written.
///
/// Exact for every layout that permuting and slicing can make: sorted by stride, each stride must step over the
/// whole extent of the smaller ones. Rarer layouts without overlap are reported as overlapping.
pub(super) fn may_overlap(shape: &[usize], strides: &[i64]) -> bool {
    if shape.contains(&0) {
        return false;
    }
    let mut dims: Vec<(u128, u128)> = shape
        .iter()
        .zip(strides)
        .filter(|(&size, _)| size > 1)
        .map(|(&size, &stride)| (u128::from(stride.unsigned_abs()), size as u128))
        .collect();
    dims.sort_unstable();
    let mut extent: u128 = 1;
    for (stride, size) in dims {
        if stride < extent {
            return true;
        }
        extent = extent.saturating_add(stride.saturating_mul(size - 1));
    }
    false
}

/// How the attention kernel is launched for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Launch {
    /// Blocks: tiles of queries, heads, batch rows.
    pub grid: (u32, u32, u32),
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
            shared_bytes,
            groups,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn tensor<'a>(shape: &'a [usize], strides: &'a [i64]) -> DeviceTensor<'a> {
        DeviceTensor {
            data: 256,
            dtype: DType::F16,
            shape,
            strides,
        }
    }

    #[test]
    fn the_layouts_of_a_query_give_the_same_view() {
        let expected = ([2, 9, 3, 8], [9 * 24, 24, 8, 1]);
        for (shape, strides, layout) in [
            (vec![2, 9, 24], vec![9 * 24, 24, 1], HeadLayout::TokensFirst),
            (vec![2, 9, 3, 8], vec![9 * 24, 24, 8, 1], HeadLayout::TokensFirst),
            (vec![2, 3, 9, 8], vec![9 * 24, 8, 24, 1], HeadLayout::HeadsFirst),
        ] {
            let heads = Heads::new(&tensor(&shape, &strides), layout, 3, 8, "query").unwrap();
            assert_eq!((heads.shape, heads.strides), expected, "{layout:?} {shape:?}");
        }
    }

    #[test]
    fn a_channel_stride_carries_over_to_the_heads() {
        let heads = Heads::new(
            &tensor(&[1, 4, 6], &[48, 12, 2]),
            HeadLayout::TokensFirst,
            3,
            2,
            "query",
        )
        .unwrap();
        assert_eq!(heads.strides, [48, 12, 4, 2]);
    }

    #[test]
    fn bad_tensors_are_named_and_refused() {
        let good = tensor(&[1, 4, 6], &[24, 6, 1]);
        let cases = [
            (
                DeviceTensor { data: 0, ..good },
                ErrorKind::InvalidArgument,
                "NULL",
            ),
            (
                DeviceTensor { data: 257, ..good },
                ErrorKind::InvalidArgument,
                "0x101",
            ),
            (
                DeviceTensor {
                    dtype: DType::U8,
                    ..good
                },
                ErrorKind::Unsupported,
                "U8",
            ),
            (
                DeviceTensor {
                    shape: &[1, 4, 7],
                    ..good
                },
                ErrorKind::Mismatch,
                "[1, 4, 7]",
            ),
            (
                DeviceTensor {
                    shape: &[4, 6],
                    strides: &[6, 1],
                    ..good
                },
                ErrorKind::Mismatch,
                "[4, 6]",
            ),
            (
                DeviceTensor {
                    strides: &[6, 1],
                    ..good
                },
                ErrorKind::InvalidArgument,
                "2 strides",
            ),
            (
                DeviceTensor {
                    strides: &[24, i64::MIN, 1],
                    ..good
                },
                ErrorKind::InvalidArgument,
                "overflow",
            ),
            (
                DeviceTensor {
                    strides: &[24, i64::MAX / 2, 1],
                    ..good
                },
                ErrorKind::InvalidArgument,
                "overflow",
            ),
            (
                DeviceTensor {
                    strides: &[24, 6, i64::MAX],
                    ..good
                },
                ErrorKind::InvalidArgument,
                "overflow",
            ),
        ];
        for (bad, kind, word) in cases {
            let error = Heads::new(&bad, HeadLayout::TokensFirst, 3, 2, "query").unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(
                error.message().contains("query") && error.message().contains(word),
                "{error}"
            );
        }
        let heads_first = Heads::new(&good, HeadLayout::HeadsFirst, 3, 2, "query").unwrap_err();
        assert_eq!(heads_first.kind(), ErrorKind::Mismatch);
    }

    #[test]
    fn empty_tensors_need_no_data() {
        let empty = DeviceTensor {
            data: 0,
            ..tensor(&[0, 4, 6], &[24, 6, 1])
        };
        assert!(Heads::new(&empty, HeadLayout::TokensFirst, 3, 2, "query").is_ok());
    }

    /// Against the definition: list every address, look for one that occurs twice.
    #[test]
    fn overlap_agrees_with_a_listing_of_all_addresses() {
        let sizes = [1usize, 2, 3];
        let steps = [-4i64, -1, 0, 1, 2, 3, 6];
        let mut exact = 0;
        for (a, b) in sizes.iter().flat_map(|&a| sizes.iter().map(move |&b| (a, b))) {
            for (p, q) in steps.iter().flat_map(|&p| steps.iter().map(move |&q| (p, q))) {
                let mut seen = std::collections::HashSet::new();
                let overlap = (0..a).any(|i| (0..b).any(|j| !seen.insert(i as i64 * p + j as i64 * q)));
                let reported = may_overlap(&[a, b], &[p, q]);
                assert!(reported || !overlap, "missed: {a}x{b}, strides {p} {q}");
                exact += usize::from(reported == overlap);
            }
        }
        // Interleaved layouts such as sizes 3 and 2 with strides 2 and 3 are the ones that may be refused needlessly.
        assert!(exact >= 430, "{exact} of 441 exact");
        assert!(!may_overlap(&[2, 3, 9, 8], &[9 * 24, 8, 24, 1]));
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
