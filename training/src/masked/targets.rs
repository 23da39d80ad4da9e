//! The targets of a step of masked reconstruction, in numbers.

use super::decoder::Targets;
use crate::batch::{
    condition_length, condition_numbers, share, targets, write_patch, write_patch_weights, Draw, PatchArea, Reading,
};
use crate::config::MaskedConfig;
use crate::data::{Dataset, Picture};
use crate::model::position_codes;
use candle_core::{Device, Tensor};
use omniid::Result;
use rand::seq::index::sample;
use rand::Rng;
use rayon::prelude::*;

/// The targets of a step on the CPU. `all` is people · targets.
pub struct TargetBatch {
    /// `[all, visible, 3 · patch²]`
    visible: Vec<f32>,
    /// `[all, visible, width]`
    visible_places: Vec<f32>,
    /// `[all, decoded, width]`
    places: Vec<f32>,
    /// `[all, condition length]`
    condition: Vec<f32>,
    /// `[all, decoded, 3 · patch²]`: what should come out.
    values: Vec<f32>,
    /// As `values`: weights of the loss; empty when all weigh the same.
    weights: Vec<f32>,
    /// What the weighted sum is divided by.
    total: f64,
    all: usize,
    sizes: Sizes,
}

#[derive(Clone, Copy)]
struct Sizes {
    visible: usize,
    decoded: usize,
    width: usize,
    pixels: usize,
    condition: usize,
}

/// Makes [`TargetBatch`]es of a dataset's pictures.
pub struct TargetBuilder {
    config: MaskedConfig,
    patch: usize,
    /// `[patches, width]`
    codes: Vec<f32>,
    patches: usize,
}

/// Which patches of a target are seen and which are decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct Patches {
    /// Places of the visible patches.
    pub visible: Vec<usize>,
    /// Places of the patches to decode.
    pub decoded: Vec<usize>,
}

impl TargetBuilder {
    /// For pictures of side `size` in patches of side `patch`.
    pub fn new(config: &MaskedConfig, size: usize, patch: usize) -> Self {
        let side = size / patch;
        Self {
            config: config.clone(),
            patch,
            codes: position_codes(side, config.width),
            patches: side * side,
        }
    }

    /// Draws the patches of one target.
    pub fn draw(&self, generator: &mut impl Rng) -> Patches {
        let (visible, decoded) = (self.config.visible(self.patches), self.config.decoded(self.patches));
        let mut visible = sample(generator, self.patches, visible + decoded).into_vec();
        let decoded = visible.split_off(visible.len() - decoded);
        Patches { visible, decoded }
    }

    /// Draws the tokens that the decoder sees of each of `people` persons: flat places in `[people · tokens]`, the
    /// same number for everybody. `None` when all are seen.
    pub fn draw_tokens(&self, people: usize, tokens: usize, generator: &mut impl Rng) -> Option<Vec<u32>> {
        let kept = (((1.0 - self.config.token_dropout) * tokens as f64).round() as usize).clamp(1, tokens);
        if kept == tokens {
            return None;
        }
        let person = |person: usize| {
            let mut places = sample(generator, tokens, kept).into_vec();
            places.sort_unstable();
            places
                .into_iter()
                .map(move |place| (person * tokens + place) as u32)
                .collect::<Vec<_>>()
        };
        Some((0..people).flat_map(person).collect())
    }

    /// The numbers of the targets of `draws` with the given patches, in order.
    pub fn build(&self, dataset: &Dataset, draws: &[Draw], patches: &[Patches]) -> TargetBatch {
        let config = &self.config;
        let sizes = Sizes {
            visible: config.visible(self.patches),
            decoded: config.decoded(self.patches),
            width: config.width,
            pixels: 3 * self.patch * self.patch,
            condition: condition_length(config.condition),
        };
        let targets = targets(dataset, draws).into_iter().zip(patches).collect::<Vec<_>>();
        let all = targets.len();
        let code = |place: &usize| &self.codes[place * sizes.width..(place + 1) * sizes.width];
        let codes = |places: fn(&Patches) -> &[usize]| -> Vec<f32> {
            let places = targets.iter().flat_map(|(_, patches)| places(patches));
            places.flat_map(code).copied().collect()
        };
        let read = |places: fn(&Patches) -> &[usize], write: &Write<'_>| {
            let count = targets.first().map_or(0, |(_, patches)| places(patches).len());
            let mut values = vec![0.0; all * count * sizes.pixels];
            if count > 0 {
                values.par_chunks_mut(count * sizes.pixels).zip(&targets).for_each(
                    |(values, ((picture, reading), patches))| {
                        for (values, place) in values.chunks_exact_mut(sizes.pixels).zip(places(patches)) {
                            let area = PatchArea::new(dataset.size as usize, self.patch, *place);
                            write(picture, area, reading, values);
                        }
                    },
                );
            }
            values
        };
        let weights: &Write<'_> = &|picture, area, reading, weights| {
            write_patch_weights(picture, area, reading, config.background_weight, weights);
        };
        let weights = if config.background_weight < 1.0 {
            read(|patches| &patches.decoded, weights)
        } else {
            Vec::new()
        };
        let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        TargetBatch {
            total: total.max(1.0),
            visible: read(|patches| &patches.visible, &write_patch),
            visible_places: codes(|patches| &patches.visible),
            places: codes(|patches| &patches.decoded),
            condition: targets
                .iter()
                .flat_map(|((picture, reading), _)| {
                    condition_numbers(&reading.view(picture), reading.grey, config.condition)
                })
                .collect(),
            values: read(|patches| &patches.decoded, &write_patch),
            weights,
            all,
            sizes,
        }
    }
}

