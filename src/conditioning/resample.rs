//! Resampling of masks the way PyTorch's `interpolate` does it (`align_corners=False`, no antialiasing).

/// Cubic convolution with the coefficient that PyTorch uses.
const CUBIC: f32 = -0.75;

/// Source position of the centre of output cell `i`.
fn source(i: usize, from: usize, to: usize) -> f32 {
    (from as f32 / to as f32) * (i as f32 + 0.5) - 0.5
}

/// Bilinear, positions before the first centre clamped to it.
pub(super) fn bilinear(values: &[f32], from: (usize, usize), to: (usize, usize)) -> Vec<f32> {
    let taps = |i, from: usize, to| {
        let position = source(i, from, to).max(0.0);
        let low = (position as usize).min(from - 1);
        let part = position - low as f32;
        [(low, 1.0 - part), ((low + 1).min(from - 1), part)]
    };
    separable(values, from, to, taps)
}

/// Bicubic, indices clamped to the edge. The result may leave the range of the input.
pub(super) fn bicubic(values: &[f32], from: (usize, usize), to: (usize, usize)) -> Vec<f32> {
    let taps = |i, from: usize, to| {
        let position = source(i, from, to);
        let low = position.floor();
        let part = position - low;
        let weights = [far(part + 1.0), near(part), near(1.0 - part), far(2.0 - part)];
        let index = |offset: i64| (low as i64 + offset).clamp(0, from as i64 - 1) as usize;
        [
            (index(-1), weights[0]),
            (index(0), weights[1]),
            (index(1), weights[2]),
            (index(2), weights[3]),
        ]
    };
    separable(values, from, to, taps)
}

/// The cubic within one cell of the centre.
fn near(x: f32) -> f32 {
    ((CUBIC + 2.0) * x - (CUBIC + 3.0)) * x * x + 1.0
}

/// The cubic one to two cells away.
fn far(x: f32) -> f32 {
    ((CUBIC * x - 5.0 * CUBIC) * x + 8.0 * CUBIC) * x - 4.0 * CUBIC
}

/// Weighted sums over columns, then rows. `from` and `to` are height and width, none of them 0.
fn separable<const N: usize>(
    values: &[f32],
    from: (usize, usize),
    to: (usize, usize),
    taps: impl Fn(usize, usize, usize) -> [(usize, f32); N],
) -> Vec<f32> {
    let mut rows = Vec::with_capacity(from.0 * to.1);
    for row in values.chunks_exact(from.1) {
        rows.extend((0..to.1).map(|x| {
            taps(x, from.1, to.1)
                .iter()
                .map(|(i, weight)| row[*i] * weight)
                .sum::<f32>()
        }));
    }
    let mut result = Vec::with_capacity(to.0 * to.1);
    for y in 0..to.0 {
        let taps = taps(y, from.0, to.0);
        result.extend((0..to.1).map(|x| taps.iter().map(|(i, weight)| rows[i * to.1 + x] * weight).sum::<f32>()));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_stay_constant() {
        for to in [(1, 1), (3, 5), (16, 9), (40, 40)] {
            for value in bilinear(&[0.25; 63], (7, 9), to)
                .iter()
                .chain(&bicubic(&[0.25; 63], (7, 9), to))
            {
                assert!((value - 0.25).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn doubling_gives_the_textbook_values() {
        // Centres fall on −0.25, 0.25, 0.75, 1.25: clamped, then quarters.
        let doubled = bilinear(&[0.0, 1.0], (1, 2), (1, 4));
        for (value, expected) in doubled.iter().zip([0.0, 0.25, 0.75, 1.0]) {
            assert!((value - expected).abs() < 1e-6);
        }
        // A ramp away from the edges is kept by both kernels.
        let ramp: Vec<f32> = (0..16).map(|i| i as f32).collect();
        for (x, value) in bicubic(&ramp, (1, 16), (1, 8)).iter().enumerate().skip(1).take(6) {
            assert!((value - (2.0 * x as f32 + 0.5)).abs() < 1e-5, "{x} {value}");
        }
    }
}
