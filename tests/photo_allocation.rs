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

#[test]
fn what_a_tiff_and_a_jpeg_state_is_not_allocated() {
    // 256 strips of a row each, listed 12,000 times: of 16 bytes a strip, 49 MB if each list counted.
    let (width, rows) = (16u32, 256u32);
    let places: Vec<u8> = (0..rows).flat_map(|row| (8 + row * width).to_le_bytes()).collect();
    let lengths: Vec<u8> = (0..rows).flat_map(|_| width.to_le_bytes()).collect();
    let tables = 8 + width * rows;
    let directory = tables + 2 * 4 * rows;
    let entry = |tag: u16, count: u32, value: u32| {
        [
            &tag.to_le_bytes()[..],
            &[4, 0],
            &count.to_le_bytes(),
            &value.to_le_bytes(),
        ]
        .concat()
    };
    let fields = [
        (256, width),
        (257, rows),
        (258, 8),
        (259, 1),
        (262, 1),
        (277, 1),
        (278, 1),
    ];
    let mut entries: Vec<Vec<u8>> = fields.iter().map(|(tag, value)| entry(*tag, 1, *value)).collect();
    for _ in 0..12_000 {
        entries.push(entry(273, rows, tables));
        entries.push(entry(279, rows, tables + 4 * rows));
    }
    let mut tiff = [b"II\x2a\x00".as_slice(), &directory.to_le_bytes()].concat();
    tiff.extend((0..width * rows).map(|place| place as u8));
    tiff.extend([places, lengths].concat());
    tiff.extend((entries.len() as u16).to_le_bytes());
    tiff.extend(entries.concat());
    tiff.extend([0; 4]);
    let decoded = Photo::from_bytes(&tiff).decode(&Limits::default()).unwrap();
    assert_eq!(decoded.dimensions(), (width, rows));
    assert_eq!(decoded.get_pixel(5, 1).0, [21; 3]);

    // Start of image, frame of a progressive picture of 65,500 x 65,500 pixels with one component, start of its scan.
    let frame = [0xff, 0xc2, 0, 11, 8, 0xff, 0xdc, 0xff, 0xdc, 1, 1, 0x11, 0];
    let jpeg = [&[0xff, 0xd8][..], &frame, &[0xff, 0xda, 0, 8, 1, 1, 0, 0, 0, 0]].concat();
    let error = Photo::from_bytes(&jpeg).decode(&Limits::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Format, "{error}");
    assert!(error.message().contains("65500x65500"), "{error}");
    let largest = LARGEST.load(Ordering::Relaxed);
    assert!(largest < MOST, "an allocation of {largest} bytes");
}
