//! A checkpoint's image encoder and identity encoder as one ONNX graph.

use crate::encoder::{Encoder, EncoderConfig, EncoderInput, EncoderKind, GraphInputs, TokenCount};
use crate::engine::{CropJson, EngineOptions, Parts};
use crate::error::{Error, Result};
use crate::face_embedding::EmbeddingForm;
use crate::onnx::{Dimension, Graph};
use crate::photo::{ImageProcessor, PhotoFit};
use crate::precision::Precision;
use crate::progress::{self, report, ProgressFn, Stage};
use crate::vit::VisionTransformer;
use omniid_kernels::layers::Weights;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Key of a graph's metadata (`metadata_props`) under which its description stands as JSON: see [`to_onnx`].
pub const ONNX_METADATA_KEY: &str = "omniid.encoder";

/// Weights of more bytes than this lie beside the graph: a message of protocol buffers ends at 2 GB.
const LARGEST_INSIDE: usize = 1_500_000_000;

/// Free size: photos of one person.
const PHOTOS: Dimension = Dimension::Free("photos");

/// What [`to_onnx`] writes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OnnxFiles {
    /// The graph.
    pub graph: PathBuf,
    /// Its description as JSON, for hosts that do not show the graph's metadata: the graph's name and `.encoder.json`.
    pub description: PathBuf,
    /// Its weights when they are of more than 1.5 GB: the graph's name and `.data`.
    pub data: PathBuf,
}

impl OnnxFiles {
    /// The files of the graph `graph`.
    pub fn of(graph: impl Into<PathBuf>) -> Self {
        let graph = graph.into();
        let beside = |ending: &str| {
            let mut name = graph.clone().into_os_string();
            name.push(ending);
            PathBuf::from(name)
        };
        Self {
            description: beside(".encoder.json"),
            data: beside(".data"),
            graph,
        }
    }
}

/// What [`to_onnx`] wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OnnxEncoder {
    /// Fingerprint of the checkpoint's image encoder and identity encoder: what the graph makes are tokens of this model.
    pub fingerprint: String,
    /// Number of weights and constants.
    pub tensors: usize,
    /// Size of graph and weights in bytes.
    pub bytes: u64,
    /// Whether the weights lie in [`OnnxFiles::data`].
    pub has_data: bool,
}

/// Writes the image encoder and the identity encoder of a checkpoint as one ONNX graph, for hosts that run graphs and
/// take no native library.
///
/// Opset 15, with operators that Unity's Inference Engine 2.4 imports. Inputs are `pixels`
/// `[photos, 3, height, width]`, normalised, if the model reads photos, and `embedding` `[photos, dimension]` if it
/// reads face embeddings; where it reads normalised ones, the graph normalises them. The output is `tokens`
/// `[tokens, width]`: of the identity for models that read all photos together, else those of the photos one after the
/// other. All are f32, and the number of photos is free. FaceID-PlusV2 has a shortcut scale of 1.
///
/// How photos are prepared stands in the graph's metadata under [`ONNX_METADATA_KEY`] and in the same words in
/// [`OnnxFiles::description`]. `precision` is that of the stored matrices, f32 or f16; the graph computes in f32.
///
/// # Errors
/// [`Unsupported`](crate::ErrorKind::Unsupported) for encoders and image encoders whose graph is not written, and for
/// bf16; [`Mismatch`](crate::ErrorKind::Mismatch) for an image encoder that does not fit;
/// [`Format`](crate::ErrorKind::Format) for missing or damaged weights;
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for weights that f16 cannot hold;
/// [`Io`](crate::ErrorKind::Io) naming the path. After an error there is no new file.
pub fn to_onnx(source: &EngineOptions, precision: Precision, output: impl AsRef<Path>) -> Result<OnnxEncoder> {
    to_onnx_with_progress(source, precision, output, &mut progress::ignore)
}

/// [`to_onnx`], with a callback that is told about each written tensor and can cancel between two.
///
/// # Errors
/// As [`to_onnx`]; [`Cancelled`](crate::ErrorKind::Cancelled).
pub fn to_onnx_with_progress(
    source: &EngineOptions,
    precision: Precision,
    output: impl AsRef<Path>,
    progress: ProgressFn<'_>,
) -> Result<OnnxEncoder> {
    write(source, precision, output.as_ref(), LARGEST_INSIDE, progress)
        .map_err(|error| error.context("writing an ONNX graph"))
}

/// With more than `inside` bytes of weights, they lie outside of the graph.
fn write(
    source: &EngineOptions,
    precision: Precision,
    output: &Path,
    inside: usize,
    progress: ProgressFn<'_>,
) -> Result<OnnxEncoder> {
    if !matches!(precision, Precision::F32 | Precision::F16) {
        return Err(Error::unsupported(format!(
            "{precision} weights: runtimes read f32 and f16"
        )));
    }
    // Said before an image encoder or a face parser is asked for, which somebody would have to fetch.
    if let Some(kind) = Parts::published_kind(source)? {
        check_kind(kind)?;
    }
    let parts = Parts::find(source)?;
    check_kind(parts.encoder_config.kind())?;
    parts.check_widths()?;
    parts.check_written()?;
    let files = OnnxFiles::of(output);
    let graph = graph(&parts, precision == Precision::F16)?;
    let description = Description::new(&parts, precision, output).to_json()?;
    let count = graph.tensor_count();
    let has_data = graph.weight_bytes()? > inside;
    report(progress, Stage::Save, 0, count)?;
    let bytes = graph.save(
        &files.graph,
        has_data.then_some(files.data.as_path()),
        (&files.description, &description),
        &[(ONNX_METADATA_KEY, &description)],
        |done| report(progress, Stage::Save, done, count),
    )?;
    Ok(OnnxEncoder {
        fingerprint: parts.fingerprint,
        tensors: count,
        bytes,
        has_data,
    })
}

