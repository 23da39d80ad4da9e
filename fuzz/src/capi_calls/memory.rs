//! Structs and tensors in the host's memory.

use crate::draft::{number, pick};
use arbitrary::Unstructured;
use omniid_capi::*;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::{null, null_mut};

/// Twice the largest struct that the library reads.
#[repr(C, align(16))]
struct Bytes([u8; 8192]);

/// A struct of zeros whose stated size is right, or now and then not.
pub struct Struct<T> {
    bytes: Box<Bytes>,
    kind: PhantomData<T>,
}

impl<T: Copy> Struct<T> {
    pub fn new(input: &mut Unstructured<'_>) -> Self {
        let right = size_of::<T>() as u32;
        let size = match number(input, 0..=31) {
            31 => *pick(input, &[0, 1, 4, 8, 16, right - 8, right + 8, 4096, 8192, u32::MAX]),
            _ => right,
        };
        let mut bytes = Box::new(Bytes([0; 8192]));
        bytes.0[..4].copy_from_slice(&size.to_ne_bytes());
        Self {
            bytes,
            kind: PhantomData,
        }
    }

    /// Its address, or now and then NULL.
    pub fn place(&mut self, input: &mut Unstructured<'_>) -> *mut T {
        match number(input, 0..=63) {
            63 => null_mut(),
            _ => self.bytes.0.as_mut_ptr().cast(),
        }
    }
}

impl<T: Copy> Deref for Struct<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: aligned, large enough, and every struct of the ABI may be zero or hold the numbers that are set.
        unsafe { &*self.bytes.0.as_ptr().cast() }
    }
}

impl<T: Copy> DerefMut for Struct<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.bytes.0.as_mut_ptr().cast() }
    }
}

/// `place`, or now and then NULL.
pub fn or_null<T>(input: &mut Unstructured<'_>, place: &mut T) -> *mut T {
    match number(input, 0..=63) {
        63 => null_mut(),
        _ => place,
    }
}

/// An enum's number: one below `count`, or now and then any.
pub fn choice(input: &mut Unstructured<'_>, count: usize) -> i32 {
    match number(input, 0..=31) {
        31 => input.arbitrary().unwrap_or(-1),
        _ => number(input, 0..=count.max(1) - 1) as i32,
    }
}

/// A number from 0 to 2, or now and then any.
pub fn real(input: &mut Unstructured<'_>) -> f32 {
    match number(input, 0..=31) {
        31 => input.arbitrary().unwrap_or(f32::NAN),
        _ => number(input, 0..=16) as f32 / 8.0,
    }
}

/// A text, or NULL, or one that is not UTF-8.
pub fn text(input: &mut Unstructured<'_>) -> *const std::ffi::c_char {
    match number(input, 0..=7) {
        0..=2 => null(),
        3 => c"\xff\xfe".as_ptr(),
        4 => c"".as_ptr(),
        _ => c"sd15".as_ptr(),
    }
}

/// A tensor of the host with its shape and strides, all of whose elements lie in its memory, or that is impossible.
pub struct HostTensor {
    pub tensor: omniid_tensor,
    _memory: Vec<u64>,
    _numbers: Box<[[i64; 4]; 2]>,
}

impl HostTensor {
    /// A tensor of `shape`, mostly: in some number type, contiguous or not.
    pub fn new(input: &mut Unstructured<'_>, shape: &[usize]) -> Self {
        let (code, bits) = *pick(input, &[(2, 32), (2, 32), (2, 16), (4, 16)]);
        let mut numbers = Box::new([[0i64; 4]; 2]);
        let mut span = 1usize;
        for (index, &side) in shape.iter().enumerate().rev() {
            let gap = if number(input, 0..=7) == 7 {
                number(input, 0..=3)
            } else {
                0
            };
            numbers[0][index] = side as i64;
            numbers[1][index] = span as i64;
            span = (span * side + gap).max(1);
        }
        let offset = if number(input, 0..=15) == 15 {
            number(input, 0..=9)
        } else {
            0
        };
        // 0.0 to 1.0 in every number type; a few bytes more than the tensor has.
        let mut memory = vec![0x3800_3800_3800_3800u64; (4 * span + offset).div_ceil(8) + 1];
        let mut tensor = omniid_tensor {
            data: memory.as_mut_ptr().cast(),
            device: TensorDevice {
                device_type: 1,
                device_id: 0,
            },
            ndim: shape.len() as i32,
            dtype: TensorType { code, bits, lanes: 1 },
            shape: numbers[0].as_mut_ptr(),
            strides: numbers[1].as_mut_ptr(),
            byte_offset: offset as u64,
        };
        match number(input, 0..=63) {
            40 => tensor.data = null_mut(),
            41 => tensor.device.device_type = choice(input, 3),
            42 => tensor.device.device_id = 7,
            43 => tensor.ndim = *pick(input, &[-1, 0, 1, 2, 3, 5, i32::MAX]).min(&(shape.len() as i32 + 9)),
            44 => (tensor.dtype.code, tensor.dtype.bits) = (number(input, 0..=5) as u8, 8),
            45 => tensor.dtype.lanes = 0,
            46 => tensor.shape = null_mut(),
            47 => tensor.strides = null_mut(),
            48 => numbers[0][number(input, 0..=3)] = *pick(input, &[-1, 0, i64::MIN, i64::MAX]),
            49 => numbers[1][number(input, 0..=3)] = *pick(input, &[-1, 0, i64::MIN, i64::MAX]),
            50 => tensor.byte_offset = *pick(input, &[u64::MAX, 0, 1]),
            _ => {}
        }
        if tensor.ndim > shape.len() as i32 && tensor.ndim <= 4 {
            // Sizes beyond the shape would be zero: as good as any.
            numbers[0][shape.len()..].fill(1);
        }
        if tensor.strides.is_null() && span > shape.iter().product::<usize>().max(1) {
            tensor.ndim = tensor.ndim.min(shape.len() as i32);
        }
        Self {
            tensor,
            _memory: memory,
            _numbers: numbers,
        }
    }
}
