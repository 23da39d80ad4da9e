//! Whether a graph and a conditioning belong together.

use super::{Graph, GraphForm, GraphHost};
use crate::conditioning::{Conditioning, Injection};
use crate::error::{Error, Result};
use crate::host::HostFamily;

/// Refuses conditionings that do something else in a layer than the graph does.
pub(super) fn check_formula(graph: &Graph, conditioning: &Conditioning) -> Result<()> {
    let host = conditioning.host();
    if let Some(family) = graph.host().family() {
        // A host's own table has no family; its layers are compared by name and size.
        if host.family() != HostFamily::Other && host.family() != family {
            return Err(Error::mismatch(format!(
                "the graph {:?} is made for host {:?}, the conditioning for host {:?} ({})",
                graph.file_name(),
                graph.host().name(),
                host.name(),
                host.family().title()
            )));
        }
    }
    let layers = format!(
        "a layer of the graph {:?} adds an attention to the identity",
        graph.file_name()
    );
    let joint = conditioning.needs_image_keys();
    let refused = if conditioning.is_residual() {
        format!(
            "the adapter for host {:?} adds to the residual stream; {layers}",
            host.name()
        )
    } else if joint != (graph.host() == GraphHost::Sd3) {
        let [own, other] = match joint {
            true => ["the image and the identity in one softmax", "the identity alone"],
            false => ["the identity alone", "the image and the identity in one softmax"],
        };
        return Err(Error::mismatch(format!(
            "the adapter for host {:?} attends to {own}, the layers of the graph {:?} ({}) to {other}",
            host.name(),
            graph.file_name(),
            graph.host().name()
        )));
    } else if joint && (graph.scale_input().is_none() || graph.form() == GraphForm::Tokens) {
        format!(
            "the graph {:?} attends to the image and the identity in one softmax, but does not take keys, values and \
             scales",
            graph.file_name()
        )
    } else if conditioning.injection() != Injection::Add {
        format!(
            "{} injection looks at the host's own output; {layers}",
            conditioning.injection().name()
        )
    } else if graph.form() == GraphForm::Tokens && conditioning.zero_tokens() > 0 {
        format!(
            "{} zero tokens, which a graph that takes tokens cannot be given",
            conditioning.zero_tokens()
        )
    } else {
        return Ok(());
    };
    Err(Error::unsupported(refused))
}

/// The layer of the host for every entry.
pub(super) fn places(graph: &Graph, conditioning: &Conditioning) -> Result<Vec<usize>> {
    let host = conditioning.host();
    let size = |heads: usize, head_dim: usize| format!("[rows, {heads}, tokens, {head_dim}]");
    let mut seen = vec![false; host.layer_count()];
    let mut places = Vec::with_capacity(graph.layers().len());
    for entry in graph.layers() {
        let takes = size(entry.heads, entry.head_dim);
        let Some(layer) = host.find_layer(&entry.name) else {
            let first = host.layer(0)?;
            return Err(Error::mismatch(format!(
                "layer {:?}: the graph {:?} takes {takes} there, host {:?} of the conditioning has no such layer; its \
                 first one is {:?} with {}",
                entry.name,
                graph.file_name(),
                host.name(),
                first.name,
                size(first.heads, first.head_dim)
            )));
        };
        let own = host.layer(layer)?;
        if (own.heads, own.head_dim) != (entry.heads, entry.head_dim) {
            return Err(Error::mismatch(format!(
                "layer {:?}: the graph {:?} takes {takes}, the conditioning for host {:?} has {}",
                entry.name,
                graph.file_name(),
                host.name(),
                size(own.heads, own.head_dim)
            )));
        }
        if std::mem::replace(&mut seen[layer], true) {
            return Err(Error::mismatch(format!(
                "layer {:?}: the graph {:?} lists layer {:?} of host {:?} twice",
                entry.name,
                graph.file_name(),
                own.name,
                host.name()
            )));
        }
        places.push(layer);
    }
    for (layer, _) in seen.into_iter().enumerate().filter(|(_, seen)| !seen) {
        let own = host.layer(layer)?;
        let mut identities = conditioning.identities().iter();
        if identities.any(|identity| identity.layers.get(layer).is_some_and(Option::is_some)) {
            return Err(Error::mismatch(format!(
                "layer {:?}: the conditioning for host {:?} has {} there, the graph {:?} has no inputs for it",
                own.name,
                host.name(),
                size(own.heads, own.head_dim),
                graph.file_name()
            )));
        }
    }
    Ok(places)
}
