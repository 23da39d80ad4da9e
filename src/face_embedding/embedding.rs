//! A face embedding and what is known about it.

use super::network::FaceArchitecture;
use crate::error::{Error, Result};
use crate::remedy;

/// Whether an embedding still has the length that the network gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EmbeddingForm {
    /// As the network computes it (`embedding` of insightface). Its length tells how clear the face is.
    Raw,
    /// Scaled to length 1 (`normed_embedding` of insightface).
    Normalised,
}

impl std::fmt::Display for EmbeddingForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Normalised => "normalised",
        })
    }
}

/// How far from 1 the length of an embedding that is called normalised may be.
const LENGTH_TOLERANCE: f64 = 1e-3;

/// The embedding of one face by one network. Immutable; may be used from any number of threads at once.
#[derive(Debug, Clone, PartialEq)]
pub struct FaceEmbedding {
    network: String,
    form: EmbeddingForm,
    values: Vec<f32>,
}

impl FaceEmbedding {
    /// Most values of an embedding; published networks have 128 to 1024.
    pub const MOST_VALUES: usize = 1 << 16;

    /// An embedding that somebody else computed.
    ///
    /// `network` names the network: the text of a [`FaceNetwork`](super::FaceNetwork), or a name that
    /// [`FaceArchitecture`] reads, such as `buffalo_l`. Another text is kept, and fits no adapter that asks for a
    /// certain network.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for no values or more than 65536, values that are not
    /// finite, zeros throughout, and a normalised embedding whose length is not 1 within 0.001.
    pub fn new(network: impl Into<String>, form: EmbeddingForm, values: Vec<f32>) -> Result<Self> {
        if values.is_empty() || values.len() > Self::MOST_VALUES {
            return Err(Error::invalid(format!(
                "a face embedding of {} values, expected 1 to {}",
                values.len(),
                Self::MOST_VALUES
            )));
        }
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::invalid(format!(
                "value {at} of the face embedding is {}, expected a finite number",
                values[at]
            )));
        }
        let length = length(&values);
        if length == 0.0 {
            return Err(Error::invalid(
                "the face embedding is zero: it has no direction to compare or to project",
            ));
        }
        if form == EmbeddingForm::Normalised && (length - 1.0).abs() > LENGTH_TOLERANCE {
            return Err(Error::invalid(format!(
                "a normalised face embedding of length {length:.4}, expected 1"
            )));
        }
        Ok(Self {
            network: network.into(),
            form,
            values,
        })
    }

    /// The network's tag: the text of its [`FaceNetwork`](super::FaceNetwork), or what the caller named.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// The network's kind, if the tag says it.
    pub fn architecture(&self) -> Option<FaceArchitecture> {
        self.network.parse().ok()
    }

    /// Whether [`FaceEmbedding::values`] have the length that the network gave them.
    pub fn form(&self) -> EmbeddingForm {
        self.form
    }

    /// The values as they were handed in: `[dimension]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Number of values.
    pub fn dimension(&self) -> usize {
        self.values.len()
    }

    /// Euclidean length of the values.
    pub fn norm(&self) -> f32 {
        length(&self.values) as f32
    }

    /// The values as the network computed them: `[dimension]`.
    ///
    /// # Errors
    /// [`Mismatch`](crate::ErrorKind::Mismatch) when only the normalised form is known.
    pub fn raw(&self) -> Result<&[f32]> {
        match self.form {
            EmbeddingForm::Raw => Ok(&self.values),
            EmbeddingForm::Normalised => Err(Error::mismatch(format!(
                "the embedding of {} is normalised, but the raw one is needed",
                self.network
            ))
            .with_remedy(remedy::RAW_EMBEDDING)),
        }
    }

    /// The values scaled to length 1: `[dimension]`.
    pub fn normalised(&self) -> Vec<f32> {
        match self.form {
            EmbeddingForm::Normalised => self.values.clone(),
            EmbeddingForm::Raw => {
                let length = length(&self.values);
                self.values
                    .iter()
                    .map(|&value| (f64::from(value) / length) as f32)
                    .collect()
            }
        }
    }

    /// Cosine of the angle between two embeddings of one network, −1 to 1. Their forms do not matter.
    ///
    /// # Errors
    /// [`Mismatch`](crate::ErrorKind::Mismatch) for embeddings of different networks or dimensions, naming both.
    pub fn similarity(&self, other: &Self) -> Result<f32> {
        if self.network != other.network || self.dimension() != other.dimension() {
            return Err(Error::mismatch(format!(
                "an embedding of {} values by {} cannot be compared with one of {} values by {}",
                self.dimension(),
                self.network,
                other.dimension(),
                other.network
            ))
            .with_remedy(remedy::SAME_FACE_NETWORK));
        }
        let dot: f64 = self
            .values
            .iter()
            .zip(&other.values)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum();
        Ok((dot / (length(&self.values) * length(&other.values))).clamp(-1.0, 1.0) as f32)
    }
}

fn length(values: &[f32]) -> f64 {
    values
        .iter()
        .map(|&value| f64::from(value) * f64::from(value))
        .sum::<f64>()
        .sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn forms_and_similarity() {
        let raw = FaceEmbedding::new("buffalo_l", EmbeddingForm::Raw, vec![3.0, 0.0, -4.0]).unwrap();
        assert_eq!(raw.raw().unwrap(), [3.0, 0.0, -4.0]);
        assert_eq!(raw.normalised(), [0.6, 0.0, -0.8]);
        assert_eq!(raw.norm(), 5.0);
        assert_eq!(raw.architecture(), Some(FaceArchitecture::IResNet { layers: 50 }));
        let unit = FaceEmbedding::new("buffalo_l", EmbeddingForm::Normalised, vec![0.0, 0.6, 0.8]).unwrap();
        assert_eq!(unit.normalised(), unit.values());
        assert_eq!(unit.raw().unwrap_err().kind(), ErrorKind::Mismatch);
        assert!((raw.similarity(&unit).unwrap() + 0.64).abs() < 1e-6);
        let other = FaceEmbedding::new("glintr100", EmbeddingForm::Raw, vec![1.0; 3]).unwrap();
        let error = raw.similarity(&other).unwrap_err().to_string();
        assert!(error.contains("buffalo_l") && error.contains("glintr100"), "{error}");
    }

    #[test]
    fn what_is_no_embedding_is_refused() {
        for (form, values) in [
            (EmbeddingForm::Raw, vec![]),
            (EmbeddingForm::Raw, vec![0.0; 4]),
            (EmbeddingForm::Raw, vec![1.0, f32::NAN]),
            (EmbeddingForm::Raw, vec![1.0; FaceEmbedding::MOST_VALUES + 1]),
            (EmbeddingForm::Normalised, vec![3.0, 4.0]),
        ] {
            let error = FaceEmbedding::new("sface", form, values).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
    }
}
