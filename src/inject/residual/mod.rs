//! Injection into a transformer's residual stream, between two of its blocks.
//!
//! `hidden += Σ scale · mask · to_out(softmax(q Kᵀ / √head_dim) V)` with `q = to_q(norm2(hidden))`, summed over the
//! identities and the adapter's token sets. PuLID-FLUX and WithAnyone work this way: the host hands over the image's
//! hidden state and needs neither its own queries nor projections.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

#[cfg(test)]
mod tests;

use super::{HostStream, Place, TensorView, TensorViewMut};
use crate::conditioning::{ConditionedIdentity, ConditionedLayer, Conditioning, Residual, Role, Step};
use crate::error::{Error, Result};
use crate::host::HostLayer;
use crate::remedy;
use crate::setters::setters;
use std::sync::Arc;

/// One call of [`Conditioning::inject_residual`]: one place of the residual stream at one step.
#[derive(Debug)]
#[non_exhaustive]
pub struct ResidualCall<'a> {
    /// Index of the layer in the host's table.
    pub layer: usize,
    /// What is added to: the image's hidden state `[batch, image tokens, hidden]` after the block, f32, f16 or bf16, with
    /// any strides. Text tokens are not part of it: a host whose single blocks have one sequence hands over the image's
    /// part as a view.
    pub output: TensorViewMut<'a>,
    /// The hidden state that is read, of the shape, number type and place of the output; `None` to read the output
    /// itself, which is the usual case. Both may never share memory otherwise, which the borrows guarantee in Rust.
    pub hidden: Option<TensorView<'a>>,
    /// Where sampling stands. Needed only by identities that are limited to a step range.
    pub step: Step,
    /// The side of guidance of each batch row, in any order; a single one is that of all rows, none means that all are
    /// conditional.
    pub roles: &'a [Role],
    /// Height and width of the latent picture. Needed only by identities with a mask.
    pub latent: Option<(usize, usize)>,
    /// Multiplies every identity's scale in this call. 0 leaves the output bit for bit as it is.
    pub scale: f32,
    /// Whether to look for values in the hidden state that are not finite before anything is written. On by default.
    /// Only on the CPU.
    pub check_hidden: bool,
    /// The CUDA stream that the host has queued the hidden state on and will read the output on. Ignored on the CPU.
    pub stream: HostStream,
}

impl<'a> ResidualCall<'a> {
    /// A call in place, with all rows conditional, at no particular step, without latent size, at scale 1, on the legacy
    /// default stream.
    pub fn new(layer: usize, output: TensorViewMut<'a>) -> Self {
        Self {
            layer,
            output,
            hidden: None,
            step: Step::default(),
            roles: &[],
            latent: None,
            scale: 1.0,
            check_hidden: true,
            stream: HostStream::default(),
        }
    }

    /// The hidden state that is read.
    fn source(&self) -> TensorView<'_> {
        match &self.hidden {
            Some(hidden) => *hidden,
            None => self.output.as_view(),
        }
    }

    /// Batch rows and image tokens.
    fn counts(&self) -> (usize, usize) {
        let [_, batch, rows, _] = self.output.as_view().shape();
        (batch, rows)
    }

    fn role(&self, batch: usize) -> Role {
        super::role_of(self.roles, batch)
    }

    /// Checks everything that does not depend on an identity.
    fn check(&self, layer: &HostLayer, width: usize, here: Place) -> Result<()> {
        let output = self.output.as_view();
        let views = [("output", output), ("hidden", self.source())];
        for (name, view) in views {
            match *view.dims() {
                [batch, rows, hidden] if hidden == width && batch > 0 && rows > 0 => {}
                [_, _, hidden] if hidden != width => {
                    return Err(Error::mismatch(format!(
                        "{name}: shape {:?}, layer {:?} reads a hidden state of width {width}",
                        view.dims(),
                        layer.name
                    )))
                }
                _ => {
                    return Err(Error::invalid(format!(
                        "{name}: shape {:?}, expected [batch, image tokens, {width}], none of them 0",
                        view.dims()
                    )))
                }
            }
            if view.place() != here {
                return Err(Error::unsupported(format!(
                    "{name}: the tensor is on {}, but the keys and values of this conditioning are on {here}",
                    view.place()
                ))
                .with_remedy(remedy::TENSOR_PLACE));
            }
        }
        let source = self.source();
        if source.shape() != output.shape() || source.element() != output.element() {
            return Err(Error::mismatch(format!(
                "the hidden state is {:?} {:?}, the output {:?} {:?}; they must be alike",
                source.element(),
                source.dims(),
                output.element(),
                output.dims()
            )));
        }
        let (batch, _) = self.counts();
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
        Ok(())
    }

    /// One identity's part in this call in one token set; `None` when it takes no part.
    fn pass<'s>(&self, identity: &'s ConditionedIdentity, set: usize) -> Result<Option<Pass<'s>>> {
        let active = identity.steps.contains(&self.step)?;
        let layers = match set {
            0 => Some(&identity.layers),
            further => identity.further_sets.get(further - 1),
        };
        let entry = layers.and_then(|layers| layers.get(self.layer)?.as_ref());
        let (true, Some(entry)) = (active && self.scale != 0.0, entry) else {
            return Ok(None);
        };
        let (batch, rows) = self.counts();
        if (0..batch).all(|row| entry.side(self.role(row)).is_none()) {
            return Ok(None);
        }
        let mask = identity.mask.as_ref();
        Ok(Some(Pass {
            entry,
            factor: entry.factor * self.scale,
            mask: mask.map(|mask| mask.factors(rows, self.latent)).transpose()?,
        }))
    }
}

