//! Opening a checkpoint: recognise it, find its parts, load them, check that they fit together.

use super::comparison::similarity_space;
use super::config::{processor_of, NativeConfig, PixelConfig};
use super::face_networks::FaceNeed;
use super::fingerprint;
use super::histograms::histogram_space;
use super::host_config::HostConfig;
use super::load::{load, Backbone};
use super::options::{DeviceChoice, EngineOptions};
use super::variant;
use super::{AdapterSource, Engine, EngineInfo, Inner};
use crate::adapter::AdapterLayout;
use crate::checkpoint::{recognise, Checkpoint, CheckpointKind, Content, Model, Role, Source, FINGERPRINT_KEY};
use crate::encoder::{Encoder, EncoderConfig, EncoderInput, EncoderKind};
use crate::error::{Error, Result};
use crate::face::parsing::{FaceParser, ParserConfig};
use crate::face::{CropMode, FaceDetector};
use crate::host::HostSpec;
use crate::limits::Limits;
use crate::lora::{is_lora_tensor, Lora};
use crate::photo::ImageProcessor;
use crate::precision::Precision;
use crate::progress::{report, ProgressFn, Stage};
use crate::recogniser::{FaceRecogniser, RecogniserConfig};
use crate::remedy;
use crate::vit::{VisionConfig, VisionFamily};
use candle_core::Device;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// Side of the picture that face recognisers see, in pixels.
const FACE_SIDE: u32 = 112;

/// Loading steps that are reported: backbone, encoder, detector, adapter table.
const STEPS: usize = 4;

/// The parts of an identity model, still unread, whatever files they come from.
pub(crate) struct Parts {
    pub(crate) name: String,
    /// The image encoder and its sizes; `None` for models that read face embeddings only.
    pub(crate) backbone: Option<(Checkpoint, VisionConfig)>,
    pub(crate) encoder: Checkpoint,
    pub(crate) encoder_config: EncoderConfig,
    pub(crate) similarity: Option<Checkpoint>,
    pub(crate) histograms: Option<Checkpoint>,
    pub(crate) detector: Option<Checkpoint>,
    /// The face recogniser that is given, else the one in a native checkpoint.
    pub(crate) recogniser: Option<(RecogniserConfig, Checkpoint)>,
    /// The face parser that is given, else the one in a native checkpoint.
    pub(crate) parser: Option<(ParserConfig, Checkpoint)>,
    pub(crate) lora: Option<Lora>,
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

