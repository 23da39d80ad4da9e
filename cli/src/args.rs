//! Options that several commands share.

use crate::failure::{Failure, Outcome};
use crate::progress::with_bar;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::ValueEnum;
use omniid::checkpoint::Checkpoint;
use omniid::engine::{BadPhoto, DeviceChoice, EncodeOptions, Engine, EngineOptions, HostConfig, Source};
use omniid::face::CropMode;
use omniid::host::HostSpec;
use omniid::photo::{FaceHint, Photo};
use omniid::{Error, ErrorKind, Limits, Precision};
use omniid_minihost::{GenerateOptions, Generator, Minihost};
use std::path::{Path, PathBuf};

/// The identity model and where it runs.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// Identity model: a native Omni-ID, an IP-Adapter or an XLabs FLUX file [default: the one inside the program].
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "OMNIID_CHECKPOINT",
        hide_env_values = true
    )]
    pub checkpoint: Option<PathBuf>,
    #[command(flatten)]
    pub parts: PartArgs,
    /// Host of an adapter that is for none of the known ones: sd15, sdxl, flux, or a JSON file with its layer table.
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Where to compute: cpu, cuda or cuda:N.
    #[arg(long, value_name = "DEVICE", env = "OMNIID_DEVICE", hide_env_values = true, default_value = "cpu",
          value_parser = parse_device)]
    pub device: DeviceChoice,
    /// Number type of the weights in memory.
    #[arg(long, env = "OMNIID_PRECISION", hide_env_values = true, default_value = "f32", value_parser = precisions())]
    pub precision: Precision,
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// Files that complete a public checkpoint.
#[derive(clap::Args, Clone)]
pub struct PartArgs {
    /// CLIP vision model; IP-Adapter and XLabs files need the one that they were trained with.
    #[arg(
        long,
        value_name = "FILE",
        env = "OMNIID_IMAGE_ENCODER",
        hide_env_values = true
    )]
    pub image_encoder: Option<PathBuf>,
    /// Its config.json [default: the one beside it, else its shapes tell].
    #[arg(long, value_name = "FILE")]
    pub image_encoder_config: Option<PathBuf>,
    /// Face detector: YuNet as .safetensors or .onnx [default: the one inside a native checkpoint].
    #[arg(long, value_name = "FILE", env = "OMNIID_DETECTOR", hide_env_values = true)]
    pub detector: Option<PathBuf>,
}

/// Bounds on what a file may cost.
#[derive(clap::Args, Clone, Copy)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Most pixels of a photo [default: 100 million].
    #[arg(long, value_name = "N")]
    max_pixels: Option<u64>,
    /// Most bytes of an encoded photo [default: 256 MiB].
    #[arg(long, value_name = "N")]
    max_photo_bytes: Option<u64>,
    /// Most bytes that decoding a photo may take [default: 1 GiB].
    #[arg(long, value_name = "N")]
    max_decoded_bytes: Option<u64>,
    /// Most photos of an identity [default: 4096].
    #[arg(long, value_name = "N")]
    max_photos: Option<u64>,
}

/// How photos become an identity.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Photos")]
pub struct PhotoArgs {
    /// Search the folders below a folder too.
    #[arg(short, long)]
    pub recursive: bool,
    /// How photos are cropped [default: the model's way].
    #[arg(long)]
    crop: Option<CropArg>,
    /// Room around the face with --crop face, as a part of its size.
    #[arg(long, value_name = "PART", requires = "crop")]
    margin: Option<f32>,
    /// Which face to take where there are several: 0 is the largest.
    #[arg(long, value_name = "N")]
    face: Option<usize>,
    /// Photos that pass the image encoder together.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch_size: u32,
    /// Stop at the first photo that cannot be used, instead of leaving it out.
    #[arg(long)]
    strict: bool,
}

/// How an identity is written.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Identity")]
pub struct NoteArgs {
    /// A name for people, stored in the identity.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub label: String,
    /// What the person agreed to, stored in the identity.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub consent: String,
    /// Do not keep the photos' features: a smaller file, which cannot be extended later.
    #[arg(long)]
    pub no_features: bool,
    /// Number type in the file; f32 is exact.
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = precisions())]
    pub store: Precision,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CropArg {
    /// The whole photo.
    None,
    /// The centre square.
    Center,
    /// A square around the face.
    Face,
    /// Turned and scaled so that eyes and mouth are where the model expects them.
    Aligned,
}

/// Reads a number type by its name.
pub fn precisions() -> impl TypedValueParser<Value = Precision> {
    PossibleValuesParser::new(Precision::ALL.map(Precision::name)).try_map(|name| name.parse::<Precision>())
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
        Limits {
            max_pixels: self.max_pixels.unwrap_or(default.max_pixels),
            max_photo_bytes: self.max_photo_bytes.unwrap_or(default.max_photo_bytes),
            max_decoded_bytes: self.max_decoded_bytes.unwrap_or(default.max_decoded_bytes),
            max_photos: self.max_photos.unwrap_or(default.max_photos),
            ..default
        }
    }
}

impl PartArgs {
    /// Puts the parts into the options of an engine or a conversion.
    fn fill(&self, options: &mut EngineOptions) -> Outcome {
        options.image_encoder = self.image_encoder.clone().map(Source::from);
        options.detector = self.detector.clone().map(Source::from);
        if let Some(path) = &self.image_encoder_config {
            if self.image_encoder.is_none() {
                return Err(Failure::usage("--image-encoder-config needs --image-encoder"));
            }
            let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
            options.image_encoder_config = Some(text);
        }
        Ok(())
    }
}

