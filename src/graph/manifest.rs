//! The manifest of a graph, checked.

use super::{GraphInput, GraphInputKind};
use crate::error::{Error, Result};
use crate::host::{HostFamily, MAX_LAYERS, MAX_WIDTH};
use crate::precision::Precision;
use serde::Deserialize;
use std::collections::HashSet;

const FORMAT: &str = "omniid-graph";
const VERSION: u64 = 1;

/// Most rows and most tokens that a graph may be made for.
const MAX_COUNT: usize = 1 << 16;

/// The model that a graph is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum GraphHost {
    /// The UNet of Stable Diffusion 1.x.
    Sd15,
    /// The UNet of Stable Diffusion XL.
    Sdxl,
    /// The transformer of Stable Diffusion 3 and 3.5, in any size, whose layers attend to the image and the identity in
    /// one softmax, with the norms of InstantX' adapter inside.
    Sd3,
    /// FLUX.1.
    Flux,
    /// Any other one.
    Custom,
}

impl GraphHost {
    /// The name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sd15 => "sd15",
            Self::Sdxl => "sdxl",
            Self::Sd3 => "sd3",
            Self::Flux => "flux",
            Self::Custom => "custom",
        }
    }

    /// The family that a conditioning for it has; `None` for any.
    pub(super) fn family(self) -> Option<HostFamily> {
        match self {
            Self::Sd15 => Some(HostFamily::Sd15),
            Self::Sdxl => Some(HostFamily::Sdxl),
            Self::Sd3 => Some(HostFamily::Sd35),
            Self::Flux => Some(HostFamily::Flux),
            Self::Custom => None,
        }
    }
}

/// What a graph takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i32)]
#[non_exhaustive]
pub enum GraphForm {
    /// Keys and values of every layer, projected by OmniID.
    KeysValues = 0,
    /// The identity's tokens; the adapter's projections are part of the graph.
    Tokens = 1,
}

impl GraphForm {
    /// The name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::KeysValues => "keys_values",
            Self::Tokens => "tokens",
        }
    }
}

/// One attention layer of a graph.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct GraphLayer {
    /// The layer's name in the host, in any spelling of [`HostSpec::find_layer`](crate::host::HostSpec::find_layer).
    pub name: String,
    /// Number of attention heads.
    pub heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Name of the input with its keys; `None` in a graph that takes tokens.
    #[serde(default)]
    pub key: Option<String>,
    /// Name of the input with its values; `None` in a graph that takes tokens.
    #[serde(default)]
    pub value: Option<String>,
}

/// What every version has, read before the rest.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Manifest {
    pub(super) graph: String,
    pub(super) host: GraphHost,
    pub(super) form: GraphForm,
    pub(super) precision: Precision,
    pub(super) layers: Vec<GraphLayer>,
    #[serde(default)]
    pub(super) rows: Option<usize>,
    #[serde(default)]
    pub(super) tokens: Option<usize>,
    #[serde(default)]
    pub(super) width: Option<usize>,
    #[serde(default)]
    pub(super) scale: Option<String>,
    #[serde(default)]
    pub(super) mask: Option<String>,
    #[serde(default)]
    pub(super) tokens_input: Option<String>,
    #[serde(default)]
    pub(super) fingerprint: Option<String>,
}

