//! Baseline and progressive JPEGs, of one, three or four components, with EXIF, a colour profile and restarts.

use crate::draft::{number, Draft};
use arbitrary::Unstructured;

pub fn photo(draft: &mut Draft, input: &mut Unstructured<'_>) {
    let components = [1, 3, 4][number(input, 0..=2)];
    let progressive = number(input, 0..=1) == 1;
    let sampling = number(input, 1..=2) as u8;
    let (width, height) = (number(input, 1..=40) as u16, number(input, 1..=40) as u16);
    let interval = number(input, 0..=3) as u16;
    draft.put([0xff, 0xd8]);
    if number(input, 0..=1) == 1 {
        segment(draft, 0xe1, |draft| {
            draft.put(b"Exif\0\0");
            draft.put(b"II*\0");
            draft.put(8u32.to_le_bytes());
            draft.put(1u16.to_le_bytes());
            draft.put(0x112u16.to_le_bytes());
            draft.put(3u16.to_le_bytes());
            draft.put(1u32.to_le_bytes());
            draft.put([6, 0, 0, 0]);
            draft.put([0; 4]);
        });
    }
    if number(input, 0..=1) == 1 {
        segment(draft, 0xe2, |draft| {
            draft.put(b"ICC_PROFILE\0");
            draft.put([1]);
            draft.put([1]);
            draft.put([0; 132]);
        });
    }
    if number(input, 0..=1) == 1 {
        segment(draft, 0xee, |draft| {
            draft.put(b"Adobe\0\x64\0\0\0\0");
            draft.put([number(input, 0..=2) as u8]);
        });
    }
    segment(draft, 0xdb, |draft| {
        draft.put([0]);
        draft.put([1; 64]);
    });
    segment(draft, if progressive { 0xc2 } else { 0xc0 }, |draft| {
        draft.put([8]);
        draft.put(height.to_be_bytes());
        draft.put(width.to_be_bytes());
        draft.put([components]);
        for component in 0..components {
            let factor = if component == 0 { sampling } else { 1 };
            draft.put([component + 1]);
            draft.put([factor << 4 | factor]);
            draft.put([0]);
        }
    });
    for class in [0u8, 0x10] {
        segment(draft, 0xc4, |draft| {
            draft.put([class]);
            // Two codes of two bits, two of three: values 0 and 1, 2 and 0x11, or end of block and short runs.
            draft.put([0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            draft.put(if class == 0 { [0, 1, 2, 3] } else { [0, 1, 0x11, 0xf0] });
        });
    }
    if interval > 0 {
        segment(draft, 0xdd, |draft| draft.put(interval.to_be_bytes()));
    }
    let scans: &[(u8, u8, u8)] = if progressive {
        &[(0, 0, 0), (1, 63, 0x01), (1, 63, 0x10)]
    } else {
        &[(0, 63, 0)]
    };
    for &(first, last, bits) in scans {
        // Of a progressive file, the scans of detail have one component each.
        let in_scan = if first > 0 { 1 } else { components };
        segment(draft, 0xda, |draft| {
            draft.put([in_scan]);
            for component in 0..in_scan {
                draft.put([component + 1]);
                draft.put([0]);
            }
            draft.put([first]);
            draft.put([last]);
            draft.put([bits]);
        });
        let length = number(input, 0..=48);
        let data: Vec<u8> = (0..length).map(|_| input.arbitrary::<u8>().unwrap_or(0)).collect();
        for (index, piece) in data.chunks(12).enumerate() {
            draft.put(piece);
            if interval > 0 {
                draft.put([0xff, 0xd0 + index as u8 % 8]);
            }
        }
    }
    draft.put([0xff, 0xd9]);
}

/// A segment with its length.
fn segment(draft: &mut Draft, marker: u8, write: impl FnOnce(&mut Draft)) {
    let body = draft.part(write);
    draft.put([0xff, marker]);
    draft.put((body.len() as u16).wrapping_add(2).to_be_bytes());
    draft.put(body);
}
