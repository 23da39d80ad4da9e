//! The demo's host: cross-attention layers with random states, and a loop over denoising steps.
//!
//! A real host computes queries from its latent picture and adds text attention. Here the queries are the layer's
//! state, and the state drifts towards what injection adds: enough to show the calls and the order of their data.

use crate::failure::Outcome;
use omniid::conditioning::{Conditioning, Role, Step};
use omniid::inject::{Elements, ElementsMut, InjectCall, OutputView, QueryView, ViewLayout};
use omniid::nn::{Initial, TensorSpec};
use omniid::Error;
use std::time::Instant;

/// Side of the latent picture.
pub const LATENT_SIDE: usize = 16;

/// Rows of a batch: the unconditional one first, as in diffusers.
const ROLES: [Role; 2] = [Role::Unconditional, Role::Conditional];

/// One cross-attention layer.
struct Layer {
    index: usize,
    /// Image tokens.
    rows: usize,
    heads: usize,
    head_dim: usize,
    /// `[2, rows, heads * head_dim]`.
    state: Vec<f32>,
    /// The same shape: what the layer's text attention gave, to which injection adds.
    output: Vec<f32>,
}

/// A host between two steps.
pub struct Host {
    /// In the order of execution.
    layers: Vec<Layer>,
}

/// What a step did.
pub struct StepReport {
    /// Noise level.
    pub sigma: f64,
    /// Norm of what was added, relative to the norm of the layers' own output.
    pub conditional: f32,
    pub unconditional: f32,
    pub milliseconds: f64,
}

impl Host {
    /// A host with the layers of a conditioning.
    pub fn new(conditioning: &Conditioning, seed: u64) -> Outcome<Self> {
        let widest = conditioning
            .host()
            .layers()
            .iter()
            .map(|layer| layer.inner)
            .max()
            .unwrap_or(1);
        let mut order: Vec<usize> = (0..conditioning.layer_count()).collect();
        order.sort_by_key(|&index| conditioning.host().layers()[index].execution);
        let layers = order.into_iter().map(|index| {
            let layer = conditioning.host().layer(index)?;
            // Wide layers sit at the coarse level.
            let side = if layer.inner == widest {
                LATENT_SIDE / 2
            } else {
                LATENT_SIDE
            };
            let rows = side * side;
            let random = |what: &str| -> Outcome<Vec<f32>> {
                let shape = [ROLES.len() * rows * layer.inner];
                let spec = TensorSpec::new(format!("{what}.{}", layer.name), &shape, Initial::Normal(1.0));
                Ok(spec.tensor(seed)?.to_vec1::<f32>().map_err(Error::from)?)
            };
            Ok(Layer {
                index,
                rows,
                heads: layer.heads,
                head_dim: layer.head_dim,
                state: random("state")?,
                output: random("output")?,
            })
        });
        Ok(Self {
            layers: layers.collect::<Outcome<_>>()?,
        })
    }

    /// Runs all layers once.
    pub fn step(&mut self, conditioning: &Conditioning, step: u32, steps: u32) -> Outcome<StepReport> {
        let fraction = f64::from(step) / f64::from(steps);
        // The noise levels of a straight flow-matching schedule.
        let sigma = 1.0 - fraction;
        let (mut added, mut own) = ([0f32; 2], [0f32; 2]);
        let start = Instant::now();
        for layer in &mut self.layers {
            let before = layer.output.clone();
            let layout = ViewLayout::rows_first(ROLES.len(), layer.rows, layer.heads, layer.head_dim);
            let query = QueryView::new(Elements::F32(&layer.state), layout)?;
            let output = OutputView::new(ElementsMut::F32(&mut layer.output), layout)?;
            conditioning.inject(InjectCall {
                step: Step {
                    sigma: Some(sigma),
                    fraction: Some(fraction),
                },
                roles: &ROLES,
                latent: Some((LATENT_SIDE, LATENT_SIDE)),
                ..InjectCall::new(layer.index, query, output)
            })?;
            let half = layer.state.len() / ROLES.len();
            for (place, (after, before)) in layer.output.iter_mut().zip(&before).enumerate() {
                let change = *after - before;
                added[place / half] += change * change;
                own[place / half] += before * before;
                layer.state[place] += 0.1 * (*after - layer.state[place]);
                // The next step's text attention does not know of this step's injection.
                *after = *before;
            }
        }
        let relative = |row: usize| (added[row] / own[row]).sqrt();
        Ok(StepReport {
            sigma,
            unconditional: relative(0),
            conditional: relative(1),
            milliseconds: start.elapsed().as_secs_f64() * 1e3,
        })
    }

    /// How much the first layer's conditional queries attend to each token of an identity, averaged over image tokens
    /// and heads: softmax(q Kᵀ / √head_dim) with the keys that a host would take for its own attention.
    pub fn attention_to(&self, conditioning: &Conditioning, identity: usize) -> Outcome<Vec<f32>> {
        let Some(layer) = self.layers.first() else {
            return Ok(Vec::new());
        };
        let Some(keys) = conditioning.keys(layer.index, identity, Role::Conditional)? else {
            return Ok(Vec::new());
        };
        let tokens = keys.dims()[0];
        let keys = keys
            .flatten_all()
            .and_then(|keys| keys.to_vec1::<f32>())
            .map_err(Error::from)?;
        let width = layer.heads * layer.head_dim;
        let mut sum = vec![0f32; tokens];
        let mut scores = vec![0f32; tokens];
        for query in layer.state[layer.rows * width..].chunks_exact(width) {
            for head in 0..layer.heads {
                let part = head * layer.head_dim..(head + 1) * layer.head_dim;
                for (score, key) in scores.iter_mut().zip(keys.chunks_exact(width)) {
                    let dot: f32 = query[part.clone()]
                        .iter()
                        .zip(&key[part.clone()])
                        .map(|(q, k)| q * k)
                        .sum();
                    *score = dot / (layer.head_dim as f32).sqrt();
                }
                let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let total: f32 = scores.iter().map(|score| (score - highest).exp()).sum();
                for (sum, score) in sum.iter_mut().zip(&scores) {
                    *sum += (score - highest).exp() / total;
                }
            }
        }
        let count = (layer.rows * layer.heads) as f32;
        sum.iter_mut().for_each(|value| *value /= count);
        Ok(sum)
    }
}
