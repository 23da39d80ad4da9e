//! Position embeddings for another grid of patches than the one that they were trained on.

use crate::bicubic::Bicubic;
use crate::error::Result;
use candle_core::{DType, Device, Tensor};

/// A table `[side · side, width]` for a grid of `rows` × `columns`: `[rows · columns, width]`, in its dtype.
pub(super) fn resample(bicubic: Bicubic, table: &Tensor, rows: usize, columns: usize) -> Result<Tensor> {
    let (patches, width) = table.dims2()?;
    let side = patches.isqrt();
    let dtype = table.dtype();
    let matrix = |new: usize| -> Result<Tensor> {
        Ok(Tensor::from_vec(bicubic.weights(side, new), (new, side), &Device::Cpu)?.to_device(table.device())?)
    };
    let table = table.to_dtype(DType::F32)?;
    let tall = matrix(rows)?.matmul(&table.reshape((side, side * width))?)?;
    let tall = tall.reshape((rows, side, width))?;
    let across = matrix(columns)?.broadcast_left(rows)?.contiguous()?;
    Ok(across
        .matmul(&tall)?
        .reshape((rows * columns, width))?
        .to_dtype(dtype)?)
}
