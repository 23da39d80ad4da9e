//! The candle device of an engine, and what the driver says about pointers and streams.

use super::stream::HostStream;
use crate::error::{Error, ErrorKind, Result};
use candle_core::cuda_backend::cudarc::driver::{result, sys, CudaContext, CudaStream, DriverError};
use candle_core::{CudaDevice, Device};
use omniid_kernels::TensorView;
use std::sync::Arc;

/// Number of CUDA devices; 0 where there is no driver or no GPU.
pub fn device_count() -> usize {
    CudaContext::device_count()
        .ok()
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(0)
}

/// Opens device number `ordinal` for an engine.
///
/// The device's primary context is used, which CUDA's runtime API and PyTorch use too, so addresses are valid on both
/// sides. All of the engine's work goes to one new non-blocking stream, whatever thread it comes from. Opening waits
/// once for the work that is queued in the context; no later call does.
///
/// # Errors
///
/// `Device`: no driver, no such device, or one of the CUDA libraries failed.
pub fn open(ordinal: usize) -> Result<Device> {
    let failed = |error: candle_core::Error| {
        Error::new(
            ErrorKind::Device,
            format!("CUDA device {ordinal}: {error} ({} found)", device_count()),
        )
    };
    let before = CurrentContext::save();
    let device = Device::new_cuda_with_stream(ordinal).map_err(failed)?;
    let cuda = device.as_cuda_device().map_err(failed)?;
    // SAFETY: candle's tensors of this device are used on its one stream only, so they need no events between
    // streams. Where the host's streams read them, a `Lease` orders the use and the release.
    unsafe { cuda.disable_event_tracking() };
    drop(before);
    Ok(device)
}

/// Turns a driver's error into ours, with what was being done.
pub(super) fn driver_error(doing: &'static str) -> impl Fn(DriverError) -> Error {
    move |error| Error::new(ErrorKind::Device, format!("{doing}: {error}"))
}

/// Remembers the calling thread's CUDA context and puts it back when dropped.
///
/// candle and cudarc make the engine's context current and leave it so. A host that works with another device on the
/// same thread must not notice: the runtime API allocates on the device whose context is current.
#[derive(Debug)]
pub struct CurrentContext(sys::CUcontext);

impl CurrentContext {
    /// The context that is current on this thread, or none.
    pub fn save() -> Self {
        // Before the driver is initialised there is none, which the driver spells NULL.
        Self(
            result::ctx::get_current()
                .ok()
                .flatten()
                .unwrap_or(std::ptr::null_mut()),
        )
    }

    /// Makes the context of `device` current until the returned value is dropped.
    pub(super) fn enter(device: &CudaDevice) -> Result<Self> {
        let saved = Self::save();
        let stream = device.cuda_stream();
        stream
            .context()
            .bind_to_thread()
            .map_err(driver_error("using the CUDA context"))?;
        Ok(saved)
    }
}

impl Drop for CurrentContext {
    fn drop(&mut self) {
        // SAFETY: the context was current on this thread when it was saved, or is NULL for none. Should the host have
        // destroyed it since, from another thread, the driver answers with an error, which nothing here depends on.
        let _ = unsafe { result::ctx::set_current(self.0) };
    }
}

/// The stream that work for the host goes to: the host's, or the engine's for [`HostStream::Blocking`].
///
/// # Errors
///
/// `Mismatch` when the host's stream belongs to another device or context.
pub(super) fn resolve(stream: HostStream, device: &CudaDevice) -> Result<Arc<CudaStream>> {
    let own = device.cuda_stream();
    let Some(handle) = stream.handle() else {
        return Ok(own);
    };
    let raw = handle as usize as sys::CUstream;
    if let HostStream::Handle(_) = stream {
        let mut context = std::ptr::null_mut();
        // SAFETY: the C ABI requires a live stream here; `context` outlives the call.
        unsafe { sys::cuStreamGetCtx(raw, &mut context) }
            .result()
            .map_err(|error| Error::invalid(format!("CUDA stream {handle:#x} is not a live stream: {error}")))?;
        if context != own.context().cu_ctx() {
            return Err(Error::mismatch(format!(
                "CUDA stream {handle:#x} belongs to another device or context than the engine, which uses the primary \
                 context of device {}",
                own.context().ordinal()
            )));
        }
    }
    // SAFETY: the stream is one of the two default streams, which always exist, or the host's, which must live until
    // the call returns; the wrapper does not outlive the call and does not destroy it.
    Ok(unsafe { own.context().wrap_borrowed_stream(raw) })
}

/// Ends a call: a blocking one waits until its own stream has finished.
pub(super) fn finish(host: HostStream, stream: &CudaStream) -> Result<()> {
    match host {
        HostStream::Blocking => stream.synchronize().map_err(driver_error("waiting for the GPU")),
        _ => Ok(()),
    }
}

/// Checks that the driver knows the start of `view` as memory that kernels of this device may use.
///
/// A kernel that touches any other address poisons the context, and with it the host.
pub(super) fn check_pointer(view: &TensorView<'_>, device: &CudaDevice, what: &str) -> Result<()> {
    let address = view.data().addr() as u64;
    let mut ordinal: std::ffi::c_int = -1;
    let attribute = sys::CUpointer_attribute::CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL;
    // SAFETY: the attribute is written as an int; the driver only looks the address up, it does not follow it.
    let status = unsafe { sys::cuPointerGetAttribute((&raw mut ordinal).cast(), attribute, address) }.result();
    let expected = device.cuda_stream().context().ordinal();
    match status {
        Ok(()) if usize::try_from(ordinal) == Ok(expected) => Ok(()),
        Ok(()) => Err(Error::mismatch(format!(
            "{what}: address {address:#x} is on CUDA device {ordinal}, the engine is on device {expected}"
        ))),
        Err(_) => Err(Error::invalid(format!(
            "{what}: address {address:#x} is not memory of a CUDA device"
        ))),
    }
}
