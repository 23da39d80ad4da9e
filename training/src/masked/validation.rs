//! Judging stage 1 on people who are not trained on: always the same pictures and patches.

use super::{MaskedModel, Patches, TargetBatch, TargetBuilder};
use crate::batch::{write_patch, Draw, Reading};
use crate::config::{EvaluationConfig, MaskedConfig, ModelConfig, RunConfig};
use crate::data::Dataset;
use crate::pictures::{levels, Grid};
use crate::random::{stream, Purpose};
use crate::statistics::mean_row;
use crate::tokens::{row, JudgedPeople, AT_ONCE};
use candle_core::{DType, Device, Tensor};
use image::RgbImage;
use omniid::Result;

/// Rows of a preview.
const PREVIEWED: usize = 8;

/// Fixed pictures and patches of validation people.
pub(super) struct Judge {
    people: JudgedPeople,
    model: ModelConfig,
    evaluation: EvaluationConfig,
    builder: TargetBuilder,
    /// Decodes every patch that is not visible.
    whole: TargetBuilder,
    patches: Vec<Patches>,
    whole_patches: Vec<Patches>,
}

impl Judge {
    /// `None` when there are no two people in `dataset` with pictures to be judged on.
    pub fn new(config: &RunConfig, dataset: Dataset) -> Option<Self> {
        let evaluation = config.evaluation.clone();
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
        let people = JudgedPeople::new(&config.model, &evaluation, dataset)?;
        let mut generator = stream(0, Purpose::Evaluation, u64::MAX);
        let count = people.draws.len() * evaluation.targets;
        let mut drawn = |builder: &TargetBuilder| {
            (0..count)
                .map(|_| builder.draw(&mut generator))
                .collect::<Vec<_>>()
        };
        let (patches, whole_patches) = (drawn(&builder), drawn(&whole));
        Some(Self {
            people,
            model: config.model.clone(),
            evaluation,
            builder,
            whole,
            patches,
            whole_patches,
        })
    }

    /// The measures, by name: L1 with right tokens, another person's and the mean of all; the same on the head alone;
    /// verification by single photos and by disjoint sets; how alike a person's tokens are to one another.
    pub fn evaluate(&self, model: &MaskedModel, device: &Device) -> Result<Vec<(String, f64)>> {
        let each = self.people.token_numbers();
        let tokens = self.people.tokens(&model.identity, device)?;
        let mean = mean_row(&tokens, each);
        let mut values = Vec::new();
        let mut add = |name: &str, value: f64| values.push((name.to_string(), value));
        if model.decoder.is_some() {
            let right = self.losses(model, device, |draw| row(&tokens, draw, each))?;
            let other = self.losses(model, device, |draw| row(&tokens, self.people.others[draw], each))?;
            let none = self.losses(model, device, |_| &mean)?;
            add("l1_right", right.0);
            add("l1_other", other.0);
            add("l1_mean", none.0);
            add("gap", 1.0 - right.0 / other.0);
            add("right_to_mean", right.0 / none.0);
            add("head_l1_right", right.1);
            add("head_gap", 1.0 - right.1 / other.1);
            add("head_right_to_mean", right.1 / none.1);
        }
        values.extend(self.people.token_measures(&model.identity, &tokens, device)?);
        Ok(values)
    }

    /// Rows of inputs, target, what the decoder sees of it, and what it makes of it with the right tokens, another
    /// person's and the mean of all.
    pub fn preview(&self, model: &MaskedModel, device: &Device) -> Result<Option<RgbImage>> {
        if model.decoder.is_none() {
            return Ok(None);
        }
        let each = self.people.token_numbers();
        let tokens = self.people.tokens(&model.identity, device)?;
        let mean = mean_row(&tokens, each);
        let size = self.model.image_size;
        let mut grid = Grid::new(size as u32, (96 / size as u32).max(1));
        // People from all over the set, so that every family shows.
        let stride = (self.people.draws.len() / PREVIEWED).max(1);
        for place in (0..self.people.draws.len()).step_by(stride).take(PREVIEWED) {
            let draw = &self.people.draws[place];
            let pictures = &self.people.dataset.people[draw.person].pictures;
            let mut cells = draw
                .inputs
                .iter()
                .map(|(input, _)| levels(&pictures[*input].pixels))
                .collect::<Vec<_>>();
            let target = &pictures[draw.targets[0]];
            cells.push(levels(&target.pixels));
            let one = Draw {
                targets: vec![draw.targets[0]],
                ..draw.clone()
            };
            let patches = &self.whole_patches[place * self.evaluation.targets..][..1];
            let batch = self.whole.build(&self.people.dataset, &[one], patches);
            let mut seen = vec![0.0; 3 * size * size];
            let patch = self.model.patch_size;
            for at in &patches[0].visible {
                let mut values = vec![0.0; 3 * patch * patch];
                let place = (size, patch, *at);
                write_patch(target, place, &Reading::PLAIN, 1.0, &mut values, None);
                paste(&mut seen, &values, size, patch, *at);
            }
            cells.push(seen.clone());
            for identity in [
                row(&tokens, place, each),
                row(&tokens, self.people.others[place], each),
                mean.as_slice(),
            ] {
                let decoded = self.decode(model, device, &batch, identity, 1)?;
                let decoded = decoded.flatten_all()?.to_vec1::<f32>()?;
                let mut picture = seen.clone();
                let patches = decoded.chunks_exact(3 * patch * patch);
                for (values, at) in patches.zip(&self.whole_patches[place * self.evaluation.targets].decoded)
                {
                    paste(&mut picture, values, size, patch, *at);
                }
                cells.push(picture);
            }
            grid.push(cells);
        }
        Ok(Some(grid.picture()))
    }

    /// Mean L1 over all targets, on all pixels and on the head.
    fn losses<'t>(
        &self,
        model: &MaskedModel,
        device: &Device,
        tokens: impl Fn(usize) -> &'t [f32],
    ) -> Result<(f64, f64)> {
        let (mut plain, mut head) = (0.0, 0.0);
        for start in (0..self.people.draws.len()).step_by(AT_ONCE) {
            let end = (start + AT_ONCE).min(self.people.draws.len());
            let patches = &self.patches[start * self.evaluation.targets..end * self.evaluation.targets];
            let batch = self
                .builder
                .build(&self.people.dataset, &self.people.draws[start..end], patches);
            let identity = (start..end).flat_map(&tokens).copied().collect::<Vec<_>>();
            let decoded = self.decode(model, device, &batch, &identity, end - start)?;
            let part = (end - start) as f64 / self.people.draws.len() as f64;
            plain += part * f64::from(batch.plain_loss(&decoded, device)?.to_scalar::<f32>()?);
            head += part * f64::from(batch.loss(&decoded, device)?.to_scalar::<f32>()?);
        }
        Ok((plain, head))
    }

    fn decode(
        &self,
        model: &MaskedModel,
        device: &Device,
        batch: &TargetBatch,
        identity: &[f32],
        people: usize,
    ) -> Result<Tensor> {
        let decoder = model
            .decoder
            .as_ref()
            .ok_or_else(|| omniid::Error::internal("this model was trained without a decoder"))?;
        let shape = (people, self.model.queries, self.model.token_width);
        let identity = Tensor::from_slice(identity, shape, device)?;
        Ok(decoder
            .forward(&identity, &batch.targets(device)?)?
            .to_dtype(DType::F32)?)
    }
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
