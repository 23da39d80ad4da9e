//! Root-mean-square normalisation.

use crate::error::{Error, Result};
use crate::threads::{Target, ThreadPool};

/// Rows of one task.
const CHUNK: usize = 256;

/// x · weight / √(mean x² + epsilon) of each row of `values` `[rows, width]`, in place; the width is that of the weight.
///
/// # Errors
/// `InvalidArgument` when the values are no whole rows.
pub fn rms_norm(pool: &ThreadPool, values: &mut [f32], weight: &[f32], epsilon: f32) -> Result<()> {
    let width = weight.len();
    if width == 0 || !values.len().is_multiple_of(width) {
        return Err(Error::invalid(format!("{} values in rows of {width}", values.len())));
    }
    let rows = values.len() / width;
    let target = Target(values.as_mut_ptr());
    pool.run(rows.div_ceil(CHUNK), &|chunk| {
        let target = &target;
        for row in chunk * CHUNK..rows.min((chunk + 1) * CHUNK) {
            // SAFETY: every task has rows of its own inside `values`, which is borrowed exclusively.
            let row = unsafe { std::slice::from_raw_parts_mut(target.0.add(row * width), width) };
            let squares: f32 = row.iter().map(|x| x * x).sum();
            let factor = 1.0 / (squares / width as f32 + epsilon).sqrt();
            for (x, weight) in row.iter_mut().zip(weight) {
                *x = *x * factor * weight;
            }
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_weights_size() {
        let mut values: Vec<f32> = (0..600 * 4).map(|i| (i % 7) as f32 - 3.0).collect();
        let before = values.clone();
        let weight = [1.0, 2.0, 0.5, -1.0];
        rms_norm(&ThreadPool::new(2), &mut values, &weight, 1e-6).unwrap();
        for (found, before) in values.chunks(4).zip(before.chunks(4)) {
            let mean: f64 = before.iter().map(|x| f64::from(x * x)).sum::<f64>() / 4.0;
            for ((found, before), weight) in found.iter().zip(before).zip(weight) {
                let wanted = f64::from(before * weight) / (mean + 1e-6).sqrt();
                assert!((f64::from(*found) - wanted).abs() < 1e-6);
            }
        }
        assert!(rms_norm(&ThreadPool::new(1), &mut values[..3], &weight, 0.0).is_err());
    }
}
