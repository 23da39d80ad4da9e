//! Whether an adapter checkpoint fits a host, and which host it was made for.

use super::{BlockKind, HostFamily, HostLayer, HostSpec};
use crate::error::{Error, Result};

/// The projection of one layer as a checkpoint stores it: `[inner, context]` under index `key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerShape {
    /// Index in the checkpoint.
    pub key: usize,
    /// Rows of `to_k` and `to_v`: attention width.
    pub inner: usize,
    /// Columns of `to_k` and `to_v`: width of the context tokens.
    pub context: usize,
}

/// How many heads the layers of an unknown host have. A checkpoint does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heads {
    /// The same number in every layer.
    Count(usize),
    /// As many as the attention width holds of this head width.
    Dim(usize),
    /// One number per layer, in checkpoint order.
    PerLayer(Vec<usize>),
}

impl HostSpec {
    /// The built-in host whose table has exactly these shapes, if any.
    pub fn recognise(shapes: &[LayerShape]) -> Option<Self> {
        Self::built_in()
            .into_iter()
            .find(|host| host.check_shapes(shapes).is_ok())
    }

    /// A host with the shapes of a checkpoint, for models of any size. Layers are called `layers.{key}`, block
    /// kinds are unknown, and execution order is taken to be checkpoint order; a host that needs more hands in its
    /// own table or its configuration.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when `heads` does not divide a layer's width or has
    /// another length than the checkpoint has layers, and as [`from_layers`](Self::from_layers).
    pub fn from_shapes(name: &str, shapes: &[LayerShape], heads: &Heads) -> Result<Self> {
        let mut sorted = shapes.to_vec();
        sorted.sort_by_key(|shape| shape.key);
        if let Heads::PerLayer(counts) = heads {
            if counts.len() != sorted.len() {
                return Err(Error::invalid(format!(
                    "{} head counts for {} layers of the checkpoint",
                    counts.len(),
                    sorted.len()
                )));
            }
        }
        let layers = sorted.iter().enumerate().map(|(i, shape)| {
            let count = match heads {
                Heads::Count(count) => *count,
                Heads::Dim(dim) => shape.inner.checked_div(*dim).unwrap_or(0),
                Heads::PerLayer(counts) => counts[i],
            };
            let head_dim = shape.inner.checked_div(count).unwrap_or(0);
            let layer = HostLayer::new(format!("layers.{}", shape.key), count, head_dim, shape.context);
            if layer.inner != shape.inner || matches!(heads, Heads::Dim(dim) if *dim != head_dim) {
                return Err(Error::invalid(format!(
                    "checkpoint layer {}: width {} cannot be shared by the heads asked for ({heads:?})",
                    shape.key, shape.inner
                )));
            }
            Ok(HostLayer {
                kind: BlockKind::Other,
                key: shape.key,
                execution: i,
                ..layer
            })
        });
        Self::from_layers(name, HostFamily::Other, layers.collect::<Result<_>>()?)
    }

    /// The table under the numbers of a checkpoint. A [custom](Self::custom) table counts its layers from 0; public
    /// adapters of UNets count attention processors, so that cross-attention has the odd numbers 1, 3, 5, … Where a
    /// checkpoint of as many layers is numbered that way, the table takes its numbers. Any other table stays as it is.
    pub(crate) fn numbered_as(mut self, shapes: &[LayerShape]) -> Self {
        let counts_layers = self.layers.iter().enumerate().all(|(i, layer)| layer.key == i);
        let odd = |i: usize| shapes.iter().any(|shape| shape.key == 2 * i + 1);
        if counts_layers && shapes.len() == self.layers.len() && (0..shapes.len()).all(odd) {
            for (i, layer) in self.layers.iter_mut().enumerate() {
                layer.key = 2 * i + 1;
            }
        }
        self
    }

    /// Checks that a checkpoint's projections are exactly those that this host needs.
    ///
    /// # Errors
    /// [`Mismatch`](crate::ErrorKind::Mismatch) naming the first layer that differs, what the host needs and what
    /// the checkpoint holds.
    pub fn check_shapes(&self, shapes: &[LayerShape]) -> Result<()> {
        for layer in self.layers() {
            let wanted = LayerShape {
                key: layer.key,
                inner: layer.inner,
                context: layer.context,
            };
            let place = format!(
                "host {:?}, layer {:?} (checkpoint index {})",
                self.name(),
                layer.name,
                layer.key
            );
            match shapes.iter().find(|shape| shape.key == layer.key) {
                None => {
                    return Err(Error::mismatch(format!(
                        "{place}: the checkpoint has no such layer; it has {} layers, the host {}",
                        shapes.len(),
                        self.layer_count()
                    )));
                }
                Some(shape) if *shape != wanted => {
                    return Err(Error::mismatch(format!(
                        "{place}: expected keys and values of shape [{}, {}], found [{}, {}]",
                        wanted.inner, wanted.context, shape.inner, shape.context
                    )));
                }
                Some(_) => {}
            }
        }
        let known = |key: usize| self.layers().iter().any(|layer| layer.key == key);
        match shapes.iter().find(|shape| !known(shape.key)) {
            Some(extra) => Err(Error::mismatch(format!(
                "the checkpoint has a layer with index {} of shape [{}, {}], which host {:?} with its {} layers does not have",
                extra.key,
                extra.inner,
                extra.context,
                self.name(),
                self.layer_count()
            ))),
            None => Ok(()),
        }
    }
}
