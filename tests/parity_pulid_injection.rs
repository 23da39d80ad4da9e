//! PuLID's injection against its formulas in PyTorch: golden files written by `tests/parity/cases/pulid_injection.py`.
//!
//! `OMNIID_PARITY_FIXTURES` names another folder of golden files, made with a fresh seed or other sizes.

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use omniid::adapter::{Adapter, AdapterLayer, Linear};
use omniid::checkpoint::Checkpoint;
use omniid::conditioning::{Conditioning, ConditioningOptions, IdentityInput, Injection, PulidMode, Role};
use omniid::host::{HostLayer, HostSpec};
use omniid::inject::{InjectCall, Scalar, TensorView, TensorViewMut};
use omniid::Limits;
use std::path::PathBuf;

const SCALE: f32 = 0.75;

fn folder() -> PathBuf {
    let root = std::env::var_os("OMNIID_PARITY_FIXTURES").map(PathBuf::from);
    root.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity"))
        .join("pulid_injection")
}

fn modes() -> [(&'static str, ConditioningOptions); 6] {
    let custom = |zeros, injection| {
        ConditioningOptions::default()
            .with_zero_tokens(zeros)
            .with_injection(injection)
    };
    [
        ("neutral", ConditioningOptions::pulid(PulidMode::Neutral)),
        ("add_8", custom(8, Injection::Add)),
        ("ortho_0", custom(0, Injection::Orthogonal)),
        ("style", ConditioningOptions::pulid(PulidMode::Style)),
        ("ortho_v2_0", custom(0, Injection::OrthogonalV2)),
        ("fidelity", ConditioningOptions::pulid(PulidMode::Fidelity)),
    ]
}

fn tensor(file: &Checkpoint, name: &str) -> Tensor {
    file.tensor(name, DType::F32, &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The largest distance from the golden output, relative to 1 or the value.
fn worst<T: Scalar>(file: &Checkpoint, mode: &str, options: &ConditioningOptions) -> f32 {
    let weight = |name: &str| Linear::stored(tensor(file, name), None).unwrap();
    let query = tensor(file, "query");
    let (batch, rows, inner) = query.dims3().unwrap();
    let context = tensor(file, "to_k").dim(1).unwrap();
    let heads = values(&tensor(file, "heads"))[0] as usize;
    let layer = HostLayer::new("layer", heads, inner / heads, context);
    let host = HostSpec::custom("one", vec![layer]).unwrap();
    let adapter = Adapter::new(None, vec![AdapterLayer::new(weight("to_k"), weight("to_v"))]);
    // Tokens that pick the columns of the projections.
    let columns = Tensor::eye(context, DType::F32, &Device::Cpu).unwrap();
    let counts = values(&tensor(file, "tokens"));
    let [unconditional, conditional] = [0, 1].map(|row| columns.narrow(0, 0, counts[row] as usize).unwrap());
    let input = IdentityInput::new(&conditional)
        .with_unconditional(&unconditional)
        .with_scale(SCALE);
    let options = options.clone().with_dtype(match T::ELEMENT {
        omniid::inject::Element::F32 => DType::F32,
        omniid::inject::Element::F16 => DType::F16,
        omniid::inject::Element::BF16 => DType::BF16,
    });
    let conditioning = Conditioning::new(&adapter, &host, &[input], &options).unwrap();
    let narrow = |tensor: &Tensor| -> Vec<T> { values(tensor).into_iter().map(T::narrow).collect() };
    let (query, mut output) = (narrow(&query), narrow(&tensor(file, "hidden")));
    let shape = [batch, rows, inner];
    let call = InjectCall::new(
        0,
        TensorView::contiguous(&query, shape).unwrap(),
        TensorViewMut::contiguous(&mut output, shape).unwrap(),
    );
    conditioning
        .inject(call.with_roles(&[Role::Unconditional, Role::Conditional]))
        .unwrap();
    let golden = values(&tensor(file, &format!("out.{mode}")));
    let mut worst = 0f32;
    for (wanted, found) in golden.iter().zip(&output) {
        let error = (wanted - found.widen()).abs() / wanted.abs().max(1.0);
        // `max` would drop a NaN.
        worst = if error > worst || error.is_nan() { error } else { worst };
    }
    worst
}

#[test]
fn every_mode_is_the_reference() {
    for case in ["sdxl", "narrow", "wide", "few"] {
        let file = Checkpoint::open(folder().join(format!("{case}.safetensors")), &Limits::default()).unwrap();
        for (mode, options) in modes() {
            let errors = [
                (worst::<f32>(&file, mode, &options), 1e-5),
                (worst::<f16>(&file, mode, &options), 1e-3),
                (worst::<bf16>(&file, mode, &options), 6e-3),
            ];
            for (error, limit) in errors {
                assert!(error <= limit, "{case}, {mode}: {error:e} is above {limit:e}");
            }
            println!("{case}, {mode}: {errors:?}");
        }
    }
}

#[test]
fn the_modes_differ() {
    let file = Checkpoint::open(folder().join("sdxl.safetensors"), &Limits::default()).unwrap();
    let outputs = modes().map(|(mode, _)| values(&tensor(&file, &format!("out.{mode}"))));
    for (i, a) in outputs.iter().enumerate() {
        for b in &outputs[..i] {
            assert!(a.iter().zip(b).any(|(a, b)| (a - b).abs() > 0.05));
        }
    }
}
