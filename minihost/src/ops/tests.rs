use super::testing::{distance, random};
use super::*;
use candle_core::Var;
use omniid_kernels::layers::ops;
use omniid_kernels::Window;

/// Tokens as a picture.
fn picture(tokens: &Tensor, height: usize, width: usize) -> Result<Tensor> {
    let (batch, _, channels) = tokens.dims3()?;
    tokens.transpose(1, 2)?.reshape((batch, channels, height, width))
}

/// Gradients of Σ y · g by each of `variables`.
fn gradients(y: &Tensor, variables: &[&Var]) -> Result<Vec<Tensor>> {
    let weights = random("gradient", y.dims());
    let store = (y * weights)?.sum_all()?.backward()?;
    variables
        .iter()
        .map(|variable| Ok(store.get(variable.as_tensor()).expect("takes part").clone()))
        .collect()
}

#[test]
fn convolutions_and_their_gradients_equal_candles() -> Result<()> {
    for (height, width, stride, enlarge) in [(5, 6, 1, 1), (6, 4, 2, 1), (5, 7, 2, 1), (3, 4, 1, 2), (1, 1, 1, 1)] {
        let window = Window {
            height,
            width,
            stride,
            enlarge,
        };
        let x = Var::from_tensor(&random("x", &[3, height * width, 7]))?;
        let weight = Var::from_tensor(&random("weight", &[5, 7, 3, 3]))?;
        let bias = Var::from_tensor(&random("bias", &[5]))?;
        let ours = ops::convolution(&x, &weight, &bias, window).expect("the shapes fit");
        let columns = im2col(&x.detach(), window)?;
        let rows = columns.dim(1)?;
        let product = columns
            .reshape((3 * rows, 9 * 7))?
            .matmul(&taps_first(&weight.detach())?.t()?)?
            .reshape((3, rows, 5))?
            .broadcast_add(&bias)?;
        assert!(distance(&ours, &product)? < 2e-5);
        let mut whole = picture(&x, height, width)?;
        if enlarge > 1 {
            // Repetition by indices: candle's enlarging has another gradient path.
            let spread = |n: usize| {
                Tensor::from_iter(
                    (0..n * enlarge).map(|i| (i / enlarge) as u32),
                    &candle_core::Device::Cpu,
                )
            };
            whole = whole
                .index_select(&spread(height)?, 2)?
                .index_select(&spread(width)?, 3)?;
        }
        let theirs = whole.contiguous()?.conv2d(&weight, 1, stride, 1, 1)?;
        assert_eq!((theirs.dim(2)?, theirs.dim(3)?), window.output());
        let theirs = theirs
            .flatten_from(2)?
            .transpose(1, 2)?
            .contiguous()?
            .broadcast_add(&bias)?;
        assert!(distance(&ours, &theirs)? < 2e-5);
        let pairs = gradients(&ours, &[&x, &weight, &bias])?
            .into_iter()
            .zip(gradients(&theirs, &[&x, &weight, &bias])?);
        for (ours, theirs) in pairs {
            assert!(distance(&ours, &theirs)? < 5e-5, "{window:?}");
        }
    }
    Ok(())
}

/// Group normalisation written out with candle's operations.
fn composed(x: &Tensor, weight: &Tensor, bias: &Tensor, groups: usize, silu: bool) -> Result<Tensor> {
    let (batch, tokens, channels) = x.dims3()?;
    let grouped = x.reshape((batch, tokens, groups, channels / groups))?;
    let centred = grouped.broadcast_sub(&grouped.mean_keepdim((1, 3))?)?;
    let variance = centred.sqr()?.mean_keepdim((1, 3))?;
    let unit = centred.broadcast_div(&(variance + 1e-5)?.sqrt()?)?;
    let y = unit
        .reshape((batch, tokens, channels))?
        .broadcast_mul(weight)?
        .broadcast_add(bias)?;
    if silu {
        y.silu()
    } else {
        Ok(y)
    }
}

#[test]
fn group_norm_and_its_gradients_equal_the_formula() -> Result<()> {
    // Fewer tokens than a part, a multiple of it, and neither.
    for (tokens, channels, groups) in [(6, 8, 4), (128, 12, 3), (150, 6, 1), (1, 16, 2)] {
        for silu in [false, true] {
            // A mean far from 0, which a one-pass variance would not survive.
            let x = (random("x", &[3, tokens, channels]) + 30.0)?;
            let x = Var::from_tensor(&x)?;
            let weight = Var::from_tensor(&random("weight", &[channels]))?;
            let bias = Var::from_tensor(&random("bias", &[channels]))?;
            let ours = group_norm(&x, &weight, &bias, groups, 1e-5, silu)?;
            let theirs = composed(&x, &weight, &bias, groups, silu)?;
            assert!(distance(&ours, &theirs)? < 5e-5, "{tokens} tokens, silu {silu}");
            let variables = [&x, &weight, &bias];
            let pairs = gradients(&ours, &variables)?
                .into_iter()
                .zip(gradients(&theirs, &variables)?);
            for (place, (ours, theirs)) in pairs.enumerate() {
                let scale = theirs.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()?;
                let distance = distance(&ours, &theirs)?;
                assert!(
                    distance < 1e-4 * scale.max(1.0),
                    "{tokens} tokens, silu {silu}, gradient {place}: {distance}"
                );
            }
        }
    }
    let x = random("x", &[1, 4, 6]);
    assert!(group_norm(&x, &random("w", &[6]), &random("b", &[6]), 4, 1e-5, false).is_err());
    Ok(())
}

#[test]
fn rows_are_added_to_every_token() -> Result<()> {
    let x = Var::from_tensor(&random("x", &[3, 5, 4]))?;
    let row = Var::from_tensor(&random("row", &[3, 4]))?;
    let ours = add_rows(&x, &row)?;
    let theirs = x.broadcast_add(&row.unsqueeze(1)?)?;
    assert_eq!(distance(&ours, &theirs)?, 0.0);
    let pairs = gradients(&ours, &[&x, &row])?
        .into_iter()
        .zip(gradients(&theirs, &[&x, &row])?);
    for (ours, theirs) in pairs {
        assert!(distance(&ours, &theirs)? < 1e-6);
    }
    Ok(())
}
