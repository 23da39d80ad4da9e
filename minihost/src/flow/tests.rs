use super::sampler::follow;
use super::*;
use crate::ops::testing::{distance, random};
use crate::presets::SHEET_VIEWS;
use crate::testing::{config, host, trainable, views};
use crate::{AdapterHook, IdentityHook, Minihost, View};
use candle_core::DType;
use candle_nn::VarBuilder;
use omniid::adapter::{Adapter, AdapterLayout};
use omniid::{Error, ErrorKind};
use omniid_kernels::layers::random_tensors;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const WIDTH: usize = 5;

fn hook(host: &Minihost, pictures: usize) -> AdapterHook {
    let layout = AdapterLayout::native(host.host(), WIDTH);
    let vb = VarBuilder::from_varmap(&candle_nn::VarMap::new(), DType::F32, &Device::Cpu);
    let adapter = Adapter::load(&layout, host.host(), vb).unwrap();
    let tokens = random("identity", &[1, 3, WIDTH]);
    AdapterHook::new(&adapter, host.host(), &tokens, None, &vec![Some(0); pictures]).unwrap()
}

fn options(steps: usize, solver: Solver) -> SampleOptions {
    SampleOptions {
        steps,
        solver,
        ..SampleOptions::default()
    }
}

fn quiet(_: usize, _: usize) -> Result<()> {
    Ok(())
}

#[test]
fn times_run_from_noise_to_picture() {
    for shift in [0.5, 1.0, 3.0] {
        let times = times(7, shift);
        assert_eq!((times[0], times[7], times.len()), (0.0, 1.0, 8));
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
    }
    assert_eq!(times(4, 1.0), [0.0, 0.25, 0.5, 0.75, 1.0]);
    // t = 1/2 at shift 3: 0.5 / (0.5 + 1.5).
    assert_eq!(times(4, 3.0)[2], 0.25);
}

#[test]
fn a_perfect_predictor_of_one_picture_gives_that_picture() -> Result<()> {
    let (picture, start) = (random("picture", &[2, 4, 3]), random("noise", &[2, 4, 3]));
    for steps in [1, 2, 5, 30] {
        for solver in [Solver::Euler, Solver::Heun] {
            for shift in [0.4, 1.0, 2.5] {
                let options = SampleOptions {
                    shift,
                    ..options(steps, solver)
                };
                let by_sample = follow(start.clone(), &options, Prediction::Sample, |_, _| Ok(picture.clone()))?;
                let by_velocity = follow(start.clone(), &options, Prediction::Velocity, |x, t| {
                    Ok(((&picture - x)? / (1.0 - t))?)
                })?;
                for found in [by_sample, by_velocity] {
                    let distance = distance(&found, &picture)?;
                    assert!(distance < 2e-5, "{steps} {solver:?} {shift}: {distance}");
                }
            }
        }
    }
    Ok(())
}

/// For pictures and noise that are normal, the best prediction is known in closed form, and the flow carries a noise
/// value z to s·z for pictures of standard deviation s.
#[test]
fn both_predictions_and_solvers_follow_the_flow_of_normal_pictures() -> Result<()> {
    let s = 0.3f64;
    let clean = |x: &Tensor, t: f64| -> Result<Tensor> { Ok((x * (t * s * s / (t * t * s * s + (1.0 - t).powi(2))))?) };
    let start = random("noise", &[1, 50, 3]);
    let end = (&start * s)?;
    let error = |steps, solver| -> Result<f32> {
        let options = options(steps, solver);
        let by_sample = follow(start.clone(), &options, Prediction::Sample, clean)?;
        let by_velocity = follow(start.clone(), &options, Prediction::Velocity, |x, t| {
            Ok(((clean(x, t)? - x)? / (1.0 - t))?)
        })?;
        assert!(distance(&by_sample, &by_velocity)? < 1e-4);
        Ok(distance(&by_sample, &end)?)
    };
    let (euler, halved) = (error(32, Solver::Euler)?, error(64, Solver::Euler)?);
    // First order: twice the steps, half the error.
    assert!((halved / euler - 0.5).abs() < 0.1, "{euler} then {halved}");
    let heun = error(32, Solver::Heun)?;
    assert!(heun < halved, "{heun} against {halved}");
    Ok(())
}

