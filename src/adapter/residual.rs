//! Layers that add to the residual stream of a transformer: PuLID-FLUX, WithAnyone.
//!
//! `hidden += scale · to_out(softmax(q Kᵀ / √head_dim) V)` with `q = to_q(norm2(hidden))` and
//! `[K; V] = to_kv(norm1(tokens))`, between two blocks of the host. Source: `ToTheBeginning/PuLID`,
//! `pulid/encoders_transformer.py`, class `PerceiverAttentionCA`, which WithAnyone took over.

use super::{AdapterLayer, AdapterSpelling, Linear};
use crate::error::{Error, Result};
use crate::host::{HostLayer, LayerShape};
use crate::tensor_file::Shapes;
use omniid_kernels::layers::{Initial, LayerNorm, Weights};

/// Epsilon of both layer normalisations.
const EPSILON: f64 = 1e-5;

/// Names of WithAnyone's two token sets: those of the face embedding alone, and those of SigLIP's features followed by
/// those of the face embedding.
pub(super) const TWO_SETS: [&str; 2] = ["arc", "sig"];

/// Tokens of each photo in WithAnyone's published sets: 8; 256 of SigLIP and 8.
const PUBLISHED_TOKENS: [usize; 2] = [8, 264];

/// The host's side of a layer of the residual stream. What concerns the tokens is in the [`AdapterLayer`].
#[derive(Debug, Clone)]
pub struct ResidualLayer {
    /// `norm2`: normalises the image hidden state `[…, hidden]`.
    pub norm: LayerNorm,
    /// Hidden state to queries, `[inner, hidden]`.
    pub to_q: Linear,
    /// Attention to what is added, `[hidden, inner]`.
    pub to_out: Linear,
}

/// What a checkpoint says about layers of the residual stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResidualLayout {
    /// Width of the host's image hidden state.
    pub hidden: usize,
    /// How many tokens of each photo go to each token set, one after the other; empty when there is one set that takes
    /// all tokens.
    pub token_sets: Vec<usize>,
}

