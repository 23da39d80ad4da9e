//! How files call the tensors of a LoRA.

use super::{Attention, Projection, Side};
use crate::host::{HostFamily, HostLayer, HostSpec};

/// Name of a tensor in an IP-Adapter FaceID file, whose numbers are those of the UNet's attention processors: the
/// self-attention of a transformer block comes right before its cross-attention. `cross` is the number of the latter.
pub(super) fn face_id(cross: usize, attention: Attention, projection: Projection, side: Side) -> Option<String> {
    let number = match attention {
        Attention::Itself => cross.checked_sub(1)?,
        Attention::Cross => cross,
    };
    let (projection, side) = (projection.name(), side.name());
    Some(format!("ip_adapter.{number}.{projection}_lora.{side}.weight"))
}

/// Name of a tensor in a native checkpoint, by the place of the layer in the host's table.
pub(super) fn native(place: usize, attention: Attention, projection: Projection, side: Side) -> String {
    let (attention, projection, side) = (attention.name(), projection.name(), side.name());
    format!("lora.layers.{place}.{attention}.{projection}.{side}.weight")
}

/// The module that is changed, in the tree of diffusers: `….attn1.to_q`, `….attn2.to_out.0`. `None` when the host's
/// table does not name its layers this way.
pub(super) fn module(layer: &HostLayer, attention: Attention, projection: Projection) -> Option<String> {
    below(&layer.name, attention, projection)
}

/// The same in the original module tree, `input_blocks.4.1.…`.
fn ldm_module(layer: &HostLayer, attention: Attention, projection: Projection) -> Option<String> {
    below(layer.ldm_name.as_deref()?, attention, projection)
}

fn below(cross: &str, attention: Attention, projection: Projection) -> Option<String> {
    let block = cross.strip_suffix(".attn2")?;
    let last = match projection {
        // In both trees a list of a linear layer and a dropout.
        Projection::Out => "to_out.0",
        other => other.name(),
    };
    Some(format!("{block}.{}.{last}", attention.name()))
}

/// Prefix of a module's tensors in a kohya file.
///
/// kohya-ss' tools know SDXL's UNet by the original module tree and all other UNets by that of diffusers. Programs
/// that read these files (ComfyUI, diffusers, WebUI) know both.
pub(super) fn kohya(
    host: &HostSpec,
    layer: &HostLayer,
    attention: Attention,
    projection: Projection,
) -> Option<String> {
    let module = match host.family() {
        HostFamily::Sdxl => ldm_module(layer, attention, projection)?,
        _ => module(layer, attention, projection)?,
    };
    Some(format!("lora_unet_{}", module.replace('.', "_")))
}
