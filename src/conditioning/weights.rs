//! How strongly each layer is injected: the community's "weight types".
//!
//! Layers are addressed by the place `t` of their transformer in execution order. Sources: IPAdapter_plus for
//! ComfyUI (`CrossAttentionPatch.py`, `IPAdapterPlus.py`); what each type does was measured and tabulated from
//! there.

use crate::error::{Error, Result};
use crate::host::{BlockKind, HostFamily, HostLayer, HostSpec};

/// How the weight of an identity is spread over the layers.
///
/// With `w` the identity's weight, `t` the layer's transformer in execution order and `L` the number of transformers
/// of the host (16 in SD1.5, 11 in SDXL). The types up to [`StrongMiddle`](Self::StrongMiddle) work for every host,
/// with its own `L`; those for single block kinds need a host that knows them. The others address layers whose role
/// is known in SD1.5 and SDXL only, and are [`Unsupported`](crate::ErrorKind::Unsupported) elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(i32)]
#[non_exhaustive]
pub enum WeightType {
    /// `w` everywhere.
    #[default]
    Linear = 0,
    /// Strong in early layers: w (0.05 + 0.95 (1 − t/L)).
    EaseIn = 1,
    /// Strong in late layers: w (0.05 + 0.95 t/L).
    EaseOut = 2,
    /// Strong in the middle: w (0.05 + 0.95 (1 − |t − L/2| / (L/2))).
    EaseInOut = 3,
    /// Weak in the middle: w (0.05 + 0.95 |t − L/2| / (L/2)).
    ReverseInOut = 4,
    /// 0.2 w on the down-sampling half.
    WeakInput = 5,
    /// 0.2 w on the up-sampling half.
    WeakOutput = 6,
    /// 0.2 w on the middle.
    WeakMiddle = 7,
    /// 0.2 w everywhere but in the middle.
    StrongMiddle = 8,
    /// Only the style layers.
    StyleTransfer = 9,
    /// Only the composition layers.
    Composition = 10,
    /// Everything but the composition layers.
    StrongStyleTransfer = 11,
    /// Style and composition layers, each with its own weight.
    StyleAndComposition = 12,
    /// Every layer, the composition layers with their own weight.
    StrongStyleAndComposition = 13,
    /// Style layers, with composition pushed away: there the conditional side gets zero tokens and the unconditional
    /// side the identity's.
    StyleTransferPrecise = 14,
    /// Composition layers, with style pushed away in the same manner.
    CompositionPrecise = 15,
}

/// Names in the order of the numbers: ComfyUI's spelling.
const NAMES: [(&str, WeightType); 16] = [
    ("linear", WeightType::Linear),
    ("ease in", WeightType::EaseIn),
    ("ease out", WeightType::EaseOut),
    ("ease in-out", WeightType::EaseInOut),
    ("reverse in-out", WeightType::ReverseInOut),
    ("weak input", WeightType::WeakInput),
    ("weak output", WeightType::WeakOutput),
    ("weak middle", WeightType::WeakMiddle),
    ("strong middle", WeightType::StrongMiddle),
    ("style transfer", WeightType::StyleTransfer),
    ("composition", WeightType::Composition),
    ("strong style transfer", WeightType::StrongStyleTransfer),
    ("style and composition", WeightType::StyleAndComposition),
    ("strong style and composition", WeightType::StrongStyleAndComposition),
    ("style transfer precise", WeightType::StyleTransferPrecise),
    ("composition precise", WeightType::CompositionPrecise),
];

impl WeightType {
    /// The types under which the composition layers may have an identity and a weight of their own.
    pub(super) const WITH_COMPOSITION: &'static [Self] = &[Self::StyleAndComposition, Self::StrongStyleAndComposition];

    /// Every type, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.into_iter().map(|(_, kind)| kind)
    }

    /// ComfyUI's name.
    pub fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("", |(name, _)| name)
    }

    /// The type with ComfyUI's name.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument), listing the names.
    pub fn from_name(name: &str) -> Result<Self> {
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, kind)| *kind)
            .ok_or_else(|| {
                let known: Vec<_> = NAMES.iter().map(|(known, _)| *known).collect();
                Error::invalid(format!(
                    "weight type {name:?} is not known; known are: {}",
                    known.join(", ")
                ))
            })
    }

    /// The type with the given number.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::all().find(|kind| *kind as i32 == number)
    }
}

/// The weights that a weight type spreads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// The identity's own weight, w.
    pub identity: f32,
    /// w_c of "style and composition"; by default w.
    pub composition: Option<f32>,
    /// w_b of "style transfer precise"; by default w.
    pub style_boost: Option<f32>,
    /// w_b of "composition precise"; by default w.
    pub composition_boost: Option<f32>,
}

/// Which tokens a layer attends to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenSource {
    /// The identity's on conditional rows, its unconditional ones on unconditional rows.
    Identity,
    /// The composition identity's on conditional rows, if there is one.
    Composition,
    /// Zero on conditional rows, the identity's on unconditional rows ("precise").
    Swapped,
}

/// What a weight type makes of one layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerWeight {
    /// Factor of the layer; 0 leaves the layer out.
    pub weight: f32,
    /// Which tokens it attends to.
    pub source: TokenSource,
}

