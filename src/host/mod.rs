//! Hosts: which cross-attention layers a diffusion model has, in the order of the adapter checkpoints.
//!
//! A [`HostSpec`] is an ordered table of [`HostLayer`]s. The order is the one of the published checkpoints: module
//! registration order of the `diffusers` UNet, that is down blocks, up blocks, **then** the middle block. The
//! place of a layer in execution order is kept beside it, because weight types count in execution order.
//!
//! Tables of Stable Diffusion 1.5, SDXL, FLUX and Stable Diffusion 3.5 Large are built in ([`HostSpec::built_in`]);
//! UNets of the same design but another size come from [`HostSpec::unet`]; any other host hands in its own table with
//! [`HostSpec::from_layers`].
//!
//! A transformer may have several tables, because adapters differ in where they add: FLUX has [`HostSpec::flux`]
//! (XLabs), [`HostSpec::flux_all`] (InstantX), [`HostSpec::pulid_flux`] and [`HostSpec::with_anyone`].

mod diffusers;
mod flux;
mod lookup;
mod matching;
mod sd3;
mod unet;

#[cfg(test)]
mod tests;

pub use matching::{Heads, LayerShape};
pub use unet::UnetConfig;

use crate::error::{Error, Result};
use serde::Serialize;
use std::collections::HashMap;

/// Most layers of one host. The largest known host, SDXL, has 70.
pub const MAX_LAYERS: usize = 4096;

/// Widest attention and widest context of one layer. The widest known ones are 3072 and 4096.
pub const MAX_WIDTH: usize = 1 << 16;

/// The model that a host is, where that matters: adapters are made for one model, and the weight types that address
/// "style" and "composition" layers are defined for two models only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HostFamily {
    /// The UNet of Stable Diffusion 1.x: 16 transformers of depth 1.
    Sd15,
    /// The UNet of Stable Diffusion XL: 11 transformers, 70 layers.
    Sdxl,
    /// FLUX.1: 19 double and 38 single blocks. An adapter hooks some or all of them.
    Flux,
    /// Stable Diffusion 3.5 Large: 38 joint blocks.
    Sd35,
    /// Any other host. Weight types that address roles are not defined for it.
    Other,
}

impl HostFamily {
    /// All families.
    pub const ALL: [Self; 5] = [Self::Sd15, Self::Sdxl, Self::Flux, Self::Sd35, Self::Other];

    /// The name in files: `sd15`, `sdxl`, `flux`, `sd35` or `other`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sd15 => "sd15",
            Self::Sdxl => "sdxl",
            Self::Flux => "flux",
            Self::Sd35 => "sd35",
            Self::Other => "other",
        }
    }

    /// The family of a name in files.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.name() == name)
    }

    /// The name as its makers write it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Sd15 => "SD 1.5",
            Self::Sdxl => "SDXL",
            Self::Flux => "FLUX.1",
            Self::Sd35 => "SD 3.5 Large",
            Self::Other => "other",
        }
    }
}

/// Where in the host a layer sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BlockKind {
    /// Down-sampling half of a UNet (`input_blocks`, `down_blocks`).
    Input,
    /// Middle of a UNet.
    Middle,
    /// Up-sampling half of a UNet (`output_blocks`, `up_blocks`).
    Output,
    /// Double (joint) block of a diffusion transformer.
    Double,
    /// Single block of a diffusion transformer: text and image tokens are one sequence.
    Single,
    /// Anything else.
    Other,
}

impl BlockKind {
    /// ComfyUI's name of the kind, as it appears in `transformer_options["block"]`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Middle => "middle",
            Self::Output => "output",
            Self::Double => "double_block",
            Self::Single => "single_block",
            Self::Other => "other",
        }
    }
}

/// The address of a layer in ComfyUI: `transformer_options["patches_replace"]["attn2"][(name, number, index)]`, for
/// diffusion transformers `["dit"][("double_block", number)]` or `["dit"][("single_block", number)]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HookAddress {
    /// `input`, `middle`, `output`, `double_block` or `single_block`.
    pub kind: BlockKind,
    /// Number of the block within its kind. The middle block is number 0.
    pub number: usize,
    /// Index of the transformer block inside the block; 0 where there is only one.
    pub index: usize,
}

impl std::fmt::Display for HookAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{},{},{}", self.kind.name(), self.number, self.index)
    }
}

/// One attention layer of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostLayer {
    /// The host's own name; `diffusers` spelling in the built-in tables
    /// (`down_blocks.0.attentions.0.transformer_blocks.0.attn2`).
    pub name: String,
    /// Name in the original (LDM, BFL) module tree, e.g. `input_blocks.1.1.transformer_blocks.0.attn2`.
    pub ldm_name: Option<String>,
    /// Address of the layer's hook in ComfyUI.
    pub hook: Option<HookAddress>,
    /// Where the layer sits.
    pub kind: BlockKind,
    /// Index in the checkpoint: `ip_adapter.{key}.to_k_ip.weight`, or `double_blocks.{key}.…`.
    pub key: usize,
    /// Width of queries, keys and values: `heads * head_dim`.
    pub inner: usize,
    /// Number of attention heads.
    pub heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Width of the tokens that keys and values are projected from.
    pub context: usize,
    /// Width of the image hidden state, for a layer that reads and adds to the residual stream
    /// ([`inject_residual`](crate::conditioning::Conditioning::inject_residual)); `None` for a layer inside an attention,
    /// which takes the host's queries.
    pub hidden: Option<usize>,
    /// Index of the layer's transformer in execution order (ComfyUI's `transformer_index`). Layers of one transformer
    /// share it.
    pub execution: usize,
}