impl Manifest {
    pub(super) fn parse(json: &[u8]) -> Result<Self> {
        if json.len() as u64 > super::MAX_MANIFEST_BYTES {
            return Err(Error::limit(format!(
                "a manifest of {} bytes; at most {} are read",
                json.len(),
                super::MAX_MANIFEST_BYTES
            )));
        }
        let failed = |error| Error::format(format!("not the manifest of a graph's identity inputs: {error}"));
        let head: Head = serde_json::from_slice(json).map_err(failed)?;
        if head.format != FORMAT {
            return Err(Error::format(format!(
                "format {:?}; the manifest of a graph's identity inputs has {FORMAT:?}",
                head.format
            )));
        }
        if head.version != VERSION {
            return Err(Error::unsupported(format!(
                "version {} of the manifest; this release reads version {VERSION}",
                head.version
            )));
        }
        let manifest: Self = serde_json::from_slice(json).map_err(failed)?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<()> {
        let graph = &self.graph;
        if graph.is_empty() || graph.contains(['/', '\\', ':', '\0']) || graph == "." || graph == ".." {
            return Err(Error::format(format!(
                "graph {graph:?}; expected the name of a file beside the manifest"
            )));
        }
        if self.layers.is_empty() || self.layers.len() > MAX_LAYERS {
            return Err(Error::format(format!(
                "{} layers; a graph has 1 to {MAX_LAYERS}",
                self.layers.len()
            )));
        }
        for (name, count, most) in [
            ("rows", self.rows, MAX_COUNT),
            ("tokens", self.tokens, MAX_COUNT),
            ("width", self.width, MAX_WIDTH),
        ] {
            if count.is_some_and(|count| !(1..=most).contains(&count)) {
                let count = count.unwrap_or(0);
                return Err(Error::format(format!("{name}: {count}, expected 1 to {most}")));
            }
        }
        for layer in &self.layers {
            let GraphLayer {
                name, heads, head_dim, ..
            } = layer;
            let inner = heads.checked_mul(*head_dim);
            if name.is_empty() || inner.is_none_or(|inner| !(1..=MAX_WIDTH).contains(&inner)) {
                return Err(Error::format(format!(
                    "layer {name:?} with {heads} heads of {head_dim}; expected a name and 1 to {MAX_WIDTH} in all"
                )));
            }
        }
        self.check_form()?;
        let inputs = self.inputs();
        unique("graph input", inputs.iter().map(|input| input.name.as_str()))?;
        unique("layer", self.layers.iter().map(|layer| layer.name.as_str()))
    }

    /// Each form has its own fields.
    fn check_form(&self) -> Result<()> {
        let takes_tokens = self.form == GraphForm::Tokens;
        let form = self.form.name();
        for (name, is_set) in [
            ("width", self.width.is_some()),
            ("tokens_input", self.tokens_input.is_some()),
        ] {
            if is_set != takes_tokens {
                let what = if is_set { "is set" } else { "is missing" };
                return Err(Error::format(format!("{name} {what} in a graph of form {form:?}")));
            }
        }
        for layer in &self.layers {
            let is_whole = layer.key.is_some() && layer.value.is_some();
            let is_bare = layer.key.is_none() && layer.value.is_none();
            if (takes_tokens && !is_bare) || (!takes_tokens && !is_whole) {
                return Err(Error::format(format!(
                    "layer {:?}: key {:?} and value {:?} in a graph of form {form:?}",
                    layer.name, layer.key, layer.value
                )));
            }
        }
        Ok(())
    }

    pub(super) fn inputs(&self) -> Vec<GraphInput> {
        let input = |name: &String, kind| GraphInput {
            name: name.clone(),
            kind,
        };
        let layers = self.layers.iter().enumerate().flat_map(|(entry, layer)| {
            let keys = layer.key.iter().map(move |name| (name, GraphInputKind::Keys(entry)));
            let values = layer
                .value
                .iter()
                .map(move |name| (name, GraphInputKind::Values(entry)));
            keys.chain(values)
        });
        let tokens = self.tokens_input.iter().map(|name| (name, GraphInputKind::Tokens));
        let scale = self.scale.iter().map(|name| (name, GraphInputKind::Scale));
        let mask = self.mask.iter().map(|name| (name, GraphInputKind::Mask));
        let all = layers.chain(tokens).chain(scale).chain(mask);
        all.map(|(name, kind)| input(name, kind)).collect()
    }
}

/// Names have to tell things apart.
fn unique<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut seen = HashSet::new();
    for name in names {
        if name.is_empty() || name.contains('\0') {
            return Err(Error::format(format!("{name:?} as the name of a {what}")));
        }
        if !seen.insert(name) {
            return Err(Error::format(format!("the {what} {name:?} is listed twice")));
        }
    }
    Ok(())
}
