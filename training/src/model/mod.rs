//! The encoder that is trained: the plugin's own image encoder and identity encoder.

mod operations;

pub use operations::encoder_operations;

use crate::config::ModelConfig;
use crate::optimisation::ParameterSpec;
use candle_core::Tensor;
use candle_nn::VarBuilder;
use omniid::encoder::OmniId;
use omniid::vit::VisionTransformer;
use omniid::{Error, Result};
use omniid_kernels::layers::{Initial, TensorSpec};

/// Base of the wavelengths of position codes: small pictures have few patches.
const POSITION_BASE: f64 = 100.0;

/// Image encoder and identity encoder. Its tensors have the names of a native checkpoint, `backbone.…` and
/// `encoder.…`.
pub struct IdentityModel {
    backbone: VisionTransformer,
    encoder: OmniId,
}

impl IdentityModel {
    /// Loads both from `vb`: trainable from variables, fast from constants.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](omniid::ErrorKind::Format) when a tensor is missing or has another shape.
    pub fn load(config: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            backbone: VisionTransformer::load_for_penultimate(&config.backbone(), vb.pp("backbone"))?,
            encoder: OmniId::load(&config.encoder(), vb.pp("encoder"))?,
        })
    }

    /// Identity tokens `[people, queries, token width]` of photos `[people, inputs, 3, size, size]` (−1…1).
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](omniid::ErrorKind::Mismatch) when the shape is another.
    pub fn tokens(&self, photos: &Tensor) -> Result<Tensor> {
        let &[people, inputs, channels, height, width] = photos.dims() else {
            return Err(Error::mismatch(format!(
                "the encoder takes photos of shape [people, inputs, 3, size, size], got {:?}",
                photos.dims()
            )));
        };
        let flat = photos.reshape((people * inputs, channels, height, width))?;
        let features = self.backbone.penultimate(&flat)?;
        let (_, tokens, width) = features.dims3()?;
        self.encoder
            .forward_batch(&features.reshape((people, inputs, tokens, width))?)
    }
}

/// Every tensor of an [`IdentityModel`] with its start; all in group `group`.
///
/// The image encoder's last block, whose output hidden state −2 leaves out, is neither trained nor stored.
///
/// # Errors
/// [`ErrorKind::Format`](omniid::ErrorKind::Format) when the sizes are impossible.
pub fn identity_parameters(config: &ModelConfig, group: usize) -> Result<Vec<ParameterSpec>> {
    let backbone = config.backbone();
    let unused = format!("vision_model.encoder.layers.{}.", config.blocks);
    let side = config.image_size / config.patch_size;
    let mut specs = Vec::new();
    for mut spec in VisionTransformer::tensors(&backbone)? {
        if spec.name.starts_with(&unused) || spec.name.starts_with("vision_model.post_layernorm") {
            continue;
        }
        let positions = spec.name.contains("position_embedding");
        if positions {
            // The class token has no place.
            let mut codes = vec![0.0; config.width];
            codes.extend(position_codes(side, config.width));
            spec.initial = Initial::Values(codes);
        } else if spec.name.contains("patch_embedding") {
            let inputs = 3 * config.patch_size * config.patch_size;
            spec.initial = Initial::TruncatedNormal(1.0 / (inputs as f32).sqrt());
        }
        specs.push(ParameterSpec {
            decays: is_matrix(&spec) && !positions,
            trained: !config.freeze_backbone && (config.train_positions || !positions),
            spec: under("backbone", spec),
            group,
        });
    }
    for mut spec in OmniId::tensors(&config.encoder())? {
        if spec.optional {
            continue;
        }
        if spec.name == "queries" && !config.anchored_queries {
            spec.initial = Initial::Normal(config.query_std);
        }
        specs.push(ParameterSpec {
            decays: is_matrix(&spec),
            trained: true,
            spec: under("encoder", spec),
            group,
        });
    }
    Ok(specs)
}

/// Whether a tensor is the matrix of a linear layer, the kind that weight decay is for.
pub fn is_matrix(spec: &TensorSpec) -> bool {
    spec.shape.len() >= 2 && spec.name.ends_with(".weight")
}

/// The tensor under a prefix.
pub fn under(prefix: &str, spec: TensorSpec) -> TensorSpec {
    TensorSpec {
        name: format!("{prefix}.{}", spec.name),
        ..spec
    }
}

/// Codes `[side · side, width]` of the places of a square grid, row by row: sines and cosines of the column in the
/// first half, of the row in the second (Dosovitskiy et al. 2021, appendix; MAE), with wavelengths up to 100 patches.
/// Columns that do not fill a quarter of the width are 0.
pub fn position_codes(side: usize, width: usize) -> Vec<f32> {
    let quarter = width / 4;
    let mut codes = Vec::with_capacity(side * side * width);
    for row in 0..side {
        for column in 0..side {
            let start = codes.len();
            for place in [column, row] {
                let angles = (0..quarter)
                    .map(|i| place as f64 / POSITION_BASE.powf(i as f64 / quarter as f64))
                    .collect::<Vec<_>>();
                codes.extend(angles.iter().map(|angle| angle.sin() as f32));
                codes.extend(angles.iter().map(|angle| angle.cos() as f32));
            }
            codes.resize(start + width, 0.0);
        }
    }
    codes
}

#[cfg(test)]
mod tests;
