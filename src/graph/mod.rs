//! Graphs: hosts that run a whole model, and take the identity as inputs of it.
//!
//! ONNX Runtime, Unity's Inference Engine, Unreal's NNE, TensorRT and Windows ML have no place where a layer could call
//! [`Conditioning::inject`](crate::conditioning::Conditioning::inject). A graph for them has the identity's attention
//! inside, and keys, values and scales as inputs. A manifest beside the graph (`<graph>.identity.json`) lists them;
//! [`Graph`] reads it and fills the host's buffers from a conditioning, all layers at once, in the graph's number type.
//!
//! Each layer of the graph adds `scale · softmax(q Kᵀ / √head_dim) V` to its output, as `inject` does for one identity.
//! Zero values add nothing, and a set of tokens that is repeated as a whole leaves the result as it is; so rows without
//! an identity are filled with zeros, and the shorter side of guidance is repeated up to the length of the other one.
//!
//! Several people are a sum of attentions, each with a softmax of its own, which one set of keys and values cannot
//! express. A graph with an input for masks has such a sum inside: people stand one after the other along the tokens,
//! as many tokens for each, and each person has a mask. In a graph without one, people can be concatenated
//! ([`GraphCall::concatenate`]): they share one softmax, each person's factor is folded into its values, and they
//! compete for the image's attention, as with "concat" in ComfyUI's IPAdapter nodes.
//!
//! In SD3.5 (InstantX) the image's own keys and values are part of each softmax. Zeros and repeated tokens would change
//! the result there, so both sides of guidance have as many tokens, and people's factors are in the masks.

mod buffer;
mod call;
mod fill;
mod manifest;
mod mask;
mod matching;
mod plan;
mod rows;
mod tokens;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;

pub use buffer::GraphBuffer;
pub use call::GraphCall;
pub use manifest::{GraphForm, GraphHost, GraphLayer};

use crate::error::{Error, Result};
use crate::precision::Precision;
use crate::tensor_file::check_file_name;
use manifest::Manifest;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most bytes of a manifest. That of SDXL with its 70 layers has 20 kB.
const MAX_MANIFEST_BYTES: u64 = 16 << 20;

/// The end of a manifest's name.
const MANIFEST_ENDING: &str = "identity.json";

/// The identity inputs of a host's graph, as its manifest lists them.
///
/// Immutable; clones share everything; every method may be called from any number of threads at once.
#[derive(Debug, Clone)]
pub struct Graph {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    manifest: Manifest,
    /// The graph's file, when the manifest was read from one.
    path: Option<PathBuf>,
    inputs: Vec<GraphInput>,
}

/// One input of the graph that carries the identity.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GraphInput {
    /// Its name in the graph.
    pub name: String,
    /// What it carries.
    pub kind: GraphInputKind,
}

/// What an input of the graph carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GraphInputKind {
    /// Keys of the entry with this index in [`Graph::layers`], `[rows, heads, tokens, head_dim]`.
    Keys(usize),
    /// Values of that entry, of the same shape.
    Values(usize),
    /// Identity tokens `[rows, tokens, width]`, for a graph with the adapter inside.
    Tokens,
    /// A factor for each entry of [`Graph::layers`], `[layers]`, f32.
    Scale,
    /// A mask for each person, `[rows, people, height, width]`.
    Mask,
}

