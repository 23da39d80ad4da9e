//! The adapter: from identity tokens to each host layer's keys and values.

mod layout;
mod spelling;

#[cfg(test)]
mod tests;

pub use layout::AdapterLayout;
pub use spelling::AdapterSpelling;

pub use omniid_kernels::layers::Linear;

use crate::encoder::{FullFace, FullFaceConfig};
use crate::error::{Error, Result};
use crate::host::HostSpec;
use candle_core::{Device, Tensor};
use omniid_kernels::layers::{TensorSpec, Weights};

/// Key and value projection of one host layer: context tokens `[tokens, context]` to `[tokens, heads * head_dim]`.
#[derive(Debug, Clone)]
pub struct AdapterLayer {
    /// Projection to keys.
    pub to_k: Linear,
    /// Projection to values.
    pub to_v: Linear,
}

/// All weights between an identity's tokens and a host's attention layers. Immutable, usable from any thread.
///
/// A native Omni-ID adapter first maps every identity token to the host's context width, by the network of a full-face
/// IP-Adapter; IP-Adapter and XLabs checkpoints have that step in their encoder, so their adapter starts at the context
/// width. Both parts run once per identity, so their weights stay as the checkpoint stores them
/// ([`Linear::stored`]), and they compute in the dtype of the tokens.
#[derive(Debug, Clone)]
pub struct Adapter {
    projection: Option<FullFace>,
    layers: Vec<AdapterLayer>,
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
        let weights = weights.into().stored();
        let projection = match layout.token_width {
            Some(width) => {
                let sizes = FullFaceConfig::new(width, uniform_context(host)?);
                Some(FullFace::load(&sizes, weights.pp(layout.spelling.projection()))?)
            }
            None => None,
        };
        let layers = host.layers().iter().enumerate().map(|(place, layer)| {
            let side = |side| {
                let name = layout.spelling.prefix(layout.spelling.number_of(place, layer), side);
                weights.linear(&name, layer.context, layer.inner, layout.bias)
            };
            Ok(AdapterLayer {
                to_k: side('k')?,
                to_v: side('v')?,
            })
        });
        Ok(Self {
            projection,
            layers: layers.collect::<Result<_>>()?,
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
        let first = layers.first().and_then(|layer| layer.to_k.weight());
        let device = first.map_or(Device::Cpu, |weight| weight.device().clone());
        Self {
            projection,
            layers,
            device,
        }
    }

    /// The projection of identity tokens to context tokens, if the adapter has one.
    pub fn projection(&self) -> Option<&FullFace> {
        self.projection.as_ref()
    }

    /// The layers, in the order of the host's table.
    pub fn layers(&self) -> &[AdapterLayer] {
        &self.layers
    }

    /// Width of the tokens that the adapter takes.
    pub fn token_width(&self) -> Option<usize> {
        match &self.projection {
            Some(projection) => Some(projection.config().feature_width),
            None => self.layers.first().map(|layer| layer.to_k.input_width()),
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
        if self.layers.len() != host.layer_count() {
            return Err(Error::mismatch(format!(
                "the adapter has {} layers, host {:?} has {}",
                self.layers.len(),
                host.name(),
                host.layer_count()
            )));
        }
        for (layer, wanted) in self.layers.iter().zip(host.layers()) {
            for (side, linear) in [("to_k", &layer.to_k), ("to_v", &layer.to_v)] {
                let found = [linear.output_width(), linear.input_width()];
                if found != [wanted.inner, wanted.context] {
                    return Err(Error::mismatch(format!(
                        "host {:?}, layer {:?}: expected {side} of shape [{}, {}], found {found:?}",
                        host.name(),
                        wanted.name,
                        wanted.inner,
                        wanted.context
                    )));
                }
            }
        }
        Ok(())
    }
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
