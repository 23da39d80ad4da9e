//! The forms of face embeddings.

use omniid::recogniser::EmbeddingForm;
use omniid::{Error, Result};

/// As the network gives it (`embedding` of insightface): its length counts.
pub const OMNIID_EMBEDDING_FORM_RAW: i32 = 0;
/// Divided by its length (`normed_embedding` of insightface).
pub const OMNIID_EMBEDDING_FORM_NORMALISED: i32 = 1;

/// The form of an embedding from its number.
pub(crate) fn form(number: i32) -> Result<EmbeddingForm> {
    match number {
        OMNIID_EMBEDDING_FORM_RAW => Ok(EmbeddingForm::Raw),
        OMNIID_EMBEDDING_FORM_NORMALISED => Ok(EmbeddingForm::Normalised),
        other => Err(Error::invalid(format!(
            "embedding_form: {other}, expected 0 (raw) or 1 (normalised)"
        ))),
    }
}

/// The number of an embedding's form.
pub(crate) fn form_number(form: EmbeddingForm) -> i32 {
    match form {
        EmbeddingForm::Raw => OMNIID_EMBEDDING_FORM_RAW,
        _ => OMNIID_EMBEDDING_FORM_NORMALISED,
    }
}
