//! Writes a step of masked reconstruction with everything that it depends on, to compare other trainers with.
//!
//!     cargo run --release -p omniid-training --example masked_gradients -- PRESET OUT.safetensors
//!
//! The people are drawn shapes. The file has the batch (`photos`, `visible`, `visible_places`, `places`, `condition`,
//! `values`), the weights (`weight.…`), the loss and its gradients (`gradient.…`).

use candle_core::{DType, Device, Tensor};
use omniid::Error;
use omniid_training::batch::{input_planes, Sampler};
use omniid_training::config::RunConfig;
use omniid_training::data::toy_people;
use omniid_training::masked::{decoder_parameters, MaskedDecoder, TargetBuilder};
use omniid_training::model::{identity_parameters, IdentityModel};
use omniid_training::optimisation::{ParameterGroup, Parameters};
use omniid_training::random::{stream, Purpose};
use std::collections::HashMap;
use std::path::Path;

const PEOPLE: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let [preset, out] = arguments.as_slice() else {
        return Err("usage: masked_gradients PRESET OUT.safetensors".into());
    };
    let mut config = RunConfig::open(Path::new(preset))?;
    config.sampler.people = PEOPLE;
    config.masked.background_weight = 1.0;
    config.model.train_positions = true;
    let (model, device) = (&config.model, Device::Cpu);
    let mut specs = identity_parameters(model, 0)?;
    specs.extend(decoder_parameters(&config.masked, model, 0));
    let group = ParameterGroup {
        name: "all".to_string(),
        rate: 1.0,
        weight_decay: 0.0,
    };
    let parameters = Parameters::new(&specs, &[group], config.seed, &device)?;
    let identity = IdentityModel::load(model, parameters.builder())?;
    let decoder = MaskedDecoder::load(&config.masked, model, parameters.builder().pp("decoder"))?;

    let people = toy_people(PEOPLE, 6, model.image_size as u32, 5);
    let sampler = Sampler::new(&people, config.sampler.clone(), false, config.seed)?;
    let draws = sampler.draw(0);
    let inputs = draws.first().map_or(0, |draw| draw.inputs.len());
    let shape = [draws.len(), inputs, 3, model.image_size, model.image_size];
    let photos = Tensor::from_vec(input_planes(&people, &draws, false), &shape[..], &device)?;
    let builder = TargetBuilder::new(&config.masked, model.image_size, model.patch_size);
    let mut generator = stream(config.seed, Purpose::Masks, 0);
    let count = draws.iter().map(|draw| draw.targets.len()).sum::<usize>();
    let patches = (0..count).map(|_| builder.draw(&mut generator)).collect::<Vec<_>>();
    let batch = builder.build(&people, &draws, &patches);
    let targets = batch.targets(&device)?;

    let tokens = identity.tokens(&photos)?;
    let loss = batch.loss(&decoder.forward(&tokens, &targets)?, &device)?;
    let gradients = loss.backward()?;

    let mut tensors = HashMap::from([
        ("photos".to_string(), photos),
        ("places".to_string(), targets.places),
        ("values".to_string(), batch.values(&device)?),
        ("tokens".to_string(), tokens.detach()),
        ("loss".to_string(), loss.detach().to_dtype(DType::F32)?),
    ]);
    let optional = [
        ("visible", targets.visible),
        ("visible_places", targets.visible_places),
        ("condition", targets.condition),
    ];
    for (name, tensor) in optional {
        tensors.extend(tensor.map(|tensor| (name.to_string(), tensor)));
    }
    for (name, _, variable) in parameters.trained() {
        let gradient = gradients
            .get(variable)
            .ok_or_else(|| Error::internal(format!("{name} has no gradient")))?;
        tensors.insert(format!("gradient.{name}"), gradient.contiguous()?);
    }
    for (name, parameter) in parameters.iter() {
        tensors.insert(format!("weight.{name}"), parameter.tensor().contiguous()?);
    }
    candle_core::safetensors::save(&tensors, out)?;
    Ok(())
}
