//! The parts of an identity model, and whether they fit together.

use crate::checkpoint::Checkpoint;
use crate::encoder::{EncoderConfig, EncoderInput};
use crate::engine::config::{processor_of, PixelConfig};
use crate::engine::AdapterSource;
use crate::error::{Error, Result};
use crate::face::parsing::ParserConfig;
use crate::face::CropMode;
use crate::host::HostSpec;
use crate::lora::Lora;
use crate::photo::ImageProcessor;
use crate::recogniser::RecogniserConfig;
use crate::remedy;
use crate::vit::{VisionConfig, VisionFamily};

/// Side of the picture that face recognisers see, in pixels.
const FACE_SIDE: u32 = 112;

/// The parts of an identity model, still unread, whatever files they come from.
pub(crate) struct Parts {
    pub(crate) name: String,
    /// The image encoder and its sizes; `None` for models that read face embeddings only.
    pub(crate) backbone: Option<(Checkpoint, VisionConfig)>,
    pub(crate) encoder: Checkpoint,
    pub(crate) encoder_config: EncoderConfig,
    pub(crate) similarity: Option<Checkpoint>,
    pub(crate) histograms: Option<Checkpoint>,
    pub(crate) detector: Option<Checkpoint>,
    /// The face recogniser that is given, else the one in a native checkpoint.
    pub(crate) recogniser: Option<(RecogniserConfig, Checkpoint)>,
    /// The face parser that is given, else the one in a native checkpoint.
    pub(crate) parser: Option<(ParserConfig, Checkpoint)>,
    pub(crate) lora: Option<Lora>,
    pub(crate) adapter: Option<AdapterSource>,
    pub(crate) host: Option<HostSpec>,
    pub(crate) pixels: PixelConfig,
    pub(crate) crop: CropMode,
    pub(crate) fingerprint: String,
}

impl Parts {
    /// The preparation of photos.
    pub(crate) fn processor(&self) -> ImageProcessor {
        let processor = match &self.backbone {
            Some((_, config)) => processor_of(config.family, config.image_size as u32),
            // Photos are cut for the face recogniser only.
            None => ImageProcessor::clip(FACE_SIDE),
        };
        ImageProcessor {
            mean: self.pixels.mean,
            std: self.pixels.std,
            ..processor
        }
    }

    /// Fails unless the image encoder gives what the identity encoder reads.
    pub(crate) fn check_widths(&self) -> Result<()> {
        match &self.backbone {
            Some((_, config)) => check_widths(&self.encoder_config, config),
            None => Ok(()),
        }
    }

    /// Looks by samples whether the weights were written, for what is read later or not at all: the layers of the
    /// adapter, the image encoder's last block. A file that ends in zeros is not the one that its maker published.
    ///
    /// Single layers of an adapter may be zero: some leave out those that do harm.
    pub(crate) fn check_written(&self) -> Result<()> {
        const WHY: &str = "the file was not downloaded or copied to its end, or the model was never trained";
        if let Some((backbone, _)) = &self.backbone {
            let zero = backbone.sample_weights();
            let zero = zero.map_err(|error| error.context("image encoder"))?;
            if let Some(name) = zero.first() {
                let file = backbone.label();
                let text = format!("image encoder: {file}: tensor {name:?}: all of its weights are 0: {WHY}");
                return Err(Error::format(text).with_remedy(remedy::DAMAGED_WEIGHTS));
            }
        }
        let Some(adapter) = &self.adapter else {
            return Ok(());
        };
        let zero = adapter.checkpoint.sample_weights()?;
        let layers = adapter.layout.shapes.len();
        for (side, what) in [(".to_k", "keys"), (".to_v", "values")] {
            if zero.iter().filter(|name| name.contains(side)).count() >= layers {
                let file = adapter.checkpoint.label();
                let text = format!("{file}: the weights of all {layers} adapter layers for {what} are 0: {WHY}");
                return Err(Error::format(text).with_remedy(remedy::DAMAGED_WEIGHTS));
            }
        }
        Ok(())
    }
}

/// The image encoder must deliver what the identity encoder was built for.
pub(super) fn check_widths(encoder: &EncoderConfig, backbone: &VisionConfig) -> Result<()> {
    let (what, found) = match encoder.input() {
        EncoderInput::Penultimate => ("hidden states", Some(backbone.hidden_size)),
        EncoderInput::ImageEmbeds => ("image embeddings", backbone.projection_dim),
        EncoderInput::HiddenStates => ("hidden states of five layers", Some(backbone.hidden_size)),
        EncoderInput::LastHiddenState => ("last hidden states", Some(backbone.hidden_size)),
        EncoderInput::Nothing => return Ok(()),
    };
    if let EncoderConfig::OmniId(config) = encoder {
        if config.feature_tokens != backbone.token_count() {
            return Err(Error::mismatch(format!(
                "image encoder and checkpoint do not belong together: the checkpoint expects {} feature tokens, the \
                 image encoder gives {}",
                config.feature_tokens,
                backbone.token_count()
            )));
        }
    }
    // CLIP ViT-L/14-336 and others have all widths of PuLID's encoder.
    let family = match encoder.input() {
        EncoderInput::HiddenStates => Some(VisionFamily::Eva02),
        EncoderInput::LastHiddenState => Some(VisionFamily::Siglip),
        _ => None,
    };
    if let Some(family) = family.filter(|family| *family != backbone.family) {
        return Err(Error::mismatch(format!(
            "image encoder and checkpoint do not belong together: the checkpoint expects {}, the image encoder is {}",
            family.name(),
            backbone.family.name()
        )));
    }
    let expected = encoder.input_width();
    match found {
        Some(found) if found == expected => Ok(()),
        Some(found) => Err(Error::mismatch(format!(
            "image encoder and checkpoint do not belong together: the checkpoint expects {what} of width \
             {expected}, the image encoder's have width {found}"
        ))),
        None => Err(Error::mismatch(format!(
            "the checkpoint expects {what} of width {expected}, but the image encoder has no projection"
        ))),
    }
}
