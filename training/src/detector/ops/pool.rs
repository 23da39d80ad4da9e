//! Max pooling, forward and backward.

use super::{check, elements, for_parts, Grid};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

/// The largest of each 2×2 window: `[batch, height · width, channels]` to a quarter of the places. Sides are even.
///
/// # Errors
/// For shapes that do not fit.
pub fn max_pool(x: &Tensor, grid: Grid) -> Result<Tensor> {
    x.contiguous()?.apply_op1(MaxPool(grid))
}

struct MaxPool(Grid);

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max pool 2x2"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (grid, half) = (self.0, self.0.half());
        let (batch, channels) = check(layout, grid)?;
        let x = elements(x, layout)?;
        let mut output = vec![f32::NEG_INFINITY; batch * half.height * half.width * channels];
        for_parts(&mut output, half.width * channels, &|number, part| {
            let (picture, row) = (number / half.height, number % half.height);
            for (column, out) in part.chunks_exact_mut(channels).enumerate() {
                for place in corners(grid, picture, row, column) {
                    let input = &x[place * channels..(place + 1) * channels];
                    for (out, input) in out.iter_mut().zip(input) {
                        *out = out.max(*input);
                    }
                }
            }
        });
        let shape = Shape::from((batch, half.height * half.width, channels));
        Ok((CpuStorage::F32(output), shape))
    }

    fn bwd(&self, x: &Tensor, output: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        // The winner is found again: cheaper than keeping its place.
        let both = Tensor::stack(&[output, gradient], 0)?;
        Ok(Some(x.apply_op2_no_bwd(&both, &Winners(self.0))?))
    }
}

/// The places of a window.
fn corners(grid: Grid, picture: usize, row: usize, column: usize) -> [usize; 4] {
    let first = (picture * grid.height + 2 * row) * grid.width + 2 * column;
    [first, first + 1, first + grid.width, first + grid.width + 1]
}

/// Hands each window's gradient to the first place that had its largest value.
struct Winners(Grid);

impl CustomOp2 for Winners {
    fn name(&self) -> &'static str {
        "max pool 2x2 gradient"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        both: &CpuStorage,
        both_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (grid, half) = (self.0, self.0.half());
        let (batch, channels) = check(layout, grid)?;
        let (x, both) = (elements(x, layout)?, elements(both, both_layout)?);
        let (largest, gradient) = both.split_at(both.len() / 2);
        let mut output = vec![0f32; batch * grid.height * grid.width * channels];
        // Two rows of the input belong to one row of windows.
        for_parts(&mut output, 2 * grid.width * channels, &|number, part| {
            let (picture, row) = (number / half.height, number % half.height);
            let base = (picture * grid.height + 2 * row) * grid.width;
            // What no place has been given yet.
            let mut rest = vec![0f32; channels];
            for column in 0..half.width {
                let from = ((picture * half.height + row) * half.width + column) * channels;
                let largest = &largest[from..from + channels];
                rest.copy_from_slice(&gradient[from..from + channels]);
                for place in corners(grid, picture, row, column) {
                    let out = &mut part[(place - base) * channels..][..channels];
                    let inputs = x[place * channels..(place + 1) * channels].iter().zip(largest);
                    for ((out, rest), (input, largest)) in out.iter_mut().zip(&mut rest).zip(inputs) {
                        let wins = input >= largest;
                        *out = if wins { *rest } else { 0.0 };
                        *rest = if wins { 0.0 } else { *rest };
                    }
                }
            }
        });
        Ok((CpuStorage::F32(output), layout.shape().clone()))
    }
}
