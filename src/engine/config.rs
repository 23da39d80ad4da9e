//! The JSON configuration inside a native checkpoint, metadata key `omniid.config`.

use super::host_config::HostConfig;
use crate::encoder::{EncoderConfig, EncoderInput};
use crate::error::{Error, Result};
use crate::face::crop::TEMPLATE_CENTER;
use crate::face::parsing::ParserConfig;
use crate::face::CropMode;
use crate::photo::ImageProcessor;
use crate::recogniser::RecogniserConfig;
use crate::vit::{VisionConfig, VisionFamily};
use serde::{Deserialize, Serialize};

/// Version of the native format, in metadata under `omniid.format`.
pub const FORMAT_VERSION: u32 = 1;

/// Everything about a native checkpoint that its tensors do not say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NativeConfig {
    /// A display name.
    #[serde(default)]
    pub name: String,
    /// The image encoder, tensors under `backbone.`. Absent for models that read face embeddings only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backbone: Option<VisionConfig>,
    /// Preparation of pixels for the backbone. Left out of a file, the constants of the backbone's family.
    #[serde(default)]
    pub pixels: PixelConfig,
    /// The crop that the model was trained on.
    #[serde(default, with = "CropConfig")]
    pub crop: CropMode,
    /// The identity encoder, tensors under `encoder.`.
    pub encoder: EncoderConfig,
    /// The face recognition network, tensors under `recogniser.`. Absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recogniser: Option<RecogniserConfig>,
    /// The face parsing network, tensors under `parser.`. Absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parser: Option<ParserConfig>,
    /// The host whose layers the adapter (tensors under `adapter.`) is for. Absent when there is no adapter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostConfig>,
}

/// [`CropMode`] as JSON: `{"mode": "face", "margin": 0.5}`.
#[derive(Serialize, Deserialize)]
#[serde(remote = "CropMode", tag = "mode", rename_all = "snake_case", deny_unknown_fields)]
enum CropConfig {
    None,
    Center,
    Face {
        margin: f32,
    },
    Aligned {
        scale: f32,
        #[serde(default = "template_center")]
        center: [f32; 2],
    },
}

/// A crop as it stands in JSON.
#[derive(Serialize)]
pub(crate) struct CropJson(#[serde(with = "CropConfig")] pub(crate) CropMode);

fn template_center() -> [f32; 2] {
    TEMPLATE_CENTER
}

/// Mean and standard deviation per channel (red, green, blue) of pixels in 0…1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PixelConfig {
    /// Subtracted.
    pub mean: [f32; 3],
    /// Divided by, after the subtraction.
    pub std: [f32; 3],
}

impl PixelConfig {
    /// Fails unless the numbers turn pixels into finite values.
    fn check(&self) -> Result<()> {
        let sound =
            self.mean.iter().all(|mean| mean.is_finite()) && self.std.iter().all(|std| std.is_finite() && *std > 0.0);
        if sound {
            return Ok(());
        }
        Err(Error::format(format!(
            "native checkpoint: omniid.config: pixels have mean {:?} and std {:?}; all must be finite, std above 0",
            self.mean, self.std
        )))
    }
}

impl From<&ImageProcessor> for PixelConfig {
    fn from(processor: &ImageProcessor) -> Self {
        Self {
            mean: processor.mean,
            std: processor.std,
        }
    }
}

/// The preparation that a family of image encoders was trained with, for pictures of `size` × `size` pixels.
pub(super) fn processor_of(family: VisionFamily, size: u32) -> ImageProcessor {
    match family {
        VisionFamily::Siglip => ImageProcessor::siglip(size),
        VisionFamily::Dinov2 { .. } => ImageProcessor::imagenet(size),
        _ => ImageProcessor::clip(size),
    }
}

impl Default for PixelConfig {
    /// CLIP's constants.
    fn default() -> Self {
        (&ImageProcessor::clip(1)).into()
    }
}

impl NativeConfig {
    /// Reads the configuration from a checkpoint's metadata.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for another format version,
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) when the key is missing or the JSON does not fit.
    pub fn from_metadata(metadata: &std::collections::BTreeMap<String, String>) -> Result<Self> {
        let version = metadata.get("omniid.format").map(String::as_str).unwrap_or("");
        if version != FORMAT_VERSION.to_string() {
            return Err(Error::unsupported(format!(
                "native checkpoint: omniid.format is {version:?}, this library reads format {FORMAT_VERSION}"
            )));
        }
        let text = metadata
            .get("omniid.config")
            .ok_or_else(|| Error::format("native checkpoint: metadata has no \"omniid.config\""))?;
        let wrong = |error: &dyn std::fmt::Display| Error::format(format!("native checkpoint: omniid.config: {error}"));
        let mut config: Self = serde_json::from_str(text).map_err(|error| wrong(&error))?;
        let written: serde_json::Value = serde_json::from_str(text).map_err(|error| wrong(&error))?;
        match &config.backbone {
            Some(backbone) => {
                if written.get("pixels").is_none() {
                    config.pixels = (&processor_of(backbone.family, 1)).into();
                }
                backbone.validate()?;
            }
            None if config.encoder.input() == EncoderInput::Nothing => {}
            None => return Err(wrong(&"missing field `backbone`")),
        }
        config.pixels.check()?;
        config.crop.check().map_err(|error| wrong(&error))?;
        Ok(config)
    }

    /// The metadata entries that [`NativeConfig::from_metadata`] reads.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if the configuration cannot be written as JSON, as
    /// with a mean that is not a number.
    pub fn to_metadata(&self) -> Result<std::collections::BTreeMap<String, String>> {
        let text = serde_json::to_string(self).map_err(|error| Error::internal(format!("configuration: {error}")))?;
        Ok([
            ("omniid.format".into(), FORMAT_VERSION.to_string()),
            ("omniid.config".into(), text),
        ]
        .into())
    }
}
