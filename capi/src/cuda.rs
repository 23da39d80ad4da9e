//! Tensors on a GPU: injecting into them, and handing them out.

use crate::conditioning_contents::latent_size;
use crate::dlpack::{self, omniid_managed_tensor, TensorDevice};
use crate::inject::{omniid_inject_call, roles, step, view_layout};
use crate::tensor::{managed, Place, View};
use candle_core::{Device, Tensor};
use omniid::conditioning::Conditioning;
use omniid::cuda::{DeviceView, Export, HostStream};
use omniid::host::HostLayer;
use omniid::inject::{check_disjoint, DeviceInjectCall};
use omniid::{Error, Result};

/// Injects into the memory of the GPU, on the host's stream.
///
/// # Safety
/// Query and output describe memory as `omniid_inject` says; the stream is live.
pub(crate) unsafe fn inject(
    conditioning: &Conditioning,
    raw: &omniid_inject_call,
    query: &View,
    output: &View,
) -> Result<()> {
    let layer = conditioning.host().layer(raw.layer)?;
    if conditioning.device().is_cpu() {
        return Err(Error::unsupported(
            "query and output are on a CUDA device, but the engine is on the CPU; open it on that device",
        ));
    }
    check_disjoint(query.bytes(), output.bytes())?;
    let view = |view: &View, name: &str| device_view(view, raw.layout, layer, conditioning.device(), name);
    let call = DeviceInjectCall {
        layer: raw.layer,
        query: view(query, "query")?,
        output: view(output, "output")?,
        step: step(raw)?,
        // SAFETY: the caller's promise.
        roles: unsafe { roles(raw) }?,
        latent: latent_size(raw.latent_height, raw.latent_width)?,
        scale: raw.scale,
        stream: HostStream::from_dlpack(Some(raw.stream))?,
    };
    conditioning.inject_on_device(&call)
}

fn device_view(
    view: &View,
    layout: i32,
    layer: &HostLayer,
    device: &Device,
    name: &str,
) -> Result<DeviceView> {
    let here = device.as_cuda_device()?.cuda_stream().context().ordinal();
    if view.place != Place::Cuda(here) {
        return Err(Error::unsupported(format!(
            "{name}: the tensor is at {:?}, the engine is on CUDA device {here}",
            view.place
        )));
    }
    let address = view.address().addr() as u64;
    DeviceView::with_layout(address, view.dtype, view_layout(view, layout, layer, name)?, name)
}

/// An owned tensor of a candle tensor on a CUDA device; shares its memory. The host's stream waits until it is complete.
pub(crate) fn managed_tensor(tensor: &Tensor, stream: i64) -> Result<*mut omniid_managed_tensor> {
    let export = Export::new(tensor, HostStream::from_dlpack(Some(stream))?)?;
    let device = TensorDevice {
        device_type: dlpack::CUDA,
        device_id: i32::try_from(export.ordinal())
            .map_err(|_| Error::internal("a device number beyond 31 bits"))?,
    };
    let data = std::ptr::without_provenance_mut(export.data() as usize);
    let (dtype, sizes) = (export.tensor().dtype(), export.tensor().dims().to_vec());
    managed(data, device, dtype, &sizes, Box::new(export))
}
