//! Tokens written as GGUF and read again by candle's reader, which is not ours.

use arbitrary::Unstructured;
use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::{DType, Device, Tensor};
use omniid::convert::{gguf_to_bytes, GGUF_TOKENS};
use omniid::Precision;
use std::io::Cursor;

/// Columns, number type, key and text of the metadata, values.
type Input = (u8, u8, String, String, Vec<f32>);

pub fn run(bytes: &[u8]) {
    let Ok((columns, precision, key, text, values)) = Unstructured::new(bytes).arbitrary::<Input>() else {
        return;
    };
    let columns = 1 + usize::from(columns % 32);
    let rows = values.len() / columns;
    if rows == 0 {
        return;
    }
    let values = &values[..rows * columns];
    let tensor = Tensor::from_slice(values, (rows, columns), &Device::Cpu).expect("as many values as the shape has");
    let (precision, dtype) = [
        (Precision::F32, DType::F32),
        (Precision::F16, DType::F16),
        (Precision::Bf16, DType::BF16),
    ][usize::from(precision % 3)];
    let metadata = [(key.as_str(), text.as_str())];
    let narrowed: Vec<f32> = tensor
        .to_dtype(dtype)
        .and_then(|tensor| tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1())
        .expect("number types convert");
    let written = gguf_to_bytes(&metadata, &[(GGUF_TOKENS, &tensor), ("second", &tensor)], precision);
    let finite = narrowed.iter().all(|value| value.is_finite());
    assert_eq!(written.is_ok(), finite, "{written:?}");
    let Ok(file) = written else { return };
    let mut cursor = Cursor::new(&file);
    let content = Content::read(&mut cursor).expect("candle reads what was written");
    // This reader takes zeros at the end of a text for those of old writers.
    let [key, text] = [key, text].map(|text| text.trim_end_matches('\0').to_string());
    let read = content.metadata.get(&key).map(Value::to_string);
    assert_eq!(read.expect("the key was written").expect("a text"), &text);
    assert_eq!(content.tensor_infos.len(), 2);
    for name in [GGUF_TOKENS, "second"] {
        let info = &content.tensor_infos[name];
        assert_eq!(info.shape.dims(), [rows, columns]);
        let tensor = content
            .tensor(&mut cursor, name, &Device::Cpu)
            .expect("the numbers are there");
        let read: Vec<f32> = tensor
            .dequantize(&Device::Cpu)
            .and_then(|tensor| tensor.flatten_all()?.to_vec1())
            .expect("plain numbers");
        assert!(read.iter().zip(&narrowed).all(|(a, b)| a.to_bits() == b.to_bits()));
    }
}
