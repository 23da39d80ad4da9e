//! Writing a LoRA for other programs.

use super::Lora;
use crate::error::{Error, Result};
use crate::host::HostFamily;
use crate::precision::Precision;
use crate::tensor_file::{OutputTensor, SafetensorsWriter};
use candle_core::{DType, Device, Tensor};
use std::collections::BTreeMap;
use std::path::Path;

/// The names that a LoRA file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LoraFormat {
    /// kohya-ss: what ComfyUI, WebUI and most programs read.
    Kohya,
    /// diffusers and PEFT: what `load_lora_weights` reads.
    Diffusers,
}

impl LoraFormat {
    /// All formats.
    pub const ALL: [Self; 2] = [Self::Kohya, Self::Diffusers];

    /// The name in options: `kohya` or `diffusers`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kohya => "kohya",
            Self::Diffusers => "diffusers",
        }
    }
}

impl std::str::FromStr for LoraFormat {
    type Err = Error;

    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for another name.
    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|format| format.name() == text);
        found.ok_or_else(|| Error::invalid(format!("{text:?} is no format of a LoRA file; kohya or diffusers")))
    }
}

impl Lora {
    /// Plans a safetensors file. `precision` of `None` keeps each tensor's type.
    pub(crate) fn plan(&self, format: LoraFormat, precision: Option<Precision>) -> Result<SafetensorsWriter> {
        let dtype = precision.map(Precision::stored).transpose()?.map(Precision::dtype);
        let mut tensors = Vec::with_capacity(3 * self.layers.len());
        for layer in &self.layers {
            let [down, up] = &layer.found;
            let [module, kohya] = &layer.published;
            let (prefix, names) = match format {
                LoraFormat::Kohya => (kohya.clone(), ["lora_down.weight", "lora_up.weight"]),
                LoraFormat::Diffusers => {
                    let prefix = module.as_ref().map(|module| format!("unet.{module}"));
                    (prefix, ["lora_A.weight", "lora_B.weight"])
                }
            };
            let prefix = prefix.ok_or_else(|| {
                let reason = match format {
                    LoraFormat::Kohya => "gives no name of the original UNet (`ldm_name`) for layer",
                    LoraFormat::Diffusers => "calls otherwise than diffusers does (`….attn2`) the layer",
                };
                Error::mismatch(format!(
                    "host {:?}: its table {reason} {:?}, so {} files have no name for it",
                    self.host.name(),
                    layer.module,
                    format.name()
                ))
            })?;
            for (name, found) in names.into_iter().zip([down, up]) {
                let name = format!("{prefix}.{name}");
                tensors.push(OutputTensor::from_checkpoint(name, &self.checkpoint, found, dtype)?);
            }
            if format == LoraFormat::Kohya {
                // Strength alpha / rank. PEFT takes the rank for alpha when a file says nothing; kohya's tools do so
                // too, but say it themselves in what they write.
                let alpha = Tensor::new(layer.rank as f32, &Device::Cpu)?.to_dtype(dtype.unwrap_or(DType::F32))?;
                tensors.push(OutputTensor::new(format!("{prefix}.alpha"), &alpha));
            }
        }
        SafetensorsWriter::new(tensors, &self.metadata(format))
    }

    fn metadata(&self, format: LoraFormat) -> BTreeMap<String, String> {
        let mut metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
        if format == LoraFormat::Kohya {
            let base = match self.host.family() {
                HostFamily::Sd15 => Some("sd_v1"),
                HostFamily::Sdxl => Some("sdxl_base_v1-0"),
                _ => None,
            };
            let rank = self.rank().map(|rank| rank.to_string());
            let entries = [
                ("ss_network_module", Some("networks.lora".to_string())),
                ("ss_network_dim", rank.clone()),
                ("ss_network_alpha", rank),
                ("ss_base_model_version", base.map(str::to_string)),
            ];
            metadata.extend(
                entries
                    .into_iter()
                    .filter_map(|(key, value)| Some((key.to_string(), value?))),
            );
        }
        metadata
    }

    /// Writes the LoRA as a safetensors file that other programs load like any LoRA, at strength 1. `precision` of
    /// `None` keeps each tensor's type.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) naming the path; [`Mismatch`](crate::ErrorKind::Mismatch) for a host's own table whose
    /// layers have other names than in diffusers. After an error there is no new file.
    pub fn save(&self, path: impl AsRef<Path>, format: LoraFormat, precision: Option<Precision>) -> Result<()> {
        self.plan(format, precision)?.save(path.as_ref(), |_, _| Ok(()))
    }

    /// The bytes of the file that [`Lora::save`] writes.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) when the checkpoint cannot be read any more.
    pub fn to_bytes(&self, format: LoraFormat, precision: Option<Precision>) -> Result<Vec<u8>> {
        self.plan(format, precision)?.to_bytes()
    }
}
