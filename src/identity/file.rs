//! The `.omniid` file: an identity as safetensors, without pickle.
//!
//! | entry | content |
//! |---|---|
//! | tensor `tokens` | f32, f16 or bf16 `[tokens, width]` |
//! | tensor `features.{i}` | the same type, `[feature tokens, feature width]` of photo `i`; all photos or none |
//! | metadata `omniid.identity` | format version, `1` |
//! | metadata `omniid.encoder` | encoder kind, see [`EncoderKind::name`] |
//! | metadata `omniid.model` | fingerprint of the model that made it |
//! | metadata `omniid.photos` | number of photos |
//! | metadata `omniid.label`, `omniid.created`, `omniid.consent` | text to show |
//!
//! A reader refuses unknown tensors and unknown versions. Saving replaces the file in one step or not at all.

use super::{Identity, Provenance};
use crate::encoder::EncoderKind;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::precision::Precision;
use crate::remedy;
use crate::tensor_file::{self, Checkpoint, Source};
use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Version of the format, in metadata under [`VERSION_KEY`].
pub const VERSION: u32 = 1;

/// Metadata key that marks a safetensors file as an identity.
pub const VERSION_KEY: &str = "omniid.identity";

/// Named tensors and metadata of a file.
type Parts = (Vec<(String, Tensor)>, BTreeMap<String, String>);

impl Identity {
    /// Writes the identity to `path` in f32, replacing what was there in one step.
    ///
    /// f32 is exact: extending a loaded identity equals encoding all photos at once.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) naming the path. The old file is untouched then.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_as(path, Precision::F32)
    }

    /// [`Identity::save`] in another number type: half the size, tokens and features rounded to it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) naming the path;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a value beyond the range of the type. The old file
    /// is untouched then.
    pub fn save_as(&self, path: impl AsRef<Path>, precision: Precision) -> Result<()> {
        let (tensors, metadata) = self.parts(precision)?;
        tensor_file::write_safetensors(path.as_ref(), &tensors, &metadata)
    }

    /// The bytes that [`Identity::save_as`] writes.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a value beyond the range of the number type.
    pub fn to_bytes(&self, precision: Precision) -> Result<Vec<u8>> {
        let (tensors, metadata) = self.parts(precision)?;
        tensor_file::safetensors_to_bytes(&tensors, &metadata)
    }

    /// Reads an identity from a file, or from the bytes of one.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) or [`ErrorKind::Format`](crate::ErrorKind::Format), naming the path
    /// and what is wrong.
    pub fn load(source: impl Into<Source>, limits: &Limits) -> Result<Self> {
        let source = source.into();
        if let Some(path) = source.path().filter(|path| path.is_dir()) {
            return Err(Error::invalid(format!(
                "{}: is a folder, expected an identity file (.omniid)",
                path.display()
            )));
        }
        let file = Checkpoint::open(source, limits)?;
        read(&file, limits).map_err(|error| match file.path() {
            Some(path) => error.context(path.display()),
            None => error,
        })
    }

    fn parts(&self, precision: Precision) -> Result<Parts> {
        let tokens = Tensor::from_slice(&self.values, (self.tokens, self.width), &Device::Cpu)?;
        let features = self.features.iter().enumerate();
        let features = features.map(|(index, photo)| (format!("features.{index}"), photo.clone()));
        let tensors = std::iter::once(("tokens".to_string(), tokens))
            .chain(features)
            .map(|(name, tensor)| {
                super::with_values(&tensor, |values| check_range(&name, values, precision))??;
                let tensor = tensor.to_dtype(precision.dtype())?;
                Ok((name, tensor))
            })
            .collect::<Result<Vec<_>>>()?;
        let provenance = &self.provenance;
        let metadata = [
            (VERSION_KEY, VERSION.to_string()),
            ("omniid.encoder", self.kind.name().to_string()),
            ("omniid.model", provenance.model.clone()),
            ("omniid.photos", provenance.photos.to_string()),
            ("omniid.label", provenance.label.clone()),
            ("omniid.created", provenance.created.clone()),
            ("omniid.consent", provenance.consent.clone()),
        ];
        Ok((
            tensors,
            metadata
                .into_iter()
                .map(|(key, value)| (key.to_string(), value))
                .collect(),
        ))
    }
}

