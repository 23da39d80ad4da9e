//! How checkpoints spell the tensors of an adapter.

use super::saved_unet;
use crate::error::{Error, Result};
use crate::host::HostLayer;
use crate::remedy;
use crate::tensor_file::Checkpoint;
use std::collections::BTreeSet;

/// Which of the known spellings a checkpoint uses.
///
/// XLabs' own names are those of IP-Adapter after [`Checkpoint::adapter_view`], and so are those of PuLID for SDXL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AdapterSpelling {
    /// OmniID: `adapter.layers.{place}.to_k.weight`, with the token projection under `adapter.proj.`. Layers of the
    /// residual stream: `adapter.layers.{place}.to_kv.weight` and so on; with two token sets `adapter.arc.{place}.…` and
    /// `adapter.sig.{place}.…`.
    Native,
    /// IP-Adapter: `ip_adapter.{key}.to_k_ip.weight`. FLUX files of XLabs in this spelling have biases. A token
    /// projection, as in a full-face file, is under `image_proj.proj.`.
    IpAdapter,
    /// PuLID-FLUX: `pulid_ca.{key}.to_kv.weight` and so on.
    PulidFlux,
    /// WithAnyone: `ipa_arc.{key}.to_kv.weight` and `ipa_sig.{key}.to_kv.weight` and so on.
    WithAnyone,
}

impl AdapterSpelling {
    pub(super) const ALL: [Self; 4] = [Self::Native, Self::IpAdapter, Self::PulidFlux, Self::WithAnyone];

    /// Prefix of the token projection, whose names begin with `proj.`.
    pub(super) fn projection(self) -> &'static str {
        match self {
            Self::Native => "adapter",
            _ => "image_proj",
        }
    }

    /// What stands before a layer's number. `set` names one of several token sets.
    fn beginning(self, set: Option<&str>) -> String {
        match (self, set) {
            (Self::Native, None) => "adapter.layers.".into(),
            (Self::Native, Some(set)) => format!("adapter.{set}."),
            (Self::IpAdapter, _) => "ip_adapter.".into(),
            (Self::PulidFlux, _) => "pulid_ca.".into(),
            (Self::WithAnyone, set) => format!("ipa_{}.", set.unwrap_or("arc")),
        }
    }

    /// Name of the projection to keys (`k`) or values (`v`) within a layer.
    fn projection_of(self, side: char) -> String {
        match self {
            Self::IpAdapter => format!("to_{side}_ip"),
            _ => format!("to_{side}"),
        }
    }

    /// Prefix of the tensors of layer `number` of one of the token sets.
    pub(super) fn layer(self, set: Option<&str>, number: usize) -> String {
        format!("{}{number}", self.beginning(set))
    }

    /// Prefix of the tensors `weight` and `bias` of layer `number`; `side` is `k` or `v`.
    pub(super) fn prefix(self, number: usize, side: char) -> String {
        format!("{}.{}", self.layer(None, number), self.projection_of(side))
    }

    /// The number of a host's layer at `place` of its table.
    pub(super) fn number_of(self, place: usize, layer: &HostLayer) -> usize {
        match self {
            Self::Native => place,
            _ => layer.key,
        }
    }

    /// The layer number in `name` if it is the weight of a projection to keys.
    pub(super) fn number(self, name: &str) -> Option<usize> {
        match self {
            Self::Native | Self::IpAdapter => self.number_before(name, None, &self.projection_of('k')),
            Self::PulidFlux | Self::WithAnyone => None,
        }
    }

    /// The layer number in `name` if it is the joint projection to keys and values of a layer of the residual stream.
    pub(super) fn residual_number(self, name: &str, set: Option<&str>) -> Option<usize> {
        match self {
            Self::IpAdapter => None,
            _ => self.number_before(name, set, "to_kv"),
        }
    }

    fn number_before(self, name: &str, set: Option<&str>, projection: &str) -> Option<usize> {
        let number = name
            .strip_prefix(&self.beginning(set))?
            .strip_suffix(".weight")?
            .strip_suffix(projection)?
            .strip_suffix('.')?;
        // "+1" and "01" are numbers to the parser, but no layer is called that.
        number.parse().ok().filter(|value: &usize| value.to_string() == number)
    }
}

/// Beginnings of the names of what makes tokens of an image's features.
const PROJECTIONS: [&str; 3] = ["image_proj.", "image_proj_model.", "ip_adapter_proj_model."];

/// Beginnings of the names of an adapter's layers.
const LAYERS: [&str; 2] = ["ip_adapter.", "adapter_modules."];

