//! Detector files, and the detector that is built into the library.

use super::detector::FaceDetector;
use super::onnx;
use crate::default_model::default_model;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::remedy;
use crate::tensor_file::{instead_of, network_file, Checkpoint, Expected};
use candle_core::{DType, Device};
use std::path::Path;
use std::sync::OnceLock;

/// Largest file of a detector alone that is read. The published ones have 0.3 MB.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Prefix of the detector's tensors in a native checkpoint.
const PREFIX: &str = "detector";

impl FaceDetector {
    /// Reads a detector file. The content decides which of three it is:
    /// - safetensors with the names that [`FaceDetector::load`] takes;
    /// - the ONNX file that the authors of YuNet publish (`yunet_n_*.onnx`);
    /// - a native checkpoint with a detector in it, as the built-in model's own file.
    ///
    /// Runs on the CPU.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io), [`Format`](crate::ErrorKind::Format) for damaged files and other networks,
    /// [`LimitExceeded`](crate::ErrorKind::LimitExceeded) above 16 MiB, unless it is a native checkpoint, or with a
    /// header beyond `limits`.
    pub fn open(path: impl AsRef<Path>, limits: &Limits) -> Result<Self> {
        let path = path.as_ref();
        Self::from_file(&Self::read(path, limits)?).map_err(|error| error.context(path.display()))
    }

    /// As [`FaceDetector::open`], from memory.
    ///
    /// # Errors
    /// As [`FaceDetector::open`].
    pub fn from_bytes(bytes: &[u8], limits: &Limits) -> Result<Self> {
        Self::from_file(&Self::read_bytes(bytes, limits)?)
    }

    /// The detector inside the model that is built into the library (feature `default-model`). It is loaded once.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) when the library was built without the feature.
    pub fn built_in() -> Result<Self> {
        static BUILT_IN: OnceLock<FaceDetector> = OnceLock::new();
        if let Some(detector) = BUILT_IN.get() {
            return Ok(detector.clone());
        }
        let model = default_model().map_err(|_| {
            Error::unsupported(
                "no face detector was given, and this library was built without its own (feature `default-model`)",
            )
            .with_remedy(remedy::FACE_PLACE)
        })?;
        let file = Checkpoint::open(model, &Limits::default())?;
        let detector = Self::from_file(&part_of(&file)?)?;
        Ok(BUILT_IN.get_or_init(|| detector).clone())
    }

    /// The tensors of a detector file under OmniID's names; see [`FaceDetector::open`].
    pub(crate) fn read(path: &Path, limits: &Limits) -> Result<Checkpoint> {
        let bytes = network_file::first_bytes(path, MAX_FILE_BYTES + 1)?;
        if bytes.len() as u64 > MAX_FILE_BYTES && Checkpoint::is_safetensors(&bytes) {
            // Of a model that holds a detector, only the detector is read.
            drop(bytes);
            return Checkpoint::open(path, limits)
                .and_then(|file| part_of(&file).map_err(|error| error.context(path.display())));
        }
        Self::read_bytes(&bytes, limits).map_err(|error| error.context(path.display()))
    }

    /// As [`FaceDetector::read`], from memory.
    pub(crate) fn read_bytes(bytes: &[u8], limits: &Limits) -> Result<Checkpoint> {
        let is_safetensors = Checkpoint::is_safetensors(bytes);
        if !is_safetensors {
            let outcome = match bytes.len() as u64 > MAX_FILE_BYTES {
                true => Err(Error::limit(format!(
                    "face detector file has more than {MAX_FILE_BYTES} bytes"
                ))),
                false => onnx::read(bytes, &Self::tensors()?),
            };
            // ONNX files have no mark of their own, so what else it is is asked only afterwards.
            return outcome.map_err(|error| instead_of(Expected::Detector, bytes, bytes.len()).unwrap_or(error));
        }
        part_of(&Checkpoint::open(bytes.to_vec(), limits)?)
    }

    /// A detector from its own tensors: nothing else may be among them.
    pub(crate) fn from_file(file: &Checkpoint) -> Result<Self> {
        file.build(DType::F32, &Device::Cpu, |weights| Self::load(weights))
    }
}

/// The detector's tensors of a safetensors file: all of them, or those in a native checkpoint.
fn part_of(file: &Checkpoint) -> Result<Checkpoint> {
    let inside = file.sub(PREFIX);
    let bare = match file.prefixes_before(&["backbone.stem.weight"]).as_slice() {
        [prefix] => file.unwrapped(prefix),
        _ => file.clone(),
    };
    let part = if inside.is_empty() { &bare } else { &inside };

    let specs = FaceDetector::tensors()?;
    if specs.iter().all(|spec| part.info(&spec.name).is_none()) {
        return Err(Error::format(
            "not a YuNet face detector, nor a native checkpoint that has one: none of its tensors is there",
        ));
    }
    for spec in specs {
        match part.info(&spec.name) {
            Some(info) if info.dtype != DType::F32 => {
                return Err(Error::unsupported(format!(
                    "tensor {} is {}, expected f32",
                    spec.name,
                    info.dtype.as_str()
                )))
            }
            _ => {}
        }
    }
    Ok(part.clone())
}

#[cfg(all(test, feature = "default-model"))]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn the_built_in_models_file_is_a_detector_file() {
        let limits = Limits::default();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/omniid-mini.safetensors");
        let image = image::RgbImage::from_fn(96, 96, |x, y| image::Rgb([x as u8 * 2, y as u8 * 2, 90]));
        let options = super::super::DetectOptions::default().with_score_threshold(0.0);
        let expected = FaceDetector::built_in().unwrap().detect(&image, &options).unwrap();
        assert!(!expected.is_empty());
        for detector in [
            FaceDetector::open(&path, &limits).unwrap(),
            FaceDetector::from_bytes(default_model().unwrap(), &limits).unwrap(),
        ] {
            assert_eq!(detector.detect(&image, &options).unwrap(), expected);
        }
    }

    #[test]
    fn other_models_are_refused_the_same_way_each_time() {
        let limits = Limits::default();
        let file = Checkpoint::open(default_model().unwrap(), &limits).unwrap();
        let backbone = file.sub("backbone");
        let messages: std::collections::BTreeSet<String> = (0..8)
            .map(|_| {
                let error = part_of(&backbone).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Format);
                error.to_string()
            })
            .collect();
        assert_eq!(messages.len(), 1, "{messages:?}");
    }
}
