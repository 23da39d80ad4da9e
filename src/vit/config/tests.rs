use super::*;
use crate::tensor_file::Shapes;
use crate::vit::VisionTransformer;
use crate::ErrorKind;

fn shapes(config: &VisionConfig) -> Shapes {
    VisionTransformer::tensors(config)
        .expect("possible sizes")
        .into_iter()
        .collect()
}

/// The same under the prefix `backbone`.
fn below(shapes: &Shapes) -> Shapes {
    let prefixed = |(name, shape): (&str, &[usize])| (format!("backbone.{name}"), shape.to_vec());
    shapes.iter().map(prefixed).collect()
}

fn infer(shapes: &Shapes, json: Option<&str>) -> Result<VisionConfig> {
    VisionConfig::infer(shapes.clone(), json)
}

#[test]
fn presets_have_the_published_parameter_counts() {
    // Parameters of `CLIPVisionModelWithProjection` at these sizes, counted with transformers 5.23.
    for (config, expected) in [
        (VisionConfig::clip_b32(), 87_849_216),
        (VisionConfig::clip_l14(), 303_966_208),
        (VisionConfig::clip_h14(), 632_076_800),
        (VisionConfig::clip_bigg14(), 1_844_907_264),
    ] {
        let count: usize = VisionTransformer::tensors(&config)
            .expect("possible sizes")
            .iter()
            .map(|s| s.shape.iter().product::<usize>())
            .sum();
        assert_eq!(count, expected, "{config:?}");
    }
}

#[test]
fn published_models_are_known_by_their_shapes() -> Result<()> {
    for preset in [
        VisionConfig::clip_l14(),
        VisionConfig::clip_h14(),
        VisionConfig::clip_bigg14(),
    ] {
        assert_eq!(infer(&below(&shapes(&preset)).sub("backbone"), None)?, preset);
    }
    let larger = VisionConfig {
        image_size: 336,
        ..VisionConfig::clip_l14()
    };
    assert_eq!(infer(&shapes(&larger), None)?, larger);
    let headless = VisionConfig {
        projection_dim: None,
        ..VisionConfig::clip_h14()
    };
    assert_eq!(infer(&shapes(&headless), None)?, headless);
    Ok(())
}

#[test]
fn other_families_have_the_published_parameter_counts() -> Result<()> {
    // Counted with transformers 5.23 (mask tokens left out) and timm 1.0.31 at these sizes.
    for (config, expected) in [
        (VisionConfig::siglip_b16(256), 92_930_304),
        (VisionConfig::siglip_so400m14(384), 428_225_600),
        (VisionConfig::dinov2_small(0), 22_056_192),
        (VisionConfig::dinov2_giant(4), 1_136_485_376),
        (VisionConfig::eva02_clip_l14_336(), 304_432_832),
    ] {
        let specs = VisionTransformer::tensors(&config)?;
        // A file may hold EVA02's rotary table too; it is no parameter.
        let parameters = specs.iter().filter(|s| !s.optional);
        let count: usize = parameters.map(|s| s.shape.iter().product::<usize>()).sum();
        assert_eq!(count, expected, "{config:?}");
        assert_eq!(infer(&shapes(&config), None)?, config);
    }
    Ok(())
}

#[test]
fn config_json_of_other_families_is_read() -> Result<()> {
    let siglip = r#"{"model_type": "siglip", "vision_config": {"hidden_size": 1152, "image_size": 384,
        "intermediate_size": 4304, "model_type": "siglip_vision_model", "num_attention_heads": 16,
        "num_hidden_layers": 27, "patch_size": 14}}"#;
    assert_eq!(
        VisionConfig::from_config_json(siglip)?,
        VisionConfig::siglip_so400m14(384)
    );
    let dinov2 = r#"{"model_type": "dinov2", "hidden_size": 1536, "image_size": 518, "mlp_ratio": 4, "patch_size": 14,
        "num_attention_heads": 24, "num_hidden_layers": 40, "use_swiglu_ffn": true}"#;
    assert_eq!(VisionConfig::from_config_json(dinov2)?, VisionConfig::dinov2_giant(0));
    // timm's names an architecture; the shapes decide.
    let timm = r#"{"architecture": "vit_so400m_patch14_siglip_384", "num_classes": 0}"#;
    let preset = VisionConfig::siglip_so400m14(384);
    assert_eq!(infer(&shapes(&preset), Some(timm))?, preset);
    let error = infer(&shapes(&preset), Some(dinov2)).expect_err("another family");
    assert!(error.message().contains("describes DINOv2"), "{error}");
    Ok(())
}

#[test]
fn an_unknown_size_asks_for_the_config() {
    let odd = VisionConfig {
        num_hidden_layers: 7,
        ..VisionConfig::clip_h14()
    };
    let error = infer(&shapes(&odd), None).expect_err("seven layers are no published model");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(
        error.message().contains("config.json") && error.message().contains("7 layers"),
        "{error}"
    );
}

#[test]
fn config_json_is_read_flat_and_nested() -> Result<()> {
    let flat = r#"{"model_type": "clip_vision_model", "hidden_size": 64, "intermediate_size": 128,
        "num_hidden_layers": 4, "num_attention_heads": 4, "image_size": 56, "patch_size": 14,
        "hidden_act": "gelu", "layer_norm_eps": 1e-5, "projection_dim": 32, "dropout": 0.0}"#;
    let config = VisionConfig::from_config_json(flat)?;
    assert_eq!(
        (config.token_count(), config.hidden_act, config.projection_dim),
        (17, Activation::Gelu, Some(32))
    );
    assert_eq!(infer(&shapes(&config), Some(flat))?, config);
    let nested = format!(r#"{{"projection_dim": 48, "vision_config": {flat}}}"#);
    assert_eq!(VisionConfig::from_config_json(&nested)?.projection_dim, Some(48));
    // transformers writes only what differs from ViT-B/32 into some files.
    assert_eq!(VisionConfig::from_config_json("{}")?, VisionConfig::clip_b32());
    Ok(())
}

#[test]
fn wrong_configs_are_refused() -> Result<()> {
    let h14 = shapes(&VisionConfig::clip_h14());
    let lying = r#"{"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 31,
        "num_attention_heads": 16, "patch_size": 14, "hidden_act": "gelu"}"#;
    let error = infer(&h14, Some(lying)).expect_err("31 layers are not 32");
    assert!(error.message().contains("num_hidden_layers 31"), "{error}");
    for text in [
        "[]",
        "{",
        r#"{"hidden_act": "relu6"}"#,
        r#"{"num_attention_heads": 7}"#,
        r#"{"num_attention_heads": 0}"#,
        r#"{"patch_size": 512}"#,
        r#"{"layer_norm_eps": -1}"#,
        r#"{"hidden_size": 99999999999}"#,
    ] {
        assert_eq!(
            VisionConfig::from_config_json(text).expect_err(text).kind(),
            ErrorKind::Format
        );
    }
    let broken = h14.iter().map(|(name, shape)| {
        let flat = name == "vision_model.embeddings.patch_embedding.weight";
        (name.to_string(), if flat { vec![1280, 588] } else { shape.to_vec() })
    });
    let broken: Shapes = broken.collect();
    assert_eq!(
        infer(&broken, None).expect_err("two dimensions").kind(),
        ErrorKind::Format
    );
    assert!(infer(&Shapes::default(), None).is_err());
    Ok(())
}
