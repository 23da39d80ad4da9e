//! Several photos combined before the identity encoder sees them.

use crate::error::Result;
use candle_core::Tensor;

/// How several photos of one person go into encoders that read each photo by itself; models that read all photos together
/// (Omni-ID, PuLID v1.1 and for FLUX, Portrait-unnorm) refuse all but the first. The names and formulas are those of
/// `combine_embeds` in ComfyUI_IPAdapter_plus.
///
/// All ways but [`Concatenate`](Self::Concatenate) make one photo of all: features of the image encoder and face
/// embeddings, in the form that the encoder reads, are combined value by value, and the identity has the tokens of one
/// photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Combine {
    /// The tokens of each photo, one after the other; encoders that read all photos together do that.
    #[default]
    Concatenate,
    /// The mean of the photos.
    Average,
    /// The mean of the photos, each value divided by its norm over the photos.
    NormAverage,
    /// The sum of the photos.
    Add,
    /// The first photo less the mean of the others.
    Subtract,
    /// The largest of each value.
    Max,
    /// The smallest of each value.
    Min,
}

impl Combine {
    /// All ways, in the order of their numbers in the C ABI.
    pub const ALL: [Self; 7] = [
        Self::Concatenate,
        Self::Average,
        Self::NormAverage,
        Self::Add,
        Self::Subtract,
        Self::Max,
        Self::Min,
    ];

    /// The name in options and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Concatenate => "concatenate",
            Self::Average => "average",
            Self::NormAverage => "norm-average",
            Self::Add => "add",
            Self::Subtract => "subtract",
            Self::Max => "max",
            Self::Min => "min",
        }
    }

    /// The way of a name in options and files.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|combine| combine.name() == name)
    }

    /// Makes one of tensors of one shape. One alone stays as it is, whatever the way, and
    /// [`Concatenate`](Self::Concatenate) takes the first.
    pub(crate) fn apply(self, photos: &[Tensor]) -> Result<Tensor> {
        if photos.len() == 1 || self == Self::Concatenate {
            return Ok(photos[0].clone());
        }
        let all = Tensor::stack(photos, 0)?;
        Ok(match self {
            Self::Concatenate | Self::Average => all.mean(0)?,
            Self::NormAverage => {
                let norm = all.sqr()?.sum_keepdim(0)?.sqrt()?;
                // A value that is 0 in every photo has norm 0 and stays 0.
                let norm = (&norm + norm.eq(0f32)?.to_dtype(norm.dtype())?)?;
                all.broadcast_div(&norm)?.mean(0)?
            }
            Self::Add => all.sum(0)?,
            Self::Subtract => (&photos[0] - all.narrow(0, 1, photos.len() - 1)?.mean(0)?)?,
            Self::Max => all.max(0)?,
            Self::Min => all.min(0)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn formulas() {
        let photo = |values: [f32; 3]| Tensor::new(&values, &Device::Cpu).unwrap();
        let photos = [photo([3.0, 0.0, -1.0]), photo([4.0, 0.0, 2.0]), photo([0.0, 0.0, 5.0])];
        let of = |combine: Combine, count: usize| combine.apply(&photos[..count]).unwrap().to_vec1::<f32>().unwrap();
        let third = (-1.0 / 5f32.sqrt() + 2.0 / 5f32.sqrt()) / 2.0;
        for (combine, count, expected) in [
            (Combine::Average, 3, [7.0 / 3.0, 0.0, 2.0]),
            (Combine::NormAverage, 2, [0.7, 0.0, third]),
            (Combine::Add, 3, [7.0, 0.0, 6.0]),
            (Combine::Subtract, 3, [1.0, 0.0, -4.5]),
            (Combine::Max, 3, [4.0, 0.0, 5.0]),
            (Combine::Min, 3, [0.0, 0.0, -1.0]),
        ] {
            for (got, expected) in of(combine, count).into_iter().zip(expected) {
                assert!((got - expected).abs() < 1e-6, "{combine:?}: {got}, expected {expected}");
            }
        }
        for combine in Combine::ALL {
            assert_eq!(of(combine, 1), [3.0, 0.0, -1.0]);
            assert_eq!(Combine::from_name(combine.name()), Some(combine));
        }
    }
}
