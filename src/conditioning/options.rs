//! What can be chosen when identities are conditioned for a host.

use super::{Injection, LayerScales, Mask, MaskMode, PulidMode, StepRange, WeightType};
use crate::setters::setters;
use candle_core::{DType, Tensor};

/// Which side of classifier-free guidance a batch row belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(i32)]
pub enum Role {
    /// The row that follows the prompt.
    #[default]
    Conditional = 0,
    /// The row that does not.
    Unconditional = 1,
}

/// What the unconditional rows see instead of the identity.
///
/// The peers answer this in seven ways; [`Default`](Unconditional::Default) picks the one that the checkpoint's
/// own reference code uses. The engine turns the answer into tokens.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Unconditional<'a> {
    /// As the reference of the encoder: a zero embedding through the projection (base IP-Adapter), the image of zero
    /// pixels after normalisation (Plus, full-face), a black image (XLabs). For Omni-ID, which has no public
    /// reference, the model's mean identity where the checkpoint brings one, else zero tokens.
    #[default]
    Default,
    /// Nothing is injected into unconditional rows.
    None,
    /// A zero image embedding through the checkpoint's projection. Only for encoders that take an image embedding.
    ZeroEmbedding,
    /// The encoding of a picture whose values are zero after normalisation: a picture of the mean colour.
    ZeroPixels,
    /// The encoding of a black picture.
    BlackImage,
    /// The encoding of all-zero image features (penultimate hidden states).
    ZeroFeatures,
    /// Tokens that are zero.
    ZeroTokens,
    /// The model's mean identity, if the checkpoint has one.
    MeanTokens,
    /// The tokens `[tokens, width]` of another identity: a negative example.
    Tokens(&'a Tensor),
}

/// How the weight acts on keys and values. Sources: "embeds scaling" of IPAdapter_plus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(i32)]
pub enum EmbedsScaling {
    /// The weight multiplies the output.
    #[default]
    ValuesOnly = 0,
    /// The weight multiplies keys and values.
    KeysAndValues = 1,
    /// As before, with the weight times inner width / 1280.
    KeysAndValuesPenalty = 2,
    /// The weight times inner width / 1280 multiplies keys, and of the values only their mean over the tokens.
    KeysAndMeanValuesPenalty = 3,
}

/// One identity for [`Conditioning::new`](super::Conditioning::new), as tokens.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IdentityInput<'a> {
    /// `[tokens, token width]`: all photos of the identity; they share one softmax.
    pub tokens: &'a Tensor,
    /// `[tokens, token width]` for unconditional rows; `None` leaves those rows alone.
    pub unconditional: Option<&'a Tensor>,
    /// `[tokens, token width]` of a second identity that the composition layers attend to under "style and
    /// composition" weight types: transformer 3 of SDXL, 4 and 5 of SD1.5. (ComfyUI replaces transformer 3 in
    /// SD1.5 too, which is a style layer there.)
    pub composition: Option<&'a Tensor>,
    /// Weight of the identity. 0 leaves it out.
    pub scale: f32,
    /// Where in the picture it is injected; everywhere by default.
    pub mask: Option<Mask>,
    /// When during sampling it is injected.
    pub steps: StepRange,
    /// For adapters whose keys and values depend on the denoising timestep, the tokens at each of
    /// [`ConditioningOptions::timesteps`], which are used instead of `tokens` and `unconditional`. Else empty.
    pub timesteps: &'a [TimestepTokens],
}

/// An identity's tokens at one denoising timestep.
#[derive(Debug, Clone)]
pub struct TimestepTokens {
    /// `[tokens, token width]`.
    pub tokens: Tensor,
    /// `[tokens, token width]` for unconditional rows; `None` leaves those rows alone.
    pub unconditional: Option<Tensor>,
    /// The encoder's embedding of the timestep, `[1, time width]`, which modulates the adapter's layers too.
    pub embedding: Tensor,
}

impl<'a> IdentityInput<'a> {
    /// An identity at weight 1, everywhere, at every step, without an unconditional side.
    pub fn new(tokens: &'a Tensor) -> Self {
        Self {
            tokens,
            unconditional: None,
            composition: None,
            scale: 1.0,
            mask: None,
            steps: StepRange::Always,
            timesteps: &[],
        }
    }
}

