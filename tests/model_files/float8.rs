//! 8-bit floats: every code, in safetensors and in PyTorch files, with their scales.

use super::*;
use std::io::{Cursor, Write};

/// A safetensors file from types, shapes and bytes.
fn raw(tensors: &[(&str, &str, &[usize], Vec<u8>)]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, dtype, shape, bytes) in tensors {
        let entry = serde_json::json!({
            "dtype": dtype, "shape": shape, "data_offsets": [data.len(), data.len() + bytes.len()]
        });
        header.insert(name.to_string(), entry);
        data.extend_from_slice(bytes);
    }
    let header = serde_json::Value::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend(data);
    file
}

/// A PyTorch file. `storage` is the class of the storages; with `dtype` they are untyped bytes and the tensors say what
/// they are, as `torch.save` writes types without a class.
pub fn torch_file(
    tensors: &Tensors,
    storage: &str,
    dtype: Option<&str>,
    elements: impl Fn(&Tensor) -> Vec<u8>,
) -> Vec<u8> {
    fn text(program: &mut Vec<u8>, text: &str) {
        program.push(b'X');
        program.extend_from_slice(&(text.len() as u32).to_le_bytes());
        program.extend_from_slice(text.as_bytes());
    }
    fn integer(program: &mut Vec<u8>, value: usize) {
        program.push(b'J');
        program.extend_from_slice(&(value as i32).to_le_bytes());
    }
    fn tuple(program: &mut Vec<u8>, values: &[usize]) {
        program.push(b'(');
        values.iter().for_each(|&value| integer(program, value));
        program.push(b't');
    }
    let mut program = vec![0x80, 2, b'}', b'('];
    let mut files = Vec::new();
    for (index, (name, tensor)) in tensors.iter().enumerate() {
        let bytes = elements(tensor);
        text(&mut program, name);
        let (rebuild, class, count) = match dtype {
            None => (
                "_rebuild_tensor_v2",
                format!("ctorch\n{storage}\n"),
                tensor.elem_count(),
            ),
            Some(_) => (
                "_rebuild_tensor_v3",
                "ctorch.storage\nUntypedStorage\n".to_string(),
                bytes.len(),
            ),
        };
        program.extend_from_slice(format!("ctorch._utils\n{rebuild}\n((").as_bytes());
        text(&mut program, "storage");
        program.extend_from_slice(class.as_bytes());
        text(&mut program, &index.to_string());
        text(&mut program, "cpu");
        integer(&mut program, count);
        program.extend_from_slice(b"tQ");
        integer(&mut program, 0);
        tuple(&mut program, tensor.dims());
        let strides: Vec<usize> = (0..tensor.rank())
            .map(|axis| tensor.dims()[axis + 1..].iter().product())
            .collect();
        tuple(&mut program, &strides);
        program.extend_from_slice(b"\x89ccollections\nOrderedDict\n)R");
        if let Some(dtype) = dtype {
            program.extend_from_slice(format!("ctorch\n{dtype}\n").as_bytes());
        }
        program.extend_from_slice(b"tR");
        files.push(bytes);
    }
    program.extend_from_slice(b"u.");
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut entry = |name: String, content: &[u8]| {
        zip.start_file(name, options).unwrap();
        zip.write_all(content).unwrap();
    };
    entry("archive/data.pkl".into(), &program);
    for (index, bytes) in files.iter().enumerate() {
        entry(format!("archive/data/{index}"), bytes);
    }
    zip.finish().unwrap().into_inner()
}

/// The value of a code by IEEE 754's rules for the two formats, in whole numbers and powers of two.
fn value(code: u8, exponent_bits: u32) -> f64 {
    let mantissa_bits = 7 - exponent_bits;
    let (bias, top) = ((1i32 << (exponent_bits - 1)) - 1, (1i32 << exponent_bits) - 1);
    let exponent = i32::from(code & 0x7f) >> mantissa_bits;
    let mantissa = i32::from(code) & ((1 << mantissa_bits) - 1);
    let sign = if code < 128 { 1.0 } else { -1.0 };
    match (exponent_bits, exponent == top, mantissa) {
        (4, true, 7) => f64::NAN,
        (5, true, 0) => sign * f64::INFINITY,
        (5, true, _) => f64::NAN,
        _ => {
            let leading = if exponent == 0 { 0 } else { 1 << mantissa_bits };
            sign * f64::from(mantissa + leading) * f64::from(exponent.max(1) - bias - mantissa_bits as i32).exp2()
        }
    }
}

fn read(file: Vec<u8>, name: &str, dtype: DType) -> Vec<f32> {
    let file = Checkpoint::open(file, &Limits::default()).unwrap();
    let tensor = file.tensor(name, dtype, &Device::Cpu).unwrap();
    tensor
        .to_dtype(DType::F32)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap()
}

#[test]
fn every_code_of_both_formats_is_read_from_both_containers() {
    let codes: Vec<u8> = (0..=255).collect();
    let shape = Tensor::zeros((16, 16), DType::U8, &Device::Cpu).unwrap();
    let one = vec![("w".to_string(), shape)];
    let kinds = [
        (4, "F8_E4M3", "Float8_e4m3fnStorage", "float8_e4m3fn"),
        (5, "F8_E5M2", "Float8_e5m2Storage", "float8_e5m2"),
    ];
    for (bits, dtype, storage, torch) in kinds {
        let files = [
            raw(&[("w", dtype, &[16, 16], codes.clone())]),
            torch_file(&one, storage, None, |_| codes.clone()),
            torch_file(&one, "", Some(torch), |_| codes.clone()),
        ];
        for file in files {
            let opened = Checkpoint::open(file.clone(), &Limits::default()).unwrap();
            // What it is, and what it is handed out as: every code is a bf16 number.
            assert_eq!(opened.info("w").unwrap().dtype, DType::BF16);
            assert!(opened.describe().unwrap().to_string().contains(dtype));
            for to in [DType::F32, DType::BF16] {
                for (code, got) in read(file.clone(), "w", to).into_iter().enumerate() {
                    let expected = value(code as u8, bits) as f32;
                    let same = got.to_bits() == expected.to_bits() || (got.is_nan() && expected.is_nan());
                    assert!(same, "{dtype} {code:#x}: {got}, expected {expected}");
                }
            }
        }
    }
}

