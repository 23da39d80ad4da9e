//! Directions in which people differ more than the photos of one person do.
//!
//! Linear discriminant analysis (Fisher 1936; Rao 1948) with a within-person covariance that is shrunk towards a
//! multiple of the identity matrix (Friedman 1989), as face and speaker recognition use it on their embeddings.

use candle_core::{DType, Device, Tensor};
use nalgebra::{Cholesky, DMatrix, Dyn, SymmetricEigen, QR};
use omniid::{Error, Result};
use rand_chacha::rand_core::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

/// Columns beyond those asked for in the search for the largest directions: it converges faster with some.
const SPARE: usize = 32;

/// The search ends when the variance that it has found grows by less than this part.
const TOLERANCE: f64 = 1e-6;

/// Most rounds of the search.
const ROUNDS: usize = 200;

/// What is known of vectors of many people: how those of one person scatter, and where each person's mean is.
pub struct Scatter {
    values: usize,
    /// Sum over all vectors of the products of their differences from the person's mean, `[values, values]`.
    within: Tensor,
    /// Means of the people, one after another.
    means: Vec<f32>,
    vectors: usize,
}

impl Scatter {
    /// Of vectors of `values` values, of nobody yet. Takes memory for `values · (values + people)` numbers;
    /// [`Scatter::directions`] takes about four times as many, of double size, for its time.
    ///
    /// # Errors
    /// Those of candle.
    pub fn new(values: usize) -> Result<Self> {
        Ok(Self {
            values,
            within: Tensor::zeros((values, values), DType::F32, &Device::Cpu)?,
            means: Vec::new(),
            vectors: 0,
        })
    }

    /// People so far.
    pub fn people(&self) -> usize {
        self.means.len().checked_div(self.values).unwrap_or(0)
    }

    /// Adds several people: vectors `[vectors, values]`, the first `counts[0]` of the first person, and so on. Many at
    /// once are faster.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](omniid::ErrorKind::Mismatch) when the shape is another or somebody has no vector.
    pub fn add(&mut self, vectors: &Tensor, counts: &[usize]) -> Result<()> {
        let total: usize = counts.iter().sum();
        if vectors.dims() != [total, self.values] || counts.contains(&0) {
            return Err(Error::mismatch(format!(
                "vectors of shape {:?} for people with {counts:?}, expected [{total}, {}] and no 0",
                vectors.dims(),
                self.values
            )));
        }
        let mut rows = Vec::with_capacity(counts.len());
        let mut start = 0;
        for &count in counts {
            let own = vectors.narrow(0, start, count)?;
            let mean = own.mean_keepdim(0)?;
            self.means.extend(mean.flatten_all()?.to_vec1::<f32>()?);
            rows.push(own.broadcast_sub(&mean)?);
            start += count;
        }
        let differences = Tensor::cat(&rows, 0)?;
        self.within = (&self.within + differences.t()?.matmul(&differences)?)?;
        self.vectors += total;
        Ok(())
    }

    /// The `count` directions `[count, values]` with the largest ratio of variance between people to variance within
    /// them, the best first. Along each the variance within people is 1, and no two are correlated: the cosine of
    /// projected vectors weighs each by what it tells.
    ///
    /// The covariance within people counts as `(1 - shrinkage) · covariance + shrinkage · mean variance · identity`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](omniid::ErrorKind::InvalidArgument) when there are too few people for so many
    /// directions, nobody has two vectors, or vectors do not vary.
    pub fn directions(&self, count: usize, shrinkage: f64) -> Result<Tensor> {
        let (people, values) = (self.people(), self.values);
        if count == 0 || count > values || count >= people || self.vectors <= people {
            return Err(Error::invalid(format!(
                "{count} directions from {} pictures of {people} people in {values} values: at least 1, at most {values} \
                 and fewer than people, who need two pictures each",
                self.vectors
            )));
        }
        let within = self.whitening(shrinkage)?;
        let lower = within.l_dirty();
        // Scatter of the people's means in coordinates where that within people is a sphere.
        let whitened = solve(lower, &self.centred_means())?;
        let between = &whitened * whitened.transpose();
        drop(whitened);
        let columns = (count + SPARE).min(values);
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let start = DMatrix::from_fn(values, columns, |_, _| StandardNormal.sample(&mut random));
        let mut basis = QR::new(start).q();
        let mut found = 0.0;
        for _ in 0..ROUNDS {
            let next = &between * &basis;
            let variance = basis.dot(&next);
            if variance <= found * (1.0 + TOLERANCE) {
                break;
            }
            found = variance;
            basis = QR::new(next).q();
        }
        if !found.is_finite() || found <= 0.0 {
            return Err(Error::invalid("discriminant directions: people do not differ"));
        }
        let eigen = SymmetricEigen::new(basis.tr_mul(&(&between * &basis)));
        let mut order: Vec<usize> = (0..columns).collect();
        order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
        let best = DMatrix::from_fn(columns, count, |row, column| eigen.eigenvectors[(row, order[column])]);
        let mut directions = basis * best;
        if !lower.tr_solve_lower_triangular_mut(&mut directions) {
            return Err(singular());
        }
        // Column-major [values, count] is row-major [count, values].
        let flat: Vec<f32> = directions.iter().map(|value| *value as f32).collect();
        Ok(Tensor::from_vec(flat, (count, values), &Device::Cpu)?)
    }

    /// The shrunk covariance within people, factored.
    fn whitening(&self, shrinkage: f64) -> Result<Cholesky<f64, Dyn>> {
        let sums = self.within.flatten_all()?.to_vec1::<f32>()?;
        let freedom = (self.vectors - self.people()) as f64;
        let mut within = DMatrix::from_iterator(
            self.values,
            self.values,
            sums.iter().map(|sum| f64::from(*sum) / freedom),
        );
        let mean_variance = within.trace() / self.values as f64;
        within *= 1.0 - shrinkage;
        for place in 0..self.values {
            within[(place, place)] += shrinkage * mean_variance;
        }
        Cholesky::new(within).ok_or_else(singular)
    }

    /// People's means without their own mean, `[values, people]`.
    fn centred_means(&self) -> DMatrix<f64> {
        let means = self.means.iter().map(|value| f64::from(*value));
        let mut means = DMatrix::from_iterator(self.values, self.people(), means);
        let centre = means.column_mean();
        for mut column in means.column_iter_mut() {
            column -= &centre;
        }
        means
    }
}

/// `lower⁻¹ · right`, on all threads.
fn solve(lower: &DMatrix<f64>, right: &DMatrix<f64>) -> Result<DMatrix<f64>> {
    const AT_ONCE: usize = 64;
    let (values, columns) = right.shape();
    let mut solved = right.clone();
    let sound = solved
        .as_mut_slice()
        .par_chunks_mut(values * AT_ONCE.min(columns.max(1)))
        .map(|part| {
            let mut block = DMatrix::from_column_slice(values, part.len() / values, part);
            let sound = lower.solve_lower_triangular_mut(&mut block);
            part.copy_from_slice(block.as_slice());
            sound
        })
        .reduce(|| true, |a, b| a && b);
    if sound {
        Ok(solved)
    } else {
        Err(singular())
    }
}

fn singular() -> Error {
    Error::invalid("discriminant directions: pictures of one person do not vary; more shrinkage may help")
}

#[cfg(test)]
mod tests;
