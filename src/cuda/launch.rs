//! How a launch of the attention kernel divides a call. Nothing here touches a GPU.

use crate::error::{Error, Result};

/// Queries per block of the attention kernel: 4 warps of 8.
pub(super) const BLOCK_QUERIES: usize = 32;
/// Channels that one lane group holds.
const GROUP: usize = 32;
/// Largest head width: 8 groups of 32 channels, 70 KiB of shared memory.
pub const MAX_HEAD_DIM: usize = 256;
/// Most blocks in the second and third dimension of a grid.
const MAX_GRID: usize = 65_535;

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
        assert_eq!(Launch::new(1, 1, 1, 64).unwrap().shared_bytes, (64 * 68 + 1024) * 4);
        for (queries, heads, rows, head_dim) in [(1, 1, 1, 257), (1, 1, 1, 0), (1, 65_536, 1, 8), (usize::MAX, 1, 1, 8)]
        {
            assert_eq!(
                Launch::new(queries, heads, rows, head_dim).unwrap_err().kind(),
                ErrorKind::Unsupported
            );
        }
    }
}
