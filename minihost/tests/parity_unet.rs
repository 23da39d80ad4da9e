//! The UNet against `diffusers`: golden files written by `tests/parity/cases/minihost.py`.
//!
//! `OMNIID_PARITY_FIXTURES` names another folder of golden files, made with a fresh seed or other sizes.

use candle_core::{DType, Device, Tensor};
use omniid::adapter::{Adapter, AdapterLayer};
use omniid::checkpoint::{Checkpoint, Weights};
use omniid::conditioning::{Conditioning, ConditioningOptions, IdentityInput};
use omniid::encoder::{FullFace, FullFaceConfig};
use omniid::Limits;
use omniid_minihost::unet::{tensors, UNetInput};
use omniid_minihost::{pixels, AdapterHook, ConditioningHook, IdentityHook, UNet, UNetConfig};
use std::collections::BTreeSet;
use std::path::PathBuf;

const LIMIT: f32 = 1e-5;

struct Case {
    unet: UNet,
    adapter: Adapter,
    golden: Checkpoint,
}

fn open(case: &str, name: &str) -> Checkpoint {
    let root = std::env::var_os("OMNIID_PARITY_FIXTURES").map(PathBuf::from);
    let root = root.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/parity"));
    Checkpoint::open(root.join("minihost").join(case).join(name), &Limits::default()).unwrap()
}

fn load(case: &str) -> Case {
    let model = open(case, "model.safetensors");
    let config_file = model.path().unwrap().with_file_name("config.json");
    let config = UNetConfig::from_json(&std::fs::read_to_string(config_file).unwrap()).unwrap();
    // diffusers' names and shapes are exactly the ones that training starts from.
    let ours: BTreeSet<_> = tensors(&config)
        .into_iter()
        .map(|spec| (spec.name, spec.shape))
        .collect();
    let theirs: BTreeSet<_> = model
        .names()
        .map(|name| (name.to_string(), model.shape(name).unwrap().to_vec()))
        .collect();
    assert_eq!(ours, theirs);
    let (vb, used) = model.var_builder(DType::F32, &Device::Cpu);
    let unet = UNet::load(&config, vb).unwrap();
    used.expect_all_used().unwrap();

    let file = open(case, "adapter.safetensors");
    let (vb, _) = file.var_builder(DType::F32, &Device::Cpu);
    let weights = Weights::from(vb).stored();
    let shape = file.shape("image_proj.proj.2.weight").unwrap();
    let sizes = FullFaceConfig::new(shape[1], shape[0]);
    let projection = FullFace::load(&sizes, weights.pp("image_proj")).unwrap();
    let layers = unet.host().layers().iter().map(|layer| {
        let side = |side: &str| {
            let name = format!("ip_adapter.{}.to_{side}_ip", layer.key);
            weights.linear(&name, layer.context, layer.inner, false).unwrap()
        };
        AdapterLayer::new(side("k"), side("v"))
    });
    let adapter = Adapter::new(Some(projection), layers.collect());
    Case {
        adapter,
        golden: open(case, "golden.safetensors"),
        unet,
    }
}

impl Case {
    fn tensor(&self, name: &str) -> Tensor {
        self.golden.tensor(name, DType::F32, &Device::Cpu).unwrap()
    }

    /// Our result for the golden inputs of some rows, as a picture.
    fn run(&self, rows: std::ops::Range<usize>, hook: Option<&dyn IdentityHook>) -> Tensor {
        let pick = |name: &str| self.tensor(name).narrow(0, rows.start, rows.len()).unwrap();
        let sample = pick("sample");
        let (height, width) = (sample.dim(2).unwrap(), sample.dim(3).unwrap());
        let class = self.golden.contains("class").then(|| pick("class"));
        let input = UNetInput {
            tokens: &pixels::to_tokens(&sample, 1).unwrap(),
            size: (height, width),
            time: &pick("time"),
            context: &pick("context"),
            class: class.as_ref(),
        };
        let tokens = self.unet.forward(&input, hook).unwrap();
        pixels::from_tokens(&tokens, 1, height, width).unwrap()
    }
}

fn distance(a: &Tensor, b: &Tensor) -> f32 {
    let difference = (a - b).unwrap().abs().unwrap().flatten_all().unwrap();
    difference.max(0).unwrap().to_scalar().unwrap()
}

fn check(name: &str) {
    let case = load(name);
    let alone = distance(&case.run(0..2, None), &case.tensor("alone"));
    println!("{name} alone: {alone:e}");
    assert!(alone <= LIMIT, "{alone:e}");

    let (identity, expected) = (case.tensor("identity"), case.tensor("with_identity"));
    assert!(
        distance(&expected, &case.tensor("alone")) > 0.1,
        "the identity has no effect"
    );
    let host = case.unet.host();
    let hook = AdapterHook::new(&case.adapter, host, &identity, None, &[Some(0), Some(1)]).unwrap();
    let adapter = distance(&case.run(0..2, Some(&hook)), &expected);
    println!("{name} with the adapter: {adapter:e}");
    assert!(adapter <= LIMIT, "{adapter:e}");

    for row in 0..2 {
        let tokens = identity.get(row).unwrap();
        let input = IdentityInput::new(&tokens);
        let options = ConditioningOptions::default();
        let conditioning = Conditioning::new(&case.adapter, host, &[input], &options).unwrap();
        let hook = ConditioningHook::new(conditioning, 1);
        let found = case.run(row..row + 1, Some(&hook));
        let injected = distance(&found, &expected.narrow(0, row, 1).unwrap());
        println!("{name} injected, row {row}: {injected:e}");
        assert!(injected <= LIMIT, "{injected:e}");
    }
}

#[test]
fn transformers_everywhere_with_linear_projections_and_a_class_vector() {
    check("linear");
}

#[test]
fn convolutions_plain_blocks_and_sines_first() {
    check("convolution");
}

#[test]
fn a_plain_finest_level_a_time_embedding_of_its_own_width_and_deeper_transformers() {
    check("plain");
}
