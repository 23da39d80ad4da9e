//! Raw pixel buffers of a host.

use super::transparency::Opacity;
use super::{check_bytes, check_size};
use crate::error::{Error, Result};
use crate::limits::Limits;
use image::RgbImage;
use std::borrow::Cow;

/// Which channel a pixel's samples are, in memory order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb = 0,
    /// Red, green, blue, alpha: transparent pixels are laid on middle grey, see [`PixelBuffer::to_rgb`].
    Rgba = 1,
    /// Blue, green, red.
    Bgr = 2,
    /// Blue, green, red, alpha, like [`Rgba`](Self::Rgba).
    Bgra = 3,
}

impl ChannelOrder {
    /// Samples per pixel.
    pub fn channels(self) -> usize {
        match self {
            Self::Rgb | Self::Bgr => 3,
            Self::Rgba | Self::Bgra => 4,
        }
    }

    /// The name that people know.
    fn name(self) -> &'static str {
        match self {
            Self::Rgb => "RGB",
            Self::Rgba => "RGBA",
            Self::Bgr => "BGR",
            Self::Bgra => "BGRA",
        }
    }

    /// Where red, green and blue are within a pixel.
    fn positions(self) -> [usize; 3] {
        match self {
            Self::Rgb | Self::Rgba => [0, 1, 2],
            Self::Bgr | Self::Bgra => [2, 1, 0],
        }
    }
}

/// The samples of a [`PixelBuffer`].
#[derive(Debug, Clone)]
pub enum PixelData<'a> {
    /// 0 to 255.
    U8(Cow<'a, [u8]>),
    /// 0 to 1; values outside are clamped, NaN is an error. sRGB-encoded, like the 8-bit samples.
    F32(Cow<'a, [f32]>),
}

impl PixelData<'_> {
    fn element_bytes(&self) -> usize {
        match self {
            Self::U8(_) => 1,
            Self::F32(_) => 4,
        }
    }

    fn len_bytes(&self) -> usize {
        match self {
            Self::U8(data) => data.len(),
            Self::F32(data) => std::mem::size_of_val::<[f32]>(data),
        }
    }
}

impl<'a> From<&'a [u8]> for PixelData<'a> {
    fn from(data: &'a [u8]) -> Self {
        Self::U8(Cow::Borrowed(data))
    }
}

impl<'a> From<&'a [f32]> for PixelData<'a> {
    fn from(data: &'a [f32]) -> Self {
        Self::F32(Cow::Borrowed(data))
    }
}

impl From<Vec<u8>> for PixelData<'static> {
    fn from(data: Vec<u8>) -> Self {
        Self::U8(Cow::Owned(data))
    }
}

impl From<Vec<f32>> for PixelData<'static> {
    fn from(data: Vec<f32>) -> Self {
        Self::F32(Cow::Owned(data))
    }
}

/// Pixels in the host's memory: interleaved samples, rows from top to bottom, any row stride.
#[derive(Debug, Clone)]
pub struct PixelBuffer<'a> {
    data: PixelData<'a>,
    width: u32,
    height: u32,
    row_stride: usize,
    order: ChannelOrder,
}

impl<'a> PixelBuffer<'a> {
    /// Describes `width` × `height` pixels whose rows begin every `row_stride` bytes; 0 means without gaps.
    ///
    /// `data` may end with the last pixel of the last row.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when a side is 0, the stride is shorter than a row or
    /// not a multiple of the sample size, or `data` is shorter than the rows need.
    pub fn new(
        data: impl Into<PixelData<'a>>,
        width: u32,
        height: u32,
        row_stride: usize,
        order: ChannelOrder,
    ) -> Result<Self> {
        let data = data.into();
        if width == 0 || height == 0 {
            return Err(Error::invalid(format!(
                "pixel buffer of {width}x{height} pixels: both sides must be at least 1"
            )));
        }
        let too_large = || {
            Error::invalid(format!(
                "pixel buffer of {width}x{height} pixels is too large to address"
            ))
        };
        let element = data.element_bytes();
        let row_bytes = usize::try_from(width)
            .ok()
            .and_then(|width| width.checked_mul(order.channels() * element))
            .ok_or_else(too_large)?;
        let row_stride = if row_stride == 0 { row_bytes } else { row_stride };
        if row_stride < row_bytes {
            return Err(Error::invalid(format!(
                "row stride of {row_stride} bytes is shorter than a row of {width} {} pixels, {row_bytes} bytes",
                order.name()
            )));
        }
        if row_stride % element != 0 {
            return Err(Error::invalid(format!(
                "row stride of {row_stride} bytes must be a multiple of {element} for f32 samples"
            )));
        }
        let needed = usize::try_from(height - 1)
            .ok()
            .and_then(|rows| rows.checked_mul(row_stride))
            .and_then(|bytes| bytes.checked_add(row_bytes))
            .ok_or_else(too_large)?;
        if data.len_bytes() < needed {
            return Err(Error::invalid(format!(
                "pixel buffer holds {} bytes; {width}x{height} {} pixels with a row stride of {row_stride} need {needed}",
                data.len_bytes(),
                order.name()
            )));
        }
        Ok(Self {
            data,
            width,
            height,
            row_stride,
            order,
        })
    }

