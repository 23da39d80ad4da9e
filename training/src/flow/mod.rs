//! Flow matching: encoder, adapter and a diffusion host learn together (paper, flow-matching decoder).
//!
//! The host draws a person's targets from noise. Who it is comes through the plugin's own adapter in every
//! cross-attention layer; everything else ([`View`]) is told. No other loss trains the encoder.

mod validation;

use crate::batch::{
    condition_numbers, input_planes, planes, share, targets, write_face_weights, write_weights, Draw, Sampler,
};
use crate::config::{Condition, FlowConfig, RunConfig};
use crate::data::Dataset;
use crate::model::{encoder_operations, identity_parameters, is_matrix, under, IdentityModel};
use crate::optimisation::{ParameterGroup, ParameterSpec};
use crate::random::{stream, Purpose};
use crate::trainer::{Loss, Objective, StepCost};
use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use image::RgbImage;
use omniid::adapter::{Adapter, AdapterLayout};
use omniid::host::HostSpec;
use omniid::{Error, Result};
use omniid_minihost::flow::{draw_noise, training_loss, TrainingPictures};
use omniid_minihost::unet::multiply_adds;
use omniid_minihost::{AdapterHook, Minihost, MinihostConfig, View};
use rand::Rng;
use validation::Validation;

const ENCODER: usize = 0;
const HOST: usize = 1;

/// Prefix of the host's tensors in a training state. A host file has none.
pub const HOST_PREFIX: &str = "host";

/// The [`Objective`] of flow matching.
pub struct FlowReconstruction {
    config: RunConfig,
    flow: FlowConfig,
    host: MinihostConfig,
    spec: HostSpec,
    dataset: Dataset,
    sampler: Sampler,
    validation: Option<Validation>,
}

/// Encoder, adapter and host.
pub struct FlowModel {
    /// The encoder.
    pub identity: IdentityModel,
    /// From identity tokens to keys and values of the host's layers.
    pub adapter: Adapter,
    /// The decoder.
    pub host: Minihost,
}

/// The numbers of a step. `all` is people · targets.
pub struct FlowBatch {
    /// Number of the stream of its noise.
    noise: u64,
    people: usize,
    inputs: usize,
    /// `[people, inputs, 3, size, size]`
    photos: Vec<f32>,
    targets: Pictures,
    /// Per person: 1 keeps the identity, 0 puts the mean of the step in its place.
    kept: Vec<f32>,
}

impl FlowBatch {
    /// `parts` micro batches with equally many people; their number must divide that of the people.
    fn split(self, parts: usize) -> Vec<Self> {
        if parts < 2 {
            return vec![self];
        }
        let each = self.people / parts;
        (0..parts)
            .map(|part| Self {
                noise: self.noise * parts as u64 + part as u64,
                people: each,
                inputs: self.inputs,
                photos: share(&self.photos, part, parts).to_vec(),
                targets: Pictures {
                    pictures: share(&self.targets.pictures, part, parts).to_vec(),
                    views: share(&self.targets.views, part, parts).to_vec(),
                    weights: share(&self.targets.weights, part, parts).to_vec(),
                    all: self.targets.all / parts,
                },
                kept: share(&self.kept, part, parts).to_vec(),
            })
            .collect()
    }
}

/// Targets and what is told about them.
struct Pictures {
    /// `[all, 3, size, size]`
    pictures: Vec<f32>,
    /// `[all, 46]`
    views: Vec<f32>,
    /// `[all, 1, size, size]`
    weights: Vec<f32>,
    all: usize,
}

impl FlowReconstruction {
    /// An objective over the people of `train`, evaluated on those of `validation`, which may be empty. Both are
    /// brought to the model's picture size.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](omniid::ErrorKind::InvalidArgument) when the configuration has no section
    /// `[flow]`, nobody in `train` has pictures for a step, or `micro_batches` does not divide the people of a step.
    pub fn new(config: &RunConfig, train: Dataset, validation: Dataset) -> Result<Self> {
        let flow = config
            .flow
            .clone()
            .ok_or_else(|| Error::invalid("flow matching needs the section [flow] in the run's configuration"))?;
        let size = config.model.image_size as u32;
        let (dataset, validation) = (train.resized(size)?, validation.resized(size)?);
        let host = flow.host()?;
        let sampler = Sampler::new(&dataset, config.sampler.clone(), false, config.seed)?;
        if !flow.divides(sampler.people_per_step()) {
            return Err(Error::invalid(format!(
                "a step has {} people, because there are no more; [flow] micro_batches {} does not divide them into parts of \
                 two or more",
                sampler.people_per_step(),
                flow.micro_batches
            )));
        }
        Ok(Self {
            validation: Validation::new(config, &flow, validation),
            spec: host.unet.host()?,
            sampler,
            config: config.clone(),
            flow,
            host,
            dataset,
        })
    }

