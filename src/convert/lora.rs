//! The LoRA of a checkpoint as a file that other programs load.

use super::native::Converted;
use crate::adapter::AdapterLayout;
use crate::checkpoint::{recognise, Checkpoint, CheckpointKind};
use crate::engine::{EngineOptions, HostConfig, NativeConfig};
use crate::error::{Error, Result};
use crate::host::HostSpec;
use crate::lora::{Lora, LoraFormat};
use crate::precision::Precision;
use crate::progress::{report, ProgressFn, Stage};
use std::path::Path;

/// Writes the LoRA inside a checkpoint (IP-Adapter FaceID, or a native file made of one) as a safetensors file that the
/// host loads at strength 1. Of `source` the checkpoint, its limits and the host play a part; image encoder and face
/// recogniser need not be given. `precision` of `None` keeps each tensor's type.
///
/// # Errors
/// [`Unsupported`](crate::ErrorKind::Unsupported) for a checkpoint without a LoRA;
/// [`Mismatch`](crate::ErrorKind::Mismatch) when its host is not known; [`Io`](crate::ErrorKind::Io). After an error
/// there is no new file.
pub fn to_lora(
    source: &EngineOptions,
    format: LoraFormat,
    precision: Option<Precision>,
    output: impl AsRef<Path>,
) -> Result<Converted> {
    to_lora_with_progress(source, format, precision, output, &mut crate::progress::ignore)
}

/// [`to_lora`], with a callback that is told about each written tensor and can cancel between two.
///
/// # Errors
/// As [`to_lora`]; [`Cancelled`](crate::ErrorKind::Cancelled).
pub fn to_lora_with_progress(
    source: &EngineOptions,
    format: LoraFormat,
    precision: Option<Precision>,
    output: impl AsRef<Path>,
    progress: ProgressFn<'_>,
) -> Result<Converted> {
    let checkpoint = Checkpoint::open(source.checkpoint.clone(), &source.limits)?;
    let (checkpoint, host) = with_host(&checkpoint, source.host.as_ref())?;
    let refuse = |what: &str| Err(Error::unsupported(format!("{}: {what}", checkpoint.label())));
    let Some(host) = host else {
        return Err(Error::mismatch(format!(
            "{}: the adapter is for an unknown host, and the names in a LoRA file are those of a host's layers",
            checkpoint.label()
        ))
        .with_remedy(crate::remedy::HOST_TABLE));
    };
    let Some(lora) = Lora::find(&checkpoint, &host)? else {
        return refuse("there is no LoRA in the checkpoint; IP-Adapter FaceID, Plus and PlusV2 files have one");
    };
    let writer = lora.plan(format, precision)?;
    let count = writer.count();
    report(progress, Stage::Save, 0, count)?;
    writer.save(output.as_ref(), |done, total| {
        report(progress, Stage::Save, done, total)
    })?;
    Ok(Converted {
        fingerprint: checkpoint.fingerprint(&[])?,
        tensors: count,
        bytes: writer.size() as u64,
        adapter: false,
        detector: false,
        recogniser: false,
        lora: true,
    })
}

/// The checkpoint under the names that a LoRA is found by, and its host.
fn with_host(checkpoint: &Checkpoint, given: Option<&HostSpec>) -> Result<(Checkpoint, Option<HostSpec>)> {
    match recognise(checkpoint)? {
        CheckpointKind::Native => {
            let own = NativeConfig::from_metadata(checkpoint.metadata())?.host;
            let own = own.as_ref().map(HostConfig::resolve).transpose()?;
            Ok((checkpoint.clone(), given.cloned().or(own)))
        }
        CheckpointKind::IpAdapter { .. } => {
            let view = checkpoint.adapter_view()?;
            let own = match AdapterLayout::infer(&view)? {
                Some(layout) => match layout.host() {
                    Some(host) => Some(host),
                    None => of_other_width(&layout)?,
                },
                None => None,
            };
            Ok((view, given.cloned().or(own)))
        }
        other => Err(Error::mismatch(format!(
            "{}: expected a checkpoint with a LoRA, such as an IP-Adapter FaceID, found: {}",
            checkpoint.label(),
            other.name()
        ))),
    }
}

/// The table of a built-in UNet whose layers are those of the adapter in all but their width. Names are all that a LoRA
/// file needs of it.
fn of_other_width(layout: &AdapterLayout) -> Result<Option<HostSpec>> {
    let found = || layout.shapes.iter().map(|shape| (shape.key, shape.context));
    let same = |host: &HostSpec| host.layers().iter().map(|layer| (layer.key, layer.context)).eq(found());
    let Some(host) = [HostSpec::sd15(), HostSpec::sdxl()].into_iter().find(same) else {
        return Ok(None);
    };
    let mut layers = host.layers().to_vec();
    for (layer, shape) in layers.iter_mut().zip(&layout.shapes) {
        (layer.inner, layer.heads, layer.head_dim) = (shape.inner, 1, shape.inner);
    }
    HostSpec::from_layers(host.name(), host.family(), layers).map(Some)
}
