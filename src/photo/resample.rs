//! Resizing that gives the same numbers as Pillow.
//!
//! Two passes of a separable filter whose support grows with the scale when shrinking. 8-bit images use fixed-point
//! coefficients with 22 fraction bits and are rounded to 8 bits after each pass: the arithmetic of Pillow's
//! `Image.resize`, so results are equal, not close. The order of the passes, which shows where the first one clips, is
//! that of Pillow 13: rows first where the height shrinks by more than twice as many pixels as the width. One-channel
//! f32 images follow Pillow's mode `F`: f64 coefficients and sums, rounded to f32 after each pass.

use image::RgbImage;

/// Fraction bits of the fixed-point coefficients: 32 less 8 for the sample and 2 for sign and overshoot.
const PRECISION_BITS: u32 = 22;

/// A resampling filter, by its usual name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Filter {
    /// Triangle of radius 1.
    Bilinear,
    /// Cubic convolution with a = −0.5 (Keys 1981, Catmull-Rom), radius 2.
    Bicubic,
    /// Windowed sinc of radius 3.
    Lanczos,
}

impl Filter {
    fn radius(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn value(self, x: f64) -> f64 {
        let x = x.abs();
        match self {
            Self::Bilinear => (1.0 - x).max(0.0),
            Self::Bicubic => {
                const A: f64 = -0.5;
                if x < 1.0 {
                    ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
                } else if x < 2.0 {
                    (((x - 5.0) * x + 8.0) * x - 4.0) * A
                } else {
                    0.0
                }
            }
            Self::Lanczos => {
                if x < 3.0 {
                    sinc(x) * sinc(x / 3.0)
                } else {
                    0.0
                }
            }
        }
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * std::f64::consts::PI;
    x.sin() / x
}

/// A part of a resized image, in pixels of the resized image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First column.
    pub left: u64,
    /// First row.
    pub top: u64,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// What stands beyond the border of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Border {
    /// Nothing: the filter is cut off and normalised again. Pillow's way.
    Cut,
    /// The nearest pixel, repeated. For boxes that reach out of the image.
    Repeat,
}

/// For each output position, the input positions that contribute and by how much.
struct Taps<T> {
    /// First input position and number of coefficients.
    spans: Vec<(usize, usize)>,
    coefficients: Vec<T>,
    /// Coefficients reserved per output position.
    width: usize,
}

impl<T: Copy> Taps<T> {
    fn get(&self, index: usize) -> (usize, &[T]) {
        let (start, count) = self.spans[index];
        (
            start,
            &self.coefficients[index * self.width..index * self.width + count],
        )
    }

    fn map<U>(self, f: impl FnMut(T) -> U) -> Taps<U> {
        Taps {
            spans: self.spans,
            coefficients: self.coefficients.into_iter().map(f).collect(),
            width: self.width,
        }
    }
}

/// One axis of a resize: which part of the input becomes how many output positions, and which of those are wanted.
#[derive(Clone, Copy)]
struct Axis {
    /// Input positions that exist.
    input: usize,
    /// Where the part of the input begins; may lie outside.
    begin: f64,
    /// Input positions per output position.
    scale: f64,
    /// First output position wanted.
    first: u64,
    /// Output positions wanted.
    count: usize,
    border: Border,
}

impl Axis {
    fn whole(input: usize, output: u64, first: u64, count: usize) -> Self {
        let scale = input as f64 / output as f64;
        Self {
            input,
            begin: 0.0,
            scale,
            first,
            count,
            border: Border::Cut,
        }
    }

