//! Injection into memory of a GPU, on the host's stream.

use super::Request;
use crate::conditioning::{Conditioning, Role, Step};
use crate::cuda::{self, AttentionRow, DeviceView, HostStream, Lease, QueryWeights};
use crate::error::{Error, Result};
use candle_core::{Device, Tensor};
use std::sync::{Arc, PoisonError, RwLock};

/// Most masks that a conditioning keeps on the device: one per identity and layer size.
const MAX_MASKS: usize = 256;

/// One call of [`Conditioning::inject_on_device`]: one attention layer at one step, in memory of the GPU.
#[derive(Debug, Clone, Copy)]
pub struct DeviceInjectCall<'a> {
    /// Index of the layer in the host's table.
    pub layer: usize,
    /// The layer's queries `[batch, rows, heads, head_dim]`, f32, f16 or bf16.
    pub query: DeviceView,
    /// What the identity's attention is added to, of the same shape. Must not overlap the query.
    pub output: DeviceView,
    /// Where sampling stands. Needed only by identities that are limited to a step range.
    pub step: Step,
    /// The side of guidance of each batch row, in any order; empty means that all rows are conditional.
    pub roles: &'a [Role],
    /// Height and width of the latent picture. Needed only by identities with a mask.
    pub latent: Option<(usize, usize)>,
    /// Multiplies every identity's scale in this call. 0 leaves the output bit for bit as it is.
    pub scale: f32,
    /// The stream that the host has queued the query on and will read the output on.
    pub stream: HostStream,
}

impl<'a> DeviceInjectCall<'a> {
    /// A call with all rows conditional, at no particular step, without latent size, at scale 1.
    pub fn new(layer: usize, query: DeviceView, output: DeviceView, stream: HostStream) -> Self {
        Self {
            layer,
            query,
            output,
            step: Step::default(),
            roles: &[],
            latent: None,
            scale: 1.0,
            stream,
        }
    }
}

/// What a conditioning on a GPU has beside its tensors.
#[derive(Debug)]
pub(crate) struct DeviceState {
    lease: Lease,
    masks: RwLock<Vec<Arc<DeviceMask>>>,
}

#[derive(Debug)]
struct DeviceMask {
    // Before the tensor: its drop is the fence that must come before the release.
    lease: Lease,
    values: Tensor,
    /// What was uploaded; keeps the address from being given to another mask.
    source: Arc<[f32]>,
}

impl DeviceState {
    /// For tensors that were made on `device` until now; `None` on the CPU.
    pub(crate) fn new(device: &Device) -> Result<Option<Self>> {
        let Device::Cuda(device) = device else {
            return Ok(None);
        };
        Ok(Some(Self {
            lease: Lease::new(device)?,
            masks: RwLock::default(),
        }))
    }

    fn mask(&self, source: Arc<[f32]>) -> Result<Arc<DeviceMask>> {
        let same = |mask: &&Arc<DeviceMask>| Arc::ptr_eq(&mask.source, &source);
        if let Some(found) = self
            .masks
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .find(same)
        {
            return Ok(found.clone());
        }
        let device = self.lease.device();
        let values = Tensor::from_slice(&source, source.len(), &Device::Cuda(device.clone()))?;
        let mask = Arc::new(DeviceMask {
            lease: Lease::new(device)?,
            values,
            source,
        });
        let mut masks = self.masks.write().unwrap_or_else(PoisonError::into_inner);
        if masks.len() >= MAX_MASKS {
            masks.remove(0);
        }
        masks.push(mask.clone());
        Ok(mask)
    }
}

impl Conditioning {
    /// Adds the identities' attention to `call.output`, in place, on the GPU that the conditioning is on.
    ///
    /// The kernels run on the host's stream and touch the host's memory directly; nothing is copied, and the call does
    /// not wait for the GPU. The first call on a device compiles the kernel, which takes about a second. A mask is
    /// uploaded at its first use with each layer size. Values of the query that are not finite are not looked for.
    ///
    /// Everything else is as in [`Conditioning::inject`].
    ///
    /// # Errors
    /// As [`Conditioning::inject`]. [`Unsupported`](crate::ErrorKind::Unsupported) when the keys and values are on the
    /// CPU; [`Mismatch`](crate::ErrorKind::Mismatch) for tensors or a stream of another device;
    /// [`Device`](crate::ErrorKind::Device) when the driver fails, after which the output may be changed in part.
    pub fn inject_on_device(&self, call: &DeviceInjectCall<'_>) -> Result<()> {
        let Some(state) = self.device_state() else {
            return Err(Error::unsupported(
                "injecting into memory of a GPU: the keys and values of this conditioning are on the CPU",
            ));
        };
        let request = Request {
            layer: call.layer,
            query_shape: call.query.shape4(),
            output_shape: call.output.shape4(),
            step: call.step,
            roles: call.roles,
            latent: call.latent,
            scale: call.scale,
        };
        let [batch, ..] = request.query_shape;
        self.passes(&request, |pass| {
            let mask = pass.mask.map(|mask| state.mask(mask)).transpose()?;
            let rows: Vec<_> = (0..batch)
                .filter_map(|batch| {
                    let role = call.roles.get(batch).copied().unwrap_or_default();
                    let pair = pass.entry.side(role)?;
                    Some(AttentionRow {
                        batch,
                        keys: &pair.keys,
                        values: &pair.values,
                        factor: pass.factor,
                    })
                })
                .collect();
            let weights = mask.as_ref().map(|mask| QueryWeights {
                values: &mask.values,
                lease: &mask.lease,
            });
            cuda::inject(
                &state.lease,
                &rows,
                weights,
                &call.query,
                &call.output,
                call.stream,
            )
        })
    }
}
