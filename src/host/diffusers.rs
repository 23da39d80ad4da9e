//! The `config.json` of a `diffusers` model as a host.

use super::{flux, HostFamily, HostSpec, UnetConfig, MAX_LAYERS};
use crate::error::{Error, Result};
use serde_json::Value;

impl HostSpec {
    /// The host described by the `config.json` of a `diffusers` `UNet2DConditionModel` or `FluxTransformer2DModel`.
    ///
    /// # Errors
    /// [`Format`](crate::ErrorKind::Format) when the text is not JSON or a field is missing or malformed;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for another class of model or another kind of block.
    pub fn from_diffusers_json(text: &str) -> Result<Self> {
        let json: Value = serde_json::from_str(text)
            .map_err(|error| Error::format(format!("the host's config.json is not JSON: {error}")))?;
        match json.get("_class_name").and_then(Value::as_str) {
            Some("UNet2DConditionModel") => Self::unet(&unet_config(&json)?),
            Some("FluxTransformer2DModel") => flux_host(&json),
            other => Err(Error::unsupported(format!(
                "the host's config.json has _class_name {other:?}; UNet2DConditionModel and FluxTransformer2DModel are known"
            ))),
        }
    }
}

fn flux_host(json: &Value) -> Result<HostSpec> {
    let count = size(json, "num_layers")?;
    let heads = size(json, "num_attention_heads")?;
    let head_dim = size(json, "attention_head_dim")?;
    let context = heads.saturating_mul(head_dim);
    // Identity tokens enter at the width of the text encoder's output.
    let joint = json
        .get("joint_attention_dim")
        .and_then(Value::as_u64)
        .map_or(context, |width| width as usize);
    if count > MAX_LAYERS {
        return Err(Error::format(format!(
            "num_layers {count}: a host has at most {MAX_LAYERS}"
        )));
    }
    let known = HostSpec::flux();
    let layers: Vec<_> = (0..count)
        .map(|i| flux::double_block(i, heads, head_dim, joint))
        .collect();
    if layers == known.layers {
        return Ok(known);
    }
    HostSpec::from_layers("flux-like", HostFamily::Other, layers)
}

fn unet_config(json: &Value) -> Result<UnetConfig> {
    let channels = sizes(json, "block_out_channels")?;
    let levels = channels.len();
    let per_level = |name: &str| Ok::<_, Error>(spread(sizes(json, name)?, levels));
    let depth = match json.get("transformer_layers_per_block") {
        None | Some(Value::Null) => vec![1; levels],
        Some(_) => per_level("transformer_layers_per_block")?,
    };
    // An early naming mistake of the format: the number of heads is stored under `attention_head_dim`.
    let heads_name = match json.get("num_attention_heads") {
        None | Some(Value::Null) => "attention_head_dim",
        Some(_) => "num_attention_heads",
    };
    let up = match json.get("reverse_transformer_layers_per_block") {
        None | Some(Value::Null) => depth.iter().rev().copied().collect(),
        Some(_) => per_level("reverse_transformer_layers_per_block")?,
    };
    let middle_depth = match json.get("mid_block_type").and_then(Value::as_str) {
        Some("UNetMidBlock2DCrossAttn") => depth.last().copied().unwrap_or(0),
        None | Some("UNetMidBlock2D") => 0,
        Some(other) => return Err(Error::unsupported(format!("mid_block_type {other:?} is not known"))),
    };
    Ok(UnetConfig {
        down_depth: block_depths(
            json,
            "down_block_types",
            ["CrossAttnDownBlock2D", "DownBlock2D"],
            &depth,
        )?,
        up_depth: block_depths(json, "up_block_types", ["CrossAttnUpBlock2D", "UpBlock2D"], &up)?,
        middle_depth,
        layers_per_block: per_level("layers_per_block")?,
        heads: per_level(heads_name)?,
        context: size(json, "cross_attention_dim")?,
        channels,
    })
}

/// Depth of the levels that attend, 0 for the others. `types` are the attending and the plain block.
fn block_depths(json: &Value, name: &str, types: [&str; 2], depth: &[usize]) -> Result<Vec<usize>> {
    let blocks = json
        .get(name)
        .and_then(Value::as_array)
        .ok_or_else(|| Error::format(format!("the host's config.json has no list {name:?}")))?;
    if blocks.len() != depth.len() {
        return Err(Error::format(format!(
            "{name} has {} entries for {} levels",
            blocks.len(),
            depth.len()
        )));
    }
    blocks
        .iter()
        .zip(depth)
        .map(|(block, &depth)| match block.as_str() {
            Some(block) if block == types[0] => Ok(depth),
            Some(block) if block == types[1] => Ok(0),
            _ => Err(Error::unsupported(format!("{name} holds {block}; known are {types:?}"))),
        })
        .collect()
}

fn spread(values: Vec<usize>, levels: usize) -> Vec<usize> {
    match values.as_slice() {
        [one] => vec![*one; levels],
        _ => values,
    }
}

fn number(name: &str, value: &Value) -> Result<usize> {
    value
        .as_u64()
        .and_then(|value| usize::try_from(value).ok())
        .ok_or_else(|| Error::format(format!("the host's config.json: {name} is {value}, not a whole number")))
}

fn size(json: &Value, name: &str) -> Result<usize> {
    number(name, json.get(name).unwrap_or(&Value::Null))
}

/// A number or a list of numbers.
fn sizes(json: &Value, name: &str) -> Result<Vec<usize>> {
    match json.get(name) {
        Some(Value::Array(values)) => values.iter().map(|value| number(name, value)).collect(),
        Some(value) => Ok(vec![number(name, value)?]),
        None => Err(Error::format(format!("the host's config.json has no {name:?}"))),
    }
}
