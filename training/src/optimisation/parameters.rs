//! The tensors that a run trains, by the names they have in a checkpoint.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Shape, Tensor, Var};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use omniid::checkpoint::Checkpoint;
use omniid::{Error, Result};
use omniid_kernels::layers::TensorSpec;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap};

/// Parts of a model that are trained alike.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterGroup {
    /// A name for metrics and messages: "encoder", "decoder".
    pub name: String,
    /// Multiplies the learning rate. 0 keeps the group as it is: its tensors are constants, without gradient.
    pub rate: f64,
    /// Weight decay of those tensors of the group that decay.
    pub weight_decay: f64,
}

/// One tensor of a model to be trained.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    /// Name, shape and start.
    pub spec: TensorSpec,
    /// Place of its group.
    pub group: usize,
    /// Whether weight decay applies: to matrices, not to vectors, positions and queries.
    pub decays: bool,
    /// Whether it is trained; otherwise it keeps its start.
    pub trained: bool,
}

/// A tensor and how it is trained.
pub struct Parameter {
    /// Place of its group.
    pub group: usize,
    /// Whether weight decay applies.
    pub decays: bool,
    value: Value,
}

enum Value {
    Variable(Var),
    Constant(Tensor),
}

impl Parameter {
    /// The tensor. For a trained parameter it shares its memory with the variable.
    pub fn tensor(&self) -> &Tensor {
        match &self.value {
            Value::Variable(variable) => variable.as_tensor(),
            Value::Constant(tensor) => tensor,
        }
    }

    /// The variable, if the parameter is trained.
    pub fn variable(&self) -> Option<&Var> {
        match &self.value {
            Value::Variable(variable) => Some(variable),
            Value::Constant(_) => None,
        }
    }
}

/// All tensors of a model, sorted by name, f32 on one device.
pub struct Parameters {
    device: Device,
    entries: BTreeMap<String, Parameter>,
}

impl Parameters {
    /// Draws every tensor's start from `seed`.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](omniid::ErrorKind::Internal) for two tensors of one name;
    /// [`ErrorKind::Device`](omniid::ErrorKind::Device) from the GPU.
    pub fn new(specs: &[ParameterSpec], groups: &[ParameterGroup], seed: u64, device: &Device) -> Result<Self> {
        let mut entries = BTreeMap::new();
        for item in specs {
            let tensor = item.spec.tensor(seed)?.to_device(device)?;
            let moves = groups.get(item.group).is_some_and(|group| group.rate > 0.0);
            let value = if item.trained && moves {
                Value::Variable(Var::from_tensor(&tensor)?)
            } else {
                Value::Constant(tensor)
            };
            let parameter = Parameter {
                group: item.group,
                decays: item.decays,
                value,
            };
            if entries.insert(item.spec.name.clone(), parameter).is_some() {
                return Err(Error::internal(format!(
                    "two parameters are called {:?}",
                    item.spec.name
                )));
            }
        }
        Ok(Self {
            device: device.clone(),
            entries,
        })
    }

