//! How alike two identities are.

use super::Identity;
use crate::error::{Error, Result};

/// Where the identities of one model are compared.
///
/// Tokens as they are say little by their cosine: it is governed by what all faces share, and by what changes most from
/// photo to photo, such as light and the colour of the hair. So a model may bring its mean identity, which is
/// subtracted, and directions in which people differ more than the photos of one person do (linear discriminant
/// analysis of the training people's tokens), onto which the rest is projected. [`SimilaritySpace::default`] has
/// neither.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SimilaritySpace {
    mean: Option<Vec<f32>>,
    directions: usize,
    projection: Vec<f32>,
}

impl SimilaritySpace {
    /// The space with mean `mean` (`[values]`) and `directions` directions `projection` (`[directions, values]`, flat;
    /// empty for none). `values` are those of one group of tokens, `tokens · width`.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when sizes do not belong together,
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) for values that are not finite.
    pub fn new(mean: Option<Vec<f32>>, directions: usize, projection: Vec<f32>) -> Result<Self> {
        let space = Self {
            mean,
            directions,
            projection,
        };
        let values = space.values().unwrap_or(0);
        let expected = directions.checked_mul(values);
        if expected != Some(space.projection.len()) || (directions > 0 && values == 0) {
            return Err(Error::mismatch(format!(
                "similarity projection of {} values, expected {directions} directions of {values}, at least 1",
                space.projection.len()
            )));
        }
        let mut all = space.mean.iter().flatten().chain(&space.projection);
        if let Some(value) = all.find(|value| !value.is_finite()) {
            return Err(Error::format(format!(
                "comparing identities: the model's mean identity or its projection holds {value}"
            )));
        }
        Ok(space)
    }

    /// The mean identity.
    pub fn mean(&self) -> Option<&[f32]> {
        self.mean.as_deref()
    }

    /// The directions, `[directions, values]`, one after another; empty for none.
    pub fn projection(&self) -> &[f32] {
        &self.projection
    }

    /// Number of directions; 0 if values are compared as they are.
    pub fn directions(&self) -> usize {
        self.directions
    }

    /// The unit vector of an identity, or zeros if it has no direction: [directions](Self::directions) values, or those
    /// of its tokens without directions. Dot products of two such vectors are their [similarity](cosine): what an index
    /// of many people stores.
    ///
    /// Tokens of several photos are averaged per position first; only IP-Adapter checkpoints have more than one group.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the identity has another shape.
    pub fn embed(&self, identity: &Identity) -> Result<Vec<f32>> {
        let vector = self.direction(pooled(identity))?;
        Ok(vector.into_iter().map(|value| value as f32).collect())
    }

    /// Values of a group of tokens, if the space knows.
    fn values(&self) -> Option<usize> {
        let mean = self.mean.as_ref().map(Vec::len);
        mean.or_else(|| self.projection.len().checked_div(self.directions))
    }

    /// [`SimilaritySpace::embed`] for one group of tokens, `values`.
    pub(crate) fn embed_values(&self, values: &[f32]) -> Result<Vec<f32>> {
        let vector = self.direction(values.iter().copied().map(f64::from).collect())?;
        Ok(vector.into_iter().map(|value| value as f32).collect())
    }

    fn direction(&self, mut values: Vec<f64>) -> Result<Vec<f64>> {
        if let Some(expected) = self.values().filter(|expected| *expected != values.len()) {
            return Err(Error::mismatch(format!(
                "comparing identities: {} values, the model compares {expected}",
                values.len()
            )));
        }
        for (value, mean) in values.iter_mut().zip(self.mean.iter().flatten()) {
            *value -= f64::from(*mean);
        }
        if self.directions > 0 {
            let project = |direction: &[f32]| direction.iter().zip(&values).map(|(d, v)| f64::from(*d) * v).sum();
            values = self.projection.chunks_exact(values.len()).map(project).collect();
        }
        let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
        // A zero vector has no direction; it is like nothing, itself included. Everything is finite: tokens are checked
        // when an identity is made, mean and projection above, and single precision cannot overflow a double here.
        if norm > 0.0 {
            values.iter_mut().for_each(|value| *value /= norm);
        }
        Ok(values)
    }
}

/// Cosine similarity of two identities of one model in `space`, −1 to 1.
///
/// # Errors
/// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the two were made by different models or have
/// different shapes.
pub fn cosine(a: &Identity, b: &Identity, space: &SimilaritySpace) -> Result<f32> {
    b.check_model(&a.provenance.model)
        .map_err(|error| error.context("comparing two identities"))?;
    let (first, second) = (space.direction(pooled(a))?, space.direction(pooled(b))?);
    if first.len() != second.len() {
        return Err(Error::mismatch(format!(
            "comparing two identities: {} and {} values per photo",
            first.len(),
            second.len()
        )));
    }
    let dot: f64 = first.iter().zip(&second).map(|(x, y)| x * y).sum();
    Ok(dot.clamp(-1.0, 1.0) as f32)
}

/// Tokens averaged over the photos' groups, `[tokens per photo × width]`.
fn pooled(identity: &Identity) -> Vec<f64> {
    let groups = identity.groups();
    let size = identity.values.len() / groups;
    let mut sum = vec![0f64; size];
    for group in identity.values.chunks_exact(size) {
        for (total, value) in sum.iter_mut().zip(group) {
            *total += f64::from(*value);
        }
    }
    sum.iter_mut().for_each(|total| *total /= groups as f64);
    sum
}

