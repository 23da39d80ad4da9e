//! Conditioning: identities projected for a host, once.
//!
//! Nobody's keys and values change from step to step, so they are computed here and kept. A host then either calls
//! [`Conditioning::inject`] at each of its attention layers or takes the keys and values
//! ([`Conditioning::keys`], [`Conditioning::values`]) into its own attention kernel.

mod build;
mod injection;
mod joint;
mod layer_scales;
mod mask;
mod memory;
mod options;
mod resample;
mod residual;
mod steps;
mod weights;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;

pub use injection::{Injection, PulidMode};
pub(crate) use joint::Joint;
pub use layer_scales::LayerScales;
pub use mask::{Mask, MaskMode};
pub use options::{ConditioningOptions, EmbedsScaling, IdentityInput, Role, TimestepTokens, Unconditional};
pub(crate) use residual::Residual;
pub use steps::{NoiseSchedule, Step, StepRange};
pub use weights::{layer_weight, LayerWeight, TokenSource, WeightType, Weights};

use crate::adapter::Adapter;
use crate::error::{Error, Result};
use crate::host::HostSpec;
use crate::progress::{self, ProgressFn};
use candle_core::{DType, Device, DeviceLocation, Tensor};
use mask::MaskGrids;
use omniid_kernels::{KeyValue, Place};
use std::sync::Arc;

/// Keys and values of one or more identities for every attention layer of a host.
///
/// Immutable; clones share everything; every method may be called from any number of threads at once.
#[derive(Debug, Clone)]
pub struct Conditioning {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Before the tensors: its drop is the fence that must come before their release.
    #[cfg(feature = "cuda")]
    device_state: Option<crate::cuda::DeviceState>,
    host: HostSpec,
    /// Of the model that made the identities; `None` when it is not known.
    fingerprint: Option<String>,
    dtype: DType,
    injection: Injection,
    zero_tokens: usize,
    device: Device,
    identities: Vec<ConditionedIdentity>,
    /// Of keys and values that depend on the denoising timestep, those they were computed for; else empty.
    timesteps: Vec<f32>,
    /// What layers need that attend to the image's own keys too.
    joint: Option<Joint>,
    /// What runs at every step for layers of the residual stream; `None` for layers inside the host's attention.
    residual: Option<Residual>,
}

/// One identity, ready for injection.
#[derive(Debug)]
pub(crate) struct ConditionedIdentity {
    pub(crate) steps: StepRange,
    pub(crate) mask: Option<MaskGrids>,
    /// One entry per host layer; `None` where the identity has no weight.
    pub(crate) layers: Vec<Option<ConditionedLayer>>,
    /// The same for the adapter's token sets after the first.
    pub(crate) further_sets: Vec<Vec<Option<ConditionedLayer>>>,
    /// The same for the timesteps after the first.
    pub(crate) further_steps: Vec<Vec<Option<ConditionedLayer>>>,
    /// The tokens behind the keys and values, where every layer has its own from the same tokens, multiplied with
    /// nothing but its factor; else `None`.
    pub(crate) tokens: Option<ConditionedTokens>,
}

impl ConditionedIdentity {
    /// One layer at one place of the table of timesteps.
    pub(crate) fn layer(&self, place: usize, layer: usize) -> Option<&ConditionedLayer> {
        let layers = match place {
            0 => &self.layers,
            further => self.further_steps.get(further - 1)?,
        };
        layers.get(layer)?.as_ref()
    }
}

/// The tokens of one identity, each `[tokens, token width]`.
#[derive(Debug)]
pub(crate) struct ConditionedTokens {
    pub(crate) conditional: Tensor,
    pub(crate) unconditional: Option<Tensor>,
}

/// One identity in one layer.
#[derive(Debug)]
pub(crate) struct ConditionedLayer {
    /// Factor of the attention's output.
    pub(crate) factor: f32,
    /// Each `[tokens, heads · head_dim]`, contiguous.
    pub(crate) conditional: Option<KeyValue<Tensor>>,
    pub(crate) unconditional: Option<KeyValue<Tensor>>,
}

