use super::*;
use nalgebra::DVector;

/// Vectors of `people` people, `each` of everybody: between people they vary by `between`, within by `within`, both
/// `[values, values]` and applied to standard normal vectors.
fn scatter(people: usize, each: usize, between: &DMatrix<f64>, within: &DMatrix<f64>) -> Result<Scatter> {
    let values = between.nrows();
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut normal = || DMatrix::from_fn(values, 1, |_, _| StandardNormal.sample(&mut random));
    let mut scatter = Scatter::new(values)?;
    for _ in 0..people {
        // Far from the origin: what everybody shares tells nobody apart.
        let person = (between * normal()).add_scalar(30.0);
        let rows: Vec<f32> = (0..each)
            .flat_map(|_| {
                let vector = &person + within * normal();
                vector.iter().map(|value| *value as f32).collect::<Vec<_>>()
            })
            .collect();
        scatter.add(&Tensor::from_vec(rows, (each, values), &Device::Cpu)?, &[each])?;
    }
    Ok(scatter)
}

fn mixing(values: usize, seed: u64) -> DMatrix<f64> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    DMatrix::from_fn(values, values, |_, _| StandardNormal.sample(&mut random))
}

fn matrix(tensor: &Tensor) -> Result<DMatrix<f64>> {
    let (rows, columns) = tensor.dims2()?;
    let flat = tensor.flatten_all()?.to_vec1::<f32>()?;
    Ok(DMatrix::from_row_iterator(
        rows,
        columns,
        flat.into_iter().map(f64::from),
    ))
}

#[test]
fn the_best_direction_of_one_difference_has_a_closed_form() -> Result<()> {
    // All people lie on one line m, so the best direction is (covariance within)⁻¹ m.
    let mut line = DMatrix::zeros(5, 5);
    line.set_column(0, &DVector::from_vec(vec![1.0, -2.0, 0.5, 0.0, 1.0]));
    let scatter = scatter(4000, 4, &line, &mixing(5, 1))?;
    let found = matrix(&scatter.directions(1, 0.0)?)?;
    let covariance = mixing(5, 1) * mixing(5, 1).transpose();
    let expected = covariance.try_inverse().expect("regular") * line.column(0);
    let cosine = (&found * &expected)[(0, 0)].abs() / (found.norm() * expected.norm());
    assert!(cosine > 0.999, "{cosine}");
    Ok(())
}

#[test]
fn directions_are_those_of_the_dense_eigenvalue_problem() -> Result<()> {
    let (values, count, shrinkage) = (48, 6, 0.1);
    let scatter = scatter(300, 3, &mixing(values, 2), &mixing(values, 3))?;
    let found = matrix(&scatter.directions(count, shrinkage)?)?;

    // By symmetric square roots instead of a triangular factor, and all eigenvectors instead of the largest.
    let sums = matrix(&scatter.within)? / 600.0;
    let within =
        &sums * (1.0 - shrinkage) + DMatrix::identity(values, values) * (shrinkage * sums.trace() / values as f64);
    let people = Tensor::from_slice(&scatter.means, (300, values), &Device::Cpu)?;
    let means = matrix(&people.broadcast_sub(&people.mean_keepdim(0)?)?)?;
    let between = means.tr_mul(&means);
    let roots = SymmetricEigen::new(within.clone());
    let inverse = DMatrix::from_diagonal(&roots.eigenvalues.map(|value| 1.0 / value.sqrt()));
    let root = &roots.eigenvectors * inverse * roots.eigenvectors.transpose();
    let mut expected: Vec<f64> = SymmetricEigen::new(&root * &between * &root)
        .eigenvalues
        .iter()
        .copied()
        .collect();
    expected.sort_by(|a, b| b.total_cmp(a));

    let unit = &found * &within * found.transpose();
    let ratios = &found * &between * found.transpose();
    for i in 0..count {
        for j in 0..count {
            let identity = if i == j { 1.0 } else { 0.0 };
            assert!((unit[(i, j)] - identity).abs() < 1e-3, "{unit}");
            let ratio = if i == j { expected[i] } else { 0.0 };
            assert!(
                (ratios[(i, j)] - ratio).abs() < 2e-3 * expected[0],
                "{ratios} {expected:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn projected_people_are_told_apart_that_were_hidden() -> Result<()> {
    // What varies from photo to photo is twenty times what varies from person to person, elsewhere.
    let between = DMatrix::from_diagonal(&DVector::from_vec(vec![1.0, 1.0, 0.0, 0.0]));
    let within = DMatrix::from_diagonal(&DVector::from_vec(vec![0.1, 0.1, 20.0, 20.0]));
    let found = matrix(&scatter(500, 4, &between, &within)?.directions(2, 0.0)?)?;
    let kept = found.columns(0, 2).norm_squared();
    assert!(found.columns(2, 2).norm_squared() < 1e-4 * kept, "{found}");
    Ok(())
}

#[test]
fn people_may_be_added_together_or_apart() -> Result<()> {
    let rows = Tensor::from_vec(
        vec![1f32, 2.0, 3.0, 5.0, 0.0, 1.0, -2.0, 2.0, 4.0, 4.0],
        (5, 2),
        &Device::Cpu,
    )?;
    let (mut together, mut apart) = (Scatter::new(2)?, Scatter::new(2)?);
    together.add(&rows, &[2, 3])?;
    apart.add(&rows.narrow(0, 0, 2)?, &[2])?;
    apart.add(&rows.narrow(0, 2, 3)?, &[3])?;
    assert_eq!(together.people(), 2);
    assert_eq!(together.means, apart.means);
    // Differences from (2, 3.5) and (2/3, 7/3).
    let sums = together.within.flatten_all()?.to_vec1::<f32>()?;
    for (sum, expected) in sums.iter().zip([62.0 / 3.0, 31.0 / 3.0, 31.0 / 3.0, 55.0 / 6.0]) {
        assert!((sum - expected).abs() < 1e-5, "{sums:?}");
    }
    for (sum, other) in sums.iter().zip(apart.within.flatten_all()?.to_vec1::<f32>()?) {
        assert!((sum - other).abs() < 1e-5);
    }
    Ok(())
}

#[test]
fn what_cannot_be_found_is_an_error() -> Result<()> {
    let few = scatter(5, 3, &mixing(8, 2), &mixing(8, 3))?;
    for count in [0, 5, 9] {
        let error = few.directions(count, 0.1).expect_err("too many or none");
        assert!(error.message().contains("5 people in 8 values"), "{error}");
    }
    let single = scatter(20, 1, &mixing(8, 2), &mixing(8, 3))?;
    assert!(single.directions(2, 0.1).is_err());
    let constant = scatter(20, 3, &DMatrix::zeros(8, 8), &DMatrix::zeros(8, 8))?;
    assert!(constant.directions(2, 0.1).is_err());
    let mut scatter = Scatter::new(4)?;
    let rows = Tensor::zeros((3, 4), DType::F32, &Device::Cpu)?;
    assert!(scatter.add(&rows, &[2]).is_err() && scatter.add(&rows, &[3, 0]).is_err());
    Ok(())
}
