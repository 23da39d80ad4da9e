//! Judging stage 1 on people who are not trained on: always the same pictures and patches.

use super::{MaskedBatch, MaskedModel, Patches, TargetBatch, TargetBuilder};
use crate::config::{EvaluationConfig, MaskedConfig, ModelConfig, RunConfig};
use crate::data::Dataset;
use crate::measures::{area_under_curve, mean_row, token_cosine};
use crate::pixels::{planes, write_patch, Reading};
use crate::preview::Grid;
use crate::random::{stream, Purpose};
use crate::sampler::{Draw, Tone};
use candle_core::{DType, Device, Tensor};
use image::RgbImage;
use omniid::error::Result;
use rand::seq::SliceRandom;

/// People whose photos are encoded or decoded at once.
const AT_ONCE: usize = 16;
/// Photos of a person that are compared one by one.
const SINGLES: usize = 4;
/// Rows of a preview.
const PREVIEWED: usize = 8;

/// Fixed pictures and patches of validation people.
pub(super) struct Judge {
    dataset: Dataset,
    model: ModelConfig,
    evaluation: EvaluationConfig,
    builder: TargetBuilder,
    /// Decodes every patch that is not visible.
    whole: TargetBuilder,
    draws: Vec<Draw>,
    patches: Vec<Patches>,
    whole_patches: Vec<Patches>,
    /// For every draw, another draw of the same family: whose tokens are the wrong ones.
    others: Vec<usize>,
}

