use super::{to_onnx, write, OnnxFiles, LARGEST_INSIDE};
use crate::checkpoint::Checkpoint;
use crate::encoder::{EncoderConfig, FaceIdConfig, OmniIdConfig, PulidV1Config, ResamplerConfig};
use crate::engine::{write_untrained, EngineOptions, NativeConfig};
use crate::face::CropMode;
use crate::progress::ignore;
use crate::tensor_file::onnx::OnnxGraph;
use crate::vit::{VisionConfig, VisionFamily};
use crate::{ErrorKind, Limits, Precision};
use omniid_kernels::layers::Activation;
use std::path::Path;

fn vision(family: VisionFamily) -> VisionConfig {
    VisionConfig {
        family,
        hidden_size: 32,
        intermediate_size: 48,
        num_hidden_layers: 3,
        num_attention_heads: 4,
        image_size: 56,
        patch_size: 14,
        hidden_act: Activation::QuickGelu,
        layer_norm_eps: 1e-5,
        projection_dim: None,
    }
}

fn omni_id(feature_tokens: usize) -> EncoderConfig {
    EncoderConfig::OmniId(OmniIdConfig {
        queries: 5,
        width: 24,
        depth: 2,
        heads: 2,
        head_width: 8,
        feed_forward_multiplier: 2,
        feature_width: 32,
        feature_tokens,
        token_width: 16,
        key_position: true,
        include_class_token: false,
    })
}

fn pulid() -> PulidV1Config {
    PulidV1Config {
        embedding_width: 20,
        body_widths: [8; 2],
        feature_width: 32,
        levels: 5,
        mapping_widths: [8; 2],
        id_tokens: 2,
        token_width: 20,
    }
}

fn model(path: &Path, backbone: Option<VisionConfig>, encoder: EncoderConfig) -> EngineOptions {
    let config = NativeConfig {
        name: "small".to_string(),
        backbone,
        pixels: Default::default(),
        crop: CropMode::face(),
        encoder,
        recogniser: None,
        parser: None,
        host: None,
    };
    write_untrained(path, &config, 2).unwrap();
    EngineOptions::new(path)
}

#[test]
fn a_graph_has_the_weights_that_are_needed_under_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let source = model(&at("a.safetensors"), Some(vision(VisionFamily::Clip)), omni_id(17));
    let done = to_onnx(&source, Precision::F32, at("a.onnx")).unwrap();
    assert!(!done.has_data);
    let original = Checkpoint::open(at("a.safetensors").as_path(), &Limits::default()).unwrap();
    let file = std::fs::read(at("a.onnx")).unwrap();
    let graph = OnnxGraph::read(&file).unwrap();
    // Hidden state −2 needs neither the last block nor the norm behind it.
    let needed = |name: &&str| !name.contains("layers.2.") && !name.contains("post_layernorm");
    for name in original.names().filter(needed) {
        let (ours, theirs) = (
            graph.tensor(name).map(|tensor| tensor.shape.clone()),
            original.shape(name).unwrap(),
        );
        let reversed: Vec<usize> = theirs.iter().rev().copied().collect();
        // Tables of tokens stay as they are.
        let table = name.ends_with("queries") || name.contains("position") || theirs.len() != 2;
        let expected = if table { theirs.to_vec() } else { reversed };
        assert_eq!(ours, Some(expected), "{name}");
    }
    assert!(graph
        .tensor("backbone.vision_model.encoder.layers.2.mlp.fc1.weight")
        .is_none());
    // Besides there are only the constants of operators.
    let constants = done.tensors - original.names().filter(needed).count();
    assert!(constants < 25, "{constants} constants");
    let files = OnnxFiles::of(at("a.onnx"));
    let text: serde_json::Value = serde_json::from_slice(&std::fs::read(&files.description).unwrap()).unwrap();
    assert_eq!(text["pixels"]["size"], 56);
    assert_eq!(
        text["pixels"]["crop"],
        serde_json::json!({"mode": "face", "margin": 0.5})
    );
    assert_eq!(
        text["tokens"],
        serde_json::json!({"count": 5, "per": "identity", "width": 16})
    );
    assert_eq!(
        (&text["graph"], &text["model"]),
        (&"a.onnx".into(), &done.fingerprint.into())
    );
    assert!(text["embedding"].is_null());
}

