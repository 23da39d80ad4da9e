//! Weights out of the ONNX file that YuNet's authors publish.
//!
//! The graph itself is known. 1×1 convolutions keep their parameter names in the file. The depthwise convolution that
//! follows has lost its name wherever batch norm was folded into it, so it is found through the graph: it consumes the
//! output of its 1×1 convolution.

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::tensor_file::onnx::{Convolution, OnnxGraph};
use crate::tensor_file::{safetensors_to_bytes, Checkpoint};
use candle_core::{Device, Tensor};
use omniid_kernels::layers::TensorSpec;
use std::collections::{BTreeMap, HashMap};

/// Reads the weights of the network whose tensors are `specs`, under their names.
///
/// # Errors
/// [`Format`](crate::ErrorKind::Format) when the bytes are no ONNX file or not YuNet's.
pub(super) fn read(bytes: &[u8], specs: &[TensorSpec]) -> Result<Checkpoint> {
    let not_yunet = |why: String| Error::format(format!("not a YuNet face detector (safetensors or ONNX): {why}"));
    let file = OnnxGraph::read(bytes).map_err(not_yunet)?;
    let convolutions = file.convolutions();
    let by_weight: HashMap<&str, &Convolution> = convolutions.iter().map(|conv| (conv.weight, conv)).collect();
    let by_input: HashMap<&str, &Convolution> = convolutions.iter().map(|conv| (conv.input, conv)).collect();

    let mut sources: HashMap<String, &str> = HashMap::new();
    // The stem is the first convolution of the graph, and the only one whose name is folded away without a 1×1 before.
    let stem = convolutions
        .first()
        .ok_or_else(|| not_yunet("the ONNX graph has no convolution".to_owned()))?;
    sources.insert("backbone.stem.weight".to_owned(), stem.weight);
    sources.insert("backbone.stem.bias".to_owned(), stem.bias);
    for name in specs
        .iter()
        .filter_map(|spec| spec.name.strip_suffix(".pointwise.weight"))
    {
        let upstream = format!("{}.conv1.weight", upstream_name(name));
        let missing = |what: &str| not_yunet(format!("no {what} for {name} ({upstream})"));
        let pointwise = by_weight
            .get(upstream.as_str())
            .ok_or_else(|| missing("1x1 convolution"))?;
        let depthwise = by_input
            .get(pointwise.output)
            .ok_or_else(|| missing("depthwise convolution"))?;
        sources.insert(format!("{name}.pointwise.weight"), pointwise.weight);
        sources.insert(format!("{name}.pointwise.bias"), pointwise.bias);
        sources.insert(format!("{name}.depthwise.weight"), depthwise.weight);
        sources.insert(format!("{name}.depthwise.bias"), depthwise.bias);
    }

    let mut tensors = Vec::new();
    for TensorSpec { name, shape, .. } in specs {
        let source = sources
            .get(name)
            .ok_or_else(|| not_yunet(format!("no weights for {name}")))?;
        let values = file
            .values(source, shape)
            .map_err(|why| not_yunet(format!("{name} ({source}): {why}")))?;
        tensors.push((name.clone(), Tensor::from_vec(values, shape.as_slice(), &Device::Cpu)?));
    }
    Checkpoint::open(safetensors_to_bytes(&tensors, &BTreeMap::new())?, &Limits::default())
}

/// A unit's name in the training repository.
fn upstream_name(name: &str) -> String {
    if let Some((stage, unit)) = name
        .strip_prefix("backbone.stage")
        .and_then(|rest| rest.split_once('.'))
    {
        // Stage 0 is the stem and its one unit, counted as conv2; the other stages count from conv1.
        let unit = match (stage, unit) {
            ("0", _) => "conv2",
            (_, "0") => "conv1",
            _ => "conv2",
        };
        return format!("backbone.model{stage}.{unit}");
    }
    let (part, level) = name.split_at(name.len().saturating_sub(1));
    match part {
        "neck.lateral" => format!("neck.lateral_convs.{level}"),
        "head.shared" => format!("bbox_head.multi_level_share_convs.{level}.0"),
        "head.box" => format!("bbox_head.multi_level_bbox.{level}"),
        other => format!("bbox_head.multi_level_{}.{level}", other.trim_start_matches("head.")),
    }
}
