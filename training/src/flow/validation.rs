//! Judging stage 2 on people who are not trained on: always the same pictures and noise.

use super::{FlowModel, Pictures, PixelWeights};
use crate::batch::Draw;
use crate::config::{FlowConfig, ModelConfig, RunConfig};
use crate::data::Dataset;
use crate::pictures::{levels, Grid};
use crate::random::{stream, Purpose};
use crate::statistics::mean_row;
use crate::tokens::{row, JudgedPeople, AT_ONCE};
use candle_core::{Device, Tensor};
use image::RgbImage;
use omniid::host::HostSpec;
use omniid::Result;
use omniid_minihost::flow::{sample, training_loss, FlowOptions, SampleOptions, TrainingPictures};
use omniid_minihost::{AdapterHook, View};

/// Times at which the error of the clean picture is measured: much noise, and half.
const TIMES: [(f64, &str); 2] = [(0.2, "20"), (0.5, "50")];
/// People whose pictures are sampled.
const SAMPLED: usize = 24;
/// Rows of a preview.
const PREVIEWED: usize = 8;

/// Fixed pictures of validation people.
pub(super) struct Judge {
    people: JudgedPeople,
    model: ModelConfig,
    flow: FlowConfig,
}

/// Whose tokens the host sees.
#[derive(Clone, Copy, PartialEq)]
enum Whose {
    Right,
    Other,
    Mean,
}

const WHOSE: [(Whose, &str); 3] = [
    (Whose::Right, "right"),
    (Whose::Other, "other"),
    (Whose::Mean, "mean"),
];

impl Judge {
    /// `None` when there are no two people in `dataset` with pictures to be judged on.
    pub fn new(config: &RunConfig, flow: &FlowConfig, dataset: Dataset) -> Option<Self> {
        Some(Self {
            people: JudgedPeople::new(&config.model, &config.evaluation, dataset)?,
            model: config.model.clone(),
            flow: flow.clone(),
        })
    }

    /// The measures, by name: mean squared error of the clean picture on the head at two times, with right tokens,
    /// another person's and the mean of all; L1 on the head of sampled pictures with the same three; what the tokens
    /// alone say.
    pub fn evaluate(
        &self,
        model: &FlowModel,
        spec: &HostSpec,
        device: &Device,
    ) -> Result<Vec<(String, f64)>> {
        let tokens = self.people.tokens(&model.identity, device)?;
        let mean = mean_row(&tokens, self.people.token_numbers());
        let mut values = Vec::new();
        for (time, percent) in TIMES {
            let mut found = [0.0; WHOSE.len()];
            for ((whose, name), found) in WHOSE.into_iter().zip(&mut found) {
                *found = self.error_at(time, model, spec, device, |draw| {
                    self.identity(whose, draw, &tokens, &mean)
                })?;
                values.push((format!("mse_{percent}_{name}"), *found));
            }
            values.push((format!("gap_{percent}"), 1.0 - found[0] / found[1]));
            values.push((format!("right_to_mean_{percent}"), found[0] / found[2]));
        }
        let places = self.spread(SAMPLED);
        let truth = self.targets(&places);
        let [pictures, _, weights] = truth.tensors(self.model.image_size, device)?;
        let total = 3.0 * f64::from(weights.sum_all()?.to_scalar::<f32>()?).max(1.0);
        for (whose, name) in WHOSE {
            let drawn = self.draw(whose, &places, model, spec, (&tokens, &mean), device)?;
            let error = (drawn - &pictures)?.abs()?.broadcast_mul(&weights)?;
            let error = f64::from(error.sum_all()?.to_scalar::<f32>()?) / total;
            values.push((format!("sampled_l1_{name}"), error));
        }
        values.extend(self.people.token_measures(&model.identity, &tokens, device)?);
        Ok(values)
    }

    /// Rows of inputs, target, and what is drawn with the right tokens, another person's and the mean of all.
    pub fn preview(&self, model: &FlowModel, spec: &HostSpec, device: &Device) -> Result<RgbImage> {
        let tokens = self.people.tokens(&model.identity, device)?;
        let mean = mean_row(&tokens, self.people.token_numbers());
        let size = self.model.image_size;
        let places = self.spread(PREVIEWED);
        let drawn = WHOSE
            .into_iter()
            .map(|(whose, _)| {
                let pictures = self.draw(whose, &places, model, spec, (&tokens, &mean), device)?;
                // To [pictures, row, column, channel].
                Ok(pictures
                    .permute((0, 2, 3, 1))?
                    .flatten_from(1)?
                    .to_vec2::<f32>()?)
            })
            .collect::<Result<Vec<_>>>()?;
        let mut grid = Grid::new(size as u32, (96 / size as u32).max(1));
        for (number, place) in places.iter().enumerate() {
            let draw = &self.people.draws[*place];
            let pictures = &self.people.dataset.people[draw.person].pictures;
            let mut cells = draw
                .inputs
                .iter()
                .map(|(input, _)| levels(&pictures[*input].pixels))
                .collect::<Vec<_>>();
            cells.push(levels(&pictures[draw.targets[0]].pixels));
            cells.extend(drawn.iter().map(|pictures| pictures[number].clone()));
            grid.push(cells);
        }
        Ok(grid.picture())
    }