/// Fails for a value that `precision` cannot hold.
fn check_range(name: &str, values: &[f32], precision: Precision) -> Result<()> {
    let fits = |value: f32| match precision {
        Precision::F32 => true,
        Precision::F16 => f16::from_f32(value).is_finite(),
        Precision::Bf16 => bf16::from_f32(value).is_finite(),
    };
    match values.iter().find(|value| !fits(**value)) {
        None => Ok(()),
        Some(value) => Err(Error::unsupported(format!(
            "identity: value {value} in {name} is beyond the range of {precision}"
        ))
        .with_remedy(remedy::IDENTITY_RANGE)),
    }
}

/// Reads an identity from an opened safetensors container.
fn read(file: &Checkpoint, limits: &Limits) -> Result<Identity> {
    let metadata = file.metadata();
    let text = |key: &str| -> Result<&str> {
        metadata
            .get(key)
            .map(String::as_str)
            .ok_or_else(|| Error::format(format!("not an identity file: metadata has no {key:?}")))
    };
    let version = text(VERSION_KEY)?;
    if version != VERSION.to_string() {
        return Err(Error::unsupported(format!(
            "identity format {version:?}: this library reads format {VERSION}"
        )));
    }
    let kind_name = text("omniid.encoder")?;
    let kind = EncoderKind::from_name(kind_name).ok_or_else(|| {
        let known: Vec<&str> = EncoderKind::ALL.iter().map(|kind| kind.name()).collect();
        let known = known.join(", ");
        Error::format(format!(
            "identity: unknown encoder kind {kind_name:?}, expected one of {known}"
        ))
    })?;
    let photos: usize = text("omniid.photos")?.parse().map_err(|_| {
        Error::format(format!(
            "identity: {:?} is no number of photos",
            metadata["omniid.photos"]
        ))
    })?;
    if photos as u64 > limits.max_photos {
        return Err(Error::limit(format!(
            "identity: {photos} photos, at most {} allowed",
            limits.max_photos
        )));
    }
    let matrix = |name: &str| -> Result<Tensor> {
        let info = file
            .info(name)
            .ok_or_else(|| Error::format(format!("identity: tensor {name:?} is missing")))?;
        if !matches!(info.dtype, DType::F32 | DType::F16 | DType::BF16) || info.shape.len() != 2 {
            return Err(Error::format(format!(
                "identity: tensor {name:?} is {:?} {:?}, expected f32, f16 or bf16 of rank 2",
                info.dtype, info.shape
            )));
        }
        file.tensor(name, DType::F32, &Device::Cpu)
    };
    let mut features = Vec::new();
    for index in 0..photos {
        let name = format!("features.{index}");
        if file.info(&name).is_none() {
            break;
        }
        features.push(matrix(&name)?);
    }
    // Compared with the names that were read: an index may be spelt in more than one way.
    let known: BTreeSet<String> = (0..features.len()).map(|index| format!("features.{index}")).collect();
    if let Some(name) = file.names().find(|name| *name != "tokens" && !known.contains(*name)) {
        return Err(Error::format(format!("identity: unexpected tensor {name:?}")));
    }
    let tokens = matrix("tokens")?;
    let shape = tokens.dims2()?;
    let provenance = Provenance {
        model: text("omniid.model")?.to_string(),
        photos,
        label: text("omniid.label")?.to_string(),
        created: text("omniid.created")?.to_string(),
        consent: text("omniid.consent")?.to_string(),
    };
    // The same checks as for an identity of the library's own making, but a file that fails them is malformed.
    Identity::new(
        kind,
        shape.into(),
        tokens.flatten_all()?.to_vec1()?,
        features,
        provenance,
    )
    .map_err(|error| Error::format(error.message().to_string()))
}
