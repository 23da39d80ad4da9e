//! Which face recognition network an identity encoder was trained with, and whether an embedding comes from it.

use super::{EncodeOptions, Engine};
use crate::encoder::{EncoderInput, FaceInput};
use crate::error::{Error, Result};
use crate::face_embedding::{EmbeddingForm, FaceArchitecture, FaceEmbedding, FaceNetwork};
use crate::photo::Photo;
use crate::remedy;

/// The published network of an architecture that adapters were trained with, and the pack that it comes in.
const PUBLISHED: [(FaceArchitecture, &str, &str); 3] = [
    (
        FaceArchitecture::IResNet { layers: 50 },
        "w600k_r50",
        "insightface's buffalo_l",
    ),
    (
        FaceArchitecture::IResNet { layers: 100 },
        "glintr100",
        "insightface's antelopev2",
    ),
    (FaceArchitecture::IrSe50, "recognition_arcface_ir_se50", "facexlib"),
];

/// How near to 1 the length of an embedding is that was normalised, whatever its caller says.
const NORMALISED: f32 = 1e-3;

/// The face embedding that an engine's identity encoder reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct FaceNeed {
    /// What the encoder says.
    pub(super) input: FaceInput,
    /// Values of the network's own embedding.
    pub(super) dimension: usize,
}

impl FaceNeed {
    /// The network as people know it: `IResNet-50 (w600k_r50 of insightface's buffalo_l)`.
    pub(super) fn network(&self) -> String {
        let network = self.input.network;
        match PUBLISHED.iter().find(|(known, ..)| *known == network) {
            Some((_, name, pack)) => format!("{network} ({name} of {pack})"),
            None => network.to_string(),
        }
    }

    /// Whether the network that `tag` names may be the one that the encoder was trained with: architectures must be the
    /// same, and a name that is given must not be that of another network.
    fn fits(&self, architecture: Option<FaceArchitecture>, tag: &str) -> bool {
        let tag = tag.to_ascii_lowercase();
        // Apache-2.0 weights of glintr100's architecture and file name; their space is another one.
        architecture == Some(self.input.network) && !tag.contains("auraface")
    }

    /// Fails unless `network` is what the encoder `title` was trained with.
    pub(super) fn check_network(&self, network: &FaceNetwork, title: &str) -> Result<()> {
        if !self.fits(Some(network.architecture), &network.name) {
            return Err(Error::mismatch(format!(
                "the face recogniser is {network}, but {title} was trained with {}",
                self.network()
            ))
            .with_remedy(remedy::FACE_NETWORK));
        }
        if network.dimension != self.dimension {
            return Err(Error::mismatch(format!(
                "the face recogniser {network} gives {} values, {title} reads {}",
                network.dimension, self.dimension
            )));
        }
        Ok(())
    }

    /// Fails unless `embedding` is what the encoder `title` reads.
    pub(super) fn check(&self, embedding: &FaceEmbedding, title: &str) -> Result<()> {
        if !self.fits(embedding.architecture(), embedding.network()) {
            let network = match embedding.network() {
                "" => "an unknown network",
                network => network,
            };
            return Err(Error::mismatch(format!(
                "the face embedding is by {network}, but {title} was trained with {}",
                self.network()
            ))
            .with_remedy(remedy::FACE_NETWORK));
        }
        if embedding.dimension() != self.dimension {
            return Err(Error::mismatch(format!(
                "the face embedding has {} values, {title} reads {}",
                embedding.dimension(),
                self.dimension
            )));
        }
        if self.input.form == EmbeddingForm::Raw && embedding.form() == EmbeddingForm::Normalised {
            return Err(Error::mismatch(format!(
                "the face embedding is normalised, but {title} was trained on raw ones, whose length counts"
            ))
            .with_remedy(remedy::RAW_EMBEDDING));
        }
        // No network gives a length of 1; normalised vectors that are handed in as raw ones have it.
        if self.input.form == EmbeddingForm::Raw && (embedding.norm() - 1.0).abs() < NORMALISED {
            return Err(Error::mismatch(format!(
                "the face embedding is called raw, but has length {:.4}, as normalised ones have, and {title} was trained \
                 on raw ones, whose length counts (about 10 to 30)",
                embedding.norm()
            ))
            .with_remedy(remedy::RAW_EMBEDDING));
        }
        Ok(())
    }
}

