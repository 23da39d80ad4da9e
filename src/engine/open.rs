//! Opening a checkpoint: recognise it, find its parts, load them, check that they fit together.

use super::comparison::similarity_space;
use super::config::{processor_of, NativeConfig, PixelConfig};
use super::host_config::HostConfig;
use super::load::{load, Backbone};
use super::options::{DeviceChoice, EngineOptions};
use super::{AdapterSource, Engine, EngineInfo, Inner};
use crate::adapter::AdapterLayout;
use crate::checkpoint::{recognise, Checkpoint, CheckpointKind, Content, Role, Source};
use crate::encoder::{Encoder, EncoderConfig, EncoderInput};
use crate::error::{Error, Result};
use crate::face::{CropMode, FaceDetector};
use crate::host::HostSpec;
use crate::limits::Limits;
use crate::progress::{report, ProgressFn, Stage};
use crate::remedy;
use crate::vit::VisionConfig;
use candle_core::{DType, Device};
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// Loading steps that are reported: backbone, encoder, detector, adapter table.
const STEPS: usize = 4;

/// The parts of an identity model, still unread, whatever files they come from.
pub(crate) struct Parts {
    pub(crate) name: String,
    pub(crate) backbone: Checkpoint,
    pub(crate) backbone_config: VisionConfig,
    pub(crate) encoder: Checkpoint,
    pub(crate) encoder_config: EncoderConfig,
    pub(crate) similarity: Option<Checkpoint>,
    pub(crate) detector: Option<Checkpoint>,
    pub(crate) adapter: Option<AdapterSource>,
    pub(crate) host: Option<HostSpec>,
    pub(crate) pixels: PixelConfig,
    pub(crate) crop: CropMode,
    pub(crate) fingerprint: String,
}

impl Parts {
    /// Finds the parts that an engine opened with `options` would use, without reading their tensors.
    pub(crate) fn find(options: &EngineOptions) -> Result<Self> {
        Self::of(&read(&options.checkpoint, &options.limits)?, options)
    }

    fn of(checkpoint: &Checkpoint, options: &EngineOptions) -> Result<Self> {
        match recognise(checkpoint)? {
            CheckpointKind::Native if options.image_encoder.is_some() || options.image_encoder_config.is_some() => {
                Err(Error::invalid(format!(
                    "{}: an image encoder is given, but a native checkpoint contains its own",
                    checkpoint.label()
                ))
                .with_remedy(remedy::OWN_IMAGE_ENCODER))
            }
            CheckpointKind::Native => match checkpoint.prefixes_before(&["backbone.vision_model."]).as_slice() {
                [prefix] => native(&checkpoint.unwrapped(prefix), options),
                _ => native(checkpoint, options),
            },
            kind @ (CheckpointKind::IpAdapter { .. } | CheckpointKind::XlabsFlux { .. }) => {
                public(&checkpoint.adapter_view()?, &kind, options)
            }
            other => Err(Error::mismatch(format!(
                "{}: expected a native OmniID checkpoint, an IP-Adapter or an XLabs FLUX adapter, found: {}",
                checkpoint.label(),
                other.name()
            ))),
        }
    }

    /// Looks by samples whether the weights were written, for what is read later or not at all: the layers of the
    /// adapter, the image encoder's last block. A file that ends in zeros is not the one that its maker published.
    ///
    /// Single layers of an adapter may be zero: some leave out those that do harm.
    pub(crate) fn check_written(&self) -> Result<()> {
        const WHY: &str = "the file was not downloaded or copied to its end, or the model was never trained";
        let zero = self.backbone.sample_weights();
        let zero = zero.map_err(|error| error.context("image encoder"))?;
        if let Some(name) = zero.first() {
            let file = self.backbone.label();
            let text = format!("image encoder: {file}: tensor {name:?}: all of its weights are 0: {WHY}");
            return Err(Error::format(text).with_remedy(remedy::DAMAGED_WEIGHTS));
        }
        let Some(adapter) = &self.adapter else {
            return Ok(());
        };
        let zero = adapter.checkpoint.sample_weights()?;
        let layers = adapter.layout.shapes.len();
        for (side, what) in [(".to_k", "keys"), (".to_v", "values")] {
            if zero.iter().filter(|name| name.contains(side)).count() >= layers {
                let file = adapter.checkpoint.label();
                let text = format!("{file}: the weights of all {layers} adapter layers for {what} are 0: {WHY}");
                return Err(Error::format(text).with_remedy(remedy::DAMAGED_WEIGHTS));
            }
        }
        Ok(())
    }
}

