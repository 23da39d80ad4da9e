//! Native checkpoints with random weights: to start a training from, to try the machinery, to test.

use super::config::NativeConfig;
use crate::adapter::AdapterLayout;
use crate::checkpoint;
use crate::error::{Error, Result};
use crate::vit::VisionTransformer;
use candle_core::Tensor;
use omniid_kernels::layers::{random_tensors, Initial, TensorSpec};
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
    let mut specs = under("backbone", VisionTransformer::tensors(&config.backbone)?);
    specs.extend(under("encoder", config.encoder.tensors()?));
    if let Some(host) = &config.host {
        let host = host.resolve()?;
        let layout = AdapterLayout::native(&host, config.encoder.token_width());
        specs.extend(adapter_tensors(&layout)?);
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

/// Tensors of a native adapter: the token projection, and keys and values of every layer.
fn adapter_tensors(layout: &AdapterLayout) -> Result<Vec<TensorSpec>> {
    let width = layout
        .token_width
        .ok_or_else(|| Error::internal("a native adapter without token projection"))?;
    let context = layout.shapes.first().map_or(width, |shape| shape.context);
    let mut specs = vec![
        TensorSpec::linear("adapter.proj.0.weight", width, width),
        TensorSpec::new("adapter.proj.0.bias", &[width], Initial::Constant(0.0)),
        TensorSpec::linear("adapter.proj.2.weight", context, width),
        TensorSpec::new("adapter.proj.2.bias", &[context], Initial::Constant(0.0)),
        TensorSpec::new("adapter.proj.3.weight", &[context], Initial::Constant(1.0)),
        TensorSpec::new("adapter.proj.3.bias", &[context], Initial::Constant(0.0)),
    ];
    for (place, shape) in layout.shapes.iter().enumerate() {
        for side in ["to_k", "to_v"] {
            let name = format!("adapter.layers.{place}.{side}.weight");
            specs.push(TensorSpec::linear(name, shape.inner, shape.context));
        }
    }
    Ok(specs)
}
