//! Models that read face embeddings: identities from embeddings of the host, combined, extended, stored.

use candle_core::{DType, Device, Tensor};
use omniid::checkpoint::Checkpoint;
use omniid::encoder::{EncodeSettings, Encoder, Features};
use omniid::engine::{
    write_untrained, Combine, EncodeOptions, Engine, EngineOptions, HostConfig, NativeConfig, PixelConfig,
};
use omniid::face::CropMode;
use omniid::identity::Identity;
use omniid::photo::{ChannelOrder, FaceHint, Landmarks, PixelBuffer};
use omniid::recogniser::{EmbeddingForm, FaceEmbedding, FaceRecogniser, RecogniserConfig};
use omniid::{ErrorKind, Limits, Photo, Precision};
use std::path::{Path, PathBuf};

/// Values of an embedding.
const DIMENSION: usize = 12;

/// A recogniser of small size.
fn recogniser(layers: usize) -> RecogniserConfig {
    let text = format!(
        r#"{{"architecture": "IResNet-{layers}", "widths": [4, 4, 4, 4, 4], "dimension": {DIMENSION},
            "channel_order": "rgb", "pixel_scale": 0.0078, "pixel_shift": -1.0, "fingerprint": "0123456789abcdef"}}"#
    );
    serde_json::from_str(&text).unwrap()
}

/// FaceID of small size for the host SD1.5, as a native checkpoint without an image encoder.
fn model(folder: &Path) -> PathBuf {
    model_with(folder, None)
}

fn model_with(folder: &Path, recogniser: Option<RecogniserConfig>) -> PathBuf {
    let encoder = serde_json::from_str(
        r#"{"kind": "face_id", "embedding_width": 12, "inner_width": 16, "tokens": 4, "token_width": 768}"#,
    );
    let config = NativeConfig {
        name: String::new(),
        backbone: None,
        pixels: PixelConfig::default(),
        crop: CropMode::aligned(),
        encoder: encoder.unwrap(),
        host: Some(HostConfig::Named("sd15".into())),
        recogniser,
        parser: None,
    };
    let path = folder.join(if config.recogniser.is_some() {
        "whole.safetensors"
    } else {
        "faceid.safetensors"
    });
    write_untrained(&path, &config, 5).unwrap();
    path
}

fn values(seed: u32) -> Vec<f32> {
    (0..DIMENSION as u32)
        .map(|i| ((seed * 31 + i * 7) as f32).sin() * 9.0)
        .collect()
}

fn embedding(seed: u32) -> FaceEmbedding {
    FaceEmbedding::new("buffalo_l", EmbeddingForm::Raw, values(seed)).unwrap()
}

fn photos(seeds: &[u32]) -> Vec<Photo<'static>> {
    seeds
        .iter()
        .map(|seed| Photo::from_embedding(embedding(*seed)))
        .collect()
}

fn encode(engine: &Engine, seeds: &[u32], options: &EncodeOptions) -> Identity {
    engine.encode(photos(seeds), options).unwrap().identity
}

/// What the encoder alone makes of an embedding that has the form in which it was trained.
fn tokens(path: &Path, engine: &Engine, embedding: Vec<f32>) -> Vec<f32> {
    let file = Checkpoint::open(path, &Limits::default()).unwrap().sub("encoder");
    let (builder, _) = file.var_builder(DType::F32, &Device::Cpu);
    let encoder = Encoder::load(&engine.info().encoder, builder).unwrap();
    let features = Features {
        embedding: Some(Tensor::new(embedding, &Device::Cpu).unwrap()),
        form: EmbeddingForm::Normalised,
        image: None,
    };
    let tokens = encoder.encode_with(&[features], &EncodeSettings::default()).unwrap();
    tokens.flatten_all().unwrap().to_vec1().unwrap()
}

fn close(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    let most = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(most <= 1e-5, "{most}");
}

