//! Where in the picture an identity is injected.
//!
//! A mask comes at any resolution; each layer needs one weight per image token. How the token grid follows from the
//! token count, and how the mask is resampled, differs between ComfyUI and `diffusers`; both ways are here.

use super::resample::{bicubic, bilinear};
use crate::error::{Error, Result};
use std::sync::{Arc, PoisonError, RwLock};

/// Largest side of a mask.
const MAX_SIDE: usize = 1 << 15;

/// Most grids that one mask keeps ready. A UNet has four or five token counts per picture size.
const MAX_GRIDS: usize = 64;

/// A picture of injection strengths, 0 to 1, `[height, width]`, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Mask {
    height: usize,
    width: usize,
    values: Arc<[f32]>,
}

impl Mask {
    /// A mask from its values, `height * width` of them.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a zero or absurd size, another number of values, or a
    /// value outside 0 to 1.
    pub fn new(height: usize, width: usize, values: &[f32]) -> Result<Self> {
        if height == 0 || width == 0 || height > MAX_SIDE || width > MAX_SIDE {
            return Err(Error::invalid(format!(
                "a mask of {height} × {width}; both must be 1 to {MAX_SIDE}"
            )));
        }
        if values.len() != height * width {
            return Err(Error::invalid(format!(
                "a mask of {height} × {width} has {} values",
                values.len()
            )));
        }
        if let Some(i) = values.iter().position(|value| !(0.0..=1.0).contains(value)) {
            return Err(Error::invalid(format!(
                "mask row {}, column {} is {}; mask values lie in 0 to 1",
                i / width,
                i % width,
                values[i]
            )));
        }
        Ok(Self {
            height,
            width,
            values: values.into(),
        })
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Values row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// One factor per image token.
    ///
    /// `latent` is the height and width of the latent picture. [`MaskMode::ComfyUi`] needs it;
    /// [`MaskMode::Diffusers`] takes the proportions of the mask instead and only checks it where given.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when `latent` is missing, zero or absurdly large, or the
    /// tokens cannot be that picture at any whole reduction.
    pub fn token_factors(&self, mode: MaskMode, tokens: usize, latent: Option<(usize, usize)>) -> Result<Vec<f32>> {
        if tokens == 0 {
            return Err(Error::invalid("a mask for zero image tokens"));
        }
        if let Some((height, width)) = latent {
            check_grid(tokens, height, width)?;
        }
        let (height, width) = match (mode, latent) {
            (MaskMode::ComfyUi, Some((height, width))) => {
                // Side lengths in the same order of operations as the peer, in double precision.
                let side = height as f64 / (height as f64 * width as f64 / tokens as f64).sqrt();
                grid(tokens, side as usize)
            }
            (MaskMode::ComfyUi, None) => {
                return Err(Error::invalid(
                    "an identity has a mask, but the call does not say the latent height and width",
                ));
            }
            (MaskMode::Diffusers, _) => {
                let proportion = self.width as f64 / self.height as f64;
                grid(tokens, (tokens as f64 / proportion).sqrt() as usize)
            }
        };
        let scaled = match mode {
            MaskMode::ComfyUi => bilinear(&self.values, (self.height, self.width), (height, width)),
            MaskMode::Diffusers => bicubic(&self.values, (self.height, self.width), (height, width)),
        };
        Ok(fit(scaled, tokens, mode))
    }
}

/// Whose grid and resampling a mask follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(i32)]
pub enum MaskMode {
    /// Grid from the latent size; bilinear; tokens that do not fill the grid are padded or cropped at both ends.
    #[default]
    ComfyUi = 0,
    /// Grid from the mask's proportions; bicubic, which may leave 0 to 1; padded or cropped at the end.
    Diffusers = 1,
}

/// Height and width of the grid of `tokens` with roughly `height` rows.
fn grid(tokens: usize, height: usize) -> (usize, usize) {
    let height = height.clamp(1, tokens);
    let height = height + usize::from(!tokens.is_multiple_of(height));
    (height, tokens / height)
}

/// Layers see the latent at 1, 1/2, 1/4, … of its size, each halving rounded up or down.
fn check_grid(tokens: usize, height: usize, width: usize) -> Result<()> {
    // The bound also keeps the search below short.
    if height == 0 || width == 0 || height > MAX_SIDE || width > MAX_SIDE {
        return Err(Error::invalid(format!(
            "latent size {height} × {width}; both must be 1 to {MAX_SIDE}"
        )));
    }
    let fits = (1..=height.max(width)).any(|reduction| {
        let rows = [height / reduction, height.div_ceil(reduction)];
        let columns = [width / reduction, width.div_ceil(reduction)];
        rows.iter()
            .any(|rows| columns.iter().any(|columns| rows.checked_mul(*columns) == Some(tokens)))
    });
    if fits {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{tokens} image tokens are not the latent of {height} × {width} at any whole reduction, so the mask \
         cannot be placed"
    )))
}

/// Pads with zeros or crops to `tokens` values.
fn fit(mut values: Vec<f32>, tokens: usize, mode: MaskMode) -> Vec<f32> {
    let (missing, surplus) = (tokens.saturating_sub(values.len()), values.len().saturating_sub(tokens));
    let (front_missing, front_surplus) = match mode {
        MaskMode::ComfyUi => (missing / 2, surplus / 2),
        MaskMode::Diffusers => (0, 0),
    };
    values.drain(..front_surplus);
    values.splice(..0, std::iter::repeat_n(0.0, front_missing));
    values.resize(tokens, 0.0);
    values
}

/// A mask with the token factors that were asked for so far. Lookups of known sizes do not allocate.
#[derive(Debug)]
pub(crate) struct MaskGrids {
    mask: Mask,
    mode: MaskMode,
    ready: RwLock<Vec<Grid>>,
}

