//! Gradients against candle's own differentiation of the composed operations, and against finite differences.

use super::*;
use crate::error::Result;
use crate::layers::{autocast, Activation, Initial, TensorSpec};
use crate::simd::Isa;
use crate::Element;
use candle_core::{Device, Tensor, Var, D};

fn random(name: &str, shape: &[usize]) -> Result<Tensor> {
    TensorSpec::new(name, shape, Initial::Normal(0.7)).tensor(11)
}

fn variable(name: &str, shape: &[usize]) -> Result<Var> {
    Ok(Var::from_tensor(&random(name, shape)?)?)
}

fn flat(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

/// Greatest difference, relative to the greatest magnitude.
fn distance(a: &Tensor, b: &Tensor) -> Result<f32> {
    assert_eq!(a.dims(), b.dims());
    let (a, b) = (flat(a)?, flat(b)?);
    let scale = b.iter().fold(1e-3_f32, |m, x| m.max(x.abs()));
    // A maximum that does not skip NaN.
    Ok(a.iter().zip(&b).fold(0.0, |m, (a, b)| {
        let d = (a - b).abs() / scale;
        if d <= m {
            m
        } else {
            d
        }
    }))
}

/// Σ result · weights, with weights that differ everywhere: a loss that every result value takes part in.
fn loss(result: &Tensor) -> Result<Tensor> {
    let weights = TensorSpec::new("loss", result.dims(), Initial::Normal(1.0)).tensor(5)?;
    Ok((result * weights)?.sum_all()?)
}

/// Result and gradients of `f`, in the order of the variables.
fn differentiate(variables: &[&Var], f: impl Fn() -> Result<Tensor>) -> Result<Vec<Tensor>> {
    let result = f()?;
    let gradients = loss(&result)?.backward()?;
    let mut all = vec![result.detach()];
    for variable in variables {
        all.push(gradients.get(variable).expect("takes part in the loss").clone());
    }
    Ok(all)
}

fn compare(
    what: &str,
    limit: f32,
    variables: &[&Var],
    f: impl Fn() -> Result<Tensor>,
    reference: impl Fn() -> Result<Tensor>,
) -> Result<()> {
    let expected = differentiate(variables, reference)?;
    for isa in Isa::available() {
        let found = isa.with(|| differentiate(variables, &f))?;
        for (index, (a, b)) in found.iter().zip(&expected).enumerate() {
            let d = distance(a, b)?;
            assert!(d <= limit, "{what}, {isa:?}, tensor {index}: {d:e}");
        }
    }
    Ok(())
}

/// The derivative of the loss along a random direction of one variable, against central differences.
fn check_differences(what: &str, variables: &[&Var], f: impl Fn() -> Result<Tensor>) -> Result<()> {
    let gradients = loss(&f()?)?.backward()?;
    // Summed in f64: the differences are small beside the loss.
    let exact = |f: &dyn Fn() -> Result<Tensor>| -> Result<f64> {
        let result = f()?;
        let weights = TensorSpec::new("loss", result.dims(), Initial::Normal(1.0)).tensor(5)?;
        Ok(flat(&result)?
            .iter()
            .zip(flat(&weights)?)
            .map(|(a, b)| f64::from(*a) * f64::from(b))
            .sum())
    };
    for (index, variable) in variables.iter().enumerate() {
        let gradient = flat(gradients.get(variable).expect("takes part"))?;
        let start = variable.as_tensor().copy()?;
        let direction = random("direction", start.dims())?;
        let at = |step: f64| -> Result<f64> {
            variable.set(&(&start + (&direction * step)?)?)?;
            exact(&f)
        };
        const STEP: f64 = 1e-3;
        // Fourth order, so that the step may be large beside the rounding of f32.
        let slope = (8.0 * (at(STEP)? - at(-STEP)?) - (at(2.0 * STEP)? - at(-2.0 * STEP)?)) / (12.0 * STEP);
        variable.set(&start)?;
        let expected: f64 = gradient
            .iter()
            .zip(flat(&direction)?)
            .map(|(a, b)| f64::from(*a) * f64::from(b))
            .sum();
        let norm: f64 = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        assert!(
            (slope - expected).abs() < 5e-3 * (1.0 + norm),
            "{what}, variable {index}: {slope} by differences, {expected} by the gradient"
        );
    }
    Ok(())
}

fn plain_linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let y = x.contiguous()?.broadcast_matmul(&weight.t()?)?;
    Ok(match bias {
        Some(bias) => y.broadcast_add(bias)?,
        None => y,
    })
}