#[cfg(test)]
mod tests {
    use super::super::Provenance;
    use super::*;
    use crate::encoder::EncoderKind;

    fn identity(kind: EncoderKind, photos: usize, values: &[f32]) -> Identity {
        let provenance = Provenance {
            model: "m".into(),
            photos,
            ..Provenance::default()
        };
        Identity::new(kind, [values.len() / 2, 2], values.to_vec(), Vec::new(), provenance).unwrap()
    }

    #[test]
    fn closed_forms() {
        let a = identity(EncoderKind::OmniId, 1, &[1.0, 0.0, 0.0, 0.0]);
        let b = identity(EncoderKind::OmniId, 1, &[1.0, 1.0, 0.0, 0.0]);
        let plain = SimilaritySpace::default();
        assert_eq!(cosine(&a, &a, &plain).unwrap(), 1.0);
        assert!((cosine(&a, &b, &plain).unwrap() - std::f32::consts::FRAC_1_SQRT_2).abs() < 1e-7);
        // Centred on (1, 0.5, 0, 0) the two differ by their second value only and point opposite ways.
        let mean = vec![1.0, 0.5, 0.0, 0.0];
        let centred = SimilaritySpace::new(Some(mean.clone()), 0, Vec::new()).unwrap();
        assert_eq!(cosine(&a, &b, &centred).unwrap(), -1.0);
        assert_eq!(centred.mean(), Some(mean.as_slice()));
    }

    #[test]
    fn a_projection_decides_what_counts() {
        let a = identity(EncoderKind::OmniId, 1, &[3.0, 7.0, 1.0, 0.0]);
        let b = identity(EncoderKind::OmniId, 1, &[4.0, -7.0, 2.0, 0.0]);
        let mean = Some(vec![0.0, 0.0, 1.0, 0.0]);
        // The first value alone, then the first and twice the third: (3, 0) and (4, 2).
        let first = SimilaritySpace::new(mean.clone(), 1, vec![1.0, 0.0, 0.0, 0.0]).unwrap();
        assert_eq!(cosine(&a, &b, &first).unwrap(), 1.0);
        let two = vec![1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0];
        let two = SimilaritySpace::new(mean, 2, two).unwrap();
        let expected = 12.0 / (3.0 * 20f32.sqrt());
        assert!((cosine(&a, &b, &two).unwrap() - expected).abs() < 1e-6);
        let embedded = two.embed(&b).unwrap();
        assert!((embedded[0] - 4.0 / 20f32.sqrt()).abs() < 1e-6 && (embedded[1] - 2.0 / 20f32.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn spaces_of_another_model_are_refused() {
        let a = identity(EncoderKind::OmniId, 1, &[3.0, 7.0, 1.0, 0.0]);
        let wide = SimilaritySpace::new(None, 1, vec![1.0; 6]).unwrap();
        let other = SimilaritySpace::new(Some(vec![0.0; 3]), 0, Vec::new()).unwrap();
        for space in [wide, other] {
            let error = cosine(&a, &a, &space).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Mismatch);
            assert!(error.message().contains("4 values"), "{}", error.message());
        }
        assert!(SimilaritySpace::new(Some(vec![0.0; 3]), 1, vec![1.0; 4]).is_err());
        assert!(SimilaritySpace::new(None, 3, vec![1.0; 4]).is_err());
        assert!(SimilaritySpace::new(None, 0, vec![1.0; 4]).is_err());
        assert!(SimilaritySpace::new(None, 3, Vec::new()).is_err());
        assert!(SimilaritySpace::new(Some(vec![0.0; 4]), 1 << 62, Vec::new()).is_err());
        for value in [f32::NAN, f32::INFINITY] {
            assert!(SimilaritySpace::new(Some(vec![0.0, value]), 0, Vec::new()).is_err());
            assert!(SimilaritySpace::new(None, 1, vec![value, 0.0]).is_err());
        }
    }

    #[test]
    fn an_identity_without_direction_is_like_nothing() {
        let a = identity(EncoderKind::OmniId, 1, &[3.0, 7.0]);
        let space = SimilaritySpace::new(Some(vec![3.0, 7.0]), 0, Vec::new()).unwrap();
        assert_eq!(cosine(&a, &a, &space).unwrap(), 0.0);
    }

    #[test]
    fn photo_groups_are_averaged() {
        let one = identity(EncoderKind::Resampler, 1, &[1.0, 2.0, 3.0, 4.0]);
        let two = identity(EncoderKind::Resampler, 2, &[0.0, 2.0, 3.0, 5.0, 2.0, 2.0, 3.0, 3.0]);
        assert!((cosine(&one, &two, &SimilaritySpace::default()).unwrap() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn other_models_are_refused() {
        let a = identity(EncoderKind::OmniId, 1, &[1.0, 0.0]);
        let mut b = a.clone();
        b.provenance.model = "n".into();
        let error = cosine(&a, &b, &SimilaritySpace::default()).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Mismatch);
        let text = error.message();
        assert!(text.contains("(it has no label) was made by model n"), "{text}");
        assert!(text.contains("this engine holds model m"), "{text}");
    }
}
