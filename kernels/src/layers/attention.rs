//! Multi-head attention on tensors of layout `[batch, tokens, heads · head width]`.

use super::cpu;
use crate::attention::MAX_HEAD_DIM;
use crate::error::{Error, Result};
use candle_core::{DType, Tensor, D};

/// Scaled dot-product attention: softmax(q kᵀ / √d) v per head, with the softmax in f32.
///
/// `query` `[batch, queries, heads · d]`, `key` and `value` `[batch, tokens, heads · d]`; the result has the shape
/// and the dtype of `query`. A key batch of 1 serves every query batch.
///
/// # Errors
/// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the shapes do not fit each other or the heads.
pub fn attention(query: &Tensor, key: &Tensor, value: &Tensor, heads: usize) -> Result<Tensor> {
    check(query, key, value, heads)?;
    let (batch, queries, inner) = query.dims3()?;
    let head_width = inner / heads;
    let tensors = [query, key, value];
    let kernel_fits = cpu::is_f32(&tensors) && head_width <= MAX_HEAD_DIM;
    if kernel_fits && !tensors.iter().any(|x| x.track_op()) {
        return on_cpu(query, key, value, heads);
    }
    #[cfg(feature = "gradients")]
    if kernel_fits {
        return super::ops::attention(query, key, value, heads);
    }
    // Scaling the query rather than the scores keeps f16 scores inside the range of f16.
    let scale = 1.0 / (head_width as f64).sqrt();
    let q = split_heads(&(query * scale)?, heads)?;
    let k = split_heads(&spread(key, batch)?, heads)?;
    let v = split_heads(&spread(value, batch)?, heads)?;
    let scores = q.matmul(&k.transpose(2, 3)?)?.to_dtype(DType::F32)?;
    let weights = if scores.track_op() {
        candle_nn::ops::softmax(&scores, D::Minus1)?
    } else {
        candle_nn::ops::softmax_last_dim(&scores)?
    };
    let out = weights.to_dtype(query.dtype())?.matmul(&v)?;
    Ok(out.transpose(1, 2)?.reshape((batch, queries, inner))?)
}

/// The weights of [`attention`] alone, for looking at: softmax(q kᵀ / √d), the mean over heads, in f32.
///
/// `query` `[batch, queries, heads · d]` and `key` `[batch, tokens, heads · d]` give `[batch, queries, tokens]`, whose
/// rows have sum 1. Takes memory for every head's weights at once, unlike [`attention`].
///
/// # Errors
/// As [`attention`].
pub fn attention_weights(query: &Tensor, key: &Tensor, heads: usize) -> Result<Tensor> {
    check(query, key, key, heads)?;
    let (batch, _, inner) = query.dims3()?;
    let scale = 1.0 / ((inner / heads) as f64).sqrt();
    let q = split_heads(&(query * scale)?, heads)?;
    let k = split_heads(&spread(key, batch)?, heads)?;
    let scores = q.matmul(&k.transpose(2, 3)?)?.to_dtype(DType::F32)?;
    Ok(candle_nn::ops::softmax_last_dim(&scores)?.mean(1)?)
}

/// Attention by the CPU kernel, on the tensors as they lie in memory.
fn on_cpu(query: &Tensor, key: &Tensor, value: &Tensor, heads: usize) -> Result<Tensor> {
    let (q_storage, q_layout) = query.storage_and_layout();
    let (k_storage, k_layout) = key.storage_and_layout();
    let (v_storage, v_layout) = value.storage_and_layout();
    let output = cpu::attend(
        (cpu::on_cpu(&q_storage)?, q_layout),
        (cpu::on_cpu(&k_storage)?, k_layout),
        (cpu::on_cpu(&v_storage)?, v_layout),
        heads,
    )?;
    Ok(Tensor::from_vec(output, query.shape(), query.device())?)
}

/// `[batch, tokens, heads · d]` to a contiguous `[batch, heads, tokens, d]`.
fn split_heads(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, tokens, inner) = x.dims3()?;
    Ok(x.reshape((batch, tokens, heads, inner / heads))?
        .transpose(1, 2)?
        .contiguous()?)
}

/// Repeats a batch of 1 for every query batch.
fn spread(x: &Tensor, batch: usize) -> Result<Tensor> {
    let (have, tokens, inner) = x.dims3()?;
    if have == batch {
        return Ok(x.clone());
    }
    Ok(x.broadcast_as((batch, tokens, inner))?)
}

