//! Opening a checkpoint: recognise it, find its parts, load them, check that they fit together.

mod find;
mod given;
mod native;
mod parts;
mod published;
mod source;

pub(crate) use parts::Parts;

use super::comparison::similarity_space;
use super::face_networks::FaceNeed;
use super::histograms::histogram_space;
use super::load::{load, Backbone};
use super::options::{DeviceChoice, EngineOptions};
use super::{Engine, EngineInfo, Inner};
use crate::checkpoint::{Content, Source};
use crate::encoder::{Encoder, EncoderInput};
use crate::error::{Error, Result};
use crate::face::parsing::FaceParser;
use crate::face::FaceDetector;
use crate::limits::Limits;
use crate::precision::Precision;
use crate::progress::{report, ProgressFn, Stage};
use crate::recogniser::FaceRecogniser;
use crate::vit::VisionConfig;
use candle_core::Device;
use std::sync::{Arc, OnceLock};

/// Loading steps that are reported: backbone, encoder, detector, adapter table.
const STEPS: usize = 4;

pub(super) fn open(options: EngineOptions, progress: ProgressFn<'_>) -> Result<Engine> {
    omniid_kernels::threads_asked_for()?;
    if options.precision == Precision::Int8 && options.device != DeviceChoice::Cpu {
        return Err(Error::unsupported(
            "precision int8 is computed on the processor only; a GPU takes f32, f16 and bf16",
        ));
    }
    let device = open_device(options.device)?;
    let limits = options.limits;
    let checkpoint = source::read(&options.checkpoint, &limits)?;
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

fn open_detector(source: &Source, limits: &Limits) -> Result<FaceDetector> {
    match &source.0 {
        Content::Path(path) => FaceDetector::open(path, limits),
        Content::Bytes(bytes) => FaceDetector::from_bytes(bytes, limits),
    }
}