impl HostLayer {
    /// A layer of a host's own table, with only what injection needs. `key` and `execution` become the layer's
    /// place in the table when it is passed to [`HostSpec::from_layers`] through [`HostSpec::custom`]. A layer with the
    /// name of a single block (`single_transformer_blocks.…`, `single_blocks.…`) is one.
    pub fn new(name: impl Into<String>, heads: usize, head_dim: usize, context: usize) -> Self {
        let name = name.into();
        let is_single = flux::SINGLE_BLOCKS.iter().any(|begin| name.starts_with(begin));
        Self {
            name,
            ldm_name: None,
            hook: None,
            kind: if is_single { BlockKind::Single } else { BlockKind::Other },
            key: 0,
            inner: heads.saturating_mul(head_dim),
            heads,
            head_dim,
            context,
            hidden: None,
            execution: 0,
        }
    }

    fn check(&self) -> Result<()> {
        let fail = |what: String| Err(Error::invalid(format!("host layer {:?}: {what}", self.name)));
        if self.name.is_empty() {
            return Err(Error::invalid("a host layer has an empty name; every layer needs one"));
        }
        if self.heads == 0 || self.head_dim == 0 || self.context == 0 {
            return fail(format!(
                "heads {}, head_dim {} and context {} must all be at least 1",
                self.heads, self.head_dim, self.context
            ));
        }
        if self.heads.checked_mul(self.head_dim) != Some(self.inner) {
            return fail(format!(
                "inner width {} is not heads {} × head_dim {}",
                self.inner, self.heads, self.head_dim
            ));
        }
        if self.inner > MAX_WIDTH || self.context > MAX_WIDTH {
            return fail(format!(
                "inner width {} and context width {} must be at most {MAX_WIDTH}",
                self.inner, self.context
            ));
        }
        if let Some(hidden) = self.hidden.filter(|hidden| !(1..=MAX_WIDTH).contains(hidden)) {
            return fail(format!("hidden width {hidden}; it must be 1 to {MAX_WIDTH}"));
        }
        Ok(())
    }
}

/// The attention layers of one host, in the order of the adapter checkpoints. Immutable once made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSpec {
    name: String,
    family: HostFamily,
    layers: Vec<HostLayer>,
    spellings: HashMap<String, usize>,
}

impl HostSpec {
    /// Stable Diffusion 1.5: 16 layers, 8 heads, context 768 (also 1.4 and every fine-tune of them).
    pub fn sd15() -> Self {
        unet::sd15()
    }

    /// Stable Diffusion XL base: 70 layers, heads of width 64, context 2048.
    pub fn sdxl() -> Self {
        unet::sdxl()
    }

    /// FLUX.1 as XLabs' adapters hook it: 19 double blocks, 24 heads of width 128, joint width 4096. The query is the
    /// image tokens' after `norm_q` and before the rotary embedding; the identity's attention is added to the image
    /// tokens after the block's feed-forward, without output projection.
    pub fn flux() -> Self {
        flux::flux()
    }

    /// FLUX.1 as InstantX' IP-Adapter hooks it: 19 double blocks (checkpoint keys 0 to 18) and 38 single blocks (19 to
    /// 56), 24 heads of width 128, joint width 4096.
    ///
    /// The query is taken after `norm_q` and before the rotary embedding: in double blocks that of the image tokens, in
    /// single blocks that of the whole sequence of text and image tokens. The identity's attention is added to the
    /// attention output of the same tokens before the projection behind it (`to_out` of double blocks, `proj_out` of
    /// single ones). Source: `InstantX/FLUX.1-dev-IP-Adapter`, `attention_processor.py`.
    pub fn flux_all() -> Self {
        flux::flux_all()
    }

    /// FLUX.1 as PuLID-FLUX adds to it: 20 places of the residual stream, after the double blocks 0, 2, …, 18 and the
    /// single blocks 0, 4, …, 36, hidden width 3072; 16 heads of width 128, tokens of width 2048. Image tokens only.
    /// Source: `ToTheBeginning/PuLID`, `flux/model.py`.
    pub fn pulid_flux() -> Self {
        flux::pulid_flux()
    }

    /// FLUX.1 as WithAnyone adds to it: after each of the 57 blocks, hidden width 3072; 24 heads of width 64, tokens of
    /// width 3072. Image tokens only. Source: `Doby-Xu/WithAnyone`, `withanyone/flux/model.py`.
    pub fn with_anyone() -> Self {
        flux::with_anyone()
    }

    /// Stable Diffusion 3.5 Large as InstantX' IP-Adapter hooks it: 38 joint blocks, 38 heads of width 64, context 2432.
    pub fn sd35_large() -> Self {
        sd3::sd35_large()
    }

