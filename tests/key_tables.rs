//! The tables of keys in `docs/formats.md` are the descriptions of the networks. `OMNIID_UPDATE_DOCS=1` writes them.

use omniid::adapter::{Adapter, AdapterLayout};
use omniid::checkpoint::TensorSpec;
use omniid::encoder::{
    EncoderConfig, FaceIdConfig, FaceIdPlusConfig, FullFaceConfig, OmniIdConfig, ProjectionConfig, ResamplerConfig,
};
use omniid::face::FaceDetector;
use omniid::host::{HostLayer, HostSpec};
use omniid::vit::{VisionConfig, VisionTransformer};

/// Sizes by name. They are different primes, so that a dimension tells by its factors what it is made of.
type Sizes<'a> = &'a [(usize, &'a str)];

const OMNI_ID: Sizes = &[
    (11, "queries"),
    (13, "width"),
    (17, "heads"),
    (19, "head width"),
    (23, "multiplier"),
    (29, "feature width"),
    (31, "feature tokens"),
    (37, "token width"),
];
const RESAMPLER: Sizes = &[
    (11, "feature width"),
    (13, "width"),
    (17, "heads"),
    (19, "head width"),
    (23, "inner width"),
    (29, "tokens"),
    (31, "token width"),
];
const PROJECTION: Sizes = &[
    (11, "feature width"),
    (13, "inner width"),
    (17, "tokens"),
    (19, "token width"),
];
const FACE_ID: Sizes = &[
    (11, "embedding width"),
    (13, "projection width"),
    (17, "feature width"),
    (19, "heads"),
    (23, "head width"),
    (29, "inner width"),
    (31, "tokens"),
    (37, "token width"),
];
const VISION: Sizes = &[
    (5, "patch"),
    (11, "width"),
    (13, "intermediate"),
    (17, "projection"),
    (37, "tokens"),
];
const ADAPTER: Sizes = &[(11, "heads"), (13, "head width"), (17, "context"), (19, "token width")];

fn omni_id() -> EncoderConfig {
    EncoderConfig::OmniId(OmniIdConfig {
        queries: 11,
        width: 13,
        depth: 1,
        heads: 17,
        head_width: 19,
        feed_forward_multiplier: 23,
        feature_width: 29,
        feature_tokens: 31,
        token_width: 37,
        key_position: true,
        include_class_token: true,
    })
}

fn resampler() -> EncoderConfig {
    EncoderConfig::Resampler(ResamplerConfig {
        feature_width: 11,
        width: 13,
        depth: 1,
        heads: 17,
        head_width: 19,
        inner_width: 23,
        tokens: 29,
        token_width: 31,
    })
}

fn vision() -> VisionConfig {
    VisionConfig {
        hidden_size: 11,
        intermediate_size: 13,
        num_hidden_layers: 1,
        num_attention_heads: 1,
        image_size: 30,
        patch_size: 5,
        projection_dim: Some(17),
        ..VisionConfig::clip_h14()
    }
}

fn adapter() -> Vec<TensorSpec> {
    let host = HostSpec::custom("any", vec![HostLayer::new("layer", 11, 13, 17)]).unwrap();
    Adapter::tensors(&AdapterLayout::native(&host, 19), &host).unwrap()
}

/// A dimension by the names of its factors.
fn dimension(mut size: usize, sizes: Sizes) -> String {
    let mut factors = Vec::new();
    for (prime, name) in sizes {
        while size.is_multiple_of(*prime) {
            size /= prime;
            factors.push(name.to_string());
        }
    }
    if size > 1 || factors.is_empty() {
        factors.insert(0, size.to_string());
    }
    factors.join(" · ")
}

/// One row per layer: its weight and its bias together.
fn table(specs: &[TensorSpec], sizes: Sizes) -> String {
    let shape = |spec: &TensorSpec| {
        let dimensions = spec.shape.iter().map(|size| dimension(*size, sizes));
        format!("[{}]", dimensions.collect::<Vec<_>>().join(", "))
    };
    let mut text = "| key | shape |\n|---|---|\n".to_string();
    let mut rest = specs;
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        let mut name = first.name.clone();
        let mut shapes = vec![shape(first)];
        if let (Some(layer), Some(second)) = (first.name.strip_suffix(".weight"), others.first()) {
            if second.name == format!("{layer}.bias") {
                name = format!("{layer}.{{weight,bias}}");
                shapes.push(shape(second));
                rest = &others[1..];
            }
        }
        shapes.dedup();
        for list in ["blocks.0.", "layers.0."] {
            name = name.replacen(list, &list.replace('0', "{i}"), 1);
        }
        let optional = if first.optional { ", optional" } else { "" };
        text.push_str(&format!("| `{name}` | {}{optional} |\n", shapes.join(", ")));
    }
    text
}

#[test]
fn the_tables_of_keys_are_the_descriptions() {
    let encoder = |config: EncoderConfig| config.tensors().unwrap();
    let full_face = EncoderConfig::FullFace(FullFaceConfig {
        feature_width: 11,
        inner_width: 13,
        token_width: 19,
    });
    let projection = EncoderConfig::Projection(ProjectionConfig {
        feature_width: 11,
        tokens: 17,
        token_width: 19,
    });
    let face_id = EncoderConfig::FaceId(FaceIdConfig {
        embedding_width: 11,
        inner_width: 13,
        tokens: 31,
        token_width: 37,
    });
    let face_id_plus = EncoderConfig::FaceIdPlus(FaceIdPlusConfig {
        embedding_width: 11,
        projection_width: 13,
        feature_width: 17,
        depth: 1,
        heads: 19,
        head_width: 23,
        inner_width: 29,
        tokens: 31,
        token_width: 37,
        shortcut: true,
    });
    let tables = [
        ("vision", table(&VisionTransformer::tensors(&vision()).unwrap(), VISION)),
        ("omni_id", table(&encoder(omni_id()), OMNI_ID)),
        ("resampler", table(&encoder(resampler()), RESAMPLER)),
        ("full_face", table(&encoder(full_face), PROJECTION)),
        ("projection", table(&encoder(projection), PROJECTION)),
        ("face_id", table(&encoder(face_id), FACE_ID)),
        ("face_id_plus", table(&encoder(face_id_plus), FACE_ID)),
        ("adapter", table(&adapter(), ADAPTER)),
    ];
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/formats.md");
    let page = std::fs::read_to_string(path).unwrap();
    let mut updated = page.clone();
    for (name, table) in tables {
        let begin = format!("<!-- keys: {name} -->\n");
        let start = page
            .find(&begin)
            .unwrap_or_else(|| panic!("docs/formats.md has no table {name}"));
        let old = page[start + begin.len()..].split("<!-- end -->").next().unwrap();
        updated = updated.replace(&format!("{begin}{old}"), &format!("{begin}\n{table}\n"));
    }
    assert_eq!(FaceDetector::tensors().unwrap().len(), 118);
    assert!(page.contains("118 tensors"));
    if std::env::var_os("OMNIID_UPDATE_DOCS").is_some() {
        std::fs::write(path, &updated).unwrap();
    } else {
        assert!(
            updated == page,
            "docs/formats.md has other keys than the networks; OMNIID_UPDATE_DOCS=1 writes the tables"
        );
    }
}
