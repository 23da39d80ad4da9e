//! Tensors in and out of the engine.

use super::compile::{function, Kernel};
use super::device::{check_pointer, driver_error, finish, resolve, CurrentContext};
use super::layout::{check_extent, may_overlap, DeviceTensor, Element};
use super::lease::{order, Lease};
use super::stream::HostStream;
use crate::error::{Error, Result};
use candle_core::cuda_backend::cudarc::driver::{
    CudaStream, DevicePtr, DeviceRepr, LaunchConfig, PushKernelArg,
};
use candle_core::{CudaDevice, CudaStorage, DType, Device, Storage, Tensor};
use half::{bf16, f16};
use std::sync::Arc;

const COPY_THREADS: u32 = 256;
/// Dimensions that the copy kernel walks over.
const COPY_DIMS: usize = 4;

/// `CopyGeometry` in copy.cu.
#[repr(C)]
struct CopyGeometry {
    shape: [i64; COPY_DIMS],
    source: [i64; COPY_DIMS],
    target: [i64; COPY_DIMS],
    count: i64,
}

// SAFETY: a plain C struct of integers, laid out like its namesake in copy.cu.
unsafe impl DeviceRepr for CopyGeometry {}

/// Copies a tensor of the host into a new tensor of the engine, contiguous, of the same dtype.
///
/// The copy runs on the engine's stream, after what the host has queued on `stream`; the host's stream waits for it,
/// so the host may overwrite or free its memory in stream order right after the call. Up to four dimensions.
///
/// # Errors
///
/// `InvalidArgument`, `Mismatch`, `Unsupported`: the tensor or the stream does not fit. `Device`: the driver failed.
pub fn import(source: &DeviceTensor<'_>, device: &CudaDevice, stream: HostStream) -> Result<Tensor> {
    let element = check_host(source, "tensor")?;
    let target = Tensor::zeros(source.shape, source.dtype, &Device::Cuda(device.clone()))?;
    if target.elem_count() == 0 {
        return Ok(target);
    }
    let strides = contiguous(source.shape);
    let _context = CurrentContext::enter(device)?;
    check_pointer(source.data, device, "tensor")?;
    let host = resolve(stream, device)?;
    let own = device.cuda_stream();
    order(&host, &own)?;
    let geometry = geometry(source.shape, source.strides, &strides)?;
    copy(
        source.data,
        element,
        address(&target, source.dtype)?,
        element,
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
///
/// `InvalidArgument`, `Mismatch`, `Unsupported`: the tensor or the stream does not fit. `Device`: the driver failed.
pub fn copy_into(source: &Tensor, target: &DeviceTensor<'_>, stream: HostStream) -> Result<()> {
    let element = check_host(target, "tensor")?;
    let device = source.device().as_cuda_device()?;
    if source.dims() != target.shape {
        return Err(Error::mismatch(format!(
            "tensor has shape {:?}; the result has shape {:?}",
            target.shape,
            source.dims()
        )));
    }
    if may_overlap(target.shape, target.strides) {
        return Err(Error::invalid(format!(
            "tensor: with shape {:?} and strides {:?} two elements share an address",
            target.shape, target.strides
        )));
    }
    if source.elem_count() == 0 {
        return Ok(());
    }
    let source = source.contiguous()?;
    let source_element = Element::of(source.dtype(), "result")?;
    let _context = CurrentContext::enter(device)?;
    check_pointer(target.data, device, "tensor")?;
    let host = resolve(stream, device)?;
    let own = device.cuda_stream();
    order(&host, &own)?;
    let geometry = geometry(target.shape, &contiguous(target.shape), target.strides)?;
    copy(
        address(&source, source.dtype())?,
        source_element,
        target.data,
        element,
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
            return Err(Error::unsupported(
                "only tensors on a CUDA device are exported to one",
            ));
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
    let base = match Element::of(dtype, "tensor")? {
        Element::F32 => base::<f32>(storage)?,
        Element::F16 => base::<f16>(storage)?,
        Element::Bf16 => base::<bf16>(storage)?,
    };
    Ok(base + layout.start_offset() as u64 * Element::of(dtype, "tensor")?.size())
}

fn base<T: candle_core::cuda_backend::CudaDType>(storage: &CudaStorage) -> Result<u64> {
    let slice = storage.as_cuda_slice::<T>()?;
    let (pointer, _record) = slice.device_ptr(slice.stream());
    Ok(pointer)
}

fn check_host(tensor: &DeviceTensor<'_>, what: &str) -> Result<Element> {
    let element = Element::of(tensor.dtype, what)?;
    if tensor.shape.len() != tensor.strides.len() || tensor.shape.len() > COPY_DIMS {
        return Err(Error::invalid(format!(
            "{what} has {} dimensions and {} strides; as many strides as dimensions are needed, at most {COPY_DIMS}",
            tensor.shape.len(),
            tensor.strides.len()
        )));
    }
    check_extent(tensor.data, element, tensor.shape, tensor.strides, what)?;
    Ok(element)
}

fn contiguous(shape: &[usize]) -> Vec<i64> {
    let mut strides = vec![1i64; shape.len()];
    for dim in (1..shape.len()).rev() {
        strides[dim - 1] = strides[dim].saturating_mul(i64::try_from(shape[dim]).unwrap_or(i64::MAX));
    }
    strides
}

/// Shape and strides, filled up in front with dimensions of size 1.
fn geometry(shape: &[usize], source: &[i64], target: &[i64]) -> Result<CopyGeometry> {
    let mut result = CopyGeometry {
        shape: [1; COPY_DIMS],
        source: [0; COPY_DIMS],
        target: [0; COPY_DIMS],
        count: 1,
    };
    let skip = COPY_DIMS - shape.len();
    for (place, &size) in shape.iter().enumerate() {
        let size = i64::try_from(size).ok();
        let count = size.and_then(|size| result.count.checked_mul(size));
        let (Some(size), Some(count)) = (size, count) else {
            return Err(Error::invalid(format!(
                "shape {shape:?} has more elements than 63 bits count"
            )));
        };
        result.shape[skip + place] = size;
        result.source[skip + place] = source[place];
        result.target[skip + place] = target[place];
        result.count = count;
    }
    Ok(result)
}

fn copy(
    source: u64,
    source_element: Element,
    target: u64,
    target_element: Element,
    geometry: &CopyGeometry,
    stream: &Arc<CudaStream>,
) -> Result<()> {
    let blocks = u32::try_from(geometry.count.unsigned_abs().div_ceil(u64::from(COPY_THREADS)));
    let blocks = blocks.ok().filter(|blocks| *blocks < 1 << 31).ok_or_else(|| {
        Error::unsupported(format!(
            "{} elements are more than one copy on the GPU takes",
            geometry.count
        ))
    })?;
    let kernel = Kernel::Copy {
        source: source_element,
        target: target_element,
    };
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
