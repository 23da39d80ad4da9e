//! From a detector for use back to one in training, so that a training can go on from a published file.

use super::network::{is_branch, units, SCALE};
use super::norm::{Moments, EPSILON};
use candle_core::{Device, Tensor};
use omniid::{Error, Result};
use std::collections::BTreeMap;

/// Tensors of the network in training that does what the detector with the tensors `folded` does, as long as its batch
/// normalisations see the statistics that they saw when `outputs` was measured: mean and variance of what each unit
/// gives before its ReLU, by the unit's name, see [`Network::statistics`](super::network::Network::statistics).
///
/// Which gain and which scale of the weights made up a folded weight cannot be told. The scale is free, because the
/// normalisation takes it away again: the weights of each channel get the length 1, as at a random start.
///
/// # Errors
/// [`ErrorKind::Format`](omniid::ErrorKind::Format) when something is missing.
pub fn unfold(
    folded: &BTreeMap<String, Tensor>,
    outputs: &BTreeMap<String, Moments>,
) -> Result<BTreeMap<String, Tensor>> {
    let get = |name: &str| {
        let tensor = folded.get(name);
        tensor.ok_or_else(|| Error::format(format!("the detector has no tensor {name:?}")))
    };
    let mut out = BTreeMap::new();
    // Takes the normalisation of a unit out of its weights. In training its inputs are `factor` times what they are in
    // use, up to an offset.
    let mut normed = |unit: &str, weight: String, factor: f32| -> Result<()> {
        let moments = outputs.get(unit);
        let moments = moments.ok_or_else(|| Error::format(format!("no statistics of {unit:?}")))?;
        let tensor = get(&weight)?;
        let channels = tensor.dim(0)?;
        if moments.mean.len() != channels {
            return Err(Error::format(format!(
                "statistics of {} channels for {channels} of {unit:?}",
                moments.mean.len()
            )));
        }
        let mut values = tensor.flatten_all()?.to_vec1::<f32>()?;
        let length = values.len() / channels.max(1);
        let mut gains = Vec::with_capacity(channels);
        for (row, variance) in values.chunks_exact_mut(length.max(1)).zip(&moments.variance) {
            let size = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            // A channel without weights stays without.
            let scale = if size > 0.0 { 1.0 / size } else { 1.0 };
            row.iter_mut().for_each(|v| *v = (f64::from(*v) * scale) as f32);
            let scale = scale * f64::from(factor);
            gains.push((variance + EPSILON / (scale * scale)).sqrt() as f32);
        }
        let shifts: Vec<f32> = moments.mean.iter().map(|mean| *mean as f32).collect();
        out.insert(weight, Tensor::from_vec(values, tensor.dims(), &Device::Cpu)?);
        for (part, numbers) in [("weight", gains), ("bias", shifts)] {
            out.insert(
                format!("{unit}.norm.{part}"),
                Tensor::from_vec(numbers, channels, &Device::Cpu)?,
            );
        }
        Ok(())
    };
    normed("backbone.stem", "backbone.stem.weight".to_owned(), SCALE)?;
    for (unit, _, _) in units()?.iter().filter(|(unit, _, _)| !is_branch(unit)) {
        normed(unit, format!("{unit}.depthwise.weight"), 1.0)?;
    }
    for (unit, _, _) in units()? {
        let mut kept = vec!["pointwise.weight", "pointwise.bias"];
        if is_branch(&unit) {
            kept.extend(["depthwise.weight", "depthwise.bias"]);
        }
        for part in kept {
            let name = format!("{unit}.{part}");
            out.insert(name.clone(), get(&name)?.clone());
        }
    }
    Ok(out)
}
