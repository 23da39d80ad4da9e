//! The engine end to end on small random models: photos in, identity out, conditioned for a host.

use candle_core::{Device, Tensor};
use omniid::checkpoint::safetensors_to_bytes;
use omniid::conditioning::{ConditioningOptions, Role, Unconditional};
use omniid::engine::{
    untrained_tensors, write_untrained, BadPhoto, ConditioningInput, EncodeOptions, Engine, EngineOptions,
    NativeConfig, Source,
};
use omniid::identity::Identity;
use omniid::photo::{ChannelOrder, Photo, PixelBuffer};
use omniid::Progress;
use omniid::{ErrorKind, Limits};
use std::ops::ControlFlow;
use std::path::Path;

/// The small model of the example: 56-pixel photos, 17 feature tokens, 6 identity tokens, two host layers.
#[allow(dead_code)]
#[path = "../examples/untrained_model.rs"]
mod untrained_model;

fn config() -> NativeConfig {
    untrained_model::config().unwrap()
}

fn engine(folder: &Path, seed: u64) -> Engine {
    let path = folder.join(format!("model-{seed}.safetensors"));
    write_untrained(&path, &config(), seed).unwrap();
    Engine::open(EngineOptions::new(path)).unwrap()
}

/// A smooth picture that differs with `seed`.
fn picture(seed: u32) -> Vec<u8> {
    (0..60 * 80 * 3u32)
        .map(|index| {
            let (x, y, channel) = (index / 3 % 80, index / 240, index % 3);
            let wave = ((x * (seed + 1) + y * 3) as f32 / 11.0 + channel as f32).sin();
            (127.5 + 120.0 * wave) as u8
        })
        .collect()
}

fn photo(pixels: &[u8]) -> Photo<'_> {
    Photo::from_pixels(PixelBuffer::new(pixels, 80, 60, 240, ChannelOrder::Rgb).unwrap())
}

fn encode(engine: &Engine, photos: &[Photo<'_>]) -> Identity {
    engine.encode(photos, &EncodeOptions::default()).unwrap().identity
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

#[test]
fn order_of_photos_does_not_matter_and_extending_equals_encoding_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), 1);
    let pictures: Vec<_> = (0..5).map(picture).collect();
    let photos: Vec<_> = pictures.iter().map(|pixels| photo(pixels)).collect();
    let all = encode(&engine, &photos);
    assert_eq!((all.token_count(), all.width(), all.provenance().photos), (6, 24, 5));

    let reversed: Vec<_> = pictures.iter().rev().map(|pixels| photo(pixels)).collect();
    assert!(largest_difference(all.values(), encode(&engine, &reversed).values()) <= 1e-5);

    let first = encode(&engine, &photos[..2]);
    assert!(
        largest_difference(all.values(), first.values()) > 1e-3,
        "more photos must change the identity"
    );
    let path = folder.path().join("first.omniid");
    first.save(&path).unwrap();
    let first = Identity::load(&path, &Limits::default()).unwrap();
    let extended = engine
        .extend(&first, &photos[2..], &EncodeOptions::default())
        .unwrap()
        .identity;
    assert!(largest_difference(all.values(), extended.values()) <= 1e-5);
    assert_eq!(extended.provenance().photos, 5);
}

#[test]
fn batch_size_changes_memory_not_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), 2);
    let pictures: Vec<_> = (0..5).map(picture).collect();
    let photos: Vec<_> = pictures.iter().map(|pixels| photo(pixels)).collect();
    let whole = encode(&engine, &photos);
    for batch_size in [1, 2, 5, 64] {
        let options = EncodeOptions::default().with_batch_size(batch_size);
        let identity = engine.encode(&photos, &options).unwrap().identity;
        assert!(
            largest_difference(whole.values(), identity.values()) <= 1e-5,
            "batch size {batch_size}"
        );
    }
}

