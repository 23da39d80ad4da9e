//! Bicubic resampling of floating-point values as PyTorch does it.

/// How `torch.nn.functional.interpolate(mode="bicubic", align_corners=False)` is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bicubic {
    /// As it stands: four samples, whatever the scale; coefficient −0.75.
    Plain,
    /// With `antialias=True`, as torchvision's `resize` calls it: as many samples as the scale asks for; coefficient
    /// −0.5, like Pillow's filter.
    Antialiased,
}

/// The cubic convolution kernel (Keys 1981) with coefficient `a`.
fn kernel(x: f64, a: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * a
    } else {
        0.0
    }
}

impl Bicubic {
    /// The weights `[new, old]` of `old` samples in a line of `new`, row by row.
    pub(crate) fn weights(self, old: usize, new: usize) -> Vec<f32> {
        let mut weights = vec![0f32; new * old];
        for (row, weights) in weights.chunks_exact_mut(old.max(1)).enumerate() {
            match self {
                Self::Plain => {
                    let centre = (row as f64 + 0.5) * (old as f64 / new as f64);
                    let place = centre - 0.5;
                    let begin = place.floor();
                    for tap in -1..=2 {
                        let at = (begin as i64 + tap).clamp(0, old as i64 - 1) as usize;
                        weights[at] += kernel(begin + tap as f64 - place, -0.75) as f32;
                    }
                }
                Self::Antialiased => {
                    // Rounded to f32 where PyTorch does it: far from the origin that shows in the weights.
                    let scale = old as f32 / new as f32;
                    let stretch = scale.max(1.0);
                    let centre = (f64::from(scale) * (row as f64 + 0.5)) as f32;
                    let edge = |side: f32| (f64::from(centre + side * 2.0 * stretch) + 0.5).max(0.0) as usize;
                    let (first, last) = (edge(-1.0), edge(1.0).min(old));
                    let squeeze = f64::from(1.0 / stretch);
                    for (at, weight) in weights.iter_mut().enumerate().take(last).skip(first) {
                        let place = ((f64::from(at as f32 - centre) + 0.5) * squeeze) as f32;
                        *weight = kernel(f64::from(place), -0.5) as f32;
                    }
                    let sum: f32 = weights.iter().sum();
                    weights.iter_mut().for_each(|weight| *weight /= sum);
                }
            }
        }
        weights
    }

    /// A plane of `height` rows of `width` values, resampled to `size` × `size`.
    pub(crate) fn resize_plane(self, plane: &[f32], width: usize, height: usize, size: usize) -> Vec<f32> {
        let across = Line::all(&self.weights(width, size), width);
        let down = Line::all(&self.weights(height, size), height);
        let mut narrow = Vec::with_capacity(height * size);
        for row in plane.chunks_exact(width).take(height) {
            narrow.extend(across.iter().map(|line| line.dot(row)));
        }
        let mut out = vec![0f32; size * size];
        for (line, out) in down.iter().zip(out.chunks_exact_mut(size)) {
            for (row, weight) in narrow.chunks_exact(size).skip(line.first).zip(&line.weights) {
                out.iter_mut().zip(row).for_each(|(out, value)| *out += weight * value);
            }
        }
        out
    }
}

/// The weights of one sample that are not 0.
struct Line {
    first: usize,
    weights: Vec<f32>,
}

impl Line {
    fn all(weights: &[f32], old: usize) -> Vec<Self> {
        let line = |row: &[f32]| {
            let first = row.iter().position(|weight| *weight != 0.0).unwrap_or(0);
            let end = row
                .iter()
                .rposition(|weight| *weight != 0.0)
                .map_or(first, |last| last + 1);
            Self {
                first,
                weights: row[first..end].to_vec(),
            }
        };
        weights.chunks_exact(old.max(1)).map(line).collect()
    }

    fn dot(&self, row: &[f32]) -> f32 {
        let part = row.iter().skip(self.first);
        part.zip(&self.weights).map(|(value, weight)| value * weight).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_grid_is_kept_and_weights_sum_to_one() {
        for bicubic in [Bicubic::Plain, Bicubic::Antialiased] {
            let same = bicubic.weights(5, 5);
            for (index, weight) in same.iter().enumerate() {
                let expected = if index % 6 == 0 { 1.0 } else { 0.0 };
                assert!((weight - expected).abs() < 1e-7, "{bicubic:?} {index}: {weight}");
            }
            for (old, new) in [(37, 16), (16, 37), (3, 8), (8, 1)] {
                for row in bicubic.weights(old, new).chunks_exact(old) {
                    assert!(
                        (row.iter().sum::<f32>() - 1.0).abs() < 1e-6,
                        "{bicubic:?} {old} to {new}"
                    );
                }
            }
        }
    }

    #[test]
    fn planes_equal_torch() {
        // torch 2.15: interpolate(arange(24).reshape(1,1,4,6) ** 2 / 100, size=(3, 3), mode="bicubic", antialias=…).
        let plane: Vec<f32> = (0..24).map(|value| (value * value) as f32 / 100.0).collect();
        for (bicubic, expected) in [(Bicubic::Plain, PLAIN), (Bicubic::Antialiased, ANTIALIASED)] {
            let got = bicubic.resize_plane(&plane, 6, 4, 3);
            for (a, b) in got.iter().zip(expected) {
                assert!((a - b).abs() < 1e-5, "{bicubic:?}: {got:?}");
            }
        }
    }

    const PLAIN: [f32; 9] = [
        0.041254, 0.132014, 0.314023, 0.840313, 1.276_25, 1.803438, 3.142704, 3.923819, 4.796185,
    ];
    const ANTIALIASED: [f32; 9] = [
        0.043683, 0.149_47, 0.328454, 0.951319, 1.364616, 1.851_11, 3.044453, 3.765_26, 4.559263,
    ];
}