    /// The people that are trained on.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// The sampler over them.
    pub fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    /// The numbers of a batch by name, and those that the loss draws for it, for another implementation of the same
    /// step.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](omniid::ErrorKind::Device) from the GPU.
    pub fn named(&self, batch: &FlowBatch, device: &Device) -> Result<Vec<(&'static str, Tensor)>> {
        let (size, block) = (self.config.model.image_size, self.host.block);
        let shape = [batch.people, batch.inputs, 3, size, size];
        let [pictures, views, weights] = batch.targets.tensors(size, device)?;
        let (places, width) = ((size / block) * (size / block), 3 * block * block);
        let mut generator = stream(self.config.seed, Purpose::Noise, batch.noise);
        let [times, noise] = draw_noise(
            &self.flow.times,
            [batch.targets.all, places, width],
            &mut generator,
            device,
        )?;
        Ok(vec![
            ("photos", Tensor::from_slice(&batch.photos, &shape[..], device)?),
            ("kept", Tensor::from_slice(&batch.kept, batch.people, device)?),
            ("pictures", pictures),
            ("views", views),
            ("weights", weights),
            ("times", times),
            ("noise", noise),
        ])
    }

    /// The host that is trained.
    pub fn host(&self) -> &MinihostConfig {
        &self.host
    }

    /// The table of its layers.
    pub fn host_spec(&self) -> &HostSpec {
        &self.spec
    }
}

/// How much pixels count beside those of the head, which count 1.
#[derive(Debug, Clone, Copy)]
struct PixelWeights {
    /// Outside the head.
    background: f32,
    /// In the middle of the face.
    face: f32,
}

impl PixelWeights {
    /// Nothing but the head counts, all of it alike.
    const HEAD: Self = Self {
        background: 0.0,
        face: 1.0,
    };

    fn of(config: &FlowConfig) -> Self {
        Self {
            background: config.background_weight,
            face: config.face_weight,
        }
    }
}

impl Pictures {
    /// The targets of `draws`, in order.
    fn new(dataset: &Dataset, draws: &[Draw], pixel_weights: PixelWeights) -> Self {
        let size = dataset.size as usize;
        let targets = targets(dataset, draws);
        let mut weights = vec![0.0; targets.len() * size * size];
        let mut views = Vec::with_capacity(targets.len() * View::LENGTH);
        for ((picture, reading), weights) in targets.iter().zip(weights.chunks_exact_mut(size * size)) {
            write_weights(picture, size, reading, pixel_weights.background, weights);
            let view = reading.view(picture);
            write_face_weights(&view.points, size, pixel_weights.face, weights);
            views.extend(condition_numbers(&view, reading.grey, Condition::View));
        }
        Self {
            pictures: planes(&targets, size),
            views,
            weights,
            all: targets.len(),
        }
    }

    /// Pictures `[all, 3, size, size]`, views `[all, 46]` and weights `[all, 1, size, size]`.
    fn tensors(&self, size: usize, device: &Device) -> Result<[Tensor; 3]> {
        let all = self.all;
        let tensor = |values: &[f32], shape: &[usize]| Tensor::from_slice(values, shape, device);
        Ok([
            tensor(&self.pictures, &[all, 3, size, size])?,
            tensor(&self.views, &[all, View::LENGTH])?,
            tensor(&self.weights, &[all, 1, size, size])?,
        ])
    }
}

impl Objective for FlowReconstruction {
    type Model = FlowModel;
    type Batch = FlowBatch;

    fn groups(&self) -> Vec<ParameterGroup> {
        let optimiser = &self.config.optimiser;
        let group = |name: &str, rate: f64, weight_decay: f64| ParameterGroup {
            name: name.to_string(),
            rate,
            weight_decay,
        };
        vec![
            group("encoder", optimiser.encoder_rate, optimiser.weight_decay),
            group("host", 1.0, self.flow.weight_decay),
        ]
    }

