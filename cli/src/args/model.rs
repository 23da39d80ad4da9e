//! The identity model: its files, its limits, and where it runs.

use super::numbers::whole;
use crate::failure::{Failure, Outcome};
use crate::input::Input;
use crate::progress::with_bar;
use crate::remedy;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use omniid::checkpoint::Variant;
use omniid::engine::{DeviceChoice, Engine, EngineOptions, HostConfig, Source};
use omniid::host::HostSpec;
use omniid::{Error, ErrorKind, Limits, Precision};
use std::path::{Path, PathBuf};

/// The identity model and where it runs.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// Identity model: a native Omni-ID, an IP-Adapter or an XLabs FLUX file, or a folder with one [default: the one
    /// inside the program].
    #[arg(short, long, value_name = "FILE", env = "OMNIID_CHECKPOINT", hide_env_values = true)]
    pub checkpoint: Option<PathBuf>,
    #[command(flatten)]
    pub parts: PartArgs,
    /// Host of an adapter that is for none of the known ones: sd15, sdxl, flux, flux_all, pulid_flux, with_anyone,
    /// sd35_large, or a JSON file with its layer table.
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Where to compute: cpu, cuda or cuda:N.
    #[arg(long, value_name = "DEVICE", env = "OMNIID_DEVICE", hide_env_values = true, default_value = "cpu",
          value_parser = parse_device)]
    pub device: DeviceChoice,
    /// Number type of the weights in memory. int8 needs a quarter of the memory, is fastest where the processor
    /// multiplies bytes, and rounds most; on a GPU it is refused.
    #[arg(long, env = "OMNIID_PRECISION", hide_env_values = true, default_value = "f32", value_parser = precisions())]
    pub precision: Precision,
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// Files that complete a public checkpoint.
#[derive(clap::Args, Clone)]
pub struct PartArgs {
    /// Image encoder; adapters need the one that they were trained with, which `inspect` names. A file, an index of
    /// shards (.index.json), or a folder as Hugging Face lays it out.
    #[arg(long, value_name = "FILE", env = "OMNIID_IMAGE_ENCODER", hide_env_values = true)]
    pub image_encoder: Option<PathBuf>,
    /// Its config.json [default: the one beside it, else its shapes tell].
    #[arg(long, value_name = "FILE")]
    pub image_encoder_config: Option<PathBuf>,
    /// Face detector: YuNet as .safetensors or .onnx, or a native checkpoint that has one [default: the one inside the
    /// checkpoint, else the one inside the program].
    #[arg(long, value_name = "FILE", env = "OMNIID_DETECTOR", hide_env_values = true)]
    pub detector: Option<PathBuf>,
    /// Face recognition network, for models that read a face embedding: w600k_r50.onnx for IP-Adapter FaceID,
    /// glintr100.onnx for InstantID and PuLID; ONNX or safetensors.
    #[arg(long, value_name = "FILE")]
    pub face_recogniser: Option<PathBuf>,
    /// Face parsing network (BiSeNet), for PuLID's grey background: parsing_bisenet.pth, safetensors or ONNX.
    #[arg(long, value_name = "FILE")]
    pub face_parser: Option<PathBuf>,
    /// Which model the checkpoint is, where published ones have the same tensors: faceid-plus instead of
    /// faceid-plus-v2, faceid-portrait-unnorm instead of instantid.
    #[arg(long, value_name = "VARIANT", value_parser = variants(), hide_possible_values = true)]
    pub variant: Option<Variant>,
}

/// Bounds on what a file may cost.
#[derive(clap::Args, Clone, Copy)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Most pixels of a photo [default: 100 million].
    #[arg(long, value_name = "N", value_parser = whole::<u64>)]
    max_pixels: Option<u64>,
    /// Most bytes of an encoded photo [default: 256 MiB].
    #[arg(long, value_name = "N", value_parser = whole::<u64>)]
    max_photo_bytes: Option<u64>,
    /// Most bytes that decoding a photo may take [default: 1 GiB].
    #[arg(long, value_name = "N", value_parser = whole::<u64>)]
    max_decoded_bytes: Option<u64>,
    /// Most photos of an identity [default: 4096].
    #[arg(long, value_name = "N", value_parser = whole::<u64>)]
    max_photos: Option<u64>,
}

/// Reads the number type of weights in memory by its name.
pub fn precisions() -> impl TypedValueParser<Value = Precision> {
    one_of(&Precision::ALL)
}

/// Reads the number type of a file's tensors by its name.
pub fn stored_precisions() -> impl TypedValueParser<Value = Precision> {
    one_of(&Precision::STORED)
}

/// Reads the number type of an identity's file: those that the C ABI and the bindings write, too.
pub fn identity_precisions() -> impl TypedValueParser<Value = Precision> {
    one_of(&[Precision::F32, Precision::F16])
}

/// Reads a published model by its name.
pub fn variants() -> impl TypedValueParser<Value = Variant> {
    let names = Variant::ALL.iter().map(|variant| variant.name());
    PossibleValuesParser::new(names).try_map(|name| Variant::from_name(&name))
}

fn one_of(precisions: &[Precision]) -> impl TypedValueParser<Value = Precision> {
    let names = precisions.iter().map(|precision| precision.name());
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Precision>())
}