impl Judge {
    /// `None` when no person of `dataset` has pictures to be judged on.
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
        let draws = (0..dataset.people.len())
            .filter_map(|person| draw(&dataset, person, &evaluation))
            .take(evaluation.people)
            .collect::<Vec<_>>();
        let others = (0..draws.len())
            .map(|own| {
                let family = |draw: usize| dataset.people[draws[draw].person].family.as_str();
                (1..draws.len())
                    .map(|ahead| (own + ahead) % draws.len())
                    .find(|other| family(*other) == family(own))
                    .unwrap_or((own + 1) % draws.len())
            })
            .collect();
        let mut generator = stream(0, Purpose::Evaluation, u64::MAX);
        let count = draws.len() * evaluation.targets;
        let mut drawn = |builder: &TargetBuilder| {
            (0..count)
                .map(|_| builder.draw(&mut generator))
                .collect::<Vec<_>>()
        };
        let (patches, whole_patches) = (drawn(&builder), drawn(&whole));
        // With one person there is nobody to mix up with.
        (draws.len() > 1).then_some(Self {
            model: config.model.clone(),
            dataset,
            evaluation,
            builder,
            whole,
            draws,
            patches,
            whole_patches,
            others,
        })
    }

    /// The measures, by name: L1 with right tokens, another person's and the mean of all; the same on the head alone;
    /// verification by single photos and by disjoint sets; how alike a person's tokens are to one another.
    pub fn evaluate(&self, model: &MaskedModel, device: &Device) -> Result<Vec<(String, f64)>> {
        let (queries, width) = (self.model.queries, self.model.token_width);
        let each = queries * width;
        let tokens = self.tokens_of(model, device, |draw| &draw.inputs)?;
        let mean = mean_row(&tokens, each);
        let mut values = Vec::new();
        let mut add = |name: &str, value: f64| values.push((name.to_string(), value));
        if model.decoder.is_some() {
            let right = self.losses(model, device, |draw| row(&tokens, draw, each))?;
            let other = self.losses(model, device, |draw| row(&tokens, self.others[draw], each))?;
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
        let singles = self.single_photos();
        let places = singles
            .iter()
            .map(|(person, place)| (*person, vec![(*place, Tone::NONE)]))
            .collect::<Vec<_>>();
        let single = self.encode(model, device, &places)?;
        let people = singles.iter().map(|(person, _)| *person).collect::<Vec<_>>();
        add(
            "auc_single",
            verification(&single, &people, &people, &single, each)?,
        );
        let sets = self.tokens_of(model, device, |draw| &draw.second)?;
        let people = self.draws.iter().map(|draw| draw.person).collect::<Vec<_>>();
        add("auc_set", verification(&tokens, &people, &people, &sets, each)?);
        add("token_cosine", token_cosine(&tokens, queries, width));
        let centred = tokens
            .chunks_exact(each)
            .flat_map(|person| person.iter().zip(&mean).map(|(value, mean)| value - mean))
            .collect::<Vec<_>>();
        add("token_cosine_centred", token_cosine(&centred, queries, width));
        Ok(values)
    }

    /// Rows of inputs, target, what the decoder sees of it, and what it makes of it with the right tokens, another
    /// person's and the mean of all.
    pub fn preview(&self, model: &MaskedModel, device: &Device) -> Result<Option<RgbImage>> {
        if model.decoder.is_none() {
            return Ok(None);
        }
        let each = self.model.queries * self.model.token_width;
        let tokens = self.tokens_of(model, device, |draw| &draw.inputs)?;
        let mean = mean_row(&tokens, each);
        let size = self.model.image_size;
        let mut grid = Grid::new(size as u32, (96 / size as u32).max(1));
        // People from all over the set, so that every family shows.
        let stride = (self.draws.len() / PREVIEWED).max(1);
        for place in (0..self.draws.len()).step_by(stride).take(PREVIEWED) {
            let draw = &self.draws[place];
            let pictures = &self.dataset.people[draw.person].pictures;
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
            let batch = self.whole.build(&self.dataset, &[one], patches);
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
                row(&tokens, self.others[place], each),
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

    /// Tokens `[draws, queries, token width]`, flat.
    fn tokens_of(
        &self,
        model: &MaskedModel,
        device: &Device,
        inputs: impl Fn(&Draw) -> &Vec<(usize, Tone)>,
    ) -> Result<Vec<f32>> {
        let photos = self
            .draws
            .iter()
            .map(|draw| (draw.person, inputs(draw).clone()))
            .collect::<Vec<_>>();
        self.encode(model, device, &photos)
    }

    /// Tokens of sets of pictures, equally many in each.
    fn encode(
        &self,
        model: &MaskedModel,
        device: &Device,
        sets: &[(usize, Vec<(usize, Tone)>)],
    ) -> Result<Vec<f32>> {
        let size = self.model.image_size;
        let mut tokens = Vec::new();
        for part in sets.chunks(AT_ONCE) {
            let photos = part
                .iter()
                .flat_map(|(person, places)| {
                    let pictures = &self.dataset.people[*person].pictures;
                    places
                        .iter()
                        .map(move |(place, _)| (&pictures[*place], Reading::PLAIN))
                })
                .collect::<Vec<_>>();
            let shape = [part.len(), photos.len() / part.len(), 3, size, size];
            let photos = Tensor::from_vec(planes(&photos, size), &shape[..], device)?;
            let made = model.identity.tokens(&photos)?.to_dtype(DType::F32)?;
            tokens.extend(made.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(tokens)
    }

    /// Person and place of the photos that are compared one by one.
    fn single_photos(&self) -> Vec<(usize, usize)> {
        self.draws
            .iter()
            .flat_map(|draw| {
                let mut places = draw
                    .inputs
                    .iter()
                    .chain(&draw.second)
                    .map(|(place, _)| *place)
                    .collect::<Vec<_>>();
                places.sort_unstable();
                places.dedup();
                places.into_iter().take(SINGLES).map(|place| (draw.person, place))
            })
            .collect()
    }

    /// Mean L1 over all targets, on all pixels and on the head.
    fn losses<'t>(
        &self,
        model: &MaskedModel,
        device: &Device,
        tokens: impl Fn(usize) -> &'t [f32],
    ) -> Result<(f64, f64)> {
        let (mut plain, mut head) = (0.0, 0.0);
        for start in (0..self.draws.len()).step_by(AT_ONCE) {
            let end = (start + AT_ONCE).min(self.draws.len());
            let patches = &self.patches[start * self.evaluation.targets..end * self.evaluation.targets];
            let batch = self
                .builder
                .build(&self.dataset, &self.draws[start..end], patches);
            let identity = (start..end).flat_map(&tokens).copied().collect::<Vec<_>>();
            let decoded = self.decode(model, device, &batch, &identity, end - start)?;
            let part = (end - start) as f64 / self.draws.len() as f64;
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

/// The pictures that a person is judged on: inputs, a second set without any of them, targets. `None` with too few.
fn draw(dataset: &Dataset, person: usize, config: &EvaluationConfig) -> Option<Draw> {
    let pictures = &dataset.people[person];
    let mut generator = stream(0, Purpose::Evaluation, person as u64);
    let mut inputs = pictures.inputs();
    inputs.shuffle(&mut generator);
    let mut targets = pictures.targets();
    targets.shuffle(&mut generator);
    // Pictures that serve as either are shared out: targets first, as they are the fewest.
    let own = targets.iter().filter(|target| !inputs.contains(target)).count();
    if own < config.targets {
        targets.sort_by_key(|target| inputs.contains(target));
    }
    targets.truncate(config.targets);
    inputs.retain(|input| !targets.contains(input));
    if targets.len() < config.targets || inputs.len() < 2 * config.inputs {
        return None;
    }
    let toned = |places: &[usize]| places.iter().map(|place| (*place, Tone::NONE)).collect();
    Some(Draw {
        person,
        inputs: toned(&inputs[..config.inputs]),
        second: toned(&inputs[config.inputs..2 * config.inputs]),
        targets,
        grey: false,
        mirrored: false,
    })
}

/// Area under the curve of the cosines between rows `a` and rows `b` of `width` numbers, about the mean of all.
/// A pair of one person is genuine; a row is not compared with itself.
fn verification(a: &[f32], people_a: &[usize], people_b: &[usize], b: &[f32], width: usize) -> Result<f64> {
    let same = std::ptr::eq(a, b);
    let mean = mean_row(a, width);
    let unit = |rows: &[f32]| -> Result<Tensor> {
        let mut values = Vec::with_capacity(rows.len());
        for row in rows.chunks_exact(width) {
            let centred = row.iter().zip(&mean).map(|(value, mean)| value - mean);
            let length = centred.clone().map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            values.extend(centred.map(|value| value / (length.max(1e-12) as f32)));
        }
        Ok(Tensor::from_vec(
            values,
            (rows.len() / width, width),
            &Device::Cpu,
        )?)
    };
    let scores = unit(a)?.matmul(&unit(b)?.t()?)?.to_vec2::<f32>()?;
    let (mut genuine, mut impostor) = (Vec::new(), Vec::new());
    for (i, row) in scores.iter().enumerate() {
        for (j, score) in row.iter().enumerate() {
            if same && j <= i {
                continue;
            }
            if people_a[i] == people_b[j] {
                genuine.push(*score);
            } else {
                impostor.push(*score);
            }
        }
    }
    Ok(area_under_curve(&genuine, &impostor))
}

/// The numbers of row `place`.
fn row(rows: &[f32], place: usize, width: usize) -> &[f32] {
    &rows[place * width..(place + 1) * width]
}

/// 8-bit levels to −1…1.
fn levels(pixels: &[u8]) -> Vec<f32> {
    pixels
        .iter()
        .map(|level| f32::from(*level) / 127.5 - 1.0)
        .collect()
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

impl MaskedBatch {
    /// Number of people.
    pub fn people(&self) -> usize {
        self.people
    }
}
