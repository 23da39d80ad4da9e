//! Native checkpoints with random weights: to start a training from, to try the machinery, to test.

use super::config::NativeConfig;
use crate::adapter::{Adapter, AdapterLayout};
use crate::checkpoint;
use crate::error::Result;
use crate::face::parsing::FaceParser;
use crate::recogniser::FaceRecogniser;
use crate::vit::VisionTransformer;
use candle_core::Tensor;
use omniid_kernels::layers::{random_tensors, TensorSpec};
use std::collections::BTreeMap;
use std::path::Path;

/// Every tensor of a native checkpoint of this configuration, freshly drawn. The same seed gives the same numbers.
///
/// # Errors
/// [`ErrorKind::Format`](crate::ErrorKind::Format) for sizes that no model can have.
pub fn untrained_tensors(config: &NativeConfig, seed: u64) -> Result<Vec<(String, Tensor)>> {
    let under = |prefix: &str, specs: Vec<TensorSpec>| {
        specs
            .into_iter()
            .map(|spec| TensorSpec {
                name: format!("{prefix}.{}", spec.name),
                ..spec
            })
            .collect::<Vec<_>>()
    };
    let mut specs = match &config.backbone {
        Some(backbone) => under("backbone", VisionTransformer::tensors(backbone)?),
        None => Vec::new(),
    };
    specs.extend(under("encoder", config.encoder.tensors()?));
    if let Some(recogniser) = &config.recogniser {
        specs.extend(under("recogniser", FaceRecogniser::tensors(recogniser)?));
    }
    if let Some(parser) = &config.parser {
        specs.extend(under("parser", FaceParser::tensors(parser)?));
    }
    if let Some(host) = &config.host {
        let host = host.resolve()?;
        let layout = AdapterLayout::native(&host, config.encoder.token_width());
        specs.extend(Adapter::tensors(&layout, &host)?);
    }
    random_tensors(&specs, seed)
}

/// Writes an untrained native checkpoint in f32, atomically.
///
/// # Errors
/// Those of [`untrained_tensors`] and of writing the file.
pub fn write_untrained(path: &Path, config: &NativeConfig, seed: u64) -> Result<()> {
    let metadata: BTreeMap<String, String> = config.to_metadata()?;
    checkpoint::write_safetensors(path, &untrained_tensors(config, seed)?, &metadata)
}