#[test]
fn the_loss_of_a_network_that_predicts_zero_is_known() -> Result<()> {
    for prediction in [Prediction::Sample, Prediction::Velocity] {
        let config = config(prediction);
        let tensors = random_tensors(&config.tensors()?, 1)?.into_iter().collect();
        let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let host = Minihost::load(&config, vb)?;
        let pictures = (Tensor::ones((16, 3, 8, 8), DType::F32, &Device::Cpu)? * 0.5)?;
        let views = views(16);
        let batch = TrainingPictures {
            pictures: &pictures,
            views: &views,
            weights: None,
        };
        // Without spread every time is the logistic function of the mean.
        let options = FlowOptions {
            time_mean: 0.0,
            time_std: 0.0,
            ..FlowOptions::default()
        };
        let loss = |batch: &TrainingPictures<'_>| -> Result<f32> {
            let mut rng = ChaCha8Rng::seed_from_u64(5);
            let loss = training_loss(&host, batch, None, &options, &mut rng)?;
            Ok(loss.to_scalar::<f32>()?)
        };
        let found = loss(&batch)?;
        match prediction {
            // 0.5² / 0.5².
            Prediction::Sample => assert!((found - 1.0).abs() < 1e-6, "{found}"),
            // The mean of (ε − 0.5)² over 3,072 numbers: 1.25 ± 0.03.
            Prediction::Velocity => assert!((found - 1.25).abs() < 0.1, "{found}"),
        }
        // Weights pick pixels: outside, the picture may be anything.
        let half = Tensor::cat(
            &[
                Tensor::ones((16, 1, 4, 8), DType::F32, &Device::Cpu)?,
                Tensor::zeros((16, 1, 4, 8), DType::F32, &Device::Cpu)?,
            ],
            2,
        )?;
        let other = Tensor::cat(&[pictures.narrow(2, 0, 4)?, random("x", &[16, 3, 4, 8])], 2)?;
        let weighted = loss(&TrainingPictures {
            pictures: &other,
            weights: Some(&(half.clone() * 7.0)?),
            ..batch
        })?;
        if prediction == Prediction::Sample {
            assert!((weighted - 1.0).abs() < 1e-6, "{weighted}");
        }
        let nothing = half.zeros_like()?;
        let empty = TrainingPictures {
            weights: Some(&nothing),
            ..batch
        };
        assert!(loss(&empty).is_err());
        let wide = TrainingPictures {
            pictures: &random("wide", &[16, 3, 8, 12]),
            ..batch
        };
        assert_eq!(loss(&wide).unwrap_err().kind(), ErrorKind::Mismatch);
    }
    Ok(())
}