    /// Normalised filter coefficients of every wanted output position. `input` is at least 1.
    fn taps(&self, filter: Filter) -> Taps<f64> {
        let stretch = self.scale.max(1.0);
        let support = filter.radius() * stretch;
        let width = (support.ceil() as usize * 2 + 1).min(self.input);
        let mut taps = Taps {
            spans: Vec::with_capacity(self.count),
            coefficients: vec![0.0; width * self.count],
            width,
        };
        for (index, out) in taps.coefficients.chunks_exact_mut(width).enumerate() {
            let center = self.begin + ((self.first + index as u64) as f64 + 0.5) * self.scale;
            let from = (center - support + 0.5).floor() as i64;
            let to = (center + support + 0.5).floor() as i64;
            let last = self.input as i64 - 1;
            // The span that exists; at least one position, so that a box beyond the border repeats it.
            let start = from.clamp(0, last);
            let end = to.clamp(start + 1, last + 1);
            let (begin, stop) = match self.border {
                Border::Cut => (start, end),
                Border::Repeat => (from, to),
            };
            let mut sum = 0.0;
            for position in begin..stop {
                let weight = filter.value((position as f64 - center + 0.5) / stretch);
                out[(position.clamp(start, end - 1) - start) as usize] += weight;
                sum += weight;
            }
            let count = (end - start) as usize;
            if sum != 0.0 {
                out[..count].iter_mut().for_each(|weight| *weight /= sum);
            }
            taps.spans.push((start as usize, count));
        }
        taps
    }
}

fn to_fixed(coefficient: f64) -> i32 {
    (coefficient * f64::from(1 << PRECISION_BITS)).round() as i32
}

fn from_fixed(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// Resizes an 8-bit image to `width` × `height`, as Pillow's `resize((width, height), filter)`.
///
/// A side of 0, of the image or asked for, gives an image without content.
pub fn resize(image: &RgbImage, width: u32, height: u32, filter: Filter) -> RgbImage {
    let window = Window {
        left: 0,
        top: 0,
        width,
        height,
    };
    resize_window(image, u64::from(width), u64::from(height), window, filter)
}

/// Computes only the pixels of `window` of the image resized to `width` × `height`.
///
/// Parts of the window outside the resized image repeat its border.
pub fn resize_window(image: &RgbImage, width: u64, height: u64, window: Window, filter: Filter) -> RgbImage {
    let (input_width, input_height) = (image.width() as usize, image.height() as usize);
    let nothing = window.width == 0 || window.height == 0;
    if nothing || width == 0 || height == 0 || input_width == 0 || input_height == 0 {
        return RgbImage::new(window.width, window.height);
    }
    let shrinks_by = |from: u32, to: u64| i128::from(from) - i128::from(to);
    let (fewer_columns, fewer_rows) = (shrinks_by(image.width(), width), shrinks_by(image.height(), height));
    let rows_first = fewer_rows > 0 && fewer_rows > 2 * fewer_columns;
    let columns = (u64::from(image.width()) != width)
        .then(|| Axis::whole(input_width, width, window.left, window.width as usize));
    let rows = (u64::from(image.height()) != height)
        .then(|| Axis::whole(input_height, height, window.top, window.height as usize));
    let order = if rows_first {
        Order::RowsFirst
    } else {
        Order::ColumnsFirst
    };
    let size = (window.width, window.height);
    resize_axes(
        image,
        columns.ok_or(window.left),
        rows.ok_or(window.top),
        size,
        filter,
        order,
    )
}

/// Resizes the square of side `side` at (`left`, `top`) to `size` × `size`; beyond the image its border is repeated.
///
/// Coordinates are pixels, an integer is the border between two pixels. `side` must be positive and finite.
pub fn resize_square(image: &RgbImage, left: f64, top: f64, side: f64, size: u32, filter: Filter) -> RgbImage {
    if image.width() == 0 || image.height() == 0 || size == 0 {
        return RgbImage::new(size, size);
    }
    let axis = |input: u32, begin: f64| Axis {
        input: input as usize,
        begin,
        scale: side / f64::from(size),
        first: 0,
        count: size as usize,
        border: Border::Repeat,
    };
    let (columns, rows) = (axis(image.width(), left), axis(image.height(), top));
    resize_axes(image, Ok(columns), Ok(rows), (size, size), filter, Order::ColumnsFirst)
}

/// Both passes. An axis that keeps its size (`Err`, with the first position) is copied, as Pillow does.
fn resize_axes(
    image: &RgbImage,
    columns: Result<Axis, u64>,
    rows: Result<Axis, u64>,
    (width, height): (u32, u32),
    filter: Filter,
    order: Order,
) -> RgbImage {
    let (width, height) = (width as usize, height as usize);
    let copy = |first: u64, input: usize, count: usize| Taps {
        spans: (0..count)
            .map(|i| ((first.saturating_add(i as u64)).min(input as u64 - 1) as usize, 1))
            .collect(),
        coefficients: vec![1 << PRECISION_BITS; count],
        width: 1,
    };
    let fixed = |axis: Result<Axis, u64>, input: usize, count: usize| match axis {
        Ok(axis) => axis.taps(filter).map(to_fixed),
        Err(first) => copy(first, input, count),
    };
    let columns = fixed(columns, image.width() as usize, width);
    let rows = fixed(rows, image.height() as usize, height);

    let out = match order {
        Order::ColumnsFirst => columns_first(image, &columns, &rows),
        Order::RowsFirst => rows_first(image, &columns, &rows),
    };
    RgbImage::from_raw(width as u32, height as u32, out).unwrap_or_default()
}

/// Which pass comes first.
#[derive(Clone, Copy)]
enum Order {
    ColumnsFirst,
    RowsFirst,
}

fn columns_first(image: &RgbImage, columns: &Taps<i32>, rows: &Taps<i32>) -> Vec<u8> {
    let (width, height) = (columns.spans.len(), rows.spans.len());
    // Input rows in order; each is shrunk once and added to the few output rows it contributes to. That needs no
    // intermediate image, and integer sums do not depend on the order.
    let mut out = vec![0u8; width * height * 3];
    let mut sums = vec![1i32 << (PRECISION_BITS - 1); width * height * 3];
    let mut line = vec![0u8; width * 3];
    let stride = image.width() as usize * 3;
    let begin = rows.spans.iter().map(|span| span.0).min().unwrap_or(0);
    let end = rows.spans.iter().map(|span| span.0 + span.1).max().unwrap_or(0);
    let mut oldest = 0;
    for (y, source) in image.chunks_exact(stride).enumerate().take(end).skip(begin) {
        shrink_row(source, columns, &mut line);
        // Spans move downwards with the output row, so finished rows are at the front.
        while oldest < height && rows.spans[oldest].0 + rows.spans[oldest].1 <= y {
            oldest += 1;
        }
        for row in oldest..height {
            let (start, coefficients) = rows.get(row);
            if start > y {
                break;
            }
            let Some(&coefficient) = coefficients.get(y - start) else {
                continue;
            };
            let sums = &mut sums[row * width * 3..(row + 1) * width * 3];
            for (sum, &sample) in sums.iter_mut().zip(&line) {
                *sum += coefficient * i32::from(sample);
            }
        }
    }
    for (out, sum) in out.iter_mut().zip(sums) {
        *out = from_fixed(sum);
    }
    out
}

fn rows_first(image: &RgbImage, columns: &Taps<i32>, rows: &Taps<i32>) -> Vec<u8> {
    let (width, stride) = (columns.spans.len(), image.width() as usize * 3);
    let mut out = vec![0u8; width * rows.spans.len() * 3];
    let mut sums = vec![0i32; stride];
    let mut line = vec![0u8; stride];
    for (index, out) in out.chunks_exact_mut(width * 3).enumerate() {
        let (start, coefficients) = rows.get(index);
        sums.fill(1 << (PRECISION_BITS - 1));
        for (source, &coefficient) in image.chunks_exact(stride).skip(start).zip(coefficients) {
            for (sum, &sample) in sums.iter_mut().zip(source) {
                *sum += coefficient * i32::from(sample);
            }
        }
        for (sample, &sum) in line.iter_mut().zip(&sums) {
            *sample = from_fixed(sum);
        }
        shrink_row(&line, columns, out);
    }
    out
}

/// One row of RGB samples through the horizontal filter.
fn shrink_row(source: &[u8], columns: &Taps<i32>, line: &mut [u8]) {
    for (index, out) in line.chunks_exact_mut(3).enumerate() {
        let (start, coefficients) = columns.get(index);
        let mut sums = [1i32 << (PRECISION_BITS - 1); 3];
        let pixels = source[start * 3..(start + coefficients.len()) * 3].chunks_exact(3);
        for (pixel, &coefficient) in pixels.zip(coefficients) {
            for (sum, &sample) in sums.iter_mut().zip(pixel) {
                *sum += coefficient * i32::from(sample);
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = from_fixed(sum);
        }
    }
}

/// Resizes one channel of f32 samples, as Pillow's mode `F`: `[height, width]` to `[new_height, new_width]`, row-major.
///
/// Antialiased when shrinking. Values may leave the input's range with [`Filter::Bicubic`] and [`Filter::Lanczos`].
///
/// # Panics
/// When `data` is not `width · height` long; that is a defect of the caller.
pub fn resize_f32(
    data: &[f32],
    (width, height): (usize, usize),
    (new_width, new_height): (usize, usize),
    filter: Filter,
) -> Vec<f32> {
    assert_eq!(
        Some(data.len()),
        width.checked_mul(height),
        "resize_f32: data does not have width · height samples"
    );
    if data.is_empty() || new_width == 0 || new_height == 0 {
        return vec![0.0; new_width * new_height];
    }
    let horizontal = if new_width == width {
        data.to_vec()
    } else {
        let taps = Axis::whole(width, new_width as u64, 0, new_width).taps(filter);
        let mut out = Vec::with_capacity(new_width * height);
        for row in data.chunks_exact(width) {
            for index in 0..new_width {
                let (start, coefficients) = taps.get(index);
                let sum: f64 = row[start..]
                    .iter()
                    .zip(coefficients)
                    .map(|(&x, k)| f64::from(x) * k)
                    .sum();
                out.push(sum as f32);
            }
        }
        out
    };
    if new_height == height {
        return horizontal;
    }
    let taps = Axis::whole(height, new_height as u64, 0, new_height).taps(filter);
    let mut out = Vec::with_capacity(new_width * new_height);
    let mut sums = vec![0f64; new_width];
    for index in 0..new_height {
        let (start, coefficients) = taps.get(index);
        sums.fill(0.0);
        for (row, k) in horizontal.chunks_exact(new_width).skip(start).zip(coefficients) {
            for (sum, &x) in sums.iter_mut().zip(row) {
                *sum += f64::from(x) * k;
            }
        }
        out.extend(sums.iter().map(|&sum| sum as f32));
    }
    out
}
