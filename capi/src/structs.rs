//! Structs that grow: reading them from older and newer callers, and filling them for both.

use crate::remedy;
use omniid::{Error, Result};
use std::mem::{align_of, size_of, MaybeUninit};

/// Largest size that a caller may state for a struct. Far above any real one; a forgotten or garbage size is
/// caught before it is read.
pub(crate) const MAX_STRUCT_SIZE: usize = 4096;

/// A struct that crosses the ABI and may grow.
///
/// # Safety
/// The type is `repr(C)`, begins with `struct_size: u32`, has no padding on 64-bit systems, its size is a multiple
/// of the word, and every bit
/// pattern is a valid value (integers, floats, raw pointers, optional functions).
pub(crate) unsafe trait CStruct: Copy {
    /// The name in the header.
    const NAME: &'static str;
    /// The sizes that the struct had in earlier releases of this major version of the ABI. A program states one of
    /// them, the present one, or that of a newer release; any other size is a mistake, such as the size of a pointer,
    /// and would hide fields that the program has set.
    const EARLIER_SIZES: &'static [usize] = &[];
}

/// The size that the caller stated, checked.
///
/// # Safety
/// `pointer` is NULL or points to a readable `u32`.
unsafe fn stated_size<T: CStruct>(pointer: *const T) -> Result<usize> {
    if pointer.is_null() {
        return Err(Error::invalid(format!("{}: the pointer is NULL", T::NAME)));
    }
    if !pointer.addr().is_multiple_of(align_of::<T>()) {
        return Err(Error::invalid(format!(
            "{}: the pointer is not aligned to {} bytes",
            T::NAME,
            align_of::<T>()
        )));
    }
    // SAFETY: not NULL, so the caller promised a `u32` here; alignment of `T` is at least that of `u32`.
    let size = unsafe { pointer.cast::<u32>().read() } as usize;
    // A multiple of the word never cuts a pointer in two.
    let newer = size > size_of::<T>() && size.is_multiple_of(size_of::<usize>()) && size <= MAX_STRUCT_SIZE;
    if !newer && size != size_of::<T>() && !T::EARLIER_SIZES.contains(&size) {
        return Err(Error::invalid(format!(
            "{}: struct_size is {size}, expected {} or that of another release ({}_INIT fills it)",
            T::NAME,
            size_of::<T>(),
            T::NAME.to_uppercase()
        ))
        .with_remedy(remedy::INIT_MACRO));
    }
    Ok(size)
}

/// Reads a struct from a caller of any release: what an older one does not have is zero, what a newer one has in
/// addition must be zero.
///
/// # Safety
/// `pointer` is NULL or points to a struct whose first field states how many bytes of it are readable.
pub(crate) unsafe fn read<T: CStruct>(pointer: *const T) -> Result<T> {
    // SAFETY: the caller's promise.
    let size = unsafe { stated_size(pointer) }?;
    let known = size_of::<T>();
    // SAFETY: the caller promised `size` readable bytes.
    let bytes = unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), size) };
    if let Some(at) = bytes.iter().skip(known).position(|&byte| byte != 0) {
        return Err(Error::unsupported(format!(
            "{}: byte {} is set, but this release of OmniID knows only the first {known}; a newer release is needed",
            T::NAME,
            known + at
        )));
    }
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: at most `size_of::<T>()` bytes are copied into the value, from `size` readable ones; every bit
    // pattern of a `CStruct` is valid, zeros included.
    unsafe {
        std::ptr::copy_nonoverlapping(pointer.cast::<u8>(), value.as_mut_ptr().cast::<u8>(), size.min(known));
        Ok(value.assume_init())
    }
}

/// Reads an array of structs. The first one's size is the distance between two; all must state the same.
///
/// # Safety
/// `pointer` is NULL or points to `count` structs as for [`read`].
pub(crate) unsafe fn read_array<T: CStruct>(pointer: *const T, count: usize) -> Result<Vec<T>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: `count` is at least 1, so the caller promised a first struct.
    let stride = unsafe { stated_size(pointer) }?;
    if count
        .checked_mul(stride)
        .is_none_or(|bytes| bytes > isize::MAX as usize)
    {
        return Err(Error::invalid(format!(
            "{}: {count} structs do not fit into memory",
            T::NAME
        )));
    }
    let mut values = Vec::new();
    for index in 0..count {
        // SAFETY: the caller promised `count` structs, `stride` bytes apart.
        let element = unsafe { pointer.byte_add(index * stride) };
        // SAFETY: as above.
        let size = unsafe { stated_size(element) }.map_err(|error| error.context(format!("element {index}")))?;
        if size != stride {
            return Err(Error::invalid(format!(
                "{}: element {index} has struct_size {size}, element 0 has {stride}; all must be equal",
                T::NAME
            )));
        }
        // SAFETY: as above.
        values.push(unsafe { read(element) }.map_err(|error| error.context(format!("element {index}")))?);
    }
    Ok(values)
}

/// Fills a struct of a caller of any release: an older one gets the fields that it knows, a newer one's additional
/// fields become zero. The caller's `struct_size` stays.
///
/// # Safety
/// `pointer` is NULL or points to a writable struct whose first field states its size.
pub(crate) unsafe fn write<T: CStruct>(pointer: *mut T, value: &T) -> Result<()> {
    // SAFETY: the caller's promise.
    let size = unsafe { stated_size(pointer) }?;
    let known = size_of::<T>().min(size);
    const HEAD: usize = size_of::<u32>();
    // SAFETY: `size` bytes are writable behind `pointer` and `known` of them are readable in `value`, which has no
    // padding. The two do not overlap, because `value` is the library's own.
    unsafe {
        let target = pointer.cast::<u8>();
        std::ptr::copy_nonoverlapping(
            (&raw const *value).cast::<u8>().add(HEAD),
            target.add(HEAD),
            known - HEAD,
        );
        std::ptr::write_bytes(target.add(known), 0, size - known);
    }
    Ok(())
}

