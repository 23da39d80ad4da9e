//! A host as one file, and as the folder that diffusers reads.
//!
//! One safetensors file holds the UNet under diffusers' names and the context encoder under `context.`; the
//! configuration is JSON in its metadata. diffusers reads the same tensors (it ignores `context.*` with a note) and
//! wants the UNet's `config.json` beside them: [`export_diffusers`] writes both.

use crate::config::CONTEXT_PREFIX;
use crate::{Minihost, MinihostConfig};
use candle_core::{DType, Device, Tensor};
use omniid::checkpoint::{save_bytes_atomically, write_safetensors, Checkpoint};
use omniid::engine::Source;
use omniid::Limits;
use omniid::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Version of the file format, in metadata under `omniid.minihost.format`.
pub const FORMAT_VERSION: u32 = 1;

const FORMAT_KEY: &str = "omniid.minihost.format";
const CONFIG_KEY: &str = "omniid.minihost.config";

/// Writes a host in one step: `path` holds what it held before, or the complete new file.
///
/// `tensors` must be those of [`MinihostConfig::tensors`]; they are stored as `dtype`. `metadata` is stored beside
/// the configuration.
///
/// # Errors
/// [`Format`](omniid::ErrorKind::Format) naming a tensor that is missing, not known, or of another shape;
/// [`Io`](omniid::ErrorKind::Io) as of [`write_safetensors`].
pub fn save<'a>(
    path: &Path,
    config: &MinihostConfig,
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    dtype: DType,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let tensors = converted(tensors, dtype)?;
    check_names(
        config,
        tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.dims())),
    )?;
    let json =
        serde_json::to_string(config).map_err(|error| Error::internal(format!("minihost configuration: {error}")))?;
    let mut metadata = metadata.clone();
    metadata.insert(FORMAT_KEY.to_string(), FORMAT_VERSION.to_string());
    metadata.insert(CONFIG_KEY.to_string(), json);
    write_safetensors(path, &tensors, &metadata)
}

/// Writes `config.json` and `diffusion_pytorch_model.safetensors` into `folder`, which diffusers'
/// `UNet2DConditionModel.from_pretrained` reads.
///
/// The time that it wants is [`TIME_SCALE`](crate::model::TIME_SCALE) times the flow time, `encoder_hidden_states` and
/// `class_labels` are [`Minihost::conditions`], pictures enter by `pixel_unshuffle`, followed by the map's channels.
///
/// # Errors
/// As [`save`].
pub fn export_diffusers<'a>(
    folder: &Path,
    config: &MinihostConfig,
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    dtype: DType,
) -> Result<()> {
    let mut tensors = converted(tensors, dtype)?;
    check_names(
        config,
        tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.dims())),
    )?;
    tensors.retain(|(name, _)| !is_context(name));
    std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
    let weights = folder.join("diffusion_pytorch_model.safetensors");
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    write_safetensors(&weights, &tensors, &metadata)?;
    save_bytes_atomically(&folder.join("config.json"), config.unet.to_json().as_bytes())
}

impl MinihostConfig {
    /// The configuration of a file written by [`save`].
    ///
    /// # Errors
    /// [`Unsupported`](omniid::ErrorKind::Unsupported) for another format version,
    /// [`Format`](omniid::ErrorKind::Format) when the file is no minihost or its configuration is damaged.
    pub fn from_metadata(metadata: &BTreeMap<String, String>) -> Result<Self> {
        let Some(version) = metadata.get(FORMAT_KEY) else {
            return Err(Error::format(format!(
                "no minihost: its metadata has no {FORMAT_KEY:?}"
            )));
        };
        if *version != FORMAT_VERSION.to_string() {
            return Err(Error::unsupported(format!(
                "minihost: {FORMAT_KEY} is {version:?}, this library reads {FORMAT_VERSION}"
            )));
        }
        let text = metadata.get(CONFIG_KEY).map(String::as_str).unwrap_or_default();
        let config: Self =
            serde_json::from_str(text).map_err(|error| Error::format(format!("minihost: {CONFIG_KEY}: {error}")))?;
        config
            .check()
            .map_err(|error| Error::format(format!("minihost: {CONFIG_KEY}: {}", error.message())))?;
        Ok(config)
    }
}

impl Minihost {
    /// Opens a file written by [`save`], for inference. `dtype` is the number type of the weights in memory.
    ///
    /// # Errors
    /// [`Io`](omniid::ErrorKind::Io) and [`Format`](omniid::ErrorKind::Format) for files that cannot be read, naming a
    /// tensor that is missing, not known or of another shape; as [`MinihostConfig::from_metadata`].
    pub fn open(source: impl Into<Source>, dtype: DType, device: &Device, limits: &Limits) -> Result<Self> {
        let checkpoint = Checkpoint::open(source, limits)?;
        Self::from_checkpoint(&checkpoint, dtype, device).map_err(|error| error.context(checkpoint.label()))
    }

    fn from_checkpoint(checkpoint: &Checkpoint, dtype: DType, device: &Device) -> Result<Self> {
        let config = MinihostConfig::from_metadata(checkpoint.metadata())?;
        check_names(
            &config,
            checkpoint
                .names()
                .map(|name| (name, checkpoint.shape(name).unwrap_or_default())),
        )?;
        checkpoint.check_written()?;
        let (vb, _) = checkpoint.var_builder(dtype, device);
        Self::load(&config, vb)
    }
}

fn is_context(name: &str) -> bool {
    name.strip_prefix(CONTEXT_PREFIX)
        .is_some_and(|rest| rest.starts_with('.'))
}

fn converted<'a>(
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    dtype: DType,
) -> Result<Vec<(String, Tensor)>> {
    tensors
        .into_iter()
        .map(|(name, tensor)| Ok((name.to_string(), tensor.to_dtype(dtype)?)))
        .collect()
}

/// Fails unless the tensors are exactly the configuration's.
fn check_names<'a>(config: &MinihostConfig, tensors: impl Iterator<Item = (&'a str, &'a [usize])>) -> Result<()> {
    let specs = config.tensors()?;
    let wanted: BTreeMap<&str, &[usize]> = specs
        .iter()
        .map(|spec| (spec.name.as_str(), spec.shape.as_slice()))
        .collect();
    let mut seen = BTreeSet::new();
    for (name, shape) in tensors {
        match wanted.get(name) {
            Some(wanted) if *wanted == shape => {}
            Some(wanted) => {
                return Err(Error::format(format!(
                    "minihost: tensor {name:?} has shape {shape:?}, expected {wanted:?}"
                )))
            }
            None => {
                return Err(Error::format(format!(
                    "minihost: tensor {name:?} is not part of this configuration"
                )))
            }
        }
        seen.insert(name);
    }
    match wanted.keys().find(|name| !seen.contains(*name)) {
        Some(missing) => Err(Error::format(format!("minihost: tensor {missing:?} is missing"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
