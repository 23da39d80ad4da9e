//! PuLID's encoders against PyTorch modules written from their formulas, the SD3.5 Resampler against diffusers.
//!
//! Fixtures as in `parity_encoder.rs`, and its limit for f32 weights. The rounding of 16-bit weights adds up over IDFormer's
//! ten layers, so limits are wider there.

use candle_core::{DType, Device, Tensor};
use omniid::checkpoint::Checkpoint;
use omniid::encoder::{Encoder, EncoderConfig, EncoderKind, Features};
use omniid::{ErrorKind, Limits};
use std::path::{Path, PathBuf};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const PRECISIONS: [(DType, f32); 3] = [(DType::F32, 1e-5), (DType::F16, 2e-2), (DType::BF16, 2e-1)];

fn folder(case: &str) -> PathBuf {
    let root = match std::env::var_os("OMNIID_PARITY_FIXTURES") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity"),
    };
    root.join("identity_encoders").join(case)
}

fn open(path: &Path) -> Result<Checkpoint, omniid::Error> {
    Checkpoint::open(path, &Limits::default())
}

fn expected(case: &str, name: &str) -> Result<Tensor, omniid::Error> {
    open(&folder(case).join("expected.safetensors"))?.tensor(name, DType::F32, &Device::Cpu)
}

fn encoder(case: &str, kind: EncoderKind, dtype: DType) -> Result<Encoder, omniid::Error> {
    let file = open(&folder(case).join("ip-adapter.safetensors"))?.sub("image_proj");
    let config = EncoderConfig::infer(&file)?;
    assert_eq!(config.kind(), kind);
    file.build(dtype, &Device::Cpu, |weights| Encoder::load(&config, weights))
}

fn check(case: &str, what: &str, limit: f32, got: &Tensor, expected: &Tensor) -> Outcome {
    assert_eq!(got.dims(), expected.dims(), "{case} {what}");
    let values = (got - expected)?.abs()?.flatten_all()?.to_vec1::<f32>()?;
    assert!(values.iter().all(|value| value.is_finite()));
    let difference = values.into_iter().fold(0.0, f32::max);
    println!("{case} {what}: {difference:.2e} (limit {limit:.0e})");
    assert!(difference <= limit, "{case}: {what} differs by {difference:.2e}");
    Ok(())
}

/// The photos of a case: raw embedding and class embedding, and five levels of hidden states.
fn photos(case: &str) -> Result<Vec<Features>, Box<dyn std::error::Error>> {
    let (features, embeddings) = (expected(case, "features")?, expected(case, "embeddings")?);
    let photo = |n: usize| -> Result<Features, Box<dyn std::error::Error>> {
        Ok(Features {
            image: Some(features.get(n)?),
            embedding: Some(embeddings.get(n)?),
            ..Features::default()
        })
    };
    (0..features.dim(0)?).map(photo).collect()
}

#[test]
fn pulid_encoders_equal_their_references() -> Outcome {
    for (case, kind) in [("pulid_v1", EncoderKind::PulidV1), ("id_former", EncoderKind::IdFormer)] {
        let photos = photos(case)?;
        for (dtype, limit) in PRECISIONS {
            let encoder = encoder(case, kind, dtype)?;
            check(
                case,
                "tokens",
                limit,
                &encoder.encode(&photos)?,
                &expected(case, "tokens")?,
            )?;
            let one = encoder.encode(&photos[..1])?;
            check(case, "one photo", limit, &one, &expected(case, "one_photo")?)?;
            let rows = photos[0].image()?.dim(0)?;
            let zeros = encoder.encode_zeros(rows, &Device::Cpu)?;
            check(case, "zeros", limit, &zeros, &expected(case, "zeros")?)?;
        }
        let encoder = encoder(case, kind, DType::F32)?;
        // Levels of different sizes, another width, a missing embedding.
        let image = photos[0].image()?;
        for wrong in [image.narrow(0, 0, image.dim(0)? - 1)?, image.narrow(1, 0, 20)?] {
            let photo = Features {
                image: Some(wrong),
                ..photos[0].clone()
            };
            assert_eq!(encoder.encode(&[photo]).expect_err("shape").kind(), ErrorKind::Mismatch);
        }
        let photo = Features::of_image(image.clone());
        assert_eq!(
            encoder.encode(&[photo]).expect_err("embedding").kind(),
            ErrorKind::InvalidArgument
        );
    }
    Ok(())
}

#[test]
fn with_anyone_equals_its_reference() -> Outcome {
    let case = "with_anyone";
    let photos = photos(case)?;
    for (dtype, limit) in PRECISIONS {
        let encoder = encoder(case, EncoderKind::WithAnyone, dtype)?;
        check(
            case,
            "tokens",
            limit,
            &encoder.encode(&photos)?,
            &expected(case, "tokens")?,
        )?;
    }
    let encoder = encoder(case, EncoderKind::WithAnyone, DType::F32)?;
    let short = Features {
        image: Some(photos[0].image()?.narrow(0, 0, 255)?),
        ..photos[0].clone()
    };
    assert_eq!(
        encoder.encode(&[short]).expect_err("255 tokens").kind(),
        ErrorKind::Mismatch
    );
    Ok(())
}

#[test]
fn the_order_of_photos_does_not_change_what_id_former_sees() -> Outcome {
    let encoder = encoder("id_former", EncoderKind::IdFormer, DType::F32)?;
    let mut photos = photos("id_former")?;
    let tokens = encoder.encode(&photos)?;
    photos.reverse();
    check("id_former", "reversed", 1e-5, &encoder.encode(&photos)?, &tokens)
}

#[test]
fn the_time_resampler_equals_diffusers() -> Outcome {
    let case = "time_resampler";
    let photos = expected(case, "features")?;
    let photos = [photos.get(0)?.into(), photos.get(1)?.into()];
    for (dtype, limit) in PRECISIONS {
        let encoder = encoder(case, EncoderKind::TimeResampler, dtype)?;
        for (timestep, name) in [(1000.0, "1000"), (517.25, "517.25"), (0.0, "0")] {
            let tokens = encoder.encode_at(&photos, timestep)?;
            let name = |what: &str| format!("{what}.{name}");
            check(case, &name("tokens"), limit, &tokens, &expected(case, &name("tokens"))?)?;
            let time = encoder.time_embedding(timestep)?.expect("it depends on the timestep");
            check(case, &name("time"), limit, &time, &expected(case, &name("time"))?)?;
        }
        assert_eq!(
            encoder.encode(&photos).expect_err("no timestep").kind(),
            ErrorKind::InvalidArgument
        );
    }
    Ok(())
}
