//! PuLID from the photo to the tokens, against OpenCV, ONNX Runtime and PyTorch.
//!
//! Fixtures as in `parity_encoder.rs`, by `cases/pulid.py`.

use candle_core::{DType, Device};
use image::RgbImage;
use omniid::checkpoint::Checkpoint;
use omniid::engine::{EncodeOptions, Engine, EngineOptions};
use omniid::face::CropMode;
use omniid::photo::{ChannelOrder, FaceHint, FaceMask, Landmarks, Photo, PhotoNote, PixelBuffer};
use omniid::recogniser::{EmbeddingForm, FaceEmbedding};
use omniid::{ErrorKind, Limits};
use std::path::{Path, PathBuf};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Largest difference of features and tokens, which have the size of 1 to 5. Embeddings and pixels, from which they are
/// made, differ by some 1e-6.
const LIMIT: f32 = 5e-5;

/// The same behind the face parser. Where the two best scores of a pixel are equal but for the last digits, one of the
/// 262,144 pixels may be face here and background there: that moves features by 1e-2, tokens by 2e-4. Without the parser
/// features are another picture's, by more than 1.
const PARSED_FEATURES: f32 = 2e-2;
const PARSED_TOKENS: f32 = 1e-3;

const ENCODERS: [&str; 2] = ["pulid_v1", "id_former"];
const WIDTH: u32 = 176;
const HEIGHT: u32 = 160;

const LANDMARKS: [[[f32; 2]; 5]; 2] = [
    [
        [60.5, 70.25],
        [100.0, 68.5],
        [81.0, 92.0],
        [64.75, 112.0],
        [98.0, 111.5],
    ],
    [
        [90.0, 60.0],
        [131.5, 71.0],
        [106.0, 88.25],
        [84.5, 103.0],
        [119.0, 113.0],
    ],
];

fn folder() -> PathBuf {
    let root = match std::env::var_os("OMNIID_PARITY_FIXTURES") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity"),
    };
    root.join("pulid")
}

fn expected(name: &str) -> Result<Vec<f32>, omniid::Error> {
    let file = Checkpoint::open(folder().join("expected.safetensors"), &Limits::default())?;
    let values = file.tensor(name, DType::F32, &Device::Cpu)?.flatten_all()?;
    Ok(values.to_vec1()?)
}

fn check(what: &str, got: &[f32], name: &str, limit: f32) -> Outcome {
    let expected = expected(name)?;
    assert_eq!(got.len(), expected.len(), "{what}");
    let difference = got.iter().zip(&expected).map(|(a, b)| (a - b).abs());
    let worst = difference.fold(0.0, |worst: f32, one| if one <= worst { worst } else { one });
    println!("{what}: {worst:.1e} (limit {limit:.0e})");
    assert!(worst <= limit, "{what} differs by {worst:.1e}");
    Ok(())
}

/// The photos that the generator makes by the same formula.
fn picture(index: u32) -> Vec<u8> {
    let wave = |place: u32| (place % 510).abs_diff(255);
    let pixel = |x: u32, y: u32, c: u32| ((wave(x * (5 + index) + c * 60) + wave(y * 6 + c * 90 + x)) / 2) as u8;
    let picture = RgbImage::from_fn(WIDTH, HEIGHT, |x, y| image::Rgb([0, 1, 2].map(|c| pixel(x, y, c))));
    picture.into_raw()
}

fn photo(pixels: &[u8], index: usize) -> Photo<'_> {
    let buffer = PixelBuffer::new(pixels, WIDTH, HEIGHT, 0, ChannelOrder::Rgb).expect("a whole picture");
    Photo::from_pixels(buffer).with_face(FaceHint::Landmarks(Landmarks(LANDMARKS[index])))
}

fn mask() -> Vec<f32> {
    let square = |a: u32, b: u32| a.abs_diff(b).pow(2);
    let inside = |x, y| square(x, 82) + square(y, 90) < 40 * 40;
    (0..HEIGHT * WIDTH)
        .map(|at| if inside(at % WIDTH, at / WIDTH) { 1.0 } else { 0.0 })
        .collect()
}

fn options(encoder: &str) -> EngineOptions {
    EngineOptions::new(folder().join(format!("{encoder}.safetensors")))
        .with_image_encoder(folder().join("eva02.safetensors"))
        .with_face_recogniser(folder().join("glintr100.onnx"))
}

fn with_parser(encoder: &str) -> EngineOptions {
    options(encoder).with_face_parser(folder().join("parsing_bisenet.safetensors"))
}

/// What the image encoder gives of one photo.
fn features(engine: &Engine, photo: Photo<'_>) -> Result<(Vec<f32>, Vec<PhotoNote>), omniid::Error> {
    let seen = engine.photo_features([photo], &EncodeOptions::default())?;
    let notes = seen.photos[0].notes.clone();
    Ok((seen.features.flatten_all()?.to_vec1()?, notes))
}

