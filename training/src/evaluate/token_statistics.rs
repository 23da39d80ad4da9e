//! How much identities and their tokens differ.

use crate::statistics::mean;
use omniid::{Error, Result};
use serde::{Deserialize, Serialize};

/// How much the tokens of an identity differ from one another, and identities from one another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TokenStatistics {
    /// Mean cosine between different tokens of one person: 1 when all tokens are the same vector (collapse).
    pub raw_cosine: f64,
    /// Mean absolute cosine between different tokens of one person after the mean tokens were subtracted: 1 when
    /// people differ in the same way in every token.
    pub centred_cosine: f64,
    /// exp of the entropy of the shares of variance along the principal axes of the people's mean tokens (Roy and
    /// Vetterli 2007, on the covariance): in how many directions people differ.
    pub effective_rank: f64,
}

impl TokenStatistics {
    /// Of the identities of several people, each `[tokens, width]` flat. Centred on their own mean.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](omniid::ErrorKind::InvalidArgument) for fewer than two people or two tokens, or
    /// values that do not fill the shape.
    pub fn of(identities: &[Vec<f32>], [tokens, width]: [usize; 2]) -> Result<Self> {
        let fits = identities.iter().all(|values| values.len() == tokens * width);
        if identities.len() < 2 || tokens < 2 || width == 0 || !fits {
            return Err(Error::invalid(format!(
                "statistics of tokens: {} identities of [{tokens}, {width}], expected at least 2 of at least 2 tokens",
                identities.len()
            )));
        }
        let centre = mean(identities);
        let (mut raw, mut centred) = (0.0, 0.0);
        let mut pooled = Vec::with_capacity(identities.len());
        for values in identities {
            raw += mean_cosine(values, width, |cosine| cosine);
            let moved: Vec<f32> = values
                .iter()
                .zip(&centre)
                .map(|(value, centre)| value - centre)
                .collect();
            centred += mean_cosine(&moved, width, f64::abs);
            pooled.push(mean(moved.chunks_exact(width)));
        }
        let people = identities.len() as f64;
        Ok(Self {
            raw_cosine: raw / people,
            centred_cosine: centred / people,
            effective_rank: effective_rank(&pooled),
        })
    }
}

/// Mean of `of(cosine)` over the pairs of different rows.
fn mean_cosine(values: &[f32], width: usize, of: fn(f64) -> f64) -> f64 {
    let rows: Vec<Vec<f64>> = values
        .chunks_exact(width)
        .map(|row| {
            let norm = row
                .iter()
                .map(|v| f64::from(*v).powi(2))
                .sum::<f64>()
                .sqrt()
                .max(1e-300);
            row.iter().map(|v| f64::from(*v) / norm).collect()
        })
        .collect();
    let (mut sum, mut count) = (0.0, 0.0);
    for (index, a) in rows.iter().enumerate() {
        for b in &rows[..index] {
            sum += of(a.iter().zip(b).map(|(a, b)| a * b).sum());
            count += 1.0;
        }
    }
    sum / count
}

/// Of centred rows.
fn effective_rank(rows: &[Vec<f32>]) -> f64 {
    // The Gram matrix has the covariance's eigenvalues; take the smaller of the two.
    let width = rows.first().map_or(0, Vec::len);
    let product = |a: &mut dyn Iterator<Item = (f64, f64)>| a.map(|(a, b)| a * b).sum::<f64>();
    let side = rows.len().min(width);
    let mut matrix = vec![vec![0.0; side]; side];
    for i in 0..side {
        for j in 0..=i {
            let value = if rows.len() <= width {
                product(
                    &mut rows[i]
                        .iter()
                        .zip(&rows[j])
                        .map(|(a, b)| (f64::from(*a), f64::from(*b))),
                )
            } else {
                product(&mut rows.iter().map(|row| (f64::from(row[i]), f64::from(row[j]))))
            };
            matrix[i][j] = value;
            matrix[j][i] = value;
        }
    }
    let values = eigenvalues(matrix);
    let total: f64 = values.iter().map(|value| value.max(0.0)).sum();
    if total <= 0.0 {
        return 0.0;
    }
    let entropy: f64 = values
        .iter()
        .map(|value| value.max(0.0) / total)
        .filter(|share| *share > 0.0)
        .map(|share| -share * share.ln())
        .sum();
    entropy.exp()
}

/// Eigenvalues of a symmetric matrix by Jacobi rotations.
fn eigenvalues(mut m: Vec<Vec<f64>>) -> Vec<f64> {
    let side = m.len();
    for _ in 0..60 {
        let off: f64 = (0..side)
            .flat_map(|i| (0..i).map(move |j| (i, j)))
            .map(|(i, j)| m[i][j].powi(2))
            .sum();
        let trace: f64 = (0..side).map(|i| m[i][i].powi(2)).sum();
        if off <= 1e-20 * trace {
            break;
        }
        for p in 0..side {
            for q in p + 1..side {
                if m[p][q] == 0.0 {
                    continue;
                }
                let theta = (m[q][q] - m[p][p]) / (2.0 * m[p][q]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let t = if theta == 0.0 { 1.0 } else { t };
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for row in &mut m {
                    let (a, b) = (row[p], row[q]);
                    row[p] = c * a - s * b;
                    row[q] = s * a + c * b;
                }
                let (upper, lower) = m.split_at_mut(q);
                for (x, y) in upper[p].iter_mut().zip(&mut lower[0]) {
                    let (a, b) = (*x, *y);
                    *x = c * a - s * b;
                    *y = s * a + c * b;
                }
            }
        }
    }
    (0..side).map(|i| m[i][i]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvalues_of_known_matrices() {
        let mut found = eigenvalues(vec![vec![2.0, 1.0, 0.0], vec![1.0, 2.0, 0.0], vec![0.0, 0.0, 5.0]]);
        found.sort_by(f64::total_cmp);
        for (a, b) in found.iter().zip([1.0, 3.0, 5.0]) {
            assert!((a - b).abs() < 1e-12);
        }
    }

    #[test]
    fn statistics_of_known_tokens() {
        // Two people, two tokens of width 2. All tokens of a person equal: collapse; people differ along one axis.
        let collapsed = [vec![1.0, 0.0, 1.0, 0.0], vec![3.0, 0.0, 3.0, 0.0]];
        let found = TokenStatistics::of(&collapsed, [2, 2]).unwrap();
        assert!((found.raw_cosine - 1.0).abs() < 1e-9 && (found.centred_cosine - 1.0).abs() < 1e-9);
        assert!((found.effective_rank - 1.0).abs() < 1e-9);
        // Tokens at right angles, people who differ equally in two directions: pooled (±1, 0), (0, ±1).
        let apart = [
            vec![5.0, 0.0, 0.0, 5.0],
            vec![3.0, 0.0, -2.0, 5.0],
            vec![4.0, 1.0, -1.0, 6.0],
            vec![4.0, -1.0, -1.0, 4.0],
        ];
        let found = TokenStatistics::of(&apart, [2, 2]).unwrap();
        assert!((found.effective_rank - 2.0).abs() < 1e-6, "{found:?}");
        assert!(TokenStatistics::of(&apart[..1], [2, 2]).is_err());
        assert!(TokenStatistics::of(&apart, [2, 3]).is_err());
    }
}