/// Refuses encoders whose graph is not written.
fn check_kind(kind: EncoderKind) -> Result<()> {
    if kind.has_graph() {
        return Ok(());
    }
    let known = EncoderKind::ALL.iter().filter(|kind| kind.has_graph());
    let known = known.map(|kind| kind.title()).collect::<Vec<_>>();
    Err(Error::unsupported(format!(
        "the encoder is that of {} ({}); there are graphs of {}",
        kind.title(),
        kind.name(),
        known.join(", ")
    )))
}

/// The graph, without its weights: they are read when it is written.
fn graph(parts: &Parts, half: bool) -> Result<Graph> {
    let config = &parts.encoder_config;
    let mut graph = Graph::new(half);
    let mut inputs = GraphInputs::default();
    if let Some((checkpoint, vision)) = &parts.backbone {
        let (backbone, outline) = Weights::outline(|weights| VisionTransformer::load(vision, weights))?;
        graph.add_part("backbone", outline, checkpoint.clone());
        let side = Dimension::Fixed(vision.image_size);
        let pixels = graph.input("pixels", &[PHOTOS, Dimension::Fixed(3), side, side]);
        let features = match config.input() {
            EncoderInput::Penultimate => backbone.graph_penultimate(&mut graph, &pixels),
            EncoderInput::ImageEmbeds => backbone.graph_image_embeds(&mut graph, &pixels),
            other => Err(Error::internal(format!("a graph of an encoder that reads {other:?}"))),
        };
        inputs.image = Some(features.map_err(|error| error.context("image encoder"))?);
    }
    if let Some(face) = config.face() {
        let embedding = graph.input("embedding", &[PHOTOS, Dimension::Fixed(face.dimension)]);
        inputs.embedding = Some(match face.form {
            EmbeddingForm::Normalised => graph.normalise(&embedding),
            EmbeddingForm::Raw => embedding,
        });
    }
    let (encoder, outline) = Weights::outline(|weights| Encoder::load(config, weights))?;
    graph.add_part("encoder", outline, parts.encoder.clone());
    let tokens = encoder
        .graph(&mut graph, &inputs)
        .map_err(|error| error.context("encoder"))?;
    let count = match config.tokens() {
        TokenCount::PerIdentity(count) => Dimension::Fixed(count),
        _ => Dimension::Free("tokens"),
    };
    graph.output("tokens", &[count, Dimension::Fixed(config.token_width())], &tokens);
    Ok(graph)
}

/// What a host has to know to use a graph.
#[derive(Serialize)]
struct Description<'a> {
    format: &'static str,
    version: u32,
    graph: String,
    name: &'a str,
    /// Fingerprint of the model.
    model: &'a str,
    encoder: &'static str,
    precision: Precision,
    pixels: Option<Pixels>,
    embedding: Option<Embedding>,
    tokens: Tokens,
}

/// Input `pixels`: (value / 255 - mean) / std of red, green and blue, row by row.
#[derive(Serialize)]
struct Pixels {
    size: u32,
    mean: [f32; 3],
    std: [f32; 3],
    fit: &'static str,
    crop: CropJson,
}

/// Input `embedding`.
#[derive(Serialize)]
struct Embedding {
    dimension: usize,
    form: EmbeddingForm,
    network: String,
}

/// Output `tokens`.
#[derive(Serialize)]
struct Tokens {
    count: usize,
    /// "identity" or "photo".
    per: &'static str,
    width: usize,
}

impl<'a> Description<'a> {
    fn new(parts: &'a Parts, precision: Precision, graph: &Path) -> Self {
        let config: &EncoderConfig = &parts.encoder_config;
        let ImageProcessor { size, mean, std, fit } = parts.processor();
        let pixels = Pixels {
            size,
            mean,
            std,
            fit: match fit {
                PhotoFit::Centre => "centre",
                PhotoFit::Stretch => "stretch",
            },
            crop: CropJson(parts.crop),
        };
        let embedding = config.face().map(|face| Embedding {
            dimension: face.dimension,
            form: face.form,
            network: face.network.to_string(),
        });
        let feature_tokens = parts.backbone.as_ref().map_or(1, |(_, vision)| vision.token_count());
        Self {
            format: "omniid-encoder",
            version: 1,
            graph: graph.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            name: &parts.name,
            model: &parts.fingerprint,
            encoder: config.kind().name(),
            precision,
            pixels: parts.backbone.is_some().then_some(pixels),
            embedding,
            tokens: Tokens {
                count: config.tokens().of(1, feature_tokens),
                per: match config.tokens() {
                    TokenCount::PerIdentity(_) => "identity",
                    _ => "photo",
                },
                width: config.token_width(),
            },
        }
    }

    fn to_json(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self);
        text.map_err(|error| Error::internal(format!("description of a graph: {error}")))
    }
}

#[cfg(test)]
mod tests;
