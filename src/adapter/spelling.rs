//! How checkpoints spell the tensors of an adapter.

use crate::error::Result;
use crate::host::HostLayer;
use crate::tensor_file::Checkpoint;

/// Which of the known spellings a checkpoint uses.
///
/// XLabs' own names are those of IP-Adapter after [`Checkpoint::adapter_view`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AdapterSpelling {
    /// OmniID: `adapter.layers.{place}.to_k.weight`, with the token projection under `adapter.proj.`.
    Native,
    /// IP-Adapter: `ip_adapter.{key}.to_k_ip.weight`. FLUX files in this spelling have biases. A token projection, as
    /// in a full-face file, is under `image_proj.proj.`.
    IpAdapter,
}

impl AdapterSpelling {
    pub(super) const ALL: [Self; 2] = [Self::Native, Self::IpAdapter];

    /// Prefix of the token projection, whose names begin with `proj.`.
    pub(super) fn projection(self) -> &'static str {
        match self {
            Self::Native => "adapter",
            Self::IpAdapter => "image_proj",
        }
    }

    /// What stands before and after the layer's number, for keys (`k`) or values (`v`).
    fn parts(self, side: char) -> (&'static str, String) {
        match self {
            Self::Native => ("adapter.layers.", format!(".to_{side}")),
            Self::IpAdapter => ("ip_adapter.", format!(".to_{side}_ip")),
        }
    }

    /// Prefix of the tensors `weight` and `bias` of layer `number`; `side` is `k` or `v`.
    pub(super) fn prefix(self, number: usize, side: char) -> String {
        let (before, after) = self.parts(side);
        format!("{before}{number}{after}")
    }

    /// The number of a host's layer at `place` of its table.
    pub(super) fn number_of(self, place: usize, layer: &HostLayer) -> usize {
        match self {
            Self::Native => place,
            Self::IpAdapter => layer.key,
        }
    }

    /// The layer number in `name` if it is the weight of a projection to keys.
    pub(super) fn number(self, name: &str) -> Option<usize> {
        let (before, after) = self.parts('k');
        let number = name
            .strip_prefix(before)?
            .strip_suffix(".weight")?
            .strip_suffix(after.as_str())?;
        // "+1" and "01" are numbers to the parser, but no layer is called that.
        number.parse().ok().filter(|value: &usize| value.to_string() == number)
    }
}

impl Checkpoint {
    /// An IP-Adapter under one set of names, whoever wrote it: `image_proj.…` and
    /// `ip_adapter.{i}.to_k_ip.{weight,bias}`, `to_v_ip`.
    ///
    /// XLabs' own names (`ip_adapter_proj_model.…`, `double_blocks.{i}.processor.ip_adapter_double_stream_k_proj.…`)
    /// are translated. All other tensors keep their names.
    ///
    /// # Errors
    /// [`Format`](crate::ErrorKind::Format) when a tensor is there in both spellings.
    pub fn adapter_view(&self) -> Result<Self> {
        self.renamed(|name| Some(ip_adapter_name(name)))
    }
}

/// The name of an XLabs tensor in the spelling of the other IP-Adapters.
pub(super) fn ip_adapter_name(name: &str) -> String {
    if let Some(rest) = name.strip_prefix("ip_adapter_proj_model.") {
        return format!("image_proj.{rest}");
    }
    match name
        .strip_prefix("double_blocks.")
        .or_else(|| name.strip_prefix("ip_adapter."))
    {
        None => name.to_string(),
        Some(rest) => {
            let rest = rest
                .replace("processor.", "")
                .replace("ip_adapter_double_stream_k_proj", "to_k_ip")
                .replace("ip_adapter_double_stream_v_proj", "to_v_ip");
            format!("ip_adapter.{rest}")
        }
    }
}
