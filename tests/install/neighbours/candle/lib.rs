//! Another Rust library in the same process, with candle 0.9 and its own copy of rayon.

use candle_core::{DType, Device, Result, Tensor};
use std::cell::Cell;

thread_local! {
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

/// The product of two matrices whose numbers are known in closed form; candle shares the rows among its threads.
///
/// The rows of the first are `i + 1`, those of the second `2 k`: each number of the product is `(i + 1) · n (n - 1)`.
fn product_is_right() -> Result<bool> {
    let n = 192usize;
    let rows = Tensor::arange(1f64, n as f64 + 1.0, &Device::Cpu)?;
    let first = rows.reshape((n, 1))?.broadcast_as((n, n))?.contiguous()?;
    let second = ((rows.reshape((n, 1))? - 1.0)? * 2.0)?
        .broadcast_as((n, n))?
        .contiguous()?;
    let product = first.matmul(&second)?.to_dtype(DType::F64)?.to_vec2::<f64>()?;
    let expected = |row: usize| (row + 1) as f64 * (n * (n - 1)) as f64;
    Ok(product.iter().enumerate().all(|(row, numbers)| {
        numbers
            .iter()
            .all(|number| (number - expected(row)).abs() <= 1e-9 * expected(row))
    }))
}

/// Multiplies, and asks candle for something that it refuses; counts both: 2 at the first call of a thread, then 4, …
#[no_mangle]
pub extern "C" fn neighbour_work() -> u32 {
    let right = product_is_right().unwrap_or(false);
    let refused = Tensor::zeros((2, 3), DType::F32, &Device::Cpu)
        .and_then(|zeros| zeros.matmul(&zeros))
        .is_err();
    CALLS.with(|calls| calls.set(calls.get() + u32::from(right) + u32::from(refused)));
    CALLS.with(Cell::get)
}
