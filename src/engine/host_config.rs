//! A host's layer table as JSON, inside a native checkpoint's configuration.

use crate::error::{Error, Result};
use crate::host::{BlockKind, HookAddress, HostFamily, HostLayer, HostSpec};
use serde::{Deserialize, Serialize};

/// A host: a built-in one by name, or a table of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HostConfig {
    /// A built-in host: `sd15`, `sdxl`, `flux` and the other names of [`HostSpec::built_in`].
    Named(String),
    /// Every layer written out.
    Table(HostTable),
}

/// A host's own layer table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostTable {
    /// What its maker calls it.
    pub name: String,
    /// `sd15`, `sdxl`, `flux`, `sd35` or `other`: what the layers mean to weight types.
    pub family: String,
    /// The layers in the adapter's order.
    pub layers: Vec<LayerConfig>,
}

/// One layer of a [`HostTable`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerConfig {
    /// The host's name of the layer.
    pub name: String,
    /// Its name in the original module tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ldm_name: Option<String>,
    /// ComfyUI's address: block kind, block number, transformer index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<(String, usize, usize)>,
    /// `input`, `middle`, `output`, `double_block`, `single_block` or `other`.
    pub kind: String,
    /// Index in the checkpoint.
    pub key: usize,
    /// Number of attention heads.
    pub heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Width of the tokens that keys and values are projected from.
    pub context: usize,
    /// Width of the image hidden state, for a layer of the residual stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<usize>,
    /// Place in execution order.
    pub execution: usize,
}

const KINDS: [BlockKind; 6] = [
    BlockKind::Input,
    BlockKind::Middle,
    BlockKind::Output,
    BlockKind::Double,
    BlockKind::Single,
    BlockKind::Other,
];

impl From<&HostSpec> for HostConfig {
    fn from(host: &HostSpec) -> Self {
        if HostSpec::named(host.name()).as_ref() == Some(host) {
            return Self::Named(host.name().to_string());
        }
        let layers = host
            .layers()
            .iter()
            .map(|layer| LayerConfig {
                name: layer.name.clone(),
                ldm_name: layer.ldm_name.clone(),
                hook: layer
                    .hook
                    .map(|hook| (hook.kind.name().to_string(), hook.number, hook.index)),
                kind: layer.kind.name().to_string(),
                key: layer.key,
                heads: layer.heads,
                head_dim: layer.head_dim,
                context: layer.context,
                hidden: layer.hidden,
                execution: layer.execution,
            })
            .collect();
        Self::Table(HostTable {
            name: host.name().to_string(),
            family: host.family().name().to_string(),
            layers,
        })
    }
}

impl HostConfig {
    /// The host that this describes.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) for an unknown name, family or block kind, or a table that
    /// [`HostSpec::from_layers`] refuses.
    pub fn resolve(&self) -> Result<HostSpec> {
        match self {
            Self::Named(name) => HostSpec::named(name).ok_or_else(|| {
                let known = HostSpec::built_in().map(|host| host.name().to_string()).join(", ");
                Error::format(format!(
                    "configuration: unknown host {name:?}, expected {known} or a table"
                ))
            }),
            Self::Table(table) => table.resolve(),
        }
    }
}

impl HostTable {
    fn resolve(&self) -> Result<HostSpec> {
        let kind_of = |name: &str| {
            KINDS.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
                Error::format(format!(
                    "host {:?}: unknown block kind {name:?}, expected one of {}",
                    self.name,
                    KINDS.map(BlockKind::name).join(", ")
                ))
            })
        };
        let family = HostFamily::from_name(&self.family).ok_or_else(|| {
            Error::format(format!(
                "host {:?}: unknown family {:?}, expected {}",
                self.name,
                self.family,
                HostFamily::ALL.map(HostFamily::name).join(", ")
            ))
        })?;
        let layers = self
            .layers
            .iter()
            .map(|layer| {
                let hook = match &layer.hook {
                    Some((kind, number, index)) => Some(HookAddress {
                        kind: kind_of(kind)?,
                        number: *number,
                        index: *index,
                    }),
                    None => None,
                };
                Ok(HostLayer {
                    ldm_name: layer.ldm_name.clone(),
                    hook,
                    kind: kind_of(&layer.kind)?,
                    key: layer.key,
                    hidden: layer.hidden,
                    execution: layer.execution,
                    ..HostLayer::new(layer.name.clone(), layer.heads, layer.head_dim, layer.context)
                })
            })
            .collect::<Result<Vec<_>>>()?;
        HostSpec::from_layers(self.name.clone(), family, layers)
            .map_err(|error| Error::format(format!("configuration: {}", error.message())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for host in HostSpec::built_in() {
            let config = HostConfig::from(&host);
            assert_eq!(config, HostConfig::Named(host.name().to_string()));
            assert_eq!(config.resolve().unwrap(), host);
        }
        for known in HostSpec::built_in() {
            let other = HostSpec::from_layers("mine", known.family(), known.layers().to_vec()).unwrap();
            let text = serde_json::to_string(&HostConfig::from(&other)).unwrap();
            let read: HostConfig = serde_json::from_str(&text).unwrap();
            assert_eq!(read.resolve().unwrap(), other);
        }
    }

    #[test]
    fn unknown_names_are_named() {
        let error = HostConfig::Named("sd9".into()).resolve().unwrap_err();
        assert!(error.message().contains("\"sd9\""), "{error}");
    }
}
