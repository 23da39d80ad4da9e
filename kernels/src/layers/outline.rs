//! Networks of placeholders: what a network asks for while it is built, written down.

use super::{Initial, TensorSpec};
use crate::error::Result;
use candle_core::{DType, Device, Tensor, TensorId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// What is below one prefix goes into one list.
#[derive(Clone, Default)]
pub(super) struct List {
    prefix: String,
    outline: Rc<RefCell<Outline>>,
}

/// The tensors of a network of placeholders, in the order in which it asked for them: see
/// [`Weights::outline`](super::Weights::outline).
#[derive(Debug, Default)]
pub struct Outline {
    pub(super) specs: Vec<TensorSpec>,
    places: HashMap<TensorId, usize>,
}

impl Outline {
    /// Name and shape in a checkpoint of a tensor that the network holds; `None` for one that it did not ask for.
    ///
    /// The shape is that of the checkpoint, also for the weight of a convolution, which the layer holds flattened.
    pub fn spec(&self, tensor: &Tensor) -> Option<&TensorSpec> {
        self.specs.get(*self.places.get(&tensor.id())?)
    }
}

impl List {
    /// The same list below another prefix.
    pub fn pp(&self, prefix: &str) -> Self {
        Self {
            prefix: join(&self.prefix, prefix),
            outline: Rc::clone(&self.outline),
        }
    }

    /// All that was written down.
    pub fn take(&self) -> Outline {
        self.outline.take()
    }

    /// A placeholder, written down.
    pub fn push(&self, name: &str, shape: &[usize], initial: Initial, optional: bool) -> Result<Tensor> {
        let tensor = placeholder(shape)?;
        let mut outline = self.outline.borrow_mut();
        let place = outline.specs.len();
        outline.places.insert(tensor.id(), place);
        outline.specs.push(TensorSpec {
            optional,
            ..TensorSpec::new(join(&self.prefix, name), shape, initial)
        });
        Ok(tensor)
    }

    /// `other` is the tensor `known` in another shape.
    pub fn also(&self, known: &Tensor, other: &Tensor) {
        let mut outline = self.outline.borrow_mut();
        if let Some(place) = outline.places.get(&known.id()).copied() {
            outline.places.insert(other.id(), place);
        }
    }
}

/// A tensor of any shape that takes no memory: every element is the same one.
pub(super) fn placeholder(shape: &[usize]) -> Result<Tensor> {
    Ok(Tensor::zeros((), DType::F32, &Device::Cpu)?.broadcast_as(shape)?)
}

pub(super) fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_string()
    } else {
        format!("{prefix}.{name}")
    }
}
