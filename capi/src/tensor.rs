//! Tensors: DLPack 1.x, so that they pass to and from every tensor library without copies.
//!
//! A call borrows a tensor in the host's memory, fills one, or hands out a tensor that the host then owns and frees
//! with its deleter. Tensors have up to 4 dimensions of f32, f16 or bf16 numbers, on the CPU or on a CUDA device.
//! Strides may be NULL or leave gaps, but not be negative; byte_offset is added; the first number must be aligned to
//! its size.

#[cfg(test)]
mod tests;

use crate::dlpack::{self, omniid_managed_tensor, omniid_tensor, TensorDevice, TensorType};
use crate::pointer;
use crate::status::exported;
use candle_core::{CpuStorage, Device, Storage, Tensor};
use omniid::inject::{Element, Place, TensorView};
use omniid::{Error, Result};
use omniid_capi_export::export;
use std::any::Any;
use std::ffi::c_void;
use std::ptr;

/// The processor's memory; kDLCPU.
pub const OMNIID_DEVICE_TYPE_CPU: i32 = 1;
/// The memory of an NVIDIA GPU; kDLCUDA.
pub const OMNIID_DEVICE_TYPE_CUDA: i32 = 2;

/// IEEE floating point, 32 or 16 bits; kDLFloat.
pub const OMNIID_TYPE_CODE_FLOAT: u8 = 2;
/// bfloat16, 16 bits; kDLBfloat.
pub const OMNIID_TYPE_CODE_BFLOAT: u8 = 4;

/// Most dimensions of a tensor.
const MAX_RANK: usize = 4;

/// A tensor of the host, checked, to read.
///
/// # Safety
/// `tensor` is NULL or points to a tensor whose shape and strides are as DLPack demands; its memory is readable and
/// nobody writes to it for `'a`.
pub(crate) unsafe fn view<'a>(tensor: *const omniid_tensor, name: &str) -> Result<TensorView<'a>> {
    if !tensor.is_null() && !tensor.is_aligned() {
        return Err(Error::invalid(format!("{name}: the pointer is not aligned")));
    }
    // SAFETY: the caller's promise; alignment was checked.
    let tensor = unsafe { tensor.as_ref() }.ok_or_else(|| pointer::null(name))?;
    // SAFETY: the caller's promise.
    let view = unsafe { described(tensor) };
    view.map_err(|error| error.context(name))
}

/// # Safety
/// As [`view`].
unsafe fn described<'a>(tensor: &omniid_tensor) -> Result<TensorView<'a>> {
    let place = place(tensor.device)?;
    let element = element(tensor.dtype)?;
    let rank = usize::try_from(tensor.ndim)
        .ok()
        .filter(|rank| *rank <= MAX_RANK)
        .ok_or_else(|| Error::unsupported(format!("{} dimensions, at most {MAX_RANK}", tensor.ndim)))?;
    let (mut shape, mut strides) = ([0_usize; MAX_RANK], [0_usize; MAX_RANK]);
    // SAFETY: DLPack demands `ndim` sizes; `ndim` is not negative.
    let sizes = unsafe { pointer::slice(tensor.shape, rank, "shape") }?;
    for (dim, (to, size)) in shape.iter_mut().zip(sizes).enumerate() {
        *to = usize::try_from(*size).map_err(|_| Error::invalid(format!("dimension {dim} has size {size}")))?;
    }
    if !tensor.strides.is_null() {
        // SAFETY: DLPack demands `ndim` strides where there are any.
        let given = unsafe { pointer::slice(tensor.strides, rank, "strides") }?;
        for (dim, (to, stride)) in strides.iter_mut().zip(given).enumerate() {
            *to = match usize::try_from(*stride) {
                Ok(stride) => stride,
                // The stride of a dimension of size 1 is never used; some libraries leave anything there.
                Err(_) if shape[dim] <= 1 => 0,
                Err(_) => {
                    return Err(Error::unsupported(format!(
                        "dimension {dim} has stride {stride}; it must not be negative"
                    )))
                }
            };
        }
    }
    let strides = (!tensor.strides.is_null()).then_some(&strides[..rank]);
    let offset = usize::try_from(tensor.byte_offset).ok();
    let data = match offset.and_then(|offset| tensor.data.addr().checked_add(offset)) {
        _ if tensor.data.is_null() => ptr::null_mut(),
        Some(start) => tensor.data.cast::<u8>().with_addr(start),
        None => {
            return Err(Error::invalid(format!(
                "data and byte_offset {} leave the address space",
                tensor.byte_offset
            )))
        }
    };
    // SAFETY: the caller's promise.
    unsafe { TensorView::from_raw(data, place, element, &shape[..rank], strides) }
}