/// Beginnings of names that only files of PuLID and WithAnyone have, each with what it becomes in the view: what makes
/// tokens is the `image_proj` of an IP-Adapter, and PuLID's layers for SDXL are those of one. Layers of the residual
/// stream keep their names. Sources: `ToTheBeginning/PuLID` (`pulid/pipeline_v1_1.py`, `pulid/pipeline_flux.py`),
/// `Doby-Xu/WithAnyone` (`withanyone/flux/model.py`).
const OTHER_FAMILIES: [(&str, &str); 9] = [
    ("id_adapter_attn_layers.", "ip_adapter."),
    ("id_adapter.", "image_proj."),
    ("pulid_encoder.", "image_proj."),
    ("pulid_ca.", "pulid_ca."),
    ("ipa_arc.", "ipa_arc."),
    ("ipa_sig.", "ipa_sig."),
    ("arcface_in_arc.", "image_proj.arcface_in_arc."),
    ("arcface_in_sig.", "image_proj.arcface_in_sig."),
    ("siglip_in_sig.", "image_proj.siglip_in_sig."),
];

impl Checkpoint {
    /// Where in this checkpoint an IP-Adapter is: what stands before its tensors' names. `None` when there is none.
    fn adapter_prefix(&self) -> Result<Option<String>> {
        let projections = self.prefixes_before(&PROJECTIONS);
        let whole_file = projections.is_empty() || projections == [""];
        let found = match whole_file {
            true => {
                let has = |begin: &str| self.names().any(|name| name.starts_with(begin));
                let others = OTHER_FAMILIES.iter().map(|(begin, _)| *begin);
                let mut begins = LAYERS.into_iter().chain(PROJECTIONS).chain(others);
                let found = begins.any(has) || self.names().any(is_layer);
                return Ok(found.then(String::new));
            }
            // A word like "image_proj" alone says too little when it stands deep in other names.
            false => projections.into_iter().filter(|prefix| {
                let layer = |name: &str| {
                    let rest = name.strip_prefix(prefix.as_str());
                    rest.is_some_and(|rest| LAYERS.iter().any(|begin| rest.starts_with(begin)) || is_layer(rest))
                };
                self.names().any(layer)
            }),
        };
        let found: Vec<String> = found.collect();
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one.clone())),
            several => Err(Error::unsupported(format!(
                "{}: the file holds several IP-Adapters, whose names begin with {}",
                self.label(),
                several
                    .iter()
                    .map(|prefix| format!("{prefix:?}"))
                    .collect::<Vec<_>>()
                    .join(" and ")
            ))
            .with_remedy(remedy::ONE_MODEL)),
        }
    }

    /// Whether there is an IP-Adapter in this checkpoint, or a part of one, by the names of its tensors.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) when there are several.
    pub(crate) fn holds_adapter(&self) -> Result<bool> {
        self.adapter_prefix().map(|prefix| prefix.is_some())
    }

    /// An IP-Adapter under one set of names, whoever wrote it: `image_proj.…` and
    /// `ip_adapter.{i}.to_k_ip.{weight,bias}`, `to_v_ip`.
    ///
    /// Translated are
    /// - XLabs' own names: `ip_adapter_proj_model.…`, `double_blocks.{i}.processor.ip_adapter_double_stream_k_proj.…`;
    /// - those of IP-Adapter's training script: `image_proj_model.…`, `adapter_modules.{i}.…`, and the attention
    ///   processors of the UNet, `unet.….attn2.processor.to_k_ip.weight`, which are counted in the order of diffusers:
    ///   `down_blocks`, `up_blocks`, `mid_block`, two for each transformer block. The LoRA of FaceID is in them too,
    ///   `unet.….attn1.processor.to_q_lora.down.weight`. The rest of the UNet is left out;
    /// - those of a UNet that diffusers has saved with an adapter loaded:
    ///   `encoder_hid_proj.image_projection_layers.0.…`, `….attn2.processor.to_k_ip.0.weight`; base, full-face and
    ///   FaceID, whose LoRA diffusers keeps apart;
    /// - those of PuLID: `id_adapter.…` or `pulid_encoder.…` becomes `image_proj.…`,
    ///   `id_adapter_attn_layers.{i}.id_to_k.weight` becomes `ip_adapter.{i}.to_k_ip.weight`, and `pulid_ca.…` stays;
    /// - those of WithAnyone: `arcface_in_arc.…`, `arcface_in_sig.…` and `siglip_in_sig.…` stand below `image_proj.`, and
    ///   `ipa_arc.…` and `ipa_sig.…` stay.
    ///
    /// What stands before all of these names (`model.ip.`) is taken off; what has another beginning is left out then.
    /// All other tensors keep their names.
    ///
    /// # Errors
    /// [`Format`](crate::ErrorKind::Format) when a tensor is there in both spellings;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) when there are several adapters.
    pub fn adapter_view(&self) -> Result<Self> {
        let view = match self.adapter_prefix()? {
            Some(prefix) => self.unwrapped(&prefix),
            None => self.clone(),
        };
        let view = saved_unet::with_own_names(view)?;
        // The training script knows the same tensors as modules of its own and as parts of the UNet.
        let is_numbered = |name: &str| {
            let rest = LAYERS.iter().find_map(|begin| name.strip_prefix(begin));
            rest.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
        };
        let numbered = view.names().any(is_numbered);
        let processors: BTreeSet<Processor> = match numbered {
            true => BTreeSet::new(),
            false => view
                .names()
                .filter_map(Processor::of)
                .map(|(processor, ..)| processor)
                .collect(),
        };
        view.renamed(|name| match Processor::of(name) {
            Some((processor, cross, part)) => {
                let place = processors.iter().position(|other| *other == processor)?;
                Some(format!("ip_adapter.{}.{part}", 2 * place + usize::from(cross)))
            }
            None if name.starts_with("unet.") => None,
            None => Some(ip_adapter_name(name)),
        })
    }
}

