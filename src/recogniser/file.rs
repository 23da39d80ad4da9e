//! Files of face recognition networks.

use super::config::RecogniserConfig;
use super::{licence, onnx, torch};
use crate::error::Result;
use crate::limits::Limits;
use crate::tensor_file::{instead_of, network_file, Checkpoint, Expected, Source};

/// Largest file that is read. An IResNet-200 in f32 has 0.5 GB, and no ONNX file more than 2 GB.
const MAX_FILE_BYTES: u64 = 2 << 30;

/// Prefix of the network's tensors in a native checkpoint, and its place in the configuration there.
const PART: &str = "recogniser";

/// The network of a file, and its weights under the names of the native format.
///
/// # Errors
/// See [`FaceRecogniser::open`](super::FaceRecogniser::open).
pub(super) fn read(source: &Source, limits: &Limits) -> Result<(RecogniserConfig, Checkpoint)> {
    network_file::read(source, MAX_FILE_BYTES, |bytes| read_bytes(source, bytes, limits))
}

fn read_bytes(source: &Source, bytes: &[u8], limits: &Limits) -> Result<(RecogniserConfig, Checkpoint)> {
    let (mut config, weights) = if network_file::is_checkpoint(bytes) {
        let file = Checkpoint::open(source, limits)?;
        match network_file::native(&file, PART)? {
            Some(part) => return Ok(part),
            None => torch::read(&file)?,
        }
    } else {
        // ONNX files have no mark of their own, so what else it is is asked only afterwards.
        onnx::read(bytes).map_err(|error| instead_of(Expected::Recogniser, bytes, bytes.len()).unwrap_or(error))?
    };
    config.licence = licence::UNKNOWN.to_string();
    if let Some(file) = licence::published(bytes) {
        config.name = file.name.to_string();
        config.licence = file.licence.to_string();
        log::info!(
            "{} {}: its authors state about its use: {} ({})",
            config.architecture,
            file.name,
            file.licence,
            file.source
        );
    } else {
        log::info!(
            "{}: the file is none of the known ones; whether its authors allow your use is not known",
            config.architecture
        );
    }
    config.fingerprint = weights.fingerprint(&[])?;
    Ok((config, weights))
}

#[cfg(test)]
mod tests {
    use super::super::FaceRecogniser;
    use super::*;
    use crate::tensor_file::{OutputTensor, SafetensorsWriter};
    use candle_core::DType;
    use image::{Rgb, RgbImage};
    use std::collections::BTreeMap;
    use std::path::Path;

    fn fixture(name: &str) -> Source {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity/recogniser");
        folder.join(name).into()
    }

    /// The network as a part of a native checkpoint, in f32 and in f16.
    #[test]
    fn native_parts_give_the_same_embeddings() {
        let limits = Limits::default();
        let crop = [RgbImage::from_fn(112, 112, |x, y| {
            Rgb([x as u8, y as u8, (x ^ y) as u8])
        })];
        for name in ["folded/model.onnx", "sface/model.onnx", "ir_se50/model.pth"] {
            let (config, weights) = read(&fixture(name), &limits).unwrap();
            assert_eq!(config.fingerprint.len(), 32);
            let expected = FaceRecogniser::open(fixture(name), &limits)
                .unwrap()
                .embed(&crop)
                .unwrap();
            for dtype in [None, Some(DType::F16)] {
                let tensors = weights.names().map(|tensor| {
                    OutputTensor::from_checkpoint(format!("recogniser.{tensor}"), &weights, tensor, dtype).unwrap()
                });
                let json = serde_json::json!({ "recogniser": config }).to_string();
                let metadata = BTreeMap::from([("omniid.config".to_string(), json)]);
                let bytes = SafetensorsWriter::new(tensors.collect(), &metadata)
                    .unwrap()
                    .to_bytes()
                    .unwrap();
                let native = FaceRecogniser::open(bytes, &limits).unwrap();
                assert_eq!(native.config(), &config);
                let similarity = native.embed(&crop).unwrap()[0].similarity(&expected[0]).unwrap();
                let least = if dtype.is_none() { 1.0 - 1e-7 } else { 0.9999 };
                assert!(similarity >= least, "{name} {dtype:?}: {similarity}");
            }
        }
    }

    #[test]
    fn sizes_that_no_network_has_are_refused() {
        let (config, weights) = read(&fixture("folded/model.onnx"), &Limits::default()).unwrap();
        let changes: [fn(&mut RecogniserConfig); 4] = [
            |config| config.widths[2] = 0,
            |config| config.widths.push(4),
            |config| config.dimension = usize::MAX,
            |config| config.pixel_scale = f32::NAN,
        ];
        for change in changes {
            let mut config = config.clone();
            change(&mut config);
            let error = FaceRecogniser::from_file(&config, &weights).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Format, "{error}");
        }
    }
}
