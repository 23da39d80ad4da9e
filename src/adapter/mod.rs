//! The adapter: from identity tokens to each host layer's keys and values.

mod joint;
mod layout;
mod residual;
mod saved_unet;
mod spelling;

#[cfg(test)]
mod tests;

pub use joint::JointLayer;
pub(crate) use joint::EPSILON as JOINT_EPSILON;
pub use layout::AdapterLayout;
pub use residual::{ResidualLayer, ResidualLayout};
pub use spelling::AdapterSpelling;

pub use omniid_kernels::layers::{LayerNorm, Linear};

use crate::encoder::{FullFace, FullFaceConfig};
use crate::error::{Error, Result};
use crate::host::HostSpec;
use candle_core::{Device, Tensor};
use omniid_kernels::layers::{TensorSpec, Weights};

/// One layer: context tokens `[tokens, context]` to keys and values `[tokens, heads * head_dim]`, and, if it adds to the
/// residual stream, what it does with the host's hidden state.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AdapterLayer {
    /// Projection to keys.
    pub to_k: Linear,
    /// Projection to values.
    pub to_v: Linear,
    /// Normalises the tokens before both projections.
    pub token_norm: Option<LayerNorm>,
    /// The host's side of a layer of the residual stream.
    pub residual: Option<ResidualLayer>,
    /// What a layer needs besides that attends to the image's keys and the identity's together.
    pub joint: Option<JointLayer>,
}

impl AdapterLayer {
    /// A layer inside the host's attention: two projections.
    pub fn new(to_k: Linear, to_v: Linear) -> Self {
        Self {
            to_k,
            to_v,
            token_norm: None,
            residual: None,
            joint: None,
        }
    }
}

/// The layers for some of an identity's tokens.
#[derive(Debug, Clone)]
pub struct TokenSet {
    /// How many tokens of each photo are in this set. They follow those of the set before. With a single set this does
    /// not count: it takes all tokens.
    pub tokens: usize,
    /// The layers, in the order of the host's table.
    pub layers: Vec<AdapterLayer>,
}

/// All weights between an identity's tokens and a host's attention layers. Immutable, usable from any thread.
///
/// A native Omni-ID adapter first maps every identity token to the host's context width, by the network of a full-face
/// IP-Adapter; IP-Adapter and XLabs checkpoints have that step in their encoder, so their adapter starts at the context
/// width. Both parts run once per identity, so their weights stay as the checkpoint stores them
/// ([`Linear::stored`]), and they compute in the dtype of the tokens.
///
/// Layers of the residual stream ([`ResidualLayer`]) also have weights that run at every step; on the CPU these are
/// packed for the kernels. WithAnyone has two token sets, whose layers add at the same places.
#[derive(Debug, Clone)]
pub struct Adapter {
    projection: Option<FullFace>,
    sets: Vec<TokenSet>,
    normalises_keys: bool,
    device: Device,
}