setters!(ResidualCall<'a> {
    with_hidden: hidden = option TensorView<'a>,
    with_step: step = plain Step,
    with_roles: roles = plain &'a [Role],
    with_latent: latent = plain Option<(usize, usize)>,
    with_scale: scale = plain f32,
    with_check_hidden: check_hidden = plain bool,
    with_stream: stream = plain HostStream,
});

/// One identity's part in one call, in one token set.
struct Pass<'a> {
    entry: &'a ConditionedLayer,
    /// Factor of every row whose role the identity has keys for.
    factor: f32,
    /// One more factor per image token.
    mask: Option<Arc<[f32]>>,
}

impl Conditioning {
    /// Adds the identities to the image's hidden state between two blocks of the host: for adapters that work on the
    /// residual stream ([`is_residual`](Self::is_residual)), PuLID-FLUX and WithAnyone.
    ///
    /// Normalisation, query projection, attention and output projection happen inside. With several token sets all of
    /// them read the hidden state as it was before the call. Each identity has a softmax of its own; WithAnyone's
    /// reference has one softmax over all persons whose box covers an image token, which is the same where boxes do not
    /// overlap. Unconditional rows get the identity's unconditional tokens: for PuLID the encoding of zeros.
    ///
    /// Sums are computed in f32 and added to the output once, rounded to its number type. What is read is read before
    /// it is written, so that the call works in place. Layers without weight, identities outside their step range and
    /// rows without a counterpart leave the output bit for bit as it is.
    ///
    /// On the CPU the hidden state is worked on in blocks of some hundred tokens, in memory that the conditioning keeps:
    /// after the first calls nothing is allocated. On a GPU the hidden state is copied and the work runs on the engine's
    /// stream, in order with the host's stream.
    ///
    /// # Errors
    /// The output is untouched after an error, except one of kind [`Device`](crate::ErrorKind::Device).
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a layer that does not exist, an empty tensor, another
    /// number of roles than batch rows, a scale or a hidden state that is not finite, a missing step position or latent
    /// size; [`Mismatch`](crate::ErrorKind::Mismatch) for another width or number type, and for a conditioning whose
    /// layers are inside the host's attention; [`Unsupported`](crate::ErrorKind::Unsupported) when the tensors are not
    /// where the keys and values are.
    pub fn inject_residual(&self, call: ResidualCall<'_>) -> Result<()> {
        let layer = self.host().layer(call.layer)?;
        let Some(residual) = self.residual() else {
            return Err(Error::mismatch(format!(
                "the adapter for host {:?} adds to the attention of a layer, not to the residual stream",
                self.host().name()
            ))
            .with_remedy(remedy::INJECT));
        };
        let width = residual.layers(call.layer).next().map_or(0, |layer| layer.norm.width());
        call.check(layer, width, self.place())?;
        // Finds errors, and computes the masks, before anything is written.
        let mut takes_part = false;
        for identity in self.identities() {
            for set in 0..residual.layers(call.layer).count() {
                takes_part |= call.pass(identity, set)?.is_some();
            }
        }
        if !takes_part {
            return Ok(());
        }
        #[cfg(feature = "cuda")]
        if self.device_state().is_some() {
            return cuda::inject(self, residual, layer, call);
        }
        cpu::inject(self, residual, layer, call)
    }
}
