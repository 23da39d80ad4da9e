//! The tensors of a vision transformer.

use super::VisionConfig;
use omniid_kernels::layers::{Initial, TensorSpec};

/// Every tensor of the model, in the order of a forward pass, with its Hugging Face name.
///
/// Standard deviations follow CLIP's own initialisation: projections into the residual stream are damped by
/// √(2 · layers), so that random weights give activations of a sensible size at any depth.
pub fn vision_tensors(config: &VisionConfig) -> Vec<TensorSpec> {
    let width = config.hidden_size;
    let std = 1.0 / (width as f32).sqrt();
    let damped = std / (2.0 * config.num_hidden_layers as f32).sqrt();
    let mut specs = vec![
        TensorSpec::new(
            "vision_model.embeddings.class_embedding",
            &[width],
            Initial::Normal(std),
        ),
        TensorSpec::new(
            "vision_model.embeddings.patch_embedding.weight",
            &[width, 3, config.patch_size, config.patch_size],
            Initial::TruncatedNormal(0.02),
        ),
        TensorSpec::new(
            "vision_model.embeddings.position_embedding.weight",
            &[config.token_count(), width],
            Initial::TruncatedNormal(0.02),
        ),
    ];
    norm(&mut specs, "vision_model.pre_layrnorm", width);
    for layer in 0..config.num_hidden_layers {
        let block = format!("vision_model.encoder.layers.{layer}");
        norm(&mut specs, &format!("{block}.layer_norm1"), width);
        for (name, std) in [
            ("q_proj", std),
            ("k_proj", std),
            ("v_proj", damped),
            ("out_proj", std),
        ] {
            linear(
                &mut specs,
                &format!("{block}.self_attn.{name}"),
                width,
                width,
                std,
            );
        }
        norm(&mut specs, &format!("{block}.layer_norm2"), width);
        linear(
            &mut specs,
            &format!("{block}.mlp.fc1"),
            config.intermediate_size,
            width,
            std,
        );
        linear(
            &mut specs,
            &format!("{block}.mlp.fc2"),
            width,
            config.intermediate_size,
            damped,
        );
    }
    norm(&mut specs, "vision_model.post_layernorm", width);
    if let Some(projection) = config.projection_dim {
        specs.push(TensorSpec::new(
            "visual_projection.weight",
            &[projection, width],
            Initial::TruncatedNormal(std),
        ));
    }
    specs
}

fn norm(specs: &mut Vec<TensorSpec>, name: &str, width: usize) {
    specs.push(TensorSpec::new(
        format!("{name}.weight"),
        &[width],
        Initial::Constant(1.0),
    ));
    specs.push(TensorSpec::new(
        format!("{name}.bias"),
        &[width],
        Initial::Constant(0.0),
    ));
}

fn linear(specs: &mut Vec<TensorSpec>, name: &str, output: usize, input: usize, std: f32) {
    specs.push(TensorSpec::new(
        format!("{name}.weight"),
        &[output, input],
        Initial::TruncatedNormal(std),
    ));
    specs.push(TensorSpec::new(
        format!("{name}.bias"),
        &[output],
        Initial::Constant(0.0),
    ));
}
