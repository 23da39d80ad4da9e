//! A summary of a checkpoint, as text and as data.

use super::kind::{recognise, CheckpointKind};
use super::licence::Licence;
use super::model::{title, Model};
use super::Checkpoint;
use crate::encoder::Variant;
use crate::error::{Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// What a checkpoint is and how large. Printed line by line by its [`fmt::Display`], serialised for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Description {
    /// The file, if there is one.
    pub path: Option<String>,
    /// Name of the container.
    pub container: &'static str,
    /// Number of files: more than 1 for a model in shards.
    pub files: usize,
    /// What stands before the names of the model's tensors and was taken off, such as `module.`; empty for most files.
    pub prefix: String,
    /// Number of tensors in the file that are not part of the model: a text encoder beside the image encoder, the rest
    /// of a UNet, the state of an optimiser.
    pub left_out: usize,
    /// What it is: a display name.
    pub name: String,
    /// What it is, with sizes; `None` when it is not supported.
    pub kind: Option<CheckpointKind>,
    /// Why it is not supported.
    pub problem: Option<String>,
    /// Which published identity adapter it is and what that needs; `None` for anything else.
    pub model: Option<Model>,
    /// Number of tensors.
    pub tensors: usize,
    /// Number of floating-point elements.
    pub parameters: u64,
    /// Bytes of all tensors.
    pub bytes: u64,
    /// Number of elements by element type (`F32`, `F16`, …).
    pub elements: BTreeMap<&'static str, u64>,
    /// See [`Checkpoint::fingerprint`], over all tensors.
    pub fingerprint: String,
    /// Text metadata of the file.
    pub metadata: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Summarises the checkpoint. An unsupported family is described too, with the reason.
    ///
    /// # Errors
    /// `Io` when the file cannot be read any more.
    pub fn describe(&self) -> Result<Description> {
        self.describe_as(None)
    }

    /// [`Checkpoint::describe`]; `chosen` says which of two published models with the same tensors it is.
    ///
    /// # Errors
    /// `Io` when the file cannot be read any more; `Mismatch` when the tensors are not those of the chosen variant.
    pub fn describe_as(&self, chosen: Option<Variant>) -> Result<Description> {
        let model = match (Model::of(self, chosen), chosen) {
            (Ok(None), Some(variant)) => {
                return Err(Error::mismatch(format!(
                    "{}: the variant {:?} is asked for, but the file is no identity adapter",
                    self.label(),
                    variant.name()
                )))
            }
            (Err(error), Some(_)) => return Err(error),
            (model, _) => model.unwrap_or(None),
        };
        let (kind, problem) = match recognise(self) {
            Ok(kind) => (Some(kind), None),
            Err(error) => (None, Some(error.message().to_string())),
        };
        // The part of the file that an engine would use.
        let view = match &kind {
            Some(CheckpointKind::IpAdapter { .. } | CheckpointKind::XlabsFlux { .. }) => {
                const OWN: [&str; 5] = ["image_proj.", "ip_adapter.", "pulid_ca.", "ipa_arc.", "ipa_sig."];
                let own = |name: &str| OWN.iter().any(|begin| name.starts_with(begin));
                self.adapter_view()?
                    .renamed(|name| own(name).then(|| name.to_string()))?
            }
            Some(CheckpointKind::ClipVision { .. } | CheckpointKind::ImageEncoder { .. }) => self.vision_view()?,
            _ => self.clone(),
        };
        let used = view.origins();
        Ok(Description {
            path: self.path().map(|path| path.display().to_string()),
            container: self.container().name(),
            files: self.file_count(),
            prefix: view.prefix().to_string(),
            left_out: self.tensor_count_of_files().saturating_sub(used),
            name: title(kind.as_ref(), model.as_ref()),
            kind,
            problem,
            model,
            tensors: self.len(),
            parameters: self.parameter_count(),
            bytes: self.byte_count(),
            elements: self.element_counts(),
            fingerprint: self.fingerprint(&[])?,
            metadata: self.metadata().clone(),
        })
    }
}

