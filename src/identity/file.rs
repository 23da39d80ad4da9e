//! The `.omniid` file: an identity as safetensors, without pickle.
//!
//! | entry | content |
//! |---|---|
//! | tensor `tokens` | f32, f16 or bf16 `[tokens, width]` |
//! | tensor `features.{i}` | the same type, `[feature tokens, feature width]` of photo `i`; all photos or none |
//! | tensor `class_embedding.{i}` | the same type, `[1, width]`; all photos or none |
//! | tensor `embedding.{i}` | f32 `[dimension]`, the face embedding of photo `i`; any of the photos |
//! | metadata `omniid.identity` | format version, `1`; `2` with what version 1 does not know |
//! | metadata `omniid.encoder` | encoder kind, see [`EncoderKind::name`] |
//! | metadata `omniid.model` | fingerprint of the model that made it |
//! | metadata `omniid.photos` | number of photos |
//! | metadata `omniid.label`, `omniid.created`, `omniid.consent` | text to show |
//! | metadata `omniid.embedding.{i}` | form and network of `embedding.{i}`: `raw IResNet-50 (w600k_r50)` |
//! | metadata `omniid.combine` | how the photos were combined, see [`Combine::name`]; `concatenate` without it |
//! | metadata `omniid.shortcut_scale` | a number; 1 without it |
//!
//! Version 2 has what the last three rows, `class_embedding` and `embedding` say; an identity without them is written as
//! version 1.
//!
//! A reader refuses unknown tensors and unknown versions. Saving replaces the file in one step or not at all.

use super::{Combine, Identity, Kept, Making, Provenance};
use crate::encoder::EncoderKind;
use crate::error::{Error, Result};
use crate::face_embedding::{EmbeddingForm, FaceEmbedding};
use crate::limits::Limits;
use crate::precision::Precision;
use crate::remedy;
use crate::tensor_file::{self, Checkpoint, Source};
use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Newest version of the format, in metadata under [`VERSION_KEY`].
pub const VERSION: u32 = 2;

/// Version of an identity with tokens and features alone.
const PLAIN: u32 = 1;

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
        let precision = precision.stored()?;
        let tokens = Tensor::from_slice(&self.values, (self.tokens, self.width), &Device::Cpu)?;
        let Kept {
            features,
            class_embeddings,
            embeddings,
        } = &self.kept;
        let named = |name: &'static str, tensors: &[Tensor]| -> Vec<(String, Tensor)> {
            let tensors = tensors.iter().enumerate();
            tensors
                .map(|(index, photo)| (format!("{name}.{index}"), photo.clone()))
                .collect()
        };
        let mut tensors = std::iter::once(("tokens".to_string(), tokens))
            .chain(named("features", features))
            .chain(named("class_embedding", class_embeddings))
            .map(|(name, tensor)| {
                super::with_values(&tensor, |values| check_range(&name, values, precision))??;
                let tensor = tensor.to_dtype(precision.dtype())?;
                Ok((name, tensor))
            })
            .collect::<Result<Vec<_>>>()?;
        let provenance = &self.provenance;
        let is_plain = class_embeddings.is_empty() && embeddings.is_empty() && self.making.is_plain();
        let version = if is_plain { PLAIN } else { VERSION };
        let metadata = [
            (VERSION_KEY, version.to_string()),
            ("omniid.encoder", self.kind.name().to_string()),
            ("omniid.model", provenance.model.clone()),
            ("omniid.photos", provenance.photos.to_string()),
            ("omniid.label", provenance.label.clone()),
            ("omniid.created", provenance.created.clone()),
            ("omniid.consent", provenance.consent.clone()),
        ];
        let mut metadata: BTreeMap<String, String> = metadata
            .into_iter()
            .map(|(key, value)| (key.to_string(), value))
            .collect();
        // Embeddings are small, and their length is compared with 1: always exact.
        for (index, embedding) in embeddings.iter().enumerate() {
            if let Some(embedding) = embedding {
                let values = Tensor::from_slice(embedding.values(), embedding.dimension(), &Device::Cpu)?;
                tensors.push((format!("embedding.{index}"), values));
                let tag = format!("{} {}", embedding.form(), embedding.network());
                metadata.insert(format!("omniid.embedding.{index}"), tag);
            }
        }
        if self.making.combine != Combine::Concatenate {
            metadata.insert("omniid.combine".to_string(), self.making.combine.name().to_string());
        }
        if self.making.shortcut_scale != 1.0 {
            metadata.insert(
                "omniid.shortcut_scale".to_string(),
                self.making.shortcut_scale.to_string(),
            );
        }
        Ok((tensors, metadata))
    }
}

