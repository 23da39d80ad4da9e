//! Means and cosines of plain vectors.

/// Mean cosine between different tokens of one person, over people: 1 when all tokens are one and the same vector.
/// `people` are `[people, tokens · width]`.
pub fn token_cosine<Row: AsRef<[f32]>>(people: &[Row], width: usize) -> f64 {
    let (mut sum, mut pairs) = (0.0, 0.0);
    for person in people {
        let tokens = person.as_ref().chunks_exact(width);
        let count = tokens.len();
        // The sum over all pairs of unit vectors is the squared length of their sum.
        let mut total = vec![0f64; width];
        for token in tokens {
            let length = token.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            for (total, value) in total.iter_mut().zip(token) {
                *total += f64::from(*value) / length.max(1e-12);
            }
        }
        let all = total.iter().map(|x| x * x).sum::<f64>();
        sum += all - count as f64;
        pairs += (count * (count - 1)) as f64;
    }
    sum / pairs
}

/// The mean of equally long vectors; empty for none.
pub fn mean<Row: AsRef<[f32]>>(rows: impl IntoIterator<Item = Row>) -> Vec<f32> {
    let mut sum: Vec<f64> = Vec::new();
    let mut count = 0f64;
    for row in rows {
        let row = row.as_ref();
        sum.resize(row.len(), 0.0);
        for (sum, value) in sum.iter_mut().zip(row) {
            *sum += f64::from(*value);
        }
        count += 1.0;
    }
    sum.into_iter().map(|sum| (sum / count) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_tokens_have_cosine_one_and_orthogonal_ones_none() {
        assert!((token_cosine(&[[1.0, 2.0, 2.0, 4.0]], 2) - 1.0).abs() < 1e-9);
        assert!(token_cosine(&[[1.0, 0.0, 0.0, 3.0]], 2).abs() < 1e-9);
        let three = [1.0f32, 0.0, 0.6, 0.8, 0.0, -1.0];
        let expected = (0.6 + 0.0 - 0.8) / 3.0;
        assert!((token_cosine(&[three], 2) - expected).abs() < 1e-6);
    }

    #[test]
    fn means() {
        assert_eq!(mean([[1.0, 2.0], [3.0, 6.0]]), [2.0, 4.0]);
        assert!(mean([[0.0; 2]; 0]).is_empty());
    }
}