pub(super) fn open(options: EngineOptions, progress: ProgressFn<'_>) -> Result<Engine> {
    omniid_kernels::threads_asked_for()?;
    refuse_options(&options)?;
    let device = open_device(options.device)?;
    let limits = options.limits;
    let checkpoint = read(&options.checkpoint, &limits)?;
    let parts = Parts::of(&checkpoint, &options)?;
    report(progress, Stage::Load, 0, STEPS)?;
    check_widths(&parts.encoder_config, &parts.backbone_config)?;
    let dtype = options.precision.dtype();
    let backbone = Backbone::deferred(
        parts.backbone.clone(),
        parts.backbone_config.clone(),
        parts.encoder_config.input(),
        dtype,
        device.clone(),
    );
    if !options.defer_image_encoder {
        backbone.get()?;
    }
    report(progress, Stage::Load, 1, STEPS)?;
    let encoder = load(&parts.encoder, "encoder", dtype, &device, |vb| {
        Encoder::load(&parts.encoder_config, vb)
    })?;
    report(progress, Stage::Load, 2, STEPS)?;
    let detector = match (&options.detector, &parts.detector) {
        (Some(source), _) => Some(open_detector(source, &limits)?),
        (None, Some(part)) => {
            // The detector is small and runs before the GPU is involved.
            Some(load(part, "face detector", DType::F32, &Device::Cpu, |weights| {
                FaceDetector::load(weights)
            })?)
        }
        (None, None) => None,
    };
    let has_detector = detector.is_some() || cfg!(feature = "default-model");
    if parts.crop.needs_face() && !has_detector {
        // Saying so beats failing to open: photos that come with a box or landmarks need no detector.
        log::info!("no face detector: only photos with a face box or landmarks can be cropped to the face");
    }
    parts.check_written()?;
    report(progress, Stage::Load, 3, STEPS)?;
    let host = options.host.or(parts.host);
    let token_mean = encoder.token_mean().map(super::encode::to_host).transpose()?;
    let tokens = encoder.tokens().of(1, parts.backbone_config.token_count());
    let values = tokens * encoder.token_width();
    let similarity_space = similarity_space(parts.similarity.as_ref(), token_mean, values)?;
    let backbone_config = &parts.backbone_config;
    let mut processor = processor_of(backbone_config.family, backbone_config.image_size as u32);
    processor.mean = parts.pixels.mean;
    processor.std = parts.pixels.std;
    let info = EngineInfo {
        name: parts.name,
        kind: encoder.kind(),
        fingerprint: parts.fingerprint,
        tokens,
        token_width: encoder.token_width(),
        encoder: parts.encoder_config,
        backbone: parts.backbone_config,
        crop: parts.crop,
        has_detector,
        has_adapter: parts.adapter.is_some(),
        device: options.device,
        precision: options.precision,
    };
    let inner = Inner {
        info,
        device,
        limits,
        processor,
        backbone,
        encoder,
        similarity_space,
        detector,
        host,
        adapter_source: parts.adapter,
        adapter: OnceLock::new(),
        synthetic: Default::default(),
    };
    report(progress, Stage::Load, STEPS, STEPS)?;
    Ok(Engine { inner: Arc::new(inner) })
}

/// Refuses what no model reads yet.
fn refuse_options(options: &EngineOptions) -> Result<()> {
    let given = [
        ("face recogniser", options.face_recogniser.is_some()),
        ("face parser", options.face_parser.is_some()),
        ("variant", options.variant.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((what, _)) => Err(Error::unsupported(format!(
            "a {what} is given, which has no effect on this model"
        ))),
        None => Ok(()),
    }
}

fn open_device(choice: DeviceChoice) -> Result<Device> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        #[cfg(feature = "cuda")]
        DeviceChoice::Cuda(ordinal) => crate::cuda::open(ordinal),
        #[cfg(not(feature = "cuda"))]
        DeviceChoice::Cuda(ordinal) => Err(Error::unsupported(format!(
            "CUDA device {ordinal}: this library was built without the feature `cuda`"
        ))),
    }
}