#[test]
fn linear_has_the_gradients_of_the_composed_operations() -> Result<()> {
    for (leading, input, output) in [
        (vec![1], 1, 1),
        (vec![2, 7], 13, 33),
        (vec![3, 100], 64, 96),
        (vec![600], 40, 17),
        (vec![2, 3, 5], 130, 70),
    ] {
        let shape = [leading.as_slice(), &[input]].concat();
        let (x, weight, bias) = (
            variable("x", &shape)?,
            variable("weight", &[output, input])?,
            variable("bias", &[output])?,
        );
        let (x, weight, bias) = (&x, &weight, &bias);
        compare(
            "linear",
            2e-5,
            &[x, weight, bias],
            || linear(x, weight, Some(bias)),
            || plain_linear(x, weight, Some(bias)),
        )?;
        compare(
            "linear without bias",
            2e-5,
            &[x, weight],
            || linear(x, weight, None),
            || plain_linear(x, weight, None),
        )?;
        for function in [
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::QuickGelu,
            Activation::Silu,
        ] {
            compare(
                function.name(),
                5e-5,
                &[x, weight, bias],
                || linear_with_activation(x, weight, Some(bias), function),
                || composed(&plain_linear(x, weight, Some(bias))?, function),
            )?;
        }
        check_differences("linear", &[x, weight, bias], || linear(x, weight, Some(bias)))?;
    }
    Ok(())
}

/// The activation from operations whose gradients candle knows exactly.
fn composed(x: &Tensor, function: Activation) -> Result<Tensor> {
    Ok(match function {
        Activation::Gelu => ((x * 0.5)? * ((x * 0.5_f64.sqrt())?.erf()? + 1.0)?)?,
        Activation::GeluTanh => {
            let inner = ((x + (x.powf(3.0)? * 0.044715)?)? * (2.0 / std::f64::consts::PI).sqrt())?;
            ((x * 0.5)? * (inner.tanh()? + 1.0)?)?
        }
        Activation::QuickGelu => (x / ((x * -1.702)?.exp()? + 1.0)?)?,
        Activation::Silu => (x / (x.neg()?.exp()? + 1.0)?)?,
    })
}

#[test]
fn strided_arguments_are_taken_as_they_lie() -> Result<()> {
    let (wide, weight, bias) = (
        variable("wide", &[3, 9, 40])?,
        variable("weight", &[50, 30])?,
        variable("bias", &[3, 33])?,
    );
    let (wide, weight, bias) = (&wide, &weight, &bias);
    let parts = || -> Result<(Tensor, Tensor, Tensor)> {
        Ok((
            wide.narrow(2, 5, 30)?.narrow(0, 1, 2)?,
            weight.narrow(0, 4, 33)?,
            bias.narrow(0, 1, 1)?.squeeze(0)?,
        ))
    };
    compare(
        "narrowed",
        2e-5,
        &[wide, weight, bias],
        || {
            let (x, w, b) = parts()?;
            linear(&x, &w, Some(&b))
        },
        || {
            let (x, w, b) = parts()?;
            plain_linear(&x, &w, Some(&b))
        },
    )?;
    compare(
        "transposed",
        2e-5,
        &[wide, weight],
        || linear(&wide.transpose(1, 2)?, &weight.t()?.narrow(1, 3, 9)?, None),
        || plain_linear(&wide.transpose(1, 2)?, &weight.t()?.narrow(1, 3, 9)?, None),
    )
}

fn plain_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, epsilon: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normal = centred.broadcast_div(&(variance + epsilon)?.sqrt()?)?;
    Ok(normal.broadcast_mul(weight)?.broadcast_add(bias)?)
}

#[test]
fn layer_norm_has_the_gradients_of_the_composed_operations() -> Result<()> {
    for shape in [vec![1, 3], vec![2, 7, 33], vec![300, 64], vec![2, 2, 2, 130]] {
        let width = *shape.last().unwrap_or(&1);
        let (x, weight, bias) = (
            variable("x", &shape)?,
            variable("weight", &[width])?,
            variable("bias", &[width])?,
        );
        let (x, weight, bias) = (&x, &weight, &bias);
        compare(
            "layer norm",
            5e-5,
            &[x, weight, bias],
            || layer_norm(x, weight, bias, 1e-2),
            || plain_norm(x, weight, bias, 1e-2),
        )?;
        check_differences("layer norm", &[x, weight, bias], || layer_norm(x, weight, bias, 1e-2))?;
    }
    Ok(())
}

fn plain_attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, queries, inner) = q.dims3()?;
    let split = |x: &Tensor| -> Result<Tensor> {
        let (_, tokens, _) = x.dims3()?;
        Ok(x.broadcast_as((batch, tokens, inner))?
            .reshape((batch, tokens, heads, inner / heads))?
            .transpose(1, 2)?
            .contiguous()?)
    };
    let scale = 1.0 / ((inner / heads) as f64).sqrt();
    let scores = (split(q)?.matmul(&split(k)?.transpose(2, 3)?)? * scale)?;
    let weights = candle_nn::ops::softmax(&scores, D::Minus1)?;
    let out = weights.matmul(&split(v)?)?;
    Ok(out.transpose(1, 2)?.reshape((batch, queries, inner))?)
}