    /// Where the tensors lie.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Names and tensors, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Parameter)> {
        self.entries.iter().map(|(name, parameter)| (name.as_str(), parameter))
    }

    /// Names and variables of the trained tensors, by name.
    pub fn trained(&self) -> impl Iterator<Item = (&str, &Parameter, &Var)> {
        self.iter()
            .filter_map(|(name, parameter)| parameter.variable().map(|variable| (name, parameter, variable)))
    }

    /// The tensor `name`.
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.entries.get(name)
    }

    /// Numbers in all tensors.
    pub fn count(&self) -> usize {
        self.iter().map(|(_, parameter)| parameter.tensor().elem_count()).sum()
    }

    /// Copies `tensor` into the parameter `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](omniid::ErrorKind::Mismatch) when there is no such parameter or its shape differs.
    pub fn set(&mut self, name: &str, tensor: &Tensor) -> Result<()> {
        let device = self.device.clone();
        let parameter = self
            .entries
            .get_mut(name)
            .ok_or_else(|| Error::mismatch(format!("the model has no tensor {name:?}")))?;
        if parameter.tensor().dims() != tensor.dims() {
            return Err(Error::mismatch(format!(
                "tensor {name:?} has shape {:?}, the model needs {:?}",
                tensor.dims(),
                parameter.tensor().dims()
            )));
        }
        let tensor = tensor.to_dtype(DType::F32)?.to_device(&device)?;
        match &mut parameter.value {
            Value::Variable(variable) => Ok(variable.set(&tensor.contiguous()?)?),
            Value::Constant(constant) => {
                *constant = tensor;
                Ok(())
            }
        }
    }

    /// Takes over every tensor of `checkpoint` whose name and shape fit, and says which.
    ///
    /// A CLIP vision model's tensors (`vision_model.…`) are those of the image encoder (`backbone.vision_model.…`), those
    /// of a host's own file the host's (`host.…`); a training state's averaged weights (`average/…`) are its weights.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](omniid::ErrorKind::Mismatch) when nothing fits.
    pub fn start_from(&mut self, checkpoint: &Checkpoint) -> Result<Vec<String>> {
        let shapes = self
            .iter()
            .map(|(name, parameter)| (name.to_string(), parameter.tensor().dims().to_vec()))
            .collect::<Vec<_>>();
        let mut taken = Vec::new();
        for (name, shape) in shapes {
            let part = name.strip_prefix("backbone.").or_else(|| name.strip_prefix("host."));
            let alone = part.unwrap_or(&name);
            let candidates = [
                format!("average/{name}"),
                format!("weight/{name}"),
                name.clone(),
                alone.to_string(),
            ];
            let found = candidates
                .iter()
                .find(|candidate| checkpoint.shape(candidate) == Some(shape.as_slice()));
            if let Some(found) = found {
                self.set(&name, &checkpoint.tensor(found, DType::F32, &Device::Cpu)?)?;
                taken.push(name);
            }
        }
        if taken.is_empty() {
            return Err(Error::mismatch(format!(
                "{}: none of its tensors has name and shape of one of the model",
                checkpoint.label()
            )));
        }
        Ok(taken)
    }

    /// The sums of the trained tensors' gradients in two stores. A gradient that only one of them has stays as it is.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](omniid::ErrorKind::Device) from the GPU.
    pub(crate) fn add_gradients(&self, mut sum: GradStore, other: &GradStore) -> Result<GradStore> {
        let trained = self.trained().map(|(_, _, variable)| variable).collect::<Vec<_>>();
        let add = |variable: &&Var| -> Result<Option<Tensor>> {
            Ok(match (sum.get(variable), other.get(variable)) {
                (Some(a), Some(b)) => Some((a + b)?),
                (None, Some(b)) => Some(b.clone()),
                (_, None) => None,
            })
        };
        let sums: Vec<_> = if self.device.is_cpu() {
            trained.par_iter().map(add).collect::<Result<_>>()?
        } else {
            trained.iter().map(add).collect::<Result<_>>()?
        };
        for (variable, gradient) in trained.into_iter().zip(sums) {
            if let Some(gradient) = gradient {
                sum.insert(variable, gradient);
            }
        }
        Ok(sum)
    }

    /// A builder that hands out the parameters themselves: what is loaded from it trains.
    pub fn builder(&self) -> VarBuilder<'static> {
        let tensors = self
            .iter()
            .map(|(name, parameter)| (name.to_string(), parameter.tensor().clone()))
            .collect();
        VarBuilder::from_backend(Box::new(Exact(tensors)), DType::F32, self.device.clone())
    }
}

/// Hands out tensors by name and refuses other names and shapes.
struct Exact(HashMap<String, Tensor>);

impl SimpleBackend for Exact {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        let tensor = self.get_unchecked(name, dtype, device)?;
        if tensor.shape() != &shape {
            return Err(candle_core::Error::UnexpectedShape {
                msg: format!("shape of {name}"),
                expected: shape,
                got: tensor.shape().clone(),
            });
        }
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        // Neither converted nor copied: a copy would be no variable.
        self.0
            .get(name)
            .cloned()
            .ok_or_else(|| candle_core::Error::CannotFindTensor { path: name.to_string() })
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use omniid_kernels::layers::{Initial, Linear};