#[test]
fn tokens_come_from_the_normalised_embedding() {
    let folder = tempfile::tempdir().unwrap();
    let path = model(folder.path());
    let engine = Engine::open(EngineOptions::new(&*path)).unwrap();
    let info = engine.info();
    assert!(info.backbone.is_none() && info.face.is_some_and(|face| face.dimension == DIMENSION));
    let identity = encode(&engine, &[1, 2], &EncodeOptions::default());
    assert_eq!((identity.token_count(), identity.width()), (8, 768));
    let both = [1, 2]
        .map(|seed| tokens(&path, &engine, embedding(seed).normalised()))
        .concat();
    close(identity.values(), &both);
    // The normalised form gives the same tokens.
    let normalised = FaceEmbedding::new("w600k_r50", EmbeddingForm::Normalised, embedding(1).normalised()).unwrap();
    let same = engine
        .encode([Photo::from_embedding(normalised)], &EncodeOptions::default())
        .unwrap();
    close(same.identity.values(), &identity.values()[..4 * 768]);
    assert!(same.photos[0].is_used() && same.photos[0].name == "face embedding");
    // A picture beside the embedding is not looked at.
    let pixels = [7u8; 12];
    let picture = PixelBuffer::new(&pixels[..], 2, 2, 6, ChannelOrder::Rgb).unwrap();
    let photo = Photo::from_pixels(picture).with_embedding(embedding(1));
    let beside = engine.encode([photo], &EncodeOptions::default()).unwrap();
    assert_eq!(beside.identity.values(), &identity.values()[..4 * 768]);
    // An identity of embeddings acts on a host.
    let conditioning = engine.condition([&identity], &Default::default()).unwrap();
    assert_eq!(conditioning.layer_count(), 16);
}

#[test]
fn photos_combine_in_the_form_that_the_encoder_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = model(folder.path());
    let engine = Engine::open(EngineOptions::new(&*path)).unwrap();
    let faces = [1, 2, 3].map(|seed| embedding(seed).normalised());
    let by = |formula: &dyn Fn([f32; 3]) -> f32| -> Vec<f32> {
        (0..DIMENSION)
            .map(|i| formula([faces[0][i], faces[1][i], faces[2][i]]))
            .collect()
    };
    let norm = |[a, b, c]: [f32; 3]| (a * a + b * b + c * c).sqrt();
    let cases: [(Combine, Vec<f32>); 6] = [
        (Combine::Average, by(&|[a, b, c]| (a + b + c) / 3.0)),
        (Combine::NormAverage, by(&|x| (x[0] + x[1] + x[2]) / norm(x) / 3.0)),
        (Combine::Add, by(&|[a, b, c]| a + b + c)),
        (Combine::Subtract, by(&|[a, b, c]| a - (b + c) / 2.0)),
        (Combine::Max, by(&|[a, b, c]| a.max(b).max(c))),
        (Combine::Min, by(&|[a, b, c]| a.min(b).min(c))),
    ];
    for (combine, combined) in cases {
        let options = EncodeOptions::default().with_combine(combine);
        let identity = encode(&engine, &[1, 2, 3], &options);
        assert_eq!(identity.token_count(), 4);
        assert_eq!(identity.making().combine, combine);
        close(identity.values(), &tokens(&path, &engine, combined));
        // Extending equals encoding all at once, from a file too.
        let one = encode(&engine, &[1], &options);
        let stored = one.to_bytes(Precision::F32).unwrap();
        let loaded = Identity::load(stored, &Limits::default()).unwrap();
        assert_eq!(loaded, one);
        let extended = engine
            .extend(&loaded, photos(&[2, 3]), &EncodeOptions::default())
            .unwrap();
        assert_eq!(extended.identity.values(), identity.values());
        assert_eq!(extended.identity.embeddings(), identity.embeddings());
        let conditioning = engine.condition([&identity], &Default::default()).unwrap();
        assert_eq!(conditioning.layer_count(), 16);
    }
}

#[test]
fn extending_goes_on_as_the_identity_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(EngineOptions::new(model(folder.path()))).unwrap();
    let average = EncodeOptions::default().with_combine(Combine::Average);
    let identity = encode(&engine, &[1], &average);
    let other = EncodeOptions::default().with_combine(Combine::Max);
    let error = engine.extend(&identity, photos(&[2]), &other).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(
        error.message().contains("average") && error.message().contains("max"),
        "{error}"
    );
    let forgotten = identity.clone().without_features();
    assert!(forgotten.embeddings().is_empty());
    let error = engine.extend(&forgotten, photos(&[2]), &average).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let none = EncodeOptions::default().with_keep_features(false);
    assert!(encode(&engine, &[1], &none).embeddings().is_empty());
    // One after the other, nothing of the photos before is needed.
    let plain = encode(&engine, &[1, 2], &none);
    let extended = engine
        .extend(&encode(&engine, &[1], &none), photos(&[2]), &none)
        .unwrap();
    assert_eq!(extended.identity.values(), plain.values());
}

