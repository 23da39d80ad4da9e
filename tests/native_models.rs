//! Native checkpoints say which published model they were made of, also where two models have the same tensors.

use omniid::checkpoint::{Checkpoint, InsidePart, Model, OutputTensor, SafetensorsWriter, Variant};
use omniid::convert::{to_native, NativeOptions};
use omniid::encoder::{EncoderConfig, EncoderKind, FaceIdConfig, FaceIdPlusConfig, ResamplerConfig};
use omniid::engine::{write_untrained, EncodeOptions, Engine, EngineOptions, HostConfig, NativeConfig, PixelConfig};
use omniid::face::CropMode;
use omniid::host::{HostLayer, HostSpec};
use omniid::recogniser::{EmbeddingForm, FaceEmbedding};
use omniid::vit::{VisionConfig, VisionFamily};
use omniid::{ErrorKind, Limits};
use omniid_kernels::layers::Activation;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const TOKEN_WIDTH: usize = 24;

fn host() -> HostSpec {
    let name = "mid_block.attentions.0.transformer_blocks.0.attn2";
    HostSpec::custom("one layer", vec![HostLayer::new(name, 2, 8, TOKEN_WIDTH)]).unwrap()
}

fn native(path: &Path, encoder: EncoderConfig, backbone: Option<VisionConfig>) {
    let config = NativeConfig {
        name: String::new(),
        backbone,
        pixels: PixelConfig::default(),
        crop: CropMode::aligned(),
        encoder,
        host: Some(HostConfig::from(&host())),
        recogniser: None,
        parser: None,
    };
    write_untrained(path, &config, 7).unwrap();
}

fn open(path: &Path) -> Checkpoint {
    Checkpoint::open(path, &Limits::default()).unwrap()
}

fn model(path: &Path) -> Model {
    Model::of(&open(path), None).unwrap().unwrap()
}

/// A file with InstantID's tensors under their public names.
fn public_resampler(folder: &Path) -> PathBuf {
    let sizes = ResamplerConfig {
        feature_width: 512,
        width: 32,
        depth: 1,
        heads: 1,
        head_width: 64,
        inner_width: 128,
        tokens: 4,
        token_width: TOKEN_WIDTH,
    };
    let own = folder.join("own.safetensors");
    native(&own, EncoderConfig::InstantId(sizes), None);
    let own = open(&own);
    let public = |name: &str| match name.strip_prefix("encoder.") {
        Some(name) => format!("image_proj.{name}"),
        None => name
            .replace("adapter.layers.0.", "ip_adapter.1.")
            .replace("to_k.", "to_k_ip.")
            .replace("to_v.", "to_v_ip."),
    };
    let tensors: Vec<OutputTensor> = own
        .names()
        .map(|name| OutputTensor::from_checkpoint(public(name), &own, name, None).unwrap())
        .collect();
    let path = folder.join("public.safetensors");
    let writer = SafetensorsWriter::new(tensors, &BTreeMap::new()).unwrap();
    writer.save(&path, |_, _| Ok(())).unwrap();
    path
}

/// Tokens of an embedding, and the face network that the engine wants.
fn tokens(engine: &Engine, network: &str) -> Vec<f32> {
    let values = (0..512u16).map(|i| f32::from(i).sin()).collect();
    let embedding = FaceEmbedding::new(network, EmbeddingForm::Raw, values).unwrap();
    let encoded = engine
        .encode([omniid::Photo::from_embedding(embedding)], &EncodeOptions::default())
        .unwrap();
    encoded.identity.values().to_vec()
}

