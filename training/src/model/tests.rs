use super::*;
use crate::config::{preset, RunConfig};
use crate::optimisation::{ParameterGroup, Parameters};
use candle_core::{DType, Device};

fn tiny() -> Result<ModelConfig> {
    Ok(RunConfig::from_toml(preset("tiny").expect("a preset"))?.model)
}

fn groups() -> [ParameterGroup; 1] {
    [ParameterGroup {
        name: "encoder".to_string(),
        rate: 1.0,
        weight_decay: 0.05,
    }]
}

#[test]
fn every_trained_tensor_gets_a_gradient() -> Result<()> {
    for anchored_queries in [false, true] {
        let config = ModelConfig {
            anchored_queries,
            train_positions: true,
            ..tiny()?
        };
        let parameters = Parameters::new(&identity_parameters(&config, 0)?, &groups(), 1, &Device::Cpu)?;
        let model = IdentityModel::load(&config, parameters.builder())?;
        let photos = TensorSpec::new("photos", &[2, 3, 3, 32, 32], Initial::Normal(0.5)).tensor(1)?;
        let tokens = model.tokens(&photos)?;
        assert_eq!(tokens.dims(), [2, 16, 96]);
        // LayerNorm makes a plain sum constant, so the tokens are weighted.
        let weights = TensorSpec::new("weights", &[2, 16, 96], Initial::Normal(1.0)).tensor(2)?;
        let gradients = (tokens * weights)?.sum_all()?.backward()?;
        for (name, _, variable) in parameters.trained() {
            let gradient = gradients
                .get(variable)
                .unwrap_or_else(|| panic!("no gradient for {name}"));
            let size = gradient.abs()?.sum_all()?.to_scalar::<f32>()?;
            assert!(size.is_finite() && size > 0.0, "{name}: {size}");
        }
    }
    Ok(())
}

#[test]
fn a_frozen_backbone_is_constant_and_the_encoder_still_trains() -> Result<()> {
    let config = ModelConfig {
        freeze_backbone: true,
        ..tiny()?
    };
    let parameters = Parameters::new(&identity_parameters(&config, 0)?, &groups(), 1, &Device::Cpu)?;
    assert!(parameters.trained().all(|(name, _, _)| name.starts_with("encoder.")));
    let model = IdentityModel::load(&config, parameters.builder())?;
    let tokens = model.tokens(&Tensor::ones((1, 1, 3, 32, 32), DType::F32, &Device::Cpu)?)?;
    let gradients = tokens.sqr()?.sum_all()?.backward()?;
    let queries = parameters.get("encoder.queries").and_then(|p| p.variable());
    assert!(gradients.get(queries.expect("trained")).is_some());
    Ok(())
}

#[test]
fn only_matrices_decay() -> Result<()> {
    let specs = identity_parameters(&tiny()?, 0)?;
    let decays = |name: &str| {
        specs
            .iter()
            .find(|item| item.spec.name == name)
            .unwrap_or_else(|| panic!("no {name}"))
            .decays
    };
    assert!(decays("encoder.blocks.0.cross_attention.to_k.weight"));
    assert!(decays("backbone.vision_model.embeddings.patch_embedding.weight"));
    for name in [
        "encoder.queries",
        "backbone.vision_model.embeddings.position_embedding.weight",
        "encoder.norm_out.weight",
        "backbone.vision_model.embeddings.class_embedding",
    ] {
        assert!(!decays(name), "{name}");
    }
    assert!(!specs.iter().any(|item| item.spec.name.contains("layers.2.")));
    Ok(())
}

#[test]
fn position_codes_are_the_published_formula() {
    let codes = position_codes(3, 8);
    assert_eq!(codes.len(), 72);
    // Row 1, column 2: angles 2 and 2/10 for the column, 1 and 1/10 for the row.
    let row = &codes[5 * 8..6 * 8];
    let expected: [f64; 8] = [
        2f64.sin(),
        0.2f64.sin(),
        2f64.cos(),
        0.2f64.cos(),
        1f64.sin(),
        0.1f64.sin(),
        1f64.cos(),
        0.1f64.cos(),
    ];
    for (value, expected) in row.iter().zip(expected) {
        assert!((f64::from(*value) - expected).abs() < 1e-6);
    }
    assert_eq!(position_codes(2, 10)[8..10], [0.0, 0.0]);
}
