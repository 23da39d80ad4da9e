use super::*;
use crate::flow::Prediction;
use crate::ops::testing::distance;
use crate::testing::{config, host, views, weights};

fn write(path: &Path, change: impl Fn(&mut Vec<(String, Tensor)>), dtype: DType) -> Result<()> {
    let config = config(Prediction::Sample);
    let mut tensors = weights(&config);
    change(&mut tensors);
    let pairs = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
    save(path, &config, pairs, dtype, &BTreeMap::new())
}

fn read(path: &Path, dtype: DType) -> Result<Minihost> {
    Minihost::open(path, dtype, &Device::Cpu, &Limits::default())
}

fn result(host: &Minihost) -> Tensor {
    let conditions = host.conditions(&views(2)).unwrap();
    let x = crate::ops::testing::random("x", &[2, 3, 8, 8]);
    let time = Tensor::new(&[0.3f32, 0.6], &Device::Cpu).unwrap();
    host.predict(&x, &time, &conditions, None).unwrap()
}

#[test]
fn a_host_survives_its_file() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.safetensors");
    write(&path, |_| {}, DType::F32)?;
    let expected = result(&host(Prediction::Sample));
    let again = read(&path, DType::F32)?;
    assert_eq!(again.config(), &config(Prediction::Sample));
    assert_eq!(distance(&result(&again), &expected)?, 0.0);
    // Half the size, and still the same picture but for rounding.
    write(&path, |_| {}, DType::F16)?;
    for dtype in [DType::F32, DType::F16] {
        let distance = distance(&result(&read(&path, dtype)?), &expected)?;
        assert!(distance > 0.0 && distance < 0.02, "{distance}");
    }
    Ok(())
}

#[test]
fn tensors_that_are_missing_unknown_or_of_another_shape_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.safetensors");
    let message =
        |change: fn(&mut Vec<(String, Tensor)>)| write(&path, change, DType::F32).unwrap_err().message().to_string();
    let missing = message(|tensors| tensors.retain(|(name, _)| name != "conv_in.bias"));
    assert!(
        missing.contains("conv_in.bias") && missing.contains("missing"),
        "{missing}"
    );
    let unknown = message(|tensors| tensors[0].0 = "extra".to_string());
    assert!(unknown.contains("extra"), "{unknown}");
    let shape = message(|tensors| {
        let place = tensors.iter().position(|(name, _)| name == "conv_out.bias").unwrap();
        tensors[place].1 = tensors[place].1.narrow(0, 0, 2).unwrap();
    });
    assert!(shape.contains("conv_out.bias") && shape.contains("[2]"), "{shape}");
    assert!(!path.exists());
}

#[test]
fn files_of_another_kind_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.safetensors");
    let tensors = [("a".to_string(), crate::ops::testing::random("a", &[2]))];
    write_safetensors(&path, &tensors, &BTreeMap::new()).unwrap();
    let error = read(&path, DType::F32).unwrap_err();
    assert!(
        error.message().contains("no minihost") && error.message().contains("other"),
        "{error}"
    );
    let version = BTreeMap::from([(FORMAT_KEY.to_string(), "9".to_string())]);
    write_safetensors(&path, &tensors, &version).unwrap();
    assert_eq!(
        read(&path, DType::F32).unwrap_err().kind(),
        omniid::ErrorKind::Unsupported
    );
    let damaged = BTreeMap::from([
        (FORMAT_KEY.to_string(), "1".to_string()),
        (CONFIG_KEY.to_string(), "{}".to_string()),
    ]);
    write_safetensors(&path, &tensors, &damaged).unwrap();
    assert_eq!(read(&path, DType::F32).unwrap_err().kind(), omniid::ErrorKind::Format);
}

#[test]
fn the_export_holds_the_unet_only() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let config = config(Prediction::Sample);
    let tensors = weights(&config);
    let pairs = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
    export_diffusers(&folder.path().join("unet"), &config, pairs, DType::F32)?;
    let text = std::fs::read_to_string(folder.path().join("unet/config.json")).unwrap();
    assert_eq!(crate::UNetConfig::from_json(&text)?, config.unet);
    let path = folder.path().join("unet/diffusion_pytorch_model.safetensors");
    let file = Checkpoint::open(&path, &Limits::default())?;
    assert_eq!(file.len(), crate::unet::tensors(&config.unet).len());
    Ok(())
}
