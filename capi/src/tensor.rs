//! Tensors: DLPack 1.x, so that they pass to and from every tensor library without copies.
//!
//! Three ways: a tensor in the host's memory is lent to a call, a tensor of the host is filled by a call, or a call
//! hands out a tensor that the host owns and frees with its deleter. f32, f16 and bf16, up to 4 dimensions, on the
//! CPU or on a CUDA device; strides may be NULL, may skip, but not run backwards; byte_offset counts; the first
//! number must be aligned to its own size.

#[cfg(test)]
#[path = "tensor_tests.rs"]
mod tests;

use crate::dlpack::{self, omniid_managed_tensor, omniid_tensor, TensorDevice, TensorType};
use crate::pointer;
use crate::status::exported;
use candle_core::{CpuStorage, DType, Storage, Tensor};
use half::{bf16, f16};
use omniid::inject::{Elements, ElementsMut};
use omniid::{Error, Result};
use omniid_capi_export::export;
use std::any::Any;
use std::ffi::c_void;
use std::ops::Range;
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
pub(crate) const MAX_DIMS: usize = 4;

/// Where a tensor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Cpu,
    Cuda(usize),
}

/// A checked tensor of the host. Holds no memory of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    /// The first number.
    data: *mut u8,
    pub place: Place,
    pub dtype: DType,
    dims: usize,
    shape: [usize; MAX_DIMS],
    /// In numbers.
    strides: [usize; MAX_DIMS],
    /// Numbers from the first to the last one, both included; 0 for an empty tensor.
    span: usize,
}

impl View {
    /// Checks a borrowed tensor.
    ///
    /// # Safety
    /// `tensor` is NULL or points to a tensor whose shape and strides are as DLPack demands.
    pub unsafe fn new(tensor: *const omniid_tensor, name: &str) -> Result<Self> {
        if !tensor.is_null() && !tensor.is_aligned() {
            return Err(Error::invalid(format!("{name}: the pointer is not aligned")));
        }
        // SAFETY: the caller's promise; alignment was checked.
        let tensor = unsafe { tensor.as_ref() }.ok_or_else(|| pointer::null(name))?;
        let place = place(tensor.device, name)?;
        let dtype = dtype(tensor.dtype, name)?;
        let dims = usize::try_from(tensor.ndim)
            .ok()
            .filter(|dims| *dims <= MAX_DIMS)
            .ok_or_else(|| {
                Error::unsupported(format!("{name}: {} dimensions, at most {MAX_DIMS}", tensor.ndim))
            })?;
        let mut view = Self {
            data: ptr::null_mut(),
            place,
            dtype,
            dims,
            shape: [1; MAX_DIMS],
            strides: [0; MAX_DIMS],
            span: 1,
        };
        // SAFETY: DLPack demands `ndim` sizes; `ndim` is not negative.
        let shape = unsafe { pointer::slice(tensor.shape, dims, name) }?;
        view.set_shape(shape, name)?;
        if tensor.strides.is_null() {
            view.set_contiguous(name)?;
        } else {
            // SAFETY: DLPack demands `ndim` strides where there are any.
            let strides = unsafe { pointer::slice(tensor.strides, dims, name) }?;
            view.set_strides(strides, name)?;
        }
        view.set_span(name)?;
        view.set_data(tensor, name)?;
        Ok(view)
    }

    fn set_shape(&mut self, sizes: &[i64], name: &str) -> Result<()> {
        for (dim, (target, size)) in self.shape.iter_mut().zip(sizes).enumerate() {
            *target = usize::try_from(*size)
                .map_err(|_| Error::invalid(format!("{name}: dimension {dim} has size {size}")))?;
        }
        Ok(())
    }

    fn set_contiguous(&mut self, name: &str) -> Result<()> {
        let mut stride = 1usize;
        for dim in (0..self.dims).rev() {
            self.strides[dim] = stride;
            // Sizes of 0 make no memory; the strides then do not matter.
            stride = stride
                .checked_mul(self.shape[dim].max(1))
                .ok_or_else(|| self.too_large(name))?;
        }
        Ok(())
    }

    fn set_strides(&mut self, strides: &[i64], name: &str) -> Result<()> {
        for (dim, (target, stride)) in self.strides.iter_mut().zip(strides).enumerate() {
            // The stride of a dimension of size 1 is never used; some libraries leave anything there.
            *target = match usize::try_from(*stride) {
                _ if self.shape[dim] <= 1 => 0,
                Ok(stride) => stride,
                Err(_) => {
                    return Err(Error::unsupported(format!(
                        "{name}: dimension {dim} has stride {stride}; it must not be negative"
                    )))
                }
            };
        }
        Ok(())
    }

