//! Injection against `diffusers`: golden files written by `tests/parity/cases/injection.py`.
//!
//! `OMNIID_PARITY_FIXTURES` names another folder of golden files, made with a fresh seed or other sizes.

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use omniid::adapter::{Adapter, AdapterLayout};
use omniid::checkpoint::Checkpoint;
use omniid::conditioning::{Conditioning, ConditioningOptions, IdentityInput, Mask, MaskMode, Role};
use omniid::host::HostSpec;
use omniid::inject::{InjectCall, Scalar, TensorView, TensorViewMut};
use omniid::Limits;
use std::path::PathBuf;

fn folder() -> PathBuf {
    let root = std::env::var_os("OMNIID_PARITY_FIXTURES").map(PathBuf::from);
    root.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity"))
        .join("injection")
}

fn open(name: &str) -> Checkpoint {
    Checkpoint::open(folder().join(name), &Limits::default()).unwrap()
}

fn tensor(file: &Checkpoint, name: &str) -> Tensor {
    file.tensor(name, DType::F32, &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// One case: a host, its golden tensors, and one conditioning per adapter.
struct Case {
    host: HostSpec,
    golden: Checkpoint,
    conditionings: Vec<Conditioning>,
}

fn load_adapter(path: &str, host: &HostSpec) -> Adapter {
    let checkpoint = open(path).adapter_view().unwrap();
    let layout = AdapterLayout::infer(&checkpoint).unwrap().unwrap();
    let (vb, _) = checkpoint.var_builder(DType::F32, &Device::Cpu);
    Adapter::load(&layout, host, vb).unwrap()
}

fn load(case: &str, adapters: &[&str], dtype: DType) -> Case {
    let config = std::fs::read_to_string(folder().join(case).join("config.json")).unwrap();
    let host = HostSpec::from_diffusers_json(&config).unwrap();
    let golden = open(&format!("{case}/golden.safetensors"));
    let scales = values(&tensor(&golden, "scales"));
    let conditionings = adapters.iter().enumerate().map(|(n, file)| {
        let adapter = load_adapter(&format!("{case}/{file}"), &host);
        // [batch, photos, tokens, context]: all photos of a row make one identity.
        let tokens = tensor(&golden, &format!("tokens.{n}"));
        let rows = tokens.dim(0).unwrap();
        let row = |i: usize| tokens.get(i).unwrap().flatten(0, 1).unwrap();
        let (conditional, unconditional) = (row(rows - 1), row(0));
        let mask = golden.contains(&format!("mask.{n}")).then(|| {
            let mask = tensor(&golden, &format!("mask.{n}"));
            Mask::new(mask.dim(0).unwrap(), mask.dim(1).unwrap(), &values(&mask)).unwrap()
        });
        let input = IdentityInput::new(&conditional)
            .with_unconditional((rows > 1).then_some(&unconditional))
            .with_scale(scales[n])
            .with_mask(mask);
        let options = ConditioningOptions::default()
            .with_dtype(dtype)
            .with_mask_mode(MaskMode::Diffusers);
        Conditioning::new(&adapter, &host, &[input], &options).unwrap()
    });
    let conditionings = conditionings.collect();
    Case {
        host,
        golden,
        conditionings,
    }
}

/// Injects every layer into zeros and returns the largest distance from what diffusers added.
fn worst(case: &Case, dtype: DType) -> f32 {
    let mut worst = 0f32;
    for (index, layer) in case.host.layers().iter().enumerate() {
        let query = tensor(&case.golden, &format!("query.{}", layer.name));
        let delta = values(&tensor(&case.golden, &format!("delta.{}", layer.name)));
        assert!(
            delta.iter().any(|value| value.abs() > 0.01),
            "{}: the adapter has no effect",
            layer.name
        );
        let (batch, rows, inner) = query.dims3().unwrap();
        assert_eq!(inner, layer.inner);
        let shape = [batch, rows, layer.heads, layer.head_dim];
        let roles: &[Role] = if batch == 2 {
            &[Role::Unconditional, Role::Conditional]
        } else {
            &[]
        };
        let query = values(&query);
        let found = match dtype {
            DType::F16 => injected(case, index, shape, roles, &query, f16::from_f32, f16::to_f32),
            DType::BF16 => injected(case, index, shape, roles, &query, bf16::from_f32, bf16::to_f32),
            _ => injected(case, index, shape, roles, &query, |value| value, |value| value),
        };
        for (a, b) in found.iter().zip(&delta) {
            worst = worst.max((a - b).abs());
        }
    }
    worst
}

fn injected<T: Scalar>(
    case: &Case,
    layer: usize,
    shape: [usize; 4],
    roles: &[Role],
    query: &[f32],
    narrow: fn(f32) -> T,
    widen: fn(T) -> f32,
) -> Vec<f32> {
    let query: Vec<T> = query.iter().map(|value| narrow(*value)).collect();
    let mut output = vec![narrow(0.0); query.len()];
    for conditioning in &case.conditionings {
        let (query, output) = (
            TensorView::contiguous(&query, shape).unwrap(),
            TensorViewMut::contiguous(&mut output, shape).unwrap(),
        );
        let call = InjectCall::new(layer, query, output).with_roles(roles);
        conditioning.inject(call).unwrap();
    }
    output.into_iter().map(widen).collect()
}

/// The largest distances that hold for every case: softmax and sums are f32 throughout, so the half types differ by
/// the rounding of query, keys, values and result.
fn check(case: &str, adapters: &[&str]) {
    for (dtype, limit) in [(DType::F32, 1e-5), (DType::F16, 1e-3), (DType::BF16, 6e-3)] {
        let worst = worst(&load(case, adapters, dtype), dtype);
        println!("{case} {dtype:?}: {worst:e}");
        assert!(worst <= limit, "{case} {dtype:?}: {worst:e} is over {limit:e}");
    }
}

#[test]
fn a_unet_like_sd15_with_two_photos() {
    check("sd", &["adapter0.safetensors"]);
}

#[test]
fn two_adapters_with_masks() {
    check("sd_masked", &["adapter0.safetensors", "adapter1.safetensors"]);
}

#[test]
fn a_unet_like_sdxl_with_two_adapters_of_unequal_scale() {
    check("sdxl", &["adapter0.safetensors", "adapter1.safetensors"]);
}

#[test]
fn a_transformer_like_flux_in_both_spellings() {
    check("flux", &["adapter0.safetensors"]);
    check("flux", &["adapter_indexed.safetensors"]);
}

/// Index, name, shapes and heads of every layer of the full-size models, read off `diffusers`' own modules.
#[test]
fn the_layer_tables_of_the_full_size_models_are_exact() {
    let text = std::fs::read_to_string(folder().join("layers.json")).unwrap();
    let tables: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (name, host, count) in [("sd15", HostSpec::sd15(), 16), ("sdxl", HostSpec::sdxl(), 70)] {
        let rows = tables[name].as_array().unwrap();
        assert_eq!((rows.len(), host.layer_count()), (count, count));
        for (row, layer) in rows.iter().zip(host.layers()) {
            let ours = serde_json::json!([layer.key, layer.name, [layer.inner, layer.context], layer.heads]);
            assert_eq!(*row, ours);
        }
    }
}

#[test]
fn mask_grids_are_those_of_both_peers() {
    let golden = open("masks.safetensors");
    let mut seen = 0;
    while golden.contains(&format!("mask.{seen}")) {
        let mask = tensor(&golden, &format!("mask.{seen}"));
        let (height, width) = mask.dims2().unwrap();
        let mask = Mask::new(height, width, &values(&mask)).unwrap();
        let size = values(&tensor(&golden, &format!("size.{seen}")));
        let (rows, columns, tokens) = (size[0] as usize, size[1] as usize, size[2] as usize);
        let cases = [
            ("diffusers", MaskMode::Diffusers, None),
            ("diffusers", MaskMode::Diffusers, Some((rows, columns))),
            ("comfyui", MaskMode::ComfyUi, Some((rows, columns))),
        ];
        for (peer, mode, latent) in cases {
            let expected = values(&tensor(&golden, &format!("{peer}.{seen}")));
            let found = mask.token_factors(mode, tokens, latent).unwrap();
            assert_eq!(found.len(), expected.len());
            for (i, (a, b)) in found.iter().zip(&expected).enumerate() {
                assert!((a - b).abs() < 1e-5, "{peer} {seen}, token {i}: {a} against {b}");
            }
        }
        seen += 1;
    }
    assert!(seen >= 8, "only {seen} masks in the golden file");
}
