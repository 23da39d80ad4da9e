//! Numbers that stand in a graph, and how they are read when it is written.

use crate::error::{Error, Result};
use crate::tensor_file::Checkpoint;
use candle_core::{DType, Device};
use half::f16;
use omniid_kernels::layers::{Initial, TensorSpec};

/// Weights or constants of a graph.
#[derive(Debug)]
pub(super) struct Initialiser {
    pub name: String,
    /// Dimensions in the graph.
    pub shape: Vec<usize>,
    pub numbers: Numbers,
}

/// Where the numbers come from.
#[derive(Debug)]
pub(super) enum Numbers {
    Float(f32),
    Integers(Vec<i64>),
    /// A tensor of a checkpoint, read when it is written.
    Stored {
        checkpoint: Checkpoint,
        spec: TensorSpec,
        /// Whether rows and columns change places.
        transposed: bool,
        /// Whether it is stored as f16.
        half: bool,
    },
}

impl Initialiser {
    /// Number of bytes that [`Initialiser::bytes`] gives.
    pub fn byte_count(&self) -> Result<usize> {
        let size = match &self.numbers {
            Numbers::Float(_) => 4,
            Numbers::Integers(_) => 8,
            Numbers::Stored { half, .. } => 4 >> usize::from(*half),
        };
        let count = self
            .shape
            .iter()
            .try_fold(size, |product: usize, &size| product.checked_mul(size));
        count.ok_or_else(|| Error::format(format!("tensor {:?}: shape {:?} is too large", self.name, self.shape)))
    }

    /// Whether the numbers are weights, which may lie in a file of their own.
    pub fn is_stored(&self) -> bool {
        matches!(self.numbers, Numbers::Stored { .. })
    }

    /// The numbers, row-major and little-endian.
    ///
    /// # Errors
    /// Those of reading; [`ErrorKind::Format`](crate::ErrorKind::Format) for weights that were never written or are no
    /// numbers; [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for one that f16 cannot hold.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        match &self.numbers {
            Numbers::Float(number) => Ok(number.to_le_bytes().to_vec()),
            Numbers::Integers(numbers) => Ok(numbers.iter().flat_map(|number| number.to_le_bytes()).collect()),
            Numbers::Stored {
                checkpoint,
                spec,
                transposed,
                half,
            } => {
                let constant = matches!(spec.initial, Initial::Constant(_));
                let tensor = checkpoint.read_weights(&spec.name, DType::F32, &Device::Cpu, constant)?;
                let tensor = if *transposed { tensor.t()? } else { tensor };
                let values = tensor.flatten_all()?.to_vec1::<f32>()?;
                if !half {
                    return Ok(values.iter().flat_map(|value| value.to_le_bytes()).collect());
                }
                let mut bytes = Vec::with_capacity(values.len() * 2);
                for value in values {
                    let narrow = f16::from_f32(value);
                    if !narrow.is_finite() {
                        return Err(Error::invalid(format!(
                            "{}: {value} has no place in f16; take f32",
                            self.name
                        )));
                    }
                    bytes.extend(narrow.to_le_bytes());
                }
                Ok(bytes)
            }
        }
    }
}