    fn parameters(&self) -> Result<Vec<ParameterSpec>> {
        let mut specs = identity_parameters(&self.config.model, ENCODER)?;
        let host = self.host.tensors()?.into_iter().map(|spec| ParameterSpec {
            decays: spec.shape.len() >= 2,
            spec: under(HOST_PREFIX, spec),
            group: HOST,
            trained: true,
        });
        specs.extend(host);
        let layout = AdapterLayout::native(&self.spec, self.config.model.token_width);
        let adapter = Adapter::tensors(&layout, &self.spec)?;
        specs.extend(adapter.into_iter().map(|spec| ParameterSpec {
            decays: is_matrix(&spec),
            spec,
            group: HOST,
            trained: true,
        }));
        Ok(specs)
    }

    fn load(&self, vb: VarBuilder) -> Result<FlowModel> {
        let layout = AdapterLayout::native(&self.spec, self.config.model.token_width);
        Ok(FlowModel {
            identity: IdentityModel::load(&self.config.model, vb.clone())?,
            adapter: Adapter::load(&layout, &self.spec, vb.clone())?,
            host: Minihost::load(&self.host, vb.pp(HOST_PREFIX))?,
        })
    }

    fn batch(&self, step: u64) -> Result<FlowBatch> {
        let draws = self.sampler.draw(step);
        let mut generator = stream(self.config.seed, Purpose::Masks, step);
        let kept = draws
            .iter()
            .map(|_| f32::from(!generator.random_bool(self.flow.identity_dropout)))
            .collect();
        Ok(FlowBatch {
            noise: step,
            people: draws.len(),
            inputs: draws.first().map_or(0, |draw| draw.inputs.len()),
            photos: input_planes(&self.dataset, &draws, false),
            targets: Pictures::new(&self.dataset, &draws, PixelWeights::of(&self.flow)),
            kept,
        })
    }

    fn micro_batches(&self, batch: FlowBatch) -> Vec<FlowBatch> {
        batch.split(self.flow.micro_batches)
    }

    fn loss(&self, model: &FlowModel, batch: &FlowBatch, device: &Device) -> Result<Loss> {
        let (size, people) = (self.config.model.image_size, batch.people);
        let shape = [people, batch.inputs, 3, size, size];
        let photos = Tensor::from_slice(&batch.photos, &shape[..], device)?;
        let tokens = model.identity.tokens(&photos)?;
        // As in use, where people without identity get the mean identity: here the mean of the step stands for it. It
        // is a constant, so that nobody's tokens are pulled towards what suits the others.
        let kept = Tensor::from_slice(&batch.kept, (people, 1, 1), device)?;
        let mean = tokens.detach().mean_keepdim(0)?;
        let absent = mean.broadcast_mul(&(1.0 - &kept)?)?;
        let tokens = tokens.broadcast_mul(&kept)?.add(&absent)?;
        let each = batch.targets.all / people.max(1);
        let rows = (0..batch.targets.all).map(|row| Some(row / each)).collect::<Vec<_>>();
        let hook = AdapterHook::new(&model.adapter, &self.spec, &tokens, None, &rows)?;
        let [pictures, views, weights] = batch.targets.tensors(size, device)?;
        let total = training_loss(
            &model.host,
            &TrainingPictures {
                pictures: &pictures,
                views: &views,
                weights: (self.flow.background_weight < 1.0 || self.flow.face_weight > 1.0).then_some(&weights),
            },
            Some(&hook),
            &self.flow.times,
            &mut stream(self.config.seed, Purpose::Noise, batch.noise),
        )?;
        Ok(Loss {
            terms: vec![("flow", total.clone())],
            total,
        })
    }

    fn evaluate(&self, model: &FlowModel, device: &Device) -> Result<Vec<(String, f64)>> {
        match &self.validation {
            Some(validation) => validation.evaluate(model, &self.spec, device),
            None => Ok(Vec::new()),
        }
    }

    fn preview(&self, model: &FlowModel, device: &Device) -> Result<Option<RgbImage>> {
        match &self.validation {
            Some(validation) => Ok(Some(validation.preview(model, &self.spec, device)?)),
            None => Ok(None),
        }
    }

    fn step_cost(&self) -> StepCost {
        let people = self.sampler.people_per_step();
        let sampler = &self.config.sampler;
        let inputs = (sampler.fewest_inputs + sampler.most_inputs) as f64 / 2.0;
        let side = self.host.size / self.host.block;
        let (context, queries) = (self.host.context_tokens, self.config.model.queries);
        let target = 2.0 * multiply_adds(&self.host.unet, side, side, context, queries) as f64;
        let forward = encoder_operations(&self.config.model, inputs) + sampler.targets as f64 * target;
        StepCost {
            // The backward pass is two products for every one of the forward pass.
            operations: 3.0 * people as f64 * forward,
            pictures: (people as f64 * (inputs + sampler.targets as f64)).round() as usize,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