/// A network that predicts zero has the picture as its error, whose differences are counted by hand here.
#[test]
fn detail_weighs_differences_between_neighbours() -> Result<()> {
    let config = config(Prediction::Sample);
    let tensors = random_tensors(&config.tensors()?, 1)?.into_iter().collect();
    let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let host = Minihost::load(&config, vb)?;
    let pictures = random("pictures", &[2, 3, 8, 8]);
    let pixels = random("weights", &[2, 1, 8, 8]).sqr()?;
    let views = views(2);
    let loss = |weights: Option<&Tensor>, detail_weight: f64| -> Result<f64> {
        let options = FlowOptions {
            time_mean: 0.0,
            time_std: 0.0,
            detail_weight,
            ..FlowOptions::default()
        };
        let batch = TrainingPictures {
            pictures: &pictures,
            views: &views,
            weights,
        };
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let loss = training_loss(&host, &batch, None, &options, &mut rng)?;
        Ok(f64::from(loss.to_scalar::<f32>()?))
    };
    let (values, weights) = (
        pictures.flatten_all()?.to_vec1::<f32>()?,
        pixels.flatten_all()?.to_vec1::<f32>()?,
    );
    for weighed in [false, true] {
        let weight = |n: usize, row: usize, column: usize| {
            if weighed {
                f64::from(weights[(n * 8 + row) * 8 + column])
            } else {
                1.0
            }
        };
        let value =
            |n: usize, c: usize, row: usize, column: usize| f64::from(values[((n * 3 + c) * 8 + row) * 8 + column]);
        let (mut plain, mut detail, mut total) = (0.0, 0.0, 0.0);
        for (n, c, row, column) in (0..2 * 3 * 64).map(|i| (i / 192, i / 64 % 3, i / 8 % 8, i % 8)) {
            let (here, w) = (value(n, c, row, column), weight(n, row, column));
            total += w;
            plain += w * here * here;
            if row < 7 {
                detail += w * (value(n, c, row + 1, column) - here).powi(2);
            }
            if column < 7 {
                detail += w * (value(n, c, row, column + 1) - here).powi(2);
            }
        }
        for detail_weight in [0.0, 0.5, 4.0] {
            // At time 1/2 errors count four times.
            let expected = 4.0 * (plain + detail_weight * detail) / total;
            let found = loss(weighed.then_some(&pixels), detail_weight)?;
            assert!((found / expected - 1.0).abs() < 1e-5, "{found}, expected {expected}");
        }
    }
    for wrong in [-1.0, f64::NAN, 1e9] {
        assert_eq!(loss(None, wrong).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    Ok(())
}

/// The derivative of the loss along the gradient equals the gradient's squared length.
#[test]
fn the_gradient_of_the_loss_is_its_slope() -> Result<()> {
    let (host, variables) = trainable(Prediction::Sample);
    let (pictures, views) = (random("pictures", &[4, 3, 8, 8]), views(4));
    let batch = TrainingPictures {
        pictures: &pictures,
        views: &views,
        weights: None,
    };
    let hook = hook(&host, 4);
    let loss = || -> Result<Tensor> {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let options = FlowOptions {
            detail_weight: 2.0,
            ..FlowOptions::default()
        };
        training_loss(&host, &batch, Some(&hook), &options, &mut rng)
    };
    let store = loss()?.backward()?;
    let mut squared = 0.0;
    let mut gradients = Vec::new();
    for (name, variable) in &variables {
        let gradient = store
            .get(variable.as_tensor())
            .unwrap_or_else(|| panic!("{name} has no gradient"));
        let size = gradient.sqr()?.sum_all()?.to_scalar::<f32>()?;
        assert!(size > 0.0, "{name} has a zero gradient");
        squared += f64::from(size);
        gradients.push((variable, variable.as_tensor().copy()?, gradient.clone()));
    }
    let step = 2e-3 / squared.sqrt();
    let mut ends = Vec::new();
    for sign in [1.0, -1.0] {
        for (variable, value, gradient) in &gradients {
            variable.set(&(value + (gradient * (sign * step))?)?)?;
        }
        ends.push(f64::from(loss()?.to_scalar::<f32>()?));
    }
    let slope = (ends[0] - ends[1]) / (2.0 * step);
    assert!(
        (slope / squared - 1.0).abs() < 0.02,
        "slope {slope}, squared gradient {squared}"
    );
    Ok(())
}

#[test]
fn guidance_of_one_is_the_conditional_prediction() -> Result<()> {
    /// Fails the pass if it is a guided one.
    struct Unguided<'a>(&'a AdapterHook);
    impl IdentityHook for Unguided<'_> {
        fn apply(&self, layer: usize, query: &Tensor, output: Tensor) -> Result<Tensor> {
            assert_eq!(query.dim(0)?, 2);
            self.0.apply(layer, query, output)
        }
    }
    let host = host(Prediction::Sample);
    let hook = hook(&host, 2);
    let run = |guidance: f64, hook: &dyn IdentityHook| {
        let options = SampleOptions {
            guidance,
            ..options(3, Solver::Euler)
        };
        sample(&host, &views(2), Some(hook), &options, quiet)
    };
    let one = run(1.0, &Unguided(&hook))?;
    // Just beside 1 the two-sided way must give the same.
    assert!(distance(&one, &run(1.0 + 1e-9, &hook)?)? < 1e-5);
    assert!(distance(&one, &run(3.0, &hook)?)? > 1e-3);
    // Guidance 0 is nobody's prediction, which is not what a host without hook gives.
    let nobody = AdapterHook::new(
        &{
            let layout = AdapterLayout::native(host.host(), WIDTH);
            let vb = VarBuilder::zeros(DType::F32, &Device::Cpu);
            Adapter::load(&layout, host.host(), vb)?
        },
        host.host(),
        &random("identity", &[1, 3, WIDTH]),
        None,
        &[Some(0); 2],
    )?;
    let silent = run(1.0, &nobody)?;
    let without = sample(&host, &views(2), None, &options(3, Solver::Euler), quiet)?;
    assert!(distance(&silent, &without)? < 1e-5, "an adapter of zeros adds nothing");
    Ok(())
}

