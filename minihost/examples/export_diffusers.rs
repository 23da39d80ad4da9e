//! Writes a host as the folder that diffusers reads, with an input and our output beside it to compare with:
//!
//!     cargo run --release -p omniid-minihost --example export_diffusers -- FOLDER [HOST.safetensors]
//!     python tests/parity/minihost_file.py FOLDER
//!
//! Without a file, the built-in host.

use candle_core::{DType, Device, Tensor};
use omniid::checkpoint::{write_safetensors, Checkpoint};
use omniid::engine::Source;
use omniid::Limits;
use omniid::{Error, Result};
use omniid_kernels::layers::{Initial, TensorSpec};
use omniid_minihost::{default_model, file, pixels, Minihost, MinihostConfig, View};
use std::collections::BTreeMap;
use std::path::Path;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = arguments
        .first()
        .map(Path::new)
        .ok_or_else(|| Error::invalid("usage: export_diffusers FOLDER [HOST.safetensors]; the folder is missing"))?;
    let limits = Limits::default();
    let source = match arguments.get(1) {
        Some(path) => Source::from(Path::new(path)),
        None => Source::from(default_model()?),
    };
    let checkpoint = Checkpoint::open(&source, &limits)?;
    let config = MinihostConfig::from_metadata(checkpoint.metadata())?;
    let tensors = checkpoint
        .names()
        .map(|name| Ok((name.to_string(), checkpoint.tensor(name, DType::F32, &Device::Cpu)?)))
        .collect::<Result<Vec<_>>>()?;
    let pairs = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
    file::export_diffusers(&folder.join("unet"), &config, pairs, DType::F32)?;

    let host = Minihost::open(&source, DType::F32, &Device::Cpu, &limits)?;
    let random = |name: &str, shape: &[usize]| TensorSpec::new(name, shape, Initial::Normal(1.0)).tensor(1);
    let views = [View::named("three-quarter left"), View::named("smile")]
        .into_iter()
        .flat_map(|view| view.unwrap_or_default().to_vector())
        .collect::<Vec<_>>();
    let conditions = host.conditions(&Tensor::from_vec(views, (2, View::LENGTH), &Device::Cpu)?)?;
    let noise = pixels::to_tokens(&random("noise", &[2, 3, config.size, config.size])?, config.block)?;
    let time = Tensor::new(&[0.1f32, 0.7], &Device::Cpu)?;
    let output = host.predict_tokens(&noise, &time, &conditions, None)?;
    let input = match &conditions.map {
        Some(map) => Tensor::cat(&[&noise, map], 2)?,
        None => noise,
    };
    // diffusers wants channels before rows and columns.
    let side = config.size / config.block;
    let picture = |tokens: &Tensor| -> Result<Tensor> {
        let (batch, _, channels) = tokens.dims3()?;
        Ok(tokens
            .transpose(1, 2)?
            .reshape((batch, channels, side, side))?
            .contiguous()?)
    };
    let mut check = vec![
        ("sample".to_string(), picture(&input)?),
        ("timestep".to_string(), (time * omniid_minihost::model::TIME_SCALE)?),
        ("encoder_hidden_states".to_string(), conditions.context.clone()),
        ("output".to_string(), picture(&output)?),
    ];
    check.extend(conditions.class.map(|class| ("class_labels".to_string(), class)));
    write_safetensors(&folder.join("check.safetensors"), &check, &BTreeMap::new())?;
    println!(
        "{}: unet/ for diffusers, check.safetensors to compare with",
        folder.display()
    );
    Ok(())
}