impl ResidualLayout {
    /// Names of the token sets; a single one has none.
    pub(super) fn set_names(&self) -> Vec<Option<&'static str>> {
        match self.token_sets.len() {
            0 | 1 => vec![None],
            count => TWO_SETS.into_iter().take(count).map(Some).collect(),
        }
    }

    /// Reads layers of the residual stream off a checkpoint; `None` when it has none.
    pub(super) fn infer(found: &Shapes) -> Result<Option<(AdapterSpelling, Self, Vec<LayerShape>)>> {
        let forms: [(AdapterSpelling, &[Option<&str>]); 4] = [
            (AdapterSpelling::Native, &[None]),
            (AdapterSpelling::Native, &TWO_SETS.map(Some)),
            (AdapterSpelling::PulidFlux, &[None]),
            (AdapterSpelling::WithAnyone, &TWO_SETS.map(Some)),
        ];
        let has_layers = |spelling: AdapterSpelling, set| {
            let mut names = found.iter().map(|(name, _)| name);
            names.any(|name| spelling.residual_number(name, set).is_some())
        };
        let form = forms
            .into_iter()
            .find(|(spelling, sets)| sets.iter().any(|set| has_layers(*spelling, *set)));
        let Some((spelling, sets)) = form else {
            return Ok(None);
        };
        let mut hidden = None;
        let mut all: Vec<Vec<LayerShape>> = Vec::with_capacity(sets.len());
        for set in sets {
            let mut shapes = Vec::new();
            for number in found
                .iter()
                .filter_map(|(name, _)| spelling.residual_number(name, *set))
            {
                let (shape, width) = layer_shape(found, &spelling.layer(*set, number), number)?;
                let first = *hidden.get_or_insert(width);
                if first != width {
                    return Err(Error::format(format!(
                        "layer {number} of the adapter reads a hidden state of width {width}, another one {first}"
                    )));
                }
                shapes.push(shape);
            }
            shapes.sort_by_key(|shape| shape.key);
            all.push(shapes);
        }
        let (first, rest) = all.split_first().ok_or_else(|| Error::internal("no token sets"))?;
        if let Some((set, _)) = sets.iter().skip(1).zip(rest).find(|(_, shapes)| *shapes != first) {
            return Err(Error::format(format!(
                "the adapter's layers {:?} are not those of {:?}: both need the same numbers and shapes",
                spelling.layer(*set, 0),
                spelling.layer(sets.first().copied().flatten(), 0)
            )));
        }
        let context = first.first().map_or(0, |shape| shape.context);
        let layout = Self {
            hidden: hidden.unwrap_or(0),
            token_sets: match sets.len() {
                1 => Vec::new(),
                _ => photo_tokens(found, context),
            },
        };
        Ok(Some((spelling, layout, first.clone())))
    }

    /// Reads the layers of one token set. `weights` is the checkpoint's root.
    pub(super) fn load_layer(
        &self,
        layer: &HostLayer,
        spelling: AdapterSpelling,
        set: Option<&str>,
        number: usize,
        weights: &Weights<'_>,
    ) -> Result<AdapterLayer> {
        let weights = weights.pp(spelling.layer(set, number));
        let once = weights.stored();
        let (inner, context) = (layer.inner, layer.context);
        let to_kv = once.tensor("to_kv.weight", &[2 * inner, context], Initial::fan_in(context))?;
        let half = |first| Linear::stored(to_kv.narrow(0, first, inner)?, None);
        Ok(AdapterLayer {
            to_k: half(0)?,
            to_v: half(inner)?,
            token_norm: Some(once.layer_norm("norm1", context, EPSILON)?),
            joint: None,
            residual: Some(ResidualLayer {
                norm: weights.layer_norm("norm2", self.hidden, EPSILON)?,
                to_q: weights.linear("to_q", self.hidden, inner, false)?,
                to_out: weights.linear("to_out", inner, self.hidden, false)?,
            }),
        })
    }
}

/// Shape of one layer, and the width of the hidden state.
fn layer_shape(found: &Shapes, prefix: &str, key: usize) -> Result<(LayerShape, usize)> {
    let name = |part: &str| format!("{prefix}.{part}.weight");
    let [inner, hidden] = found.dims(&name("to_q"))?;
    let [rows, context] = found.dims(&name("to_kv"))?;
    let out: [usize; 2] = found.dims(&name("to_out"))?;
    if inner.checked_mul(2) != Some(rows) {
        return Err(Error::format(format!(
            "{} has {rows} rows, expected {inner} for keys and as many for values, as {} has",
            found.quoted(&name("to_kv")),
            found.quoted(&name("to_q"))
        )));
    }
    if out != [hidden, inner] {
        return Err(Error::format(format!(
            "{} has shape {out:?}, expected [{hidden}, {inner}]",
            found.quoted(&name("to_out"))
        )));
    }
    Ok((LayerShape { key, inner, context }, hidden))
}

/// Tokens of a photo in each of WithAnyone's sets, from the last layers of the projections, if they are in the file.
fn photo_tokens(found: &Shapes, context: usize) -> Vec<usize> {
    let of_face = |set: &str| {
        let names = ["", "image_proj.", "encoder."].map(|begin| format!("{begin}arcface_in_{set}.3.weight"));
        let rows = names.iter().find_map(|name| found.get(name)?.first().copied())?;
        rows.checked_div(context).filter(|tokens| *tokens > 0)
    };
    let [arc, sig] = PUBLISHED_TOKENS;
    // A SigLIP image has 256 tokens whatever the adapter's width: its picture is 256 pixels wide.
    let siglip = sig - arc;
    vec![of_face("arc").unwrap_or(arc), siglip + of_face("sig").unwrap_or(arc)]
}
