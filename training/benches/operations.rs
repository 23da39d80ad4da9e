//! Forward and backward passes on the CPU: the differentiable operations of the layers beside candle's own.
//!
//! `cargo bench -p omniid-training`. Prints GFLOP/s of whole training steps (the fastest and the median of some
//! rounds), counting the multiply-adds of matrix products only. `OMNIID_THREADS` sets the number of threads of the
//! operations,
//! `RAYON_NUM_THREADS` that of candle. An argument chooses the measurements whose name contains it.

use candle_core::{DType, Device, Result, Tensor, Var, D};
use candle_nn::{VarBuilder, VarMap};
use omniid::vit::{VisionConfig, VisionFamily, VisionTransformer};
use omniid_kernels::layers::{autocast, ops, Activation};
use omniid_kernels::Element;
use std::time::{Duration, Instant};

fn variable(shape: &[usize]) -> Result<Var> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count)
        .map(|i| ((i * 104_729) % 1000) as f32 / 5000.0 - 0.1)
        .collect();
    Var::from_vec(values, shape, &Device::Cpu)
}

/// Runs `forward` and the backward pass of the sum of its squares, and prints the throughput.
fn measure(what: &str, flops: f64, rounds: usize, forward: impl Fn() -> omniid::Result<Tensor>) {
    if std::env::args()
        .skip(1)
        .any(|asked| !asked.starts_with('-') && !what.contains(&asked))
    {
        return;
    }
    let step = || -> omniid::Result<[Duration; 2]> {
        let start = Instant::now();
        let loss = (forward()?.sqr()?.mean_all()? * 1e3)?;
        let middle = Instant::now();
        let gradients = loss.backward()?;
        let times = [middle - start, middle.elapsed()];
        drop(gradients);
        Ok(times)
    };
    let mut times: Vec<[Duration; 2]> = Vec::new();
    for round in 0..=rounds {
        let time = step().expect("the shapes fit");
        // The first round warms the memory up.
        if round > 0 {
            times.push(time);
        }
    }
    times.sort_by_key(|[forward, backward]| *forward + *backward);
    let rate = |[forward, backward]: [Duration; 2]| flops / (forward + backward).as_secs_f64() / 1e9;
    let [forward, backward] = times[0];
    println!(
        "{what:48} {:7.1} GFLOP/s, median {:7.1}; forward {:8.2} ms, backward {:8.2} ms",
        rate(times[0]),
        rate(times[times.len() / 2]),
        forward.as_secs_f64() * 1e3,
        backward.as_secs_f64() * 1e3
    );
}

fn plain_linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let dims = x.dims();
    let width = dims[dims.len() - 1];
    let y = x.reshape(((), width))?.matmul(&weight.t()?)?.broadcast_add(bias)?;
    let mut shape = dims.to_vec();
    shape[dims.len() - 1] = weight.dim(0)?;
    y.reshape(shape)
}

fn plain_attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, rows, inner) = q.dims3()?;
    let split = |x: &Tensor| -> Result<Tensor> {
        let tokens = x.dim(1)?;
        x.reshape((batch, tokens, heads, inner / heads))?
            .transpose(1, 2)?
            .contiguous()
    };
    let q = split(&(q * (1.0 / ((inner / heads) as f64).sqrt()))?)?;
    let scores = q.matmul(&split(k)?.transpose(2, 3)?)?;
    let weights = candle_nn::ops::softmax(&scores, D::Minus1)?;
    weights
        .matmul(&split(v)?)?
        .transpose(1, 2)?
        .reshape((batch, rows, inner))
}

fn plain_norm(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    centred
        .broadcast_div(&(variance + 1e-5)?.sqrt()?)?
        .broadcast_mul(weight)?
        .broadcast_add(bias)
}

fn linear_layer() -> Result<()> {
    let (rows, input, output) = (6144, 128, 512);
    let flops = 6.0 * (rows * input * output) as f64;
    let (x, w, b) = (
        variable(&[rows, input])?,
        variable(&[output, input])?,
        variable(&[output])?,
    );
    for element in [Element::F32, Element::BF16] {
        measure(&format!("linear 6144x128 to 512, {element:?}"), flops, 20, || {
            autocast(element, || ops::linear(&x, &w, Some(&b)))
        });
    }
    measure("linear 6144x128 to 512, gelu", flops, 20, || {
        ops::linear_with_activation(&x, &w, Some(&b), Activation::Gelu)
    });
    measure("linear 6144x128 to 512, candle", flops, 10, || {
        Ok(plain_linear(&x, &w, &b)?)
    });
    Ok(())
}

