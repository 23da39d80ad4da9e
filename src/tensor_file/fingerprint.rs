//! A short, stable name for the content of a checkpoint.

use super::{element, Checkpoint};
use crate::error::Result;
use half::f16;
use sha2::{Digest, Sha256};

/// Metadata key under which a converted checkpoint keeps the fingerprint of its original.
pub const FINGERPRINT_KEY: &str = "omniid.fingerprint";

/// Elements of a tensor that enter the fingerprint.
const SAMPLES: usize = 64;

/// What is hashed first, so that another definition gives other names.
const VERSION: &[u8] = b"omniid fingerprint 1\0";

impl Checkpoint {
    /// A fingerprint of the floating-point tensors whose names begin with one of `prefixes` (all, when empty):
    /// 32 lower-case hexadecimal digits.
    ///
    /// When the metadata has 32 such digits under `omniid.fingerprint`, they are the answer, whatever the prefixes:
    /// so a converted file keeps the name of its original.
    ///
    /// Otherwise it is the first half of the SHA-256 of, in this order: the text `omniid fingerprint 1` and a zero
    /// byte; then for each tensor, sorted by name (bytewise), its name, a zero byte, its shape as decimal numbers
    /// joined with `x`, a zero byte, and its samples. Samples are the elements
    /// `floor(k · (n − 1) / (m − 1))` of the n elements in row-major order, k = 0 … m − 1, m = min(64, n) (for n = 1
    /// element 0), each rounded to f32 and then to f16 (nearest even) as two little-endian bytes; every NaN is
    /// `0x7e00`.
    ///
    /// So the container does not matter, and neither does a conversion to f16 (of f32, or of what fits f16). A
    /// conversion to bf16 changes the rounding: there the metadata must keep the name. It tells models apart; it is
    /// no protection against somebody who changes weights on purpose.
    ///
    /// # Errors
    /// `Io` when the file cannot be read any more.
    pub fn fingerprint(&self, prefixes: &[&str]) -> Result<String> {
        if let Some(kept) = self.metadata().get(FINGERPRINT_KEY) {
            let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            if kept.len() == 32 && kept.bytes().all(hex) {
                return Ok(kept.clone());
            }
        }
        let mut hash = Sha256::new();
        hash.update(VERSION);
        for (name, entry) in self.tensors.iter() {
            let wanted = prefixes.is_empty() || prefixes.iter().any(|prefix| name.starts_with(prefix));
            if !wanted || !element::is_float(entry.dtype()) {
                continue;
            }
            let shape = entry.shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
            hash.update(name.as_bytes());
            hash.update([0]);
            hash.update(shape.as_bytes());
            hash.update([0]);
            let count = entry.count();
            let samples = count.min(SAMPLES);
            let index = |k: usize| match samples {
                1 => 0,
                _ => (k as u128 * (count as u128 - 1) / (samples as u128 - 1)) as usize,
            };
            for value in entry.scalars(&(0..samples).map(index).collect::<Vec<_>>())? {
                let value = f16::from_f32(value);
                let bits = if value.is_nan() { 0x7e00 } else { value.to_bits() };
                hash.update(bits.to_le_bytes());
            }
        }
        let digest = hash.finalize();
        Ok(digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::tensor_file::{safetensors_to_bytes, OutputTensor, SafetensorsWriter};
    use candle_core::{DType, Device, Tensor};
    use std::collections::BTreeMap;

    fn file(tensors: &[(&str, Tensor)], metadata: &[(&str, &str)]) -> Checkpoint {
        let tensors: Vec<_> = tensors.iter().map(|(n, t)| (n.to_string(), t.clone())).collect();
        let metadata = metadata.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Checkpoint::open(safetensors_to_bytes(&tensors, &metadata).unwrap(), &Limits::default()).unwrap()
    }

    fn ramp(count: usize) -> Tensor {
        let values: Vec<f32> = (0..count).map(|i| (i as f32 * 0.37).sin()).collect();
        Tensor::from_vec(values, count, &Device::Cpu).unwrap()
    }

    #[test]
    fn equals_the_documented_definition() {
        // From hashlib.sha256(b"omniid fingerprint 1\0" + b"w\0" + b"2x1\0" + b"\x00\x3c\x00\xc0").hexdigest()[:32]
        let weights = Tensor::new(&[[1f32], [-2.0]], &Device::Cpu).unwrap();
        let ids = Tensor::new(&[1i64], &Device::Cpu).unwrap();
        assert_eq!(
            file(&[("w", weights), ("ids", ids)], &[]).fingerprint(&[]).unwrap(),
            "3eb2f727a8ce573f41875f77ec69cdb8"
        );
        // 100 elements 0…99 of which 64 are taken: computed with Python's struct (format "e") in the same way.
        let numbers = Tensor::arange(0f32, 100., &Device::Cpu).unwrap();
        assert_eq!(
            file(&[("n", numbers)], &[]).fingerprint(&[]).unwrap(),
            "85f52ae14c79a7f2ace0fc0b6dca9f5d"
        );
    }

    #[test]
    fn survives_conversion_to_f16_and_tells_changes() {
        let original = file(&[("a", ramp(1000)), ("b.c", ramp(5).reshape((5, 1)).unwrap())], &[]);
        let name = original.fingerprint(&[]).unwrap();
        let half = SafetensorsWriter::new(
            OutputTensor::all_of(&original, Some(DType::F16)).unwrap(),
            &BTreeMap::new(),
        );
        let half = Checkpoint::open(half.unwrap().to_bytes().unwrap(), &Limits::default()).unwrap();
        assert_eq!(half.info("a").unwrap().dtype, DType::F16);
        assert_eq!(half.fingerprint(&[]).unwrap(), name);
        let reshaped = file(&[("a", ramp(1000)), ("b.c", ramp(5).reshape((1, 5)).unwrap())], &[]);
        assert_ne!(reshaped.fingerprint(&[]).unwrap(), name);
        assert_eq!(
            reshaped.fingerprint(&["a"]).unwrap(),
            original.fingerprint(&["a"]).unwrap()
        );
        assert_ne!(original.fingerprint(&["a"]).unwrap(), name);
        let changed = file(
            &[
                ("a", (ramp(1000) * 1.01).unwrap()),
                ("b.c", ramp(5).reshape((5, 1)).unwrap()),
            ],
            &[],
        );
        assert_ne!(changed.fingerprint(&[]).unwrap(), name);
    }

    #[test]
    fn metadata_keeps_the_name_of_the_original() {
        let kept = "0123456789abcdef0123456789abcdef";
        assert_eq!(
            file(&[("a", ramp(3))], &[(FINGERPRINT_KEY, kept)])
                .fingerprint(&["x"])
                .unwrap(),
            kept
        );
        let plain = file(&[("a", ramp(3))], &[]).fingerprint(&[]).unwrap();
        assert_eq!(
            file(&[("a", ramp(3))], &[(FINGERPRINT_KEY, "no digits")])
                .fingerprint(&[])
                .unwrap(),
            plain
        );
    }
}
