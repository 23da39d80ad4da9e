//! Windows of 3×3 pixels as the rows of a matrix that is never written down.

use crate::error::{Error, Result};

/// Pixels of a window.
pub(crate) const TAPS: usize = 9;

/// Where the windows of a 3×3 convolution with padding 1 lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Step between windows.
    pub stride: usize,
    /// The input is enlarged so many times by repetition before the windows are cut out.
    pub enlarge: usize,
}

impl Window {
    /// Rows and columns of the output.
    pub fn output(&self) -> (usize, usize) {
        let side = |length: usize| (length * self.enlarge).saturating_sub(1) / self.stride.max(1) + 1;
        (side(self.height), side(self.width))
    }

    pub(crate) fn check(&self) -> Result<()> {
        let sound = self.height > 0 && self.width > 0 && (1..=2).contains(&self.stride) && self.enlarge > 0;
        let side = self.height.max(self.width).checked_mul(self.enlarge);
        if sound && side.is_some_and(|side| side < 1 << 30) {
            return Ok(());
        }
        Err(Error::invalid(format!("no convolution has these windows: {self:?}")))
    }
}

/// The pixels under a window along one side, for every place of the window; negative outside the picture.
type Side = Vec<[i32; 3]>;

/// The pixels of the input that output `index` sees.
fn forward(outputs: usize, length: usize, stride: usize, enlarge: usize) -> Side {
    let source = |index: usize, tap: usize| match (index * stride + tap).checked_sub(1) {
        Some(place) if place < length * enlarge => (place / enlarge) as i32,
        _ => -1,
    };
    (0..outputs)
        .map(|index| [0, 1, 2].map(|tap| source(index, tap)))
        .collect()
}

/// The pixels of the output that see input `index` at each place of their windows: the transpose of [`forward`].
fn transposed(inputs: usize, outputs: usize, stride: usize) -> Side {
    let source = |index: usize, tap: usize| match (index + 1).checked_sub(tap) {
        Some(place) if place % stride == 0 && place / stride < outputs => (place / stride) as i32,
        _ => -1,
    };
    (0..inputs)
        .map(|index| [0, 1, 2].map(|tap| source(index, tap)))
        .collect()
}

/// The windows of pictures `[batch, height, width, channels]`: a matrix of [`TAPS`] · channels columns, all channels
/// of the first pixel of a window, then of the second, and so on.
#[derive(Debug)]
pub(crate) struct Windows<'a, T> {
    values: &'a [T],
    /// Row of zeros for what lies outside.
    outside: Vec<T>,
    height: usize,
    width: usize,
    channels: usize,
    batch: usize,
    down: Side,
    across: Side,
}

/// The window of one row of the matrix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    picture: usize,
    y: usize,
    x: usize,
}

impl<'a, T: Copy + Default> Windows<'a, T> {
    /// The windows that the outputs of a convolution see of its input.
    pub fn of_input(values: &'a [T], window: Window, channels: usize) -> Result<Self> {
        window.check()?;
        let (rows, columns) = window.output();
        let down = forward(rows, window.height, window.stride, window.enlarge);
        let across = forward(columns, window.width, window.stride, window.enlarge);
        Self::new(values, [window.height, window.width], channels, down, across)
    }

    /// The windows that the inputs of a convolution, enlarged as they are, see of the gradient of its output.
    pub fn of_gradient(values: &'a [T], window: Window, channels: usize) -> Result<Self> {
        window.check()?;
        let (rows, columns) = window.output();
        let down = transposed(window.height * window.enlarge, rows, window.stride);
        let across = transposed(window.width * window.enlarge, columns, window.stride);
        Self::new(values, [rows, columns], channels, down, across)
    }

    fn new(values: &'a [T], [height, width]: [usize; 2], channels: usize, down: Side, across: Side) -> Result<Self> {
        let picture = height.checked_mul(width).and_then(|area| area.checked_mul(channels));
        let batch = match picture {
            Some(picture) if picture > 0 && values.len().is_multiple_of(picture) => values.len() / picture,
            _ => {
                return Err(Error::invalid(format!(
                    "{} values are no pictures of {height} x {width} pixels of {channels} channels",
                    values.len()
                )))
            }
        };
        Ok(Self {
            values,
            outside: vec![T::default(); channels],
            height,
            width,
            channels,
            batch,
            down,
            across,
        })
    }

    /// Rows of the matrix: windows.
    pub fn rows(&self) -> usize {
        self.batch * self.down.len() * self.across.len()
    }

    /// Channels of a pixel.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Columns of the matrix.
    pub fn columns(&self) -> usize {
        TAPS * self.channels
    }

    /// The window of row `row`.
    pub fn place(&self, row: usize) -> Place {
        let (rows, columns) = (self.down.len(), self.across.len());
        Place {
            picture: row / (rows * columns),
            y: row / columns % rows,
            x: row % columns,
        }
    }

    /// The window of the next row.
    #[inline(always)]
    pub fn advance(&self, place: &mut Place) {
        place.x += 1;
        if place.x == self.across.len() {
            (place.x, place.y) = (0, place.y + 1);
            if place.y == self.down.len() {
                (place.y, place.picture) = (0, place.picture + 1);
            }
        }
    }

    /// The channels of pixel `tap` of a window.
    ///
    /// # Safety
    /// The place is one of a row of the matrix, `tap` is less than [`TAPS`].
    #[inline(always)]
    pub unsafe fn pixel(&self, place: Place, tap: usize) -> *const T {
        // SAFETY: the sides hold only pixels of the picture or negative numbers.
        unsafe {
            let y = *self.down.get_unchecked(place.y).get_unchecked(tap / 3);
            let x = *self.across.get_unchecked(place.x).get_unchecked(tap % 3);
            if y < 0 || x < 0 {
                return self.outside.as_ptr();
            }
            let pixel = (place.picture * self.height + y as usize) * self.width + x as usize;
            self.values.as_ptr().add(pixel * self.channels)
        }
    }

    /// `count` values of a row from column `tap · channels + offset` on: where they lie, or collected in `spare` when
    /// they belong to several pixels.
    ///
    /// # Safety
    /// As [`pixel`](Self::pixel) for all columns; `spare` takes `count` values.
    #[inline(always)]
    pub unsafe fn piece(&self, place: Place, tap: usize, offset: usize, count: usize, spare: *mut T) -> *const T {
        // SAFETY: the caller vouches for the columns and the memory.
        unsafe {
            if offset + count <= self.channels {
                return self.pixel(place, tap).add(offset);
            }
            let (mut tap, mut offset, mut at) = (tap, offset, 0);
            while at < count {
                let n = (self.channels - offset).min(count - at);
                spare
                    .add(at)
                    .copy_from_nonoverlapping(self.pixel(place, tap).add(offset), n);
                (tap, offset, at) = (tap + 1, 0, at + n);
            }
            spare
        }
    }
}
