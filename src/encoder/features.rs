//! What an encoder takes from one photo.

use crate::error::{Error, Result};
use crate::face_embedding::EmbeddingForm;
use crate::remedy;
use candle_core::{DType, Tensor};

/// What an encoder takes from one photo: what an image encoder makes of it, a face embedding, or both.
/// [`Interface`](super::EncoderConfig::input) says which of them a kind of encoder reads.
#[derive(Debug, Clone)]
pub struct Features {
    /// `[feature tokens, feature width]` of the image encoder; `[feature width]` or `[1, feature width]` for
    /// [`EncoderInput::ImageEmbeds`](super::EncoderInput::ImageEmbeds).
    pub image: Option<Tensor>,
    /// `[dimension]`: the embedding of a face recognition network.
    pub embedding: Option<Tensor>,
    /// The form of `embedding`. [`Encoder::encode`](super::Encoder::encode) normalises a raw one where the encoder was
    /// trained on normalised ones, so that a network gets what [`FaceInput::form`](super::FaceInput::form) says.
    pub form: EmbeddingForm,
}

impl Default for Features {
    fn default() -> Self {
        Self {
            image: None,
            embedding: None,
            form: EmbeddingForm::Raw,
        }
    }
}

impl Features {
    /// Features of an image encoder alone.
    pub fn of_image(image: Tensor) -> Self {
        Self {
            image: Some(image),
            ..Self::default()
        }
    }

    /// A raw face embedding `[dimension]` alone.
    pub fn of_embedding(embedding: Tensor) -> Self {
        Self {
            embedding: Some(embedding),
            ..Self::default()
        }
    }

    /// The same features with the embedding in another form.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the raw one is asked for and only the normalised one is
    /// there.
    pub fn in_form(mut self, form: EmbeddingForm) -> Result<Self> {
        let Some(embedding) = &self.embedding else {
            return Ok(self);
        };
        match (self.form, form) {
            (EmbeddingForm::Raw, EmbeddingForm::Normalised) => {
                let length = embedding.to_dtype(DType::F32)?.sqr()?.sum_all()?.sqrt()?;
                // "No face" is a zero embedding, which has no direction and stays as it is.
                if length.to_scalar::<f32>()? > 0.0 {
                    let length = length.to_dtype(embedding.dtype())?;
                    self.embedding = Some(embedding.broadcast_div(&length)?);
                }
            }
            (EmbeddingForm::Normalised, EmbeddingForm::Raw) => {
                return Err(Error::mismatch(
                    "the identity encoder reads a raw face embedding, whose length counts, and this one is normalised",
                )
                .with_remedy(remedy::RAW_EMBEDDING))
            }
            _ => {}
        }
        self.form = form;
        Ok(self)
    }

    /// The features of the image encoder.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) when there are none.
    pub fn image(&self) -> Result<&Tensor> {
        self.image
            .as_ref()
            .ok_or_else(|| Error::invalid("the identity encoder reads features of an image encoder, got none"))
    }

    /// The face embedding.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) when there is none.
    pub fn embedding(&self) -> Result<&Tensor> {
        self.embedding
            .as_ref()
            .ok_or_else(|| Error::invalid("the identity encoder reads a face embedding, got none"))
    }
}

impl From<Tensor> for Features {
    fn from(image: Tensor) -> Self {
        Self::of_image(image)
    }
}

/// What a call chooses that is no feature of a photo.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EncodeSettings {
    /// Weight of the image features of FaceID-PlusV2 beside the face embedding (`s_scale`). Default 1.
    pub shortcut_scale: f32,
    /// The denoising timestep, 0 to 1000, for encoders whose tokens depend on it (SD3.5). Default none.
    pub timestep: Option<f32>,
}

impl Default for EncodeSettings {
    fn default() -> Self {
        Self {
            shortcut_scale: 1.0,
            timestep: None,
        }
    }
}