impl Graph {
    /// Reads the manifest of a graph: the manifest's own path, or that of the graph that it lies beside
    /// (`unet.onnx.identity.json` or `unet.identity.json` beside `unet.onnx`).
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) when it cannot be read; as [`parse`](Self::parse).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = manifest_file(path);
        let bytes = read(&file)?;
        let name = |error: Error| error.context(file.display());
        let manifest = Manifest::parse(&bytes).map_err(name)?;
        let graph = file.with_file_name(&manifest.graph);
        Ok(Self::new(manifest, Some(graph)))
    }

    /// Reads a manifest from memory: UTF-8 JSON.
    ///
    /// # Errors
    /// [`Format`](crate::ErrorKind::Format) for text that is no manifest,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for one of another version,
    /// [`LimitExceeded`](crate::ErrorKind::LimitExceeded) for sizes that no graph has.
    pub fn parse(json: &[u8]) -> Result<Self> {
        Ok(Self::new(Manifest::parse(json)?, None))
    }

    fn new(manifest: Manifest, path: Option<PathBuf>) -> Self {
        let inputs = manifest.inputs();
        Self {
            inner: Arc::new(Inner { manifest, path, inputs }),
        }
    }

    /// Name of the graph's file, which lies beside the manifest.
    pub fn file_name(&self) -> &str {
        &self.inner.manifest.graph
    }

    /// The graph's file; `None` when the manifest came from memory.
    pub fn path(&self) -> Option<&Path> {
        self.inner.path.as_deref()
    }

    /// The model that the graph is.
    pub fn host(&self) -> GraphHost {
        self.inner.manifest.host
    }

    /// What the graph takes: keys and values, or tokens.
    pub fn form(&self) -> GraphForm {
        self.inner.manifest.form
    }

    /// Number type of keys, values, tokens and masks. Scales are f32.
    pub fn precision(&self) -> Precision {
        self.inner.manifest.precision
    }

    /// The attention layers, in the order of the graph's scales.
    pub fn layers(&self) -> &[GraphLayer] {
        &self.inner.manifest.layers
    }

    /// Number of batch rows when the graph was made for one number only.
    pub fn rows(&self) -> Option<usize> {
        self.inner.manifest.rows
    }

    /// Number of identity tokens, of all people together, when the graph was made for one number only.
    pub fn tokens(&self) -> Option<usize> {
        self.inner.manifest.tokens
    }

    /// Width of the tokens that the graph takes; `None` for one that takes keys and values.
    pub fn width(&self) -> Option<usize> {
        self.inner.manifest.width
    }

    /// Fingerprint of the model whose tokens the graph takes
    /// ([`EngineInfo::fingerprint`](crate::engine::EngineInfo::fingerprint)); `None` where any will do.
    pub fn fingerprint(&self) -> Option<&str> {
        self.inner.manifest.fingerprint.as_deref()
    }

    /// Name of the input with the scales; `None` when the graph has none, and scales are folded into the values.
    pub fn scale_input(&self) -> Option<&str> {
        self.inner.manifest.scale.as_deref()
    }

    /// Name of the input with the masks; `None` when the graph has none, and one softmax for all tokens.
    pub fn mask_input(&self) -> Option<&str> {
        self.inner.manifest.mask.as_deref()
    }

    /// Name of the input with the tokens; `None` for a graph that takes keys and values.
    pub fn tokens_input(&self) -> Option<&str> {
        self.inner.manifest.tokens_input.as_deref()
    }

    /// The inputs that [`fill`](Self::fill) fills.
    pub fn inputs(&self) -> &[GraphInput] {
        &self.inner.inputs
    }

    /// The input with this name.
    fn input(&self, name: &str) -> Result<&GraphInput> {
        let found = self.inputs().iter().find(|input| input.name == name);
        found.ok_or_else(|| {
            let first = self.inputs().first().map_or("", |input| &input.name);
            Error::invalid(format!(
                "the graph {:?} has no identity input {name:?}; it has {} of them, from {first:?} on",
                self.file_name(),
                self.inputs().len()
            ))
        })
    }

    /// Number type of an input.
    fn input_precision(&self, kind: GraphInputKind) -> Precision {
        match kind {
            GraphInputKind::Scale => Precision::F32,
            _ => self.precision(),
        }
    }

    /// What an input is, for messages.
    fn describe(&self, input: &GraphInput) -> String {
        match input.kind {
            GraphInputKind::Keys(entry) | GraphInputKind::Values(entry) => match self.layers().get(entry) {
                Some(layer) => format!("layer {:?}, input {:?}", layer.name, input.name),
                None => format!("input {:?}", input.name),
            },
            _ => format!("input {:?}", input.name),
        }
    }
}

/// The manifest that a path means.
fn manifest_file(path: &Path) -> PathBuf {
    if path.extension().is_some_and(|ending| ending == "json") {
        return path.to_path_buf();
    }
    let mut whole = path.as_os_str().to_owned();
    whole.push(".");
    whole.push(MANIFEST_ENDING);
    let short = path.with_extension(MANIFEST_ENDING);
    let whole = PathBuf::from(whole);
    match !whole.exists() && short.exists() {
        true => short,
        false => whole,
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    check_file_name(file)?;
    let open = std::fs::File::open(file).map_err(|error| Error::io(file, error))?;
    let mut limited = open.take(MAX_MANIFEST_BYTES + 1);
    limited
        .read_to_end(&mut bytes)
        .map_err(|error| Error::io(file, error))?;
    match bytes.len() as u64 > MAX_MANIFEST_BYTES {
        true => Err(Error::limit(format!(
            "{}: more than {MAX_MANIFEST_BYTES} bytes, which no manifest has",
            file.display()
        ))),
        false => Ok(bytes),
    }
}
