//! Adding one row of channels to all tokens of a picture.

use super::{elements, for_parts, on_cpu, with_elements};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

/// `x` `[batch, tokens, channels]` plus `row` `[batch, channels]`. Differentiable, any device.
pub fn add_rows(x: &Tensor, row: &Tensor) -> Result<Tensor> {
    if on_cpu(&[x, row]) {
        return x.contiguous()?.apply_op2(&row.contiguous()?, AddRows);
    }
    x.broadcast_add(&row.unsqueeze(1)?)
}

struct AddRows;

impl CustomOp2 for AddRows {
    fn name(&self) -> &'static str {
        "add_rows"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        row: &CpuStorage,
        row_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, tokens, channels) = x_layout.shape().dims3()?;
        let (x, row) = (elements(x, x_layout)?, elements(row, row_layout)?);
        let mut output = x.to_vec();
        for_parts(&mut output, tokens * channels, &|number, part| {
            let row = &row[number * channels..(number + 1) * channels];
            for token in part.chunks_exact_mut(channels) {
                for (value, add) in token.iter_mut().zip(row) {
                    *value += add;
                }
            }
        });
        Ok((CpuStorage::F32(output), x_layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, row: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (_, tokens, channels) = gradient.dims3()?;
        let mut sums = vec![0f32; row.elem_count()];
        with_elements(gradient, |gradient| {
            for_parts(&mut sums, channels, &|number, part| {
                let picture = &gradient[number * tokens * channels..(number + 1) * tokens * channels];
                for token in picture.chunks_exact(channels) {
                    for (sum, value) in part.iter_mut().zip(token) {
                        *sum += value;
                    }
                }
            });
            Ok(())
        })?;
        let sums = Tensor::from_vec(sums, row.shape(), row.device())?;
        Ok((Some(gradient.clone()), Some(sums)))
    }
}
