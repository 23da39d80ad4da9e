//! A [`VarBuilder`] over a checkpoint, and the record of which tensors a model took.

use super::{element, Checkpoint};
use crate::error::{Error, Result};
use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use omniid_kernels::layers::Weights;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Remembers which tensors of a checkpoint were read through its [`VarBuilder`].
///
/// A model that reads its checkpoint completely leaves nothing unused; what is left is a key that the model does
/// not know. Clones share the record. Usable from any thread.
#[derive(Debug, Clone)]
pub struct UsageTracker {
    checkpoint: Checkpoint,
    used: Arc<Mutex<BTreeSet<String>>>,
}

impl UsageTracker {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // A set of strings stays whole whatever happened to a thread that held it.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts `name` as used, for a tensor that is deliberately not read.
    pub fn mark(&self, name: &str) {
        self.lock().insert(name.to_string());
    }

    /// The tensors that nothing has read yet, by their names in the file, sorted.
    pub fn unused(&self) -> Vec<String> {
        let used = self.lock();
        let unused: BTreeSet<&str> = self
            .checkpoint
            .names()
            .filter(|name| !used.contains(*name))
            .filter_map(|name| self.checkpoint.origin(name))
            .collect();
        unused.into_iter().map(str::to_string).collect()
    }

    /// Nothing may be left over.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) naming the first unused tensors and their number.
    pub fn expect_all_used(&self) -> Result<()> {
        let unused = self.unused();
        let Some(first) = unused.first() else {
            return Ok(());
        };
        let shown = unused
            .iter()
            .take(5)
            .map(|name| format!("{name:?}"))
            .collect::<Vec<_>>()
            .join(", ");
        let file = self.checkpoint.label();
        Err(Error::format(if unused.len() == 1 {
            format!("{file}: unknown tensor {first:?}: no part of the model reads it")
        } else {
            format!(
                "{file}: {} unknown tensors that no part of the model reads: {shown}",
                unused.len()
            )
        }))
    }
}

/// Reads tensors and takes note of them.
struct Backend {
    tracker: UsageTracker,
    /// Whether a matrix may be zero or another constant.
    allow_constant: bool,
}

impl Backend {
    fn load(&self, shape: Option<&[usize]>, name: &str, dtype: DType, device: &Device, vary: bool) -> Result<Tensor> {
        let checkpoint = &self.tracker.checkpoint;
        let info = checkpoint.require(name)?;
        if let Some(expected) = shape.filter(|expected| *expected != info.shape) {
            return Err(Error::format(format!(
                "{}: tensor {} has shape {:?}, expected {expected:?}",
                checkpoint.label(),
                checkpoint.quoted(name),
                info.shape
            )));
        }
        if !element::is_float(info.dtype) {
            // Quantised or misnamed: read as plain numbers, the model would compute nonsense.
            return Err(Error::format(format!(
                "{}: tensor {} has elements of type {:?}, expected f32, f16, bf16 or f64",
                checkpoint.label(),
                checkpoint.quoted(name),
                info.dtype
            )));
        }
        let tensor = checkpoint.read_weights(name, dtype, device, !vary)?;
        self.tracker.mark(name);
        Ok(tensor)
    }
}

impl SimpleBackend for Backend {
    fn get(&self, s: Shape, name: &str, init: Init, dtype: DType, dev: &Device) -> candle_core::Result<Tensor> {
        // What a new network draws at random must not be the same everywhere in a trained one.
        let vary = !matches!(init, Init::Const(_)) && !self.allow_constant;
        self.load(Some(s.dims()), name, dtype, dev, vary)
            .map_err(Error::into_candle)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, dev: &Device) -> candle_core::Result<Tensor> {
        self.load(None, name, dtype, dev, false).map_err(Error::into_candle)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.tracker.checkpoint.contains(name)
    }
}

impl Checkpoint {
    /// A builder that reads weights as `dtype` (f32, f16 or bf16) onto `device`, and the record of what was read.
    ///
    /// Files are read block by block, so resident memory holds the weights once. An error that names the key are: a
    /// missing key, another shape than asked for, whole numbers, and weights that were never written: a matrix that is
    /// zero (or another number) everywhere though a new network draws it at random, a hole of zeros in one, weights
    /// that are not finite. It reaches the caller as an [`Error`] of kind [`Format`](crate::ErrorKind::Format) when the
    /// candle error is converted with `?`.
    pub fn var_builder(&self, dtype: DType, device: &Device) -> (VarBuilder<'static>, UsageTracker) {
        self.builder(dtype, device, false)
    }

