//! UNets that diffusers has saved with an IP-Adapter loaded: the adapter's tensors are among the UNet's.
//!
//! Source: diffusers 0.42, `loaders/unet.py`, which renames what it loads.

use crate::error::{Error, Result};
use crate::remedy;
use crate::tensor_file::Checkpoint;

/// What stands before the names of what makes tokens, of the first adapter.
const FIRST: &str = "encoder_hid_proj.image_projection_layers.0.";

/// The same of a second adapter.
const SECOND: &str = "encoder_hid_proj.image_projection_layers.1.";

/// The name without that of the UNet in a pipeline.
fn bare(name: &str) -> &str {
    name.strip_prefix("unet.").unwrap_or(name)
}

/// The checkpoint with the projection under the names of IP-Adapter's own files, if diffusers has saved one in a UNet.
///
/// # Errors
/// [`Unsupported`](crate::ErrorKind::Unsupported) for several adapters, and for those with a Resampler, whose keys and
/// values diffusers has taken apart.
pub(super) fn with_own_names(checkpoint: Checkpoint) -> Result<Checkpoint> {
    let begins = |prefix: &str| checkpoint.names().any(|name| bare(name).starts_with(prefix));
    if !begins(FIRST) {
        return Ok(checkpoint);
    }
    if begins(SECOND) {
        return Err(Error::unsupported(format!(
            "{}: the UNet was saved with several IP-Adapters",
            checkpoint.label()
        ))
        .with_remedy(remedy::ONE_MODEL));
    }
    let rows = |part: &str| {
        let name = checkpoint
            .names()
            .find(|name| bare(name).strip_prefix(FIRST) == Some(part))?;
        checkpoint.shape(name)?.first().copied()
    };
    if rows("latents").is_some() {
        return Err(Error::unsupported(format!(
            "{}: the UNet was saved with an IP-Adapter whose Resampler diffusers has taken apart; only the adapter's own \
             file can be read",
            checkpoint.label()
        )));
    }
    // FaceID makes several tokens of its last layer's values, full-face normalises them as one.
    let full_face = rows("ff.net.2.weight") == rows("norm.weight");
    checkpoint.renamed(|name| {
        let Some(rest) = bare(name).strip_prefix(FIRST) else {
            return Some(name.to_string());
        };
        let renamed = [
            ("image_embeds.", "proj."),
            ("ff.net.0.proj.", "proj.0."),
            ("ff.net.2.", "proj.2."),
            ("norm.", if full_face { "proj.3." } else { "norm." }),
        ];
        let known = renamed
            .iter()
            .find_map(|(found, own)| Some(format!("{own}{}", rest.strip_prefix(found)?)));
        Some(format!("image_proj.{}", known.as_deref().unwrap_or(rest)))
    })
}
