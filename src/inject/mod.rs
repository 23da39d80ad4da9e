//! Injection: adding an identity's attention to a host layer's output, in the host's own memory.
//!
//! out += Σ scale · mask · softmax(q Kᵀ / √head_dim) V, summed over the identities; one softmax per identity. PuLID's
//! orthogonal modes leave out what points the way of the output: [`Injection`](crate::conditioning::Injection).
//!
//! Query and output are strided views of the host's tensors, on the CPU or on a CUDA device. Each is checked once,
//! when the view is made.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod joint;
mod residual;

#[cfg(test)]
mod tests;

pub use crate::cuda::HostStream;
pub use omniid_kernels::{Element, Place, Scalar, TensorView, TensorViewMut};
pub use residual::ResidualCall;

use crate::conditioning::{ConditionedIdentity, ConditionedLayer, Conditioning, Role, Step};
use crate::error::{Error, Result};
use crate::host::HostLayer;
use crate::remedy;
use crate::setters::setters;
use std::ops::Range;
use std::sync::Arc;

/// One call of [`Conditioning::inject`]: one attention layer at one step.
#[derive(Debug)]
#[non_exhaustive]
pub struct InjectCall<'a> {
    /// Index of the layer in the host's table.
    pub layer: usize,
    /// The layer's queries `[batch, rows, heads, head_dim]` or `[batch, rows, heads · head_dim]`, f32, f16 or bf16,
    /// with any strides. Memory in the order `[batch, heads, rows, head_dim]` is described as it lies and
    /// [transposed](TensorView::transpose).
    pub query: TensorView<'a>,
    /// What the identity's attention is added to. Same shape, number type and place as the query.
    ///
    /// In a UNet: the layer's text attention, before its output projection. In FLUX with XLabs' adapter: the image
    /// stream behind the block, after its MLP was added; the query is that of the image, after the block's
    /// normalisation and before RoPE. With InstantX' adapter for FLUX: the attention, before its output projection.
    pub output: TensorViewMut<'a>,
    /// The keys that the layer makes of the image, before its own normalisation: of the query's shape, number type and
    /// place. Needed where [`Conditioning::needs_image_keys`] says so (SD3.5), with [`image_values`](Self::image_values);
    /// the query is the one before the layer's own normalisation too.
    pub image_keys: Option<TensorView<'a>>,
    /// The values that the layer makes of the image; see [`image_keys`](Self::image_keys).
    pub image_values: Option<TensorView<'a>>,
    /// Where sampling stands. Needed only by identities that are limited to a step range.
    pub step: Step,
    /// The side of guidance of each batch row, in any order; a single one is that of all rows, none means that all are
    /// conditional.
    pub roles: &'a [Role],
    /// Height and width of the latent picture. Needed only by identities with a mask.
    pub latent: Option<(usize, usize)>,
    /// Multiplies every identity's scale in this call. 0 leaves the output bit for bit as it is.
    pub scale: f32,
    /// Whether to look for values in the query that are not finite before anything is written. On by default: it
    /// costs one pass over the query. Only on the CPU.
    pub check_query: bool,
    /// The CUDA stream that the host has queued the query on and will read the output on. Ignored on the CPU.
    pub stream: HostStream,
    /// Which part of the work this call does, below `part_count`. For hosts whose own threads share a layer: each makes
    /// the same call with a part of its own, at the same time or not, and the parts together give to the bit what one
    /// whole call gives. A part works on the calling thread. Only on the CPU.
    ///
    /// A part is a range of image tokens. Where all tokens depend on each other
    /// ([`Injection`](crate::conditioning::Injection)), it is whole batch rows, and parts beyond the batch do nothing;
    /// for SD3.5 it is whole heads.
    pub part: usize,
    /// How many parts there are; 1 for a whole call, on the library's own threads.
    pub part_count: usize,
}

impl<'a> InjectCall<'a> {
    /// A call with all rows conditional, at no particular step, without latent size, at scale 1, on the legacy default
    /// stream.
    pub fn new(layer: usize, query: TensorView<'a>, output: TensorViewMut<'a>) -> Self {
        Self {
            layer,
            query,
            output,
            image_keys: None,
            image_values: None,
            step: Step::default(),
            roles: &[],
            latent: None,
            scale: 1.0,
            check_query: true,
            stream: HostStream::default(),
            part: 0,
            part_count: 1,
        }
    }