pub fn parse_device(text: &str) -> Result<DeviceChoice, String> {
    if text == "cpu" {
        return Ok(DeviceChoice::Cpu);
    }
    let ordinal = match text.strip_prefix("cuda") {
        Some("") => Some(0),
        Some(rest) => rest.strip_prefix(':').and_then(|number| number.parse().ok()),
        None => None,
    };
    ordinal
        .map(DeviceChoice::Cuda)
        .ok_or_else(|| format!("{text:?} is no device; cpu, cuda or cuda:N"))
}

impl LimitArgs {
    /// The limits with the library's defaults where nothing was given.
    pub fn limits(&self) -> Limits {
        let default = Limits::default();
        default
            .with_max_pixels(self.max_pixels.unwrap_or(default.max_pixels))
            .with_max_photo_bytes(self.max_photo_bytes.unwrap_or(default.max_photo_bytes))
            .with_max_decoded_bytes(self.max_decoded_bytes.unwrap_or(default.max_decoded_bytes))
            .with_max_photos(self.max_photos.unwrap_or(default.max_photos))
    }
}

impl PartArgs {
    /// Puts the parts into the options of an engine or a conversion.
    fn fill(&self, options: &mut EngineOptions) -> Outcome {
        options.image_encoder = self.image_encoder.clone().map(Source::from);
        options.detector = self.detector.clone().map(Source::from);
        options.face_recogniser = self.face_recogniser.clone().map(Source::from);
        options.face_parser = self.face_parser.clone().map(Source::from);
        options.variant = self.variant;
        if let Some(path) = &self.image_encoder_config {
            if self.image_encoder.is_none() {
                return Err(Failure::usage("--image-encoder-config needs --image-encoder"));
            }
            let text = read_text(path).map_err(|error| Error::io(path, error))?;
            options.image_encoder_config = Some(text);
        }
        Ok(())
    }
}

impl ModelArgs {
    /// Where the identity model's content comes from: the file that was named, else the built-in model.
    pub fn source(&self) -> Outcome<Source> {
        match &self.checkpoint {
            Some(path) => Ok(Input::open(path, &self.limits.limits())?.into_source()),
            None if self.parts.image_encoder.is_some() => Err(Failure::usage(
                "--image-encoder belongs to a --checkpoint that needs one",
            )),
            None => {
                let options = EngineOptions::built_in()
                    .map_err(|error| Failure::usage(error.message()).with_remedy(remedy::CHECKPOINT))?;
                Ok(options.checkpoint)
            }
        }
    }

    /// What to open an engine, or convert a checkpoint, with.
    pub fn engine_options(&self) -> Outcome<EngineOptions> {
        let mut options = EngineOptions::new(self.source()?);
        self.parts.fill(&mut options)?;
        options.host = self.host.as_deref().map(host).transpose()?;
        options.device = self.device;
        options.precision = self.precision;
        options.limits = self.limits.limits();
        Ok(options)
    }

    /// Opens the engine.
    pub fn open(&self, quiet: bool) -> Outcome<Engine> {
        let options = self.engine_options()?;
        Ok(with_bar(quiet, |progress| {
            Engine::open_with_progress(options, progress)
        })?)
    }
}

/// The device in candle's terms.
pub fn device(choice: DeviceChoice) -> Outcome<candle_core::Device> {
    match choice {
        DeviceChoice::Cpu => Ok(candle_core::Device::Cpu),
        #[cfg(feature = "cuda")]
        DeviceChoice::Cuda(ordinal) => Ok(omniid::cuda::open(ordinal)?),
        #[cfg(not(feature = "cuda"))]
        DeviceChoice::Cuda(ordinal) => Err(Failure::Library(Error::unsupported(format!(
            "CUDA device {ordinal}: this program was built without the feature `cuda`"
        )))),
    }
}

/// A text file, without the mark that editors on Windows begin UTF-8 with.
fn read_text(path: &Path) -> std::io::Result<String> {
    let text = std::fs::read_to_string(path)?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(text) => text.to_string(),
        None => text,
    })
}

/// A built-in host by its name, or one from a file.
fn host(text: &str) -> Outcome<HostSpec> {
    if let Some(host) = HostSpec::named(text) {
        return Ok(host);
    }
    let path = Path::new(text);
    let json = read_text(path).map_err(|error| {
        Failure::usage(format!(
            "--host {text}: {error}; expected {} or a JSON file with a layer table",
            HostSpec::built_in().map(|host| host.name().to_string()).join(", ")
        ))
    })?;
    let config: HostConfig = serde_json::from_str(&json)
        .map_err(|error| Error::new(ErrorKind::Format, format!("{text}: no layer table: {error}")))?;
    Ok(config.resolve().map_err(|error| error.context(text))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        assert_eq!(parse_device("cpu"), Ok(DeviceChoice::Cpu));
        assert_eq!(parse_device("cuda"), Ok(DeviceChoice::Cuda(0)));
        assert_eq!(parse_device("cuda:3"), Ok(DeviceChoice::Cuda(3)));
        for text in ["gpu", "cuda:", "cuda:x", "cuda3", "cuda:-1"] {
            assert!(parse_device(text).unwrap_err().contains(text), "{text}");
        }
    }
}