    /// The same buffer without a copy of the samples.
    pub(super) fn borrowed(&self) -> PixelBuffer<'_> {
        PixelBuffer {
            data: match &self.data {
                PixelData::U8(data) => PixelData::U8(Cow::Borrowed(data)),
                PixelData::F32(data) => PixelData::F32(Cow::Borrowed(data)),
            },
            ..*self
        }
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Copies the pixels into an RGB image.
    ///
    /// Pixels with alpha are laid on middle grey (128, 128, 128), so that a colour nobody sees has no effect. Alpha is
    /// straight: colours are not multiplied by it. An alpha that is the same in all pixels, such as 0, says nothing
    /// about a picture: renderers leave such values in a channel that they do not use. The buffer then counts as opaque,
    /// and so does a pixel whose alpha is NaN.
    ///
    /// # Errors
    /// [`LimitExceeded`](crate::ErrorKind::LimitExceeded) beyond `limits`;
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a NaN, with its position.
    pub fn to_rgb(&self, limits: &Limits) -> Result<RgbImage> {
        check_size(self.width, self.height, limits)?;
        let bytes = u64::from(self.width) * u64::from(self.height) * self.order.channels() as u64;
        check_bytes(bytes, self.width, self.height, limits)?;
        let mut image = RgbImage::new(self.width, self.height);
        match &self.data {
            PixelData::U8(data) => self.copy_rows(data, &mut image, Some)?,
            PixelData::F32(data) => self.copy_rows(data, &mut image, quantise)?,
        }
        let opacity = match &self.data {
            PixelData::U8(data) => self.opacity(data, |alpha| alpha),
            PixelData::F32(data) => self.opacity(data, |alpha| quantise(alpha).unwrap_or(u8::MAX)),
        };
        if let Some(opacity) = opacity {
            opacity.blend(&mut image);
        }
        Ok(image)
    }

    /// The alpha of all pixels; `None` without the channel, and when it is the same everywhere.
    fn opacity<T: Copy>(&self, data: &[T], convert: impl Fn(T) -> u8) -> Option<Opacity> {
        if self.order.channels() != 4 {
            return None;
        }
        let stride = self.row_stride / std::mem::size_of::<T>();
        let row = self.width as usize * 4;
        let alphas = || {
            let rows = data.chunks(stride).take(self.height as usize);
            rows.flat_map(|line| line[..row].chunks_exact(4))
                .map(|pixel| convert(pixel[3]))
        };
        let first = alphas().next()?;
        if alphas().all(|alpha| alpha == first) {
            return None;
        }
        Opacity::new(alphas().collect())
    }

    /// Copies row by row; `convert` gives `None` for a sample that is not a number.
    fn copy_rows<T: Copy>(&self, data: &[T], image: &mut RgbImage, convert: impl Fn(T) -> Option<u8>) -> Result<()> {
        let channels = self.order.channels();
        let [red, green, blue] = self.order.positions();
        let stride = self.row_stride / std::mem::size_of::<T>();
        // `new` has checked that every row lies inside the data; the last one may end without its gap.
        let sources = data.chunks(stride);
        let targets = image.chunks_exact_mut(self.width as usize * 3);
        for (y, (source, target)) in sources.zip(targets).enumerate() {
            for (x, (from, to)) in source
                .chunks_exact(channels)
                .zip(target.chunks_exact_mut(3))
                .enumerate()
            {
                for (to, position) in to.iter_mut().zip([red, green, blue]) {
                    *to = convert(from[position])
                        .ok_or_else(|| Error::invalid(format!("pixel buffer holds a NaN in row {y}, column {x}")))?;
                }
            }
        }
        Ok(())
    }
}