#[derive(Debug, Clone)]
struct Grid {
    tokens: usize,
    latent: Option<(usize, usize)>,
    factors: Arc<[f32]>,
}

impl MaskGrids {
    pub(crate) fn new(mask: Mask, mode: MaskMode) -> Self {
        Self {
            mask,
            mode,
            ready: RwLock::new(Vec::new()),
        }
    }

    /// The mask as it was given.
    pub(crate) fn mask(&self) -> &Mask {
        &self.mask
    }

    /// How it is placed.
    pub(crate) fn mode(&self) -> MaskMode {
        self.mode
    }

    /// As [`Mask::token_factors`], remembered.
    pub(crate) fn factors(&self, tokens: usize, latent: Option<(usize, usize)>) -> Result<Arc<[f32]>> {
        let matches = |grid: &&Grid| grid.tokens == tokens && grid.latent == latent;
        // A panic of another thread cannot leave the list half-written: entries are pushed whole.
        let ready = self.ready.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(grid) = ready.iter().find(matches) {
            return Ok(grid.factors.clone());
        }
        drop(ready);
        let factors: Arc<[f32]> = self.mask.token_factors(self.mode, tokens, latent)?.into();
        let mut ready = self.ready.write().unwrap_or_else(PoisonError::into_inner);
        if ready.len() >= MAX_GRIDS {
            ready.remove(0);
        }
        ready.push(Grid {
            tokens,
            latent,
            factors: factors.clone(),
        });
        Ok(factors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(height: usize, width: usize) -> Mask {
        let count = (height * width) as f32;
        let values: Vec<f32> = (0..height * width).map(|i| i as f32 / count).collect();
        Mask::new(height, width, &values).unwrap()
    }

    #[test]
    fn a_mask_of_the_grids_size_is_taken_as_it_is() {
        let mask = ramp(8, 12);
        for mode in [MaskMode::ComfyUi, MaskMode::Diffusers] {
            let factors = mask.token_factors(mode, 96, Some((8, 12))).unwrap();
            for (a, b) in factors.iter().zip(mask.values()) {
                assert!((a - b).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn half_masks_halve_every_layer() {
        let mut values = vec![0.0; 64 * 96];
        values
            .iter_mut()
            .enumerate()
            .filter(|(i, _)| i % 96 >= 48)
            .for_each(|(_, value)| *value = 1.0);
        let mask = Mask::new(64, 96, &values).unwrap();
        for reduction in [1, 2, 4, 8] {
            let (height, width) = (64 / reduction, 96 / reduction);
            for mode in [MaskMode::ComfyUi, MaskMode::Diffusers] {
                let factors = mask.token_factors(mode, height * width, Some((64, 96))).unwrap();
                for (i, factor) in factors.iter().enumerate() {
                    let column = i % width;
                    // The kernels reach over the edge by at most two columns.
                    if column + 2 < width / 2 || column > width / 2 + 1 {
                        assert_eq!(
                            *factor,
                            if column >= width / 2 { 1.0 } else { 0.0 },
                            "{mode:?} {height} {column}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn odd_grids_are_padded_where_the_peers_pad() {
        // 63 × 65 at half size: 32 × 33 = 1056 tokens, but √ gives 31 → 32 rows; ComfyUI and diffusers agree here.
        assert_eq!(grid(1056, 31), (32, 33));
        assert_eq!(grid(10, 4), (5, 2));
        assert_eq!(grid(11, 3), (4, 2));
        let ones = Mask::new(4, 2, &[1.0; 8]).unwrap();
        assert_eq!(fit(ones.values().to_vec(), 11, MaskMode::ComfyUi)[..2], [0.0, 1.0]);
        assert_eq!(fit(ones.values().to_vec(), 11, MaskMode::Diffusers)[8..], [0.0; 3]);
        assert_eq!(fit(vec![1.0, 2.0, 3.0, 4.0], 2, MaskMode::ComfyUi), [2.0, 3.0]);
        assert_eq!(fit(vec![1.0, 2.0, 3.0, 4.0], 2, MaskMode::Diffusers), [1.0, 2.0]);
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        let mask = ramp(8, 8);
        let factors = |tokens, latent| mask.token_factors(MaskMode::ComfyUi, tokens, latent);
        for good in [4096, 1024, 256, 64] {
            assert!(factors(good, Some((64, 64))).is_ok());
        }
        for odd in [(65, 63, 33 * 32), (65, 63, 17 * 16), (63, 63, 31 * 31)] {
            assert!(factors(odd.2, Some((odd.0, odd.1))).is_ok());
        }
        assert!(factors(1000, Some((64, 64)))
            .unwrap_err()
            .message()
            .contains("1000 image tokens"));
        assert!(factors(64, None).unwrap_err().message().contains("latent"));
        assert!(factors(64, Some((0, 64))).is_err());
        assert!(factors(0, Some((64, 64))).is_err());
        for (height, width, values) in [
            (2, 2, &[0.0, 0.5, 1.0][..]),
            (1, 1, &[1.5]),
            (1, 1, &[f32::NAN]),
            (0, 1, &[]),
        ] {
            assert!(Mask::new(height, width, values).is_err());
        }
    }

    #[test]
    fn grids_are_kept() {
        let grids = MaskGrids::new(ramp(8, 8), MaskMode::ComfyUi);
        let first = grids.factors(64, Some((16, 16))).unwrap();
        let second = grids.factors(64, Some((16, 16))).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        for size in 1..200 {
            grids.factors(size * size, Some((size, size))).unwrap();
        }
        assert!(grids.ready.read().unwrap().len() <= MAX_GRIDS);
    }
}