/// Writes the numbers of one patch.
type Write<'a> = dyn Fn(&Picture, PatchArea, &Reading, &mut [f32]) + Sync + 'a;

impl TargetBatch {
    /// Number of targets of all people.
    pub fn len(&self) -> usize {
        self.all
    }

    /// Whether there is no target.
    pub fn is_empty(&self) -> bool {
        self.all == 0
    }

    /// Part number `part` of `parts` equal ones. The mean of their losses is the loss of the whole.
    pub(super) fn part(&self, part: usize, parts: usize) -> Self {
        let part = |values: &[f32]| share(values, part, parts).to_vec();
        Self {
            visible: part(&self.visible),
            visible_places: part(&self.visible_places),
            places: part(&self.places),
            condition: part(&self.condition),
            values: part(&self.values),
            weights: part(&self.weights),
            total: self.total / parts as f64,
            all: self.all / parts,
            sizes: self.sizes,
        }
    }

    /// The numbers that a step is made of, by name.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](omniid::ErrorKind::Device) from the GPU.
    pub(super) fn named(&self, device: &Device) -> Result<Vec<(&'static str, Tensor)>> {
        let targets = self.targets(device)?;
        let values = self.values(device)?;
        let mut named = vec![("places", targets.places)];
        let optional = [
            ("visible", targets.visible),
            ("visible_places", targets.visible_places),
            ("condition", targets.condition),
        ];
        named.extend(optional.into_iter().filter_map(|(name, tensor)| Some((name, tensor?))));
        if !self.weights.is_empty() {
            named.push(("weights", Tensor::from_slice(&self.weights, values.dims(), device)?));
        }
        named.push(("values", values));
        Ok(named)
    }

    /// The decoder's input.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](omniid::ErrorKind::Device) from the GPU.
    pub fn targets(&self, device: &Device) -> Result<Targets> {
        let Sizes {
            visible,
            decoded,
            width,
            pixels,
            condition,
        } = self.sizes;
        let tensor = |values: &[f32], shape: &[usize]| -> Result<Option<Tensor>> {
            if values.is_empty() {
                return Ok(None);
            }
            Ok(Some(Tensor::from_slice(values, shape, device)?))
        };
        Ok(Targets {
            visible: tensor(&self.visible, &[self.all, visible, pixels])?,
            visible_places: tensor(&self.visible_places, &[self.all, visible, width])?,
            places: Tensor::from_slice(&self.places, (self.all, decoded, width), device)?,
            condition: tensor(&self.condition, &[self.all, condition])?,
        })
    }

    /// What should come out, `[all, decoded, 3 · patch²]`.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](omniid::ErrorKind::Device) from the GPU.
    pub fn values(&self, device: &Device) -> Result<Tensor> {
        let shape = (self.all, self.sizes.decoded, self.sizes.pixels);
        Ok(Tensor::from_slice(&self.values, shape, device)?)
    }

    /// Mean absolute difference of `decoded` to what should come out over all pixels.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](omniid::ErrorKind::Mismatch) when the shape is another.
    pub fn plain_loss(&self, decoded: &Tensor, device: &Device) -> Result<Tensor> {
        Ok((decoded - self.values(device)?)?.abs()?.mean_all()?)
    }

    /// Mean absolute difference of `decoded` to what should come out, weighted by the head mask if configured.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](omniid::ErrorKind::Mismatch) when the shape is another.
    pub fn loss(&self, decoded: &Tensor, device: &Device) -> Result<Tensor> {
        let difference = (decoded - self.values(device)?)?.abs()?;
        if self.weights.is_empty() {
            return Ok(difference.mean_all()?);
        }
        let weights = Tensor::from_slice(&self.weights, difference.dims(), device)?;
        Ok(((difference * weights)?.sum_all()? / self.total)?)
    }
}

#[cfg(test)]
mod tests;
