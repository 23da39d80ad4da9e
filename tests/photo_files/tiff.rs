//! Uncompressed TIFF files.

/// A TIFF of RGB and, where `extra` says what it is (tag ExtraSamples), a fourth sample: 8 bits each, in one strip.
pub fn uncompressed(width: u32, height: u32, extra: Option<u16>, pixels: &[u8]) -> Vec<u8> {
    let samples = 3 + u32::from(extra.is_some());
    let count = 9 + u16::from(extra.is_some());
    // Behind the directory lie the bits of each sample, then the strip.
    let behind = 8 + 2 + 12 * u32::from(count) + 4;
    let mut entries: Vec<(u16, u16, u32, u32)> = vec![
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, samples, behind),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, behind + 2 * samples),
        (277, 3, 1, samples),
        (278, 3, 1, height),
        (279, 4, 1, pixels.len() as u32),
    ];
    entries.extend(extra.map(|extra| (338, 3, 1, u32::from(extra))));
    let mut out = b"II\x2A\0\x08\0\0\0".to_vec();
    out.extend(count.to_le_bytes());
    for (tag, kind, count, value) in entries {
        out.extend(tag.to_le_bytes());
        out.extend(kind.to_le_bytes());
        out.extend(count.to_le_bytes());
        out.extend(value.to_le_bytes());
    }
    out.extend([0; 4]);
    for _ in 0..samples {
        out.extend(8u16.to_le_bytes());
    }
    out.extend(pixels);
    out
}
