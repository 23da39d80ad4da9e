//! Validation of masked reconstruction: always the same pictures and patches.

use super::{MaskedDecoder, MaskedModel, Patches, TargetBatch, TargetBuilder};
use crate::batch::{write_patch, Draw, PatchArea, Reading};
use crate::config::{MaskedConfig, RunConfig};
use crate::data::Dataset;
use crate::random::{stream, Purpose};
use crate::tokens::{ValidationPeople, ValidationTokens, Whose, AT_ONCE};
use candle_core::{DType, Device, Tensor};
use image::RgbImage;
use omniid::Result;

/// Fixed pictures and patches of validation people.
pub(super) struct Validation {
    people: ValidationPeople,
    patch: usize,
    /// Targets of a person.
    targets: usize,
    builder: TargetBuilder,
    /// Decodes every patch that is not visible.
    whole: TargetBuilder,
    patches: Vec<Patches>,
    whole_patches: Vec<Patches>,
}

impl Validation {
    /// `None` when there are no two people in `dataset` with enough pictures.
    pub fn new(config: &RunConfig, dataset: Dataset) -> Option<Self> {
        let masked = MaskedConfig {
            token_dropout: 0.0,
            // Weights 1 on the head and 0 elsewhere; the plain loss uses none.
            background_weight: 0.0,
            ..config.masked.clone()
        };
        let (size, patch) = (config.model.image_size, config.model.patch_size);
        let builder = TargetBuilder::new(&masked, size, patch);
        let whole = TargetBuilder::new(
            &MaskedConfig {
                decoded_fraction: 1.0,
                ..masked.clone()
            },
            size,
            patch,
        );
        let people = ValidationPeople::new(&config.model, &config.evaluation, dataset)?;
        let mut generator = stream(0, Purpose::Evaluation, u64::MAX);
        let count = people.draws.len() * config.evaluation.targets;
        let mut drawn = |builder: &TargetBuilder| (0..count).map(|_| builder.draw(&mut generator)).collect::<Vec<_>>();
        let (patches, whole_patches) = (drawn(&builder), drawn(&whole));
        Some(Self {
            people,
            patch,
            targets: config.evaluation.targets,
            builder,
            whole,
            patches,
            whole_patches,
        })
    }

    /// The metrics, by name: L1 with right tokens, another person's and the mean of all; the same on the head alone;
    /// verification by single photos and by disjoint sets; how alike a person's tokens are to one another.
    pub fn evaluate(&self, model: &MaskedModel, device: &Device) -> Result<Vec<(String, f64)>> {
        let tokens = self.people.tokens(&model.identity, device)?;
        let mut values = Vec::new();
        if let Some(decoder) = &model.decoder {
            let losses = |whose| self.losses(decoder, device, &tokens, whose);
            let (right, head_right) = losses(Whose::Right)?;
            let (other, head_other) = losses(Whose::Other)?;
            let (mean, head_mean) = losses(Whose::Mean)?;
            let metrics = [
                ("l1_right", right),
                ("l1_other", other),
                ("l1_mean", mean),
                ("gap", 1.0 - right / other),
                ("right_to_mean", right / mean),
                ("head_l1_right", head_right),
                ("head_gap", 1.0 - head_right / head_other),
                ("head_right_to_mean", head_right / head_mean),
            ];
            values.extend(metrics.map(|(name, value)| (name.to_string(), value)));
        }
        values.extend(self.people.token_metrics(&model.identity, &tokens, device)?);
        Ok(values)
    }

    /// Rows of inputs, target, what the decoder sees of it, and what it makes of it with the right tokens, another
    /// person's and the mean of all.
    pub fn preview(&self, model: &MaskedModel, device: &Device) -> Result<Option<RgbImage>> {
        let Some(decoder) = &model.decoder else {
            return Ok(None);
        };
        let tokens = self.people.tokens(&model.identity, device)?;
        let (size, patch) = (self.people.dataset.size as usize, self.patch);
        let drawn = |place: usize| {
            let draw = &self.people.draws[place];
            let target = &self.people.dataset.people[draw.person].pictures[draw.targets[0]];
            let one = Draw {
                targets: vec![draw.targets[0]],
                ..draw.clone()
            };
            let patches = &self.whole_patches[place * self.targets..][..1];
            let batch = self.whole.build(&self.people.dataset, &[one], patches);
            let mut seen = vec![0.0; 3 * size * size];
            for at in &patches[0].visible {
                let mut values = vec![0.0; 3 * patch * patch];
                write_patch(target, PatchArea::new(size, patch, *at), &Reading::PLAIN, &mut values);
                paste(&mut seen, &values, size, patch, *at);
            }
            let mut cells = vec![seen.clone()];
            for (whose, _) in Whose::ALL {
                let identity = tokens.tensor(whose, std::iter::once(place), device)?;
                let decoded = decode(decoder, device, &batch, &identity)?;
                let decoded = decoded.flatten_all()?.to_vec1::<f32>()?;
                let mut picture = seen.clone();
                for (values, at) in decoded.chunks_exact(3 * patch * patch).zip(&patches[0].decoded) {
                    paste(&mut picture, values, size, patch, *at);
                }
                cells.push(picture);
            }
            Ok(cells)
        };
        self.people.preview(drawn).map(Some)
    }

    /// Mean L1 over all targets, on all pixels and on the head.
    fn losses(
        &self,
        decoder: &MaskedDecoder,
        device: &Device,
        tokens: &ValidationTokens<'_>,
        whose: Whose,
    ) -> Result<(f64, f64)> {
        let (mut plain, mut head) = (0.0, 0.0);
        let count = self.people.draws.len();
        for start in (0..count).step_by(AT_ONCE) {
            let end = (start + AT_ONCE).min(count);
            let patches = &self.patches[start * self.targets..end * self.targets];
            let draws = &self.people.draws[start..end];
            let batch = self.builder.build(&self.people.dataset, draws, patches);
            let decoded = decode(decoder, device, &batch, &tokens.tensor(whose, start..end, device)?)?;
            let part = (end - start) as f64 / count as f64;
            plain += part * f64::from(batch.plain_loss(&decoded, device)?.to_scalar::<f32>()?);
            head += part * f64::from(batch.loss(&decoded, device)?.to_scalar::<f32>()?);
        }
        Ok((plain, head))
    }
}

fn decode(decoder: &MaskedDecoder, device: &Device, batch: &TargetBatch, identity: &Tensor) -> Result<Tensor> {
    let decoded = decoder.forward(identity, &batch.targets(device)?)?;
    Ok(decoded.to_dtype(DType::F32)?)
}

/// Writes a patch `[patch, patch, 3]` to its place of a picture `[size, size, 3]`.
fn paste(picture: &mut [f32], values: &[f32], size: usize, patch: usize, place: usize) {
    let side = size / patch;
    let (top, left) = (place / side * patch, place % side * patch);
    for (row, line) in values.chunks_exact(3 * patch).enumerate() {
        let at = 3 * ((top + row) * size + left);
        if let Some(target) = picture.get_mut(at..at + 3 * patch) {
            target.copy_from_slice(line);
        }
    }
}
