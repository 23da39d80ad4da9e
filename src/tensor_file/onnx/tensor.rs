//! Tensors in ONNX files.

use super::protobuf::{fields, packed_varints, Value};
use super::{limit, text};
use half::{bf16, f16};

/// Most dimensions of a tensor.
const MOST_DIMENSIONS: usize = 16;

/// Values of `TensorProto.DataType`.
const FLOAT: u64 = 1;
const FLOAT16: u64 = 10;
const DOUBLE: u64 = 11;
const BFLOAT16: u64 = 16;

/// Where the numbers of a tensor lie; they are read when they are asked for.
#[derive(Debug)]
pub(crate) struct OnnxTensor<'a> {
    /// Its name; empty for the value of a constant.
    pub name: &'a str,
    /// Dimensions, outermost first. The numbers may be fewer or more, until they are read.
    pub shape: Vec<usize>,
    data_type: u64,
    /// `raw_data`, if there is one.
    raw: Option<&'a [u8]>,
    body: &'a [u8],
    external: bool,
}

impl<'a> OnnxTensor<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, String> {
        let mut tensor = Self {
            name: "",
            shape: Vec::new(),
            data_type: 0,
            raw: None,
            body,
            external: false,
        };
        let mut dimensions = Vec::new();
        for field in fields(body) {
            match field? {
                (1, Value::Varint(side)) => dimensions.push(side as i64),
                (1, Value::Bytes(packed)) => packed_varints(packed, MOST_DIMENSIONS, &mut dimensions)?,
                (2, Value::Varint(number)) => tensor.data_type = number,
                (8, Value::Bytes(name)) => tensor.name = text(name)?,
                (9, Value::Bytes(bytes)) => tensor.raw = Some(bytes),
                (14, Value::Varint(place)) => tensor.external = place != 0,
                _ => {}
            }
            limit(dimensions.len(), MOST_DIMENSIONS + 1, "dimensions of a tensor")?;
        }
        let shape: Result<_, _> = dimensions.iter().map(|&side| usize::try_from(side)).collect();
        tensor.shape = shape.map_err(|_| format!("tensor {:?} has the dimensions {dimensions:?}", tensor.name))?;
        Ok(tensor)
    }

    /// Number of elements, if it is a number at all.
    pub fn count(&self) -> Option<usize> {
        let product = |product: usize, &side: &usize| product.checked_mul(side);
        self.shape.iter().try_fold(1, product)
    }

    /// The numbers of a floating-point tensor, row by row; 16-bit and 64-bit floats as f32.
    ///
    /// # Errors
    /// A text: another data type, weights in another file, or as many numbers as the shape does not say.
    pub fn values(&self) -> Result<Vec<f32>, String> {
        self.check_place()?;
        let mut values = Vec::new();
        match (self.raw, self.data_type) {
            (Some(raw), FLOAT) => words(raw, f32::from_le_bytes, &mut values)?,
            (Some(raw), FLOAT16) => words(raw, |b| f16::from_le_bytes(b).to_f32(), &mut values)?,
            (Some(raw), BFLOAT16) => words(raw, |b| bf16::from_le_bytes(b).to_f32(), &mut values)?,
            (Some(raw), DOUBLE) => words(raw, |b| f64::from_le_bytes(b) as f32, &mut values)?,
            (None, FLOAT | FLOAT16 | BFLOAT16 | DOUBLE) => self.listed(&mut values)?,
            (_, other) => {
                return Err(format!(
                    "data type {other}, expected {FLOAT} (float), {FLOAT16} (float16), {BFLOAT16} (bfloat16) or \
                     {DOUBLE} (double)"
                ))
            }
        }
        match self.count() == Some(values.len()) {
            true => Ok(values),
            false => Err(format!("{} values for the shape {:?}", values.len(), self.shape)),
        }
    }

    fn check_place(&self) -> Result<(), String> {
        match self.external {
            true => Err("its numbers lie in another file beside the ONNX file".to_string()),
            false => Ok(()),
        }
    }

    /// Numbers of the fields for single types: packed, or one by one. 16-bit floats are whole numbers there.
    fn listed(&self, values: &mut Vec<f32>) -> Result<(), String> {
        let half = |bits: i64| match self.data_type {
            FLOAT16 => f16::from_bits(bits as u16).to_f32(),
            _ => bf16::from_bits(bits as u16).to_f32(),
        };
        let is_half = matches!(self.data_type, FLOAT16 | BFLOAT16);
        for field in fields(self.body) {
            match (field?, self.data_type) {
                ((4, Value::Fixed32(bits)), FLOAT) => values.push(f32::from_bits(bits)),
                ((4, Value::Bytes(packed)), FLOAT) => words(packed, f32::from_le_bytes, values)?,
                ((10, Value::Fixed64(bits)), DOUBLE) => values.push(f64::from_bits(bits) as f32),
                ((10, Value::Bytes(packed)), DOUBLE) => words(packed, |b| f64::from_le_bytes(b) as f32, values)?,
                ((5, Value::Varint(bits)), _) if is_half => values.push(half(bits as i64)),
                ((5, Value::Bytes(packed)), _) if is_half => {
                    let mut bits = Vec::new();
                    packed_varints(packed, usize::MAX, &mut bits)?;
                    values.extend(bits.into_iter().map(half));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Adds the little-endian numbers of `bytes` to `values`.
fn words<const N: usize, T>(bytes: &[u8], number: impl Fn([u8; N]) -> T, values: &mut Vec<T>) -> Result<(), String> {
    let (words, rest) = bytes.as_chunks::<N>();
    if !rest.is_empty() {
        return Err(format!("{} bytes of numbers of {N} bytes", bytes.len()));
    }
    values.extend(words.iter().map(|&word| number(word)));
    Ok(())
}