    fn builder(&self, dtype: DType, device: &Device, allow_constant: bool) -> (VarBuilder<'static>, UsageTracker) {
        let tracker = UsageTracker {
            checkpoint: self.clone(),
            used: Arc::default(),
        };
        let backend: Box<dyn SimpleBackend> = Box::new(Backend {
            tracker: tracker.clone(),
            allow_constant,
        });
        (VarBuilder::new_with_args(backend, dtype, device), tracker)
    }
}

impl Checkpoint {
    /// Builds a network from the tensors, as `dtype` on `device`, and refuses tensors that it does not know: a misspelt
    /// key must not go unnoticed.
    ///
    /// `build` is called twice, the second time to list its tensors. A network may read less than it lists.
    ///
    /// # Errors
    /// Those of `build`; [`ErrorKind::Format`](crate::ErrorKind::Format) naming the unknown tensors.
    pub fn build<T>(&self, dtype: DType, device: &Device, build: impl Fn(&Weights<'static>) -> Result<T>) -> Result<T> {
        self.build_from(self.var_builder(dtype, device), build)
    }

    /// [`Checkpoint::build`] for a network of which whole layers may be zero: those that nobody needs.
    ///
    /// # Errors
    /// As [`Checkpoint::build`].
    pub(crate) fn build_with_empty_layers<T>(
        &self,
        dtype: DType,
        device: &Device,
        build: impl Fn(&Weights<'static>) -> Result<T>,
    ) -> Result<T> {
        self.build_from(self.builder(dtype, device, true), build)
    }

    fn build_from<T>(
        &self,
        (builder, usage): (VarBuilder<'static>, UsageTracker),
        build: impl Fn(&Weights<'static>) -> Result<T>,
    ) -> Result<T> {
        let network = build(&builder.into())?;
        for spec in Weights::list(build)? {
            usage.mark(&spec.name);
        }
        usage.expect_all_used()?;
        Ok(network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::limits::Limits;
    use crate::tensor_file::safetensors_to_bytes;

    fn sample() -> Checkpoint {
        let tensor = |shape: (usize, usize)| {
            let count = shape.0 * shape.1;
            Tensor::arange(0f32, count as f32, &Device::Cpu)
                .unwrap()
                .reshape(shape)
                .unwrap()
        };
        let tensors = [
            ("a.weight".to_string(), tensor((2, 3))),
            ("b.weight".to_string(), tensor((4, 1))),
        ];
        let bytes = safetensors_to_bytes(&tensors, &Default::default()).unwrap();
        Checkpoint::open(bytes, &Limits::default()).unwrap()
    }

    #[test]
    fn reads_and_remembers() {
        let (builder, usage) = sample().var_builder(DType::F16, &Device::Cpu);
        assert_eq!(usage.unused(), ["a.weight", "b.weight"]);
        let a = builder.pp("a").get((2, 3), "weight").unwrap();
        assert_eq!(a.dtype(), DType::F16);
        let values = a.to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(values, [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]);
        assert_eq!(usage.unused(), ["b.weight"]);
        let error = usage.expect_all_used().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format);
        assert!(error.message().contains("\"b.weight\""), "{error}");
        usage.mark("b.weight");
        usage.expect_all_used().unwrap();
    }

    #[test]
    fn wrong_shape_and_missing_key_are_format_errors_that_name_the_key() {
        let (builder, usage) = sample().var_builder(DType::F32, &Device::Cpu);
        let error = Error::from(builder.pp("a").get((3, 2), "weight").unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Format);
        for part in ["\"a.weight\"", "[2, 3]", "[3, 2]"] {
            assert!(error.message().contains(part), "{error}");
        }
        let error = Error::from(builder.pp("a").get(3, "bias").unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Format);
        assert!(error.message().contains("\"a.bias\""), "{error}");
        assert!(builder.contains_tensor("a.weight") && !builder.contains_tensor("a.bias"));
        assert_eq!(usage.unused().len(), 2);
    }
}