    fn set_span(&mut self, name: &str) -> Result<()> {
        let mut last = 0usize;
        for (size, stride) in self.shape.iter().zip(self.strides) {
            let Some(steps) = size.checked_sub(1) else {
                self.span = 0;
                return Ok(());
            };
            last = steps
                .checked_mul(stride)
                .and_then(|reach| last.checked_add(reach))
                .filter(|last| *last < isize::MAX as usize / 8)
                .ok_or_else(|| self.too_large(name))?;
        }
        self.span = last + 1;
        Ok(())
    }

    fn set_data(&mut self, tensor: &omniid_tensor, name: &str) -> Result<()> {
        if self.span == 0 {
            self.data = ptr::without_provenance_mut(self.dtype.size_in_bytes());
            return Ok(());
        }
        if tensor.data.is_null() {
            return Err(Error::invalid(format!("{name}: data is NULL")));
        }
        let bytes = self.span * self.dtype.size_in_bytes();
        let start = usize::try_from(tensor.byte_offset)
            .ok()
            .and_then(|offset| tensor.data.addr().checked_add(offset))
            .filter(|start| start.checked_add(bytes).is_some())
            .ok_or_else(|| {
                Error::invalid(format!(
                    "{name}: byte_offset {} and {bytes} bytes leave the address space",
                    tensor.byte_offset
                ))
            })?;
        if !start.is_multiple_of(self.dtype.size_in_bytes()) {
            return Err(Error::invalid(format!(
                "{name}: the first number is at address {start:#x}, which is not a multiple of its size, {}",
                self.dtype.size_in_bytes()
            )));
        }
        self.data = tensor.data.cast::<u8>().with_addr(start);
        Ok(())
    }

    fn too_large(&self, name: &str) -> Error {
        Error::invalid(format!(
            "{name}: shape {:?} with strides {:?} does not fit into memory",
            &self.shape[..self.dims],
            &self.strides[..self.dims]
        ))
    }

    /// Sizes.
    pub fn shape(&self) -> &[usize] {
        &self.shape[..self.dims]
    }

    /// Strides in numbers.
    pub fn strides(&self) -> &[usize] {
        &self.strides[..self.dims]
    }

    /// Address of the first number; for devices whose memory is not the processor's.
    #[cfg_attr(not(feature = "cuda"), allow(dead_code))]
    pub fn address(&self) -> *mut u8 {
        self.data
    }

    /// Addresses of all bytes between the first and the last number.
    pub fn bytes(&self) -> Range<usize> {
        let start = self.data.addr();
        start..start + self.span * self.dtype.size_in_bytes()
    }

    /// The numbers between the first and the last one, for reading. Only for tensors on the CPU.
    ///
    /// # Safety
    /// The memory is readable and nobody writes to it for `'a`.
    pub unsafe fn elements<'a>(&self) -> Elements<'a> {
        // SAFETY: `new` has checked alignment and size; the rest is the caller's promise.
        unsafe {
            match self.dtype {
                DType::F16 => Elements::F16(std::slice::from_raw_parts(self.data.cast::<f16>(), self.span)),
                DType::BF16 => {
                    Elements::Bf16(std::slice::from_raw_parts(self.data.cast::<bf16>(), self.span))
                }
                _ => Elements::F32(std::slice::from_raw_parts(self.data.cast::<f32>(), self.span)),
            }
        }
    }

    /// The numbers between the first and the last one, for writing. Only for tensors on the CPU.
    ///
    /// # Safety
    /// The memory is readable and writable and used by nobody else for `'a`.
    pub unsafe fn elements_mut<'a>(&self) -> ElementsMut<'a> {
        // SAFETY: `new` has checked alignment and size; the rest is the caller's promise.
        unsafe {
            match self.dtype {
                DType::F16 => {
                    ElementsMut::F16(std::slice::from_raw_parts_mut(self.data.cast::<f16>(), self.span))
                }
                DType::BF16 => ElementsMut::Bf16(std::slice::from_raw_parts_mut(
                    self.data.cast::<bf16>(),
                    self.span,
                )),
                _ => ElementsMut::F32(std::slice::from_raw_parts_mut(self.data.cast::<f32>(), self.span)),
            }
        }
    }

    /// Refuses memory that is not the processor's.
    pub fn require_cpu(&self, name: &str) -> Result<()> {
        match self.place {
            Place::Cpu => Ok(()),
            Place::Cuda(ordinal) => Err(Error::unsupported(format!(
                "{name}: the tensor is on CUDA device {ordinal}, but this call works on the CPU; copy it there first"
            ))),
        }
    }
}

