//! Masked reconstruction: the encoder learns by drawing hidden patches of other pictures of the same people (paper,
//! Masked Transformer Decoder).

mod decoder;
mod heads;
mod operations;
mod targets;
mod validation;

pub use decoder::{decoder_parameters, MaskedDecoder, Targets};
pub use heads::{head_parameters, ClassifierHead, ContrastiveHead, Embedding};
pub use operations::decoder_operations;
pub use targets::{Patches, TargetBatch, TargetBuilder};

use crate::batch::{input_planes, share, Sampler};
use crate::config::RunConfig;
use crate::data::Dataset;
use crate::model::{encoder_operations, identity_parameters, IdentityModel};
use crate::optimisation::{ParameterGroup, ParameterSpec};
use crate::random::{stream, Purpose};
use crate::trainer::{Loss, Objective, StepCost};
use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use image::RgbImage;
use omniid::{Error, Result};
use std::collections::HashMap;
use validation::Validation;

const ENCODER: usize = 0;
const DECODER: usize = 1;

/// The [`Objective`] of masked reconstruction, and the losses that it can be compared with.
pub struct MaskedReconstruction {
    config: RunConfig,
    dataset: Dataset,
    sampler: Sampler,
    builder: TargetBuilder,
    /// Class of a person by place in the dataset.
    classes: HashMap<usize, u32>,
    validation: Option<Validation>,
}

/// Encoder, decoder and heads. A part whose loss has no weight is absent.
pub struct MaskedModel {
    /// The encoder.
    pub identity: IdentityModel,
    decoder: Option<MaskedDecoder>,
    contrastive: Option<ContrastiveHead>,
    classifier: Option<ClassifierHead>,
}

/// The numbers of a step.
pub struct MaskedBatch {
    people: usize,
    inputs: usize,
    /// Identity tokens of a person.
    tokens: usize,
    /// `[people, inputs, 3, size, size]`
    photos: Vec<f32>,
    /// As `photos`; empty without a contrastive loss.
    second: Vec<f32>,
    targets: Option<TargetBatch>,
    /// Flat places of the tokens that the decoder sees; all when absent.
    kept: Option<Vec<u32>>,
    classes: Vec<u32>,
}

impl MaskedBatch {
    /// `parts` micro batches with equally many people, or as many fewer as divide the people: the loss is the same.
    fn split(self, parts: usize) -> Vec<Self> {
        let divides = |parts: &usize| self.people.is_multiple_of(*parts);
        let parts = (1..=parts).rev().find(divides).unwrap_or(1);
        if parts < 2 {
            return vec![self];
        }
        (0..parts).map(|part| self.part(part, parts)).collect()
    }

    fn part(&self, part: usize, parts: usize) -> Self {
        let people = self.people / parts;
        // Places among the tokens of all people become places among those of the part.
        let kept = self.kept.as_ref().map(|kept| {
            let kept = share(kept, part, parts);
            let tokens = self.tokens as u32;
            let before = (part * people) as u32 * tokens;
            kept.iter().map(|place| place - before).collect()
        });
        Self {
            people,
            inputs: self.inputs,
            tokens: self.tokens,
            photos: share(&self.photos, part, parts).to_vec(),
            second: share(&self.second, part, parts).to_vec(),
            targets: self.targets.as_ref().map(|targets| targets.part(part, parts)),
            kept,
            classes: share(&self.classes, part, parts).to_vec(),
        }
    }
}

