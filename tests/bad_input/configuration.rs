//! Native checkpoints whose metadata describes no model, or another one than their tensors.

use super::{config, refused, Parts};
use omniid::ErrorKind;
use serde_json::json;

#[test]
fn impossible_configurations_are_refused_by_field() {
    let huge = 1u64 << 40;
    let cases = [
        ("/backbone/hidden_size", json!(0), "hidden_size"),
        ("/backbone/hidden_size", json!(huge), "hidden_size"),
        ("/backbone/hidden_size", json!(-1), "omniid.config"),
        ("/backbone/num_hidden_layers", json!(huge), "num_hidden_layers"),
        ("/backbone/num_attention_heads", json!(3), "hidden_size 16"),
        ("/backbone/image_size", json!(0), "image_size"),
        ("/backbone/image_size", json!(u64::MAX), "image_size"),
        ("/backbone/patch_size", json!(0), "patch_size"),
        ("/backbone/patch_size", json!(56), "patch_size"),
        ("/backbone/layer_norm_eps", json!(0.0), "layer_norm_eps"),
        ("/backbone/hidden_act", json!("step"), "omniid.config"),
        ("/pixels/std/1", json!(0.0), "std"),
        ("/pixels/std/1", json!(-0.2), "std"),
        ("/pixels/mean/0", json!(1e39), "mean"),
        ("/crop", json!({"mode": "face", "margin": -1.0}), "margin"),
        ("/crop", json!({"mode": "aligned", "scale": 0.0}), "scale"),
        ("/crop", json!({"mode": "sideways"}), "sideways"),
        ("/encoder/kind", json!("vae"), "vae"),
        ("/encoder/queries", json!(0), "queries"),
        ("/encoder/depth", json!(huge), "depth"),
        ("/encoder/heads", json!(u64::MAX), "heads"),
        ("/encoder/token_width", json!("wide"), "omniid.config"),
        ("/host", json!("sd9"), "sd9"),
        ("/host/family", json!("sd9"), "sd9"),
        ("/host/layers", json!([]), "0 layers"),
        ("/host/layers/1/key", json!(0), "\"second\""),
        ("/host/layers/1/heads", json!(0), "\"second\""),
        ("/host/layers/1/heads", json!(u64::MAX), "\"second\""),
        ("/host/layers/1/head_dim", json!(huge), "\"second\""),
        ("/host/layers/0/context", json!(huge), "\"first\""),
        ("/host/layers/0/execution", json!(huge), "\"first\""),
        ("/host/layers/0/kind", json!("attic"), "attic"),
    ];
    for (pointer, value, word) in cases {
        let mut parts = Parts::sound(1);
        let case = format!("{pointer} = {value}");
        parts.configure(pointer, value);
        let opened = parts.open();
        let error = opened.err().unwrap_or_else(|| panic!("{case}: accepted"));
        assert_eq!(error.kind(), ErrorKind::Format, "{case}: {error}");
        assert!(error.message().contains(word), "{case}: {word:?} is not in {error}");
    }
}

#[test]
fn image_encoder_and_encoder_must_fit() {
    let mut parts = Parts::sound(1);
    parts.configure("/encoder/feature_tokens", json!(4));
    refused(
        "tokens",
        parts.open(),
        ErrorKind::Mismatch,
        &["4 feature tokens", "gives 5"],
    );
    let mut parts = Parts::sound(1);
    parts.configure("/encoder/feature_width", json!(17));
    refused("width", parts.open(), ErrorKind::Mismatch, &["width 17", "width 16"]);
}

/// Few weights can ask for pictures of any size: a patch as large as the picture needs one position only.
#[test]
fn a_small_file_cannot_ask_for_a_picture_of_any_size() {
    let mut config = config();
    let backbone = config.backbone.as_mut().expect("the model reads pictures");
    (backbone.hidden_size, backbone.num_attention_heads) = (1, 1);
    (backbone.image_size, backbone.patch_size) = (1 << 20, 1 << 10);
    let mut parts = Parts::sound(1);
    parts.metadata = config.to_metadata().unwrap();
    refused(
        "a million pixels a side",
        parts.open(),
        ErrorKind::Format,
        &["image_size", "1048576"],
    );
}

#[test]
fn metadata_must_be_there_and_of_this_version() {
    type Spoil = fn(&mut Parts);
    let cases: &[(&str, Spoil, ErrorKind, &str)] = &[
        (
            "no configuration",
            |p| drop(p.metadata.remove("omniid.config")),
            ErrorKind::Format,
            "omniid.config",
        ),
        (
            "no metadata",
            |p| p.metadata.clear(),
            ErrorKind::Unsupported,
            "unknown layout",
        ),
        (
            "next version",
            |p| drop(p.metadata.insert("omniid.format".into(), "2".into())),
            ErrorKind::Unsupported,
            "\"2\"",
        ),
        (
            "no JSON",
            |p| drop(p.metadata.insert("omniid.config".into(), "{".into())),
            ErrorKind::Format,
            "omniid.config",
        ),
        (
            "deep JSON",
            |p| drop(p.metadata.insert("omniid.config".into(), "[".repeat(100_000))),
            ErrorKind::Format,
            "omniid.config",
        ),
        (
            "adapter without host",
            |p| {
                let config = omniid::engine::NativeConfig { host: None, ..config() };
                p.metadata = config.to_metadata().unwrap();
            },
            ErrorKind::Format,
            "host",
        ),
        (
            "unknown field",
            |p| {
                let text = p.metadata["omniid.config"].replacen('{', "{\"colour\":1,", 1);
                p.metadata.insert("omniid.config".into(), text);
            },
            ErrorKind::Format,
            "colour",
        ),
    ];
    for (case, spoil, kind, word) in cases {
        let mut parts = Parts::sound(1);
        spoil(&mut parts);
        refused(case, parts.open(), *kind, &[word]);
    }
}
