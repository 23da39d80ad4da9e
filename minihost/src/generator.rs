//! Pictures of an identity: the engine's identities in the minihost.

use crate::flow::{sample, SampleOptions, Solver};
use crate::pixels::to_images;
use crate::{ConditioningHook, Minihost, View};
use candle_core::{Device, Tensor};
use image::RgbImage;
use omniid::conditioning::ConditioningOptions;
use omniid::engine::{ConditioningInput, Engine};
use omniid::host::HostLayer;
use omniid::identity::Identity;
use omniid::{Error, Result};

/// How pictures are made.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateOptions {
    /// Steps from noise to picture.
    pub steps: usize,
    /// How the flow is followed.
    pub solver: Solver,
    /// How far the pictures are pushed towards the person; 1 not at all, at half the time.
    pub guidance: f64,
    /// Moves steps to noisy (above 1) or clean (below 1) times.
    pub shift: f64,
    /// Seed of the noise.
    pub seed: u64,
    /// Weight of the identity; 1 is what the model was trained with.
    pub identity_scale: f32,
    /// Start all views from the same noise: what neither identity nor view decides is then alike. With `false` view i
    /// starts from the noise of `seed + i`.
    pub same_noise: bool,
    /// Views that are sampled together.
    pub batch_size: usize,
}

impl Default for GenerateOptions {
    /// 4 Euler steps, guidance 1.25, seed 0, identity scale 1, the same noise, eight at a time.
    fn default() -> Self {
        let sample = SampleOptions::default();
        Self {
            steps: sample.steps,
            solver: sample.solver,
            guidance: sample.guidance,
            shift: sample.shift,
            seed: sample.seed,
            identity_scale: 1.0,
            same_noise: true,
            batch_size: 8,
        }
    }
}

/// A minihost and the engine whose identities it draws. Cheap to clone.
#[derive(Clone)]
pub struct Generator {
    host: Minihost,
    engine: Engine,
}

impl Generator {
    /// Pairs a host with an engine. Names and sizes of the layers decide, and their order; other programs that train
    /// adapters leave out the rest of a layer, such as its name in another module tree.
    ///
    /// # Errors
    /// [`Mismatch`](omniid::ErrorKind::Mismatch) when the engine's adapter was made for another host.
    pub fn new(host: Minihost, engine: Engine) -> Result<Self> {
        let layers = engine.host().map(|spec| spec.layers()).unwrap_or_default();
        let own = host.host().layers();
        let different = layers.iter().zip(own).find(|(theirs, own)| !same(theirs, own));
        if layers.len() == own.len() && different.is_none() {
            return Ok(Self { host, engine });
        }
        let adapter = match engine.host() {
            Some(spec) => format!("host {:?} with {} layers", spec.name(), spec.layer_count()),
            None => "no known host".to_string(),
        };
        let what = match different {
            Some((theirs, own)) => format!("; {} there, {} here", describe(theirs), describe(own)),
            None => String::new(),
        };
        Err(Error::mismatch(format!(
            "the identity model's adapter is for {adapter}, the minihost has {} layers of its own{what}",
            own.len()
        )))
    }

    /// The host.
    pub fn host(&self) -> &Minihost {
        &self.host
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// One picture of `identity` per view.
    ///
    /// `report(done, passes)` is called after every pass through the network and stops the work by an error, such as
    /// one of kind [`Cancelled`](omniid::ErrorKind::Cancelled).
    ///
    /// # Errors
    /// [`Mismatch`](omniid::ErrorKind::Mismatch) when another model made the identity;
    /// [`InvalidArgument`](omniid::ErrorKind::InvalidArgument) for options that make no sense; whatever `report`
    /// returns.
    pub fn generate(
        &self,
        identity: &Identity,
        views: &[View],
        options: &GenerateOptions,
        report: impl FnMut(usize, usize) -> Result<()>,
    ) -> Result<Vec<RgbImage>> {
        self.generate_mixed(&[ConditioningInput::new(identity)], views, options, report)
    }

    /// [`Generator::generate`] with several identities in the same pictures, each with its own weight, mask and steps:
    /// their attention is summed, as in every host.
    ///
    /// # Errors
    /// As [`Generator::generate`] and [`Engine::condition`].
    pub fn generate_mixed(
        &self,
        identities: &[ConditioningInput<'_>],
        views: &[View],
        options: &GenerateOptions,
        mut report: impl FnMut(usize, usize) -> Result<()>,
    ) -> Result<Vec<RgbImage>> {
        if options.batch_size == 0 {
            return Err(Error::invalid("a batch of 0 views; at least 1 is needed"));
        }
        let inputs: Vec<_> = identities
            .iter()
            .map(|input| input.clone().with_scale(input.scale * options.identity_scale))
            .collect();
        let conditioning = self.engine.condition(inputs, &ConditioningOptions::default())?;
        let side = self.host.config().size / self.host.config().block;
        let batches = views.len().div_ceil(options.batch_size);
        let mut images = Vec::with_capacity(views.len());
        for (number, views) in views.chunks(options.batch_size).enumerate() {
            let first = (number * options.batch_size) as u64;
            let sampling = SampleOptions {
                steps: options.steps,
                solver: options.solver,
                guidance: options.guidance,
                shift: options.shift,
                seed: if options.same_noise {
                    options.seed
                } else {
                    options.seed.wrapping_add(first)
                },
                same_noise: options.same_noise,
            };
            let hook = ConditioningHook::new(conditioning.clone(), views.len()).with_latent(side, side);
            let views = vectors(views, self.host.device())?;
            let pictures = sample(&self.host, &views, Some(&hook), &sampling, |done, passes| {
                report(number * passes + done, batches * passes)
            })?;
            images.extend(to_images(&pictures)?);
        }
        Ok(images)
    }
}

/// Whether an identity that enters one layer can enter the other.
fn same(a: &HostLayer, b: &HostLayer) -> bool {
    (&a.name, a.heads, a.head_dim, a.context, a.hidden) == (&b.name, b.heads, b.head_dim, b.context, b.hidden)
}

fn describe(layer: &HostLayer) -> String {
    format!(
        "layer {:?} has {} heads of {} and a context of {}",
        layer.name, layer.heads, layer.head_dim, layer.context
    )
}

/// Views as `[count, 46]`.
///
/// # Errors
/// [`InvalidArgument`](omniid::ErrorKind::InvalidArgument) for numbers that are not finite.
pub fn vectors(views: &[View], device: &Device) -> Result<Tensor> {
    let values: Vec<f32> = views.iter().flat_map(View::to_vector).collect();
    if let Some(place) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::invalid(format!(
            "view {} holds a number that is not finite: {:?}",
            place / View::LENGTH,
            views[place / View::LENGTH]
        )));
    }
    Ok(Tensor::from_vec(values, (views.len(), View::LENGTH), device)?)
}