/// Fills element `index` of an array whose first struct states the size of each.
///
/// # Safety
/// `pointer` is NULL or points to more than `index` writable structs, of which the first states its size.
pub(crate) unsafe fn write_element<T: CStruct>(pointer: *mut T, index: usize, value: &T) -> Result<()> {
    // SAFETY: the caller's promise.
    let stride = unsafe { stated_size(pointer) }?;
    // SAFETY: the element lies in the array; its size field is set before `write` reads it. `stated_size` has
    // limited `stride`, so it fits `u32`.
    unsafe {
        let element = pointer.byte_add(index * stride);
        element.cast::<u32>().write(stride as u32);
        write(element, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use omniid::ErrorKind;

    #[repr(C, align(8))]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Small {
        struct_size: u32,
        a: u32,
        b: u64,
    }
    // SAFETY: `repr(C)`, size first, integers only, 16 bytes.
    unsafe impl CStruct for Small {
        const NAME: &'static str = "small";
        const EARLIER_SIZES: &'static [usize] = &[8];
    }

    #[repr(C, align(8))]
    #[derive(Clone, Copy)]
    struct Bytes([u8; 64]);

    fn caller(size: u32, a: u32, rest: &[u8]) -> Bytes {
        let mut bytes = [0xEEu8; 64];
        bytes[..4].copy_from_slice(&size.to_ne_bytes());
        bytes[4..8].copy_from_slice(&a.to_ne_bytes());
        bytes[8..8 + rest.len()].copy_from_slice(rest);
        Bytes(bytes)
    }

    fn read_small(caller: &Bytes) -> Result<Small> {
        // SAFETY: 64 readable bytes, more than any size used here.
        unsafe { read((&raw const *caller).cast::<Small>()) }
    }

    #[test]
    fn older_callers_are_extended_with_zeros() {
        let small = read_small(&caller(8, 7, &[])).unwrap();
        assert_eq!(
            small,
            Small {
                struct_size: 8,
                a: 7,
                b: 0
            }
        );
    }

    #[test]
    fn newer_callers_must_leave_the_rest_zero() {
        let mut rest = [0u8; 16];
        rest[0] = 5;
        let small = read_small(&caller(24, 7, &rest)).unwrap();
        assert_eq!((small.a, small.b.to_ne_bytes()[0]), (7, 5));
        rest[9] = 1;
        let error = read_small(&caller(24, 7, &rest)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("byte 17 is set"), "{error}");
    }

    #[test]
    fn absurd_sizes_are_refused_before_reading() {
        for size in [0, 1, 4, 7, 12, 17, 4104, u32::MAX] {
            let error = read_small(&caller(size, 0, &[])).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{size}");
            assert!(error.message().contains("SMALL_INIT"), "{error}");
        }
        // SAFETY: NULL is allowed, and a misaligned pointer is refused before it is read.
        unsafe {
            assert!(read::<Small>(std::ptr::null()).is_err());
            assert!(read::<Small>(std::ptr::without_provenance(4)).is_err());
        }
    }

    #[test]
    fn outputs_are_cut_or_zero_filled() {
        let value = Small {
            struct_size: 16,
            a: 1,
            b: u64::MAX,
        };
        let mut short = caller(8, 9, &[]);
        // SAFETY: 64 writable bytes.
        unsafe { write((&raw mut short).cast::<Small>(), &value) }.unwrap();
        assert_eq!(short.0[..8], [8u32.to_ne_bytes(), 1u32.to_ne_bytes()].concat());
        assert!(
            short.0[8..].iter().all(|&byte| byte == 0xEE),
            "wrote past an older caller's struct"
        );
        let mut long = caller(32, 9, &[]);
        // SAFETY: as above.
        unsafe { write((&raw mut long).cast::<Small>(), &value) }.unwrap();
        assert_eq!(long.0[..4], 32u32.to_ne_bytes());
        assert!(long.0[16..32].iter().all(|&byte| byte == 0));
        assert!(long.0[32..].iter().all(|&byte| byte == 0xEE));
    }

    #[test]
    fn arrays_are_spaced_by_the_callers_size() {
        let mut array = [0u64; 6];
        for (index, size) in [24u64, 24].iter().enumerate() {
            array[index * 3] = size | ((index as u64 + 1) << 32);
        }
        let pointer = array.as_mut_ptr().cast::<Small>();
        if cfg!(target_endian = "little") {
            // SAFETY: two structs of 24 bytes each.
            let values = unsafe { read_array(pointer, 2) }.unwrap();
            assert_eq!(values.iter().map(|value| value.a).collect::<Vec<_>>(), [1, 2]);
        }
        // SAFETY: as above; huge counts are refused before reading on.
        unsafe {
            assert!(read_array(pointer, usize::MAX).is_err());
            assert!(read_array::<Small>(std::ptr::null(), 0).unwrap().is_empty());
            assert!(read_array::<Small>(std::ptr::null(), 1).is_err());
            write_element(
                pointer,
                1,
                &Small {
                    struct_size: 16,
                    a: 5,
                    b: 6,
                },
            )
            .unwrap();
            assert_eq!((array[4], array[5]), (6, 0));
        }
        array[3] = 16;
        // SAFETY: as above.
        let error = unsafe { read_array(array.as_ptr().cast::<Small>(), 2) }.unwrap_err();
        assert!(error.message().contains("element 1"), "{error}");
    }
}
