//! What a picture shows beside the identity: as context tokens, the UNet's `encoder_hidden_states`, and as a map,
//! further channels of its input.

use crate::View;
use candle_core::Tensor;
use candle_nn::VarBuilder;
use omniid::{Error, Result};
use omniid_kernels::layers::{Activation, Initial, Linear, TensorSpec};

/// A two-layer network from the numbers of [`View::to_vector`] to a number of tokens.
///
/// It makes the context tokens. A second one makes the map, which tells every place of the picture apart: a turned head
/// lies elsewhere, and a UNet that has to find that out from global numbers alone learns it late.
///
/// Tensors `0.weight` `[hidden, 46]`, `0.bias`, `2.weight` `[tokens · width, hidden]`, `2.bias`, with SiLU between.
#[derive(Debug, Clone)]
pub struct ContextEncoder {
    first: Linear,
    second: Linear,
    tokens: usize,
}

impl ContextEncoder {
    /// Names, shapes and starts of the tensors.
    pub fn tensors(hidden: usize, tokens: usize, width: usize) -> Vec<TensorSpec> {
        let zero = |name: &str, width| TensorSpec::new(name, &[width], Initial::Constant(0.0));
        vec![
            TensorSpec::linear("0.weight", hidden, View::LENGTH),
            zero("0.bias", hidden),
            TensorSpec::linear("2.weight", tokens * width, hidden),
            zero("2.bias", tokens * width),
        ]
    }

    /// Reads the network; variables make it trainable.
    ///
    /// # Errors
    /// [`Format`](omniid::ErrorKind::Format) naming a tensor that is missing or has another shape.
    pub fn load(hidden: usize, tokens: usize, width: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            first: Linear::load(View::LENGTH, hidden, true, vb.pp("0"))?.with_activation(Activation::Silu),
            second: Linear::load(hidden, tokens * width, true, vb.pp("2"))?,
            tokens,
        })
    }

    /// `views` `[batch, 46]` to `[batch, tokens, width]`. As a map: one token for each place of the UNet's input, row
    /// by row.
    ///
    /// # Errors
    /// [`Mismatch`](omniid::ErrorKind::Mismatch) for vectors of another length.
    pub fn forward(&self, views: &Tensor) -> Result<Tensor> {
        let &[batch, View::LENGTH] = views.dims() else {
            return Err(Error::mismatch(format!(
                "views of shape {:?}, expected [batch, {}]",
                views.dims(),
                View::LENGTH
            )));
        };
        let flat = self.second.forward(&self.first.forward(views)?)?;
        let width = self.second.output_width() / self.tokens;
        Ok(flat.reshape((batch, self.tokens, width))?)
    }
}