/// What `kind` makes of `layer`, before per-layer scales.
///
/// # Errors
/// [`Unsupported`](crate::ErrorKind::Unsupported), naming the type, when it is not defined for the host.
pub fn layer_weight(kind: WeightType, host: &HostSpec, layer: &HostLayer, weights: &Weights) -> Result<LayerWeight> {
    let w = weights.identity;
    let (t, count) = (layer.execution as f32, host.transformer_count() as f32);
    let from_middle = (t - count / 2.0).abs() / (count / 2.0);
    let eased = |part: f32| w * (0.05 + 0.95 * part);
    let weight = match kind {
        WeightType::Linear => w,
        WeightType::EaseIn => eased(1.0 - t / count),
        WeightType::EaseOut => eased(t / count),
        WeightType::EaseInOut => eased(1.0 - from_middle),
        WeightType::ReverseInOut => eased(from_middle),
        WeightType::WeakInput => weakened(kind, host, layer, w, |place| place == BlockKind::Input)?,
        WeightType::WeakOutput => weakened(kind, host, layer, w, |place| place == BlockKind::Output)?,
        WeightType::WeakMiddle => weakened(kind, host, layer, w, |place| place == BlockKind::Middle)?,
        WeightType::StrongMiddle => weakened(kind, host, layer, w, |place| place != BlockKind::Middle)?,
        _ => return by_role(kind, host, layer.execution, weights),
    };
    Ok(LayerWeight {
        weight,
        source: TokenSource::Identity,
    })
}

fn weakened(
    kind: WeightType,
    host: &HostSpec,
    layer: &HostLayer,
    w: f32,
    weak: impl Fn(BlockKind) -> bool,
) -> Result<f32> {
    match layer.kind {
        BlockKind::Input | BlockKind::Middle | BlockKind::Output if weak(layer.kind) => Ok(0.2 * w),
        BlockKind::Input | BlockKind::Middle | BlockKind::Output => Ok(w),
        BlockKind::Double | BlockKind::Single | BlockKind::Other => Err(Error::unsupported(format!(
            "weight type {:?}: layer {:?} of host {:?} is not known to be an input, middle or output block of a UNet",
            kind.name(),
            layer.name,
            host.name()
        ))),
    }
}

/// Layers by what they carry.
#[derive(PartialEq)]
enum Place {
    Style,
    /// The first of SD1.5's two composition layers: it gets a quarter of the weight in the "transfer" types.
    CompositionFirst,
    Composition,
    /// Neither: only the strong types inject there, and "composition precise" weakly.
    Rest,
}

fn by_role(kind: WeightType, host: &HostSpec, t: usize, weights: &Weights) -> Result<LayerWeight> {
    let place = match host.family() {
        HostFamily::Sd15 => match t {
            4 => Place::CompositionFirst,
            5 => Place::Composition,
            6..=8 => Place::Rest,
            _ => Place::Style,
        },
        HostFamily::Sdxl => match t {
            3 => Place::Composition,
            6 => Place::Style,
            _ => Place::Rest,
        },
        HostFamily::Flux | HostFamily::Sd35 | HostFamily::Other => {
            return Err(Error::unsupported(format!(
                "weight type {:?} addresses layers of SD1.5 and SDXL; host {:?} is neither",
                kind.name(),
                host.name()
            )));
        }
    };
    let w = weights.identity;
    let composition = weights.composition.unwrap_or(w);
    let style_boost = weights.style_boost.unwrap_or(w);
    let composition_boost = weights.composition_boost.unwrap_or(w);
    let quarter = if place == Place::CompositionFirst { 0.25 } else { 1.0 };
    let is_composition = matches!(place, Place::CompositionFirst | Place::Composition);
    let (weight, source) = match (kind, place) {
        (WeightType::StyleTransfer, Place::Style) => (w, TokenSource::Identity),
        (WeightType::Composition, _) if is_composition => (quarter * w, TokenSource::Identity),
        (WeightType::StrongStyleTransfer, _) if !is_composition => (w, TokenSource::Identity),
        (WeightType::StyleAndComposition, _) if is_composition => (quarter * composition, TokenSource::Composition),
        (WeightType::StyleAndComposition, Place::Style) => (w, TokenSource::Identity),
        (WeightType::StrongStyleAndComposition, _) if is_composition => (composition, TokenSource::Composition),
        (WeightType::StrongStyleAndComposition, _) => (w, TokenSource::Identity),
        (WeightType::StyleTransferPrecise, Place::Style) => (w, TokenSource::Identity),
        (WeightType::StyleTransferPrecise, _) if is_composition => (quarter * style_boost, TokenSource::Swapped),
        (WeightType::CompositionPrecise, Place::Style) => (composition_boost, TokenSource::Swapped),
        (WeightType::CompositionPrecise, Place::Rest) => (0.1 * composition_boost, TokenSource::Swapped),
        (WeightType::CompositionPrecise, _) => (quarter * w, TokenSource::Identity),
        _ => (0.0, TokenSource::Identity),
    };
    Ok(LayerWeight { weight, source })
}

#[cfg(test)]
mod tests;