#[test]
fn tokens_of_photos_equal_the_reference() -> Outcome {
    let pictures = [picture(0), picture(1)];
    for encoder in ENCODERS {
        let engine = Engine::open(with_parser(encoder))?;
        let photos = || pictures.iter().enumerate().map(|(index, pixels)| photo(pixels, index));
        let encoded = engine.encode(photos(), &EncodeOptions::default())?;
        for report in &encoded.photos {
            assert!(
                report.is_used() && !report.notes.contains(&PhotoNote::NoParsing),
                "{}",
                report.reason()
            );
        }
        let identity = encoded.identity;
        let embeddings: Vec<f32> = identity
            .embeddings()
            .iter()
            .flatten()
            .flat_map(|embedding| embedding.values().to_vec())
            .collect();
        check("embeddings", &embeddings, "embeddings", LIMIT)?;
        check(encoder, identity.values(), &format!("{encoder}.tokens"), PARSED_TOKENS)?;
        // One photo, then the other: the same identity.
        let first = engine.encode(photos().take(1), &EncodeOptions::default())?.identity;
        let both = engine
            .extend(&first, photos().skip(1), &EncodeOptions::default())?
            .identity;
        check(encoder, both.values(), &format!("{encoder}.tokens"), PARSED_TOKENS)?;
    }
    Ok(())
}

#[test]
fn the_background_is_white_by_parser_or_mask_and_kept_without() -> Outcome {
    let pictures = [picture(0), picture(1)];
    let (with, without) = (
        Engine::open(with_parser("pulid_v1"))?,
        Engine::open(options("pulid_v1"))?,
    );
    assert!(with.info().has_face_parser && !without.info().has_face_parser);
    for (index, pixels) in pictures.iter().enumerate() {
        let (white, notes) = features(&with, photo(pixels, index))?;
        assert_eq!(notes, []);
        check(
            "by the parser",
            &white,
            &format!("white.features.{index}"),
            PARSED_FEATURES,
        )?;
        let (plain, notes) = features(&without, photo(pixels, index))?;
        assert_eq!(notes, [PhotoNote::NoParsing]);
        assert!(notes[0].to_string().contains("no face mask"), "{}", notes[0]);
        check("without", &plain, &format!("plain.features.{index}"), LIMIT)?;
        let apart = plain.iter().zip(&white).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart > 1.0, "the parser has no effect: {apart}");
    }
    // The host's mask counts, with a parser too.
    let mask = mask();
    for engine in [&with, &without] {
        let mask = FaceMask::new(WIDTH, HEIGHT, mask.as_slice())?;
        let (masked, notes) = features(engine, photo(&pictures[0], 0).with_face_mask(mask))?;
        assert_eq!(notes, []);
        check("by the mask", &masked, "masked.features.0", LIMIT)?;
    }
    Ok(())
}

#[test]
fn masks_that_have_no_effect_are_refused() -> Outcome {
    let pixels = picture(0);
    let engine = Engine::open(options("pulid_v1"))?;
    let mask = || FaceMask::new(WIDTH, HEIGHT, mask()).expect("a mask");
    let refused = |engine: &Engine, photo: Photo<'_>, options: &EncodeOptions| {
        let error = engine.encode([photo], options).expect_err("it has no effect");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        error.message().to_string()
    };
    let other_size = FaceMask::new(HEIGHT, WIDTH, vec![1.0; (WIDTH * HEIGHT) as usize])?;
    let defaults = EncodeOptions::default();
    let text = refused(&engine, photo(&pixels, 0).with_face_mask(other_size), &defaults);
    assert!(text.contains("160 x 176") && text.contains("photo 176 x 160"), "{text}");
    let whole = EncodeOptions::default().with_crop(CropMode::None);
    let text = refused(&engine, photo(&pixels, 0).with_face_mask(mask()), &whole);
    assert!(text.contains("crop mode none"), "{text}");
    let built_in = Engine::open(EngineOptions::built_in()?)?;
    let text = refused(&built_in, photo(&pixels, 0).with_face_mask(mask()), &defaults);
    assert!(text.contains("only PuLID"), "{text}");
    Ok(())
}

#[test]
fn what_is_missing_or_does_not_fit_is_named() -> Outcome {
    let pixels = picture(0);
    let without = EngineOptions::new(folder().join("id_former.safetensors"))
        .with_image_encoder(folder().join("eva02.safetensors"));
    let engine = Engine::open(without)?;
    let error = engine
        .encode([photo(&pixels, 0)], &EncodeOptions::default())
        .expect_err("no recogniser");
    for part in ["PuLID", "glintr100", "no face recognition network"] {
        assert!(error.message().contains(part), "{error}");
    }
    // The embedding of the host serves instead.
    let embedding = FaceEmbedding::new("antelopev2", EmbeddingForm::Raw, expected("embeddings")?[..12].to_vec())?;
    let given = engine.encode([photo(&pixels, 0).with_embedding(embedding)], &EncodeOptions::default())?;
    assert_eq!(given.photos[0].notes, [PhotoNote::NoParsing]);
    // A file of another kind in the parser's place.
    let wrong = options("id_former").with_face_parser(folder().join("glintr100.onnx"));
    let error = Engine::open(wrong).expect_err("no parser");
    assert!(error.message().contains("face parser"), "{error}");
    Ok(())
}
