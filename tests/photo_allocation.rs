//! What a small photo says of its size is not allocated before it is known to be there. Alone in its file: the meter
//! sees the whole process.

use image::ImageFormat;
use omniid::photo::parsers::mended;
use omniid::{ErrorKind, Limits, Photo};
use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Meter;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Meter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Meter = Meter;

const MOST: usize = 32 << 20;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new("tests/fixtures/preprocess").join(name)).unwrap()
}

/// Gives a chunk of a WebP file another length.
fn set_length(file: &mut [u8], chunk: &[u8; 4], length: u32) {
    let at = file.windows(4).position(|name| name == chunk).unwrap();
    file[at + 4..at + 8].copy_from_slice(&length.to_le_bytes());
}

#[test]
fn lengths_of_a_webp_are_compared_with_the_file_first() {
    // Turned by its metadata; without them as it is stored.
    let whole = fixture("orientation-6.webp");
    let decode = |file: &[u8]| Photo::from_bytes(file).decode(&Limits::default());
    assert_eq!(decode(&whole).unwrap().dimensions(), (48, 32));
    for length in [27, 1 << 20, 1 << 30, u32::MAX - 8, u32::MAX] {
        let mut cut = whole.clone();
        set_length(&mut cut, b"EXIF", length);
        assert_eq!(decode(&cut).unwrap().dimensions(), (32, 48), "EXIF of {length} bytes");
    }
    // A picture of no rows, of which nothing is missing however long it says to be.
    let mut empty = fixture("rgba.webp");
    empty[12..16].copy_from_slice(b"VP8 ");
    let data = 20;
    empty[data + 8..data + 10].fill(0);
    for length in [1 << 20, 1 << 30, u32::MAX] {
        set_length(&mut empty, b"VP8 ", length);
        let error = mended(&empty, ImageFormat::WebP, &Limits::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format, "{error}");
        assert!(decode(&empty).is_err());
    }
    let largest = LARGEST.load(Ordering::Relaxed);
    assert!(largest < MOST, "an allocation of {largest} bytes");
}
