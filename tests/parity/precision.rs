//! What 16-bit weights may change, shared by the tests that compare with a reference whose weights are rounded alike.

use candle_core::{DType, Device, Tensor};
use omniid_kernels::layers::Linear;

/// What the weights are rounded to.
pub const PRECISIONS: [DType; 3] = [DType::F32, DType::F16, DType::BF16];

/// Largest absolute difference from a reference with weights of the same values. A processor that multiplies bf16
/// rounds the inputs of products with bf16 weights as well, which the reference does not.
pub fn limit(dtype: DType) -> f32 {
    match dtype == DType::BF16 && inputs_are_rounded() {
        true => 6e-2,
        false => 1e-5,
    }
}

/// Whether products with bf16 weights round their inputs to bf16 on this processor.
fn inputs_are_rounded() -> bool {
    let tensor = |value: f32| Tensor::full(value, (1, 1), &Device::Cpu);
    let product = || -> Result<f32, Box<dyn std::error::Error>> {
        let weight = tensor(1.0)?.to_dtype(DType::BF16)?;
        let product = Linear::from_tensors(weight, None)?.forward(&tensor(1.001)?)?;
        Ok(product.squeeze(0)?.squeeze(0)?.to_scalar()?)
    };
    product().expect("a product of two numbers") != 1.001
}
