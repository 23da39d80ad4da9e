use super::*;
use crate::error::ErrorKind;
use crate::host::{Heads, HostLayer, LayerShape};
use crate::tensor_file::Shapes;
use candle_core::DType;
use candle_nn::VarBuilder;
use std::collections::{HashMap, HashSet};

fn host() -> HostSpec {
    let shapes = [
        LayerShape {
            key: 1,
            inner: 8,
            context: 6,
        },
        LayerShape {
            key: 3,
            inner: 4,
            context: 6,
        },
    ];
    HostSpec::from_shapes("tiny", &shapes, &Heads::Count(2)).unwrap()
}

fn random(dims: &[usize], seed: usize) -> Tensor {
    let count: usize = dims.iter().product();
    let values: Vec<f32> = (0..count)
        .map(|i| (((i + seed * 31) * 7919 % 997) as f32 / 997.0) - 0.5)
        .collect();
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

fn native_tensors() -> HashMap<String, Tensor> {
    let shapes: [(&str, &[usize]); 10] = [
        ("adapter.proj.0.weight", &[5, 5]),
        ("adapter.proj.0.bias", &[5]),
        ("adapter.proj.2.weight", &[6, 5]),
        ("adapter.proj.2.bias", &[6]),
        ("adapter.proj.3.weight", &[6]),
        ("adapter.proj.3.bias", &[6]),
        ("adapter.layers.0.to_k.weight", &[8, 6]),
        ("adapter.layers.0.to_v.weight", &[8, 6]),
        ("adapter.layers.1.to_k.weight", &[4, 6]),
        ("adapter.layers.1.to_v.weight", &[4, 6]),
    ];
    shapes
        .iter()
        .enumerate()
        .map(|(i, (name, dims))| (name.to_string(), random(dims, i)))
        .collect()
}

fn infer(tensors: &HashMap<String, Tensor>) -> Result<Option<AdapterLayout>> {
    let shapes = tensors.iter();
    AdapterLayout::infer(
        shapes
            .map(|(name, tensor)| (name.clone(), tensor.dims().to_vec()))
            .collect::<Shapes>(),
    )
}

fn load(tensors: &HashMap<String, Tensor>, host: &HostSpec) -> Result<Adapter> {
    let layout = infer(tensors)?.expect("an adapter");
    Adapter::load(
        &layout,
        host,
        VarBuilder::from_tensors(tensors.clone(), DType::F32, &Device::Cpu),
    )
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn native_tensors_are_loaded_and_described() {
    let tensors = native_tensors();
    let adapter = load(&tensors, &host()).unwrap();
    assert_eq!(adapter.token_width(), Some(5));
    for (place, layer) in adapter.layers().iter().enumerate() {
        for (side, linear) in [("to_k", &layer.to_k), ("to_v", &layer.to_v)] {
            let name = format!("adapter.layers.{place}.{side}.weight");
            assert_eq!(values(linear.weight().unwrap()), values(&tensors[&name]), "{name}");
        }
    }
    let described: HashSet<_> = Adapter::tensors(&AdapterLayout::native(&host(), 5), &host())
        .unwrap()
        .into_iter()
        .map(|spec| (spec.name, spec.shape))
        .collect();
    let stored: HashSet<_> = tensors
        .iter()
        .map(|(name, tensor)| (name.clone(), tensor.dims().to_vec()))
        .collect();
    assert_eq!(described, stored);
}

#[test]
fn the_full_face_export_has_the_published_names() {
    let tensors = native_tensors();
    let adapter = load(&tensors, &host()).unwrap();
    let layout = infer(&tensors).unwrap().unwrap();
    let names = layout.renamed(&host(), AdapterSpelling::IpAdapter).unwrap();
    let exported: HashMap<_, _> = names
        .into_iter()
        .map(|(native, public)| (public, tensors[&native].clone()))
        .collect();
    let pairs = [
        ("image_proj.proj.0.weight", "adapter.proj.0.weight"),
        ("image_proj.proj.2.bias", "adapter.proj.2.bias"),
        ("image_proj.proj.3.weight", "adapter.proj.3.weight"),
        ("ip_adapter.1.to_k_ip.weight", "adapter.layers.0.to_k.weight"),
        ("ip_adapter.3.to_v_ip.weight", "adapter.layers.1.to_v.weight"),
    ];
    assert_eq!(exported.len(), 10);
    for (public, native) in pairs {
        assert_eq!(values(&exported[public]), values(&tensors[native]), "{public}");
    }
    // Read back as an IP-Adapter it is the same adapter without the projection.
    let layout = infer(&exported).unwrap().unwrap();
    assert_eq!(
        (layout.spelling, layout.token_width),
        (AdapterSpelling::IpAdapter, None)
    );
    let again = load(&exported, &host()).unwrap();
    assert_eq!(
        values(again.layers()[1].to_v.weight().unwrap()),
        values(adapter.layers()[1].to_v.weight().unwrap())
    );
    assert!(again.projection().is_none());
}

#[test]
fn xlabs_names_and_biases_are_read() {
    let mut tensors = HashMap::new();
    for i in 0..2 {
        for side in ["k", "v"] {
            let prefix = format!("double_blocks.{i}.processor.ip_adapter_double_stream_{side}_proj");
            let name = |tensor: &str| spelling::ip_adapter_name(&format!("{prefix}.{tensor}"));
            tensors.insert(name("weight"), random(&[8, 6], i));
            tensors.insert(name("bias"), random(&[8], i + 5));
        }
    }
    let layers = (0..2)
        .map(|i| HostLayer::new(format!("double_blocks.{i}"), 2, 4, 6))
        .collect();
    let host = HostSpec::custom("flux-like", layers).unwrap();
    let adapter = load(&tensors, &host).unwrap();
    let zero = Tensor::zeros((1, 6), DType::F32, &Device::Cpu).unwrap();
    let keys = adapter.layers()[1].to_k.forward(&zero).unwrap();
    assert_eq!(values(&keys), values(&random(&[8], 6)));
    tensors.remove("ip_adapter.1.to_k_ip.bias");
    assert!(infer(&tensors).unwrap_err().message().contains("1 of 2"));
}

#[test]
fn what_does_not_fit_is_named() {
    let mut tensors = native_tensors();
    assert!(infer(&HashMap::new()).unwrap().is_none());
    let other = HostSpec::sd15();
    let error = load(&tensors, &other).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    assert!(error.message().contains("down_blocks.0.attentions.0"), "{error}");
    assert!(error.message().contains("[320, 768], found [8, 6]"), "{error}");
    tensors.insert("adapter.layers.1.to_v.weight".into(), random(&[4, 5], 0));
    assert!(infer(&tensors)
        .unwrap_err()
        .message()
        .contains("adapter.layers.1.to_v.weight"));
    tensors.remove("adapter.layers.1.to_v.weight");
    assert!(infer(&tensors).unwrap_err().message().contains("missing"));
}

#[test]
fn the_token_projection_normalises() {
    let adapter = load(&native_tensors(), &host()).unwrap();
    let projection = adapter.projection().unwrap();
    let tokens = projection.project(&random(&[3, 5], 9)).unwrap();
    assert_eq!(tokens.dims(), [3, 6]);
    // Undo the affine part: every token then has mean 0 and variance 1.
    let unit = tokens
        .broadcast_sub(&random(&[6], 5))
        .unwrap()
        .broadcast_div(&random(&[6], 4))
        .unwrap();
    for row in unit.to_vec2::<f32>().unwrap() {
        let mean = row.iter().sum::<f32>() / 6.0;
        let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / 6.0;
        assert!(mean.abs() < 1e-4 && (variance - 1.0).abs() < 1e-2, "{mean} {variance}");
    }
    assert!(projection.project(&random(&[3, 6], 9)).is_err());
}
