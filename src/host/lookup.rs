//! Finding a layer by any of the names that hosts use for it.

use super::HostLayer;
use crate::error::{Error, Result};
use std::collections::HashMap;

/// Endings that point inside the same attention layer.
const ENDINGS: [&str; 3] = [".processor", ".attn2", ".attn"];

/// Prefix of LDM names in a full checkpoint.
const LDM_PREFIX: &str = "model.diffusion_model.";

/// Every spelling of every layer, in normal form, with the layer's index.
pub(super) fn spellings(layers: &[HostLayer]) -> Result<HashMap<String, usize>> {
    let mut map = HashMap::with_capacity(layers.len() * 3);
    for (index, layer) in layers.iter().enumerate() {
        let mut names = vec![layer.name.clone()];
        let short = normal(&layer.name);
        if short != layer.name {
            names.push(short);
        }
        if let Some(ldm) = &layer.ldm_name {
            names.push(normal(ldm));
        }
        if let Some(hook) = &layer.hook {
            names.push(hook.to_string());
        }
        for name in names {
            if let Some(other) = map.insert(name.clone(), index) {
                if other != index {
                    return Err(Error::invalid(format!(
                        "host layers {other} and {index} can both be called {name:?}; names must be unique"
                    )));
                }
            }
        }
    }
    Ok(map)
}

/// Looks `name` up: as written, in normal form, then as a ComfyUI address.
pub(super) fn find(map: &HashMap<String, usize>, name: &str) -> Option<usize> {
    let name = name.trim();
    let found = map.get(name).or_else(|| map.get(&normal(name)));
    found
        .or_else(|| address(name).and_then(|address| map.get(&address)))
        .copied()
}

/// Cuts what does not tell layers apart. `.attn1`, a UNet's self-attention, stays: asking for it finds nothing.
fn normal(name: &str) -> String {
    let mut name = name.strip_prefix(LDM_PREFIX).unwrap_or(name);
    for ending in ENDINGS {
        name = name.strip_suffix(ending).unwrap_or(name);
    }
    name.to_string()
}

/// `("output", 1, 3)`, `output:1:3`, `output 1` and the like, as `output,1,3`.
fn address(name: &str) -> Option<String> {
    let separators = |c: char| c.is_whitespace() || "()[]\"',:;".contains(c);
    let mut parts = name.split(separators).filter(|part| !part.is_empty());
    let kind = parts.next()?;
    let number: usize = parts.next()?.parse().ok()?;
    let index: usize = match parts.next() {
        Some(index) => index.parse().ok()?,
        None => 0,
    };
    parts.next().is_none().then(|| format!("{kind},{number},{index}"))
}
