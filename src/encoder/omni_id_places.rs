//! Places in a photo, and their codes, from which queries and keys of the native encoder start.

use super::OmniIdConfig;

/// `count` places of a grid as square as possible, in rows, with coordinates between 0 and 1.
pub(super) fn grid(count: usize) -> Vec<(f32, f32)> {
    let mut columns = count.isqrt().max(1);
    if columns * columns < count {
        columns += 1;
    }
    let rows = count.div_ceil(columns).max(1);
    let place = |i: usize| {
        let (row, column) = (i / columns, i % columns);
        ((column as f32 + 0.5) / columns as f32, (row as f32 + 0.5) / rows as f32)
    };
    (0..count).map(place).collect()
}

/// Sines and cosines of both coordinates, mean square 1 over the columns used. Frequencies rise geometrically from
/// half a period over the photo to one period over two patches, so that codes of distant places are unlike.
pub(super) fn place_code(places: &[(f32, f32)], width: usize, config: &OmniIdConfig) -> Vec<f32> {
    let frequencies = (config.width.min(config.feature_width) / 4).max(1);
    let highest = ((config.feature_tokens - 1).isqrt().max(2) as f32) / 2.0;
    let mut code = Vec::with_capacity(places.len() * width);
    for (x, y) in places {
        let mut row = Vec::with_capacity(width);
        for j in 0..frequencies {
            let step = j as f32 / (frequencies.max(2) - 1) as f32;
            let frequency = 0.5 * (highest / 0.5).powf(step);
            for coordinate in [x, y] {
                let (sin, cos) = (std::f32::consts::TAU * frequency * coordinate).sin_cos();
                row.extend([sin * std::f32::consts::SQRT_2, cos * std::f32::consts::SQRT_2]);
            }
        }
        row.resize(width, 0.0);
        code.extend(row);
    }
    code
}