#[test]
fn attention_has_the_gradients_of_the_composed_operations() -> Result<()> {
    for (batch, queries, key_batch, tokens, heads, dim) in [
        (2, 5, 2, 7, 3, 4),
        (3, 64, 3, 64, 2, 32),
        (10, 33, 1, 90, 2, 24),
        (1, 1, 1, 1, 1, 1),
    ] {
        let inner = heads * dim;
        let (q, k, v) = (
            variable("q", &[batch, queries, inner])?,
            variable("k", &[key_batch, tokens, inner])?,
            variable("v", &[key_batch, tokens, inner])?,
        );
        let (q, k, v) = (&q, &k, &v);
        compare(
            "attention",
            5e-5,
            &[q, k, v],
            || attention(q, k, v, heads),
            || plain_attention(q, k, v, heads),
        )?;
        check_differences("attention", &[q, k, v], || attention(q, k, v, heads))?;
    }
    // One tensor as queries, keys and values, each a part of it.
    let packed = variable("packed", &[2, 6, 36])?;
    let part = |n: usize| packed.narrow(2, 12 * n, 12);
    compare(
        "packed attention",
        5e-5,
        &[&packed],
        || attention(&part(0)?, &part(1)?, &part(2)?, 3),
        || plain_attention(&part(0)?, &part(1)?, &part(2)?, 3),
    )
}

#[test]
fn activations_have_the_gradients_of_the_composed_operations() -> Result<()> {
    let x = variable("x", &[3, 5, 38])?;
    let x = &x;
    for function in [
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::QuickGelu,
        Activation::Silu,
    ] {
        compare(
            function.name(),
            1e-5,
            &[x],
            || activation(x, function),
            || composed(x, function),
        )?;
    }
    let gated =
        || -> Result<Tensor> { Ok((x.narrow(2, 0, 19)? * composed(&x.narrow(2, 19, 19)?, Activation::Gelu)?)?) };
    compare("geglu", 1e-5, &[x], || geglu(x), gated)?;
    check_differences("geglu", &[x], || geglu(x))?;
    assert!(geglu(&x.narrow(2, 0, 5)?).is_err());
    Ok(())
}

#[test]
fn bf16_products_stay_near_f32_also_in_the_backward_pass() -> Result<()> {
    let (x, weight, bias) = (
        variable("x", &[200, 64])?,
        variable("weight", &[48, 64])?,
        variable("bias", &[48])?,
    );
    let variables = [&x, &weight, &bias];
    let exact = differentiate(&variables, || linear(&x, &weight, Some(&bias)))?;
    // The backward pass runs outside the scope and still has its type.
    let rounded = differentiate(&variables, || {
        autocast(Element::BF16, || linear(&x, &weight, Some(&bias)))
    })?;
    for (index, (a, b)) in rounded.iter().zip(&exact).enumerate() {
        let d = distance(a, b)?;
        // Two roundings of relative 2^-9 per product, averaged over at least 48 products.
        assert!(d < 5e-3, "tensor {index}: {d:e}");
        // The bias is summed in f32; the others show the rounding where the processor multiplies bf16.
        let shows = Isa::detect().multiplies_bf16() && index != 3;
        assert_eq!(d > 0.0, shows, "tensor {index}: {d:e}");
    }
    Ok(())
}

#[test]
fn only_what_trains_gets_a_gradient() -> Result<()> {
    let x = random("x", &[4, 6])?;
    let (weight, bias) = (random("weight", &[5, 6])?, variable("bias", &[5])?);
    let gradients = linear(&x, &weight, Some(&bias))?.sum_all()?.backward()?;
    assert_eq!(flat(gradients.get(&bias).expect("trains"))?, [4.0; 5]);
    assert!(gradients.get(&x).is_none() && gradients.get(&weight).is_none());
    Ok(())
}

#[test]
fn a_value_used_twice_gets_both_gradients() -> Result<()> {
    let (x, weight) = (variable("x", &[7, 6])?, variable("weight", &[6, 6])?);
    let (x, weight) = (&x, &weight);
    compare(
        "shared",
        2e-5,
        &[x, weight],
        || linear(&(linear(x, weight, None)? + x.as_tensor())?, weight, None),
        || plain_linear(&(plain_linear(x, weight, None)? + x.as_tensor())?, weight, None),
    )
}

#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    let (x, weight) = (random("x", &[4, 6])?, random("weight", &[5, 6])?);
    let wide = Tensor::zeros((4, 6), candle_core::DType::F64, &Device::Cpu)?;
    let kinds = [
        linear(&x, &x.t()?, None),
        linear(&x, &weight, Some(&x)),
        linear(&wide, &weight, None),
        linear(&x, &x.unsqueeze(0)?, None),
        layer_norm(&x, &weight, &weight, 1e-5),
        layer_norm(&wide, &x, &x, 1e-5),
        activation(&wide, Activation::Silu),
        attention(&x, &x, &x, 1),
        attention(&x.unsqueeze(0)?, &x.unsqueeze(0)?, &x.unsqueeze(0)?, 4),
    ];
    for error in kinds {
        let error = error.expect_err("must be refused");
        assert_eq!(error.kind(), crate::ErrorKind::Mismatch, "{error}");
    }
    Ok(())
}