fn place(device: TensorDevice) -> Result<Place> {
    match (device.device_type, usize::try_from(device.device_id)) {
        (dlpack::CPU, _) => Ok(Place::Cpu),
        (dlpack::CUDA, Ok(ordinal)) => Ok(Place::Cuda(ordinal)),
        (dlpack::CUDA, Err(_)) => Err(Error::invalid(format!("CUDA device {}", device.device_id))),
        (other, _) => Err(Error::unsupported(format!(
            "DLPack device type {other}; supported are 1 (CPU) and 2 (CUDA)"
        ))),
    }
}

fn element(dtype: TensorType) -> Result<Element> {
    match (dtype.code, dtype.bits, dtype.lanes) {
        (OMNIID_TYPE_CODE_FLOAT, 32, 1) => Ok(Element::F32),
        (OMNIID_TYPE_CODE_FLOAT, 16, 1) => Ok(Element::F16),
        (OMNIID_TYPE_CODE_BFLOAT, 16, 1) => Ok(Element::BF16),
        (code, bits, lanes) => Err(Error::unsupported(format!(
            "DLPack type code {code} with {bits} bits and {lanes} lanes; supported are f32 (2, 32, 1), \
             f16 (2, 16, 1) and bf16 (4, 16, 1)"
        ))),
    }
}

fn type_of(element: Element) -> TensorType {
    let code = match element {
        Element::F32 | Element::F16 => OMNIID_TYPE_CODE_FLOAT,
        Element::BF16 => OMNIID_TYPE_CODE_BFLOAT,
    };
    TensorType {
        code,
        bits: 8 * element.size() as u8,
        lanes: 1,
    }
}

/// Fills a tensor of the host with `values`, row by row, rounded to its number type.
///
/// # Safety
/// `tensor` is NULL or describes memory that is writable and used by nobody else during the call.
pub(crate) unsafe fn fill(tensor: *const omniid_tensor, name: &str, shape: [usize; 2], values: &[f32]) -> Result<()> {
    // SAFETY: the caller's promise.
    let view = unsafe { view(tensor, name) }?;
    if view.dims() != shape || shape[0] * shape[1] != values.len() {
        return Err(Error::mismatch(format!(
            "{name}: shape {:?}, expected {shape:?}",
            view.dims()
        )));
    }
    // SAFETY: the caller's promise.
    let written = unsafe { view.writable() }.and_then(|mut view| view.copy_from(values));
    written.map_err(|error| error.context(name))
}

/// A copy of a tensor of the host in host memory, f32.
///
/// # Safety
/// As [`view`], during the call.
pub(crate) unsafe fn copied(tensor: *const omniid_tensor, name: &str) -> Result<Tensor> {
    // SAFETY: the caller's promise.
    let view = unsafe { view(tensor, name) }?;
    let copy = || Ok(Tensor::from_vec(view.to_vec()?, view.dims(), &Device::Cpu)?);
    copy().map_err(|error: Error| error.context(name))
}

/// What an owned tensor points into.
struct Owner {
    shape: [i64; MAX_RANK],
    strides: [i64; MAX_RANK],
    _memory: Box<dyn Any + Send + Sync>,
}

/// Makes an owned, read-only, contiguous tensor of memory that `memory` keeps alive.
fn managed(
    data: *mut c_void,
    device: TensorDevice,
    element: Element,
    sizes: &[usize],
    memory: Box<dyn Any + Send + Sync>,
) -> Result<*mut omniid_managed_tensor> {
    let (mut shape, mut strides) = ([0; MAX_RANK], [0; MAX_RANK]);
    if sizes.len() > MAX_RANK {
        return Err(Error::internal(format!("handing out a tensor of shape {sizes:?}")));
    }
    let mut stride = 1i64;
    for (dim, size) in sizes.iter().enumerate().rev() {
        shape[dim] = *size as i64;
        strides[dim] = stride;
        stride *= shape[dim];
    }
    let owner = Box::into_raw(Box::new(Owner {
        shape,
        strides,
        _memory: memory,
    }));
    // SAFETY: `owner` was just made of a box; its arrays stay where they are until the deleter frees it.
    let (shape, strides) = unsafe { (&raw mut (*owner).shape, &raw mut (*owner).strides) };
    Ok(Box::into_raw(Box::new(omniid_managed_tensor {
        version: dlpack::VERSION,
        manager_ctx: owner.cast(),
        deleter: Some(delete),
        flags: dlpack::READ_ONLY,
        dl_tensor: omniid_tensor {
            data,
            device,
            ndim: sizes.len() as i32,
            dtype: type_of(element),
            shape: shape.cast(),
            strides: strides.cast(),
            byte_offset: 0,
        },
    })))
}