fn place(device: TensorDevice, name: &str) -> Result<Place> {
    match (device.device_type, usize::try_from(device.device_id)) {
        (dlpack::CPU, _) => Ok(Place::Cpu),
        (dlpack::CUDA, Ok(ordinal)) => Ok(Place::Cuda(ordinal)),
        (dlpack::CUDA, Err(_)) => Err(Error::invalid(format!(
            "{name}: CUDA device {}",
            device.device_id
        ))),
        (other, _) => Err(Error::unsupported(format!(
            "{name}: DLPack device type {other}; supported are 1 (CPU) and 2 (CUDA)"
        ))),
    }
}

fn dtype(dtype: TensorType, name: &str) -> Result<DType> {
    match (dtype.code, dtype.bits, dtype.lanes) {
        (OMNIID_TYPE_CODE_FLOAT, 32, 1) => Ok(DType::F32),
        (OMNIID_TYPE_CODE_FLOAT, 16, 1) => Ok(DType::F16),
        (OMNIID_TYPE_CODE_BFLOAT, 16, 1) => Ok(DType::BF16),
        (code, bits, lanes) => Err(Error::unsupported(format!(
            "{name}: DLPack type code {code} with {bits} bits and {lanes} lanes; supported are f32 (2, 32, 1), \
             f16 (2, 16, 1) and bf16 (4, 16, 1)"
        ))),
    }
}

fn type_of(dtype: DType) -> Result<TensorType> {
    let (code, bits) = match dtype {
        DType::F32 => (OMNIID_TYPE_CODE_FLOAT, 32),
        DType::F16 => (OMNIID_TYPE_CODE_FLOAT, 16),
        DType::BF16 => (OMNIID_TYPE_CODE_BFLOAT, 16),
        other => return Err(Error::internal(format!("handing out a tensor of type {other:?}"))),
    };
    Ok(TensorType { code, bits, lanes: 1 })
}

/// Fills a tensor of the host with `values`, row by row, rounded to its number type.
///
/// # Safety
/// `tensor` is NULL or describes memory that is writable and used by nobody else during the call.
pub(crate) unsafe fn fill(
    tensor: *const omniid_tensor,
    name: &str,
    shape: [usize; 2],
    values: &[f32],
) -> Result<()> {
    // SAFETY: the caller's promise.
    let view = unsafe { View::new(tensor, name) }?;
    view.require_cpu(name)?;
    if view.shape() != shape || shape[0] * shape[1] != values.len() {
        return Err(Error::mismatch(format!(
            "{name}: shape {:?}, expected {shape:?}",
            view.shape()
        )));
    }
    for (row, line) in values.chunks_exact(shape[1].max(1)).enumerate() {
        for (column, value) in line.iter().enumerate() {
            let at = row * view.strides[0] + column * view.strides[1];
            // SAFETY: `at` is below the span that `new` has checked, alignment included; the memory is the
            // caller's promise.
            unsafe {
                match view.dtype {
                    DType::F16 => view.data.cast::<f16>().add(at).write(f16::from_f32(*value)),
                    DType::BF16 => view.data.cast::<bf16>().add(at).write(bf16::from_f32(*value)),
                    _ => view.data.cast::<f32>().add(at).write(*value),
                }
            }
        }
    }
    Ok(())
}

/// What an owned tensor points into.
struct Owner {
    shape: [i64; MAX_DIMS],
    strides: [i64; MAX_DIMS],
    _memory: Box<dyn Any + Send + Sync>,
}

/// Makes an owned, read-only, contiguous tensor of memory that `memory` keeps alive.
pub(crate) fn managed(
    data: *mut c_void,
    device: TensorDevice,
    dtype: DType,
    sizes: &[usize],
    memory: Box<dyn Any + Send + Sync>,
) -> Result<*mut omniid_managed_tensor> {
    let dtype = type_of(dtype)?;
    let (mut shape, mut strides) = ([0; MAX_DIMS], [0; MAX_DIMS]);
    if sizes.len() > MAX_DIMS {
        return Err(Error::internal(format!(
            "handing out a tensor of shape {sizes:?}"
        )));
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
            dtype,
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
    managed(data, ON_CPU, DType::F32, sizes, Box::new(memory))
}

/// An owned tensor of a contiguous candle tensor; shares its memory. On a GPU, `stream` may read it after the call.
#[cfg_attr(not(feature = "cuda"), allow(unused_variables))]
pub(crate) fn managed_tensor(tensor: &Tensor, stream: i64) -> Result<*mut omniid_managed_tensor> {
    #[cfg(feature = "cuda")]
    if tensor.device().is_cuda() {
        return crate::cuda::managed_tensor(tensor, stream);
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
    let (dtype, sizes) = (tensor.dtype(), tensor.dims().to_vec());
    managed(data, device, dtype, &sizes, Box::new(tensor))
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

/// Frees a tensor that a call has handed out, through its deleter. NULL is fine.
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