    /// Divides query and output into the layer's heads where they are not; messages show the host's shapes.
    fn split_heads(mut self, layer: &HostLayer) -> Result<Self> {
        if self.query.is_empty() || self.output.as_view().is_empty() {
            return Err(Error::invalid(format!(
                "the query has shape {:?}, the output {:?}; no dimension may be empty",
                self.query.dims(),
                self.output.as_view().dims()
            )));
        }
        let split = |name: &str, view: TensorView<'_>| match *view.dims() {
            [_, _, inner] if inner == layer.inner => Ok(true),
            [_, _, _, _] => Ok(false),
            [_, _, _] => Err(Error::mismatch(format!(
                "{name}: shape {:?}, layer {:?} is {} wide ({} heads of {})",
                view.dims(),
                layer.name,
                layer.inner,
                layer.heads,
                layer.head_dim
            ))),
            _ => Err(Error::invalid(format!(
                "{name}: shape {:?}, expected [batch, rows, heads * head_dim] or [batch, rows, heads, head_dim]",
                view.dims()
            ))),
        };
        if split("query", self.query)? {
            self.query = self.query.split_last(layer.heads)?;
        }
        for (name, view) in [
            ("image keys", &mut self.image_keys),
            ("image values", &mut self.image_values),
        ] {
            if let Some(view) = view {
                if split(name, *view)? {
                    *view = view.split_last(layer.heads)?;
                }
            }
        }
        if split("output", self.output.as_view())? {
            self.output = self.output.split_last(layer.heads)?;
        }
        Ok(self)
    }

    /// Checks everything that does not depend on an identity.
    fn check(&self, layer: &HostLayer, here: Place) -> Result<()> {
        let (query, output) = (self.query, self.output.as_view());
        let shape @ [batch, _, heads, head_dim] = query.shape();
        for (name, place) in [("query", query.place()), ("output", output.place())] {
            if place != here {
                return Err(Error::unsupported(format!(
                    "{name}: the tensor is on {place}, but the keys and values of this conditioning are on {here}"
                ))
                .with_remedy(remedy::TENSOR_PLACE));
            }
        }
        if (heads, head_dim) != (layer.heads, layer.head_dim) {
            return Err(Error::mismatch(format!(
                "layer {:?} has {} heads of width {}, the query has {heads} of {head_dim} (shape {shape:?})",
                layer.name, layer.heads, layer.head_dim
            )));
        }
        if shape != output.shape() {
            return Err(Error::mismatch(format!(
                "layer {:?}: the query has shape {shape:?}, the output {:?}; they must be equal",
                layer.name,
                output.shape()
            )));
        }
        if query.element() != output.element() {
            return Err(Error::mismatch(format!(
                "the query is {:?}, the output {:?}; they must have one number type",
                query.element(),
                output.element()
            )));
        }
        if self.roles.len() > 1 && self.roles.len() != batch {
            return Err(Error::invalid(format!(
                "layer {:?}: {} roles for {batch} batch rows; one per row, one for all or none",
                layer.name,
                self.roles.len()
            )));
        }
        if !self.scale.is_finite() {
            return Err(Error::invalid(format!(
                "the call's scale is {}; it must be a finite number",
                self.scale
            )));
        }
        if self.part >= self.part_count {
            return Err(Error::invalid(format!(
                "layer {:?}: part {} of {}; parts are counted from 0",
                layer.name, self.part, self.part_count
            )));
        }
        if self.part_count > 1 && here != Place::Cpu {
            return Err(Error::unsupported(format!(
                "layer {:?}: part {} of {} on {here}; only calls on the CPU are divided",
                layer.name, self.part, self.part_count
            ))
            .with_remedy(remedy::WHOLE_CALL));
        }
        Ok(())
    }
}

/// The role of a batch row: its own, the one of all rows, or conditional.
fn role_of(roles: &[Role], row: usize) -> Role {
    match roles {
        [all] => *all,
        each => each.get(row).copied().unwrap_or_default(),
    }
}

setters!(InjectCall<'a> {
    with_image_keys: image_keys = option TensorView<'a>,
    with_image_values: image_values = option TensorView<'a>,
    with_step: step = plain Step,
    with_roles: roles = plain &'a [Role],
    with_latent: latent = plain Option<(usize, usize)>,
    with_scale: scale = plain f32,
    with_check_query: check_query = plain bool,
    with_stream: stream = plain HostStream,
    with_part: part = plain usize,
    with_part_count: part_count = plain usize,
});