#[test]
fn seeds_decide_and_pictures_do_not_depend_on_their_neighbours() -> Result<()> {
    let host = host(Prediction::Velocity);
    let run = |views: &Tensor, seed: u64| {
        let options = SampleOptions {
            seed,
            ..options(3, Solver::Heun)
        };
        sample(&host, views, None, &options, quiet)
    };
    let all = run(&views(3), 40)?;
    assert_eq!(all.dims(), [3, 3, 8, 8]);
    assert_eq!(distance(&all, &run(&views(3), 40)?)?, 0.0);
    assert!(distance(&all, &run(&views(3), 41)?)? > 0.1);
    let last = run(&views(3).narrow(0, 2, 1)?.contiguous()?, 42)?;
    assert!(distance(&all.narrow(0, 2, 1)?, &last)? < 1e-5);
    Ok(())
}

#[test]
fn sampling_reports_and_stops() {
    let host = host(Prediction::Sample);
    let mut seen = Vec::new();
    let error = sample(&host, &views(1), None, &options(4, Solver::Heun), |done, total| {
        seen.push((done, total));
        if done == 3 {
            return Err(Error::new(ErrorKind::Cancelled, "enough"));
        }
        Ok(())
    })
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(seen, [(1, 7), (2, 7), (3, 7)]);
    for wrong in [
        options(0, Solver::Euler),
        SampleOptions {
            guidance: f64::NAN,
            ..SampleOptions::default()
        },
        SampleOptions {
            shift: 0.0,
            ..SampleOptions::default()
        },
    ] {
        let error = sample(&host, &views(1), None, &wrong, quiet).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}

/// Programs in other languages draw the sheet of `omniid generate` with the noise of seed 0 and the views that lie in
/// `examples/onnx/start`. With `OMNIID_UPDATE_EXAMPLES=1` they are written.
#[test]
fn the_start_of_the_graph_examples_is_that_of_generate() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let noise = crate::flow::noise(&[1, 3, 64, 64], &mut ChaCha8Rng::seed_from_u64(0), &Device::Cpu)?;
    let noise = noise.flatten_all()?.to_vec1::<f32>()?;
    let views = SHEET_VIEWS
        .iter()
        .flat_map(|name| View::named(name).unwrap_or_default().to_vector());
    let bytes = |values: Vec<f32>| values.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<u8>>();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/onnx/start");
    for (name, content) in [
        ("noise.f32", bytes(noise)),
        ("views.f32", bytes(views.collect())),
        ("views.txt", format!("{}\n", SHEET_VIEWS.join("\n")).into_bytes()),
    ] {
        let path = folder.join(name);
        if std::env::var_os("OMNIID_UPDATE_EXAMPLES").is_some() {
            std::fs::create_dir_all(&folder)?;
            std::fs::write(&path, &content)?;
        }
        assert!(std::fs::read(&path)? == content, "{} is out of date", path.display());
    }
    Ok(())
}