/// Fails for a value that `precision` cannot hold.
fn check_range(name: &str, values: &[f32], precision: Precision) -> Result<()> {
    let fits = |value: f32| match precision {
        Precision::F32 => true,
        Precision::F16 => f16::from_f32(value).is_finite(),
        Precision::Bf16 | Precision::Int8 => bf16::from_f32(value).is_finite(),
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
    if ![PLAIN, VERSION].iter().any(|known| *version == known.to_string()) {
        return Err(Error::unsupported(format!(
            "identity format {version:?}: this library reads formats {PLAIN} and {VERSION}"
        )));
    }
    // What a version does not know counts as unexpected.
    let newer = version != PLAIN.to_string();
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
    let all = |part: &str| -> Result<Vec<Tensor>> {
        let names = (0..photos).map(|index| format!("{part}.{index}"));
        let there = names.take_while(|name| file.info(name).is_some());
        there.map(|name| matrix(&name)).collect()
    };
    let mut kept = Kept {
        features: all("features")?,
        ..Kept::default()
    };
    if newer {
        kept.class_embeddings = all("class_embedding")?;
        kept.embeddings = (0..photos).map(|index| embedding(file, index)).collect::<Result<_>>()?;
    }
    // Compared with the names that were read: an index may be spelt in more than one way.
    let mut known: BTreeSet<String> = (0..kept.features.len())
        .map(|index| format!("features.{index}"))
        .collect();
    known.extend((0..kept.class_embeddings.len()).map(|index| format!("class_embedding.{index}")));
    let embeddings = kept
        .embeddings
        .iter()
        .enumerate()
        .filter(|(_, embedding)| embedding.is_some());
    known.extend(embeddings.map(|(index, _)| format!("embedding.{index}")));
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
    let making = if newer { making(metadata)? } else { Making::default() };
    // The same checks as for an identity of the library's own making, but a file that fails them is malformed.
    Identity::with_kept(
        kind,
        shape.into(),
        tokens.flatten_all()?.to_vec1()?,
        kept,
        making,
        provenance,
    )
    .map_err(|error| Error::format(error.message().to_string()))
}

/// How the photos were made into the identity.
fn making(metadata: &BTreeMap<String, String>) -> Result<Making> {
    let mut making = Making::default();
    if let Some(name) = metadata.get("omniid.combine") {
        making.combine = Combine::from_name(name).ok_or_else(|| {
            let known = Combine::ALL.map(Combine::name).join(", ");
            Error::format(format!("identity: omniid.combine is {name:?}, expected one of {known}"))
        })?;
    }
    if let Some(text) = metadata.get("omniid.shortcut_scale") {
        making.shortcut_scale = text.parse().map_err(|_| {
            Error::format(format!(
                "identity: omniid.shortcut_scale is {text:?}, expected a number"
            ))
        })?;
    }
    Ok(making)
}

/// The face embedding of a photo, if there is one.
fn embedding(file: &Checkpoint, index: usize) -> Result<Option<FaceEmbedding>> {
    let name = format!("embedding.{index}");
    let Some(info) = file.info(&name) else {
        return Ok(None);
    };
    if info.dtype != DType::F32 || info.shape.len() != 1 {
        return Err(Error::format(format!(
            "identity: tensor {name:?} is {:?} {:?}, expected f32 of rank 1",
            info.dtype, info.shape
        )));
    }
    let key = format!("omniid.embedding.{index}");
    let tag = file.metadata().get(&key).map_or("", String::as_str);
    let (form, network) = tag.split_once(' ').unwrap_or((tag, ""));
    let form = [EmbeddingForm::Raw, EmbeddingForm::Normalised]
        .into_iter()
        .find(|known| known.to_string() == form)
        .ok_or_else(|| {
            Error::format(format!(
                "identity: {key} is {tag:?}, expected raw or normalised and the name of a network"
            ))
        })?;
    let values = file.tensor(&name, DType::F32, &Device::Cpu)?.to_vec1()?;
    FaceEmbedding::new(network, form, values)
        .map(Some)
        .map_err(|error| Error::format(format!("identity: {name}: {}", error.message())))
}
