//! How an identity's attention joins the layer's output, and PuLID's three ways of using it.

/// How an identity's attention *ip* joins the layer's output *h*, the text attention that is in the host's memory
/// before the call. *s* is the product of weight, mask and the call's scale.
///
/// The orthogonal modes take that part of the identity out that points the way of the host's own output:
/// *proj* = (Σ h·ip) / (Σ h·h) · h, where the sums go over all image tokens of a batch row, one pair for each channel.
/// A channel in which h is zero everywhere has no direction: *proj* is zero there (the reference gives NaN). A mask
/// weighs what is added; the sums go over the image tokens outside of it too. With several identities, each one is
/// projected on what the one before it has left.
///
/// Source: PuLID (Guo et al. 2024, arXiv 2404.16022), `pulid/attention_processor.py`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(i32)]
#[non_exhaustive]
pub enum Injection {
    /// h + s · ip
    #[default]
    Add = 0,
    /// h + s · (ip − proj): `ORTHO` of PuLID.
    Orthogonal = 1,
    /// h + s · (ip + (a − 1) · proj): `ORTHO_v2` of PuLID. *a* tells for each image token how much it looks at the
    /// identity's first [`ATTENTION_TOKENS`](Self::ATTENTION_TOKENS) tokens: their share of softmax(q Kᵀ), without the
    /// factor 1/√head_dim, as the mean over the heads; zero tokens count as the last tokens. PuLID's first tokens come
    /// from the face embedding. (PuLID's node for ComfyUI takes the heads as one and the mean over the image
    /// tokens instead; this is the authors' version.)
    OrthogonalV2 = 2,
}

impl Injection {
    /// Number of tokens, from the first on, whose attention gives *a* in [`OrthogonalV2`](Self::OrthogonalV2).
    pub const ATTENTION_TOKENS: usize = 5;

    /// Every mode, in the order of the numbers.
    pub const ALL: [Self; 3] = [Self::Add, Self::Orthogonal, Self::OrthogonalV2];

    /// The mode with this number.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| *mode as i32 == number)
    }

    /// The mode's name in messages and programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Orthogonal => "orthogonal",
            Self::OrthogonalV2 => "orthogonal v2",
        }
    }
}

/// PuLID's published combinations of zero tokens and [`Injection`], by the names in its ComfyUI node; for
/// [`ConditioningOptions::pulid`](super::ConditioningOptions::pulid).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(i32)]
#[non_exhaustive]
pub enum PulidMode {
    /// 8 zero tokens, orthogonal v2: most like the person.
    #[default]
    Fidelity = 0,
    /// 16 zero tokens, orthogonal: most like the picture without the identity.
    Style = 1,
    /// No zero tokens, added as it is.
    Neutral = 2,
}
