//! A native Omni-ID adapter as an IP-Adapter full-face file.
//!
//! The adapter maps every identity token to the host's context width by Linear, GELU, Linear, LayerNorm and then
//! projects keys and values: exactly the form of `ip-adapter-full-face_sd15`, which unmodified diffusers and ComfyUI
//! load. The identity goes along as precomputed embeddings, see [`Embeddings`](super::Embeddings).

use super::native::Converted;
use crate::adapter::AdapterSpelling;
use crate::checkpoint::{OutputTensor, SafetensorsWriter};
use crate::encoder::EncoderKind;
use crate::engine::{EngineOptions, Parts};
use crate::error::{Error, Result};
use crate::host::{BlockKind, HostSpec};
use crate::precision::Precision;
use crate::progress::{self, report, ProgressFn, Stage};
use std::path::Path;

/// Writes the adapter of a native Omni-ID checkpoint as `image_proj.proj.{0,2,3}` and
/// `ip_adapter.{key}.to_{k,v}_ip.weight`. `precision` of `None` keeps each tensor's type.
///
/// # Errors
/// [`Unsupported`](crate::ErrorKind::Unsupported) for a checkpoint that is not Omni-ID's, has no adapter, has biases,
/// or whose host is no UNet; [`Io`](crate::ErrorKind::Io). After an error
/// there is no new file.
pub fn to_full_face(
    source: &EngineOptions,
    precision: Option<Precision>,
    output: impl AsRef<Path>,
) -> Result<Converted> {
    to_full_face_with_progress(source, precision, output, &mut progress::ignore)
}

/// [`to_full_face`], with a callback that is told about each written tensor and can cancel between two.
///
/// # Errors
/// As [`to_full_face`]; [`Cancelled`](crate::ErrorKind::Cancelled).
pub fn to_full_face_with_progress(
    source: &EngineOptions,
    precision: Option<Precision>,
    output: impl AsRef<Path>,
    progress: ProgressFn<'_>,
) -> Result<Converted> {
    let parts = Parts::find(source)?;
    let refuse = |what: String| Err(Error::unsupported(format!("writing a full-face IP-Adapter: {what}")));
    let kind = parts.encoder_config.kind();
    if kind != EncoderKind::OmniId {
        return refuse(format!(
            "the checkpoint's encoder is {:?}; only Omni-ID's adapter has the full-face form",
            kind.name()
        ));
    }
    let (Some(adapter), Some(host)) = (&parts.adapter, &parts.host) else {
        return refuse("the checkpoint holds no adapter".to_string());
    };
    if !is_unet(host) {
        return refuse(format!(
            "host {:?} is no UNet, and the format exists for UNets only",
            host.name()
        ));
    }
    if adapter.layout.bias {
        return refuse("the adapter's layers have biases, which the format cannot hold".to_string());
    }
    let dtype = precision.map(Precision::stored).transpose()?.map(Precision::dtype);
    let tensors = adapter
        .layout
        .renamed(host, AdapterSpelling::IpAdapter)?
        .into_iter()
        .map(|(found, name)| OutputTensor::from_checkpoint(name, &adapter.checkpoint, &found, dtype))
        .collect::<Result<Vec<_>>>()?;
    // Loaders ask which framework's layout it is; the fingerprint says whose identities fit.
    let metadata = [("format", "pt"), ("omniid.model", &parts.fingerprint)];
    let metadata = metadata.map(|(key, value)| (key.to_string(), value.to_string())).into();
    let count = tensors.len();
    let writer = SafetensorsWriter::new(tensors, &metadata)?;
    report(progress, Stage::Save, 0, count)?;
    writer.save(output.as_ref(), |done, total| {
        report(progress, Stage::Save, done, total)
    })?;
    Ok(Converted {
        fingerprint: parts.fingerprint.clone(),
        tensors: count,
        bytes: writer.size() as u64,
        adapter: true,
        detector: false,
        recogniser: false,
        lora: false,
    })
}

/// Whether all layers sit in the blocks of a UNet.
fn is_unet(host: &HostSpec) -> bool {
    let unet = |kind| matches!(kind, BlockKind::Input | BlockKind::Middle | BlockKind::Output);
    host.layers().iter().all(|layer| unet(layer.kind))
}
