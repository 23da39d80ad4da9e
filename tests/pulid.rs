//! PuLID's encoders at the end of an engine: photo and face embedding in, the tokens of the networks one by one out.

use candle_core::{DType, Device, Tensor};
use omniid::checkpoint::{safetensors_to_bytes, Checkpoint};
use omniid::encoder::{Encoder, EncoderConfig, Features, IdFormerConfig, PulidV1Config};
use omniid::engine::{Combine, EncodeOptions, Engine, EngineOptions};
use omniid::face::CropMode;
use omniid::photo::{ChannelOrder, ImageProcessor, Photo, PixelBuffer};
use omniid::recogniser::{EmbeddingForm, FaceEmbedding};
use omniid::vit::{VisionConfig, VisionTransformer};
use omniid::{ErrorKind, Limits};
use omniid_kernels::layers::{random_tensors, Initial, TensorSpec};
use std::path::Path;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Width of the face embedding, and of EVA02's class embedding in the fixture of `parity_vision.rs`.
const FACE: usize = 4;
const CLASS: usize = 12;
const SIDE: u32 = 28;

fn eva02() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity/vision_families/eva02/model.safetensors")
}

fn configs() -> [EncoderConfig; 2] {
    [
        EncoderConfig::PulidV1(PulidV1Config {
            embedding_width: FACE + CLASS,
            feature_width: 16,
            body_widths: [9, 7],
            mapping_widths: [8, 6],
            token_width: 20,
            ..PulidV1Config::published()
        }),
        EncoderConfig::IdFormer(IdFormerConfig {
            embedding_width: FACE + CLASS,
            feature_width: 16,
            embedding_mapping_widths: [9, 7],
            mapping_widths: [8, 6],
            width: 16,
            heads: 1,
            inner_width: 24,
            tokens: 3,
            token_width: 20,
            ..IdFormerConfig::published()
        }),
    ]
}

/// The file as the authors write it.
fn checkpoint(config: &EncoderConfig) -> Result<Vec<u8>, omniid::Error> {
    let mut tensors: Vec<(String, Tensor)> = random_tensors(&config.tensors()?, 3)?
        .into_iter()
        .map(|(name, tensor)| (format!("id_adapter.{name}"), tensor))
        .collect();
    for side in ["k", "v"] {
        let name = format!("id_adapter_attn_layers.1.id_to_{side}.weight");
        let layer = TensorSpec::new(name.clone(), &[8, 20], Initial::Normal(1.0)).tensor(4)?;
        tensors.push((name, layer));
    }
    safetensors_to_bytes(&tensors, &Default::default())
}

fn picture(seed: u32) -> Vec<u8> {
    let wave = |index: u32| (127.0 + 120.0 * ((index * (seed + 3)) as f32 / 61.0).sin()) as u8;
    (0..SIDE * SIDE * 3).map(wave).collect()
}

fn embedding(seed: u32) -> Vec<f32> {
    (0..FACE as u32)
        .map(|n| ((n + seed) as f32 * 0.7).cos() * 9.0)
        .collect()
}

#[test]
fn tokens_are_those_of_the_networks_one_after_the_other() -> Outcome {
    let device = Device::Cpu;
    let view = Checkpoint::open(eva02(), &Limits::default())?.vision_view()?;
    let vision = VisionConfig::infer(&view, None)?;
    assert_eq!((vision.num_attention_heads, vision.image_size), (2, SIDE as usize));
    let model = view.build(DType::F32, &device, |weights| VisionTransformer::load(&vision, weights))?;
    for config in configs() {
        let bytes = checkpoint(&config)?;
        let engine = Engine::open(EngineOptions::new(bytes.clone()).with_image_encoder(eva02()))?;
        let options = EncodeOptions::default().with_crop(CropMode::None);
        let pictures: Vec<Vec<u8>> = (0..2).map(picture).collect();
        let photos = pictures.iter().zip(0..).map(|(pixels, n)| {
            let buffer = PixelBuffer::new(pixels.as_slice(), SIDE, SIDE, 0, ChannelOrder::Rgb).unwrap();
            let face = FaceEmbedding::new("glintr100", EmbeddingForm::Raw, embedding(n)).unwrap();
            Photo::from_pixels(buffer).with_embedding(face)
        });
        let identity = engine.encode(photos.collect::<Vec<_>>(), &options)?.identity;

        let view = Checkpoint::open(bytes, &Limits::default())?
            .adapter_view()?
            .sub("image_proj");
        let encoder = view.build(DType::F32, &device, |weights| Encoder::load(&config, weights))?;
        let mut features = Vec::new();
        for (n, pixels) in (0..).zip(&pictures) {
            let image = image_of(pixels);
            let pixels = ImageProcessor::clip(SIDE).process(&image);
            let pixels = Tensor::from_vec(pixels, (1, 3, SIDE as usize, SIDE as usize), &device)?;
            // Two blocks in six parts.
            let (levels, class) = model.levels_and_embeds(&pixels, &[0, 0, 1, 1, 1])?;
            let class = class.broadcast_div(&class.sqr()?.sum_all()?.sqrt()?)?.squeeze(0)?;
            let face = Tensor::from_vec(embedding(n), FACE, &device)?;
            features.push(Features {
                image: Some(Tensor::cat(&levels, 1)?.squeeze(0)?),
                embedding: Some(Tensor::cat(&[face, class], 0)?),
                ..Features::default()
            });
        }
        let expected = encoder.encode(&features)?.flatten_all()?.to_vec1::<f32>()?;
        assert_eq!(identity.values().len(), expected.len(), "{:?}", config.kind());
        let difference = identity.values().iter().zip(&expected).map(|(a, b)| (a - b).abs());
        assert!(difference.fold(0.0, f32::max) <= 1e-5, "{:?}", config.kind());
    }
    Ok(())
}