fn attention_layers() -> Result<()> {
    for (batch, rows, tokens, heads, dim) in [(96, 64, 64, 4, 32), (96, 48, 192, 4, 32), (16, 256, 256, 4, 64)] {
        let q = variable(&[batch, rows, heads * dim])?;
        let k = variable(&[batch, tokens, heads * dim])?;
        let v = variable(&[batch, tokens, heads * dim])?;
        // Two products forward; four backward. The recomputed one does not count.
        let flops = 12.0 * (batch * rows * tokens * heads * dim) as f64;
        let name = format!("attention B{batch} S{rows} T{tokens} H{heads} D{dim}");
        measure(&name, flops, 20, || ops::attention(&q, &k, &v, heads));
        measure(&format!("{name}, candle"), flops, 5, || {
            Ok(plain_attention(&q, &k, &v, heads)?)
        });
    }
    Ok(())
}

fn transformer() -> omniid::Result<()> {
    let (batch, width, inner, layers, heads, patch) = (96, 128, 512, 4, 4, 8);
    let config = VisionConfig {
        family: VisionFamily::Clip,
        hidden_size: width,
        intermediate_size: inner,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        image_size: 64,
        patch_size: patch,
        hidden_act: Activation::Gelu,
        layer_norm_eps: 1e-5,
        projection_dim: None,
    };
    let variables = VarMap::new();
    let model = VisionTransformer::load(&config, VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu))?;
    let pixels = variable(&[batch, 3, 64, 64])?.as_tensor().detach();
    let tokens = config.token_count();
    let rows = (batch * tokens) as f64;
    let per_row = 4 * width * width + 2 * width * inner + 2 * tokens * width;
    // The pixels have no gradient.
    let flops = rows * (6 * layers * per_row + 4 * 3 * patch * patch * width) as f64;
    let name = format!("ViT {batch}x{tokens} tokens, width {width}, {layers} blocks");
    for element in [Element::F32, Element::BF16] {
        measure(&format!("{name}, {element:?}"), flops, 10, || {
            autocast(element, || model.hidden_state(&pixels, layers))
        });
    }
    let data = variables.data().lock().expect("no thread panicked");
    let get = |name: &str| data[&format!("vision_model.{name}")].as_tensor().clone();
    let plain = || -> Result<Tensor> {
        let norm =
            |x: &Tensor, name: &str| plain_norm(x, &get(&format!("{name}.weight")), &get(&format!("{name}.bias")));
        let linear =
            |x: &Tensor, name: &str| plain_linear(x, &get(&format!("{name}.weight")), &get(&format!("{name}.bias")));
        let patches = pixels
            .reshape(&[batch, 3, 8, patch, 8, patch][..])?
            .permute([0, 2, 4, 1, 3, 5])?
            .reshape((batch * 64, 3 * patch * patch))?;
        let weight = get("embeddings.patch_embedding.weight").reshape((width, 3 * patch * patch))?;
        let patches = patches.matmul(&weight.t()?)?.reshape((batch, 64, width))?;
        let class = get("embeddings.class_embedding")
            .reshape((1, 1, width))?
            .broadcast_as((batch, 1, width))?;
        let x = Tensor::cat(&[&class, &patches], 1)?.broadcast_add(&get("embeddings.position_embedding.weight"))?;
        let mut x = norm(&x, "pre_layrnorm")?;
        for layer in 0..layers {
            let name = |part: &str| format!("encoder.layers.{layer}.{part}");
            let normal = norm(&x, &name("layer_norm1"))?;
            let [q, k, v] =
                ["q_proj", "k_proj", "v_proj"].map(|part| linear(&normal, &name(&format!("self_attn.{part}"))));
            let attended = plain_attention(&q?, &k?, &v?, heads)?;
            x = (x + linear(&attended, &name("self_attn.out_proj"))?)?;
            let hidden = linear(&norm(&x, &name("layer_norm2"))?, &name("mlp.fc1"))?.gelu_erf()?;
            x = (x + linear(&hidden, &name("mlp.fc2"))?)?;
        }
        Ok(x)
    };
    measure(&format!("{name}, candle"), flops, 3, || Ok(plain()?));
    Ok(())
}

fn main() -> omniid::Result<()> {
    linear_layer()?;
    attention_layers()?;
    transformer()
}
