//! What a checkpoint says about its adapter.

use super::{Adapter, AdapterSpelling, ResidualLayout};
use crate::error::{Error, Result};
use crate::host::{BlockKind, HostLayer, HostSpec, LayerShape};
use crate::tensor_file::Shapes;

/// What a checkpoint says about its adapter: spelling, shapes, biases, token projection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterLayout {
    /// How the tensors are called.
    pub spelling: AdapterSpelling,
    /// Whether `to_k` and `to_v` have biases.
    pub bias: bool,
    /// Width of the identity tokens that the adapter's own projection takes; `None` when the tokens are context
    /// tokens already.
    pub token_width: Option<usize>,
    /// Shapes of the layers, by ascending number.
    pub shapes: Vec<LayerShape>,
    /// Whether keys pass a normalisation without weights, per head, as in InstantX' adapter for FLUX. The shapes do not
    /// say it; a host with single blocks and an adapter without biases imply it ([`normalises_keys`](Self::normalises_keys)).
    pub key_norm: bool,
    /// What layers that add to the residual stream need besides; `None` for layers inside the host's attention.
    pub residual: Option<ResidualLayout>,
    /// Width of the embedding of the denoising timestep, for layers that depend on it and attend to the image's keys
    /// together with the identity's (SD3.5); `None` for all others.
    pub joint: Option<usize>,
}

impl AdapterLayout {
    /// The layout that a native adapter for `host` has, for a new adapter that is going to be trained. One of the residual
    /// stream takes the tokens as they are.
    pub fn native(host: &HostSpec, token_width: usize) -> Self {
        if let Some(hidden) = host.layers().first().and_then(|layer| layer.hidden) {
            let residual = ResidualLayout {
                hidden,
                token_sets: Vec::new(),
            };
            return Self {
                residual: Some(residual),
                ..Self::of_host(host, AdapterSpelling::Native)
            };
        }
        Self {
            token_width: Some(token_width),
            ..Self::of_host(host, AdapterSpelling::Native)
        }
    }

    /// The layers of `host`, without biases and token projection.
    fn of_host(host: &HostSpec, spelling: AdapterSpelling) -> Self {
        let shape = |(place, layer): (usize, &HostLayer)| LayerShape {
            key: spelling.number_of(place, layer),
            inner: layer.inner,
            context: layer.context,
        };
        Self {
            spelling,
            bias: false,
            token_width: None,
            shapes: host.layers().iter().enumerate().map(shape).collect(),
            key_norm: false,
            residual: None,
            joint: None,
        }
    }

    /// Whether keys pass a normalisation without weights, per head: what the layout says, and so it is for every adapter
    /// without biases that hooks the single blocks of a transformer, of which InstantX' is the only published one.
    pub fn normalises_keys(&self, host: &HostSpec) -> bool {
        let single = || host.layers().iter().any(|layer| layer.kind == BlockKind::Single);
        self.residual.is_none() && (self.key_norm || (!self.bias && self.token_width.is_none() && single()))
    }