#[test]
fn a_normalised_embedding_is_refused() -> Outcome {
    let pixels = picture(1);
    for config in configs() {
        let engine = Engine::open(EngineOptions::new(checkpoint(&config)?).with_image_encoder(eva02()))?;
        let buffer = PixelBuffer::new(pixels.as_slice(), SIDE, SIDE, 0, ChannelOrder::Rgb)?;
        let face = FaceEmbedding::new("glintr100", EmbeddingForm::Normalised, vec![0.5; FACE])?;
        let photo = Photo::from_pixels(buffer).with_embedding(face);
        let options = EncodeOptions::default().with_crop(CropMode::None);
        let error = engine.encode([photo], &options).expect_err("the length counts");
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
    }
    Ok(())
}

#[test]
fn a_missing_or_wrong_image_encoder_is_named() -> Outcome {
    let siglip = eva02()
        .parent()
        .unwrap()
        .with_file_name("siglip")
        .join("model.safetensors");
    for config in configs() {
        let bytes = checkpoint(&config)?;
        let none = EngineOptions::new(bytes.clone());
        let other = EngineOptions::new(bytes).with_image_encoder(siglip.clone());
        for (options, kind) in [(none, ErrorKind::InvalidArgument), (other, ErrorKind::Mismatch)] {
            let error = Engine::open(options).expect_err("EVA02 is needed");
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.message().contains("EVA02-CLIP-L/14-336"), "{error}");
        }
    }
    Ok(())
}

fn photo(pixels: &[u8]) -> Result<Photo<'_>, omniid::Error> {
    let buffer = PixelBuffer::new(pixels, SIDE, SIDE, 0, ChannelOrder::Rgb)?;
    let face = FaceEmbedding::new("glintr100", EmbeddingForm::Raw, embedding(1))?;
    Ok(Photo::from_pixels(buffer).with_embedding(face))
}

#[test]
fn photos_that_are_read_together_are_not_combined() -> Outcome {
    let pixels = picture(1);
    for (config, together) in configs().into_iter().zip([false, true]) {
        let engine = Engine::open(EngineOptions::new(checkpoint(&config)?).with_image_encoder(eva02()))?;
        let options = EncodeOptions::default()
            .with_crop(CropMode::None)
            .with_combine(Combine::Average);
        for count in 1..3 {
            let photos = (0..count).map(|_| photo(&pixels)).collect::<Result<Vec<_>, _>>()?;
            let result = engine.encode(photos, &options);
            assert_eq!(result.is_err(), together);
            if let Err(error) = result {
                assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
                assert!(error.message().contains("average"), "{error}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_weight_that_is_no_number_is_named() -> Outcome {
    let pixels = picture(1);
    for config in configs() {
        let file = Checkpoint::open(checkpoint(&config)?, &Limits::default())?;
        let damaged = file.names().find(|name| name.contains("mapping.0.weight"));
        let damaged = damaged.or_else(|| file.names().find(|name| name.contains("body.0.weight")));
        let damaged = damaged.expect("a matrix").to_string();
        let mut tensors = Vec::new();
        for name in file.names() {
            let tensor = file.tensor(name, DType::F32, &Device::Cpu)?;
            let mut values = tensor.flatten_all()?.to_vec1::<f32>()?;
            if name == damaged {
                values[1] = f32::NAN;
            }
            tensors.push((name.to_string(), Tensor::from_vec(values, tensor.dims(), &Device::Cpu)?));
        }
        let bytes = safetensors_to_bytes(&tensors, &Default::default())?;
        let engine = Engine::open(EngineOptions::new(bytes).with_image_encoder(eva02()))?;
        let options = EncodeOptions::default().with_crop(CropMode::None);
        let error = engine.encode([photo(&pixels)?], &options).expect_err("NaN");
        assert_eq!(error.kind(), ErrorKind::Format, "{error}");
        assert!(
            error.message().contains(&damaged) && error.message().contains("again"),
            "{error}"
        );
    }
    Ok(())
}

fn image_of(pixels: &[u8]) -> image::RgbImage {
    image::RgbImage::from_raw(SIDE, SIDE, pixels.to_vec()).expect("as many samples")
}