/// Whether `name` is that of an adapter's layer in the names of a host. A LoRA alone is no adapter.
fn is_layer(name: &str) -> bool {
    Processor::of(name).is_some_and(|(.., part)| !part.contains("_lora."))
        || name.contains(".processor.ip_adapter_double_stream_k_proj.")
}

/// A transformer block by its place in the UNet of diffusers; ordered as diffusers counts its attention processors, of
/// which each block has two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Processor {
    /// 0 for `down_blocks`, 1 for `up_blocks`, 2 for `mid_block`.
    group: usize,
    block: usize,
    attention: usize,
    transformer: usize,
}

impl Processor {
    /// The block, whether it is its cross-attention, and the part of the layer that a tensor is, such as
    /// `to_k_ip.weight` or `to_q_lora.down.weight`.
    fn of(name: &str) -> Option<(Self, bool, String)> {
        let roots = ["unet.", "ip_adapter.", "adapter_modules."];
        let name = roots.iter().find_map(|root| name.strip_prefix(root)).unwrap_or(name);
        let (group, rest) = if let Some(rest) = name.strip_prefix("down_blocks.") {
            (0, rest)
        } else if let Some(rest) = name.strip_prefix("up_blocks.") {
            (1, rest)
        } else {
            (2, name.strip_prefix("mid_block.")?)
        };
        let (block, rest) = match group {
            2 => (0, rest),
            _ => number(rest)?,
        };
        let (attention, rest) = number(rest.strip_prefix("attentions.")?)?;
        let (transformer, rest) = number(rest.strip_prefix("transformer_blocks.")?)?;
        let (attention_name, part) = rest.split_once('.')?;
        let cross = match attention_name {
            "attn1" => false,
            "attn2" => true,
            _ => return None,
        };
        let part = part.strip_prefix("processor.").unwrap_or(part);
        // diffusers keeps a list with one projection for each adapter.
        let part = part.replace("_ip.0.", "_ip.");
        let known = ["to_k_ip.weight", "to_v_ip.weight", "to_k_ip.bias", "to_v_ip.bias"];
        // FaceID's LoRA is trained in the same processors.
        let lora = || {
            let projections = ["to_q_lora", "to_k_lora", "to_v_lora", "to_out_lora"];
            let sides = ["down.weight", "up.weight"];
            let parts = part.split_once('.');
            parts.is_some_and(|(projection, side)| projections.contains(&projection) && sides.contains(&side))
        };
        let place = Self {
            group,
            block,
            attention,
            transformer,
        };
        let is_part = (cross && known.contains(&part.as_str())) || lora();
        is_part.then_some((place, cross, part))
    }
}

/// The number that `text` begins with, and what follows its dot.
fn number(text: &str) -> Option<(usize, &str)> {
    let (digits, rest) = text.split_once('.')?;
    Some((digits.parse().ok()?, rest))
}

/// The name of an XLabs or PuLID tensor, or of one of a training script, in the spelling of the other IP-Adapters.
pub(super) fn ip_adapter_name(name: &str) -> String {
    for (found, used) in [
        ("ip_adapter_proj_model.", "image_proj."),
        ("image_proj_model.", "image_proj."),
        ("adapter_modules.", "ip_adapter."),
    ] {
        if let Some(rest) = name.strip_prefix(found) {
            return format!("{used}{rest}");
        }
    }
    if let Some((rest, used)) = OTHER_FAMILIES
        .iter()
        .find_map(|(found, used)| name.strip_prefix(found).map(|rest| (rest, *used)))
    {
        let rest = rest.replace(".id_to_k.", ".to_k_ip.").replace(".id_to_v.", ".to_v_ip.");
        return format!("{used}{rest}");
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