impl Conditioning {
    /// Projects the keys and values of `identities` for every layer of `host` in which they have weight.
    ///
    /// Runs where the adapter's weights are. Products are computed in f32 and stored in `options.dtype`.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for no identities, numbers that are not finite, or
    /// malformed ranges; [`Mismatch`](crate::ErrorKind::Mismatch) when adapter, host and tokens do not belong together;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for a weight type that the host does not define or another
    /// dtype.
    #[doc(hidden)]
    pub fn new(
        adapter: &Adapter,
        host: &HostSpec,
        identities: &[IdentityInput<'_>],
        options: &ConditioningOptions,
    ) -> Result<Self> {
        build::build(adapter, host, identities, options, &mut progress::ignore)
    }

    /// [`Conditioning::new`], with a callback that is told about each finished layer and can cancel between two.
    ///
    /// # Errors
    /// As [`Conditioning::new`]; [`Cancelled`](crate::ErrorKind::Cancelled).
    #[doc(hidden)]
    pub fn new_with_progress(
        adapter: &Adapter,
        host: &HostSpec,
        identities: &[IdentityInput<'_>],
        options: &ConditioningOptions,
        progress: ProgressFn<'_>,
    ) -> Result<Self> {
        build::build(adapter, host, identities, options, progress)
    }

    /// The host that this conditioning is for.
    pub fn host(&self) -> &HostSpec {
        &self.inner.host
    }

    /// Fingerprint of the model that made the identities ([`EngineInfo::fingerprint`](crate::engine::EngineInfo)); `None`
    /// when it is not known.
    pub fn fingerprint(&self) -> Option<&str> {
        self.inner.fingerprint.as_deref()
    }

    /// Sets the fingerprint of a conditioning that nobody shares yet.
    pub(crate) fn with_fingerprint(mut self, fingerprint: &str) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.fingerprint = Some(fingerprint.to_string());
        }
        self
    }

    /// Number type of the keys and values.
    pub fn dtype(&self) -> DType {
        self.inner.dtype
    }

    /// How an identity's attention joins the layer's output.
    pub fn injection(&self) -> Injection {
        self.inner.injection
    }

    /// Number of further tokens with zero keys and values in each softmax. They are not part of
    /// [`keys`](Self::keys) and [`values`](Self::values).
    pub fn zero_tokens(&self) -> usize {
        self.inner.zero_tokens
    }

    /// The denoising timesteps, 0 to 1000, that keys and values were computed for; empty where they do not depend on
    /// them. Injection takes those of the step's sigma, a thousandth of the timestep.
    pub fn timesteps(&self) -> &[f32] {
        &self.inner.timesteps
    }

    /// Whether the host's own keys and values take part in each softmax
    /// ([`InjectCall::image_keys`](crate::inject::InjectCall::image_keys)).
    pub fn needs_image_keys(&self) -> bool {
        self.inner.joint.is_some()
    }

    pub(crate) fn joint(&self) -> Option<&Joint> {
        self.inner.joint.as_ref()
    }

    /// Where the keys and values are.
    pub fn device(&self) -> &Device {
        &self.inner.device
    }

    /// Where the keys and values are, as the views of a host say it.
    pub(crate) fn place(&self) -> Place {
        match self.inner.device.location() {
            DeviceLocation::Cuda { gpu_id } => Place::Cuda(gpu_id),
            _ => Place::Cpu,
        }
    }

    /// Number of identities.
    pub fn identity_count(&self) -> usize {
        self.inner.identities.len()
    }

    /// Number of layers of the host.
    pub fn layer_count(&self) -> usize {
        self.inner.host.layer_count()
    }

    /// Name of a layer.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when there is no such layer.
    pub fn layer_name(&self, layer: usize) -> Result<&str> {
        Ok(&self.inner.host.layer(layer)?.name)
    }

    /// Index of the layer with this name; see [`HostSpec::find_layer`].
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when there is no such layer.
    pub fn find_layer(&self, name: &str) -> Result<usize> {
        self.inner.host.find_layer(name).ok_or_else(|| {
            let host = &self.inner.host;
            Error::invalid(format!(
                "host {:?} has no layer {name:?}; its first one is {:?}",
                host.name(),
                host.layers()[0].name
            ))
        })
    }

    /// Keys of one identity in one layer, `[tokens, heads, head_dim]`; `None` where nothing is injected. Shares the
    /// memory of this conditioning. With an adapter of several token sets (WithAnyone) these are those of the first.
    ///
    /// A host that runs its own attention adds `factor × softmax(q Kᵀ / √head_dim) V`, with
    /// [`factor`](Self::factor); it has to heed [`injection`](Self::injection) and
    /// [`zero_tokens`](Self::zero_tokens) where they are not the defaults.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when there is no such layer or identity.
    pub fn keys(&self, layer: usize, identity: usize, role: Role) -> Result<Option<Tensor>> {
        self.hand_out(layer, identity, role, |pair| &pair.keys)
    }

    /// Values of one identity in one layer; see [`keys`](Self::keys).
    ///
    /// # Errors
    /// As [`keys`](Self::keys).
    pub fn values(&self, layer: usize, identity: usize, role: Role) -> Result<Option<Tensor>> {
        self.hand_out(layer, identity, role, |pair| &pair.values)
    }

