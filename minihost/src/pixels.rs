//! Pictures as the UNet's tokens: blocks of pixels become channels.

use candle_core::{DType, Device, Tensor};
use image::RgbImage;
use omniid::{Error, Result};

/// `[batch, channels, height, width]` to tokens `[batch, (height / factor) · (width / factor), channels · factor²]`.
///
/// The order of the channels is that of PyTorch's `pixel_unshuffle`: all pixels of a block of the first channel, row by
/// row, then of the second.
///
/// # Errors
/// [`Mismatch`](omniid::ErrorKind::Mismatch) unless the factor divides height and width.
pub fn to_tokens(pictures: &Tensor, factor: usize) -> Result<Tensor> {
    let &[batch, channels, height, width] = pictures.dims() else {
        return Err(Error::mismatch(format!(
            "pictures of shape {:?}, expected [batch, channels, height, width]",
            pictures.dims()
        )));
    };
    if factor == 0 || height % factor != 0 || width % factor != 0 {
        return Err(Error::mismatch(format!(
            "pictures of {height} × {width} pixels cannot be cut into blocks of {factor} × {factor}"
        )));
    }
    let (rows, columns) = (height / factor, width / factor);
    Ok(pictures
        .reshape(vec![batch, channels, rows, factor, columns, factor])?
        .permute([0, 2, 4, 1, 3, 5])?
        .contiguous()?
        .reshape((batch, rows * columns, channels * factor * factor))?)
}

/// The inverse of [`to_tokens`] for pictures of `height` × `width` pixels.
///
/// # Errors
/// [`Mismatch`](omniid::ErrorKind::Mismatch) when tokens, factor and size do not fit.
pub fn from_tokens(tokens: &Tensor, factor: usize, height: usize, width: usize) -> Result<Tensor> {
    let fits = matches!(*tokens.dims(), [_, count, channels]
        if factor > 0 && height.is_multiple_of(factor) && width.is_multiple_of(factor)
            && count == (height / factor) * (width / factor) && channels % (factor * factor) == 0);
    if !fits {
        return Err(Error::mismatch(format!(
            "tokens of shape {:?} are no picture of {height} × {width} in blocks of {factor} × {factor}",
            tokens.dims()
        )));
    }
    let (batch, _, width_of_token) = tokens.dims3()?;
    let channels = width_of_token / (factor * factor);
    Ok(tokens
        .reshape(vec![batch, height / factor, width / factor, channels, factor, factor])?
        .permute([0, 3, 1, 4, 2, 5])?
        .contiguous()?
        .reshape((batch, channels, height, width))?)
}

/// Values −1…1 `[batch, 3, height, width]` as RGB pictures; what lies outside is clamped.
///
/// # Errors
/// [`Mismatch`](omniid::ErrorKind::Mismatch) for another shape.
pub fn to_images(pictures: &Tensor) -> Result<Vec<RgbImage>> {
    let &[batch, 3, height, width] = pictures.dims() else {
        return Err(Error::mismatch(format!(
            "pictures of shape {:?}, expected [batch, 3, height, width]",
            pictures.dims()
        )));
    };
    let pixels = ((pictures.to_device(&Device::Cpu)?.to_dtype(DType::F32)? + 1.0)? * 127.5)?;
    let pixels = pixels.permute((0, 2, 3, 1))?.flatten_from(1)?.to_vec2::<f32>()?;
    debug_assert_eq!(pixels.len(), batch);
    pixels
        .into_iter()
        .map(|values| {
            // A float that is not a number becomes 0 by the cast.
            let bytes = values.into_iter().map(|value| value.round() as u8).collect();
            RgbImage::from_raw(width as u32, height as u32, bytes)
                .ok_or_else(|| Error::internal("a picture of another size than its pixels"))
        })
        .collect()
}

/// RGB pictures of one size as values −1…1 `[batch, 3, height, width]`, on the CPU.
///
/// # Errors
/// [`InvalidArgument`](omniid::ErrorKind::InvalidArgument) for no pictures or pictures of different sizes.
pub fn from_images(images: &[RgbImage]) -> Result<Tensor> {
    let Some(first) = images.first() else {
        return Err(Error::invalid("no pictures"));
    };
    let (width, height) = first.dimensions();
    let mut values = Vec::with_capacity(images.len() * (3 * width * height) as usize);
    for image in images {
        if image.dimensions() != (width, height) {
            return Err(Error::invalid(format!(
                "pictures of different sizes: {width} × {height} and {} × {}",
                image.width(),
                image.height()
            )));
        }
        values.extend(image.as_raw().iter().map(|byte| f32::from(*byte) / 127.5 - 1.0));
    }
    let shape = (images.len(), height as usize, width as usize, 3);
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?
        .permute((0, 3, 1, 2))?
        .contiguous()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{distance, random};

    #[test]
    fn the_order_is_that_of_pixel_unshuffle() -> Result<()> {
        // torch.nn.functional.pixel_unshuffle(torch.arange(32.).reshape(1, 2, 4, 4), 2)[0, :, 0, 1]
        let x = Tensor::arange(0f32, 32.0, &Device::Cpu)?.reshape((1, 2, 4, 4))?;
        let tokens = to_tokens(&x, 2)?;
        assert_eq!(tokens.dims(), [1, 4, 8]);
        let second = tokens.get(0)?.get(1)?.to_vec1::<f32>()?;
        assert_eq!(second, [2.0, 3.0, 6.0, 7.0, 18.0, 19.0, 22.0, 23.0]);
        Ok(())
    }

    #[test]
    fn tokens_go_back_to_the_picture() -> Result<()> {
        let x = random("x", &[2, 3, 8, 12]);
        for factor in [1, 2, 4] {
            let back = from_tokens(&to_tokens(&x, factor)?, factor, 8, 12)?;
            assert_eq!(distance(&x, &back)?, 0.0);
        }
        assert!(to_tokens(&x, 5).is_err() && to_tokens(&x, 0).is_err());
        assert!(from_tokens(&to_tokens(&x, 2)?, 2, 8, 8).is_err());
        Ok(())
    }

    #[test]
    fn bytes_survive() -> Result<()> {
        let image = RgbImage::from_fn(5, 4, |x, y| image::Rgb([x as u8 * 50, y as u8 * 60, 255]));
        let back = to_images(&from_images(&[image.clone(), image.clone()])?)?;
        assert_eq!(back, [image.clone(), image]);
        assert!(from_images(&[]).is_err());
        assert!(from_images(&[RgbImage::new(2, 2), RgbImage::new(2, 3)]).is_err());
        Ok(())
    }
}
