//! Fingerprints of models that read face embeddings.
//!
//! | hexadecimal digits | part |
//! |---|---|
//! | 16 | identity encoder |
//! | 6 | image encoder; zeros without one |
//! | 2 | sizes and variant of the encoder, which its tensors do not say |
//! | 8 | face recogniser; zeros when the host brings the embeddings |
//!
//! Identities whose embeddings the host brought go with any recogniser, and those of a recogniser with an engine without
//! one: whoever opened it knows where the embeddings come from. Identities of two recognisers do not mix.

use crate::checkpoint::Checkpoint;
use crate::encoder::EncoderConfig;
use crate::error::{Error, Result};
use crate::recogniser::RecogniserConfig;

/// Digits of everything but the recogniser.
const MODEL: usize = 24;

/// No recogniser.
const NONE: &str = "00000000";

/// The fingerprint of a model that reads face embeddings, without a recogniser.
pub(super) fn of_faces(encoder: &Checkpoint, config: &EncoderConfig, backbone: Option<&Checkpoint>) -> Result<String> {
    let backbone = match backbone {
        Some(backbone) => backbone.fingerprint(&[])?[..6].to_string(),
        None => "0".repeat(6),
    };
    let text = serde_json::to_string(config).map_err(|error| Error::internal(format!("configuration: {error}")))?;
    // FNV-1a, folded to a byte: it only has to differ between the variants of one set of tensors.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let byte = hash.to_le_bytes().into_iter().fold(0, |all, byte| all ^ byte);
    Ok(format!(
        "{}{backbone}{byte:02x}{NONE}",
        &encoder.fingerprint(&[])?[..16]
    ))
}

/// The same with a recogniser, if there is one.
pub(super) fn with(model: &str, recogniser: Option<&(RecogniserConfig, Checkpoint)>) -> String {
    match recogniser {
        Some((config, _)) => with_recogniser(model, &config.fingerprint),
        None => model.to_string(),
    }
}

fn with_recogniser(model: &str, recogniser: &str) -> String {
    match (model.get(..MODEL), recogniser.get(..NONE.len())) {
        (Some(model), Some(recogniser)) => format!("{model}{recogniser}"),
        _ => model.to_string(),
    }
}

/// The fingerprint under which an identity made by model `identity` is known to the model `engine`, both reading face
/// embeddings: equal up to the recogniser, of which one has none.
pub(super) fn agree(identity: &str, engine: &str) -> bool {
    let parts = |text: &str| Some((text.get(..MODEL)?.to_string(), text.get(MODEL..)?.to_string()));
    match (parts(identity), parts(engine)) {
        (Some((model, recogniser)), Some((own_model, own))) => {
            model == own_model && (recogniser == own || recogniser == NONE || own == NONE)
        }
        _ => identity == engine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recogniser_may_be_missing() {
        let model = format!("{}{NONE}", "a".repeat(MODEL));
        let first = with_recogniser(&model, "1111222233334444");
        let second = with_recogniser(&model, "5555222233334444");
        assert_eq!(first, format!("{}11112222", "a".repeat(MODEL)));
        assert!(agree(&model, &first) && agree(&first, &model) && agree(&first, &first));
        assert!(!agree(&first, &second));
        assert!(!agree(&first, &"b".repeat(32)) && !agree("", &first));
    }
}
