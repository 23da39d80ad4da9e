//! Validation of flow matching: always the same pictures and noise.

use super::{FlowModel, Pictures, PixelWeights};
use crate::batch::Draw;
use crate::config::{FlowConfig, RunConfig};
use crate::data::Dataset;
use crate::random::{stream, Purpose};
use crate::tokens::{ValidationPeople, ValidationTokens, Whose, AT_ONCE};
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

/// Fixed pictures of validation people.
pub(super) struct Validation {
    people: ValidationPeople,
    flow: FlowConfig,
}

impl Validation {
    /// `None` when there are no two people in `dataset` with enough pictures.
    pub fn new(config: &RunConfig, flow: &FlowConfig, dataset: Dataset) -> Option<Self> {
        Some(Self {
            people: ValidationPeople::new(&config.model, &config.evaluation, dataset)?,
            flow: flow.clone(),
        })
    }

    /// The metrics, by name: mean squared error of the clean picture on the head at two times, with right tokens,
    /// another person's and the mean of all; L1 on the head of sampled pictures with the same three; what the tokens
    /// alone say.
    pub fn evaluate(&self, model: &FlowModel, spec: &HostSpec, device: &Device) -> Result<Vec<(String, f64)>> {
        let tokens = self.people.tokens(&model.identity, device)?;
        let mut values = Vec::new();
        for (time, percent) in TIMES {
            let mut found = [0.0; Whose::ALL.len()];
            for ((whose, name), found) in Whose::ALL.into_iter().zip(&mut found) {
                *found = self.error_at(time, whose, &tokens, model, spec, device)?;
                values.push((format!("mse_{percent}_{name}"), *found));
            }
            values.push((format!("gap_{percent}"), 1.0 - found[0] / found[1]));
            values.push((format!("right_to_mean_{percent}"), found[0] / found[2]));
        }
        let places = self.people.spread(SAMPLED);
        let truth = self.targets(&places);
        let [pictures, _, weights] = truth.tensors(self.people.dataset.size as usize, device)?;
        let total = 3.0 * f64::from(weights.sum_all()?.to_scalar::<f32>()?).max(1.0);
        for (whose, name) in Whose::ALL {
            let drawn = self.draw(whose, &places, &tokens, model, spec, device)?;
            let error = (drawn - &pictures)?.abs()?.broadcast_mul(&weights)?;
            let error = f64::from(error.sum_all()?.to_scalar::<f32>()?) / total;
            values.push((format!("sampled_l1_{name}"), error));
        }
        values.extend(self.people.token_metrics(&model.identity, &tokens, device)?);
        Ok(values)
    }

    /// Rows of inputs, target, and what is drawn with the right tokens, another person's and the mean of all.
    pub fn preview(&self, model: &FlowModel, spec: &HostSpec, device: &Device) -> Result<RgbImage> {
        let tokens = self.people.tokens(&model.identity, device)?;
        let places = self.people.previewed();
        let mut rows = vec![Vec::new(); places.len()];
        for (whose, _) in Whose::ALL {
            let pictures = self.draw(whose, &places, &tokens, model, spec, device)?;
            // To [pictures, row, column, channel].
            let pictures = pictures.permute((0, 2, 3, 1))?.flatten_from(1)?.to_vec2::<f32>()?;
            for (row, picture) in rows.iter_mut().zip(pictures) {
                row.push(picture);
            }
        }
        let mut rows = rows.into_iter();
        self.people.preview(|_| Ok(rows.next().unwrap_or_default()))
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
        tokens: &ValidationTokens<'_>,
        model: &FlowModel,
        spec: &HostSpec,
        device: &Device,
    ) -> Result<Tensor> {
        let identity = tokens.tensor(whose, places.iter().copied(), device)?;
        let rows = (0..places.len()).map(Some).collect::<Vec<_>>();
        let hook = AdapterHook::new(&model.adapter, spec, &identity, None, &rows)?.detached();
        let targets = self.targets(places);
        let views = Tensor::from_slice(&targets.views, (targets.all, View::LENGTH), device)?;
        let options = SampleOptions {
            steps: 8,
            guidance: 1.0,
            ..SampleOptions::default()
        };
        sample(&model.host, &views, Some(&hook), &options, |_, _| Ok(()))
    }

    /// Mean squared error of the clean picture on the heads of all targets at one time.
    fn error_at(
        &self,
        time: f64,
        whose: Whose,
        tokens: &ValidationTokens<'_>,
        model: &FlowModel,
        spec: &HostSpec,
        device: &Device,
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
            let dataset = &self.people.dataset;
            let targets = Pictures::new(dataset, draws, PixelWeights::HEAD);
            let each = targets.all / draws.len();
            let rows = (0..targets.all).map(|target| Some(target / each)).collect::<Vec<_>>();
            let identity = tokens.tensor(whose, start..end, device)?;
            let hook = AdapterHook::new(&model.adapter, spec, &identity, None, &rows)?.detached();
            let [pictures, views, weights] = targets.tensors(dataset.size as usize, device)?;
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