#[test]
fn one_bad_photo_does_not_lose_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), 3);
    let (a, b) = (picture(1), picture(2));
    let good = encode(&engine, &[photo(&a), photo(&b)]);
    let mixed = [
        photo(&a),
        Photo::from_bytes(b"no picture"),
        photo(&b),
        Photo::from(Path::new("absent.png")),
    ];
    let encoded = engine.encode(&mixed, &EncodeOptions::default()).unwrap();
    assert_eq!(encoded.identity.values(), good.values());
    let used: Vec<_> = encoded.photos.iter().map(|report| report.is_used()).collect();
    assert_eq!(used, [true, false, true, false]);
    let error = encoded.photos[3].error.as_ref().unwrap();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.message().contains("absent.png"), "{error}");

    let strict = EncodeOptions::default().with_bad_photo(BadPhoto::Fail);
    let error = engine.encode(&mixed, &strict).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Format);
    let error = engine.encode(&mixed[3..], &EncodeOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(
        error.message().contains("none of 1 photos") && error.message().contains("absent.png"),
        "{error}"
    );
    let error = engine
        .encode([] as [Photo<'_>; 0], &EncodeOptions::default())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn identities_belong_to_their_model() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (engine(folder.path(), 4), engine(folder.path(), 5));
    let picture = picture(3);
    let identity = encode(&ours, &[photo(&picture)]);
    let condition = |engine: &Engine| engine.condition([&identity], &ConditioningOptions::default());
    condition(&ours).unwrap();
    let error = condition(&other).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    for fingerprint in [&ours.info().fingerprint, &other.info().fingerprint] {
        assert!(error.message().contains(fingerprint.as_str()), "{error}");
    }
    assert!(ours.similarity(&identity, &identity).unwrap() > 0.999_999);
    assert_eq!(
        other.similarity(&identity, &identity).unwrap_err().kind(),
        ErrorKind::Mismatch
    );
}

#[test]
fn identities_are_compared_where_the_checkpoint_says() {
    let mut tensors = untrained_tensors(&config(), 1).unwrap();
    let values = |count: usize, step: f32| (0..count).map(|i| (i as f32 * step).sin()).collect::<Vec<_>>();
    let (mean, projection) = (values(6 * 24, 0.7), values(5 * 6 * 24, 1.3));
    let tensor = |values: &[f32], shape: (usize, usize)| Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
    let open = |tensors: &[(String, Tensor)]| {
        let bytes = safetensors_to_bytes(tensors, &config().to_metadata().unwrap()).unwrap();
        Engine::open(EngineOptions::new(Source::from(bytes)))
    };
    tensors.push(("encoder.token_mean".to_string(), tensor(&mean, (6, 24))));
    let centred = open(&tensors).unwrap();
    tensors.push(("similarity.projection".to_string(), tensor(&projection, (5, 144))));
    let projected = open(&tensors).unwrap();
    assert_eq!(
        (centred.similarity_directions(), projected.similarity_directions()),
        (0, 5)
    );

    let pictures = [picture(0), picture(1)];
    for (engine, directions) in [(&centred, None), (&projected, Some(projection.as_slice()))] {
        let [a, b] = [0, 1].map(|place| encode(engine, &[photo(&pictures[place])]));
        let vector = |identity: &Identity| -> Vec<f64> {
            let moved = identity
                .values()
                .iter()
                .zip(&mean)
                .map(|(value, mean)| f64::from(value - mean));
            let moved: Vec<f64> = moved.collect();
            let project = |row: &[f32]| row.iter().zip(&moved).map(|(r, m)| f64::from(*r) * m).sum();
            match directions {
                Some(directions) => directions.chunks(144).map(project).collect(),
                None => moved,
            }
        };
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (first, second) = (vector(&a), vector(&b));
        let expected = dot(&first, &second) / (dot(&first, &first) * dot(&second, &second)).sqrt();
        let similarity = engine.similarity(&a, &b).unwrap();
        assert!(
            (f64::from(similarity) - expected).abs() < 1e-5,
            "{similarity}, expected {expected}"
        );
        let embedded = [&a, &b].map(|identity| engine.comparison_vector(identity).unwrap());
        assert_eq!(embedded[0].len(), directions.map_or(144, |_| 5));
        let embedded = embedded.map(|vector| vector.into_iter().map(f64::from).collect::<Vec<_>>());
        assert!((dot(&embedded[0], &embedded[1]) - expected).abs() < 1e-5);
    }

    assert_eq!(
        centred.info().fingerprint,
        projected.info().fingerprint,
        "the tokens are the same"
    );

    let last = tensors.len() - 1;
    let mut broken = projection.clone();
    broken[17] = f32::NAN;
    let wrong = [
        (tensor(&projection[..5 * 143], (5, 143)), "[directions, 144]"),
        (tensor(&[], (0, 144)), "[directions, 144]"),
        (tensor(&values(145 * 144, 0.3), (145, 144)), "1 to 144 directions"),
        (
            Tensor::from_slice(&projection[..144], 144, &Device::Cpu).unwrap(),
            "[directions, 144]",
        ),
        (tensor(&broken, (5, 144)), "NaN"),
    ];
    for (projection, named) in wrong {
        tensors[last].1 = projection;
        let error = open(&tensors).expect_err(named);
        assert_eq!(error.kind(), ErrorKind::Format);
        assert!(
            error.message().contains("similarity.projection") && error.message().contains(named),
            "{error}"
        );
    }
}

#[test]
fn unconditional_variants_exist_where_they_should() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), 6);
    let picture = picture(4);
    let identity = encode(&engine, &[photo(&picture)]);
    let keys = |unconditional: Unconditional<'_>| {
        let input = ConditioningInput::new(&identity).with_unconditional(unconditional);
        let conditioning = engine.condition([input], &ConditioningOptions::default())?;
        let keys = conditioning.keys(0, 0, Role::Unconditional)?;
        Ok::<_, omniid::Error>(keys.map(|keys| keys.flatten_all().unwrap().to_vec1::<f32>().unwrap()))
    };
    assert_eq!(keys(Unconditional::None).unwrap(), None);
    let zero = keys(Unconditional::ZeroTokens).unwrap();
    assert!(zero.is_some());
    assert_ne!(keys(Unconditional::ZeroPixels).unwrap(), zero);
    assert_ne!(
        keys(Unconditional::BlackImage).unwrap(),
        keys(Unconditional::ZeroPixels).unwrap()
    );
    // There is no embedding to set to zero in an Omni-ID model.
    assert_eq!(
        keys(Unconditional::ZeroEmbedding).unwrap_err().kind(),
        ErrorKind::Unsupported
    );
}

