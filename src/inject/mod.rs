//! Injection: adding an identity's attention to a host layer's output, in the host's own memory.
//!
//! out += Σ scale · mask · softmax(q Kᵀ / √head_dim) V, summed over the identities; one softmax per identity.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod layout;
mod overlap;
mod view;

#[cfg(test)]
mod tests;

#[cfg(feature = "cuda")]
pub use cuda::DeviceInjectCall;
#[cfg(feature = "cuda")]
pub(crate) use cuda::DeviceState;
pub use layout::ViewLayout;
pub use overlap::check_disjoint;
pub use view::{Elements, ElementsMut, OutputView, QueryView};

use crate::conditioning::{ConditionedLayer, Conditioning, Role, Step};
use crate::error::{Error, Result};
use std::sync::Arc;

/// One call of [`Conditioning::inject`]: one attention layer at one step.
#[derive(Debug)]
pub struct InjectCall<'a> {
    /// Index of the layer in the host's table.
    pub layer: usize,
    /// The layer's queries `[batch, rows, heads, head_dim]`, f32, f16 or bf16, with any strides: `[B, S, H·D]` and
    /// `[B, H, S, D]` memory are both fine.
    pub query: QueryView<'a>,
    /// What the identity's attention is added to: the layer's text attention, before its output projection. Same
    /// shape and number type as the query.
    pub output: OutputView<'a>,
    /// Where sampling stands. Needed only by identities that are limited to a step range.
    pub step: Step,
    /// The side of guidance of each batch row, in any order; empty means that all rows are conditional.
    pub roles: &'a [Role],
    /// Height and width of the latent picture. Needed only by identities with a mask.
    pub latent: Option<(usize, usize)>,
    /// Multiplies every identity's scale in this call. 0 leaves the output bit for bit as it is.
    pub scale: f32,
    /// Whether to look for values in the query that are not finite before anything is written. On by default: it
    /// costs one pass over the query.
    pub check_query: bool,
}

impl<'a> InjectCall<'a> {
    /// A call with all rows conditional, at no particular step, without latent size, at scale 1.
    pub fn new(layer: usize, query: impl Into<QueryView<'a>>, output: impl Into<OutputView<'a>>) -> Self {
        Self {
            layer,
            query: query.into(),
            output: output.into(),
            step: Step::default(),
            roles: &[],
            latent: None,
            scale: 1.0,
            check_query: true,
        }
    }
}

/// One identity's part in one call.
pub(crate) struct Pass<'a> {
    pub(crate) entry: &'a ConditionedLayer,
    /// Factor of every row whose role the identity has keys for.
    pub(crate) factor: f32,
    /// One more factor per image token.
    pub(crate) mask: Option<Arc<[f32]>>,
}

/// What a call asks for, apart from its memory.
pub(crate) struct Request<'a> {
    pub(crate) layer: usize,
    pub(crate) query_shape: [usize; 4],
    pub(crate) output_shape: [usize; 4],
    pub(crate) step: Step,
    pub(crate) roles: &'a [Role],
    pub(crate) latent: Option<(usize, usize)>,
    pub(crate) scale: f32,
}

impl Conditioning {
    /// Adds the identities' attention to `call.output`, in place, on the CPU.
    ///
    /// Softmax and sums are computed in f32. Identities are added one after the other, each rounded to the output's
    /// number type. Layers without weight, identities outside their step range and rows without a counterpart leave
    /// the output bit for bit as it is. Does not allocate once every mask size was seen.
    ///
    /// # Errors
    /// The output is untouched after an error.
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a layer that does not exist, another number of roles
    /// than batch rows, a scale that is not finite, a query that is not finite (naming batch row and token), a missing
    /// step position or latent size, or image tokens that do not fit the latent size;
    /// [`Mismatch`](crate::ErrorKind::Mismatch) when heads, shapes or number types of query, output and layer differ;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) when the keys and values are not on the CPU.
    pub fn inject(&self, call: InjectCall<'_>) -> Result<()> {
        cpu::inject(self, call)
    }

    /// Checks a call and calls `visit` with every identity that takes part in it, in order. With an error nothing was
    /// visited.
    pub(crate) fn passes(
        &self,
        request: &Request<'_>,
        mut visit: impl FnMut(Pass<'_>) -> Result<()>,
    ) -> Result<()> {
        self.check_request(request)?;
        for visiting in [false, true] {
            // The first round finds errors and computes masks, so that none is left for the second.
            for identity in self.identities() {
                let active = identity.steps.contains(&request.step)?;
                let entry = identity.layers.get(request.layer).and_then(Option::as_ref);
                let (true, Some(entry)) = (active && request.scale != 0.0, entry) else {
                    continue;
                };
                let wanted = if request.roles.is_empty() {
                    &[Role::Conditional]
                } else {
                    request.roles
                };
                if wanted.iter().all(|role| entry.side(*role).is_none()) {
                    continue;
                }
                let mask = identity.mask.as_ref();
                let mask = mask
                    .map(|mask| mask.factors(request.query_shape[1], request.latent))
                    .transpose()?;
                if visiting {
                    visit(Pass {
                        entry,
                        factor: entry.factor * request.scale,
                        mask,
                    })?;
                }
            }
        }
        Ok(())
    }

    fn check_request(&self, request: &Request<'_>) -> Result<()> {
        let layer = self.host().layer(request.layer)?;
        let [batch, _, heads, head_dim] = request.query_shape;
        if (heads, head_dim) != (layer.heads, layer.head_dim) {
            return Err(Error::mismatch(format!(
                "layer {:?} has {} heads of width {}, the query has {heads} of {head_dim} (shape {:?})",
                layer.name, layer.heads, layer.head_dim, request.query_shape
            )));
        }
        if request.query_shape != request.output_shape {
            return Err(Error::mismatch(format!(
                "layer {:?}: the query has shape {:?}, the output {:?}; they must be equal",
                layer.name, request.query_shape, request.output_shape
            )));
        }
        if !request.roles.is_empty() && request.roles.len() != batch {
            return Err(Error::invalid(format!(
                "layer {:?}: {} roles for {batch} batch rows; one per row or none",
                layer.name,
                request.roles.len()
            )));
        }
        if !request.scale.is_finite() {
            return Err(Error::invalid(format!(
                "the call's scale is {}; it must be a finite number",
                request.scale
            )));
        }
        Ok(())
    }
}