#[test]
fn scales_are_applied() {
    let codes: Vec<u8> = (0..64).map(|i| i * 3 % 120).collect();
    let plain = |scale: &dyn Fn(usize) -> f64| -> Vec<f32> {
        let scaled = |(i, &code): (usize, &u8)| (value(code, 4) as f32) * scale(i) as f32;
        codes.iter().enumerate().map(scaled).collect()
    };
    let f32s = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let weight = ("a.weight", "F8_E4M3", &[4usize, 16][..], codes.clone());
    let one: [(&str, &[usize], &str); 4] = [
        ("a.scale_weight", &[], "scalar"),
        ("a.scale_weight", &[1], "ComfyUI"),
        ("a.weight_scale", &[1], "compressed-tensors"),
        ("a.weight_scale", &[1, 1], "matrix of one"),
    ];
    for (name, shape, case) in one {
        let beside = [
            weight.clone(),
            (name, "F32", shape, f32s(&[0.37])),
            ("scaled_fp8", "F8_E4M3", &[0][..], Vec::new()),
            ("a.scale_input", "F32", &[1], f32s(&[9.0])),
        ];
        let file = raw(&beside);
        assert_eq!(read(file.clone(), "a.weight", DType::F32), plain(&|_| 0.37), "{case}");
        // Nothing but the weight is left: the rest is no tensor of a network.
        let opened = Checkpoint::open(file, &Limits::default()).unwrap();
        assert!(opened.names().eq(["a.weight"]), "{case}");
        assert_eq!(opened.info("a.weight").unwrap().dtype, DType::F32);
    }
    let rows = [0.5f32, 2.0, 3.0, 0.25];
    let file = raw(&[weight.clone(), ("a.weight_scale", "F32", &[4, 1], f32s(&rows))]);
    assert_eq!(read(file, "a.weight", DType::F32), plain(&|i| f64::from(rows[i / 16])));
    let odd = raw(&[weight, ("a.weight_scale", "F32", &[2, 2], f32s(&rows))]);
    let opened = Checkpoint::open(odd, &Limits::default());
    refused(
        "blocks",
        opened,
        ErrorKind::Unsupported,
        &["a.weight_scale", "[2, 2]", "not quantised"],
    );
}

/// Powers of two survive the way to 8 bits, so an 8-bit file gives the results of the f32 file of the same values.
#[test]
fn an_adapter_and_an_encoder_of_8_bits_run() {
    let code = |value: f32| {
        let coarse = value.abs().max(1.0 / 64.0).log2().round().clamp(-6.0, 0.0) as i32;
        ((coarse + 7) << 3) as u8 | if value < 0.0 { 0x80 } else { 0 }
    };
    let convert = |tensors: Tensors| -> (Vec<u8>, Vec<u8>) {
        let mut eight = Vec::new();
        let mut plain = Tensors::new();
        for (name, tensor) in &tensors {
            let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let codes: Vec<u8> = values.iter().map(|&value| code(value)).collect();
            let decoded: Vec<f32> = codes.iter().map(|&code| value(code, 4) as f32).collect();
            eight.push((name.as_str(), "F8_E4M3", tensor.dims(), codes));
            plain.push((
                name.clone(),
                Tensor::from_vec(decoded, tensor.dims(), &Device::Cpu).unwrap(),
            ));
        }
        (raw(&eight), bytes(&plain))
    };
    let (adapter8, adapter32) = convert(adapter());
    let (clip8, clip32) = convert(clip());
    let run = |adapter, clip| results(&Engine::open(options(adapter, clip)).unwrap()).unwrap();
    assert_eq!(run(adapter8, clip8), run(adapter32, clip32));
}

#[test]
fn whole_numbers_are_refused_by_their_method() {
    let u8s = |name: &'static str| (name, "U8", &[4usize, 1][..], vec![1; 4]);
    for (name, method) in [
        ("a.weight.absmax", "bitsandbytes"),
        ("a.weight.quant_state.bitsandbytes__nf4", "nf4"),
        ("a.qweight", "GPTQ"),
        ("a.SCB", "8 bits"),
    ] {
        let opened = Checkpoint::open(raw(&[u8s("a.weight"), u8s(name)]), &Limits::default());
        refused(
            name,
            opened,
            ErrorKind::Unsupported,
            &[name, method, "F8_E4M3", "not quantised"],
        );
    }
    let shape = vec![("w".to_string(), Tensor::zeros((2, 2), DType::U8, &Device::Cpu).unwrap())];
    for (storage, dtype) in [
        ("CharStorage", None),
        ("QInt8Storage", None),
        ("", Some("float8_e4m3fnuz")),
    ] {
        let opened = Checkpoint::open(torch_file(&shape, storage, dtype, |_| vec![1; 4]), &Limits::default());
        refused(storage, opened, ErrorKind::Unsupported, &["F8_E4M3", "not quantised"]);
    }
}
