//! Tensors in and out of the engine.

use super::compile::{function, Kernel};
use super::device::{check_pointer, driver_error, finish, resolve, CurrentContext};
use super::lease::{order, Lease};
use super::stream::HostStream;
use crate::error::{Error, Result};
use candle_core::cuda_backend::cudarc::driver::{CudaStream, DevicePtr, DeviceRepr, LaunchConfig, PushKernelArg};
use candle_core::{CudaDevice, CudaStorage, DType, Device, Storage, Tensor};
use half::{bf16, f16};
use omniid_kernels::{Element, TensorView, TensorViewMut};
use std::sync::Arc;

const COPY_THREADS: u32 = 256;

/// `CopyGeometry` in copy.cu.
#[repr(C)]
struct CopyGeometry {
    shape: [i64; 4],
    source: [i64; 4],
    target: [i64; 4],
    count: i64,
}

// SAFETY: a plain C struct of integers, laid out like its namesake in copy.cu.
unsafe impl DeviceRepr for CopyGeometry {}

/// Copies a tensor of the host into a new tensor of the engine, contiguous, of the same dtype.
///
/// The copy runs on the engine's stream, after what the host has queued on `stream`; the host's stream waits for it,
/// so the host may overwrite or free its memory in stream order right after the call.
///
/// # Errors
/// `InvalidArgument`, `Mismatch`, `Unsupported`: the tensor or the stream does not fit. `Device`: the driver failed.
pub fn import(source: &TensorView<'_>, device: &CudaDevice, stream: HostStream) -> Result<Tensor> {
    let dtype = source.element().into();
    let target = Tensor::zeros(source.dims(), dtype, &Device::Cuda(device.clone()))?;
    let _context = CurrentContext::enter(device)?;
    check_pointer(source, device, "tensor")?;
    let host = resolve(stream, device)?;
    let own = device.cuda_stream();
    order(&host, &own)?;
    let geometry = CopyGeometry::new(source.shape(), Some(source.strides()), None);
    let kernel = Kernel::Copy {
        source: source.element(),
        target: source.element(),
    };
    copy(
        kernel,
        source.data().addr() as u64,
        address(&target, dtype)?,
        &geometry,
        &own,
    )?;
    order(&own, &host)?;
    finish(stream, &own)?;
    Ok(target)
}

/// Copies a tensor of the engine into memory of the host, with the layout and the dtype that the host describes.
///
/// The copy runs on the engine's stream, after what the host has queued on `stream` and before what it queues next.
///
/// # Errors
/// `InvalidArgument`, `Mismatch`, `Unsupported`: the tensor or the stream does not fit. `Device`: the driver failed.
pub fn copy_into(source: &Tensor, target: &mut TensorViewMut<'_>, stream: HostStream) -> Result<()> {
    let target = target.as_view();
    if source.dims() != target.dims() {
        return Err(Error::mismatch(format!(
            "tensor has shape {:?}; the result has shape {:?}",
            target.dims(),
            source.dims()
        )));
    }
    let device = source.device().as_cuda_device()?;
    let source = source.contiguous()?;
    let _context = CurrentContext::enter(device)?;
    check_pointer(&target, device, "tensor")?;
    let host = resolve(stream, device)?;
    let own = device.cuda_stream();
    order(&host, &own)?;
    let geometry = CopyGeometry::new(target.shape(), None, Some(target.strides()));
    let kernel = Kernel::Copy {
        source: Element::try_from(source.dtype())?,
        target: target.element(),
    };
    copy(
        kernel,
        address(&source, source.dtype())?,
        target.data().addr() as u64,
        &geometry,
        &own,
    )?;
    order(&own, &host)?;
    finish(stream, &own)
}

/// A tensor of the engine that a host may read, for as long as this value lives.
///
/// Put it into the `manager_ctx` of a `DLManagedTensorVersioned`; the deleter drops it, from any thread. The memory is
/// released after all work that is queued in the context at that moment.
#[derive(Debug)]
pub struct Export {
    // Before the tensor: its drop is the fence that must come before the release.
    lease: Lease,
    tensor: Tensor,
    data: u64,
}

