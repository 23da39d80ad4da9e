//! Where the tensors of a network come from while it is built.
//!
//! A network has one constructor, which asks [`Weights`] for every tensor and layer by name, shape and initialisation.
//! When a checkpoint is read, the answer is the stored tensor. When tensors are listed, the answer is a placeholder
//! without memory of its own, and the request is written down. So the constructor is the only description of the
//! network: loading, random weights, checks of key names, the documentation of the keys and graphs for other runtimes
//! follow from it.

use super::outline::{join, placeholder, List, Outline};
use super::{activation_dtype, Initial, LayerNorm, Linear, TensorSpec};
use crate::error::{Error, Result};
use candle_core::{DType, Device, Tensor};
use candle_nn::{Init, VarBuilder};
use std::fmt::Display;

/// The tensors of a network that is being built, below one prefix.
///
/// Made from a [`VarBuilder`], which reads a checkpoint or hands out variables, or by [`Weights::list`]. Names and
/// prefixes are joined with dots. Cheap to clone.
///
/// All methods that return tensors or layers fail with [`ErrorKind::Format`](crate::ErrorKind::Format) when a tensor
/// is missing or has another shape; the message holds the full name.
#[derive(Clone)]
pub struct Weights<'a> {
    source: Source<'a>,
    /// Whether layers keep their tensors as they are stored.
    stored: bool,
    quantised: Quantised,
}

/// What becomes of the matrices of linear layers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quantised {
    /// They have the type that is read.
    No,
    /// They become bytes in blocks, and this is not in one.
    InBlocks,
    /// They become bytes.
    Here,
}

#[derive(Clone)]
enum Source<'a> {
    Read(VarBuilder<'a>),
    List(List),
}

impl<'a> From<VarBuilder<'a>> for Weights<'a> {
    fn from(builder: VarBuilder<'a>) -> Self {
        Self {
            source: Source::Read(builder),
            stored: false,
            quantised: Quantised::No,
        }
    }
}

impl<'a> From<&Weights<'a>> for Weights<'a> {
    fn from(weights: &Weights<'a>) -> Self {
        weights.clone()
    }
}

impl Weights<'static> {
    /// Every tensor that `build` asks for, in the order of the requests. What it builds is dropped.
    ///
    /// A constructor must not compute with whole matrices: a copy of a placeholder takes the memory of the real tensor.
    ///
    /// # Errors
    /// Those of `build`.
    pub fn list<T>(build: impl FnOnce(&Self) -> Result<T>) -> Result<Vec<TensorSpec>> {
        Ok(Self::outline(build)?.1.specs)
    }

    /// A network of placeholders that take no memory, and what each of its tensors is called: for everything that
    /// follows from how a network is put together and not from its numbers.
    ///
    /// # Errors
    /// Those of `build`.
    pub fn outline<T>(build: impl FnOnce(&Self) -> Result<T>) -> Result<(T, Outline)> {
        let list = List::default();
        let network = build(&Self {
            source: Source::List(list.clone()),
            stored: false,
            quantised: Quantised::No,
        })?;
        Ok((network, list.take()))
    }
}

impl<'a> Weights<'a> {
    /// The tensors whose names begin with `prefix` and a dot; all of them for an empty prefix.
    #[must_use]
    pub fn pp(&self, prefix: impl Display) -> Self {
        let prefix = prefix.to_string();
        if prefix.is_empty() {
            return self.clone();
        }
        let source = match &self.source {
            Source::Read(builder) => Source::Read(builder.pp(prefix)),
            Source::List(list) => Source::List(list.pp(&prefix)),
        };
        Self { source, ..*self }
    }

    /// The same tensors in the dtype `dtype`.
    #[must_use]
    pub fn to_dtype(&self, dtype: DType) -> Self {
        let source = match &self.source {
            Source::Read(builder) => Source::Read(builder.to_dtype(dtype)),
            Source::List(list) => Source::List(list.clone()),
        };
        Self { source, ..*self }
    }

    /// The same tensors for layers that keep them as they are stored and compute with candle's operations.
    ///
    /// For layers that run once: packing the weights would cost more than it saves.
    #[must_use]
    pub fn stored(&self) -> Self {
        Self {
            stored: true,
            ..self.clone()
        }
    }

    /// The same weights, read so that the matrices of linear layers below [`block`](Self::block) become bytes with one
    /// scale for each output: see [`PackedMatrix::quantise`](crate::PackedMatrix::quantise).
    ///
    /// On the CPU only, and for inference; elsewhere matrices have the type that is read.
    #[must_use]
    pub fn with_quantised_blocks(&self) -> Self {
        Self {
            quantised: Quantised::InBlocks,
            ..self.clone()
        }
    }

    /// The weights of a transformer's block: the bulk of a network, and the part that rounding harms least. Networks ask
    /// for their blocks in this way; first and last layers stay as they are read.
    #[must_use]
    pub fn block(&self) -> Self {
        let quantised = match self.quantised {
            Quantised::No => Quantised::No,
            Quantised::InBlocks | Quantised::Here => Quantised::Here,
        };
        Self {
            quantised,
            ..self.clone()
        }
    }

