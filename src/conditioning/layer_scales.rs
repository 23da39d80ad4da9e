//! Factors of single layers, on top of the weight type.

use crate::error::{Error, Result};
use crate::host::{BlockKind, HostLayer, HostSpec};
use serde_json::Value;

/// A factor for every layer of a host. It multiplies what the weight type gives.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerScales {
    factors: Vec<f32>,
}

impl LayerScales {
    /// One factor per layer, in the order of the host's table; for FLUX the list of 19 that `diffusers` takes.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for another count than the host has layers, or a factor
    /// that is not finite.
    pub fn per_layer(host: &HostSpec, factors: &[f32]) -> Result<Self> {
        if factors.len() != host.layer_count() {
            return Err(Error::invalid(format!(
                "{} layer scales for host {:?}, which has {} layers",
                factors.len(),
                host.name(),
                host.layer_count()
            )));
        }
        if let Some((i, factor)) = factors.iter().enumerate().find(|(_, factor)| !factor.is_finite()) {
            return Err(Error::invalid(format!(
                "the scale of layer {i} is {factor}; it must be a finite number"
            )));
        }
        Ok(Self {
            factors: factors.to_vec(),
        })
    }

    /// Factors of the layers named (any spelling of [`HostSpec::find_layer`]), and `other` for the rest.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for an unknown layer or a factor that is not finite.
    pub fn named(host: &HostSpec, factors: &[(&str, f32)], other: f32) -> Result<Self> {
        let mut all = vec![other; host.layer_count()];
        for (name, factor) in factors {
            let place = host.find_layer(name).and_then(|index| all.get_mut(index));
            match place {
                Some(place) => *place = *factor,
                None => return Err(Error::invalid(format!("host {:?} has no layer {name:?}", host.name()))),
            }
        }
        Self::per_layer(host, &all)
    }

    /// Factors by transformer in execution order. Layers of transformers that are not listed are left out.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a transformer that the host does not have, one
    /// listed twice, or a factor that is not finite.
    pub fn by_transformer(host: &HostSpec, factors: &[(usize, f32)]) -> Result<Self> {
        let count = host.transformer_count();
        for (i, (t, _)) in factors.iter().enumerate() {
            if *t >= count {
                return Err(Error::invalid(format!(
                    "host {:?} has no transformer {t}, only 0 to {}",
                    host.name(),
                    count - 1
                )));
            }
            if factors[..i].iter().any(|(other, _)| other == t) {
                return Err(Error::invalid(format!(
                    "transformer {t} is listed twice in the layer scales"
                )));
            }
        }
        let factor = |t| {
            factors
                .iter()
                .find(|(listed, _)| *listed == t)
                .map_or(0.0, |(_, factor)| *factor)
        };
        let all: Vec<f32> = host.layers().iter().map(|layer| factor(layer.execution)).collect();
        Self::per_layer(host, &all)
    }

    /// ComfyUI's free form, `"3:0.5, 6:1.2"`: transformer and factor, unlisted layers left out.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for text of another form, and as
    /// [`by_transformer`](Self::by_transformer).
    pub fn parse(host: &HostSpec, text: &str) -> Result<Self> {
        let pairs = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| {
                let (t, factor) = part.split_once(':').unwrap_or((part, ""));
                match (t.trim().parse(), factor.trim().parse()) {
                    (Ok(t), Ok(factor)) => Ok((t, factor)),
                    _ => Err(Error::invalid(format!(
                        "layer scale {part:?} is not of the form \"transformer:factor\""
                    ))),
                }
            });
        let pairs = pairs.collect::<Result<Vec<_>>>()?;
        if pairs.is_empty() {
            return Err(Error::invalid(
                "the layer scales are empty; they look like \"3:0.5, 6:1.2\"",
            ));
        }
        Self::by_transformer(host, &pairs)
    }

    /// Leaves the middle block out and all other layers as they are, as IPAdapter_plus for ComfyUI does without
    /// meaning to (it hooks a middle block number 1, which does not exist; its issues 806 and 810). For comparisons
    /// with it only.
    ///
    /// # Errors
    /// As [`per_layer`](Self::per_layer).
    pub fn without_middle(host: &HostSpec) -> Result<Self> {
        let factor = |layer: &HostLayer| if layer.kind == BlockKind::Middle { 0.0 } else { 1.0 };
        Self::per_layer(host, &host.layers().iter().map(factor).collect::<Vec<_>>())
    }

    /// What `diffusers`' `set_ip_adapter_scale` takes for one adapter, as JSON: a number, a list with one number per
    /// layer, or `{"down": {"block_2": [0, 1]}, "mid": 1, "up": {"block_0": [0, 1, 0]}}` with one number per attention
    /// group. A number in place of a group holds for all of it; what is not mentioned is left out.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for anything else, naming the offending part.
    pub fn from_diffusers(host: &HostSpec, json: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(json)
            .map_err(|error| Error::invalid(format!("the layer scales are not JSON: {error}")))?;
        match &value {
            Value::Number(_) => Self::per_layer(host, &vec![number("scale", &value)?; host.layer_count()]),
            Value::Array(values) => {
                let all = values
                    .iter()
                    .map(|value| number("scale", value))
                    .collect::<Result<Vec<_>>>()?;
                Self::per_layer(host, &all)
            }
            Value::Object(parts) => {
                let mut all = vec![0.0; host.layer_count()];
                for (part, value) in parts {
                    match part.as_str() {
                        "down" | "up" => half(host, part, value, &mut all)?,
                        "mid" => set(host, "mid_block", "mid", value, &mut all)?,
                        _ => {
                            return Err(Error::invalid(format!(
                                "layer scales: {part:?} is none of down, mid, up"
                            )))
                        }
                    }
                }
                Self::per_layer(host, &all)
            }
            _ => Err(Error::invalid(format!(
                "layer scales: {value} is no number, list or dictionary"
            ))),
        }
    }

    /// The factors, in the order of the host's table.
    pub fn factors(&self) -> &[f32] {
        &self.factors
    }
}