    fn identity<'t>(&self, whose: Whose, draw: usize, tokens: &'t [f32], mean: &'t [f32]) -> &'t [f32] {
        let each = self.people.token_numbers();
        match whose {
            Whose::Right => row(tokens, draw, each),
            Whose::Other => row(tokens, self.people.others[draw], each),
            Whose::Mean => mean,
        }
    }

    /// Up to `count` places among the draws from all over the set, so that every family is there.
    fn spread(&self, count: usize) -> Vec<usize> {
        let stride = (self.people.draws.len() / count).max(1);
        (0..self.people.draws.len()).step_by(stride).take(count).collect()
    }

    /// The first target of each of `places`; the background weighs nothing.
    fn targets(&self, places: &[usize]) -> Pictures {
        let draws = places
            .iter()
            .map(|place| {
                let draw = &self.people.draws[*place];
                Draw {
                    targets: draw.targets[..1].to_vec(),
                    ..draw.clone()
                }
            })
            .collect::<Vec<_>>();
        Pictures::new(&self.people.dataset, &draws, PixelWeights::HEAD)
    }

    /// Pictures `[places, 3, size, size]` of the first target of each of `places`, sampled without guidance: it would
    /// move them away from the truth on purpose.
    fn draw(
        &self,
        whose: Whose,
        places: &[usize],
        model: &FlowModel,
        spec: &HostSpec,
        (tokens, mean): (&[f32], &[f32]),
        device: &Device,
    ) -> Result<Tensor> {
        let identity = places
            .iter()
            .flat_map(|place| self.identity(whose, *place, tokens, mean))
            .copied()
            .collect::<Vec<_>>();
        let rows = (0..places.len()).map(Some).collect::<Vec<_>>();
        let hook = self.hook(&identity, &rows, model, spec, device)?;
        let targets = self.targets(places);
        let views = Tensor::from_slice(&targets.views, (targets.all, View::LENGTH), device)?;
        let options = SampleOptions {
            steps: 8,
            guidance: 1.0,
            ..SampleOptions::default()
        };
        sample(&model.host, &views, Some(&hook), &options, |_, _| Ok(()))
    }

    fn hook(
        &self,
        identity: &[f32],
        rows: &[Option<usize>],
        model: &FlowModel,
        spec: &HostSpec,
        device: &Device,
    ) -> Result<AdapterHook> {
        let people = identity.len() / self.people.token_numbers();
        let shape = (people, self.model.queries, self.model.token_width);
        let tokens = Tensor::from_slice(identity, shape, device)?;
        Ok(AdapterHook::new(&model.adapter, spec, &tokens, None, rows)?.detached())
    }

    /// Mean squared error of the clean picture on the heads of all targets at one time.
    fn error_at<'t>(
        &self,
        time: f64,
        model: &FlowModel,
        spec: &HostSpec,
        device: &Device,
        identity: impl Fn(usize) -> &'t [f32],
    ) -> Result<f64> {
        // Without spread every time is the mean's, and every error is divided by (1 − t)².
        let options = FlowOptions {
            time_mean: (time / (1.0 - time)).ln(),
            time_std: 0.0,
            // A mean squared error, whatever the run minimises.
            detail_weight: 0.0,
            ..self.flow.times
        };
        let scale = (1.0 - time).max(options.nearest_weight).powi(2);
        let count = self.people.draws.len();
        let mut sum = 0.0;
        for start in (0..count).step_by(AT_ONCE) {
            let end = (start + AT_ONCE).min(count);
            let draws = &self.people.draws[start..end];
            let targets = Pictures::new(&self.people.dataset, draws, PixelWeights::HEAD);
            let each = targets.all / draws.len();
            let rows = (0..targets.all)
                .map(|target| Some(target / each))
                .collect::<Vec<_>>();
            let tokens = (start..end).flat_map(&identity).copied().collect::<Vec<_>>();
            let hook = self.hook(&tokens, &rows, model, spec, device)?;
            let [pictures, views, weights] = targets.tensors(self.model.image_size, device)?;
            let batch = TrainingPictures {
                pictures: &pictures,
                views: &views,
                weights: Some(&weights),
            };
            let mut noise = stream(0, Purpose::Evaluation, (1 << 40) + start as u64);
            let loss = training_loss(&model.host, &batch, Some(&hook), &options, &mut noise)?;
            sum += (end - start) as f64 * scale * f64::from(loss.to_scalar::<f32>()?);
        }
        Ok(sum / count as f64)
    }
}
