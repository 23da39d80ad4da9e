//! Time of a training step and of a sampling pass of the minihost, for choosing sizes.
//!
//!     cargo run --release -p omniid-minihost --example step_speed -- 128,256 32

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use omniid::adapter::{Adapter, AdapterLayout};
use omniid::{Error, Result};
use omniid_kernels::layers::{autocast, random_tensors, Initial, TensorSpec};
use omniid_kernels::Element;
use omniid_minihost::flow::{training_loss, FlowOptions, Prediction, TrainingPictures};
use omniid_minihost::unet::multiply_adds;
use omniid_minihost::{AdapterHook, Minihost, MinihostConfig, MinihostSizes, View};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::Instant;

const IDENTITY: (usize, usize) = (32, 128);
const TARGETS: usize = 4;

fn random(name: &str, shape: &[usize]) -> Result<Tensor> {
    TensorSpec::new(name, shape, Initial::Normal(0.5)).tensor(1)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |text: &str| {
        text.parse::<usize>()
            .map_err(|_| Error::invalid(format!("{text:?} is no whole number")))
    };
    let channels = arguments.first().map_or("128,256", String::as_str);
    let channels = channels.split(',').map(number).collect::<Result<Vec<_>>>()?;
    let batch = number(arguments.get(1).map_or("32", String::as_str))?;
    let sizes = MinihostSizes {
        channels,
        ..MinihostSizes::default()
    };
    let config = MinihostConfig::new(&sizes, Prediction::Sample)?;
    let specs: Vec<_> = config
        .tensors()?
        .into_iter()
        .map(|spec| TensorSpec {
            initial: match spec.initial {
                Initial::Constant(0.0) => Initial::Normal(0.02),
                other => other,
            },
            ..spec
        })
        .collect();
    let tensors = random_tensors(&specs, 1)?;
    let parameters: usize = tensors.iter().map(|(_, tensor)| tensor.elem_count()).sum();
    let side = config.size / config.block;
    let flops = 2.0 * multiply_adds(&config.unet, side, side, config.context_tokens, IDENTITY.0) as f64;
    println!(
        "channels {:?}: {:.2} M parameters, {:.3} GFLOP per picture forward",
        sizes.channels,
        parameters as f64 / 1e6,
        flops / 1e9
    );
    let variables = tensors
        .iter()
        .map(|(name, tensor)| Ok((name.clone(), Var::from_tensor(tensor)?.as_tensor().clone())))
        .collect::<Result<_>>()?;
    let host = Minihost::load(&config, VarBuilder::from_tensors(variables, DType::F32, &Device::Cpu))?;
    let layout = AdapterLayout::native(host.host(), IDENTITY.1);
    let weights = candle_nn::VarMap::new();
    let adapter = Adapter::load(
        &layout,
        host.host(),
        VarBuilder::from_varmap(&weights, DType::F32, &Device::Cpu),
    )?;
    let people = batch.div_ceil(TARGETS);
    let identity = Var::from_tensor(&random("identity", &[people, IDENTITY.0, IDENTITY.1])?)?;
    let rows: Vec<_> = (0..batch).map(|row| (row % 10 != 9).then_some(row / TARGETS)).collect();
    let pictures = random("pictures", &[batch, 3, config.size, config.size])?;
    let views = random("views", &[batch, View::LENGTH])?;
    let training = TrainingPictures {
        pictures: &pictures,
        views: &views,
        weights: None,
    };
    for element in [Element::F32, Element::BF16] {
        let mut best = (f64::MAX, f64::MAX);
        for _ in 0..4 {
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let start = Instant::now();
            let loss = autocast(element, || {
                let hook = AdapterHook::new(&adapter, host.host(), identity.as_tensor(), None, &rows)?;
                training_loss(&host, &training, Some(&hook), &FlowOptions::default(), &mut rng)
            })?;
            let forward = start.elapsed().as_secs_f64();
            loss.backward()?;
            best = (best.0.min(forward), best.1.min(start.elapsed().as_secs_f64()));
        }
        let images = batch as f64;
        println!(
            "training, {element:?} products, batch {batch}: forward {:.1} ms, step {:.1} ms per picture, {:.0} GFLOP/s",
            1e3 * best.0 / images,
            1e3 * best.1 / images,
            3.0 * flops * images / best.1 / 1e9
        );
    }
    for dtype in [DType::F32, DType::BF16] {
        let constant = tensors
            .iter()
            .map(|(name, tensor)| Ok((name.clone(), tensor.to_dtype(dtype)?)))
            .collect::<Result<_>>()?;
        let host = Minihost::load(&config, VarBuilder::from_tensors(constant, dtype, &Device::Cpu))?;
        let hook = AdapterHook::new(&adapter, host.host(), identity.as_tensor(), None, &rows)?.detached();
        let conditions = host.conditions(&views)?;
        let time = Tensor::full(0.4f32, batch, &Device::Cpu)?;
        let mut best = f64::MAX;
        for _ in 0..4 {
            let start = Instant::now();
            host.predict(&pictures, &time, &conditions, Some(&hook))?;
            best = best.min(start.elapsed().as_secs_f64());
        }
        println!(
            "inference, {dtype:?} weights, batch {batch}: {:.1} ms per picture, {:.0} GFLOP/s",
            1e3 * best / batch as f64,
            flops * batch as f64 / best / 1e9
        );
    }
    Ok(())
}
