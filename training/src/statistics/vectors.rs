//! Means, cosines and areas under curves of plain vectors.

/// Area under the ROC curve: the probability that a genuine score is above an impostor's, ties counted half. `NaN`
/// when either is empty.
pub fn area_under_curve(genuine: &[f32], impostor: &[f32]) -> f64 {
    let mut scores = genuine
        .iter()
        .map(|score| (*score, true))
        .chain(impostor.iter().map(|score| (*score, false)))
        .collect::<Vec<_>>();
    scores.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Sum of the ranks of genuine scores, ties sharing their mean rank (Mann and Whitney).
    let (mut ranks, mut start) = (0.0, 0);
    while start < scores.len() {
        let end = start + scores[start..].partition_point(|(score, _)| *score <= scores[start].0);
        let rank = (start + end + 1) as f64 / 2.0;
        ranks += rank * scores[start..end].iter().filter(|(_, own)| *own).count() as f64;
        start = end;
    }
    let (g, i) = (genuine.len() as f64, impostor.len() as f64);
    (ranks - g * (g + 1.0) / 2.0) / (g * i)
}

/// Cosine of two vectors; 0 when one has no length.
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    let length = (dot(a, a) * dot(b, b)).sqrt();
    if length > 0.0 {
        (dot(a, b) / length) as f32
    } else {
        0.0
    }
}

/// Mean cosine between different tokens of one person, over people: 1 when all tokens are one and the same vector.
/// `tokens` are `[people, count, width]`, flat.
pub fn token_cosine(tokens: &[f32], count: usize, width: usize) -> f64 {
    let (mut sum, mut pairs) = (0.0, 0.0);
    for person in tokens.chunks_exact(count * width) {
        // The sum over all pairs of unit vectors is the squared length of their sum.
        let mut total = vec![0f64; width];
        for token in person.chunks_exact(width) {
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

/// The mean of `rows` of `width` numbers.
pub fn mean_row(rows: &[f32], width: usize) -> Vec<f32> {
    let mut sum = vec![0f64; width];
    let count = (rows.len() / width.max(1)).max(1) as f64;
    for row in rows.chunks_exact(width.max(1)) {
        for (sum, value) in sum.iter_mut().zip(row) {
            *sum += f64::from(*value);
        }
    }
    sum.into_iter().map(|sum| (sum / count) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_counts_pairs() {
        assert_eq!(area_under_curve(&[2.0, 3.0], &[0.0, 1.0]), 1.0);
        assert_eq!(area_under_curve(&[0.0], &[1.0]), 0.0);
        assert_eq!(area_under_curve(&[1.0, 1.0], &[1.0]), 0.5);
        // Pairs: 1 > 0, 1 < 2, 3 > 0, 3 > 2; one tie of 2 with 2.
        assert_eq!(area_under_curve(&[1.0, 3.0, 2.0], &[0.0, 2.0]), 4.5 / 6.0);
        assert!(area_under_curve(&[], &[1.0]).is_nan());
    }

    #[test]
    fn equal_tokens_have_cosine_one_and_orthogonal_ones_none() {
        assert!((token_cosine(&[1.0, 2.0, 2.0, 4.0], 2, 2) - 1.0).abs() < 1e-9);
        assert!(token_cosine(&[1.0, 0.0, 0.0, 3.0], 2, 2).abs() < 1e-9);
        let three = [1.0f32, 0.0, 0.6, 0.8, 0.0, -1.0];
        let expected = (0.6 + 0.0 - 0.8) / 3.0;
        assert!((token_cosine(&three, 3, 2) - expected).abs() < 1e-6);
    }

    #[test]
    fn means_and_cosines() {
        assert_eq!(mean_row(&[1.0, 2.0, 3.0, 6.0], 2), [2.0, 4.0]);
        assert!((cosine(&[3.0, 4.0], &[4.0, 3.0]) - 0.96).abs() < 1e-6);
        assert_eq!(cosine(&[0.0], &[1.0]), 0.0);
    }
}