    /// The kind of the identity encoder in a published adapter, which is known before its image encoder is found;
    /// `None` for every other checkpoint.
    pub(crate) fn published_kind(options: &EngineOptions) -> Result<Option<EncoderKind>> {
        Ok(match recognise(&read(&options.checkpoint, &options.limits)?)? {
            CheckpointKind::IpAdapter { projection, .. } | CheckpointKind::XlabsFlux { projection, .. } => {
                Some(projection.kind())
            }
            _ => None,
        })
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

    /// The preparation of photos.
    pub(crate) fn processor(&self) -> ImageProcessor {
        let processor = match &self.backbone {
            Some((_, config)) => processor_of(config.family, config.image_size as u32),
            // Photos are cut for the face recogniser only.
            None => ImageProcessor::clip(FACE_SIDE),
        };
        ImageProcessor {
            mean: self.pixels.mean,
            std: self.pixels.std,
            ..processor
        }
    }

    /// Fails unless the image encoder gives what the identity encoder reads.
    pub(crate) fn check_widths(&self) -> Result<()> {
        match &self.backbone {
            Some((_, config)) => check_widths(&self.encoder_config, config),
            None => Ok(()),
        }
    }

    /// Looks by samples whether the weights were written, for what is read later or not at all: the layers of the
    /// adapter, the image encoder's last block. A file that ends in zeros is not the one that its maker published.
    ///
    /// Single layers of an adapter may be zero: some leave out those that do harm.
    pub(crate) fn check_written(&self) -> Result<()> {
        const WHY: &str = "the file was not downloaded or copied to its end, or the model was never trained";
        if let Some((backbone, _)) = &self.backbone {
            let zero = backbone.sample_weights();
            let zero = zero.map_err(|error| error.context("image encoder"))?;
            if let Some(name) = zero.first() {
                let file = backbone.label();
                let text = format!("image encoder: {file}: tensor {name:?}: all of its weights are 0: {WHY}");
                return Err(Error::format(text).with_remedy(remedy::DAMAGED_WEIGHTS));
            }
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
    if options.precision == Precision::Int8 && options.device != DeviceChoice::Cpu {
        return Err(Error::unsupported(
            "precision int8 is computed on the processor only; a GPU takes f32, f16 and bf16",
        ));
    }
    let device = open_device(options.device)?;
    let limits = options.limits;
    let checkpoint = read(&options.checkpoint, &limits)?;
    let parts = Parts::of(&checkpoint, &options)?;
    report(progress, Stage::Load, 0, STEPS)?;
    let precision = options.precision;
    let backbone = match &parts.backbone {
        Some((checkpoint, config)) => {
            parts.check_widths()?;
            let input = parts.encoder_config.input();
            let backbone = Backbone::deferred(checkpoint.clone(), config.clone(), input, precision, device.clone());
            if !options.defer_image_encoder {
                backbone.get()?;
            }
            Some(backbone)
        }
        None => None,
    };
    report(progress, Stage::Load, 1, STEPS)?;
    let encoder = load(&parts.encoder, "encoder", precision, &device, |vb| {
        Encoder::load(&parts.encoder_config, vb)
    })?;
    report(progress, Stage::Load, 2, STEPS)?;
    let detector = match (&options.detector, &parts.detector) {
        (Some(source), _) => Some(open_detector(source, &limits)?),
        (None, Some(part)) => {
            // The detector is small and runs before the GPU is involved.
            Some(load(part, "face detector", Precision::F32, &Device::Cpu, |weights| {
                FaceDetector::load(weights)
            })?)
        }
        (None, None) => None,
    };
    let recogniser = match &parts.recogniser {
        Some((config, weights)) => {
            let recogniser =
                FaceRecogniser::from_file(config, weights).map_err(|error| error.context("face recogniser"));
            Some(recogniser?)
        }
        None => None,
    };
    let parser = match &parts.parser {
        Some((config, weights)) => {
            let parser = FaceParser::from_file(config, weights).map_err(|error| error.context("face parser"));
            Some(parser?)
        }
        None => None,
    };
    let has_detector = detector.is_some() || cfg!(feature = "default-model");
    if parts.crop.needs_face() && !has_detector {
        // Saying so beats failing to open: photos that come with a box or landmarks need no detector.
        log::info!("no face detector: only photos with a face box or landmarks can be cropped to the face");
    }
    parts.check_written()?;
    report(progress, Stage::Load, 3, STEPS)?;
    let processor = parts.processor();
    // The parts have the one of the options, under the numbers of the checkpoint.
    let host = parts.host.or(options.host);
    let token_mean = encoder.token_mean().map(super::encode::to_host).transpose()?;
    let backbone_config = parts.backbone.map(|(_, config)| config);
    let face = encoder.face().map(|input| FaceNeed {
        input,
        dimension: input.dimension - class_width(encoder.input(), backbone_config.as_ref()).min(input.dimension),
    });
    if let (Some(need), Some(recogniser)) = (&face, &recogniser) {
        let network = recogniser.network();
        need.check_network(network, encoder.kind().title())?;
    }
    if parts.lora.is_some() {
        log::info!("the checkpoint holds a LoRA: it is part of the model, and the host has to apply it");
    }
    let feature_tokens = backbone_config.as_ref().map_or(1, VisionConfig::token_count);
    let tokens = encoder.tokens().of(1, feature_tokens);
    let values = tokens * encoder.token_width();
    let similarity_space = similarity_space(parts.similarity.as_ref(), token_mean, values)?;
    let histogram_space = parts.histograms.as_ref().map(histogram_space).transpose()?;
    let info = EngineInfo {
        name: parts.name,
        kind: encoder.kind(),
        fingerprint: parts.fingerprint,
        tokens,
        token_width: encoder.token_width(),
        encoder: parts.encoder_config,
        face: encoder.face(),
        recogniser: recogniser.as_ref().map(|recogniser| recogniser.network().clone()),
        has_face_parser: parser.is_some(),
        has_lora: parts.lora.is_some(),
        backbone: backbone_config,
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
        encoder_source: parts.encoder,
        face,
        recogniser,
        parser,
        lora: parts.lora,
        similarity_space,
        histogram_space,
        detector,
        host,
        adapter_source: parts.adapter,
        adapter: OnceLock::new(),
        synthetic: Default::default(),
    };
    report(progress, Stage::Load, STEPS, STEPS)?;
    Ok(Engine { inner: Arc::new(inner) })
}

/// Values of the image encoder that follow the face embedding.
fn class_width(input: EncoderInput, backbone: Option<&VisionConfig>) -> usize {
    match input {
        EncoderInput::HiddenStates => backbone.and_then(|config| config.projection_dim).unwrap_or(0),
        _ => 0,
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
    const PREFIXES: [&str; 9] = [
        "backbone.",
        "encoder.",
        "similarity.",
        "histograms.",
        "adapter.",
        "detector.",
        "recogniser.",
        "parser.",
        "lora.",
    ];
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
    if let Some(chosen) = options.variant {
        variant::check_native(&config.encoder, chosen)?;
    }
    let crop = default_crop(config.crop, &config.encoder);
    let recogniser = match given_recogniser(options)? {
        Some(given) => Some(given),
        None => config.recogniser.map(|config| (config, checkpoint.sub("recogniser"))),
    };
    let parser = match given_parser(options, &config.encoder)? {
        Some(given) => Some(given),
        None => config.parser.map(|config| (config, checkpoint.sub("parser"))),
    };
    let stated = checkpoint.metadata().contains_key(FINGERPRINT_KEY);
    let fingerprint = match config.encoder.face() {
        None => checkpoint.fingerprint(&["backbone.", "encoder."])?,
        Some(_) => {
            let backbone = config.backbone.as_ref().map(|_| checkpoint.sub("backbone"));
            let model = match stated {
                true => checkpoint.fingerprint(&["backbone.", "encoder."])?,
                false => fingerprint::of_faces(&checkpoint.sub("encoder"), &config.encoder, backbone.as_ref())?,
            };
            fingerprint::with(&model, recogniser.as_ref())
        }
    };
    Ok(Parts {
        name: config.name,
        backbone: config.backbone.map(|config| (checkpoint.sub("backbone"), config)),
        encoder: checkpoint.sub("encoder"),
        encoder_config: config.encoder,
        similarity: has("similarity.").then(|| checkpoint.sub("similarity")),
        histograms: has("histograms.").then(|| checkpoint.sub("histograms")),
        detector: has("detector.").then(|| checkpoint.sub("detector")),
        recogniser,
        parser,
        lora: match &host {
            Some(host) => Lora::find(checkpoint, host)?,
            None => None,
        },
        adapter,
        host,
        pixels: config.pixels,
        crop,
        fingerprint,
    })
}

/// Beginnings of the names of an adapter's layers: native, IP-Adapter, PuLID for FLUX, WithAnyone.
const ADAPTER_NAMES: [&str; 5] = ["adapter.", "ip_adapter.", "pulid_ca.", "ipa_arc.", "ipa_sig."];

/// The adapter of a checkpoint, if it has one: its tensors under their full names, and how they are called.
fn adapter_source(checkpoint: &Checkpoint) -> Result<Option<AdapterSource>> {
    let begins = |name: &str, with: &[&str]| with.iter().any(|begin| name.starts_with(begin));
    // Published FaceID files number their LoRA among the adapter's layers.
    let ours = |name: &str| begins(name, &ADAPTER_NAMES) && !is_lora_tensor(name);
    let only = |wanted: &dyn Fn(&str) -> bool| checkpoint.renamed(|name| wanted(name).then(|| name.to_string()));
    // How many tokens WithAnyone's layers see is known by the projections that make them.
    let described = only(&|name| ours(name) || begins(name, &["image_proj.arcface_in_"]))?;
    let Some(layout) = AdapterLayout::infer(&described)? else {
        return Ok(None);
    };
    let checkpoint = only(&ours)?;
    Ok(Some(AdapterSource { checkpoint, layout }))
}

/// Takes a public checkpoint, under unified names, and the image encoder that goes with it.
fn public(checkpoint: &Checkpoint, kind: &CheckpointKind, options: &EngineOptions) -> Result<Parts> {
    let encoder = checkpoint.sub("image_proj");
    let projection = match kind {
        CheckpointKind::IpAdapter { projection, .. } | CheckpointKind::XlabsFlux { projection, .. } => {
            projection.clone()
        }
        _ => EncoderConfig::infer(&encoder)?,
    };
    let recogniser = given_recogniser(options)?;
    let architecture = recogniser.as_ref().map(|(config, _)| config.architecture);
    let encoder_config = variant::resolve(projection, options.variant, architecture)?;
    let encoder_config_has_face = encoder_config.face().is_some();
    let parser = given_parser(options, &encoder_config)?;
    let backbone = match encoder_config.input() {
        EncoderInput::Nothing => {
            if options.image_encoder.is_some() || options.image_encoder_config.is_some() {
                return Err(Error::invalid(format!(
                    "{}: an image encoder is given, but {} reads face embeddings only",
                    checkpoint.label(),
                    encoder_config.kind().title()
                ))
                .with_remedy(remedy::OWN_IMAGE_ENCODER));
            }
            None
        }
        _ => Some(image_encoder(checkpoint, kind, &encoder_config, options)?),
    };
    let fingerprint = match &backbone {
        // Half of each part's fingerprint: a pair is another model when either part is.
        Some((backbone, _)) if encoder_config.face().is_none() => format!(
            "{}{}",
            &backbone.fingerprint(&[])?[..16],
            &encoder.fingerprint(&[])?[..16]
        ),
        backbone => {
            let backbone = backbone.as_ref().map(|(backbone, _)| backbone);
            let model = fingerprint::of_faces(&encoder, &encoder_config, backbone)?;
            fingerprint::with(&model, recogniser.as_ref())
        }
    };
    let pixels = backbone.as_ref().map_or_else(PixelConfig::default, |(_, config)| {
        (&processor_of(config.family, 1)).into()
    });
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
        crop: default_crop(CropMode::None, &encoder_config),
        encoder,
        encoder_config,
        similarity: None,
        histograms: None,
        detector: None,
        recogniser,
        parser,
        lora: match &host {
            Some(host) if encoder_config_has_face => Lora::find(checkpoint, host)?,
            None if checkpoint.names().any(is_lora_tensor) => {
                log::warn!(
                    "{}: the LoRA in it is left out: its host is not known, and no layer table is given",
                    checkpoint.label()
                );
                None
            }
            _ => None,
        },
        adapter,
        host,
        pixels,
        fingerprint,
    })
}

/// Models that read face embeddings see the aligned face, whatever else they read.
fn default_crop(crop: CropMode, encoder: &EncoderConfig) -> CropMode {
    match (crop, encoder.face()) {
        (CropMode::None, Some(_)) => CropMode::aligned(),
        _ => crop,
    }
}

/// The face recogniser that the caller names.
fn given_recogniser(options: &EngineOptions) -> Result<Option<(RecogniserConfig, Checkpoint)>> {
    let given = options.face_recogniser.as_ref();
    let read = |source: &Source| FaceRecogniser::read(source.clone(), &options.limits);
    given
        .map(read)
        .transpose()
        .map_err(|error| error.context("face recogniser"))
}

/// The face parser that the caller names, refused for models that see the face as it is.
fn given_parser(options: &EngineOptions, encoder: &EncoderConfig) -> Result<Option<(ParserConfig, Checkpoint)>> {
    let Some(source) = &options.face_parser else {
        return Ok(None);
    };
    if encoder.input() != EncoderInput::HiddenStates {
        return Err(Error::invalid(format!(
            "a face parser is given, which has no effect on {}: only PuLID sees faces without background",
            encoder.kind().title()
        )));
    }
    let read = FaceParser::read(source.clone(), &options.limits);
    read.map(Some).map_err(|error| error.context("face parser"))
}

/// The image encoder that goes with a public checkpoint, and its sizes.
fn image_encoder(
    checkpoint: &Checkpoint,
    kind: &CheckpointKind,
    encoder: &EncoderConfig,
    options: &EngineOptions,
) -> Result<(Checkpoint, VisionConfig)> {
    let trained_with = Model::image_encoder_of(checkpoint);
    let source = options.image_encoder.as_ref().ok_or_else(|| {
        let which = trained_with.as_ref().map_or(String::new(), |name| format!(", {name}"));
        Error::invalid(format!(
            "{}: checkpoints of the kind {} read the features of an image encoder{which}, and none is given",
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
    check_widths(encoder, &backbone_config).map_err(|error| match &trained_with {
        Some(name) => error.context(format!("{} was trained with {name}", checkpoint.label())),
        None => error,
    })?;
    Ok((backbone, backbone_config))
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
        EncoderInput::LastHiddenState => ("last hidden states", Some(backbone.hidden_size)),
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
    // CLIP ViT-L/14-336 and others have all widths of PuLID's encoder.
    let family = match encoder.input() {
        EncoderInput::HiddenStates => Some(VisionFamily::Eva02),
        EncoderInput::LastHiddenState => Some(VisionFamily::Siglip),
        _ => None,
    };
    if let Some(family) = family.filter(|family| *family != backbone.family) {
        return Err(Error::mismatch(format!(
            "image encoder and checkpoint do not belong together: the checkpoint expects {}, the image encoder is {}",
            family.name(),
            backbone.family.name()
        )));
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
