//! Pointers of the caller: handles, texts, arrays and places for results.

use omniid::{Error, Result};
use std::borrow::Cow;
use std::ffi::{c_char, CStr};
use std::path::Path;

/// A handle that the caller passes to be read.
///
/// # Safety
/// `pointer` is NULL or came from this library as `T` and lives for `'a`.
pub(crate) unsafe fn handle<'a, T>(pointer: *const T, name: &str) -> Result<&'a T> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(name))
}

/// Checks a place for a result.
pub(crate) fn out<T>(pointer: *mut T, name: &str) -> Result<*mut T> {
    if pointer.is_null() {
        return Err(null(name));
    }
    aligned(pointer.cast_const(), name)?;
    Ok(pointer)
}

/// Checks a place for a handle and sets it to NULL, so that a failed call leaves nothing to free.
///
/// # Safety
/// `pointer` is NULL or points to a writable pointer.
pub(crate) unsafe fn out_handle<T>(pointer: *mut *mut T, name: &str) -> Result<*mut *mut T> {
    let pointer = out(pointer, name)?;
    // SAFETY: not NULL and aligned, so writable by the caller's promise.
    unsafe { pointer.write(std::ptr::null_mut()) };
    Ok(pointer)
}

/// Frees a handle; NULL is fine.
///
/// # Safety
/// `pointer` is NULL or came from [`Box::into_raw`] and is used by nobody any more.
pub(crate) unsafe fn free<T>(pointer: *mut T) {
    if !pointer.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(pointer) });
    }
}

/// Text of the caller; NULL is empty.
///
/// # Safety
/// `pointer` is NULL or points to NUL-terminated text that lives for `'a`.
pub(crate) unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Result<&'a str> {
    if pointer.is_null() {
        return Ok("");
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map_err(|error| {
        Error::invalid(format!(
            "{name}: not UTF-8 from byte {} on ({:?})",
            error.valid_up_to(),
            text
        ))
    })
}

/// A path of the caller: any bytes on Unix, UTF-8 elsewhere.
///
/// # Safety
/// `pointer` is NULL or points to NUL-terminated text that lives for `'a`.
pub(crate) unsafe fn path<'a>(pointer: *const c_char, name: &str) -> Result<Cow<'a, Path>> {
    if pointer.is_null() {
        return Err(null(name));
    }
    #[cfg(unix)]
    let path = {
        use std::os::unix::ffi::OsStrExt;
        // SAFETY: the caller's promise.
        let bytes = unsafe { CStr::from_ptr(pointer) }.to_bytes();
        Path::new(std::ffi::OsStr::from_bytes(bytes))
    };
    #[cfg(not(unix))]
    // SAFETY: the caller's promise.
    let path = Path::new(unsafe { text(pointer, name) }?);
    if path.as_os_str().is_empty() {
        return Err(Error::invalid(format!("{name}: the path is empty")));
    }
    Ok(Cow::Borrowed(path))
}

/// An array of the caller. Its pointer is not looked at when `count` is 0.
///
/// # Safety
/// `pointer` is NULL or points to `count` readable values, every bit pattern of which is a `T`, that live and do not
/// change for `'a`.
pub(crate) unsafe fn slice<'a, T: Copy>(pointer: *const T, count: usize, name: &str) -> Result<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    if pointer.is_null() {
        return Err(null(name));
    }
    aligned(pointer, name)?;
    if count
        .checked_mul(size_of::<T>())
        .is_none_or(|bytes| bytes > isize::MAX as usize)
    {
        return Err(Error::invalid(format!("{name}: {count} values do not fit into memory")));
    }
    // SAFETY: not NULL, aligned, not too large; the rest is the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(pointer, count) })
}

/// As [`slice`], for at most `most` values: nothing is read of an array whose length is absurd.
///
/// # Safety
/// As [`slice`].
pub(crate) unsafe fn slice_of_at_most<'a, T: Copy>(
    pointer: *const T,
    count: usize,
    most: usize,
    name: &str,
) -> Result<&'a [T]> {
    if count > most {
        return Err(Error::invalid(format!(
            "{name}: {count} values; at most {most} are taken"
        )));
    }
    // SAFETY: the caller's promise.
    unsafe { slice(pointer, count, name) }
}

/// Refuses a value that only counts with another one, which the caller has not given: it would be ignored without a
/// word.
pub(crate) fn unused(is_set: bool, value: impl std::fmt::Display, name: &str, with: &str) -> Result<()> {
    match is_set {
        true => Err(Error::invalid(format!(
            "{name} is {value}, but it only counts with {with}"
        ))),
        false => Ok(()),
    }
}

/// Refuses a value in a field that no release has a meaning for yet.
pub(crate) fn reserved(value: u32, name: &str) -> Result<()> {
    match value {
        0 => Ok(()),
        value => Err(Error::unsupported(format!("{name}: reserved is {value}, expected 0"))),
    }
}

/// A switch of the caller.
pub(crate) fn flag(value: i32, name: &str) -> Result<bool> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(Error::invalid(format!("{name}: {other}, expected 0 or 1"))),
    }
}

/// The error for NULL.
pub(crate) fn null(name: &str) -> Error {
    Error::invalid(format!("{name}: the pointer is NULL"))
}

fn aligned<T>(pointer: *const T, name: &str) -> Result<()> {
    if pointer.is_aligned() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{name}: the pointer is not aligned to {} bytes",
        align_of::<T>()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_misaligned_pointers_are_named() {
        // SAFETY: no pointer here is read.
        unsafe {
            assert!(handle::<u8>(std::ptr::null(), "engine")
                .unwrap_err()
                .message()
                .contains("engine"));
            assert!(out_handle::<u8>(std::ptr::null_mut(), "out").is_err());
            assert!(slice::<u32>(std::ptr::null(), 3, "values")
                .unwrap_err()
                .message()
                .contains("NULL"));
            assert!(slice::<u32>(std::ptr::without_provenance(2), 1, "values").is_err());
            assert!(slice::<u32>(std::ptr::without_provenance(8), usize::MAX, "values").is_err());
            assert!(slice::<u32>(std::ptr::without_provenance(2), 0, "values")
                .unwrap()
                .is_empty());
            assert!(path(std::ptr::null(), "path").is_err());
            assert!(path(c"".as_ptr(), "path").is_err());
            free::<u8>(std::ptr::null_mut());
        }
    }

    #[test]
    fn text_must_be_utf8() {
        // SAFETY: static NUL-terminated text.
        unsafe {
            assert_eq!(text(std::ptr::null(), "label").unwrap(), "");
            assert_eq!(text(c"\u{e4}".as_ptr(), "label").unwrap(), "\u{e4}");
            let error = text(c"a\xff".as_ptr(), "label").unwrap_err();
            assert!(
                error.message().starts_with("label: not UTF-8 from byte 1 on"),
                "{error}"
            );
        }
    }
}