#[test]
fn cancelling_stops_the_call() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), 7);
    let pictures: Vec<_> = (0..3).map(picture).collect();
    let photos: Vec<_> = pictures.iter().map(|pixels| photo(pixels)).collect();
    let mut calls = 0;
    let mut callback = |_: Progress| {
        calls += 1;
        if calls == 2 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let error = engine
        .encode_with_progress(&photos, &EncodeOptions::default(), &mut callback)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(calls, 2);
}

#[test]
fn threads_share_an_engine() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), 8);
    let picture = picture(5);
    let expected = encode(&engine, &[photo(&picture)]);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| (0..5).map(|_| encode(&engine, &[photo(&picture)])).collect::<Vec<_>>()))
            .collect();
        for thread in threads {
            for identity in thread.join().unwrap() {
                assert_eq!(identity.values(), expected.values());
            }
        }
    });
}

/// The variable is read once per process, so every value gets one of its own: this test, started again.
#[test]
fn a_number_of_threads_that_is_none_is_refused() {
    const ASKED: &str = "OMNIID_TEST_OPENS_AN_ENGINE";
    if std::env::var_os(ASKED).is_some() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        write_untrained(&path, &config(), 1).unwrap();
        match Engine::open(EngineOptions::new(path)) {
            Ok(_) => println!("opened"),
            Err(error) => println!("{:?}: {error}", error.kind()),
        }
        return;
    }
    let open = |threads: &str| {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "a_number_of_threads_that_is_none_is_refused"])
            .env(ASKED, "1")
            .env("OMNIID_THREADS", threads)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    for threads in ["1", "2", "1024", ""] {
        assert!(open(threads).contains("opened"), "{threads}");
    }
    for threads in ["0", "-1", "abc", "1000000000", "1.5"] {
        let text = open(threads);
        let expected =
            format!("InvalidArgument: the environment variable OMNIID_THREADS is {threads:?}, expected 1 to 1024");
        assert!(text.contains(&expected), "{threads}: {text}");
    }
}

#[test]
fn unknown_and_missing_tensors_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let tensors = omniid::engine::untrained_tensors(&config(), 9).unwrap();
    let metadata = config().to_metadata().unwrap();
    let open = |tensors: &[(String, candle_core::Tensor)]| {
        omniid::checkpoint::write_safetensors(&path, tensors, &metadata).unwrap();
        Engine::open(EngineOptions::new(path.as_path()))
    };
    for part in ["backbone", "encoder", "adapter"] {
        let mut more = tensors.clone();
        more.push((format!("{part}.surplus"), tensors[0].1.clone()));
        let opened = open(&more).and_then(|engine| {
            // The adapter is read when it is first needed.
            let picture = picture(1);
            let identity = encode(&engine, &[photo(&picture)]);
            engine.condition([&identity], &ConditioningOptions::default())
        });
        let error = opened.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Format, "{error}");
        assert!(error.message().contains(&format!("{part}.surplus")), "{error}");
    }
    let without: Vec<_> = tensors
        .iter()
        .filter(|(name, _)| name != "encoder.queries")
        .cloned()
        .collect();
    let error = open(&without).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Format);
    assert!(error.message().contains("queries"), "{error}");
}

#[test]
fn attention_maps_belong_to_their_photos_and_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), 1);
    let pictures: Vec<_> = (0..2).map(picture).collect();
    let photos: Vec<_> = pictures.iter().map(|pixels| photo(pixels)).collect();
    let options = EncodeOptions::default();
    let maps = engine.attention_maps(&photos, &options).unwrap();
    assert_eq!((maps.queries, maps.side, maps.photos.len()), (6, 4, 2));
    assert_eq!(maps.photos[0].crop.dimensions(), (56, 56));
    for block in 0..maps.blocks {
        for query in 0..maps.queries {
            let of = |photo: usize| maps.photos[photo].shares(block, query);
            assert_eq!((of(0).len(), of(1).len()), (16, 16));
            // The rest of the sum is the class tokens' share.
            let sum: f32 = of(0).iter().chain(of(1)).sum();
            assert!(sum > 0.5 && sum < 1.0 + 1e-5, "{sum}");
        }
    }
    assert_eq!(maps.photos[0].shares(maps.blocks, 0), [0f32; 0]);
    let swapped = engine
        .attention_maps(&[photo(&pictures[1]), photo(&pictures[0])], &options)
        .unwrap();
    assert!(largest_difference(maps.photos[0].shares(1, 3), swapped.photos[1].shares(1, 3)) < 1e-6);
    assert!(largest_difference(maps.photos[0].shares(1, 3), swapped.photos[0].shares(1, 3)) > 1e-4);
}