#[test]
fn a_chosen_model_is_kept_by_native_files() {
    let folder = tempfile::tempdir().unwrap();
    let public = public_resampler(folder.path());
    for (variant, kind, network, other) in [
        (
            Variant::FaceIdPortraitUnnorm,
            EncoderKind::FaceIdPortraitUnnorm,
            "buffalo_l",
            Variant::InstantId,
        ),
        (
            Variant::InstantId,
            EncoderKind::InstantId,
            "antelopev2",
            Variant::FaceIdPortraitUnnorm,
        ),
    ] {
        let chosen = || EngineOptions::new(&*public).with_host(host()).with_variant(variant);
        let before = Engine::open(chosen()).unwrap();
        let (once, twice) = (folder.path().join("once"), folder.path().join("twice"));
        to_native(&chosen(), &NativeOptions::default(), &once).unwrap();
        to_native(&EngineOptions::new(&*once), &NativeOptions::default(), &twice).unwrap();
        for path in [&once, &twice] {
            let found = model(path);
            assert_eq!((found.variant, found.same_tensors.len()), (variant, 0));
            let summary = open(path).describe().unwrap().to_string();
            assert!(summary.contains(variant.name()), "{summary}");
            let engine = Engine::open(EngineOptions::new(&**path)).unwrap();
            assert_eq!(engine.info().encoder.kind(), kind);
            assert_eq!(engine.info().fingerprint, before.info().fingerprint);
            assert_eq!(tokens(&engine, network), tokens(&before, network));
            // The choice may be repeated; another one contradicts the file.
            Engine::open(EngineOptions::new(&**path).with_variant(variant)).unwrap();
            let error = Engine::open(EngineOptions::new(&**path).with_variant(other)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            for part in [variant.name(), other.name()] {
                assert!(error.message().contains(part), "{error}");
            }
            assert!(Model::of(&open(path), Some(other)).is_err());
        }
    }
}

/// Layers are counted from 0 in native files, as in public ones of InstantX FLUX, whose encoder has the same tensors.
#[test]
fn face_id_and_portrait_are_known_by_their_configuration() {
    let folder = tempfile::tempdir().unwrap();
    for (tokens, variant) in [(4, Variant::FaceId), (16, Variant::FaceIdPortrait)] {
        let path = folder.path().join(variant.name());
        let encoder = FaceIdConfig {
            embedding_width: 12,
            inner_width: 16,
            ..FaceIdConfig::new(tokens, TOKEN_WIDTH)
        };
        native(&path, EncoderConfig::FaceId(encoder), None);
        assert_eq!(model(&path).variant, variant);
    }
}

#[test]
fn plus_and_plus_v2_are_told_apart_and_parts_inside_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for (shortcut, variant) in [(true, Variant::FaceIdPlusV2), (false, Variant::FaceIdPlus)] {
        let path = folder.path().join(variant.name());
        let encoder = FaceIdPlusConfig {
            embedding_width: 12,
            projection_width: 16,
            feature_width: 32,
            depth: 1,
            heads: 3,
            head_width: 8,
            inner_width: 32,
            tokens: 4,
            token_width: TOKEN_WIDTH,
            shortcut,
        };
        let backbone = VisionConfig {
            family: VisionFamily::Clip,
            hidden_size: 32,
            intermediate_size: 64,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            image_size: 28,
            patch_size: 14,
            hidden_act: Activation::Gelu,
            layer_norm_eps: 1e-5,
            projection_dim: None,
        };
        native(&path, EncoderConfig::FaceIdPlus(encoder), Some(backbone));
        let found = model(&path);
        assert_eq!(found.variant, variant);
        assert_eq!(found.inside, [InsidePart::ImageEncoder]);
        let summary = open(&path).describe().unwrap().to_string();
        assert!(
            summary.contains("; in this file") && summary.contains("w600k_r50"),
            "{summary}"
        );
        let engine = Engine::open(EngineOptions::new(&*path).with_variant(variant)).unwrap();
        assert_eq!(engine.info().encoder.kind(), EncoderKind::FaceIdPlus);
        let wrong = match shortcut {
            true => Variant::FaceIdPlus,
            false => Variant::FaceIdPlusV2,
        };
        for wrong in [wrong, Variant::PulidV1, Variant::WithAnyone, Variant::InstantXSd35] {
            let error = Engine::open(EngineOptions::new(&*path).with_variant(wrong)).unwrap_err();
            assert!(error.message().contains(wrong.name()), "{error}");
        }
    }
}