fn check(query: &Tensor, key: &Tensor, value: &Tensor, heads: usize) -> Result<()> {
    let (q, k, v) = (query.dims(), key.dims(), value.dims());
    let fits = q.len() == 3
        && k.len() == 3
        && k == v
        && (k[0] == q[0] || k[0] == 1)
        && k[1] > 0
        && k[2] == q[2]
        && heads > 0
        && q[2] % heads == 0;
    if fits {
        return Ok(());
    }
    Err(Error::mismatch(format!(
        "attention with {heads} heads got query {q:?}, key {k:?}, value {v:?}; it needs [batch, queries, inner] and \
         twice [batch or 1, tokens, inner], with at least one token and inner a multiple of the heads"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{Initial, TensorSpec};
    use candle_core::{Device, Var};

    fn random(name: &str, shape: &[usize]) -> Result<Tensor> {
        TensorSpec::new(name, shape, Initial::Normal(1.0)).tensor(7)
    }

    /// The formula written out in f64.
    fn formula(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Vec<f64>> {
        let (batch, queries, inner) = q.dims3()?;
        let tokens = k.dim(1)?;
        let d = inner / heads;
        let [q, k, v] = [q, k, v].map(|t| t.flatten_all().and_then(|t| t.to_vec1::<f32>()));
        let (q, k, v) = (q?, k?, v?);
        let mut out = Vec::new();
        for b in 0..batch {
            for s in 0..queries {
                for c in 0..inner {
                    let h = c / d;
                    let score = |t: usize| -> f64 {
                        let dot = |i: usize| {
                            q[(b * queries + s) * inner + h * d + i] as f64
                                * k[(b * tokens + t) * inner + h * d + i] as f64
                        };
                        ((0..d).map(dot).sum::<f64>() / (d as f64).sqrt()).exp()
                    };
                    let total: f64 = (0..tokens).map(score).sum();
                    let sum: f64 = (0..tokens)
                        .map(|t| score(t) * v[(b * tokens + t) * inner + c] as f64)
                        .sum();
                    out.push(sum / total);
                }
            }
        }
        Ok(out)
    }

    #[test]
    fn equals_the_formula_with_and_without_gradients() -> Result<()> {
        let (q, k, v) = (
            random("q", &[2, 5, 12])?,
            random("k", &[2, 7, 12])?,
            random("v", &[2, 7, 12])?,
        );
        let expected = formula(&q, &k, &v, 3)?;
        let tracked = Var::from_tensor(&q)?;
        for query in [&q, tracked.as_tensor()] {
            let got = attention(query, &k, &v, 3)?.flatten_all()?.to_vec1::<f32>()?;
            for (a, b) in got.iter().zip(&expected) {
                assert!((*a as f64 - b).abs() < 1e-6, "{a} against {b}");
            }
        }
        Ok(())
    }

    #[test]
    fn weights_times_values_is_the_attention_of_one_head() -> Result<()> {
        let (q, k, v) = (
            random("q", &[2, 5, 4])?,
            random("k", &[2, 7, 4])?,
            random("v", &[2, 7, 4])?,
        );
        let got = attention_weights(&q, &k, 1)?.matmul(&v)?.flatten_all()?;
        let expected = formula(&q, &k, &v, 1)?;
        for (a, b) in got.to_vec1::<f32>()?.iter().zip(&expected) {
            assert!((*a as f64 - b).abs() < 1e-6, "{a} against {b}");
        }
        // With several heads every row is still a share of the whole.
        let sums = attention_weights(&q, &k, 2)?.sum(2)?.flatten_all()?;
        assert!(sums.to_vec1::<f32>()?.iter().all(|sum| (sum - 1.0).abs() < 1e-5));
        Ok(())
    }

    #[test]
    fn keys_and_values_may_be_parts_of_one_tensor() -> Result<()> {
        let (q, kv) = (random("q", &[2, 5, 12])?, random("kv", &[2, 7, 24])?);
        let (k, v) = (kv.narrow(2, 0, 12)?, kv.narrow(2, 12, 12)?);
        let expected = formula(&q, &k, &v, 3)?;
        let got = attention(&q, &k, &v, 3)?.flatten_all()?.to_vec1::<f32>()?;
        for (a, b) in got.iter().zip(&expected) {
            assert!((*a as f64 - b).abs() < 1e-6, "{a} against {b}");
        }
        Ok(())
    }

    #[test]
    fn one_key_batch_serves_all_queries() -> Result<()> {
        let (q, k, v) = (
            random("q", &[3, 4, 8])?,
            random("k", &[1, 6, 8])?,
            random("v", &[1, 6, 8])?,
        );
        let together = attention(&q, &k, &v, 2)?;
        for b in 0..3 {
            let alone = attention(&q.narrow(0, b, 1)?, &k, &v, 2)?;
            let difference = (together.narrow(0, b, 1)? - alone)?.abs()?.flatten_all()?.max(0)?;
            assert!(difference.to_scalar::<f32>()? <= 1e-6);
        }
        Ok(())
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() -> Result<()> {
        let (q, k) = (random("q", &[1, 4, 8])?, random("k", &[1, 6, 8])?);
        let short = random("short", &[1, 6, 4])?;
        let none = Tensor::zeros((1, 0, 8), DType::F32, &Device::Cpu)?;
        for (key, heads) in [(&k, 3), (&k, 0), (&short, 2), (&none, 2)] {
            let error = attention(&q, key, key, heads).expect_err("must be refused");
            assert_eq!(error.kind(), crate::ErrorKind::Mismatch);
        }
        Ok(())
    }
}