/// Opens a source and puts its name before what goes wrong.
pub(super) fn read(source: &Source, limits: &Limits) -> Result<Checkpoint> {
    read_as(source, Role::Model, limits)
}

fn read_as(source: &Source, role: Role, limits: &Limits) -> Result<Checkpoint> {
    Checkpoint::open_as(source, role, limits).map_err(|error| match source.path() {
        Some(path) => in_file(path, error),
        None => error.context("checkpoint in memory"),
    })
}

/// Names the file, unless the message begins with it already.
fn in_file(path: &Path, error: Error) -> Error {
    let name = path.display().to_string();
    if error.message().starts_with(&name) {
        error
    } else {
        error.context(name)
    }
}

/// The backbone's sizes from its shapes and, if there is one, its configuration file.
fn vision_config(backbone: &Checkpoint, config_json: Option<&str>) -> Result<VisionConfig> {
    VisionConfig::infer(backbone, config_json).map_err(|error| error.context("image encoder"))
}

/// Takes a native checkpoint apart.
fn native(checkpoint: &Checkpoint, options: &EngineOptions) -> Result<Parts> {
    const PREFIXES: [&str; 5] = ["backbone.", "encoder.", "similarity.", "adapter.", "detector."];
    if let Some(name) = checkpoint
        .names()
        .find(|name| !PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
    {
        return Err(Error::format(format!(
            "native checkpoint: unexpected tensor {name:?}, names begin with one of {}",
            PREFIXES.join(", ")
        )));
    }
    let config = NativeConfig::from_metadata(checkpoint.metadata())?;
    let has = |prefix: &str| checkpoint.names().any(|name| name.starts_with(prefix));
    let adapter = if has("adapter.") {
        if config.host.is_none() {
            return Err(Error::format(
                "native checkpoint: holds adapter tensors, but its configuration names no host",
            ));
        }
        adapter_source(checkpoint)?
    } else {
        None
    };
    let own = config.host.as_ref().map(HostConfig::resolve).transpose()?;
    let host = options.host.clone().or(own);
    if let (Some(adapter), Some(host)) = (&adapter, &host) {
        adapter.layout.check_host(host)?;
    }
    Ok(Parts {
        name: config.name,
        backbone: checkpoint.sub("backbone"),
        backbone_config: config.backbone,
        encoder: checkpoint.sub("encoder"),
        encoder_config: config.encoder,
        similarity: has("similarity.").then(|| checkpoint.sub("similarity")),
        detector: has("detector.").then(|| checkpoint.sub("detector")),
        adapter,
        host,
        pixels: config.pixels,
        crop: config.crop,
        fingerprint: checkpoint.fingerprint(&["backbone.", "encoder."])?,
    })
}

/// The adapter of a checkpoint, if it has one: its tensors under their full names, and how they are called.
fn adapter_source(checkpoint: &Checkpoint) -> Result<Option<AdapterSource>> {
    let ours = |name: &str| name.starts_with("adapter.") || name.starts_with("ip_adapter.");
    let checkpoint = checkpoint.renamed(|name| ours(name).then(|| name.to_string()))?;
    let Some(layout) = AdapterLayout::infer(&checkpoint)? else {
        return Ok(None);
    };
    Ok(Some(AdapterSource { checkpoint, layout }))
}

/// Takes a public checkpoint, under unified names, and the image encoder that goes with it.
fn public(checkpoint: &Checkpoint, kind: &CheckpointKind, options: &EngineOptions) -> Result<Parts> {
    let encoder = checkpoint.sub("image_proj");
    let encoder_config = EncoderConfig::infer(&encoder)?;
    let source = options.image_encoder.as_ref().ok_or_else(|| {
        Error::invalid(format!(
            "{}: checkpoints of the kind {} read the features of an image encoder",
            checkpoint.label(),
            kind.name()
        ))
        .with_remedy(remedy::IMAGE_ENCODER)
    })?;
    let file = read_as(source, Role::ImageEncoder, &options.limits)?;
    let whole = file.shard().is_none() && file.has_image_encoder()?;
    if !whole {
        let found = recognise(&file).map_err(|error| error.context("image encoder"))?;
        return Err(Error::mismatch(format!(
            "image encoder {}: expected a vision model, found: {}",
            file.label(),
            found.name()
        )));
    }
    let backbone = file.vision_view()?;
    let config_text = match &options.image_encoder_config {
        Some(text) => Some(text.clone()),
        None => config_beside(&file, &options.limits)?,
    };
    let backbone_config = vision_config(&backbone, config_text.as_deref())?;
    let family = backbone_config.family;
    // Half of each part's fingerprint: a pair is another model when either part is.
    let fingerprint = format!(
        "{}{}",
        &backbone.fingerprint(&[])?[..16],
        &encoder.fingerprint(&[])?[..16]
    );
    let adapter = adapter_source(checkpoint)?;
    let host = match (&options.host, &adapter) {
        (Some(host), Some(adapter)) => Some(host.clone().numbered_as(&adapter.layout.shapes)),
        (Some(host), None) => Some(host.clone()),
        (None, _) => adapter.as_ref().and_then(|adapter| adapter.layout.host()),
    };
    if let (Some(adapter), Some(host)) = (&adapter, &host) {
        adapter.layout.check_host(host)?;
    }
    Ok(Parts {
        name: String::new(),
        backbone,
        backbone_config,
        encoder,
        encoder_config,
        similarity: None,
        detector: None,
        adapter,
        host,
        pixels: (&processor_of(family, 1)).into(),
        crop: CropMode::None,
        fingerprint,
    })
}

/// The `config.json` in the folder of a file, if there is one.
fn config_beside(file: &Checkpoint, limits: &Limits) -> Result<Option<String>> {
    let Some(path) = file.path() else {
        return Ok(None);
    };
    let path = path.with_file_name("config.json");
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(&path, error)),
    };
    let (mut text, most) = (String::new(), limits.max_header_bytes);
    file.take(most.saturating_add(1))
        .read_to_string(&mut text)
        .map_err(|error| Error::io(&path, error))?;
    if text.len() as u64 > most {
        return Err(Error::limit(format!(
            "{}: more than {most} bytes (max_header_bytes)",
            path.display()
        )));
    }
    Ok(Some(text))
}