/// One identity's part in one call.
struct Pass<'a> {
    entry: &'a ConditionedLayer,
    /// Factor of every row whose role the identity has keys for.
    factor: f32,
    /// One more factor per image token.
    mask: Option<Arc<[f32]>>,
    /// The image tokens to work on.
    tokens: Range<usize>,
}

impl Pass<'_> {
    /// The mask's factors of the image tokens to work on.
    fn weights(&self) -> Option<&[f32]> {
        self.mask.as_deref().and_then(|mask| mask.get(self.tokens.clone()))
    }
}

impl Conditioning {
    /// Adds the identities' attention to `call.output`, in place, where the keys and values are.
    ///
    /// Softmax and sums are computed in f32. Identities are added one after the other, each rounded to the output's
    /// number type. Layers without weight, identities outside their step range and rows without a counterpart leave
    /// the output bit for bit as it is. On the CPU the call does not allocate once every mask size was seen.
    ///
    /// On a GPU the kernels run on the host's stream and touch the host's memory directly; nothing is copied, and the
    /// call does not wait for the GPU. The first call on a device compiles the kernel, which takes about a second. A
    /// mask is uploaded at its first use with each layer size. Values of the query that are not finite are not looked
    /// for.
    ///
    /// # Errors
    /// The output is untouched after an error, except one of kind [`Device`](crate::ErrorKind::Device), which the GPU's
    /// driver reports; of a call in parts each looks at the queries that it uses, and the others may have written. [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a layer that does not exist, an empty
    /// tensor, another number of roles than batch rows, a scale that is not finite, a query that is not finite (naming
    /// layer, batch row and token), a missing step position or latent size, a part beyond the part count, or image
    /// tokens that do not fit the latent size;
    /// [`Mismatch`](crate::ErrorKind::Mismatch) when heads, shapes or number types of query, output and layer differ,
    /// and for a stream of another device; [`Unsupported`](crate::ErrorKind::Unsupported) when query or output are not
    /// where the keys and values are.
    pub fn inject(&self, call: InjectCall<'_>) -> Result<()> {
        let layer = self.host().layer(call.layer)?;
        if self.is_residual() {
            return Err(Error::mismatch(format!(
                "the adapter for host {:?} adds to the residual stream, not to the attention of a layer",
                self.host().name()
            ))
            .with_remedy(remedy::INJECT_RESIDUAL));
        }
        let call = call.split_heads(layer)?;
        call.check(layer, self.place())?;
        if let Some(joint) = self.joint() {
            return joint::inject(self, joint, call);
        }
        if call.image_keys.is_some() || call.image_values.is_some() {
            return Err(Error::invalid(format!(
                "layer {:?}: image keys or values are given, but this adapter's layers attend to the identity alone",
                layer.name
            )));
        }
        #[cfg(feature = "cuda")]
        if let Some(state) = self.device_state() {
            return cuda::inject(self, state, call);
        }
        cpu::inject(self, call)
    }

    /// Every identity that takes part in a call, in order. Errors are found before the first one.
    fn passes<'s>(&'s self, call: &InjectCall<'s>) -> Result<impl Iterator<Item = Result<Pass<'s>>>> {
        let [_, rows, ..] = call.query.shape();
        let (layer, step, latent, scale) = (call.layer, call.step, call.latent, call.scale);
        let roles = match call.roles {
            [] => &[Role::Conditional],
            roles => roles,
        };
        let place = self.table_place(&step)?;
        let pass = move |identity: &'s ConditionedIdentity| -> Result<Option<Pass<'s>>> {
            let active = identity.steps.contains(&step)?;
            let entry = identity.layer(place, layer);
            let (true, Some(entry)) = (active && scale != 0.0, entry) else {
                return Ok(None);
            };
            if roles.iter().all(|role| entry.side(*role).is_none()) {
                return Ok(None);
            }
            let mask = identity.mask.as_ref();
            Ok(Some(Pass {
                entry,
                factor: entry.factor * scale,
                mask: mask.map(|mask| mask.factors(rows, latent)).transpose()?,
                tokens: 0..rows,
            }))
        };
        // Also computes the masks, so that none is left for the second round.
        for identity in self.identities() {
            pass(identity)?;
        }
        Ok(self
            .identities()
            .iter()
            .filter_map(move |identity| pass(identity).transpose()))
    }
}