impl MaskedReconstruction {
    /// An objective over the people of `train`, evaluated on those of `validation`, which may be empty. Both are
    /// brought to the model's picture size.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](omniid::ErrorKind::InvalidArgument) when nobody in `train` has pictures for a
    /// step.
    pub fn new(config: &RunConfig, train: Dataset, validation: Dataset) -> Result<Self> {
        let size = config.model.image_size as u32;
        let (dataset, validation) = (train.resized(size)?, validation.resized(size)?);
        let second = config.loss.contrastive > 0.0;
        let sampler = Sampler::new(&dataset, config.sampler.clone(), second, config.seed)?;
        let builder = TargetBuilder::new(&config.masked, config.model.image_size, config.model.patch_size);
        let classes = sampler
            .people()
            .into_iter()
            .enumerate()
            .map(|(class, place)| (place, class as u32))
            .collect();
        Ok(Self {
            validation: Validation::new(config, validation),
            config: config.clone(),
            dataset,
            sampler,
            builder,
            classes,
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

    /// The numbers of a batch by name, for another implementation of the same step.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](omniid::ErrorKind::Device) from the GPU.
    pub fn named(&self, batch: &MaskedBatch, device: &Device) -> Result<Vec<(&'static str, Tensor)>> {
        let mut named = vec![("photos", self.photos(batch, &batch.photos, device)?)];
        if let Some(kept) = &batch.kept {
            let shape = (batch.people, kept.len() / batch.people.max(1));
            named.push(("kept", Tensor::from_slice(kept, shape, device)?));
        }
        if let Some(targets) = &batch.targets {
            named.extend(targets.named(device)?);
        }
        Ok(named)
    }

    fn photos(&self, batch: &MaskedBatch, values: &[f32], device: &Device) -> Result<Tensor> {
        let size = self.config.model.image_size;
        let shape = [batch.people, batch.inputs, 3, size, size];
        Ok(Tensor::from_slice(values, &shape[..], device)?)
    }
}

impl Objective for MaskedReconstruction {
    type Model = MaskedModel;
    type Batch = MaskedBatch;

    fn groups(&self) -> Vec<ParameterGroup> {
        let optimiser = &self.config.optimiser;
        [("encoder", optimiser.encoder_rate), ("decoder", 1.0)]
            .map(|(name, rate)| ParameterGroup {
                name: name.to_string(),
                rate,
                weight_decay: optimiser.weight_decay,
            })
            .into()
    }

    fn parameters(&self) -> Result<Vec<ParameterSpec>> {
        let config = &self.config;
        let mut specs = identity_parameters(&config.model, ENCODER)?;
        if config.loss.reconstruction > 0.0 {
            specs.extend(decoder_parameters(&config.masked, &config.model, DECODER));
        }
        specs.extend(head_parameters(
            &config.loss,
            &config.model,
            self.classes.len(),
            DECODER,
        ));
        Ok(specs)
    }

    fn load(&self, vb: VarBuilder) -> Result<MaskedModel> {
        let (config, loss) = (&self.config, &self.config.loss);
        let heads = vb.pp("heads");
        Ok(MaskedModel {
            identity: IdentityModel::load(&config.model, vb.clone())?,
            decoder: match loss.reconstruction > 0.0 {
                true => Some(MaskedDecoder::load(&config.masked, &config.model, vb.pp("decoder"))?),
                false => None,
            },
            contrastive: match loss.contrastive > 0.0 {
                true => Some(ContrastiveHead::load(loss, &config.model, heads.pp("contrastive"))?),
                false => None,
            },
            classifier: match loss.classifier > 0.0 {
                true => Some(ClassifierHead::load(
                    loss,
                    &config.model,
                    self.classes.len(),
                    heads.pp("classifier"),
                )?),
                false => None,
            },
        })
    }

    fn batch(&self, step: u64) -> Result<MaskedBatch> {
        let draws = self.sampler.draw(step);
        let mut generator = stream(self.config.seed, Purpose::Masks, step);
        let (targets, kept) = if self.config.loss.reconstruction > 0.0 {
            let count = draws.iter().map(|draw| draw.targets.len()).sum::<usize>();
            let patches = (0..count)
                .map(|_| self.builder.draw(&mut generator))
                .collect::<Vec<_>>();
            let kept = self
                .builder
                .draw_tokens(draws.len(), self.config.model.queries, &mut generator);
            (Some(self.builder.build(&self.dataset, &draws, &patches)), kept)
        } else {
            (None, None)
        };
        Ok(MaskedBatch {
            people: draws.len(),
            inputs: draws.first().map_or(0, |draw| draw.inputs.len()),
            tokens: self.config.model.queries,
            photos: input_planes(&self.dataset, &draws, false),
            second: input_planes(&self.dataset, &draws, true),
            targets,
            kept,
            classes: draws
                .iter()
                .map(|draw| self.classes.get(&draw.person).copied().unwrap_or(0))
                .collect(),
        })
    }

    fn micro_batches(&self, batch: MaskedBatch) -> Vec<MaskedBatch> {
        batch.split(self.config.masked.micro_batches)
    }

    fn loss(&self, model: &MaskedModel, batch: &MaskedBatch, device: &Device) -> Result<Loss> {
        let tokens = model.identity.tokens(&self.photos(batch, &batch.photos, device)?)?;
        let weights = &self.config.loss;
        let (mut terms, mut factors) = (Vec::new(), Vec::new());
        if let (Some(decoder), Some(targets)) = (&model.decoder, &batch.targets) {
            let seen = match &batch.kept {
                Some(kept) => {
                    let (people, count, width) = tokens.dims3()?;
                    let places = Tensor::from_slice(kept, kept.len(), device)?;
                    tokens
                        .reshape((people * count, width))?
                        .index_select(&places, 0)?
                        .reshape((people, kept.len() / people, width))?
                }
                None => tokens.clone(),
            };
            let decoded = decoder.forward(&seen, &targets.targets(device)?)?;
            terms.push(("reconstruction", targets.loss(&decoded, device)?));
            factors.push(weights.reconstruction);
        }
        if let Some(head) = &model.contrastive {
            let second = self.photos(batch, &batch.second, device)?;
            terms.push(("contrastive", head.loss(&tokens, &model.identity.tokens(&second)?)?));
            factors.push(weights.contrastive);
        }
        if let Some(head) = &model.classifier {
            terms.push(("classifier", head.loss(&tokens, &batch.classes, device)?));
            factors.push(weights.classifier);
        }
        let mut total: Option<Tensor> = None;
        for ((_, term), factor) in terms.iter().zip(factors) {
            let term = (term * factor)?;
            total = Some(match total {
                Some(total) => (total + term)?,
                None => term,
            });
        }
        Ok(Loss {
            total: total.ok_or_else(|| Error::internal("a step without any loss"))?,
            terms,
        })
    }

    fn evaluate(&self, model: &MaskedModel, device: &Device) -> Result<Vec<(String, f64)>> {
        match &self.validation {
            Some(validation) => validation.evaluate(model, device),
            None => Ok(Vec::new()),
        }
    }

    fn preview(&self, model: &MaskedModel, device: &Device) -> Result<Option<RgbImage>> {
        match &self.validation {
            Some(validation) => validation.preview(model, device),
            None => Ok(None),
        }
    }

    fn step_cost(&self) -> StepCost {
        let (config, people) = (&self.config, self.sampler.people_per_step());
        let sampler = &config.sampler;
        let inputs = (sampler.fewest_inputs + sampler.most_inputs) as f64 / 2.0;
        let sets = if config.loss.contrastive > 0.0 { 2.0 } else { 1.0 };
        let mut forward = sets * encoder_operations(&config.model, inputs);
        let mut pictures = sets * inputs;
        if config.loss.reconstruction > 0.0 {
            forward += decoder_operations(&config.masked, &config.model, sampler.targets as f64);
            pictures += sampler.targets as f64;
        }
        StepCost {
            // The backward pass is two products for every one of the forward pass.
            operations: 3.0 * people as f64 * forward,
            pictures: (people as f64 * pictures).round() as usize,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