impl Engine {
    /// The face recognition network that the model was trained with, as people know it; `None` if it reads no face
    /// embedding.
    pub fn face_network(&self) -> Option<String> {
        self.inner.face.as_ref().map(FaceNeed::network)
    }

    /// Values of the face embedding that the model reads; 0 if it reads none.
    pub fn face_dimension(&self) -> usize {
        self.inner.face.as_ref().map_or(0, |need| need.dimension)
    }

    /// What people call the model.
    pub(super) fn title(&self) -> &'static str {
        self.inner.info.kind.title()
    }

    /// Whether the identity encoder reads an image encoder.
    pub(super) fn reads_image(&self) -> bool {
        self.inner.encoder.input() != EncoderInput::Nothing
    }

    /// The embedding that a photo brings, checked.
    pub(super) fn given_embedding(&self, photo: &Photo<'_>) -> Result<Option<FaceEmbedding>> {
        let Some(embedding) = photo.embedding.as_deref() else {
            return Ok(None);
        };
        match (&self.inner.face, &self.inner.recogniser) {
            (Some(need), _) => need.check(embedding, self.title())?,
            // For comparisons.
            (None, Some(recogniser)) if embedding.architecture() == Some(recogniser.network().architecture) => {}
            (None, Some(recogniser)) => {
                return Err(Error::mismatch(format!(
                    "the face embedding is by {}, the engine's face recogniser is {}",
                    embedding.network(),
                    recogniser.network()
                ))
                .with_remedy(remedy::FACE_NETWORK))
            }
            (None, None) => {
                return Err(Error::invalid(format!(
                    "a face embedding has no effect on {}, which reads photos",
                    self.title()
                )))
            }
        }
        Ok(Some(embedding.clone()))
    }

    /// Fails for a face mask that nobody looks at.
    pub(super) fn check_face_mask(&self, photo: &Photo<'_>, options: &EncodeOptions) -> Result<()> {
        if photo.face_mask.is_none() {
            return Ok(());
        }
        if self.inner.encoder.input() != EncoderInput::HiddenStates {
            return Err(Error::invalid(format!(
                "a face mask has no effect on {}: only PuLID sees faces without background",
                self.title()
            )));
        }
        match options.crop {
            Some(mode) => Err(Error::invalid(format!(
                "a face mask has no effect with crop mode {mode}: only the model's own crop is without background"
            ))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn embeddings_of_other_networks_are_refused() {
        let need = FaceNeed {
            input: FaceInput {
                dimension: 4,
                form: EmbeddingForm::Raw,
                network: FaceArchitecture::IResNet { layers: 100 },
            },
            dimension: 4,
        };
        let embedding =
            |network: &str, form, values: &[f32]| FaceEmbedding::new(network, form, values.to_vec()).unwrap();
        let raw = |network: &str| embedding(network, EmbeddingForm::Raw, &[1.0, 2.0, 3.0, 4.0]);
        for network in ["antelopev2", "glintr100", "IResNet-100", "IResNet-100 (glintr100)"] {
            need.check(&raw(network), "InstantID").unwrap();
        }
        for network in ["buffalo_l", "sface", "auraface", "IResNet-100 (AuraFace v1)", ""] {
            let error = need.check(&raw(network), "InstantID").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Mismatch);
            let text = error.to_string();
            assert!(
                text.contains("InstantID") && text.contains("glintr100 of insightface's antelopev2"),
                "{text}"
            );
        }
        let normalised = embedding("glintr100", EmbeddingForm::Normalised, &[0.5; 4]);
        assert!(need
            .check(&normalised, "InstantID")
            .unwrap_err()
            .message()
            .contains("raw"));
        let called_raw = embedding("glintr100", EmbeddingForm::Raw, &[0.5; 4]);
        let error = need.check(&called_raw, "InstantID").unwrap_err();
        assert!(error.message().contains("called raw, but has length 1.0000"), "{error}");
        let short = embedding("glintr100", EmbeddingForm::Raw, &[0.5; 3]);
        assert!(need
            .check(&short, "InstantID")
            .unwrap_err()
            .message()
            .contains("3 values"));
    }
}
