//! Which tensor of a model makes its output unusable.

use super::encode::to_host;
use super::load::Backbone;
use super::Engine;
use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::remedy;
use candle_core::{DType, Device};

impl Engine {
    /// The error for identity tokens that are no numbers. Photos cannot make them so, only weights can: all of them are
    /// read again to name the tensor.
    pub(super) fn unusable_output(&self, reason: &Error) -> Error {
        let backbone = self.inner.backbone.as_ref().map(Backbone::checkpoint);
        let parts = [
            ("identity encoder", Some(&self.inner.encoder_source)),
            ("image encoder", backbone),
        ];
        let found = parts.into_iter().find_map(|(part, checkpoint)| {
            let checkpoint = checkpoint?;
            Some((part, checkpoint, not_finite(checkpoint)?))
        });
        let text = match found {
            Some((part, checkpoint, tensor)) => format!(
                "{}: {part}: tensor {tensor} has values that are not finite, so all that the model makes is unusable",
                checkpoint.label()
            ),
            None => format!("the model's output is unusable, are its weights intact? {reason}"),
        };
        Error::format(text).with_remedy(remedy::DAMAGED_WEIGHTS)
    }
}

/// The first tensor with a value that is no finite number, in quotes.
fn not_finite(checkpoint: &Checkpoint) -> Option<String> {
    let is_damaged = |name: &str| {
        let values = checkpoint.tensor(name, DType::F32, &Device::Cpu);
        let values = values.and_then(|tensor| to_host(&tensor));
        values.is_ok_and(|values| values.iter().any(|value| !value.is_finite()))
    };
    let name = checkpoint.names().find(|name| is_damaged(name))?;
    Some(checkpoint.quoted(name))
}
