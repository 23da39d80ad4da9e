//! The identity encoder of PuLID for SDXL, version 1.

use super::check::check_sizes;
use super::kind::{Description, EncoderInput, FaceInput, Interface, Network, TokenCount};
use super::pulid_mapping::{sizes_of, Mapping};
use super::{EncodeSettings, Features};
use crate::error::{Error, Result};
use crate::face_embedding::{EmbeddingForm, FaceArchitecture};
use crate::tensor_file::Shapes;
use candle_core::{DType, Tensor};
use omniid_kernels::layers::Weights;
use serde::{Deserialize, Serialize};

/// Sizes of a [`PulidV1`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PulidV1Config {
    /// Width of the face embedding and the image encoder's class embedding together.
    pub embedding_width: usize,
    /// Widths between the linear layers that read the embedding.
    pub body_widths: [usize; 2],
    /// Width of a feature token.
    pub feature_width: usize,
    /// Layers of the image encoder that are read.
    pub levels: usize,
    /// Widths between the linear layers that read a level.
    pub mapping_widths: [usize; 2],
    /// Tokens made of the embedding; one more for each level.
    pub id_tokens: usize,
    /// Width of a token: the host's context width.
    pub token_width: usize,
}

impl PulidV1Config {
    /// The sizes of the published file, `pulid_v1.bin`.
    pub fn published() -> Self {
        Self {
            embedding_width: 1280,
            body_widths: [1024; 2],
            feature_width: 1024,
            levels: 5,
            mapping_widths: [1024; 2],
            id_tokens: 5,
            token_width: 2048,
        }
    }

    fn validate(&self) -> Result<()> {
        check_sizes(
            "PuLID",
            &[
                ("embedding_width", self.embedding_width),
                ("body_widths", self.body_widths[0]),
                ("body_widths", self.body_widths[1]),
                ("feature_width", self.feature_width),
                ("levels", self.levels),
                ("mapping_widths", self.mapping_widths[0]),
                ("mapping_widths", self.mapping_widths[1]),
                ("id_tokens", self.id_tokens),
                ("token_width", self.token_width),
            ],
        )
    }
}

/// PuLID v1 (Guo et al. 2024, `pulid/encoders.py`): tokens of the face embedding, then one token for each layer of the
/// image encoder: its class token, mapped, plus the mean of its patches, mapped by another network.
///
/// Several photos: tokens one after the other, as the authors' demo does with "ID mix". Keys: `body`, `mapping_{j}`,
/// `mapping_patch_{j}`, each with `0`, `1` (norm), `3`, `4` (norm), `6`.
#[derive(Debug)]
pub struct PulidV1 {
    config: PulidV1Config,
    body: Mapping,
    /// Of the class token and of the patches, for each level.
    levels: Vec<[Mapping; 2]>,
    dtype: DType,
}

impl Description for PulidV1 {
    type Config = PulidV1Config;

    const TITLE: &'static str = "PuLID v1 for SDXL";

    fn infer(shapes: &Shapes) -> Result<PulidV1Config> {
        let (embedding_width, body_widths, rows) = sizes_of(shapes, "body")?;
        let (feature_width, mapping_widths, token_width) = sizes_of(shapes, "mapping_0")?;
        if rows % token_width != 0 {
            return Err(Error::format(format!(
                "tensor {} has {rows} rows, which is no multiple of the token width {token_width} of {}",
                shapes.quoted("body.6.weight"),
                shapes.quoted("mapping_0.6.weight")
            )));
        }
        let config = PulidV1Config {
            embedding_width,
            body_widths,
            feature_width,
            levels: shapes.count(|level| format!("mapping_{level}.0.weight")),
            mapping_widths,
            id_tokens: rows / token_width,
            token_width,
        };
        config.validate()?;
        Ok(config)
    }

    fn interface(config: &PulidV1Config) -> Interface {
        let tokens = TokenCount::PerPhoto(config.id_tokens + config.levels);
        let input = EncoderInput::HiddenStates;
        Interface {
            face: Some(face_of(config.embedding_width)),
            ..Interface::of_image(input, config.feature_width, tokens, config.token_width)
        }
    }

    fn build(config: &PulidV1Config, weights: &Weights) -> Result<Self> {
        config.validate()?;
        let rows = config.id_tokens * config.token_width;
        let body = Mapping::build(config.embedding_width, config.body_widths, rows, &weights.pp("body"))?;
        let mapping = |name: String| {
            let (input, inner, output) = (config.feature_width, config.mapping_widths, config.token_width);
            Mapping::build(input, inner, output, &weights.pp(name))
        };
        let level = |level: usize| -> Result<[Mapping; 2]> {
            Ok([
                mapping(format!("mapping_{level}"))?,
                mapping(format!("mapping_patch_{level}"))?,
            ])
        };
        Ok(Self {
            config: config.clone(),
            body,
            levels: (0..config.levels).map(level).collect::<Result<_>>()?,
            dtype: weights.activation_dtype(),
        })
    }

    fn config(&self) -> &PulidV1Config {
        &self.config
    }
}

impl Network for PulidV1 {
    fn encode_photo(&self, photo: &Features, _: &EncodeSettings) -> Result<Tensor> {
        let levels = levels_of(photo.image()?, self.config.levels, self.config.feature_width)?;
        let embedding = photo.embedding()?.to_dtype(self.dtype)?.unsqueeze(0)?;
        let (tokens, width) = (self.config.id_tokens, self.config.token_width);
        let mut all = vec![self.body.forward(&embedding)?.reshape((tokens, width))?];
        for (states, [of_class, of_patches]) in levels.iter().zip(&self.levels) {
            let states = states.to_dtype(self.dtype)?;
            let class = of_class.forward(&states.narrow(0, 0, 1)?)?;
            let patches = of_patches.forward(&states.narrow(0, 1, states.dim(0)? - 1)?)?;
            // Of hundreds of rows; a plain f32 sum would lose digits where they are all alike, as for "no identity".
            let mean = patches.to_dtype(DType::F64)?.mean_keepdim(0)?.to_dtype(class.dtype())?;
            all.push((class + mean)?);
        }
        Ok(Tensor::cat(&all, 0)?)
    }
}

/// What PuLID reads besides the hidden states: a raw embedding of antelopev2's IResNet-100 and the image encoder's
/// L2-normalised class embedding behind it.
pub(super) fn face_of(dimension: usize) -> FaceInput {
    FaceInput {
        dimension,
        form: EmbeddingForm::Raw,
        network: FaceArchitecture::IResNet { layers: 100 },
    }
}

/// The layers of an image encoder, one after the other in `image` `[levels · tokens, width]`: `[tokens, width]` each.
pub(super) fn levels_of(image: &Tensor, levels: usize, width: usize) -> Result<Vec<Tensor>> {
    match *image.dims() {
        [rows, last] if last == width && rows % levels == 0 && rows / levels >= 2 => {
            let tokens = rows / levels;
            let level = |level: usize| Ok(image.narrow(0, level * tokens, tokens)?);
            (0..levels).map(level).collect()
        }
        _ => Err(Error::mismatch(format!(
            "the PuLID encoder takes {levels} layers of hidden states one after the other, [{levels} · tokens, {width}] \
             with at least 2 tokens each, got {:?}",
            image.dims()
        ))),
    }
}
