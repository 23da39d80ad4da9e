//! PNGs of every colour type and depth, stored without compression, with EXIF and a palette.

use crate::draft::{crc32, number, pick, Draft};
use arbitrary::Unstructured;

/// Colour types with their depths and samples a pixel.
const TYPES: [(u8, &[u8], usize); 5] = [
    (0, &[1, 2, 4, 8, 16], 1),
    (2, &[8, 16], 3),
    (3, &[1, 2, 4, 8], 1),
    (4, &[8, 16], 2),
    (6, &[8, 16], 4),
];

pub fn photo(draft: &mut Draft, input: &mut Unstructured<'_>) {
    let (colour, depths, samples) = *pick(input, &TYPES);
    let depth = *pick(input, depths);
    let (width, height) = (number(input, 1..=9), number(input, 1..=9));
    let row = (width * samples * usize::from(depth)).div_ceil(8);
    draft.put(b"\x89PNG\r\n\x1a\n");
    chunk(draft, b"IHDR", |draft| {
        draft.put((width as u32).to_be_bytes());
        draft.put((height as u32).to_be_bytes());
        draft.put([depth]);
        draft.put([colour]);
        draft.put([0]);
        draft.put([0]);
        draft.put([0]);
    });
    if colour == 3 {
        chunk(draft, b"PLTE", |draft| draft.put([90; 12]));
        chunk(draft, b"tRNS", |draft| draft.put([0, 128]));
    }
    if number(input, 0..=1) == 1 {
        chunk(draft, b"eXIf", |draft| {
            draft.put(b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0\0\0\0\0")
        });
    }
    let mut pixels = Vec::new();
    for _ in 0..height {
        pixels.push(number(input, 0..=4) as u8);
        pixels.extend((0..row).map(|_| input.arbitrary::<u8>().unwrap_or(1)));
    }
    chunk(draft, b"IDAT", |draft| {
        let length = pixels.len() as u16;
        draft.put([0x78, 1]);
        draft.put([1]);
        draft.put(length.to_le_bytes());
        draft.put((!length).to_le_bytes());
        draft.put(&pixels);
        draft.put(adler32(&pixels).to_be_bytes());
    });
    chunk(draft, b"IEND", |_| ());
}

/// A chunk with its length and its checksum.
fn chunk(draft: &mut Draft, name: &[u8; 4], write: impl FnOnce(&mut Draft)) {
    let body = draft.part(write);
    draft.put((body.len() as u32).to_be_bytes());
    draft.put(name);
    draft.put(&body);
    draft.put(crc32(&[name.as_slice(), &body].concat()).to_be_bytes());
}

fn adler32(bytes: &[u8]) -> u32 {
    let (a, b) = bytes.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65521;
        (a, (b + a) % 65521)
    });
    b << 16 | a
}