#[test]
fn what_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = model(folder.path());
    let engine = Engine::open(EngineOptions::new(&*path)).unwrap();
    let refuse = |photo: Photo<'_>, options: &EncodeOptions| engine.encode([photo], options).unwrap_err();
    let of = |network: &str, values: Vec<f32>| {
        Photo::from_embedding(FaceEmbedding::new(network, EmbeddingForm::Raw, values).unwrap())
    };
    let defaults = EncodeOptions::default();
    let error = refuse(of("antelopev2", values(1)), &defaults);
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    for part in [
        "antelopev2",
        "IP-Adapter FaceID",
        "w600k_r50 of insightface's buffalo_l",
    ] {
        assert!(error.message().contains(part), "{error}");
    }
    let error = refuse(of("buffalo_l", vec![1.0; 13]), &defaults);
    assert!(
        error.message().contains("13 values") && error.message().contains("12"),
        "{error}"
    );
    // A picture alone needs a recogniser.
    let pixels = [7u8; 64 * 64 * 3];
    let picture = || Photo::from_pixels(PixelBuffer::new(&pixels[..], 64, 64, 192, ChannelOrder::Rgb).unwrap());
    let error = refuse(picture(), &defaults);
    assert!(error.message().contains("none of 1 photos"), "{error}");
    let embedding = || Photo::from_embedding(embedding(1));
    let error = refuse(embedding(), &EncodeOptions::default().with_crop(CropMode::face()));
    assert!(error.message().contains("no effect"), "{error}");
    let error = refuse(embedding(), &EncodeOptions::default().with_shortcut_scale(0.5));
    assert!(error.message().contains("shortcut"), "{error}");
    let error = engine.photo_features([embedding()], &defaults).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let zeros = Tensor::zeros((1, 1, DIMENSION), DType::F32, &Device::Cpu).unwrap();
    let error = engine.identity_from_features(&zeros, &defaults).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    // The built-in model reads photos.
    let built_in = Engine::open(EngineOptions::built_in().unwrap()).unwrap();
    let error = built_in
        .encode([picture().with_embedding(self::embedding(1))], &defaults)
        .unwrap_err();
    assert!(error.message().contains("no effect"), "{error}");
}

#[test]
fn files_with_embeddings_are_read_with_suspicion() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(EngineOptions::new(model(folder.path()))).unwrap();
    let identity = encode(&engine, &[1, 2], &EncodeOptions::default());
    let bytes = identity.to_bytes(Precision::F16).unwrap();
    let loaded = Identity::load(bytes.clone(), &Limits::default()).unwrap();
    assert_eq!(loaded.embeddings(), identity.embeddings());
    let changed = |from: &str, to: &str| {
        let (from, to) = (from.as_bytes(), to.as_bytes());
        let at = bytes
            .windows(from.len())
            .position(|window| window == from)
            .expect("it is there");
        let mut bytes = bytes.clone();
        bytes[at..at + from.len()].copy_from_slice(to);
        Identity::load(bytes, &Limits::default())
    };
    for (from, to) in [
        ("raw buffalo_l", "row buffalo_l"),
        ("omniid.embedding.1", "omniid.embedding.7"),
        ("\"embedding.1\"", "\"embedding.2\""),
        ("\"omniid.identity\":\"2\"", "\"omniid.identity\":\"1\""),
        ("\"omniid.identity\":\"2\"", "\"omniid.identity\":\"3\""),
    ] {
        let error = changed(from, to).expect_err(from);
        assert!(
            matches!(error.kind(), ErrorKind::Format | ErrorKind::Unsupported),
            "{error}"
        );
    }
}

/// A picture in which a face may be, and where.
fn pixels(seed: u32) -> Vec<u8> {
    (0..160 * 160 * 3u32)
        .map(|i| ((i * (seed + 3)) as f32 / 37.0).sin().mul_add(100.0, 120.0) as u8)
        .collect()
}

const LANDMARKS: Landmarks = Landmarks([[60.0, 70.0], [100.0, 68.0], [81.0, 92.0], [64.0, 112.0], [98.0, 111.0]]);

fn pictured(pixels: &[u8]) -> Photo<'_> {
    let buffer = PixelBuffer::new(pixels, 160, 160, 480, ChannelOrder::Rgb).unwrap();
    Photo::from_pixels(buffer).with_face(FaceHint::Landmarks(LANDMARKS))
}

