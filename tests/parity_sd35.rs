//! InstantX' IP-Adapter for SD3.5 against diffusers: golden files written by `tests/parity/cases/sd35.py`.
//!
//! `OMNIID_PARITY_FIXTURES` names another folder of golden files, made with a fresh seed.

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use omniid::adapter::{Adapter, AdapterLayout};
use omniid::checkpoint::Checkpoint;
use omniid::conditioning::{Conditioning, ConditioningOptions, IdentityInput, Role, Step, TimestepTokens};
use omniid::encoder::{EncodeSettings, Encoder, EncoderConfig, Features};
use omniid::host::{HostLayer, HostSpec};
use omniid::inject::{InjectCall, Scalar, TensorView, TensorViewMut};
use omniid::{ErrorKind, Limits};
use std::path::PathBuf;

const HEADS: usize = 2;
const WIDTH: usize = 32;

fn open(name: &str) -> Checkpoint {
    let root = std::env::var_os("OMNIID_PARITY_FIXTURES").map(PathBuf::from);
    let root = root.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity"));
    Checkpoint::open(root.join("sd35/large").join(name), &Limits::default()).unwrap()
}

fn tensor(file: &Checkpoint, name: &str) -> Tensor {
    file.tensor(name, DType::F32, &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn host() -> HostSpec {
    let layer = |i: usize| HostLayer::new(format!("transformer_blocks.{i}.attn"), HEADS, WIDTH, HEADS * WIDTH);
    HostSpec::custom("small SD3.5", (0..2).map(layer).collect()).unwrap()
}

/// The adapter, and its tokens at each timestep of the golden file, compared with diffusers' on the way.
struct Case {
    golden: Checkpoint,
    timesteps: Vec<f32>,
    adapter: Adapter,
    tokens: Vec<TimestepTokens>,
}

impl Case {
    fn open() -> Self {
        let (file, golden) = (
            open("ip-adapter.safetensors").adapter_view().unwrap(),
            open("golden.safetensors"),
        );
        let weights = file.sub("image_proj");
        let config = EncoderConfig::infer(&weights).unwrap();
        assert!(config.needs_timestep());
        let encoder = Encoder::load(&config, weights.var_builder(DType::F32, &Device::Cpu).0).unwrap();
        let layout = AdapterLayout::infer(&file).unwrap().unwrap();
        assert_eq!(layout.joint, Some(32));
        let (builder, _) = file.var_builder(DType::F32, &Device::Cpu);
        let adapter = Adapter::load(&layout, &host(), builder).unwrap();
        let timesteps = values(&tensor(&golden, "timesteps"));
        let features = Features::of_image(tensor(&golden, "features"));
        let at = |(number, &timestep): (usize, &f32)| {
            let settings = EncodeSettings {
                timestep: Some(timestep),
                ..EncodeSettings::default()
            };
            let tokens = encoder.encode_with(std::slice::from_ref(&features), &settings).unwrap();
            let nobody = encoder.encode_zeros_with(7, &Device::Cpu, &settings).unwrap();
            let wanted = values(&tensor(&golden, &format!("tokens.{number}")));
            let found = [values(&nobody), values(&tokens)].concat();
            let worst = wanted
                .iter()
                .zip(&found)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(
                found.len() == wanted.len() && worst <= 1e-5,
                "tokens at {timestep}: {worst:e}"
            );
            TimestepTokens {
                tokens,
                unconditional: Some(nobody),
                embedding: encoder.time_embedding(timestep).unwrap().unwrap(),
            }
        };
        let tokens = timesteps.iter().enumerate().map(at).collect();
        Self {
            golden,
            timesteps,
            adapter,
            tokens,
        }
    }

    fn condition(&self, which: &[usize], dtype: DType) -> Conditioning {
        let tokens: Vec<TimestepTokens> = which.iter().map(|&place| self.tokens[place].clone()).collect();
        let timesteps: Vec<f32> = which.iter().map(|&place| self.timesteps[place]).collect();
        let scale = values(&tensor(&self.golden, "scale"))[0];
        let own = tokens[0].tokens.clone();
        let input = IdentityInput::new(&own).with_scale(scale).with_timesteps(&tokens);
        let options = ConditioningOptions::default()
            .with_dtype(dtype)
            .with_timesteps(timesteps);
        Conditioning::new(&self.adapter, &host(), &[input], &options).unwrap()
    }

    /// The largest distance, relative to 1 or the value, from what diffusers adds at one timestep; `heads_first` lays the heads before the rows.
    fn worst<T: Scalar>(&self, conditioning: &Conditioning, place: usize, heads_first: bool) -> f32 {
        let mut worst = 0f32;
        for layer in 0..2 {
            let name = format!("{place}.transformer_blocks.{layer}.attn");
            let read = |part: &str| -> Vec<f32> {
                let tensor = tensor(&self.golden, &format!("{part}.{name}"));
                let (batch, rows, _) = tensor.dims3().unwrap();
                let tensor = match heads_first {
                    true => {
                        let heads = tensor.reshape((batch, rows, HEADS, WIDTH)).unwrap();
                        heads.transpose(1, 2).unwrap().contiguous().unwrap()
                    }
                    false => tensor,
                };
                values(&tensor)
            };
            let [query, keys, found] =
                ["query", "key", "value"].map(|part| read(part).into_iter().map(T::narrow).collect::<Vec<T>>());
            let delta = read("delta");
            let rows = query.len() / (2 * HEADS * WIDTH);
            let mut output = vec![T::narrow(0.0); query.len()];
            let shape = match heads_first {
                true => [2, HEADS, rows, WIDTH],
                false => [2, rows, HEADS, WIDTH],
            };
            let [q, k, v] = [&query, &keys, &found].map(|data| {
                let view = TensorView::contiguous(data, shape).unwrap();
                if heads_first {
                    view.transpose(1, 2).unwrap()
                } else {
                    view
                }
            });
            // Whole, and by two threads of the host one after the other.
            let parts = 1 + place % 2;
            for part in 0..parts {
                let out = TensorViewMut::contiguous(&mut output, shape).unwrap();
                let out = if heads_first { out.transpose(1, 2).unwrap() } else { out };
                let call = InjectCall::new(layer, q, out)
                    .with_image_keys(k)
                    .with_image_values(v)
                    .with_roles(&[Role::Unconditional, Role::Conditional])
                    .with_step(Step {
                        sigma: Some(f64::from(self.timesteps[place]) / 1000.0),
                        fraction: None,
                    })
                    .with_part(part)
                    .with_part_count(parts);
                conditioning.inject(call).unwrap();
            }
            assert!(delta.iter().any(|x| x.abs() > 0.05), "the adapter has no effect");
            for (a, b) in delta.iter().zip(&output) {
                worst = worst.max((a - b.widen()).abs() / a.abs().max(1.0));
            }
        }
        worst
    }
}

#[test]
fn what_is_added_at_each_timestep_is_what_diffusers_adds() {
    let case = Case::open();
    let table = case.condition(&[0, 1, 2], DType::F32);
    assert_eq!(
        (table.timesteps(), table.needs_image_keys()),
        (&case.timesteps[..], true)
    );
    for place in 0..3 {
        let one = case.condition(&[place], DType::F32);
        for heads_first in [false, true] {
            let errors = [
                case.worst::<f32>(&table, place, heads_first),
                case.worst::<f32>(&one, place, heads_first),
            ];
            assert!(
                errors.iter().all(|error| *error <= 1e-5),
                "timestep {place}: {errors:?}"
            );
        }
        let error = case.worst::<f16>(&case.condition(&[place], DType::F16), place, false);
        assert!(error <= 1e-3, "timestep {place}, f16: {error:e}");
        let error = case.worst::<bf16>(&case.condition(&[place], DType::BF16), place, false);
        assert!(error <= 6e-3, "timestep {place}, bf16: {error:e}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let case = Case::open();
    let table = case.condition(&[0, 1], DType::F32);
    let data = vec![0.5f32; 4 * HEADS * WIDTH];
    let run = |conditioning: &Conditioning, with_keys: bool, sigma: Option<f64>| {
        let mut output = data.clone();
        let view = || TensorView::contiguous(&data, [1, 4, HEADS * WIDTH]).unwrap();
        let out = TensorViewMut::contiguous(&mut output, [1, 4, HEADS * WIDTH]).unwrap();
        let mut call = InjectCall::new(0, view(), out).with_step(Step { sigma, fraction: None });
        if with_keys {
            call = call.with_image_keys(view()).with_image_values(view());
        }
        conditioning.inject(call)
    };
    run(&table, true, Some(0.7375)).unwrap();
    // One timestep needs no step; a wrong one is refused all the same.
    let one = case.condition(&[1], DType::F32);
    run(&one, true, None).unwrap();
    for (conditioning, with_keys, sigma, text) in [
        (&table, false, Some(1.0), "image's keys and values"),
        (&table, true, None, "does not say the step's sigma"),
        (&table, true, Some(0.5), "timestep 500"),
        (&one, true, Some(1.0), "made for timestep 737.5"),
    ] {
        let error = run(conditioning, with_keys, sigma).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains(text), "{error}");
    }
    assert!(table.keys(0, 0, Role::Conditional).is_err() && one.keys(0, 0, Role::Conditional).is_ok());
    let condition = |options: &ConditioningOptions, timesteps| {
        let input = IdentityInput::new(&case.tokens[0].tokens).with_timesteps(timesteps);
        Conditioning::new(&case.adapter, &host(), &[input], options).unwrap_err()
    };
    let options = ConditioningOptions::default();
    for (options, timesteps, text) in [
        (options.clone(), &[][..], "no timesteps are given"),
        (
            options.clone().with_timesteps([1500.0]),
            &case.tokens[..1],
            "timestep 1500",
        ),
        (
            options.clone().with_timesteps([1.0, 2.0]),
            &case.tokens[..1],
            "tokens for 1 timesteps, expected 2",
        ),
        (
            options.with_timesteps([1.0]).with_zero_tokens(8),
            &case.tokens[..1],
            "zero tokens",
        ),
    ] {
        let error = condition(&options, timesteps);
        assert!(error.message().contains(text), "{error}");
    }
}
