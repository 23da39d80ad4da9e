//! Reading a JPEG at 1/2, 1/4 or 1/8 of its size, for photos too large to be held as a whole.
//!
//! A block's low frequencies are a smaller picture of the block: their inverse transform over 4 × 4, 2 × 2 or 1 × 1
//! samples is what is left of 8 × 8 when the high frequencies are cut off. Only those are kept.

use super::frame::{Component, Frame, Header, BLOCK};
use super::scan::Sink;
use omniid_kernels::ThreadPool;

/// Order of coefficients in the data: index to row · 8 + column (ITU T.81, figure A.6).
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// The low frequencies of all blocks.
pub(super) struct LowFrequencies {
    /// Samples that remain of a block in each direction: 4, 2 or 1.
    side: usize,
    /// Where the coefficient of a place in zigzag order is kept; beyond `side`² when it is not.
    places: [usize; 64],
    /// By component, `side`² values a block.
    values: Vec<Vec<i16>>,
}

impl LowFrequencies {
    pub fn new(frame: &Frame, factor: usize) -> Self {
        let side = BLOCK / factor;
        Self {
            side,
            places: ZIGZAG.map(|place| {
                let (row, column) = (usize::from(place) / BLOCK, usize::from(place) % BLOCK);
                if row < side && column < side {
                    row * side + column
                } else {
                    usize::MAX
                }
            }),
            values: frame
                .components
                .iter()
                .map(|component| vec![0; component.blocks() * side * side])
                .collect(),
        }
    }

    fn at(&mut self, component: usize, block: usize, k: usize) -> Option<&mut i16> {
        let area = self.side * self.side;
        let place = self.places[k];
        (place < area).then(|| &mut self.values[component][block * area + place])
    }
}

impl Sink for LowFrequencies {
    const WANTED: bool = true;

    fn add(&mut self, component: usize, block: usize, k: usize, value: i32) {
        if let Some(kept) = self.at(component, block, k) {
            *kept = kept.saturating_add(value.clamp(-32768, 32767) as i16);
        }
    }

    fn refine(&mut self, component: usize, block: usize, k: usize, step: i32) {
        if let Some(kept) = self.at(component, block, k) {
            *kept = kept.saturating_add(if *kept < 0 { -step } else { step } as i16);
        }
    }
}

/// Bytes that reading at 1/`factor` takes at its worst moment, without the orientation.
pub(super) fn peak_bytes(frame: &Frame, factor: usize) -> u64 {
    let side = BLOCK / factor;
    let kept = 2 * side * side + if frame.progressive { 8 } else { 0 };
    let blocks: usize = frame.components.iter().map(Component::blocks).sum();
    let channels = frame.components.len().max(3);
    let [width, height] = reduced_size(frame, factor);
    (blocks * kept + width * height * channels) as u64
}

pub(super) fn reduced_size(frame: &Frame, factor: usize) -> [usize; 2] {
    [frame.width.div_ceil(factor), frame.height.div_ceil(factor)]
}

/// The samples of all pixels, as stored: one, three or four channels.
pub(super) fn samples(header: &Header, frame: &Frame, low: &LowFrequencies) -> Vec<u8> {
    let channels = frame.components.len();
    let side = low.side;
    let [width, height] = reduced_size(frame, BLOCK / side);
    let mut out = vec![0; width * height * channels];
    let basis = basis(side);
    let row = width * frame.v_max * side * channels;
    // A row of MCUs at a time.
    ThreadPool::global().fill_parts(&mut out, row, &|number, part| {
        for (channel, component) in frame.components.iter().enumerate() {
            let table = header
                .quantisation
                .get(component.quantisation)
                .and_then(Option::as_ref)
                .unwrap_or(&[1; 64]);
            let plane = strip(component, &low.values[channel], low, table, &basis, number);
            let stride = component.padded_wide * side;
            for (y, line) in part.chunks_exact_mut(width * channels).enumerate() {
                let plane = &plane[y * component.v / frame.v_max * stride..][..stride];
                let targets = line.iter_mut().skip(channel).step_by(channels);
                if component.h == frame.h_max {
                    targets.zip(plane).for_each(|(to, from)| *to = *from);
                } else {
                    for (x, to) in targets.enumerate() {
                        *to = plane[x * component.h / frame.h_max];
                    }
                }
            }
        }
    });
    out
}

/// The samples of one component in a row of MCUs.
fn strip(
    component: &Component,
    values: &[i16],
    low: &LowFrequencies,
    table: &[u16; 64],
    basis: &[f32; 16],
    number: usize,
) -> Vec<u8> {
    let (side, area) = (low.side, low.side * low.side);
    let stride = component.padded_wide * side;
    let mut steps = [0.0; 16];
    for (k, &place) in low.places.iter().enumerate() {
        if place < area {
            steps[place] = f32::from(table[k]);
        }
    }
    let mut plane = vec![0; stride * component.v * side];
    let first = number * component.v * component.padded_wide;
    for block in 0..component.v * component.padded_wide {
        let values = &values[(first + block) * area..][..area];
        let (top, left) = (
            block / component.padded_wide * side,
            block % component.padded_wide * side,
        );
        // Columns, then rows.
        let mut half = [0f32; 16];
        for y in 0..side {
            for v in 0..side {
                let weight = basis[y * side + v];
                for u in 0..side {
                    half[y * side + u] += weight * steps[v * side + u] * f32::from(values[v * side + u]);
                }
            }
        }
        for y in 0..side {
            for x in 0..side {
                let sum: f32 = (0..side).map(|u| basis[x * side + u] * half[y * side + u]).sum();
                // The cast clamps.
                plane[(top + y) * stride + left + x] = (sum + 128.5) as u8;
            }
        }
    }
    plane
}

/// The inverse cosine transform over `side` samples, row by sample, for the coefficients of one over 8 samples.
fn basis(side: usize) -> [f32; 16] {
    let mut out = [0.0; 16];
    for x in 0..side {
        for u in 0..side {
            let scale = if u == 0 { 1.0 } else { 2.0f64.sqrt() };
            let angle = (2 * x + 1) as f64 * u as f64 * std::f64::consts::PI / (2 * side) as f64;
            // Of both norms, of the transform over `side` and over 8 samples, 1 / √8 remains.
            out[x * side + u] = (scale * angle.cos() / (BLOCK as f64).sqrt()) as f32;
        }
    }
    out
}