impl ModelArgs {
    /// Where the identity model's content comes from: the file that was named, else the built-in model.
    pub fn source(&self) -> Outcome<Source> {
        match &self.checkpoint {
            Some(path) => Ok(Source::from(path.as_path())),
            None if self.parts.image_encoder.is_some() => Err(Failure::usage(
                "--image-encoder belongs to a --checkpoint that needs one",
            )),
            None => {
                let options = EngineOptions::built_in().map_err(|error| {
                    Failure::usage(format!(
                        "{error}; give --checkpoint FILE or set OMNIID_CHECKPOINT"
                    ))
                })?;
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

/// The generator of pictures, and the identity model whose identities it draws.
#[derive(clap::Args, Clone)]
pub struct GeneratorArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// The small diffusion host that the identity model's adapter was trained with [default: the one inside the
    /// program, for the identity model inside it].
    #[arg(
        long,
        value_name = "FILE",
        env = "OMNIID_MINIHOST",
        hide_env_values = true,
        help_heading = "Model"
    )]
    pub minihost: Option<PathBuf>,
}

impl GeneratorArgs {
    /// Opens both.
    pub fn open(&self, quiet: bool) -> Outcome<Generator> {
        let (host, _) = self.open_host()?;
        Ok(Generator::new(host, self.model.open(quiet)?)?)
    }

    /// The host, and the fingerprint of its weights.
    pub fn open_host(&self) -> Outcome<(Minihost, String)> {
        let source = match (&self.minihost, &self.model.checkpoint) {
            (Some(path), _) => Source::from(path.as_path()),
            // The built-in host knows nothing of another model's identities.
            (None, Some(_)) => {
                return Err(Failure::usage(
                    "no generator for this identity model: give --minihost FILE or set OMNIID_MINIHOST",
                ))
            }
            (None, None) => {
                let bytes = omniid_minihost::default_model().map_err(|error| {
                    Failure::usage(format!("{error}; give --minihost FILE or set OMNIID_MINIHOST"))
                })?;
                Source::from(bytes)
            }
        };
        let limits = self.model.limits.limits();
        let dtype = self.model.precision.dtype();
        let host = Minihost::open(&source, dtype, &device(self.model.device)?, &limits)?;
        let file = Checkpoint::open(source, &limits)?;
        Ok((host, file.fingerprint(&[])))
    }
}

/// How pictures are sampled.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// Steps from noise to picture: more take longer and add detail, true or not.
    #[arg(long, value_name = "N", default_value_t = GenerateOptions::default().steps as u32,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    steps: u32,
    /// How far pictures are pushed towards the person; 1 not at all, at half the time.
    #[arg(long, value_name = "X", default_value_t = GenerateOptions::default().guidance)]
    guidance: f64,
    /// Seed of the noise that pictures start from.
    #[arg(long, value_name = "N", default_value_t = GenerateOptions::default().seed)]
    seed: u64,
    /// Weight of the identity; 1 is what the model was trained with, 0 draws nobody in particular.
    #[arg(long, value_name = "X", default_value_t = GenerateOptions::default().identity_scale)]
    scale: f32,
}

impl SamplingArgs {
    /// The options of a generator.
    pub fn options(&self) -> GenerateOptions {
        GenerateOptions {
            steps: self.steps as usize,
            guidance: self.guidance,
            seed: self.seed,
            identity_scale: self.scale,
            ..GenerateOptions::default()
        }
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

/// A built-in host by its name, or one from a file.
fn host(text: &str) -> Outcome<HostSpec> {
    if let Some(host) = HostSpec::named(text) {
        return Ok(host);
    }
    let path = Path::new(text);
    let json = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
    let config: HostConfig = serde_json::from_str(&json)
        .map_err(|error| Error::new(ErrorKind::Format, format!("{text}: no layer table: {error}")))?;
    Ok(config.resolve().map_err(|error| error.context(text))?)
}

impl PhotoArgs {
    /// The photos behind `paths`, with the face that was asked for.
    pub fn collect(&self, paths: &[PathBuf]) -> Outcome<Vec<Photo<'static>>> {
        let found = crate::photos::collect(paths, self.recursive)?;
        Ok(found.into_iter().map(|path| self.photo(path)).collect())
    }

    /// One photo with the face that was asked for.
    pub fn photo(&self, path: PathBuf) -> Photo<'static> {
        let photo = Photo::from(path);
        match self.face {
            Some(index) => photo.with_face(FaceHint::Index(index)),
            None => photo,
        }
    }

    /// Options for [`Engine::encode`] without notes.
    pub fn encode_options(&self) -> Outcome<EncodeOptions> {
        Ok(EncodeOptions {
            crop: self.crop()?,
            batch_size: self.batch_size as usize,
            bad_photo: if self.strict {
                BadPhoto::Fail
            } else {
                BadPhoto::Skip
            },
            ..EncodeOptions::default()
        })
    }

    fn crop(&self) -> Outcome<Option<CropMode>> {
        let crop = match (self.crop, self.margin) {
            (Some(CropArg::Face), margin) => CropMode::Face {
                margin: margin.unwrap_or(DEFAULT_MARGIN),
            },
            (_, Some(_)) => return Err(Failure::usage("--margin belongs to --crop face")),
            (None, None) => return Ok(None),
            (Some(CropArg::None), None) => CropMode::None,
            (Some(CropArg::Center), None) => CropMode::Center,
            (Some(CropArg::Aligned), None) => CropMode::aligned(),
        };
        Ok(Some(crop))
    }
}

/// Room around the face that shows the whole head.
const DEFAULT_MARGIN: f32 = 0.5;

impl NoteArgs {
    /// Adds the notes to the options of a call.
    pub fn fill(&self, options: &mut EncodeOptions) {
        options.label.clone_from(&self.label);
        options.consent.clone_from(&self.consent);
        options.keep_features = !self.no_features;
    }
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
