//! The LoRA of a model: small additions to the host's own attention layers.
//!
//! IP-Adapter FaceID, FaceID-Plus and PlusV2 were trained together with a LoRA of rank 128 on `to_q`, `to_k`, `to_v`
//! and `to_out` of every attention layer of the UNet, self-attention included. It is part of the model: without it the
//! adapter's keys and values meet queries that they were not trained with. The host applies it, as any other LoRA, at
//! strength 1. FaceID Portrait and InstantID have none.
//!
//! | file | names |
//! |---|---|
//! | IP-Adapter FaceID | `ip_adapter.{i}.{to_q,to_k,to_v,to_out}_lora.{down,up}.weight`, i counts attention processors |
//! | native checkpoint | `lora.layers.{place}.{attn1,attn2}.{to_q,to_k,to_v,to_out}.{down,up}.weight` |
//! | kohya | `lora_unet_….{lora_down,lora_up}.weight`, `.alpha` |
//! | diffusers, PEFT | `unet.….{lora_A,lora_B}.weight` |
//!
//! The first two are read, the last two written ([`Lora::save`]).

mod format;
mod names;
mod published;

#[cfg(test)]
mod tests;

pub use format::LoraFormat;
pub use published::{LoraNaming, PublishedLora};

use crate::error::{Error, Result};
use crate::host::{HostLayer, HostSpec};
use crate::tensor_file::{Checkpoint, OutputTensor};
use candle_core::{DType, Device, Tensor};

/// Largest rank that is read; the published files have 128.
const MAX_RANK: usize = 4096;

/// Which attention of a transformer block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attention {
    /// Self-attention, `attn1`.
    Itself,
    /// Cross-attention, `attn2`.
    Cross,
}

impl Attention {
    const ALL: [Self; 2] = [Self::Itself, Self::Cross];

    fn name(self) -> &'static str {
        match self {
            Self::Itself => "attn1",
            Self::Cross => "attn2",
        }
    }
}

/// Which linear layer of an attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Projection {
    Queries,
    Keys,
    Values,
    Out,
}

impl Projection {
    const ALL: [Self; 4] = [Self::Queries, Self::Keys, Self::Values, Self::Out];

    fn name(self) -> &'static str {
        match self {
            Self::Queries => "to_q",
            Self::Keys => "to_k",
            Self::Values => "to_v",
            Self::Out => "to_out",
        }
    }
}

/// Which of the two matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Down,
    Up,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Up => "up",
        }
    }
}

/// What is added to one linear layer of the host: up(down(x)), at strength 1.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoraLayer {
    /// The linear layer in the module tree of diffusers, such as
    /// `down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q`; `to_out` is `to_out.0` there. In a host's own table
    /// whose layers have other names, the layer's name with `.attn1.to_q` and so on behind it.
    pub module: String,
    /// Rows of the first matrix, columns of the second.
    pub rank: usize,
    /// Width of what the layer reads.
    pub input: usize,
    /// Width of what the layer gives.
    pub output: usize,
    /// What files of diffusers and of kohya call it; `None` when the host's table does not have such names.
    published: [Option<String>; 2],
    /// What native checkpoints call its matrices, down and up.
    native: [String; 2],
    /// What the checkpoint calls its matrices, down and up.
    found: [String; 2],
}

/// The LoRA inside a checkpoint. Tensors are read when they are asked for. Immutable, usable from any thread.
#[derive(Debug, Clone)]
pub struct Lora {
    checkpoint: Checkpoint,
    host: HostSpec,
    layers: Vec<LoraLayer>,
}

/// Whether `name` is that of a tensor of a LoRA, in the unified names of an IP-Adapter or those of a native checkpoint.
pub(crate) fn is_lora_tensor(name: &str) -> bool {
    name.starts_with("lora.") || (name.starts_with("ip_adapter.") && name.contains("_lora."))
}

/// Checks the matrices of a LoRA by themselves, whatever host it is for: each has its other half, of the same rank.
///
/// # Errors
/// [`Format`](crate::ErrorKind::Format) naming the tensor.
pub(crate) fn check_pairs(checkpoint: &Checkpoint) -> Result<()> {
    for name in checkpoint.names().filter(|name| is_lora_tensor(name)) {
        let of = |ending| name.strip_suffix(ending);
        match (of(".down.weight"), of(".up.weight")) {
            (Some(layer), _) => pair(checkpoint, [name, &format!("{layer}.up.weight")]).map(drop)?,
            (_, Some(layer)) => pair(checkpoint, [&format!("{layer}.down.weight"), name]).map(drop)?,
            (None, None) => {}
        }
    }
    Ok(())
}

/// The shapes of the two matrices of a linear layer, down and up, that fit together.
fn pair(checkpoint: &Checkpoint, [down, up]: [&str; 2]) -> Result<[[usize; 2]; 2]> {
    let shape = |name: &str| match checkpoint.shape(name) {
        Some(&[rows, columns]) if rows > 0 && columns > 0 => Ok([rows, columns]),
        Some(other) => Err(Error::format(format!(
            "tensor {name:?} of the LoRA has shape {other:?}, expected two dimensions, none of them 0"
        ))),
        None => Err(Error::format(format!("tensor {name:?} of the LoRA is missing"))),
    };
    let ([rank, input], [output, columns]) = (shape(down)?, shape(up)?);
    if rank != columns || rank > MAX_RANK {
        return Err(Error::format(format!(
            "tensor {down:?} of the LoRA has rank {rank}, tensor {up:?} rank {columns}; they must be equal and at most \
             {MAX_RANK}"
        )));
    }
    Ok([[rank, input], [output, columns]])
}