fn number(place: &str, value: &Value) -> Result<f32> {
    let number = value.as_f64().map(|number| number as f32);
    number.ok_or_else(|| Error::invalid(format!("layer scales: {place} is {value}, not a number")))
}

/// `down` or `up`: one number for all its blocks, or a dictionary by block.
fn half(host: &HostSpec, part: &str, value: &Value, all: &mut [f32]) -> Result<()> {
    let Value::Object(blocks) = value else {
        return set(
            host,
            &format!("{part}_blocks."),
            part,
            &Value::from(number(part, value)?),
            all,
        );
    };
    for (block, value) in blocks {
        let place = format!("{part}.{block}");
        let Some(index) = block.strip_prefix("block_") else {
            return Err(Error::invalid(format!(
                "layer scales: {place}: blocks are called block_0, block_1, …"
            )));
        };
        set(host, &format!("{part}_blocks.{index}.attentions."), &place, value, all)?;
    }
    Ok(())
}

/// Sets the layers whose name begins with `prefix`: all alike, or one value per attention group.
fn set(host: &HostSpec, prefix: &str, place: &str, value: &Value, all: &mut [f32]) -> Result<()> {
    let mut groups: Vec<usize> = Vec::new();
    let members: Vec<(usize, usize)> = host
        .layers()
        .iter()
        .enumerate()
        .filter(|(_, layer)| layer.name.starts_with(prefix))
        .map(|(index, layer)| {
            let group = groups.iter().position(|t| *t == layer.execution).unwrap_or_else(|| {
                groups.push(layer.execution);
                groups.len() - 1
            });
            (index, group)
        })
        .collect();
    if members.is_empty() {
        return Err(Error::invalid(format!(
            "layer scales: {place}: host {:?} has no attention there",
            host.name()
        )));
    }
    let values = match value {
        Value::Array(values) if values.len() == groups.len() => values
            .iter()
            .map(|value| number(place, value))
            .collect::<Result<Vec<_>>>()?,
        Value::Array(values) => {
            return Err(Error::invalid(format!(
                "layer scales: {place} has {} values for {} attention groups",
                values.len(),
                groups.len()
            )));
        }
        value => vec![number(place, value)?; groups.len()],
    };
    for (index, group) in members {
        all[index] = values[group];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_free_form_addresses_transformers() {
        let host = HostSpec::sdxl();
        let scales = LayerScales::parse(&host, "3:0.5, 6 : 1.25").unwrap();
        for (layer, factor) in host.layers().iter().zip(scales.factors()) {
            let expected = match layer.execution {
                3 => 0.5,
                6 => 1.25,
                _ => 0.0,
            };
            assert_eq!(*factor, expected, "{}", layer.name);
        }
        for bad in ["", "3", "3:x", "11:1", "3:1,3:2", "-1:1", "1:inf"] {
            assert!(LayerScales::parse(&host, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_diffusers_dictionary_addresses_attention_groups() {
        let host = HostSpec::sdxl();
        let json = r#"{"down": {"block_2": [0, 1]}, "up": {"block_0": [0.0, 0.5, 0.0], "block_1": 0.25}}"#;
        let scales = LayerScales::from_diffusers(&host, json).unwrap();
        for (layer, factor) in host.layers().iter().zip(scales.factors()) {
            let expected = match layer.name.split(".transformer_blocks").next().unwrap() {
                "down_blocks.2.attentions.1" => 1.0,
                "up_blocks.0.attentions.1" => 0.5,
                name if name.starts_with("up_blocks.1.") => 0.25,
                _ => 0.0,
            };
            assert_eq!(*factor, expected, "{}", layer.name);
        }
        let all = LayerScales::from_diffusers(&host, r#"{"down": 0.5, "mid": [2], "up": 0.5}"#).unwrap();
        assert_eq!(all.factors().iter().filter(|factor| **factor == 2.0).count(), 10);
        assert_eq!(all.factors().iter().filter(|factor| **factor == 0.5).count(), 60);
        assert_eq!(LayerScales::from_diffusers(&host, "0.7").unwrap().factors(), [0.7; 70]);
        assert!(LayerScales::from_diffusers(&HostSpec::flux(), &format!("{:?}", [0.5; 19])).is_ok());
        for bad in [
            "{",
            "null",
            r#"{"left": 1}"#,
            r#"{"up": {"block_2": 1}}"#,
            r#"{"up": {"block_0": [1]}}"#,
            "[1]",
        ] {
            assert!(LayerScales::from_diffusers(&host, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn comfyuis_skipped_middle_is_60_of_70_and_15_of_16() {
        for (host, kept) in [(HostSpec::sdxl(), 60), (HostSpec::sd15(), 15)] {
            let scales = LayerScales::without_middle(&host).unwrap();
            assert_eq!(scales.factors().iter().filter(|factor| **factor == 1.0).count(), kept);
        }
    }

    #[test]
    fn names_pick_single_layers() {
        let host = HostSpec::sd15();
        let scales = LayerScales::named(
            &host,
            &[("middle,0", 0.0), ("input_blocks.1.1.transformer_blocks.0", 2.0)],
            1.0,
        );
        let mut expected = [1.0; 16];
        (expected[15], expected[0]) = (0.0, 2.0);
        assert_eq!(scales.unwrap().factors(), expected);
        assert!(LayerScales::named(&host, &[("middle,1", 0.0)], 1.0).is_err());
    }
}
