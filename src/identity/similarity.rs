//! How alike two identities are.

use super::Identity;
use crate::error::{Error, Result};

/// Cosine similarity of two identities of one model, −1 to 1.
///
/// Tokens of several photos are averaged per position first (only IP-Adapter checkpoints have more than one
/// group), then `mean` (`[tokens, width]`, the model's average identity) is subtracted when the model has one,
/// then the flattened tokens are compared. The subtraction matters: what all faces share would otherwise dominate.
///
/// # Errors
/// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the two were made by different models or have
/// different shapes.
pub fn cosine(a: &Identity, b: &Identity, mean: Option<&[f32]>) -> Result<f32> {
    b.check_model(&a.provenance.model)
        .map_err(|error| error.context("comparing two identities"))?;
    let (first, second) = (pooled(a), pooled(b));
    if first.len() != second.len() {
        return Err(Error::mismatch(format!(
            "comparing two identities: {} and {} values per photo",
            first.len(),
            second.len()
        )));
    }
    if let Some(mean) = mean.filter(|mean| mean.len() != first.len()) {
        return Err(Error::mismatch(format!(
            "comparing two identities: {} values, the model's mean identity has {}",
            first.len(),
            mean.len()
        )));
    }
    let centre = |index: usize| mean.map_or(0.0, |mean| f64::from(mean[index]));
    let (mut dot, mut norm_a, mut norm_b) = (0f64, 0f64, 0f64);
    for (index, (x, y)) in first.iter().zip(&second).enumerate() {
        let (x, y) = (x - centre(index), y - centre(index));
        dot += x * y;
        norm_a += x * x;
        norm_b += y * y;
    }
    // A zero vector has no direction; it is like nothing, itself included.
    let norm = (norm_a * norm_b).sqrt();
    Ok(if norm > 0.0 {
        (dot / norm).clamp(-1.0, 1.0) as f32
    } else {
        0.0
    })
}

/// Tokens averaged over the photos' groups, `[tokens per photo × width]`.
fn pooled(identity: &Identity) -> Vec<f64> {
    let groups = if identity.kind.is_fixed_size() {
        1
    } else {
        identity.provenance.photos
    };
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
        Identity::new(
            kind,
            [values.len() / 2, 2],
            values.to_vec(),
            Vec::new(),
            provenance,
        )
        .unwrap()
    }

    #[test]
    fn closed_forms() {
        let a = identity(EncoderKind::OmniId, 1, &[1.0, 0.0, 0.0, 0.0]);
        let b = identity(EncoderKind::OmniId, 1, &[1.0, 1.0, 0.0, 0.0]);
        assert_eq!(cosine(&a, &a, None).unwrap(), 1.0);
        assert!((cosine(&a, &b, None).unwrap() - std::f32::consts::FRAC_1_SQRT_2).abs() < 1e-7);
        // Centred on (1, 0.5, 0, 0) the two differ by their second value only and point opposite ways.
        assert_eq!(cosine(&a, &b, Some(&[1.0, 0.5, 0.0, 0.0])).unwrap(), -1.0);
    }

    #[test]
    fn photo_groups_are_averaged() {
        let one = identity(EncoderKind::Resampler, 1, &[1.0, 2.0, 3.0, 4.0]);
        let two = identity(
            EncoderKind::Resampler,
            2,
            &[0.0, 2.0, 3.0, 5.0, 2.0, 2.0, 3.0, 3.0],
        );
        assert!((cosine(&one, &two, None).unwrap() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn other_models_are_refused() {
        let a = identity(EncoderKind::OmniId, 1, &[1.0, 0.0]);
        let mut b = a.clone();
        b.provenance.model = "n".into();
        let error = cosine(&a, &b, None).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Mismatch);
        assert!(error.message().contains("\"\" was made by model n") && error.message().contains("model m"));
    }
}