impl Description {
    /// The sizes of the kind as pairs of title and text.
    fn sizes(&self) -> Vec<(&'static str, String)> {
        let layers_of = |layers: &Vec<usize>| match (layers.first(), layers.last()) {
            (Some(first), Some(last)) => format!("{} (indices {first} to {last})", layers.len()),
            _ => "none".to_string(),
        };
        match &self.kind {
            Some(
                CheckpointKind::IpAdapter {
                    projection,
                    host,
                    layers,
                    context,
                }
                | CheckpointKind::XlabsFlux {
                    projection,
                    host,
                    layers,
                    context,
                },
            ) => {
                let mut sizes = vec![("host", host.title().to_string()), ("layers", layers_of(layers))];
                sizes.push(("context width", context.to_string()));
                sizes.extend(projection.details());
                sizes
            }
            Some(CheckpointKind::ClipVision {
                naming,
                hidden,
                layers,
                patch,
                tokens,
                projection,
            }) => vision_sizes(naming.name(), [*hidden, *layers, *patch, *tokens], *projection),
            Some(CheckpointKind::ImageEncoder {
                naming,
                hidden,
                layers,
                patch,
                tokens,
                projection,
                ..
            }) => vision_sizes(naming.name(), [*hidden, *layers, *patch, *tokens], *projection),
            Some(CheckpointKind::Lora(lora)) => vec![
                ("names", lora.naming.name().to_string()),
                ("host", lora.host.title().to_string()),
                ("layers", format!("{} linear layers", lora.layers)),
                ("rank", lora.rank.map_or("differs".to_string(), |rank| rank.to_string())),
            ],
            _ => Vec::new(),
        }
    }
}

/// The sizes of an image encoder: width, layers, patch and tokens, and the width of its image embedding.
fn vision_sizes(
    naming: &str,
    [hidden, layers, patch, tokens]: [usize; 4],
    projection: Option<usize>,
) -> Vec<(&'static str, String)> {
    let projection = projection.map_or("none".to_string(), |width| width.to_string());
    vec![
        ("names", naming.to_string()),
        ("width", hidden.to_string()),
        ("layers", layers.to_string()),
        ("patch", format!("{patch} pixels")),
        ("tokens", tokens.to_string()),
        ("projection", projection),
    ]
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        if let Some(path) = &self.path {
            lines.push(("file", path.clone()));
        }
        lines.push(("kind", self.name.clone()));
        if let Some(problem) = &self.problem {
            lines.push(("reason", problem.clone()));
        }
        if let Some(model) = &self.model {
            lines.extend(model.details());
        }
        if let Some(CheckpointKind::Lora(lora)) = &self.kind {
            if lora.like_face_id {
                let Licence { name, repository, .. } = Licence::FACE_ID_LORA;
                lines.push((
                    "licence",
                    format!("{name} ({repository}), if it is the LoRA of a FaceID"),
                ));
            }
        }
        lines.push(match self.files {
            1 => ("container", self.container.to_string()),
            files => ("container", format!("{} in {files} files", self.container)),
        });
        if !self.prefix.is_empty() {
            lines.push(("taken off", format!("{:?}, which stands before the names", self.prefix)));
        }
        if self.left_out > 0 {
            lines.push(("left out", format!("{} tensors that are not part of it", self.left_out)));
        }
        // What the published model needs is said already.
        let said = |title: &str| lines.iter().any(|(other, _)| *other == title);
        let sizes: Vec<_> = self.sizes().into_iter().filter(|(title, _)| !said(title)).collect();
        lines.extend(sizes);
        let types = self.elements.iter().map(|(name, count)| format!("{name} {count}"));
        lines.push(("elements", types.collect::<Vec<_>>().join(", ")));
        lines.push(("tensors", self.tensors.to_string()));
        lines.push(("parameters", self.parameters.to_string()));
        lines.push(("size", format!("{:.1} MB", self.bytes as f64 / 1e6)));
        lines.push(("fingerprint", self.fingerprint.clone()));
        for (title, text) in lines {
            writeln!(f, "{title:<15} {text}")?;
        }
        for (key, value) in &self.metadata {
            // Long values, such as a configuration, are shown from their begin.
            let shown: String = value.chars().take(100).collect();
            let more = if shown.len() < value.len() { "…" } else { "" };
            writeln!(f, "{:<15} {shown}{more}", format!("[{key}]"))?;
        }
        Ok(())
    }
}
