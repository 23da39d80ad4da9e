//! From the channels of a JPEG to red, green and blue, or to inks.

/// Converts samples in place: luma and chroma to red, green and blue, inks to the light that they leave.
///
/// Which channels they are follows from their number and the colour transform of an Adobe segment, as every decoder has
/// it: three are luma and chroma unless Adobe says no transform; four are inks, the first three of which are luma and
/// chroma when Adobe says so. Adobe's programs store inks inverted.
pub(super) fn convert(samples: &mut [u8], channels: usize, adobe: Option<u8>) {
    match (channels, adobe) {
        (3, Some(0)) | (1 | 2, _) => {}
        (3, _) => samples.chunks_exact_mut(3).for_each(to_rgb),
        (_, Some(2)) => samples.chunks_exact_mut(4).for_each(|pixel| {
            to_rgb(&mut pixel[..3]);
            pixel[..3].iter_mut().for_each(|ink| *ink = 255 - *ink);
        }),
        (_, Some(_)) => {}
        (_, None) => samples.iter_mut().for_each(|ink| *ink = 255 - *ink),
    }
}

/// JFIF's luma and chroma to red, green and blue.
fn to_rgb(pixel: &mut [u8]) {
    let [luma, blue, red] = [pixel[0], pixel[1], pixel[2]].map(i32::from);
    let (blue, red) = (blue - 128, red - 128);
    // In 1/65536, rounded: 1.402, 0.344136, 0.714136 and 1.772.
    let part = |sum: i32| ((luma << 16) + sum + (1 << 15)) >> 16;
    for (to, value) in pixel.iter_mut().zip([
        part(91_881 * red),
        part(-22_554 * blue - 46_802 * red),
        part(116_130 * blue),
    ]) {
        *to = value.clamp(0, 255) as u8;
    }
}