#[test]
fn encoders_of_faces_need_no_photos() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let source = model(
        &at("a.safetensors"),
        None,
        EncoderConfig::FaceId(FaceIdConfig::new(4, 24)),
    );
    to_onnx(&source, Precision::F32, at("a.onnx")).unwrap();
    let text = std::fs::read(OnnxFiles::of(at("a.onnx")).description).unwrap();
    let text: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let embedding = serde_json::json!({"dimension": 512, "form": "normalised", "network": "IResNet-50"});
    assert_eq!(text["embedding"], embedding);
    assert_eq!(
        text["tokens"],
        serde_json::json!({"count": 4, "per": "photo", "width": 24})
    );
    assert!(text["pixels"].is_null());
}

#[test]
fn large_weights_lie_beside_the_graph() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let source = model(&at("a.safetensors"), Some(vision(VisionFamily::Clip)), omni_id(17));
    let whole = to_onnx(&source, Precision::F32, at("whole.onnx")).unwrap();
    let split = write(&source, Precision::F32, &at("split.onnx"), 1000, &mut ignore).unwrap();
    assert!(split.has_data && at("split.onnx.data").exists() && !at("whole.onnx.data").exists());
    assert_eq!(split.tensors, whole.tensors);
    assert!(std::fs::metadata(at("split.onnx")).unwrap().len() * 2 < whole.bytes);
}

#[test]
fn what_has_no_graph_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let dinov2 = VisionFamily::Dinov2 {
        register_tokens: 0,
        swiglu: false,
    };
    let clip = || Some(vision(VisionFamily::Clip));
    let known = "OmniID checkpoint, InstantID, IP-Adapter FaceID Portrait (unnorm), IP-Adapter Plus, IP-Adapter \
                 FaceID-Plus, IP-Adapter full-face, IP-Adapter, IP-Adapter FaceID";
    let cases = [
        (
            clip(),
            omni_id(17),
            Precision::Bf16,
            ErrorKind::Unsupported,
            "f32 and f16",
        ),
        (
            clip(),
            omni_id(26),
            Precision::F32,
            ErrorKind::Mismatch,
            "26 feature tokens",
        ),
        (
            Some(vision(dinov2)),
            omni_id(17),
            Precision::F32,
            ErrorKind::Unsupported,
            "DINOv2",
        ),
        (
            Some(vision(VisionFamily::Eva02)),
            EncoderConfig::PulidV1(pulid()),
            Precision::F32,
            ErrorKind::Unsupported,
            known,
        ),
    ];
    for (backbone, encoder, precision, kind, text) in cases {
        let source = model(&at("a.safetensors"), backbone, encoder);
        let error = write(&source, precision, &at("a.onnx"), LARGEST_INSIDE, &mut ignore).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(text), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_cancelled_conversion_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let resampler = ResamplerConfig {
        feature_width: 32,
        width: 64,
        depth: 1,
        heads: 1,
        head_width: 64,
        inner_width: 64,
        tokens: 4,
        token_width: 20,
    };
    let source = model(
        &at("a.safetensors"),
        Some(vision(VisionFamily::Clip)),
        EncoderConfig::Resampler(resampler),
    );
    let mut stop = |progress: crate::Progress| match progress.done {
        9 => std::ops::ControlFlow::Break(()),
        _ => std::ops::ControlFlow::Continue(()),
    };
    for inside in [0, LARGEST_INSIDE] {
        let error = write(&source, Precision::F32, &at("a.onnx"), inside, &mut stop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
