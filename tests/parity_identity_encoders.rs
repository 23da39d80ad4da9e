//! PuLID's encoders against PyTorch modules written from their formulas, the SD3.5 Resampler against diffusers.
//!
//! Fixtures as in `parity_encoder.rs`. With 16-bit weights the reference has weights of the same values, so that the
//! limit of f32 holds for all.

use candle_core::{DType, Device, Tensor};
use omniid::checkpoint::Checkpoint;
use omniid::encoder::{Encoder, EncoderConfig, EncoderKind, Features};
use omniid::{ErrorKind, Limits};
use std::path::{Path, PathBuf};

#[path = "parity/precision.rs"]
mod precision;

use precision::{limit, PRECISIONS};

type Outcome = Result<(), Box<dyn std::error::Error>>;

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

/// What was fed to the reference.
fn input(case: &str, name: &str) -> Result<Tensor, omniid::Error> {
    expected(case, name, DType::F32)
}

/// What the reference gives whose weights are rounded to `dtype`.
fn expected(case: &str, name: &str, dtype: DType) -> Result<Tensor, omniid::Error> {
    let file = match dtype {
        DType::F32 => "expected.safetensors".to_string(),
        _ => format!("expected.{}.safetensors", dtype.as_str()),
    };
    open(&folder(case).join(file))?.tensor(name, DType::F32, &Device::Cpu)
}

fn encoder(case: &str, kind: EncoderKind, dtype: DType) -> Result<Encoder, omniid::Error> {
    let file = open(&folder(case).join("ip-adapter.safetensors"))?.sub("image_proj");
    let config = EncoderConfig::infer(&file)?;
    assert_eq!(config.kind(), kind);
    file.build(dtype, &Device::Cpu, |weights| Encoder::load(&config, weights))
}

fn check(case: &str, what: &str, dtype: DType, got: &Tensor, expected: &Tensor) -> Outcome {
    assert_eq!(got.dims(), expected.dims(), "{case} {what}");
    let values = (got - expected)?.abs()?.flatten_all()?.to_vec1::<f32>()?;
    assert!(values.iter().all(|value| value.is_finite()));
    let difference = values.into_iter().fold(0.0, f32::max);
    println!("{case} {what} {dtype:?}: {difference:.2e}");
    assert!(
        difference <= limit(dtype),
        "{case}: {what} with {dtype:?} weights differs by {difference:.2e}"
    );
    Ok(())
}

/// The photos of a case: raw embedding and class embedding, and five levels of hidden states.
fn photos(case: &str) -> Result<Vec<Features>, Box<dyn std::error::Error>> {
    let (features, embeddings) = (input(case, "features")?, input(case, "embeddings")?);
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
        let rows = photos[0].image()?.dim(0)?;
        for dtype in PRECISIONS {
            let encoder = encoder(case, kind, dtype)?;
            for (what, got) in [
                ("tokens", encoder.encode(&photos)?),
                ("one_photo", encoder.encode(&photos[..1])?),
                ("zeros", encoder.encode_zeros(rows, &Device::Cpu)?),
            ] {
                check(case, what, dtype, &got, &expected(case, what, dtype)?)?;
            }
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
    for dtype in PRECISIONS {
        let tokens = encoder(case, EncoderKind::WithAnyone, dtype)?.encode(&photos)?;
        check(case, "tokens", dtype, &tokens, &expected(case, "tokens", dtype)?)?;
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
    check("id_former", "reversed", DType::F32, &encoder.encode(&photos)?, &tokens)
}

#[test]
fn the_time_resampler_equals_diffusers() -> Outcome {
    let case = "time_resampler";
    let photos = input(case, "features")?;
    let photos = [photos.get(0)?.into(), photos.get(1)?.into()];
    for dtype in PRECISIONS {
        let encoder = encoder(case, EncoderKind::TimeResampler, dtype)?;
        for (timestep, name) in [(1000.0, "1000"), (517.25, "517.25"), (0.0, "0")] {
            let time = encoder.time_embedding(timestep)?.expect("it depends on the timestep");
            for (what, got) in [("time", time), ("tokens", encoder.encode_at(&photos, timestep)?)] {
                let what = format!("{what}.{name}");
                check(case, &what, dtype, &got, &expected(case, &what, dtype)?)?;
            }
        }
        assert_eq!(
            encoder.encode(&photos).expect_err("no timestep").kind(),
            ErrorKind::InvalidArgument
        );
    }
    Ok(())
}