/// 0…1 to 0…255, clamped and rounded; `None` for NaN.
fn quantise(sample: f32) -> Option<u8> {
    (!sample.is_nan()).then(|| (sample.clamp(0.0, 1.0) * 255.0).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn every_order_and_stride_gives_the_same_picture() {
        let expected: Vec<u8> = (0..2 * 3 * 3).map(|i| (i * 11 + 3) as u8).collect();
        for order in [
            ChannelOrder::Rgb,
            ChannelOrder::Rgba,
            ChannelOrder::Bgr,
            ChannelOrder::Bgra,
        ] {
            for gap in [0, 4, 12] {
                let stride = 3 * order.channels() + gap;
                let mut bytes = vec![201u8; stride + 3 * order.channels()];
                for (i, pixel) in expected.chunks(3).enumerate() {
                    let at = (i / 3) * stride + (i % 3) * order.channels();
                    let swapped = matches!(order, ChannelOrder::Bgr | ChannelOrder::Bgra);
                    for channel in 0..3 {
                        bytes[at + if swapped { 2 - channel } else { channel }] = pixel[channel];
                    }
                }
                let floats: Vec<f32> = bytes.iter().map(|&b| f32::from(b) / 255.0).collect();
                let from_u8 = PixelBuffer::new(&bytes[..], 3, 2, stride, order).unwrap();
                let from_f32 = PixelBuffer::new(&floats[..], 3, 2, stride * 4, order).unwrap();
                let limits = Limits::default();
                assert_eq!(
                    from_u8.to_rgb(&limits).unwrap().into_raw(),
                    expected,
                    "{order:?} gap {gap}"
                );
                assert_eq!(
                    from_f32.to_rgb(&limits).unwrap().into_raw(),
                    expected,
                    "{order:?} gap {gap}"
                );
            }
        }
    }

    #[test]
    fn floats_are_clamped_and_rounded_and_nan_is_named() {
        let data = [-1.0f32, 0.5, 2.0, f32::INFINITY, f32::NEG_INFINITY, 0.002];
        let image = PixelBuffer::new(&data[..], 2, 1, 0, ChannelOrder::Rgb).unwrap();
        assert_eq!(
            image.to_rgb(&Limits::default()).unwrap().into_raw(),
            [0, 128, 255, 255, 0, 1]
        );
        let data = [0.0f32, 0.0, 0.0, 0.0, f32::NAN, 0.0];
        let image = PixelBuffer::new(&data[..], 2, 1, 0, ChannelOrder::Rgb).unwrap();
        let error = image.to_rgb(&Limits::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains("row 0, column 1"), "{error}");
    }

    #[test]
    fn wrong_shapes_are_refused() {
        let bytes = [0u8; 100];
        let floats = [0f32; 100];
        let wrong = |result: Result<PixelBuffer<'_>>| {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidArgument);
        };
        wrong(PixelBuffer::new(&bytes[..], 0, 5, 0, ChannelOrder::Rgb));
        wrong(PixelBuffer::new(&bytes[..], 5, 0, 0, ChannelOrder::Rgb));
        wrong(PixelBuffer::new(&bytes[..], 5, 5, 14, ChannelOrder::Rgb));
        wrong(
            PixelBuffer::new(&bytes[..], 5, 5, 20, ChannelOrder::Bgra)
                .and_then(|_| PixelBuffer::new(&bytes[..], 5, 6, 20, ChannelOrder::Bgra)),
        );
        wrong(PixelBuffer::new(
            &bytes[..],
            u32::MAX,
            u32::MAX,
            usize::MAX,
            ChannelOrder::Rgba,
        ));
        wrong(PixelBuffer::new(&floats[..], 2, 2, 26, ChannelOrder::Rgb));
        wrong(PixelBuffer::new(&floats[..], 2, 40, 24, ChannelOrder::Rgb));
    }

    #[test]
    fn limits_hold_for_buffers() {
        let bytes = [0u8; 300];
        let image = PixelBuffer::new(&bytes[..], 10, 10, 0, ChannelOrder::Rgb).unwrap();
        let few_pixels = Limits {
            max_pixels: 99,
            ..Limits::default()
        };
        let few_bytes = Limits {
            max_decoded_bytes: 299,
            ..Limits::default()
        };
        assert_eq!(image.to_rgb(&few_pixels).unwrap_err().kind(), ErrorKind::LimitExceeded);
        assert_eq!(image.to_rgb(&few_bytes).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }
}