    /// Factor of one identity's attention output in one layer; 0 where nothing is injected. Masks and step ranges
    /// are not part of it.
    ///
    /// # Errors
    /// As [`keys`](Self::keys).
    pub fn factor(&self, layer: usize, identity: usize) -> Result<f32> {
        Ok(self.entry(layer, identity)?.map_or(0.0, |entry| entry.factor))
    }

    /// Whether one identity is injected at `step`.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when there is no such identity, or its range needs a
    /// value that `step` lacks.
    pub fn is_active(&self, identity: usize, step: &Step) -> Result<bool> {
        self.identity(identity)?.steps.contains(step)
    }

    /// One identity's mask as one factor per image token of a layer; `None` when it has no mask.
    ///
    /// # Errors
    /// As [`Mask::token_factors`].
    pub fn mask_factors(
        &self,
        identity: usize,
        tokens: usize,
        latent: Option<(usize, usize)>,
    ) -> Result<Option<Arc<[f32]>>> {
        self.identity(identity)?
            .mask
            .as_ref()
            .map(|mask| mask.factors(tokens, latent))
            .transpose()
    }

    /// Bytes that all keys and values occupy.
    pub fn byte_size(&self) -> usize {
        let layers = self.inner.identities.iter().flat_map(|identity| {
            identity
                .layers
                .iter()
                .chain(identity.further_sets.iter().flatten())
                .chain(identity.further_steps.iter().flatten())
                .flatten()
        });
        let pairs = layers.flat_map(|layer| layer.conditional.iter().chain(&layer.unconditional));
        let bytes = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        pairs.map(|pair| bytes(&pair.keys) + bytes(&pair.values)).sum()
    }

    /// What the GPU side keeps; `None` on the CPU.
    #[cfg(feature = "cuda")]
    pub(crate) fn device_state(&self) -> Option<&crate::cuda::DeviceState> {
        self.inner.device_state.as_ref()
    }

    /// Whether its layers add to the host's residual stream, by [`inject_residual`](Self::inject_residual), and not to
    /// an attention, by [`inject`](Self::inject).
    pub fn is_residual(&self) -> bool {
        self.inner.residual.is_some()
    }

    /// Width of the image hidden state that a layer of the residual stream reads and adds to; `None` for a layer inside
    /// an attention.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when there is no such layer.
    pub fn hidden_width(&self, layer: usize) -> Result<Option<usize>> {
        self.inner.host.layer(layer)?;
        let first = self.residual().and_then(|residual| residual.layers(layer).next());
        Ok(first.map(|layer| layer.norm.width()))
    }

    /// What runs at every step for layers of the residual stream.
    pub(crate) fn residual(&self) -> Option<&Residual> {
        self.inner.residual.as_ref()
    }

    pub(crate) fn identities(&self) -> &[ConditionedIdentity] {
        &self.inner.identities
    }

    fn identity(&self, identity: usize) -> Result<&ConditionedIdentity> {
        self.inner.identities.get(identity).ok_or_else(|| {
            Error::invalid(format!(
                "there is no identity {identity}: this conditioning has {}",
                self.identity_count()
            ))
        })
    }

    fn entry(&self, layer: usize, identity: usize) -> Result<Option<&ConditionedLayer>> {
        self.inner.host.layer(layer)?;
        Ok(self.identity(identity)?.layers.get(layer).and_then(Option::as_ref))
    }

    fn hand_out(
        &self,
        layer: usize,
        identity: usize,
        role: Role,
        pick: impl Fn(&KeyValue<Tensor>) -> &Tensor,
    ) -> Result<Option<Tensor>> {
        let place = self.inner.host.layer(layer)?;
        if self.timesteps().len() > 1 {
            return Err(Error::unsupported(format!(
                "this conditioning holds keys and values for {} timesteps; it hands them out for one",
                self.timesteps().len()
            )));
        }
        let Some(entry) = self.entry(layer, identity)? else {
            return Ok(None);
        };
        let Some(pair) = entry.side(role) else {
            return Ok(None);
        };
        let tensor = pick(pair);
        Ok(Some(tensor.reshape((tensor.dim(0)?, place.heads, place.head_dim))?))
    }
}

impl ConditionedLayer {
    pub(crate) fn side(&self, role: Role) -> Option<&KeyValue<Tensor>> {
        match role {
            Role::Conditional => self.conditional.as_ref(),
            Role::Unconditional => self.unconditional.as_ref(),
        }
    }
}