/// What holds for all identities of one [`Conditioning`](super::Conditioning).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConditioningOptions {
    /// How weights are spread over the layers.
    pub weight_type: WeightType,
    /// Weight of the composition layers under "style and composition" types; by default the identity's scale.
    pub composition_scale: Option<f32>,
    /// Weight of the swapped layers of "style transfer precise"; by default the identity's scale.
    pub style_boost: Option<f32>,
    /// Weight of the swapped layers of "composition precise"; by default the identity's scale.
    pub composition_boost: Option<f32>,
    /// Factors of single layers on top.
    pub layer_scales: Option<LayerScales>,
    /// How the weight acts on keys and values.
    pub embeds_scaling: EmbedsScaling,
    /// Number type of the stored keys and values: f32, f16 or bf16.
    pub dtype: DType,
    /// Whose way of placing masks is followed.
    pub mask_mode: MaskMode,
    /// How an identity's attention joins the layer's output.
    pub injection: Injection,
    /// Number of further tokens with zero keys and values that take part in each softmax: the more, the weaker the
    /// identity where the layer's queries do not ask for it. PuLID calls them `NUM_ZERO`. They need no memory. At most
    /// [`MOST_ZERO_TOKENS`](Self::MOST_ZERO_TOKENS).
    pub zero_tokens: usize,
    /// InstantX's FLUX adapter: whether its values are normalised like its keys. The authors' code does not do so, some
    /// ComfyUI nodes do. Other adapters refuse it.
    pub normalise_values: bool,
    /// The denoising timesteps, 0 to 1000, to compute keys and values for, where they depend on it: SD3.5. Either one,
    /// and a conditioning for each step, or all of the schedule. Injection takes those of the step's sigma, which is a
    /// thousandth of the timestep.
    ///
    /// For SD3.5 Large one timestep takes 47 MB for each side of guidance in f32, and both sides 0.8 s on two cores,
    /// where the injection into its layers at 1024 × 1024 takes 44 s. So a conditioning for each step costs little time
    /// and the least memory; a table of 28 timesteps fills 2.6 GB.
    pub timesteps: Vec<f32>,
    /// Share of the second token set of adapters that have two (WithAnyone's `siglip_weight`), 0 to 1; the first one has
    /// the rest. `None`: both count in full, as the reference code has it by default. Without effect on other adapters.
    pub siglip_weight: Option<f32>,
}

impl ConditioningOptions {
    /// Most [`zero_tokens`](Self::zero_tokens).
    pub const MOST_ZERO_TOKENS: usize = 1 << 16;
    /// Most [`timesteps`](Self::timesteps): those of training.
    pub const MOST_TIMESTEPS: usize = 1000;

    /// The default options with PuLID's zero tokens and injection. PuLID's own weight is 0.8.
    #[must_use]
    pub fn pulid(mode: PulidMode) -> Self {
        let (zero_tokens, injection) = match mode {
            PulidMode::Fidelity => (8, Injection::OrthogonalV2),
            PulidMode::Style => (16, Injection::Orthogonal),
            PulidMode::Neutral => (0, Injection::Add),
        };
        Self::default().with_zero_tokens(zero_tokens).with_injection(injection)
    }

    /// Factor of a token set by its number, of `sets`.
    pub(super) fn set_factor(&self, number: usize, sets: usize) -> f32 {
        match self.siglip_weight {
            Some(weight) if sets == 2 && number == 0 => 1.0 - weight,
            Some(weight) if sets == 2 => weight,
            _ => 1.0,
        }
    }
}

impl Default for ConditioningOptions {
    fn default() -> Self {
        Self {
            weight_type: WeightType::Linear,
            composition_scale: None,
            style_boost: None,
            composition_boost: None,
            layer_scales: None,
            embeds_scaling: EmbedsScaling::ValuesOnly,
            dtype: DType::F32,
            mask_mode: MaskMode::ComfyUi,
            injection: Injection::Add,
            zero_tokens: 0,
            normalise_values: false,
            timesteps: Vec::new(),
            siglip_weight: None,
        }
    }
}

setters!(IdentityInput<'a> {
    with_unconditional: unconditional = option &'a Tensor,
    with_composition: composition = option &'a Tensor,
    with_scale: scale = plain f32,
    with_mask: mask = option Mask,
    with_steps: steps = plain StepRange,
    with_timesteps: timesteps = plain &'a [TimestepTokens],
});

setters!(ConditioningOptions {
    with_weight_type: weight_type = plain WeightType,
    with_composition_scale: composition_scale = option f32,
    with_style_boost: style_boost = option f32,
    with_composition_boost: composition_boost = option f32,
    with_layer_scales: layer_scales = option LayerScales,
    with_embeds_scaling: embeds_scaling = plain EmbedsScaling,
    with_dtype: dtype = plain DType,
    with_mask_mode: mask_mode = plain MaskMode,
    with_injection: injection = plain Injection,
    with_zero_tokens: zero_tokens = plain usize,
    with_normalise_values: normalise_values = plain bool,
    with_timesteps: timesteps = into Vec<f32>,
    with_siglip_weight: siglip_weight = option f32,
});
