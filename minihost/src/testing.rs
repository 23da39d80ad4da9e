//! Small hosts with random weights for tests.

use crate::flow::Prediction;
use crate::{Minihost, MinihostConfig, MinihostSizes, View};
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use omniid_kernels::layers::{random_tensors, Initial};
use std::collections::HashMap;

/// 8 × 8 pixels in blocks of 2, two levels.
pub fn config(prediction: Prediction) -> MinihostConfig {
    let sizes = MinihostSizes {
        size: 8,
        block: 2,
        channels: vec![8, 16],
        layers_per_block: 1,
        plain_levels: 0,
        time_width: None,
        transformer_layers_per_block: 1,
        head_width: 4,
        context_width: 6,
        context_tokens: 2,
        map_channels: 3,
    };
    MinihostConfig::new(&sizes, prediction).unwrap()
}

/// Random values for every tensor, also for those that start at zero.
pub fn weights(config: &MinihostConfig) -> Vec<(String, Tensor)> {
    let mut specs = config.tensors().unwrap();
    for spec in &mut specs {
        if spec.initial == Initial::Constant(0.0) {
            let inputs = spec.shape.iter().skip(1).product::<usize>();
            spec.initial = Initial::Normal(0.5 / (inputs as f32).sqrt());
        }
    }
    random_tensors(&specs, 11).unwrap()
}

/// A host for inference.
pub fn host(prediction: Prediction) -> Minihost {
    let config = config(prediction);
    let tensors = weights(&config).into_iter().collect();
    Minihost::load(&config, VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu)).unwrap()
}

/// A host for training, and its variables.
pub fn trainable(prediction: Prediction) -> (Minihost, HashMap<String, Var>) {
    let config = config(prediction);
    let variables: HashMap<_, _> = weights(&config)
        .into_iter()
        .map(|(name, tensor)| (name, Var::from_tensor(&tensor).unwrap()))
        .collect();
    let tensors = variables
        .iter()
        .map(|(name, variable)| (name.clone(), variable.as_tensor().clone()))
        .collect();
    let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    (Minihost::load(&config, vb).unwrap(), variables)
}

/// Views as vectors `[count, 46]`.
pub fn views(count: usize) -> Tensor {
    let rows: Vec<f32> = (0..count)
        .flat_map(|i| {
            let view = View {
                yaw: i as f32 * 0.3,
                ..View::default()
            };
            view.to_vector()
        })
        .collect();
    Tensor::from_vec(rows, (count, View::LENGTH), &Device::Cpu).unwrap()
}
