//! The tensors of every encoder: names, shapes, and their start for training.

use super::{FullFaceConfig, OmniIdConfig, ProjectionConfig, ResamplerConfig};
use crate::error::{Error, Result};
use omniid_kernels::layers::{Initial, TensorSpec};

/// The tensor shapes of a file, under a prefix.
pub(super) struct Shapes<'a> {
    pub shape: &'a dyn Fn(&str) -> Option<Vec<usize>>,
    pub prefix: &'a str,
}

impl Shapes<'_> {
    pub fn name(&self, tail: &str) -> String {
        if self.prefix.is_empty() {
            tail.to_string()
        } else {
            format!("{}.{tail}", self.prefix)
        }
    }

    pub fn has(&self, tail: &str) -> bool {
        (self.shape)(&self.name(tail)).is_some()
    }

    pub fn need<const RANK: usize>(&self, tail: &str) -> Result<[usize; RANK]> {
        let name = self.name(tail);
        let Some(dims) = (self.shape)(&name) else {
            return Err(Error::format(format!(
                "tensor {name:?} is missing from the projection"
            )));
        };
        dims.as_slice().try_into().map_err(|_| {
            Error::format(format!(
                "tensor {name:?} has shape {dims:?}; the projection needs {RANK} dimensions there"
            ))
        })
    }
}

/// The tensors of a [`Projection`](super::Projection).
pub fn projection_tensors(config: &ProjectionConfig) -> Vec<TensorSpec> {
    let mut specs = Vec::new();
    affine(
        &mut specs,
        "proj",
        config.tokens * config.token_width,
        config.feature_width,
    );
    norm(&mut specs, "norm", config.token_width);
    specs
}

/// The tensors of a [`FullFace`](super::FullFace).
pub fn full_face_tensors(config: &FullFaceConfig) -> Vec<TensorSpec> {
    let mut specs = Vec::new();
    affine(&mut specs, "proj.0", config.inner_width, config.feature_width);
    affine(&mut specs, "proj.2", config.token_width, config.inner_width);
    norm(&mut specs, "proj.3", config.token_width);
    specs
}

/// The tensors of a [`Resampler`](super::Resampler), with the key names of the public files.
pub fn resampler_tensors(config: &ResamplerConfig) -> Vec<TensorSpec> {
    let (width, inner) = (config.width, config.heads * config.head_width);
    let std = 1.0 / (width as f32).sqrt();
    let mut specs = vec![TensorSpec::new(
        "latents",
        &[1, config.tokens, width],
        Initial::Normal(std),
    )];
    affine(&mut specs, "proj_in", width, config.feature_width);
    for d in 0..config.depth {
        norm(&mut specs, &format!("layers.{d}.0.norm1"), width);
        norm(&mut specs, &format!("layers.{d}.0.norm2"), width);
        specs.push(TensorSpec::linear(
            format!("layers.{d}.0.to_q.weight"),
            inner,
            width,
        ));
        specs.push(TensorSpec::linear(
            format!("layers.{d}.0.to_kv.weight"),
            2 * inner,
            width,
        ));
        specs.push(TensorSpec::linear(
            format!("layers.{d}.0.to_out.weight"),
            width,
            inner,
        ));
        norm(&mut specs, &format!("layers.{d}.1.0"), width);
        specs.push(TensorSpec::linear(
            format!("layers.{d}.1.1.weight"),
            config.inner_width,
            width,
        ));
        specs.push(TensorSpec::linear(
            format!("layers.{d}.1.3.weight"),
            width,
            config.inner_width,
        ));
    }
    affine(&mut specs, "proj_out", config.token_width, width);
    norm(&mut specs, "norm_out", config.token_width);
    specs
}