    /// Whether tensors are only listed. A constructor that reads part of a checkpoint lists the whole of it.
    pub fn is_list(&self) -> bool {
        matches!(self.source, Source::List(_))
    }

    /// Where the tensors lie.
    pub fn device(&self) -> Device {
        match &self.source {
            Source::Read(builder) => builder.device().clone(),
            Source::List(_) => Device::Cpu,
        }
    }

    /// The dtype of the activations of a network with these weights: see [`activation_dtype`].
    pub fn activation_dtype(&self) -> DType {
        match &self.source {
            Source::Read(builder) => activation_dtype(builder.device(), builder.dtype()),
            Source::List(_) => DType::F32,
        }
    }

    /// A tensor in the dtype of the weights.
    ///
    /// # Errors
    /// See [`Weights`].
    pub fn tensor(&self, name: &str, shape: &[usize], initial: Initial) -> Result<Tensor> {
        match &self.source {
            Source::Read(builder) => read(builder, name, shape, hint(&initial)),
            Source::List(list) => list.push(name, shape, initial, false),
        }
    }

    /// A small tensor (a bias, queries, a position table) in the dtype of the activations.
    ///
    /// # Errors
    /// See [`Weights`].
    pub fn parameter(&self, name: &str, shape: &[usize], initial: Initial) -> Result<Tensor> {
        let tensor = self.tensor(name, shape, initial)?;
        let dtype = activation_dtype(tensor.device(), tensor.dtype());
        Ok(tensor.to_dtype(dtype)?)
    }

    /// A small tensor, as [`Weights::parameter`], that a checkpoint may lack and a new network does not have.
    ///
    /// # Errors
    /// See [`Weights`]; a missing tensor is `None`.
    pub fn optional(&self, name: &str, shape: &[usize]) -> Result<Option<Tensor>> {
        match &self.source {
            Source::Read(builder) if builder.contains_tensor(name) => {
                self.parameter(name, shape, Initial::Constant(0.0)).map(Some)
            }
            Source::Read(_) => Ok(None),
            Source::List(list) => list.push(name, shape, Initial::Constant(0.0), true).map(Some),
        }
    }

    /// A linear layer: `{name}.weight` `[output, input]`, truncated normal with standard deviation 1/√input, and if
    /// `bias`, `{name}.bias` `[output]`, 0.
    ///
    /// # Errors
    /// See [`Weights`].
    pub fn linear(&self, name: &str, input: usize, output: usize, bias: bool) -> Result<Linear> {
        self.linear_from(name, &[output, input], bias, Initial::fan_in(input))
    }

    /// A linear layer with another initialisation, or a convolution as the linear layer of its unfolded windows: the
    /// weight `[output, …]` is flattened to `[output, input]`.
    ///
    /// # Errors
    /// See [`Weights`].
    pub fn linear_from(&self, name: &str, shape: &[usize], bias: bool, initial: Initial) -> Result<Linear> {
        let layer = self.pp(name);
        let weight = layer.tensor("weight", shape, initial)?;
        let output = shape.first().copied().unwrap_or(0);
        let bias = match bias {
            true => Some(layer.parameter("bias", &[output], Initial::Constant(0.0))?),
            false => None,
        };
        if let Source::List(list) = &self.source {
            let flat = placeholder(&[output, shape.iter().skip(1).product()])?;
            list.also(&weight, &flat);
            return Linear::stored(flat, bias);
        }
        let weight = weight.flatten_from(1)?;
        match (self.stored, self.quantised) {
            (true, _) => Linear::stored(weight, bias),
            (false, Quantised::Here) => Linear::quantised(weight, bias),
            (false, _) => Linear::from_tensors(weight, bias),
        }
    }

    /// A layer normalisation: `{name}.weight` `[width]`, 1, and `{name}.bias` `[width]`, 0.
    ///
    /// # Errors
    /// See [`Weights`].
    pub fn layer_norm(&self, name: &str, width: usize, epsilon: f64) -> Result<LayerNorm> {
        let layer = self.pp(name);
        let weight = layer.parameter("weight", &[width], Initial::Constant(1.0))?;
        let bias = layer.parameter("bias", &[width], Initial::Constant(0.0))?;
        Ok(LayerNorm::new(weight, bias, epsilon, self.stored))
    }
}

impl Linear {
    /// Reads `weight [output, input]` and, if asked for, `bias [output]`; see [`Weights::linear`].
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) when one is missing or has another shape.
    pub fn load(input: usize, output: usize, bias: bool, builder: VarBuilder) -> Result<Self> {
        Weights::from(builder).linear("", input, output, bias)
    }
}

impl LayerNorm {
    /// Reads `weight [width]` and `bias [width]`; see [`Weights::layer_norm`].
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) when one is missing or has another shape.
    pub fn load(width: usize, epsilon: f64, builder: VarBuilder) -> Result<Self> {
        Weights::from(builder).layer_norm("", width, epsilon)
    }
}

