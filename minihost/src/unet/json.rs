//! diffusers' `config.json` of a `UNet2DConditionModel`.

use super::UNetConfig;
use omniid::{Error, Result};
use serde::{de::Error as _, ser::Error as _, Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::collections::BTreeMap;

const CLASS: &str = "UNet2DConditionModel";
const DOWN: [&str; 2] = ["DownBlock2D", "CrossAttnDownBlock2D"];
const UP: [&str; 2] = ["UpBlock2D", "CrossAttnUpBlock2D"];
const MID: [&str; 2] = ["UNetMidBlock2D", "UNetMidBlock2DCrossAttn"];

/// The file's fields. What is absent has diffusers' default.
#[derive(Serialize, Deserialize)]
struct Raw {
    #[serde(rename = "_class_name")]
    class: String,
    #[serde(default = "four")]
    in_channels: usize,
    #[serde(default = "four")]
    out_channels: usize,
    #[serde(default)]
    sample_size: Option<usize>,
    block_out_channels: Vec<usize>,
    #[serde(default = "two")]
    layers_per_block: usize,
    down_block_types: Vec<String>,
    mid_block_type: String,
    up_block_types: Vec<String>,
    attention_head_dim: OneOrMany,
    #[serde(default = "one")]
    transformer_layers_per_block: usize,
    cross_attention_dim: usize,
    #[serde(default = "groups")]
    norm_num_groups: usize,
    #[serde(default = "epsilon")]
    norm_eps: f64,
    #[serde(default)]
    use_linear_projection: bool,
    #[serde(default)]
    time_embedding_dim: Option<usize>,
    #[serde(default)]
    class_embed_type: Option<String>,
    #[serde(default)]
    projection_class_embeddings_input_dim: Option<usize>,
    #[serde(default = "yes")]
    flip_sin_to_cos: bool,
    #[serde(default)]
    freq_shift: f64,
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(usize),
    Many(Vec<usize>),
}

fn one() -> usize {
    1
}

fn two() -> usize {
    2
}

fn four() -> usize {
    4
}

fn groups() -> usize {
    32
}

fn epsilon() -> f64 {
    1e-5
}

fn yes() -> bool {
    true
}

/// Fields that this network has one value for.
fn fixed() -> [(&'static str, Value); 11] {
    [
        ("act_fn", "silu".into()),
        ("downsample_padding", 1.into()),
        ("mid_block_scale_factor", 1.into()),
        ("dropout", 0.0.into()),
        ("resnet_time_scale_shift", "default".into()),
        ("time_embedding_type", "positional".into()),
        ("conv_in_kernel", 3.into()),
        ("conv_out_kernel", 3.into()),
        ("attention_type", "default".into()),
        ("resnet_out_scale_factor", 1.0.into()),
        // Without `addition_embed_type`, which is not supported, it means nothing.
        ("addition_embed_type_num_heads", 64.into()),
    ]
}

impl UNetConfig {
    /// Reads diffusers' `config.json`.
    ///
    /// # Errors
    /// [`Format`](omniid::ErrorKind::Format) when the text is not JSON or a field is missing or malformed;
    /// [`Unsupported`](omniid::ErrorKind::Unsupported) for another class, another kind of block, or a field that
    /// changes what the network computes and is not supported; [`InvalidArgument`](omniid::ErrorKind::InvalidArgument)
    /// for sizes that do not fit each other.
    pub fn from_json(text: &str) -> Result<Self> {
        let raw: Raw =
            serde_json::from_str(text).map_err(|error| Error::format(format!("the UNet's config.json: {error}")))?;
        if raw.class != CLASS {
            return Err(Error::unsupported(format!(
                "the UNet's config.json: _class_name is {:?}, expected {CLASS:?}",
                raw.class
            )));
        }
        check_other(&raw.other)?;
        let levels = raw.block_out_channels.len();
        let class_width = match raw.class_embed_type.as_deref() {
            None => None,
            Some("projection") => Some(raw.projection_class_embeddings_input_dim.ok_or_else(|| {
                Error::format(
                    "the UNet's config.json: projection_class_embeddings_input_dim is missing, which class_embed_type \
                     \"projection\" needs",
                )
            })?),
            Some(other) => {
                return Err(Error::unsupported(format!(
                    "the UNet's config.json: class_embed_type is {other:?}, \"projection\" and null are supported"
                )))
            }
        };
        let config = Self {
            in_channels: raw.in_channels,
            out_channels: raw.out_channels,
            sample_size: raw.sample_size.unwrap_or(64),
            layers_per_block: raw.layers_per_block,
            down_attention: attention("down_block_types", &raw.down_block_types, DOWN)?,
            mid_attention: attention("mid_block_type", &[raw.mid_block_type], MID)?[0],
            up_attention: attention("up_block_types", &raw.up_block_types, UP)?,
            heads: match raw.attention_head_dim {
                OneOrMany::One(heads) => vec![heads; levels],
                OneOrMany::Many(heads) => heads,
            },
            transformer_layers_per_block: raw.transformer_layers_per_block,
            cross_attention_dim: raw.cross_attention_dim,
            norm_num_groups: raw.norm_num_groups,
            norm_eps: raw.norm_eps,
            use_linear_projection: raw.use_linear_projection,
            time_embedding_dim: raw.time_embedding_dim,
            class_width,
            flip_sin_to_cos: raw.flip_sin_to_cos,
            freq_shift: raw.freq_shift,
            block_out_channels: raw.block_out_channels,
        };
        config.check()?;
        Ok(config)
    }

    /// diffusers' `config.json`.
    pub fn to_json(&self) -> String {
        let names = |attends: &[bool], names: [&str; 2]| {
            attends
                .iter()
                .map(|attends| names[usize::from(*attends)].to_string())
                .collect::<Vec<_>>()
        };
        let raw = Raw {
            class: CLASS.to_string(),
            in_channels: self.in_channels,
            out_channels: self.out_channels,
            sample_size: Some(self.sample_size),
            block_out_channels: self.block_out_channels.clone(),
            layers_per_block: self.layers_per_block,
            down_block_types: names(&self.down_attention, DOWN),
            mid_block_type: MID[usize::from(self.mid_attention)].to_string(),
            up_block_types: names(&self.up_attention, UP),
            attention_head_dim: OneOrMany::Many(self.heads.clone()),
            transformer_layers_per_block: self.transformer_layers_per_block,
            cross_attention_dim: self.cross_attention_dim,
            norm_num_groups: self.norm_num_groups,
            norm_eps: self.norm_eps,
            use_linear_projection: self.use_linear_projection,
            time_embedding_dim: self.time_embedding_dim,
            class_embed_type: self.class_width.map(|_| "projection".to_string()),
            projection_class_embeddings_input_dim: self.class_width,
            flip_sin_to_cos: self.flip_sin_to_cos,
            freq_shift: self.freq_shift,
            other: fixed()
                .into_iter()
                .map(|(name, value)| (name.to_string(), value))
                .collect(),
        };
        serde_json::to_string_pretty(&raw).unwrap_or_default()
    }
}

/// As an object of diffusers' fields.
impl Serialize for UNetConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value: Value = serde_json::from_str(&self.to_json()).map_err(S::Error::custom)?;
        value.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for UNetConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_json(&value.to_string()).map_err(D::Error::custom)
    }
}

