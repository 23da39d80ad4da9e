//! The adapter: from identity tokens to each host layer's keys and values.

mod layout;
mod projection;

#[cfg(test)]
mod tests;

pub use layout::{AdapterLayout, AdapterSpelling};
pub use projection::{Affine, TokenProjection};

use crate::error::{Error, Result};
use crate::host::HostSpec;
use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use layout::NATIVE_PROJECTION;

/// Key and value projection of one host layer: context tokens `[tokens, context]` to `[tokens, heads * head_dim]`.
#[derive(Debug, Clone)]
pub struct AdapterLayer {
    /// Projection to keys.
    pub to_k: Affine,
    /// Projection to values.
    pub to_v: Affine,
}

/// All weights between an identity's tokens and a host's attention layers. Immutable, usable from any thread.
///
/// A native Omni-ID adapter first maps every identity token to the host's context width; IP-Adapter and XLabs
/// checkpoints have that step in their encoder, so their adapter starts at the context width.
#[derive(Debug, Clone)]
pub struct Adapter {
    projection: Option<TokenProjection>,
    layers: Vec<AdapterLayer>,
}

impl Adapter {
    /// Reads an adapter for `host`. `vb` is the checkpoint's root; the weights keep its dtype and device. With a
    /// builder over a `VarMap` this makes a new trainable adapter.
    ///
    /// # Errors
    /// [`Mismatch`](crate::ErrorKind::Mismatch) when `layout` does not fit `host`;
    /// [`Format`](crate::ErrorKind::Format) when a tensor is missing or has another shape.
    pub fn load(layout: &AdapterLayout, host: &HostSpec, vb: VarBuilder) -> Result<Self> {
        layout.check_host(host)?;
        let projection = match layout.token_width {
            Some(width) => {
                let context = uniform_context(host)?;
                Some(TokenProjection::load(width, context, vb.pp(NATIVE_PROJECTION))?)
            }
            None => None,
        };
        let layers = host.layers().iter().enumerate().map(|(place, layer)| {
            let number = if layout.spelling == AdapterSpelling::Native {
                place
            } else {
                layer.key
            };
            let side = |side| {
                let vb = vb.pp(layout.spelling.prefix(number, side));
                Affine::load(layer.context, layer.inner, layout.bias, vb)
            };
            Ok(AdapterLayer {
                to_k: side('k')?,
                to_v: side('v')?,
            })
        });
        Ok(Self {
            projection,
            layers: layers.collect::<Result<_>>()?,
        })
    }

    /// An adapter from its parts, layers in the order of the host's table.
    pub fn new(projection: Option<TokenProjection>, layers: Vec<AdapterLayer>) -> Self {
        Self { projection, layers }
    }

    /// The projection of identity tokens to context tokens, if the adapter has one.
    pub fn projection(&self) -> Option<&TokenProjection> {
        self.projection.as_ref()
    }

    /// The layers, in the order of the host's table.
    pub fn layers(&self) -> &[AdapterLayer] {
        &self.layers
    }

    /// Width of the tokens that the adapter takes.
    pub fn token_width(&self) -> Option<usize> {
        match &self.projection {
            Some(projection) => Some(projection.input_width()),
            None => self.layers.first().map(|layer| layer.to_k.input_width()),
        }
    }

    /// Where the weights are.
    pub fn device(&self) -> Option<&Device> {
        self.layers.first().map(|layer| layer.to_k.weight().device())
    }

    /// Identity tokens `[…, tokens, token width]` to context tokens `[…, tokens, context]`.
    ///
    /// # Errors
    /// [`Mismatch`](crate::ErrorKind::Mismatch) when the tokens have another width.
    pub fn context(&self, tokens: &Tensor) -> Result<Tensor> {
        match &self.projection {
            Some(projection) => projection.forward(tokens),
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
            for (side, affine) in [("to_k", &layer.to_k), ("to_v", &layer.to_v)] {
                let found = [affine.output_width(), affine.input_width()];
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

    /// The adapter's tensors under their names in a native checkpoint.
    pub fn to_native(&self) -> Vec<(String, Tensor)> {
        let mut tensors = Vec::new();
        if let Some(projection) = &self.projection {
            tensors.extend(projection.tensors(NATIVE_PROJECTION));
        }
        for (place, layer) in self.layers.iter().enumerate() {
            tensors.extend(layer.to_k.tensors(&AdapterSpelling::Native.prefix(place, 'k')));
            tensors.extend(layer.to_v.tensors(&AdapterSpelling::Native.prefix(place, 'v')));
        }
        tensors
    }

    /// The adapter's tensors as a full-face IP-Adapter, which unmodified `diffusers` and ComfyUI load: the identity's
    /// tokens are then handed to the host as precomputed image embeddings.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) when the adapter has no token projection, so no full-face form,
    /// or has biases, which that format cannot hold; [`Mismatch`](crate::ErrorKind::Mismatch) for another host.
    pub fn to_ip_adapter(&self, host: &HostSpec) -> Result<Vec<(String, Tensor)>> {
        self.check_host(host)?;
        let Some(projection) = &self.projection else {
            return Err(Error::unsupported(
                "writing a full-face IP-Adapter: the adapter has no token projection, so it is no native one",
            ));
        };
        let mut tensors = projection.tensors("image_proj.proj");
        for (layer, place) in self.layers.iter().zip(host.layers()) {
            for (side, affine) in [('k', &layer.to_k), ('v', &layer.to_v)] {
                if affine.bias().is_some() {
                    return Err(Error::unsupported(format!(
                        "writing a full-face IP-Adapter: to_{side} of layer {:?} has a bias, which the format cannot hold",
                        place.name
                    )));
                }
                tensors.extend(affine.tensors(&AdapterSpelling::IpAdapter.prefix(place.key, side)));
            }
        }
        Ok(tensors)
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