impl Export {
    /// Shares `tensor`, or a contiguous copy of it, and makes the host's stream wait until it is complete.
    ///
    /// # Errors
    ///
    /// `Unsupported`: a dtype other than f32, f16, bf16, or a tensor that is not on a CUDA device. `Mismatch`: a stream
    /// of another device. `Device`: the driver failed.
    pub fn new(tensor: &Tensor, stream: HostStream) -> Result<Self> {
        let Device::Cuda(device) = tensor.device() else {
            return Err(Error::unsupported("only tensors on a CUDA device are exported to one"));
        };
        let tensor = tensor.contiguous()?;
        let data = address(&tensor, tensor.dtype())?;
        let lease = Lease::new(device)?;
        lease.acquire(stream)?;
        Ok(Self { lease, tensor, data })
    }

    /// Address of element 0 on the device.
    pub fn data(&self) -> u64 {
        self.data
    }

    /// The tensor: its shape and dtype. It is contiguous.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Number of the device.
    pub fn ordinal(&self) -> usize {
        self.lease.device().cuda_stream().context().ordinal()
    }
}

/// Address of a contiguous tensor's first element on its device.
///
/// The address is valid while the tensor's storage lives. Work on another stream needs a [`Lease`].
pub(super) fn address(tensor: &Tensor, dtype: DType) -> Result<u64> {
    if tensor.dtype() != dtype || !tensor.is_contiguous() {
        return Err(Error::internal(format!(
            "a contiguous tensor of type {dtype:?} is needed, found type {:?}, strides {:?}",
            tensor.dtype(),
            tensor.stride()
        )));
    }
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else {
        return Err(Error::internal("a tensor on a CUDA device is needed"));
    };
    let base = match Element::try_from(dtype)? {
        Element::F32 => base::<f32>(storage)?,
        Element::F16 => base::<f16>(storage)?,
        Element::BF16 => base::<bf16>(storage)?,
    };
    Ok(base + (layout.start_offset() * dtype.size_in_bytes()) as u64)
}

fn base<T: candle_core::cuda_backend::CudaDType>(storage: &CudaStorage) -> Result<u64> {
    let slice = storage.as_cuda_slice::<T>()?;
    let (pointer, _record) = slice.device_ptr(slice.stream());
    Ok(pointer)
}

impl CopyGeometry {
    /// `source` and `target` are the strides of the two sides, `None` for a contiguous one.
    fn new(shape: [usize; 4], source: Option<[usize; 4]>, target: Option<[usize; 4]>) -> Self {
        // A view has checked that sizes, strides and the number of elements stay below 2⁶³.
        let signed = |sizes: [usize; 4]| sizes.map(|size| size as i64);
        let shape = signed(shape);
        let mut contiguous = [1; 4];
        for dim in (0..3).rev() {
            contiguous[dim] = contiguous[dim + 1] * shape[dim + 1];
        }
        Self {
            shape,
            source: source.map_or(contiguous, signed),
            target: target.map_or(contiguous, signed),
            count: contiguous[0] * shape[0],
        }
    }
}

fn copy(kernel: Kernel, source: u64, target: u64, geometry: &CopyGeometry, stream: &Arc<CudaStream>) -> Result<()> {
    let blocks = u32::try_from(geometry.count.unsigned_abs().div_ceil(u64::from(COPY_THREADS)));
    let blocks = blocks.ok().filter(|blocks| *blocks < 1 << 31).ok_or_else(|| {
        Error::unsupported(format!(
            "{} elements are more than one copy on the GPU takes",
            geometry.count
        ))
    })?;
    let function = function(kernel, stream.context())?;
    let config = LaunchConfig {
        grid_dim: (blocks, 1, 1),
        block_dim: (COPY_THREADS, 1, 1),
        shared_mem_bytes: 0,
    };
    let mut arguments = stream.launch_builder(&function);
    arguments.arg(&source).arg(&target).arg(geometry);
    // SAFETY: the arguments are those of `omniid_copy`. One side is a contiguous tensor of the engine with the
    // geometry's shape; the other is the host's memory, whose extent was checked as the host describes it. The
    // caller has ordered the two streams.
    unsafe { arguments.launch(config) }.map_err(driver_error("launching the copy kernel"))?;
    Ok(())
}
