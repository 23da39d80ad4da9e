use super::*;
use crate::ErrorKind;
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use omniid_kernels::layers::{random_tensors, Activation};
use std::collections::HashMap;

fn tiny() -> VisionConfig {
    VisionConfig {
        family: VisionFamily::Clip,
        hidden_size: 16,
        intermediate_size: 32,
        num_hidden_layers: 3,
        num_attention_heads: 2,
        image_size: 12,
        patch_size: 4,
        hidden_act: Activation::Gelu,
        layer_norm_eps: 1e-5,
        projection_dim: Some(8),
    }
}

fn builder(config: &VisionConfig, prefix: &str) -> Result<VarBuilder<'static>> {
    let tensors: HashMap<String, Tensor> = random_tensors(&VisionTransformer::tensors(config)?, 1)?
        .into_iter()
        .map(|(name, tensor)| (format!("{prefix}{name}"), tensor))
        .collect();
    Ok(VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu))
}

fn pixels(batch: usize) -> Result<Tensor> {
    TensorSpec::new("pixels", &[batch, 3, 12, 12], Initial::Normal(1.0)).tensor(2)
}

fn difference(a: &Tensor, b: &Tensor) -> Result<f32> {
    assert_eq!(a.dims(), b.dims());
    Ok((a - b)?.abs()?.flatten_all()?.max(0)?.to_scalar()?)
}

#[test]
fn penultimate_is_the_state_before_the_last_block() -> Result<()> {
    let config = tiny();
    let model = VisionTransformer::load(&config, builder(&config, "backbone.")?.pp("backbone"))?;
    let short = VisionTransformer::load_for_penultimate(&config, builder(&config, "")?)?;
    let states = model.hidden_states(&pixels(2)?)?;
    assert_eq!(states.len(), 4);
    assert_eq!(states[0].dims(), [2, 10, 16]);
    assert_eq!(difference(&states[2], &model.penultimate(&pixels(2)?)?)?, 0.0);
    assert_eq!(difference(&states[2], &short.penultimate(&pixels(2)?)?)?, 0.0);
    assert_eq!(
        short.image_embeds(&pixels(1)?).expect_err("no head").kind(),
        ErrorKind::Unsupported
    );
    assert_eq!(
        model.hidden_state(&pixels(1)?, 4).expect_err("3 blocks").kind(),
        ErrorKind::InvalidArgument
    );
    Ok(())
}

#[test]
fn batches_change_nothing() -> Result<()> {
    let config = tiny();
    let model = VisionTransformer::load(&config, builder(&config, "")?)?;
    let photos = pixels(5)?;
    for batch in [1, 2, 5, 9] {
        let hidden = model.penultimate_in_batches(&photos, batch)?;
        assert!(difference(&hidden, &model.penultimate(&photos)?)? <= 1e-6);
        let embeds = model.image_embeds_in_batches(&photos, batch)?;
        assert_eq!(embeds.dims(), [5, 8]);
        assert!(difference(&embeds, &model.image_embeds(&photos)?)? <= 1e-6);
    }
    Ok(())
}

#[test]
fn a_missing_or_misshapen_tensor_is_named() -> Result<()> {
    let config = tiny();
    let error = VisionTransformer::load(
        &config,
        VarBuilder::from_tensors(HashMap::new(), DType::F32, &Device::Cpu),
    )
    .expect_err("there are no tensors");
    assert_eq!(error.kind(), ErrorKind::Format);
    assert!(
        error.message().contains("vision_model.embeddings.class_embedding"),
        "{error}"
    );
    let other = VisionConfig {
        intermediate_size: 40,
        ..tiny()
    };
    let error = VisionTransformer::load(&other, builder(&config, "")?).expect_err("32 is not 40");
    assert!(
        error.message().contains("mlp.fc1.weight") && error.message().contains("40"),
        "{error}"
    );
    Ok(())
}

#[test]
fn pixels_of_another_size_are_refused() -> Result<()> {
    let config = tiny();
    let model = VisionTransformer::load(&config, builder(&config, "")?)?;
    for shape in [
        vec![1, 3, 12, 16],
        vec![1, 1, 12, 12],
        vec![0, 3, 12, 12],
        vec![3, 12, 12],
    ] {
        let wrong = Tensor::zeros(shape, DType::F32, &Device::Cpu)?;
        assert_eq!(
            model.penultimate(&wrong).expect_err("wrong shape").kind(),
            ErrorKind::Mismatch
        );
    }
    Ok(())
}