    /// Reads the layout off a checkpoint's tensor names and shapes; `None` when there is no adapter in it.
    ///
    /// # Errors
    /// [`Format`](crate::ErrorKind::Format) when keys and values, weights and biases, or layers do not fit together.
    pub fn infer(shapes: impl Into<Shapes>) -> Result<Option<Self>> {
        let found = shapes.into();
        let spelling = AdapterSpelling::ALL
            .into_iter()
            .find(|spelling| found.iter().any(|(name, _)| spelling.number(name).is_some()));
        let Some(spelling) = spelling else {
            return Ok(ResidualLayout::infer(&found)?.map(|(spelling, residual, shapes)| Self {
                spelling,
                bias: false,
                token_width: None,
                shapes,
                key_norm: false,
                residual: Some(residual),
                joint: None,
            }));
        };
        let mut shapes = Vec::new();
        let mut biased = 0;
        for (name, dims) in found.iter() {
            let Some(number) = spelling.number(name) else {
                continue;
            };
            let &[inner, context] = dims else {
                return Err(Error::format(format!("{name} has shape {dims:?}, not two dimensions")));
            };
            let value = format!("{}.weight", spelling.prefix(number, 'v'));
            match found.get(&value) {
                Some(other) if other == dims => {}
                Some(other) => {
                    return Err(Error::format(format!(
                        "{value} has shape {other:?}, {name} has {dims:?}"
                    )))
                }
                None => return Err(Error::format(format!("{name} is there, but {value} is missing"))),
            }
            biased += usize::from(found.has(&format!("{}.bias", spelling.prefix(number, 'k'))));
            shapes.push(LayerShape {
                key: number,
                inner,
                context,
            });
        }
        if biased != 0 && biased != shapes.len() {
            return Err(Error::format(format!(
                "{biased} of {} adapter layers have a bias; all or none must",
                shapes.len()
            )));
        }
        shapes.sort_by_key(|shape| shape.key);
        let modulation = |number| format!("{}.norm_ip.linear.weight", spelling.layer(None, number));
        let joint = match shapes.first() {
            Some(first) if found.has(&modulation(first.key)) => Some(found.dims::<2>(&modulation(first.key))?[1]),
            _ => None,
        };
        let has_projection = spelling == AdapterSpelling::Native && found.any_begins("adapter.proj.");
        let token_width = match has_projection {
            true => Some(found.dims::<2>("adapter.proj.0.weight")?[1]),
            false => None,
        };
        Ok(Some(Self {
            spelling,
            bias: biased != 0,
            token_width,
            shapes,
            key_norm: false,
            residual: None,
            joint,
        }))
    }

    /// Names of all the adapter's tensors, each with the name that it has in another spelling.
    ///
    /// # Errors
    /// [`Mismatch`](crate::ErrorKind::Mismatch) when the adapter is not for `host`.
    pub fn renamed(&self, host: &HostSpec, to: AdapterSpelling) -> Result<Vec<(String, String)>> {
        let other = Self {
            bias: self.bias,
            token_width: self.token_width,
            key_norm: self.key_norm,
            residual: self.residual.clone(),
            joint: self.joint,
            ..Self::of_host(host, to)
        };
        let names = |layout: &Self| -> Result<Vec<String>> {
            let tensors = Adapter::tensors(layout, host)?.into_iter();
            Ok(tensors.map(|spec| spec.name).collect())
        };
        Ok(names(self)?.into_iter().zip(names(&other)?).collect())
    }

    /// The built-in host that this adapter was made for, if it is one.
    pub fn host(&self) -> Option<HostSpec> {
        HostSpec::built_in()
            .into_iter()
            .find(|host| self.check_host(host).is_ok())
    }

    /// Checks that the adapter has exactly the layers that `host` needs.
    ///
    /// # Errors
    /// [`Mismatch`](crate::ErrorKind::Mismatch) naming the layer, the expected and the found shape.
    pub fn check_host(&self, host: &HostSpec) -> Result<()> {
        for layer in host.layers() {
            let found = self.residual.as_ref().map(|residual| residual.hidden);
            // A table that was handed in may leave the width of the hidden state to the checkpoint.
            let fits = match (layer.hidden, found) {
                (Some(wanted), found) => found == Some(wanted),
                (None, _) => true,
            };
            if !fits {
                return Err(Error::mismatch(format!(
                    "host {:?}, layer {:?}: expected a layer for a hidden state of width {:?}, found {found:?}",
                    host.name(),
                    layer.name,
                    layer.hidden
                )));
            }
        }
        if self.spelling != AdapterSpelling::Native {
            return host.check_shapes(&self.shapes);
        }
        let rekey = |shape: &LayerShape| LayerShape {
            key: host
                .layers()
                .get(shape.key)
                .map_or(usize::MAX - shape.key, |layer| layer.key),
            ..*shape
        };
        host.check_shapes(&self.shapes.iter().map(rekey).collect::<Vec<_>>())
    }
}