impl Adapter {
    /// Reads an adapter for `host`. `weights` is the checkpoint's root; the weights keep its dtype and device. From
    /// variables this makes a trainable adapter.
    ///
    /// # Errors
    /// [`Mismatch`](crate::ErrorKind::Mismatch) when `layout` does not fit `host`;
    /// [`Format`](crate::ErrorKind::Format) when a tensor is missing or has another shape.
    pub fn load<'a>(layout: &AdapterLayout, host: &HostSpec, weights: impl Into<Weights<'a>>) -> Result<Self> {
        layout.check_host(host)?;
        let running = weights.into();
        let weights = running.stored();
        let projection = match layout.token_width {
            Some(width) => {
                let sizes = FullFaceConfig::new(width, uniform_context(host)?);
                Some(FullFace::load(&sizes, weights.pp(layout.spelling.projection()))?)
            }
            None => None,
        };
        let set = |name: Option<&'static str>, tokens: usize| -> Result<TokenSet> {
            let layers = host.layers().iter().enumerate().map(|(place, layer)| {
                let number = layout.spelling.number_of(place, layer);
                if let Some(residual) = &layout.residual {
                    return residual.load_layer(layer, layout.spelling, name, number, &running);
                }
                let side = |side| {
                    let name = layout.spelling.prefix(number, side);
                    weights.linear(&name, layer.context, layer.inner, layout.bias)
                };
                let own = weights.pp(layout.spelling.layer(None, number));
                let joint = layout.joint.map(|width| JointLayer::load(layer, width, &own));
                Ok(AdapterLayer {
                    joint: joint.transpose()?,
                    ..AdapterLayer::new(side('k')?, side('v')?)
                })
            });
            Ok(TokenSet {
                tokens,
                layers: layers.collect::<Result<_>>()?,
            })
        };
        let sets = match &layout.residual {
            None => vec![set(None, 0)?],
            Some(residual) => {
                let tokens = residual.token_sets.iter().copied().chain([0]);
                let sets = residual.set_names().into_iter().zip(tokens);
                sets.map(|(name, tokens)| set(name, tokens)).collect::<Result<_>>()?
            }
        };
        Ok(Self {
            projection,
            sets,
            normalises_keys: layout.normalises_keys(host),
            device: weights.device(),
        })
    }

    /// Every tensor of an adapter of this layout.
    ///
    /// # Errors
    /// [`Mismatch`](crate::ErrorKind::Mismatch) when `layout` does not fit `host`.
    pub fn tensors(layout: &AdapterLayout, host: &HostSpec) -> Result<Vec<TensorSpec>> {
        Weights::list(|weights| Self::load(layout, host, weights))
    }

    /// An adapter from its parts, layers in the order of the host's table.
    pub fn new(projection: Option<FullFace>, layers: Vec<AdapterLayer>) -> Self {
        let set = TokenSet { tokens: 0, layers };
        Self {
            projection,
            ..Self::from_sets(vec![set])
        }
    }

    /// An adapter with several token sets, which add at the same places one after the other.
    pub fn from_sets(sets: Vec<TokenSet>) -> Self {
        let first = sets.first().and_then(|set| set.layers.first());
        let device = first
            .and_then(|layer| layer.to_k.weight())
            .map(|weight| weight.device().clone());
        Self {
            projection: None,
            sets,
            normalises_keys: false,
            device: device.unwrap_or(Device::Cpu),
        }
    }

    /// The same adapter with keys that pass a normalisation without weights or without it; see
    /// [`AdapterLayout::normalises_keys`].
    #[must_use]
    pub fn with_key_norm(mut self, normalises_keys: bool) -> Self {
        self.normalises_keys = normalises_keys;
        self
    }

    /// Whether keys pass a normalisation without weights, per head: x / √(mean x² + 1e-5) over `head_dim`.
    pub fn normalises_keys(&self) -> bool {
        self.normalises_keys
    }

    /// The token sets: one, or the two of WithAnyone.
    pub fn sets(&self) -> &[TokenSet] {
        &self.sets
    }

    /// Whether its layers add to the host's residual stream.
    pub fn is_residual(&self) -> bool {
        self.layers().first().is_some_and(|layer| layer.residual.is_some())
    }

    /// Width of the embedding of the denoising timestep that its layers take; `None` for layers that do not depend on
    /// it. Those that do attend to the image's keys together with the identity's.
    pub fn time_width(&self) -> Option<usize> {
        self.layers().first()?.joint.as_ref().map(JointLayer::time_width)
    }

    /// The projection of identity tokens to context tokens, if the adapter has one.
    pub fn projection(&self) -> Option<&FullFace> {
        self.projection.as_ref()
    }

    /// The layers of the first token set, in the order of the host's table.
    pub fn layers(&self) -> &[AdapterLayer] {
        self.sets.first().map_or(&[], |set| &set.layers)
    }

    /// Width of the tokens that the adapter takes.
    pub fn token_width(&self) -> Option<usize> {
        match &self.projection {
            Some(projection) => Some(projection.config().feature_width),
            None => self.layers().first().map(|layer| layer.to_k.input_width()),
        }
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Identity tokens `[…, tokens, token width]` to context tokens `[…, tokens, context]`.
    ///
    /// # Errors
    /// [`Mismatch`](crate::ErrorKind::Mismatch) when the tokens have another width.
    pub fn context(&self, tokens: &Tensor) -> Result<Tensor> {
        match &self.projection {
            Some(projection) => projection.project(tokens),
            None => Ok(tokens.clone()),
        }
    }

    /// Checks that the adapter has the layers that `host` needs.
    ///
    /// # Errors
    /// [`Mismatch`](crate::ErrorKind::Mismatch) naming the first layer that differs.
    pub fn check_host(&self, host: &HostSpec) -> Result<()> {
        for set in &self.sets {
            check_layers(&set.layers, host)?;
        }
        Ok(())
    }
}

fn check_layers(layers: &[AdapterLayer], host: &HostSpec) -> Result<()> {
    if layers.len() != host.layer_count() {
        return Err(Error::mismatch(format!(
            "the adapter has {} layers, host {:?} has {}",
            layers.len(),
            host.name(),
            host.layer_count()
        )));
    }
    for (layer, wanted) in layers.iter().zip(host.layers()) {
        let mut sides = vec![("to_k", &layer.to_k, [wanted.inner, wanted.context])];
        sides.push(("to_v", &layer.to_v, [wanted.inner, wanted.context]));
        if let Some(residual) = &layer.residual {
            let hidden = wanted.hidden.unwrap_or(residual.norm.width());
            sides.push(("to_q", &residual.to_q, [wanted.inner, hidden]));
            sides.push(("to_out", &residual.to_out, [hidden, wanted.inner]));
        } else if wanted.hidden.is_some() {
            return Err(Error::mismatch(format!(
                "host {:?}, layer {:?}: the adapter's layers add to an attention, not to the residual stream",
                host.name(),
                wanted.name
            )));
        }
        for (side, linear, expected) in sides {
            let found = [linear.output_width(), linear.input_width()];
            if found != expected {
                return Err(Error::mismatch(format!(
                    "host {:?}, layer {:?}: expected {side} of shape {expected:?}, found {found:?}",
                    host.name(),
                    wanted.name
                )));
            }
        }
    }
    Ok(())
}

/// One token projection feeds all layers, so they must agree on the context width.
fn uniform_context(host: &HostSpec) -> Result<usize> {
    let context = host.layer(0)?.context;
    match host.layers().iter().find(|layer| layer.context != context) {
        Some(other) => Err(Error::unsupported(format!(
            "host {:?}: layers {:?} and {:?} have context widths {context} and {}; a native adapter needs one width",
            host.name(),
            host.layers()[0].name,
            other.name,
            other.context
        ))),
        None => Ok(context),
    }
}
