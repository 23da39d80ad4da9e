use super::*;
use crate::optimisation::ParameterSpec;
use omniid_kernels::layers::{Initial, TensorSpec};

fn groups() -> Vec<ParameterGroup> {
    vec![
        ParameterGroup {
            name: "plain".to_string(),
            rate: 1.0,
            weight_decay: 0.1,
        },
        ParameterGroup {
            name: "slow".to_string(),
            rate: 0.2,
            weight_decay: 0.0,
        },
    ]
}

fn parameters(count: usize) -> Result<Parameters> {
    let spec = |name: &str, shape: &[usize], group, decays| ParameterSpec {
        spec: TensorSpec::new(name, shape, Initial::Constant(0.5)),
        group,
        decays,
        trained: true,
    };
    Parameters::new(
        &[spec("a.weight", &[1, count], 0, true), spec("b", &[count], 1, true)],
        &groups(),
        1,
        &Device::Cpu,
    )
}

fn config() -> OptimiserConfig {
    OptimiserConfig {
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        clip: 0.0,
        ..OptimiserConfig::default()
    }
}

fn first(parameters: &Parameters, name: &str) -> Result<f64> {
    let tensor = parameters.get(name).expect("a parameter").tensor();
    Ok(f64::from(tensor.flatten_all()?.to_vec1::<f32>()?[0]))
}

#[test]
fn updates_follow_the_formula() -> Result<()> {
    let parameters = parameters(1)?;
    let mut optimiser = AdamW::new(config(), groups(), &parameters)?;
    let (mut a, mut b) = (0.5f64, 0.5f64);
    let (mut m, mut v, mut n, mut u) = (0.0, 0.0, 0.0, 0.0);
    for (step, factor) in [3.0f64, -1.0, 0.5, 2.0].into_iter().enumerate() {
        let get = |name: &str| parameters.get(name).expect("a parameter").tensor();
        let loss = ((get("a.weight").sqr()? * factor)?.sum_all()? + (get("b") * factor)?.sum_all()?)?;
        let gradients = loss.backward()?;
        let length = optimiser.gradient_length(&parameters, &gradients)?;
        let (ga, gb) = (2.0 * factor * a, factor);
        assert!((length - ga.hypot(gb)).abs() < 1e-5 * length);
        optimiser.update(&parameters, &gradients, 0.01, length)?;
        // Written out by hand in f64.
        let t = step as i32 + 1;
        m = 0.9 * m + 0.1 * ga;
        v = 0.95 * v + 0.05 * ga * ga;
        n = 0.9 * n + 0.1 * gb;
        u = 0.95 * u + 0.05 * gb * gb;
        let adam = |m: f64, v: f64| (m / (1.0 - 0.9f64.powi(t))) / ((v / (1.0 - 0.95f64.powi(t))).sqrt() + 1e-8);
        a = a - 0.01 * 0.1 * a - 0.01 * adam(m, v);
        b -= 0.2 * 0.01 * adam(n, u);
        assert!((first(&parameters, "a.weight")? - a).abs() < 1e-6);
        assert!((first(&parameters, "b")? - b).abs() < 1e-6);
    }
    // The first step of Adam has the length of the learning rate.
    assert_eq!(optimiser.updates, 4);
    Ok(())
}

#[test]
fn long_gradients_are_clipped() -> Result<()> {
    // After clipping to length 1 both runs see the same gradient.
    let mut ends = Vec::new();
    for factor in [10.0, 1000.0] {
        let parameters = parameters(1)?;
        let mut optimiser = AdamW::new(OptimiserConfig { clip: 1.0, ..config() }, groups(), &parameters)?;
        let loss = (parameters.get("b").expect("b").tensor() * factor)?.sum_all()?;
        let gradients = loss.backward()?;
        let length = optimiser.gradient_length(&parameters, &gradients)?;
        assert!((length - factor).abs() < 1e-3);
        optimiser.update(&parameters, &gradients, 0.01, length)?;
        let [Buffer::Host(mean), _] = &optimiser.moments["b"] else {
            panic!("on the CPU")
        };
        ends.push(mean[0]);
        assert_eq!(first(&parameters, "a.weight")?, 0.5, "no gradient, no change");
    }
    assert!((ends[0] - 0.1).abs() < 1e-6 && (ends[1] - 0.1).abs() < 1e-6, "{ends:?}");
    Ok(())
}

#[test]
fn device_and_host_updates_agree() -> Result<()> {
    let count = 3 * CHUNK + 17;
    let (host, device) = (parameters(count)?, parameters(count)?);
    let mut on_host = AdamW::new(config(), groups(), &host)?;
    let mut on_device = AdamW::new(config(), groups(), &device)?;
    for moments in on_device.moments.values_mut() {
        let zeros = Tensor::zeros(count, DType::F32, &Device::Cpu)?;
        *moments = [zeros.clone(), zeros].map(Buffer::Device);
    }
    if let Some(moments) = on_device.moments.get_mut("a.weight") {
        let zeros = Tensor::zeros((1, count), DType::F32, &Device::Cpu)?;
        *moments = [zeros.clone(), zeros].map(Buffer::Device);
    }
    let weights = TensorSpec::new("w", &[1, count], Initial::Normal(1.0)).tensor(3)?;
    for _ in 0..3 {
        for (parameters, optimiser) in [(&host, &mut on_host), (&device, &mut on_device)] {
            let a = parameters.get("a.weight").expect("a").tensor();
            let gradients = (a.sqr()? * &weights)?.sum_all()?.backward()?;
            let length = optimiser.gradient_length(parameters, &gradients)?;
            optimiser.update(parameters, &gradients, 0.01, length)?;
        }
    }
    let get = |parameters: &Parameters| {
        parameters
            .get("a.weight")
            .expect("a")
            .tensor()
            .flatten_all()?
            .to_vec1::<f32>()
    };
    for (a, b) in get(&host)?.iter().zip(get(&device)?) {
        assert!((a - b).abs() < 1e-6, "{a} against {b}");
    }
    Ok(())
}

#[test]
fn a_gradient_that_is_not_finite_is_seen() -> Result<()> {
    let parameters = parameters(2)?;
    let optimiser = AdamW::new(config(), groups(), &parameters)?;
    let loss = (parameters.get("b").expect("b").tensor() * f64::NAN)?.sum_all()?;
    let length = optimiser.gradient_length(&parameters, &loss.backward()?)?;
    assert!(!length.is_finite());
    Ok(())
}
