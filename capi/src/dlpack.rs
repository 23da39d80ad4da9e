//! DLPack 1.x in Rust: the layout that the header's tensors share with `dlpack.h`.

use std::ffi::c_void;
use std::mem::{offset_of, size_of};

/// The DLPack version that owned tensors state.
pub(crate) const VERSION: TensorVersion = TensorVersion { major: 1, minor: 0 };

/// `DLPACK_FLAG_BITMASK_READ_ONLY`.
pub(crate) const READ_ONLY: u64 = 1;

/// `kDLCPU`.
pub(crate) const CPU: i32 = 1;
/// `kDLCUDA`.
pub(crate) const CUDA: i32 = 2;

/// `DLDevice`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorDevice {
    /// `DLDeviceType`.
    pub device_type: i32,
    /// Ordinal of the device.
    pub device_id: i32,
}

/// `DLDataType`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorType {
    /// `DLDataTypeCode`.
    pub code: u8,
    /// Bits of a number.
    pub bits: u8,
    /// Numbers of a vector; 1.
    pub lanes: u16,
}

/// `DLPackVersion`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorVersion {
    /// Major.
    pub major: u32,
    /// Minor.
    pub minor: u32,
}

/// `DLTensor`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct omniid_tensor {
    /// Start of the memory.
    pub data: *mut c_void,
    /// Where the memory is.
    pub device: TensorDevice,
    /// Number of dimensions.
    pub ndim: i32,
    /// Number type.
    pub dtype: TensorType,
    /// Sizes, `ndim` of them.
    pub shape: *mut i64,
    /// Strides in numbers, `ndim` of them; NULL for row-major without gaps.
    pub strides: *mut i64,
    /// Where the first number is, from `data`.
    pub byte_offset: u64,
}

/// `DLManagedTensorVersioned`.
#[repr(C)]
pub struct omniid_managed_tensor {
    /// DLPack version.
    pub version: TensorVersion,
    /// Private to the producer.
    pub manager_ctx: *mut c_void,
    /// Frees the tensor.
    pub deleter: Option<unsafe extern "C" fn(*mut omniid_managed_tensor)>,
    /// `DLPACK_FLAG_BITMASK_…`.
    pub flags: u64,
    /// The tensor.
    pub dl_tensor: omniid_tensor,
}

/// The layout measured from DLPack 1.3 on 64-bit systems.
#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<TensorDevice>() == 8 && size_of::<TensorType>() == 4 && size_of::<TensorVersion>() == 8);
    assert!(size_of::<omniid_tensor>() == 48);
    assert!(offset_of!(omniid_tensor, data) == 0);
    assert!(offset_of!(omniid_tensor, device) == 8);
    assert!(offset_of!(omniid_tensor, ndim) == 16);
    assert!(offset_of!(omniid_tensor, dtype) == 20);
    assert!(offset_of!(omniid_tensor, shape) == 24);
    assert!(offset_of!(omniid_tensor, strides) == 32);
    assert!(offset_of!(omniid_tensor, byte_offset) == 40);
    assert!(size_of::<omniid_managed_tensor>() == 80);
    assert!(offset_of!(omniid_managed_tensor, version) == 0);
    assert!(offset_of!(omniid_managed_tensor, manager_ctx) == 8);
    assert!(offset_of!(omniid_managed_tensor, deleter) == 16);
    assert!(offset_of!(omniid_managed_tensor, flags) == 24);
    assert!(offset_of!(omniid_managed_tensor, dl_tensor) == 32);
};