/// What a builder of new variables needs to know. Training draws its variables from a [`TensorSpec`] instead.
fn hint(initial: &Initial) -> Init {
    let normal = |stdev: f32| Init::Randn {
        mean: 0.0,
        stdev: f64::from(stdev),
    };
    match initial {
        Initial::Constant(value) => Init::Const(f64::from(*value)),
        Initial::Normal(std) | Initial::TruncatedNormal(std) | Initial::Columns { std, .. } => normal(*std),
        // candle cannot express them.
        Initial::Values(_) => normal(1.0),
    }
}

/// Reads a tensor as the [`VarBuilder`] gives it, with an error that names it in full.
pub(super) fn read(builder: &VarBuilder, name: &str, shape: &[usize], hint: Init) -> Result<Tensor> {
    builder
        .get_with_hints(shape, name, hint)
        .map_err(|error| match innermost(&error) {
            candle_core::Error::CannotFindTensor { path } => Error::format(format!(
                "tensor {path:?} is missing; the model needs it with shape {shape:?}"
            )),
            candle_core::Error::UnexpectedShape { expected, got, .. } => Error::format(format!(
                "tensor {:?} has shape {:?}, the model needs {:?}",
                join(&builder.prefix(), name),
                got.dims(),
                expected.dims()
            )),
            // A checkpoint's own error already names the tensor and the file.
            candle_core::Error::WrappedContext { .. } => Error::from(error),
            _ => Error::from(error).context(join(&builder.prefix(), name)),
        })
}

/// The error inside candle's wrappers for backtraces, paths and contexts.
fn innermost(error: &candle_core::Error) -> &candle_core::Error {
    match error {
        candle_core::Error::WithBacktrace { inner, .. }
        | candle_core::Error::WithPath { inner, .. }
        | candle_core::Error::Context { inner, .. } => innermost(inner),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::random_tensors;
    use std::collections::HashMap;

    /// A network as they are written: one constructor.
    struct Network {
        queries: Tensor,
        mean: Option<Tensor>,
        patches: Linear,
        norm: LayerNorm,
    }

    impl Network {
        fn load<'a>(width: usize, weights: impl Into<Weights<'a>>) -> Result<Self> {
            let weights = weights.into();
            let block = weights.pp("blocks").pp(3);
            Ok(Self {
                queries: weights.parameter("queries", &[2, width], Initial::Normal(1.0))?,
                mean: weights.optional("mean", &[width])?,
                patches: block.linear_from("patches", &[width, 3, 2, 2], true, Initial::fan_in(12))?,
                norm: block.layer_norm("norm", width, 1e-5)?,
            })
        }
    }

    #[test]
    fn the_constructor_is_the_description() -> Result<()> {
        let specs = Weights::list(|weights| Network::load(5, weights))?;
        let seen: Vec<_> = specs
            .iter()
            .map(|spec| (spec.name.as_str(), spec.shape.as_slice(), spec.optional))
            .collect();
        let expected: [(&str, &[usize], bool); 6] = [
            ("queries", &[2, 5], false),
            ("mean", &[5], true),
            ("blocks.3.patches.weight", &[5, 3, 2, 2], false),
            ("blocks.3.patches.bias", &[5], false),
            ("blocks.3.norm.weight", &[5], false),
            ("blocks.3.norm.bias", &[5], false),
        ];
        assert_eq!(seen, expected);
        let tensors: HashMap<_, _> = random_tensors(&specs, 1)?.into_iter().collect();
        assert_eq!(tensors.len(), 5, "a new network has no optional tensors");
        let network = Network::load(5, VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu))?;
        assert!(network.mean.is_none());
        assert_eq!((network.patches.input_width(), network.norm.width()), (12, 5));
        assert_eq!(network.queries.dims(), [2, 5]);
        Ok(())
    }

    #[test]
    fn an_outline_knows_the_tensors_of_the_network() -> Result<()> {
        let (network, outline) = Weights::outline(|weights| Network::load(5, weights))?;
        let name = |tensor: &Tensor| outline.spec(tensor).map(|spec| (spec.name.clone(), spec.shape.len()));
        assert_eq!(name(&network.queries), Some(("queries".to_string(), 2)));
        assert_eq!(name(network.mean.as_ref().unwrap()), Some(("mean".to_string(), 1)));
        let (weight, bias) = (network.patches.weight().unwrap(), network.patches.bias().unwrap());
        assert_eq!(name(weight), Some(("blocks.3.patches.weight".to_string(), 4)));
        assert_eq!(name(bias), Some(("blocks.3.patches.bias".to_string(), 1)));
        assert_eq!(
            name(network.norm.weight()),
            Some(("blocks.3.norm.weight".to_string(), 1))
        );
        assert_eq!(name(network.norm.bias()), Some(("blocks.3.norm.bias".to_string(), 1)));
        assert_eq!(name(&placeholder(&[5])?), None);
        Ok(())
    }

    #[test]
    fn a_list_takes_no_memory() -> Result<()> {
        let specs = Weights::list(|weights| weights.linear("huge", 1 << 20, 1 << 20, false))?;
        assert_eq!(specs[0].shape, [1 << 20, 1 << 20]);
        Ok(())
    }
}