#[test]
fn a_recogniser_makes_the_embeddings() {
    let folder = tempfile::tempdir().unwrap();
    let path = model_with(folder.path(), Some(recogniser(50)));
    let engine = Engine::open(EngineOptions::new(&*path)).unwrap();
    let network = engine.info().recogniser.clone().expect("it is in the file");
    assert_eq!(network.to_string(), "IResNet-50");
    let pictures = [1, 2].map(pixels);
    let photos = || pictures.iter().map(|pixels| pictured(pixels));
    let defaults = EncodeOptions::default();
    let encoded = engine.encode(photos(), &defaults).unwrap();
    // The same by hand: crop, embedding, identity.
    let network = FaceRecogniser::open(&*path, &Limits::default()).unwrap();
    let by_hand = pictures.iter().map(|pixels| {
        let image = pictured(pixels).decode(&Limits::default()).unwrap();
        let crop = network.crop(&image, &LANDMARKS).unwrap();
        network.embed(&[crop]).unwrap().remove(0)
    });
    let by_hand: Vec<FaceEmbedding> = by_hand.collect();
    let kept: Vec<FaceEmbedding> = encoded.identity.embeddings().iter().flatten().cloned().collect();
    assert_eq!(kept, by_hand);
    let given = engine
        .encode(by_hand.iter().cloned().map(Photo::from_embedding), &defaults)
        .unwrap();
    assert_eq!(given.identity.values(), encoded.identity.values());
    assert_eq!(encoded.photos[0].face.map(|face| face.landmarks), Some(LANDMARKS));
    // Likeness: mean and best of the cosines.
    let first = engine.likeness(&encoded.identity, pictured(&pictures[0])).unwrap();
    let other = by_hand[0].similarity(&by_hand[1]).unwrap();
    assert!(
        (first.best - 1.0).abs() < 1e-5 && (first.mean - (1.0 + other) / 2.0).abs() < 1e-5,
        "{first:?}"
    );
    assert_eq!(first.photos, 2);
    assert_eq!(engine.face_embedding(pictured(&pictures[0])).unwrap(), by_hand[0]);
    let error = engine
        .likeness(&encoded.identity.clone().without_features(), pictured(&pictures[0]))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    // Tokens for the host's ControlNet: the unconditional ones as many as the identity's.
    let (unconditional, own) = engine.context_tokens(&encoded.identity).unwrap();
    assert_eq!((unconditional.dims(), own.dims()), (&[8, 768][..], &[8, 768][..]));
    close(
        &own.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
        encoded.identity.values(),
    );
    let zeros = tokens(&path, &engine, vec![0.0; DIMENSION]);
    close(
        &unconditional.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
        &[zeros.clone(), zeros].concat(),
    );
}

#[test]
fn recognisers_beside_the_checkpoint_must_fit() {
    let folder = tempfile::tempdir().unwrap();
    let plain = model(folder.path());
    let whole = model_with(folder.path(), Some(recogniser(50)));
    let options = EngineOptions::new(&*plain).with_face_recogniser(whole.as_path());
    let engine = Engine::open(options).unwrap();
    let bare = Engine::open(EngineOptions::new(&*plain)).unwrap();
    // Embeddings of the host, or of the recogniser: the identities go with both engines.
    let picture = pixels(1);
    let identity = engine
        .encode([pictured(&picture)], &EncodeOptions::default())
        .unwrap()
        .identity;
    assert_ne!(engine.info().fingerprint, bare.info().fingerprint);
    bare.condition([&identity], &Default::default()).unwrap();
    engine
        .condition([&encode(&bare, &[1], &EncodeOptions::default())], &Default::default())
        .unwrap();
    let error = bare
        .encode([pictured(&picture)], &EncodeOptions::default())
        .unwrap_err();
    assert!(error.message().contains("no face recognition network"), "{error}");
    let error = bare.likeness(&identity, pictured(&picture)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    // A network of another kind is named together with the one that fits.
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let other = model_with(&other, Some(recogniser(18)));
    let error = Engine::open(EngineOptions::new(&*plain).with_face_recogniser(other.as_path())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    for part in [
        "IResNet-18",
        "IP-Adapter FaceID",
        "w600k_r50 of insightface's buffalo_l",
    ] {
        assert!(error.message().contains(part), "{error}");
    }
    // Any network compares faces for a model that reads none.
    let options = EngineOptions::built_in().unwrap().with_face_recogniser(other.as_path());
    let engine = Engine::open(options).unwrap();
    let identity = engine
        .encode([pictured(&picture)], &EncodeOptions::default())
        .unwrap()
        .identity;
    let likeness = engine.likeness(&identity, pictured(&picture)).unwrap();
    assert!((likeness.mean - 1.0).abs() < 1e-5, "{likeness:?}");
    // Its tokens do not depend on the network.
    let plain = Engine::open(EngineOptions::built_in().unwrap()).unwrap();
    let same = plain
        .encode([pictured(&picture)], &EncodeOptions::default())
        .unwrap()
        .identity;
    assert_eq!(same.values(), identity.values());
    assert_eq!(plain.info().fingerprint, engine.info().fingerprint);
}