fn open_detector(source: &Source, limits: &Limits) -> Result<FaceDetector> {
    match &source.0 {
        Content::Path(path) => FaceDetector::open(path, limits),
        Content::Bytes(bytes) => FaceDetector::from_bytes(bytes, limits),
    }
}

/// The image encoder must deliver what the identity encoder was built for.
fn check_widths(encoder: &EncoderConfig, backbone: &VisionConfig) -> Result<()> {
    let (what, found) = match encoder.input() {
        EncoderInput::Penultimate => ("hidden states", Some(backbone.hidden_size)),
        EncoderInput::ImageEmbeds => ("image embeddings", backbone.projection_dim),
        EncoderInput::HiddenStates => ("hidden states of five layers", Some(backbone.hidden_size)),
        EncoderInput::Nothing => return Ok(()),
    };
    if let EncoderConfig::OmniId(config) = encoder {
        if config.feature_tokens != backbone.token_count() {
            return Err(Error::mismatch(format!(
                "image encoder and checkpoint do not belong together: the checkpoint expects {} feature tokens, the \
                 image encoder gives {}",
                config.feature_tokens,
                backbone.token_count()
            )));
        }
    }
    let expected = encoder.input_width();
    match found {
        Some(found) if found == expected => Ok(()),
        Some(found) => Err(Error::mismatch(format!(
            "image encoder and checkpoint do not belong together: the checkpoint expects {what} of width \
             {expected}, the image encoder's have width {found}"
        ))),
        None => Err(Error::mismatch(format!(
            "the checkpoint expects {what} of width {expected}, but the image encoder has no projection"
        ))),
    }
}
