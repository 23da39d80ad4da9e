//! How checkpoints spell the tensors of an adapter.

use crate::error::{Error, Result};
use crate::host::{HostSpec, LayerShape};
use std::collections::BTreeMap;

/// Which of the known spellings a checkpoint uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AdapterSpelling {
    /// OmniID: `adapter.layers.{place}.to_k.weight`, with the token projection under `adapter.proj.`.
    Native,
    /// IP-Adapter: `ip_adapter.{key}.to_k_ip.weight`. FLUX files in this spelling have biases.
    IpAdapter,
    /// XLabs FLUX: `double_blocks.{key}.processor.ip_adapter_double_stream_k_proj.weight`.
    Xlabs,
}

const SPELLINGS: [AdapterSpelling; 3] = [
    AdapterSpelling::Native,
    AdapterSpelling::IpAdapter,
    AdapterSpelling::Xlabs,
];

/// Prefix of the token projection in a native checkpoint.
pub(super) const NATIVE_PROJECTION: &str = "adapter.proj";

/// Prefix of the token projection in an IP-Adapter full-face file.
const FULL_FACE_PROJECTION: &str = "image_proj.proj";

impl AdapterSpelling {
    /// What stands before and after the layer's number, for keys (`k`) or values (`v`).
    fn parts(self, side: char) -> (&'static str, String) {
        match self {
            Self::Native => ("adapter.layers.", format!(".to_{side}")),
            Self::IpAdapter => ("ip_adapter.", format!(".to_{side}_ip")),
            Self::Xlabs => (
                "double_blocks.",
                format!(".processor.ip_adapter_double_stream_{side}_proj"),
            ),
        }
    }

    /// Prefix of the tensors `weight` and `bias` of layer `number`; `side` is `k` or `v`.
    pub(super) fn prefix(self, number: usize, side: char) -> String {
        let (before, after) = self.parts(side);
        format!("{before}{number}{after}")
    }

    /// The layer number in `name` if it is `{prefix}.{tensor}`.
    fn number(self, name: &str, side: char, tensor: &str) -> Option<usize> {
        let (before, after) = self.parts(side);
        let number = name
            .strip_prefix(before)?
            .strip_suffix(tensor)?
            .strip_suffix('.')?
            .strip_suffix(after.as_str())?;
        // "+1" and "01" are numbers to the parser, but no layer is called that.
        number
            .parse()
            .ok()
            .filter(|value: &usize| value.to_string() == number)
    }
}

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
}

impl AdapterLayout {
    /// The layout that a native adapter for `host` has, for a new adapter that is going to be trained.
    pub fn native(host: &HostSpec, token_width: usize) -> Self {
        let shape = |(key, layer): (usize, &crate::host::HostLayer)| LayerShape {
            key,
            inner: layer.inner,
            context: layer.context,
        };
        Self {
            spelling: AdapterSpelling::Native,
            bias: false,
            token_width: Some(token_width),
            shapes: host.layers().iter().enumerate().map(shape).collect(),
        }
    }

    /// Reads the layout off a checkpoint's tensor names and shapes; `None` when there is no adapter in it.
    ///
    /// # Errors
    /// [`Format`](crate::ErrorKind::Format) when keys and values, weights and biases, or layers do not fit together.
    pub fn infer<'a>(tensors: impl IntoIterator<Item = (&'a str, &'a [usize])>) -> Result<Option<Self>> {
        let tensors: BTreeMap<&str, &[usize]> = tensors.into_iter().collect();
        let found = SPELLINGS.into_iter().find(|spelling| {
            tensors
                .keys()
                .any(|name| spelling.number(name, 'k', "weight").is_some())
        });
        let Some(spelling) = found else { return Ok(None) };
        let mut shapes = Vec::new();
        let mut biased = 0;
        for (name, dims) in &tensors {
            let Some(number) = spelling.number(name, 'k', "weight") else {
                continue;
            };
            let &[inner, context] = *dims else {
                return Err(Error::format(format!(
                    "{name} has shape {dims:?}, not two dimensions"
                )));
            };
            let value = format!("{}.weight", spelling.prefix(number, 'v'));
            match tensors.get(value.as_str()) {
                Some(other) if other == dims => {}
                Some(other) => {
                    return Err(Error::format(format!(
                        "{value} has shape {other:?}, {name} has {dims:?}"
                    )))
                }
                None => return Err(Error::format(format!("{name} is there, but {value} is missing"))),
            }
            biased +=
                usize::from(tensors.contains_key(format!("{}.bias", spelling.prefix(number, 'k')).as_str()));
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
        let token_width = match tensors.get(format!("{NATIVE_PROJECTION}.0.weight").as_str()) {
            Some([_, width]) if spelling == AdapterSpelling::Native => Some(*width),
            Some(dims) if spelling == AdapterSpelling::Native => {
                return Err(Error::format(format!(
                    "{NATIVE_PROJECTION}.0.weight has shape {dims:?}, not two dimensions"
                )));
            }
            None if spelling == AdapterSpelling::Native
                && tensors
                    .keys()
                    .any(|name| name.starts_with(&format!("{NATIVE_PROJECTION}."))) =>
            {
                return Err(Error::format(format!(
                    "{NATIVE_PROJECTION}.0.weight is missing, but other parts of that projection are there"
                )));
            }
            _ => None,
        };
        Ok(Some(Self {
            spelling,
            bias: biased != 0,
            token_width,
            shapes,
        }))
    }

    /// Names of all the adapter's tensors, each with the name that it has in another spelling. The token projection
    /// becomes `image_proj.proj` in IP-Adapter's.
    ///
    /// # Errors
    /// [`Mismatch`](crate::ErrorKind::Mismatch) when the adapter is not for `host`.
    pub fn renamed(&self, host: &HostSpec, to: AdapterSpelling) -> Result<Vec<(String, String)>> {
        self.check_host(host)?;
        let mut names = Vec::new();
        if self.token_width.is_some() {
            let prefix = if to == AdapterSpelling::Native {
                NATIVE_PROJECTION
            } else {
                FULL_FACE_PROJECTION
            };
            for place in [0, 2, 3] {
                for tensor in ["weight", "bias"] {
                    let rest = format!("{place}.{tensor}");
                    names.push((format!("{NATIVE_PROJECTION}.{rest}"), format!("{prefix}.{rest}")));
                }
            }
        }
        let tensors: &[&str] = if self.bias {
            &["weight", "bias"]
        } else {
            &["weight"]
        };
        for (place, layer) in host.layers().iter().enumerate() {
            let number = |spelling| {
                if spelling == AdapterSpelling::Native {
                    place
                } else {
                    layer.key
                }
            };
            for side in ['k', 'v'] {
                for tensor in tensors {
                    let name = |spelling: AdapterSpelling| {
                        format!("{}.{tensor}", spelling.prefix(number(spelling), side))
                    };
                    names.push((name(self.spelling), name(to)));
                }
            }
        }
        Ok(names)
    }

    /// The built-in host that this adapter was made for, if it is one.
    pub fn host(&self) -> Option<HostSpec> {
        [HostSpec::sd15(), HostSpec::sdxl(), HostSpec::flux()]
            .into_iter()
            .find(|host| self.check_host(host).is_ok())
    }

    /// Checks that the adapter has exactly the layers that `host` needs.
    ///
    /// # Errors
    /// [`Mismatch`](crate::ErrorKind::Mismatch) naming the layer, the expected and the found shape.
    pub fn check_host(&self, host: &HostSpec) -> Result<()> {
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