/// Deleter of the tensors made by [`managed`]. Not exported; the host reaches it through the tensor.
unsafe extern "C" fn delete(tensor: *mut omniid_managed_tensor) {
    exported::<()>(|| {
        if !tensor.is_null() {
            // SAFETY: only tensors made by `managed` carry this deleter: both pointers came from boxes, and DLPack
            // allows one call.
            unsafe {
                let tensor = Box::from_raw(tensor);
                drop(Box::from_raw(tensor.manager_ctx.cast::<Owner>()));
            }
        }
    });
}

const ON_CPU: TensorDevice = TensorDevice {
    device_type: dlpack::CPU,
    device_id: 0,
};

/// An owned tensor of f32 values that `memory` keeps alive and unchanged.
pub(crate) fn managed_values<M: Send + Sync + 'static>(
    memory: std::sync::Arc<M>,
    values: impl FnOnce(&M) -> &[f32],
    sizes: &[usize],
) -> Result<*mut omniid_managed_tensor> {
    let data = values(&memory).as_ptr().cast_mut().cast();
    managed(data, ON_CPU, Element::F32, sizes, Box::new(memory))
}

/// An owned tensor of a contiguous candle tensor; shares its memory. On a GPU, `stream` may read it after the call.
#[cfg_attr(not(feature = "cuda"), allow(unused_variables))]
pub(crate) fn managed_tensor(tensor: &Tensor, stream: i64) -> Result<*mut omniid_managed_tensor> {
    #[cfg(feature = "cuda")]
    if tensor.device().is_cuda() {
        return managed_on_device(tensor, stream);
    }
    let tensor = tensor.contiguous()?;
    let (data, device) = {
        let (storage, layout) = tensor.storage_and_layout();
        let start = layout.start_offset();
        // candle's tensors never move or resize their storage, so the address outlives the lock.
        match &*storage {
            Storage::Cpu(storage) => (cpu_address(storage, start)?, ON_CPU),
            _ => {
                return Err(Error::unsupported(
                    "handing out a tensor: it is on a device that this build cannot name",
                ))
            }
        }
    };
    let (element, sizes) = (Element::try_from(tensor.dtype())?, tensor.dims().to_vec());
    managed(data, device, element, &sizes, Box::new(tensor))
}

/// As [`managed_tensor`] on a CUDA device; the host's stream waits until the tensor is complete.
#[cfg(feature = "cuda")]
fn managed_on_device(tensor: &Tensor, stream: i64) -> Result<*mut omniid_managed_tensor> {
    let stream = omniid::inject::HostStream::from_dlpack(Some(stream))?;
    let export = omniid::cuda::Export::new(tensor, stream)?;
    let device = TensorDevice {
        device_type: dlpack::CUDA,
        device_id: i32::try_from(export.ordinal()).map_err(|_| Error::internal("a device number beyond 31 bits"))?,
    };
    let data = ptr::without_provenance_mut(export.data() as usize);
    let (element, sizes) = (
        Element::try_from(export.tensor().dtype())?,
        export.tensor().dims().to_vec(),
    );
    managed(data, device, element, &sizes, Box::new(export))
}

fn cpu_address(storage: &CpuStorage, start: usize) -> Result<*mut c_void> {
    let address = match storage {
        CpuStorage::F32(values) => values.get(start..).map(|values| values.as_ptr().cast::<c_void>()),
        CpuStorage::F16(values) => values.get(start..).map(|values| values.as_ptr().cast::<c_void>()),
        CpuStorage::BF16(values) => values.get(start..).map(|values| values.as_ptr().cast::<c_void>()),
        _ => None,
    };
    address
        .map(<*const c_void>::cast_mut)
        .ok_or_else(|| Error::internal("handing out a tensor: no floats on the CPU"))
}

/// Frees a tensor that a call has handed out, through its deleter; NULL is ignored.
///
/// # Safety
/// `tensor` is NULL or an owned DLPack tensor that nobody uses any more.
#[export]
pub unsafe extern "C" fn omniid_managed_tensor_free(tensor: *mut omniid_managed_tensor) {
    // SAFETY: the caller's promise.
    let deleter = unsafe { tensor.as_ref() }.and_then(|tensor| tensor.deleter);
    if let Some(deleter) = deleter {
        // SAFETY: DLPack: the deleter is called once, with the tensor.
        unsafe { deleter(tensor) };
    }
}
