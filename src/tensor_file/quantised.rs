//! Scales of 8-bit weights in files.
//!
//! A matrix `name.weight` of 8-bit floats is to be multiplied by a number, or by one number for each row. It is called
//! `name.scale_weight` by ComfyUI's own files (with a marker `scaled_fp8` beside), `name.weight_scale` by ComfyUI since
//! 2025 (with a description `name.comfy_quant` beside), by compressed-tensors and by torchao's exports.

use super::element::Element;
use super::entry::Entry;
use super::scales::Scale;
use crate::error::{Error, Result};
use crate::remedy;
use std::collections::BTreeMap;

/// The name of the scale that `name` may have, for the tensor `weight`.
fn scale_names(weight: &str) -> Vec<String> {
    let mut names = vec![format!("{weight}_scale"), format!("{weight}_scale_inv")];
    if let Some(layer) = weight.strip_suffix("weight") {
        names.push(format!("{layer}scale_weight"));
    }
    names
}

/// Ends of names that only quantised weights have, and whose they are.
const METHODS: [(&str, &str); 9] = [
    (".absmax", "bitsandbytes, 4 bits"),
    (".quant_map", "bitsandbytes, 4 bits"),
    (".quant_state.bitsandbytes__nf4", "bitsandbytes, 4 bits (nf4)"),
    (".quant_state.bitsandbytes__fp4", "bitsandbytes, 4 bits (fp4)"),
    (".SCB", "bitsandbytes, 8 bits"),
    (".qweight", "GPTQ or AWQ"),
    (".qzeros", "GPTQ or AWQ"),
    (".weight_packed", "compressed-tensors"),
    (".wscales", "SVDQuant"),
];

/// Refuses weights that were quantised to whole numbers. They would be taken for the weights themselves, or for a model
/// of other sizes.
///
/// # Errors
/// `Unsupported` naming the method and the tensor.
fn refuse_integers(tensors: &BTreeMap<String, Entry>) -> Result<()> {
    for name in tensors.keys() {
        if let Some((_, method)) = METHODS.iter().find(|(end, _)| name.ends_with(end)) {
            return Err(Error::unsupported(format!(
                "the weights were quantised to whole numbers ({method}), by tensor {name:?}; expected weights of type F32, \
                 F16, BF16, F64, F8_E4M3 or F8_E5M2"
            ))
            .with_remedy(remedy::UNQUANTISED));
        }
    }
    Ok(())
}

/// Puts the scales of 8-bit floats to their tensors and takes them out, together with what else belongs to the
/// quantisation: scales of activations and markers.
///
/// # Errors
/// `Unsupported` for a scale of a shape that is not read.
pub(super) fn attach(tensors: &mut BTreeMap<String, Entry>) -> Result<()> {
    refuse_integers(tensors)?;
    let is_float8 = |entry: &Entry| matches!(entry.element, Element::Float8(_));
    if !tensors.values().any(is_float8) {
        return Ok(());
    }
    let quantised: Vec<String> = tensors
        .iter()
        .filter(|(_, entry)| entry.shape.len() >= 2 && is_float8(entry))
        .map(|(name, _)| name.clone())
        .collect();
    for name in quantised {
        for scale_name in scale_names(&name) {
            let Some(scale) = tensors.remove(&scale_name) else {
                continue;
            };
            let Some(entry) = tensors.remove(&name) else {
                continue;
            };
            let count = scale.count();
            let by_row =
                scale.shape.first() == entry.shape.first() && scale.shape.iter().skip(1).all(|&side| side == 1);
            if count != 1 && !by_row {
                return Err(Error::unsupported(format!(
                    "tensor {name:?} of shape {:?} has scales {scale_name:?} of shape {:?}; expected one scale, or \
                     one for each row",
                    entry.shape, scale.shape
                ))
                .with_remedy(remedy::UNQUANTISED));
            }
            let values = scale.scalars(&(0..count).collect::<Vec<_>>())?;
            tensors.insert(name.clone(), entry.scaled(Scale::new(values)));
        }
    }
    // What only a program that computes in 8 bits needs.
    let marker = |name: &str| {
        let last = name.rsplit('.').next().unwrap_or(name);
        ["scaled_fp8", "comfy_quant", "scale_input", "input_scale"].contains(&last)
    };
    tensors.retain(|name, _| !marker(name));
    Ok(())
}
