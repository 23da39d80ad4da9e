//! Weights of bytes: how far the tokens are from those of f32, what they are refused for, what stays as it is.
#![cfg(feature = "default-model")]

use omniid::conditioning::Role;
use omniid::engine::{DeviceChoice, EncodeOptions, Engine, EngineOptions};
use omniid::identity::Identity;
use omniid::photo::Photo;
use omniid::{ErrorKind, Precision};
use std::path::PathBuf;

fn engine(precision: Precision) -> Engine {
    Engine::open(EngineOptions::built_in().unwrap().with_precision(precision)).unwrap()
}

fn photos(person: &str, count: usize) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("examples/photos")
        .join(person);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jpg"));
    paths.sort();
    assert!(paths.len() >= count);
    paths.truncate(count);
    paths
}

fn identity(engine: &Engine, paths: &[PathBuf]) -> Identity {
    let photos: Vec<Photo<'_>> = paths.iter().map(|path| Photo::from(path.as_path())).collect();
    engine.encode(&photos, &EncodeOptions::default()).unwrap().identity
}

/// The least cosine of a token of one identity with the same token of the other.
fn least_cosine(a: &Identity, b: &Identity) -> f64 {
    let tokens = a.values().chunks(a.width()).zip(b.values().chunks(b.width()));
    let cosine = |(a, b): (&[f32], &[f32])| {
        let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    tokens.map(cosine).fold(1.0, f64::min)
}

#[test]
fn tokens_of_the_built_in_model_hardly_turn() {
    let (exact, bytes) = (engine(Precision::F32), engine(Precision::Int8));
    assert_eq!(bytes.info().precision, Precision::Int8);
    assert_eq!(bytes.info().fingerprint, exact.info().fingerprint);
    for (person, count) in [("person-1", 1), ("person-1", 3), ("person-2", 1)] {
        let paths = photos(person, count);
        let (a, b) = (identity(&exact, &paths), identity(&bytes, &paths));
        let cosine = least_cosine(&a, &b);
        println!("{person}, {count} photos: least cosine of a token {cosine:.5}");
        assert!(cosine >= 0.999, "{person}, {count} photos: {cosine}");
        assert!(a.values() != b.values(), "int8 has no effect");
        assert!(exact.similarity(&a, &b).unwrap() > 0.995);
    }
}

#[test]
fn the_adapter_is_that_of_bf16() {
    let (half, bytes) = (engine(Precision::Bf16), engine(Precision::Int8));
    let person = identity(&bytes, &photos("person-1", 1));
    let keys = |engine: &Engine| {
        let conditioning = engine.condition([&person], &Default::default()).unwrap();
        let keys = conditioning.keys(0, 0, Role::Conditional).unwrap().unwrap();
        keys.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert_eq!(keys(&half), keys(&bytes));
}

#[test]
fn a_gpu_and_files_refuse_it() {
    let options = EngineOptions::built_in().unwrap().with_precision(Precision::Int8);
    let error = Engine::open(options.with_device(DeviceChoice::Cuda(0))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(
        error.message().contains("int8") && error.message().contains("bf16"),
        "{error}"
    );
    let person = identity(&engine(Precision::Int8), &photos("person-1", 1));
    let error = person.to_bytes(Precision::Int8).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("f32, f16 or bf16"), "{error}");
    assert_eq!("int8".parse::<Precision>().unwrap(), Precision::Int8);
}