/// The tensors of an [`OmniId`](super::OmniId) encoder without `token_mean`, which only training can give.
///
/// Queries start with standard deviation 1: smaller ones stay one and the same vector in training. With
/// `key_position`, queries start at places of a regular grid instead: both carry the same code of the place, and
/// `to_q` and `to_k` of cross-attention start equal on it, so each query first looks around its own place.
///
/// # Errors
/// [`ErrorKind::Format`](crate::ErrorKind::Format) when the sizes are impossible.
pub fn omni_id_tensors(config: &OmniIdConfig) -> Result<Vec<TensorSpec>> {
    config.validate()?;
    let (width, inner) = (config.width, config.inner_width());
    let wide = config.feed_forward_multiplier * width;
    let mut specs = Vec::new();
    if config.key_position {
        let patches = config.feature_tokens - 1;
        let mut keys = place_code(&grid(patches), config.feature_width, config);
        if config.include_class_token {
            // The class token has no place.
            keys.splice(0..0, std::iter::repeat_n(0.0, config.feature_width));
        }
        let queries = place_code(&grid(config.queries), width, config);
        specs.push(TensorSpec::new(
            "queries",
            &[config.queries, width],
            Initial::Values(queries),
        ));
        let shape = [config.key_tokens(), config.feature_width];
        specs.push(TensorSpec::new("key_position", &shape, Initial::Values(keys)));
    } else {
        specs.push(TensorSpec::new(
            "queries",
            &[config.queries, width],
            Initial::Normal(1.0),
        ));
    }
    for i in 0..config.depth {
        let cross = format!("blocks.{i}.cross_attention");
        norm(&mut specs, &format!("{cross}.norm_queries"), width);
        norm(
            &mut specs,
            &format!("{cross}.norm_features"),
            config.feature_width,
        );
        for (name, input) in [("to_q", width), ("to_k", config.feature_width)] {
            let name = format!("{cross}.{name}.weight");
            let std = 1.0 / (input as f32).sqrt();
            let initial = if config.key_position {
                Initial::Columns {
                    stream: format!("{cross}.place"),
                    std,
                }
            } else {
                Initial::TruncatedNormal(std)
            };
            specs.push(TensorSpec::new(name, &[inner, input], initial));
        }
        specs.push(TensorSpec::linear(
            format!("{cross}.to_v.weight"),
            inner,
            config.feature_width,
        ));
        specs.push(TensorSpec::linear(format!("{cross}.to_out.weight"), width, inner));
        let own = format!("blocks.{i}.self_attention");
        norm(&mut specs, &format!("{own}.norm"), width);
        for name in ["to_q", "to_k", "to_v"] {
            specs.push(TensorSpec::linear(format!("{own}.{name}.weight"), inner, width));
        }
        specs.push(TensorSpec::linear(format!("{own}.to_out.weight"), width, inner));
        let feed_forward = format!("blocks.{i}.feed_forward");
        norm(&mut specs, &format!("{feed_forward}.norm"), width);
        specs.push(TensorSpec::linear(
            format!("{feed_forward}.up.weight"),
            wide,
            width,
        ));
        specs.push(TensorSpec::linear(
            format!("{feed_forward}.down.weight"),
            width,
            wide,
        ));
    }
    norm(&mut specs, "norm_out", width);
    if config.has_projection() {
        affine(&mut specs, "proj_out", config.token_width, width);
    }
    Ok(specs)
}

/// `count` places of a grid as square as possible, in rows, with coordinates between 0 and 1.
fn grid(count: usize) -> Vec<(f32, f32)> {
    let mut columns = count.isqrt().max(1);
    if columns * columns < count {
        columns += 1;
    }
    let rows = count.div_ceil(columns).max(1);
    let place = |i: usize| {
        let (row, column) = (i / columns, i % columns);
        (
            (column as f32 + 0.5) / columns as f32,
            (row as f32 + 0.5) / rows as f32,
        )
    };
    (0..count).map(place).collect()
}

/// Sines and cosines of both coordinates, mean square 1 over the columns used. Frequencies rise geometrically from
/// half a period over the photo to one period over two patches, so that codes of distant places are unlike.
fn place_code(places: &[(f32, f32)], width: usize, config: &OmniIdConfig) -> Vec<f32> {
    let frequencies = (config.width.min(config.feature_width) / 4).max(1);
    let highest = ((config.feature_tokens - 1).isqrt().max(2) as f32) / 2.0;
    let mut code = Vec::with_capacity(places.len() * width);
    for (x, y) in places {
        let mut row = Vec::with_capacity(width);
        for j in 0..frequencies {
            let step = j as f32 / (frequencies.max(2) - 1) as f32;
            let frequency = 0.5 * (highest / 0.5).powf(step);
            for coordinate in [x, y] {
                let (sin, cos) = (std::f32::consts::TAU * frequency * coordinate).sin_cos();
                row.extend([sin * std::f32::consts::SQRT_2, cos * std::f32::consts::SQRT_2]);
            }
        }
        row.resize(width, 0.0);
        code.extend(row);
    }
    code
}

fn norm(specs: &mut Vec<TensorSpec>, name: &str, width: usize) {
    specs.push(TensorSpec::new(
        format!("{name}.weight"),
        &[width],
        Initial::Constant(1.0),
    ));
    specs.push(TensorSpec::new(
        format!("{name}.bias"),
        &[width],
        Initial::Constant(0.0),
    ));
}

fn affine(specs: &mut Vec<TensorSpec>, name: &str, output: usize, input: usize) {
    specs.push(TensorSpec::linear(format!("{name}.weight"), output, input));
    specs.push(TensorSpec::new(
        format!("{name}.bias"),
        &[output],
        Initial::Constant(0.0),
    ));
}