fn attention(field: &str, blocks: &[String], names: [&str; 2]) -> Result<Vec<bool>> {
    blocks
        .iter()
        .map(|block| match names.iter().position(|name| name == &block.as_str()) {
            Some(index) => Ok(index == 1),
            None => Err(Error::unsupported(format!(
                "the UNet's config.json: {field} holds {block:?}, {names:?} are supported"
            ))),
        })
        .collect()
}

/// Other fields must be absent, switched off, or have the one value that this network knows.
fn check_other(other: &BTreeMap<String, Value>) -> Result<()> {
    let fixed = fixed();
    for (name, value) in other {
        let known = fixed.iter().find(|(field, _)| field == name);
        let fits = match known {
            Some((_, Value::Number(wanted))) => value.as_f64() == wanted.as_f64(),
            Some((_, wanted)) => value == wanted,
            // Switches and sizes of parts that are not there.
            None => name.starts_with('_') || matches!(value, Value::Null | Value::Bool(false)),
        };
        if !fits {
            return Err(Error::unsupported(format!(
                "the UNet's config.json: {name} is {value}, which is not supported"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use omniid::host::HostSpec;

    fn config() -> UNetConfig {
        UNetConfig {
            in_channels: 48,
            out_channels: 48,
            sample_size: 16,
            block_out_channels: vec![128, 256],
            layers_per_block: 1,
            down_attention: vec![true, true],
            mid_attention: true,
            up_attention: vec![true, false],
            heads: vec![4, 8],
            transformer_layers_per_block: 1,
            cross_attention_dim: 64,
            norm_num_groups: 32,
            norm_eps: 1e-5,
            use_linear_projection: true,
            time_embedding_dim: None,
            class_width: Some(46),
            flip_sin_to_cos: true,
            freq_shift: 0.0,
        }
    }

    #[test]
    fn the_json_round_trips_and_names_the_same_host() {
        let config = config();
        let text = config.to_json();
        assert_eq!(UNetConfig::from_json(&text).unwrap(), config);
        assert_eq!(config.host().unwrap(), HostSpec::from_diffusers_json(&text).unwrap());
        let wide = UNetConfig {
            time_embedding_dim: Some(96),
            ..config.clone()
        };
        assert_eq!((config.time_width(), wide.time_width()), (512, 96));
        assert_eq!(UNetConfig::from_json(&wide.to_json()).unwrap(), wide);
        // Down, up, then the middle.
        let names: Vec<_> = config.host().unwrap().layers().iter().map(|l| l.name.clone()).collect();
        assert_eq!(names.len(), 5);
        assert!(names[4].starts_with("mid_block."), "{names:?}");
    }

    #[test]
    fn what_it_cannot_compute_is_refused_by_name() {
        let change = |name: &str, value: Value| {
            let mut json: Value = serde_json::from_str(&config().to_json()).unwrap();
            json[name] = value;
            UNetConfig::from_json(&json.to_string())
                .unwrap_err()
                .message()
                .to_string()
        };
        for (name, value) in [
            ("act_fn", Value::from("gelu")),
            ("dual_cross_attention", Value::from(true)),
            ("addition_embed_type", Value::from("text")),
            ("class_embed_type", Value::from("timestep")),
            ("norm_num_groups", Value::from(48)),
            ("layers_per_block", Value::from(0)),
            ("time_embedding_dim", Value::from(0)),
        ] {
            let message = change(name, value);
            assert!(message.contains(name), "{name}: {message}");
        }
        assert!(change("_class_name", Value::from("UNet2DModel")).contains("UNet2DModel"));
    }
}