    fn groups() -> Vec<ParameterGroup> {
        [("encoder", 1.0), ("fixed", 0.0)]
            .map(|(name, rate)| ParameterGroup {
                name: name.to_string(),
                rate,
                weight_decay: 0.0,
            })
            .into()
    }

    fn spec(name: &str, shape: &[usize], group: usize) -> ParameterSpec {
        ParameterSpec {
            spec: TensorSpec::new(name, shape, Initial::Normal(1.0)),
            group,
            decays: false,
            trained: true,
        }
    }

    #[test]
    fn what_is_built_shares_memory_with_the_parameters() -> Result<()> {
        let specs = [spec("a.weight", &[2, 3], 0), spec("b", &[2], 1)];
        let mut parameters = Parameters::new(&specs, &groups(), 1, &Device::Cpu)?;
        assert_eq!(parameters.count(), 8);
        assert_eq!(
            parameters.trained().map(|(name, _, _)| name).collect::<Vec<_>>(),
            ["a.weight"]
        );
        let layer = Linear::load(3, 2, false, parameters.builder().pp("a"))?;
        parameters.set("a.weight", &Tensor::ones((2, 3), DType::F32, &Device::Cpu)?)?;
        let y = layer.forward(&Tensor::ones((1, 3), DType::F32, &Device::Cpu)?)?;
        assert_eq!(y.to_vec2::<f32>()?, [[3.0, 3.0]]);
        assert!(y.track_op());
        assert!(Linear::load(4, 2, false, parameters.builder().pp("a")).is_err());
        assert!(parameters.set("c", &y).is_err() && parameters.set("b", &y).is_err());
        Ok(())
    }

    #[test]
    fn gradients_of_two_losses_add_up() -> Result<()> {
        let specs = ["both", "first", "second", "neither"].map(|name| spec(name, &[2], 0));
        let parameters = Parameters::new(&specs, &groups(), 1, &Device::Cpu)?;
        let builder = parameters.builder();
        let tensor = |name: &str| builder.get(2, name);
        let slope = |name: &str, by: f64| -> candle_core::Result<Tensor> { (tensor(name)? * by)?.sum_all() };
        let one = (slope("both", 2.0)? + slope("first", 3.0)?)?.backward()?;
        let other = (slope("both", 5.0)? + slope("second", 7.0)?)?.backward()?;
        let sum = parameters.add_gradients(one, &other)?;
        let expected = [
            ("both", Some(7.0)),
            ("first", Some(3.0)),
            ("second", Some(7.0)),
            ("neither", None),
        ];
        for (name, expected) in expected {
            let found = sum.get(&tensor(name)?).map(|gradient| gradient.to_vec1::<f32>());
            assert_eq!(found.transpose()?, expected.map(|value| vec![value; 2]), "{name}");
        }
        Ok(())
    }

    #[test]
    fn a_start_takes_what_fits() -> Result<()> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("start.safetensors");
        let ones = |shape: &[usize]| Tensor::ones(shape, DType::F32, &Device::Cpu);
        let file = [
            ("vision_model.x".to_string(), ones(&[2])?),
            ("average/decoder.y".to_string(), ones(&[3])?),
            ("encoder.z".to_string(), ones(&[4])?),
            ("conv_in.bias".to_string(), ones(&[6])?),
        ];
        omniid::checkpoint::write_safetensors(&path, &file, &BTreeMap::new())?;
        let checkpoint = Checkpoint::open(&path, &omniid::Limits::default())?;
        let specs = [
            spec("backbone.vision_model.x", &[2], 0),
            spec("decoder.y", &[3], 0),
            spec("encoder.z", &[5], 0),
            spec("host.conv_in.bias", &[6], 0),
        ];
        let mut parameters = Parameters::new(&specs, &groups(), 1, &Device::Cpu)?;
        assert_eq!(
            parameters.start_from(&checkpoint)?,
            ["backbone.vision_model.x", "decoder.y", "host.conv_in.bias"]
        );
        let value = |name: &str| parameters.get(name).expect("it is there").tensor().to_vec1::<f32>();
        assert_eq!(value("decoder.y")?, [1.0; 3]);
        let mut others = Parameters::new(&specs[2..3], &groups(), 1, &Device::Cpu)?;
        assert!(others.start_from(&checkpoint).is_err());
        Ok(())
    }
}