    /// A UNet of Stable Diffusion's design in any size.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for lists of unequal length, zero sizes, a width that
    /// its heads do not divide, or a UNet without any attention.
    pub fn unet(config: &UnetConfig) -> Result<Self> {
        unet::build(config)
    }

    /// The built-in hosts.
    pub fn built_in() -> [Self; 7] {
        [
            Self::sd15(),
            Self::sdxl(),
            Self::flux(),
            Self::flux_all(),
            Self::pulid_flux(),
            Self::with_anyone(),
            Self::sd35_large(),
        ]
    }

    /// A built-in host by its name: `sd15`, `sdxl`, `flux`, `flux_all`, `pulid_flux`, `with_anyone` or `sd35_large`.
    pub fn named(name: &str) -> Option<Self> {
        Self::built_in().into_iter().find(|host| host.name() == name)
    }

    /// The host's own table, layers in the order of the adapter that will be used with it.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for an empty table, more than [`MAX_LAYERS`] layers, a
    /// name, hook or key used twice, zero sizes, widths over [`MAX_WIDTH`], or `inner != heads * head_dim`.
    pub fn from_layers(name: impl Into<String>, family: HostFamily, layers: Vec<HostLayer>) -> Result<Self> {
        let name = name.into();
        if layers.is_empty() || layers.len() > MAX_LAYERS {
            return Err(Error::invalid(format!(
                "host {name:?} has {} layers; it must have 1 to {MAX_LAYERS}",
                layers.len()
            )));
        }
        let mut keys = HashMap::with_capacity(layers.len());
        for layer in &layers {
            layer.check()?;
            if let Some(other) = keys.insert(layer.key, &layer.name) {
                return Err(Error::invalid(format!(
                    "host layers {other:?} and {:?} have the same checkpoint key {}",
                    layer.name, layer.key
                )));
            }
        }
        check_family(&name, family, &layers)?;
        let spellings = lookup::spellings(&layers)?;
        Ok(Self {
            name,
            family,
            layers,
            spellings,
        })
    }

    /// As [`from_layers`](Self::from_layers), numbering `key` and `execution` by the layers' order.
    ///
    /// # Errors
    /// As [`from_layers`](Self::from_layers).
    pub fn custom(name: impl Into<String>, mut layers: Vec<HostLayer>) -> Result<Self> {
        for (i, layer) in layers.iter_mut().enumerate() {
            (layer.key, layer.execution) = (i, i);
        }
        Self::from_layers(name, HostFamily::Other, layers)
    }

    /// Name of the host: that of a built-in one (`sd15`), or what its maker called it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the layers mean.
    pub fn family(&self) -> HostFamily {
        self.family
    }

    /// The layers, in the order of the adapter checkpoints.
    pub fn layers(&self) -> &[HostLayer] {
        &self.layers
    }

    /// Number of layers.
    pub fn layer_count(&self) -> usize {
        self.layers.len()
    }

    /// One layer.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when the host has no layer `index`.
    pub fn layer(&self, index: usize) -> Result<&HostLayer> {
        self.layers.get(index).ok_or_else(|| {
            Error::invalid(format!(
                "host {:?} has no layer {index}: it has {} layers, 0 to {}",
                self.name,
                self.layers.len(),
                self.layers.len() - 1
            ))
        })
    }

    /// Index of a layer by any of its spellings: its name, with or without a trailing `.attn2`, `.attn` or
    /// `.processor`; its LDM name likewise, with or without the prefix `model.diffusion_model.`; or its ComfyUI address
    /// as `output,1,3`, `output:1:3` or `("output", 1, 3)`.
    pub fn find_layer(&self, name: &str) -> Option<usize> {
        lookup::find(&self.spellings, name)
    }

    /// Number of transformers in execution order: one more than the largest `execution`.
    pub fn transformer_count(&self) -> usize {
        self.layers.iter().map(|layer| layer.execution + 1).max().unwrap_or(0)
    }
}

/// A table may claim to be a known model only with at most as many transformers as that model has.
fn check_family(name: &str, family: HostFamily, layers: &[HostLayer]) -> Result<()> {
    let expected = match family {
        HostFamily::Sd15 => 16,
        HostFamily::Sdxl => 11,
        HostFamily::Flux => 57,
        HostFamily::Sd35 => 38,
        HostFamily::Other => return limit_execution(name, layers),
    };
    match layers.iter().find(|layer| layer.execution >= expected) {
        Some(layer) => Err(Error::invalid(format!(
            "host {name:?}: layer {:?} has execution index {}, but a host of family {} has {expected} transformers",
            layer.name,
            layer.execution,
            family.name()
        ))),
        None => Ok(()),
    }
}

fn limit_execution(name: &str, layers: &[HostLayer]) -> Result<()> {
    match layers.iter().find(|layer| layer.execution >= MAX_LAYERS) {
        Some(layer) => Err(Error::invalid(format!(
            "host {name:?}: layer {:?} has execution index {}; it must be below {MAX_LAYERS}",
            layer.name, layer.execution
        ))),
        None => Ok(()),
    }
}