impl Lora {
    /// Finds the LoRA of a checkpoint: an IP-Adapter under [unified names](Checkpoint::adapter_view), or a native
    /// checkpoint. `None` when it has none.
    ///
    /// # Errors
    /// [`Format`](crate::ErrorKind::Format) when a matrix is missing or two do not fit together;
    /// [`Mismatch`](crate::ErrorKind::Mismatch) when the LoRA is not for `host`.
    pub fn find(checkpoint: &Checkpoint, host: &HostSpec) -> Result<Option<Self>> {
        let checkpoint = checkpoint.renamed(|name| is_lora_tensor(name).then(|| name.to_string()))?;
        if checkpoint.is_empty() {
            return Ok(None);
        }
        let native = checkpoint.names().any(|name| name.starts_with("lora."));
        let mut layers = Vec::new();
        // A custom table counts its own layers; the LoRA is on every attention, two for each of them.
        let counts_layers = host.layers().iter().any(|layer| layer.key == 0);
        for (place, layer) in host.layers().iter().enumerate() {
            let cross = if counts_layers { 2 * place + 1 } else { layer.key };
            for attention in Attention::ALL {
                for projection in Projection::ALL {
                    let name = |side| match native {
                        true => Some(names::native(place, attention, projection, side)),
                        false => names::face_id(cross, attention, projection, side),
                    };
                    let [Some(down), Some(up)] = [Side::Down, Side::Up].map(name) else {
                        return Err(no_unet(host));
                    };
                    if !checkpoint.contains(&down) && !checkpoint.contains(&up) {
                        continue;
                    }
                    layers.push(Self::layer(
                        &checkpoint,
                        host,
                        (place, layer),
                        attention,
                        projection,
                        [down, up],
                    )?);
                }
            }
        }
        let known = |name: &str| layers.iter().any(|layer| layer.found.iter().any(|found| found == name));
        if let Some(name) = checkpoint.names().find(|name| !known(name)) {
            return Err(Error::mismatch(format!(
                "the LoRA of the checkpoint is not for host {:?}: tensor {name:?} belongs to none of its layers",
                host.name()
            )));
        }
        Ok(Some(Self {
            checkpoint,
            host: host.clone(),
            layers,
        }))
    }

    /// Checks the two matrices of one linear layer.
    fn layer(
        checkpoint: &Checkpoint,
        host: &HostSpec,
        (place, layer): (usize, &HostLayer),
        attention: Attention,
        projection: Projection,
        found: [String; 2],
    ) -> Result<LoraLayer> {
        let published = [
            names::module(layer, attention, projection),
            names::kohya(host, layer, attention, projection),
        ];
        let module = published[0]
            .clone()
            .unwrap_or_else(|| format!("{}.{}.{}", layer.name, attention.name(), projection.name()));
        let [[rank, input], [output, _]] = pair(checkpoint, [&found[0], &found[1]])?;
        let wanted = match (attention, projection) {
            (Attention::Cross, Projection::Keys | Projection::Values) => layer.context,
            _ => layer.inner,
        };
        if [input, output] != [wanted, layer.inner] {
            return Err(Error::mismatch(format!(
                "host {:?}, layer {module:?}: the LoRA maps width {input} to {output}, the layer {wanted} to {}",
                host.name(),
                layer.inner
            )));
        }
        Ok(LoraLayer {
            module,
            rank,
            input,
            output,
            published,
            native: [Side::Down, Side::Up].map(|side| names::native(place, attention, projection, side)),
            found,
        })
    }

    /// The linear layers of the host that are changed, in the order of its attention processors.
    pub fn layers(&self) -> &[LoraLayer] {
        &self.layers
    }

    /// The host that it is for.
    pub fn host(&self) -> &HostSpec {
        &self.host
    }

    /// The rank, if all layers have the same.
    pub fn rank(&self) -> Option<usize> {
        let rank = self.layers.first()?.rank;
        self.layers.iter().all(|layer| layer.rank == rank).then_some(rank)
    }

    /// The two matrices of a layer in f32: `[rank, input]` and `[output, rank]`. What is added to the layer's own
    /// weight is the second times the first.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) when the file cannot be read any more.
    pub fn matrices(&self, layer: &LoraLayer) -> Result<[Tensor; 2]> {
        let [down, up] = &layer.found;
        let read = |name: &str| self.checkpoint.tensor(name, DType::F32, &Device::Cpu);
        Ok([read(down)?, read(up)?])
    }

    /// The tensors under the names that they have in a native checkpoint.
    pub(crate) fn native_tensors(&self, dtype: Option<DType>) -> Result<Vec<OutputTensor>> {
        let pairs = self
            .layers
            .iter()
            .flat_map(|layer| layer.native.iter().zip(&layer.found));
        pairs
            .map(|(name, found)| OutputTensor::from_checkpoint(name, &self.checkpoint, found, dtype))
            .collect()
    }
}

fn no_unet(host: &HostSpec) -> Error {
    Error::mismatch(format!(
        "host {:?} is no UNet whose layers are called as diffusers calls them; the checkpoint's LoRA is for one",
        host.name()
    ))
}
