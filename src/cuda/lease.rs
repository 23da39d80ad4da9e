//! The fence between the engine's stream and the streams of the host.

use super::device::{driver_error, finish, resolve, CurrentContext};
use super::stream::HostStream;
use crate::error::{Error, ErrorKind, Result};
use crate::remedy;
use candle_core::cuda_backend::cudarc::driver::{result, sys, CudaEvent, CudaStream};
use candle_core::CudaDevice;
use std::sync::atomic::{AtomicBool, Ordering};

/// Permission for the host's streams to read tensors that the engine's stream has written.
///
/// Made after the tensors: it remembers, as an event, the point where they are complete. A stream of the host waits
/// for that point before its first use. When the lease is dropped, the engine's stream waits for everything that is
/// queued in the context at that moment; memory freed afterwards is therefore not reused while a kernel of the host
/// still reads it. Neither side ever blocks the CPU.
///
/// **Put it before the tensors it covers in a struct**: fields are dropped in the order of their declaration, and the
/// fence must come before the release.
///
/// Do not drop a lease while a stream of the same device is being captured into a CUDA graph. The driver cannot put
/// such a fence into a capture and ends the capture with an error, as it does for `cudaFree`.
#[derive(Debug)]
pub struct Lease {
    device: CudaDevice,
    ready: CudaEvent,
    /// Set once `ready` was seen complete: no stream needs to wait any more.
    passed: AtomicBool,
}

impl Lease {
    /// Covers all work that was queued on the engine's stream so far.
    ///
    /// # Errors
    ///
    /// `Device`: the driver failed.
    pub fn new(device: &CudaDevice) -> Result<Self> {
        let _context = CurrentContext::enter(device)?;
        let ready = record(&device.cuda_stream())?;
        Ok(Self {
            device: device.clone(),
            ready,
            passed: AtomicBool::new(false),
        })
    }

    /// The engine's device.
    pub fn device(&self) -> &CudaDevice {
        &self.device
    }

    /// Makes `stream` wait, on the device, until the tensors are complete. [`HostStream::Blocking`] waits on the CPU.
    ///
    /// # Errors
    ///
    /// `Device`: the driver failed. `Mismatch`: a stream of another device. `InvalidArgument`: the stream is being
    /// captured into a CUDA graph and the tensors are not complete yet.
    pub fn acquire(&self, stream: HostStream) -> Result<()> {
        let _context = CurrentContext::enter(&self.device)?;
        let target = resolve(stream, &self.device)?;
        self.acquire_on(&target)?;
        finish(stream, &target)
    }

    pub(super) fn acquire_on(&self, stream: &CudaStream) -> Result<()> {
        if self.passed.load(Ordering::Acquire) {
            return Ok(());
        }
        if self
            .ready
            .try_is_complete()
            .map_err(driver_error("asking for keys and values"))?
        {
            self.passed.store(true, Ordering::Release);
            return Ok(());
        }
        if is_capturing(stream)? {
            return Err(Error::invalid(
                "the stream is being captured into a CUDA graph and waits for work outside of it",
            )
            .with_remedy(remedy::GRAPH_CAPTURE));
        }
        stream
            .wait(&self.ready)
            .map_err(driver_error("ordering the host's stream after the engine's"))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Err(error) = retire(&self.device) {
            log::error!("releasing GPU memory: {error}");
        }
    }
}

/// Makes the engine's stream wait for all work that is queued in the context now, on whatever stream.
fn retire(device: &CudaDevice) -> Result<()> {
    let _context = CurrentContext::enter(device)?;
    let own = device.cuda_stream();
    let event = own.context().new_event(None).map_err(driver_error("making an event"))?;
    // SAFETY: context and event are alive; the event belongs to the context.
    let recorded = unsafe { sys::cuCtxRecordEvent(own.context().cu_ctx(), event.cu_event()) }.result();
    match recorded {
        Ok(()) => own
            .wait(&event)
            .map_err(driver_error("ordering the engine's stream after the host's")),
        // A driver that cannot record a context: waiting is slow, reusing memory that is being read is wrong.
        Err(error) => {
            log::warn!("recording an event for the CUDA context: {error}; waiting for the context instead");
            result::ctx::synchronize().map_err(driver_error("waiting for the CUDA context"))
        }
    }
}

/// An event at the end of what is queued on `stream`.
pub(super) fn record(stream: &CudaStream) -> Result<CudaEvent> {
    stream.record_event(None).map_err(driver_error("recording an event"))
}

/// Makes `later` wait on the device for what is queued on `earlier` now.
///
/// # Errors
///
/// `InvalidArgument` when one of them is being captured into a CUDA graph: the engine's work cannot become part of it.
pub(super) fn order(earlier: &CudaStream, later: &CudaStream) -> Result<()> {
    if earlier.cu_stream() == later.cu_stream() {
        return Ok(());
    }
    if is_capturing(earlier)? || is_capturing(later)? {
        return Err(Error::invalid(
            "tensors cannot be copied on a stream that is being captured into a CUDA graph",
        ));
    }
    let event = record(earlier)?;
    later.wait(&event).map_err(driver_error("ordering two CUDA streams"))
}

fn is_capturing(stream: &CudaStream) -> Result<bool> {
    let status = stream.capture_status().map_err(|error| {
        Error::new(
            ErrorKind::Device,
            format!("asking whether the stream is being captured: {error}"),
        )
    })?;
    Ok(status != sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE)
}
