//! Encoders that read face embeddings, and InstantX', against diffusers' own modules. Fixtures as in
//! `parity_encoder.rs`, written by `tests/parity/cases/faceid.py`.

use candle_core::{DType, Device, Tensor};
use omniid::checkpoint::Checkpoint;
use omniid::encoder::{EncodeSettings, Encoder, EncoderConfig, EncoderInput, Features};
use omniid::Limits;
use std::path::{Path, PathBuf};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Number types of the weights, how outputs of the reference with weights rounded to them are called, and the largest
/// absolute difference allowed, on values up to about 4. With f32 and f16 weights nothing but the order of sums is left;
/// with bf16 weights the processor's bf16 products round the activations too.
const PRECISIONS: [(DType, &str, f32); 3] = [
    (DType::F32, "", 1e-5),
    (DType::F16, "_f16", 1e-5),
    (DType::BF16, "_bf16", 6e-2),
];

fn case(name: &str) -> PathBuf {
    let root = match std::env::var_os("OMNIID_PARITY_FIXTURES") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity"),
    };
    root.join("faceid").join(name)
}

fn open(path: &Path) -> Outcome<Checkpoint> {
    Ok(Checkpoint::open(path, &Limits::default())?)
}

/// A case: its encoder's weights and sizes, and the reference's inputs and outputs.
struct Case {
    name: &'static str,
    weights: Checkpoint,
    config: EncoderConfig,
    expected: Checkpoint,
}

impl Case {
    fn open(name: &'static str) -> Outcome<Self> {
        let folder = case(name);
        let safetensors = folder.join("ip-adapter.safetensors");
        let path = match safetensors.exists() {
            true => safetensors,
            false => folder.join("ip-adapter.bin"),
        };
        let weights = open(&path)?.sub("image_proj");
        let config = match std::fs::read_to_string(folder.join("config.json")) {
            // Some models have all tensors of another one.
            Ok(json) => serde_json::from_str(&json)?,
            Err(_) => EncoderConfig::infer(&weights)?,
        };
        Ok(Self {
            name,
            weights,
            config,
            expected: open(&folder.join("expected.safetensors"))?,
        })
    }

    fn tensor(&self, name: &str) -> Outcome<Tensor> {
        Ok(self.expected.tensor(name, DType::F32, &Device::Cpu)?)
    }

    fn encoder(&self, config: &EncoderConfig, dtype: DType) -> Outcome<Encoder> {
        let (builder, usage) = self.weights.var_builder(dtype, &Device::Cpu);
        let encoder = Encoder::load(config, builder)?;
        assert_eq!(usage.unused(), Vec::<String>::new());
        Ok(encoder)
    }

    /// What the encoder reads of each photo; `zero` for an embedding of zeros.
    fn photos(&self, zero: bool) -> Outcome<Vec<Features>> {
        let read = |wanted: bool, name: &str| -> Outcome<Option<Tensor>> {
            Ok(if wanted { Some(self.tensor(name)?) } else { None })
        };
        let embeddings = read(self.config.face().is_some(), "embeddings")?;
        let images = read(self.config.input() != EncoderInput::Nothing, "features")?;
        let count = embeddings.as_ref().or(images.as_ref()).ok_or("no input")?.dim(0)?;
        (0..count)
            .map(|n| {
                let row = |all: &Option<Tensor>| all.as_ref().map(|all| all.get(n)).transpose();
                let embedding = match row(&embeddings)? {
                    Some(embedding) if zero => Some(embedding.zeros_like()?),
                    other => other,
                };
                Ok(Features {
                    image: row(&images)?,
                    embedding,
                    ..Features::default()
                })
            })
            .collect()
    }

    fn check(&self, what: &str, (dtype, suffix, limit): (DType, &str, f32), got: &Tensor) -> Outcome {
        let expected = self.tensor(&format!("{what}{suffix}"))?.flatten(0, 1)?;
        assert_eq!(got.dims(), expected.dims(), "{} {what}", self.name);
        let difference = (got - expected)?.abs()?.flatten_all()?.to_vec1::<f32>()?;
        // A NaN must not hide in a maximum.
        assert!(difference.iter().all(|value| value.is_finite()));
        let difference = difference.into_iter().fold(0.0, f32::max);
        println!("{} {what} {dtype:?}: {difference:.2e} (limit {limit:.0e})", self.name);
        assert!(
            difference <= limit,
            "{}: {what} with {dtype:?} weights differs by {difference:.2e}",
            self.name
        );
        Ok(())
    }
}

#[test]
fn tokens_and_unconditional_tokens_equal_diffusers() -> Outcome {
    for (name, kind) in [
        ("faceid", "face_id"),
        ("portrait", "face_id"),
        ("instantid", "instant_id"),
        ("portrait_unnorm", "face_id_portrait_unnorm"),
        ("instantx", "instant_x_flux"),
    ] {
        let case = Case::open(name)?;
        assert_eq!(case.config.kind().name(), kind);
        for precision in PRECISIONS {
            let encoder = case.encoder(&case.config, precision.0)?;
            case.check("tokens", precision, &encoder.encode(&case.photos(false)?)?)?;
            case.check("unconditional", precision, &encoder.encode_zeros(1, &Device::Cpu)?)?;
        }
    }
    Ok(())
}

#[test]
fn both_versions_of_faceid_plus_equal_diffusers() -> Outcome {
    let case = Case::open("plus")?;
    let EncoderConfig::FaceIdPlus(second) = &case.config else {
        panic!("{:?}", case.config)
    };
    assert!(second.shortcut, "version 2 unless somebody says otherwise");
    let mut first = second.clone();
    first.shortcut = false;
    let first = EncoderConfig::FaceIdPlus(first);
    let scaled = EncodeSettings {
        shortcut_scale: 0.7,
        ..EncodeSettings::default()
    };
    for precision in PRECISIONS {
        let (photos, encoder) = (case.photos(false)?, case.encoder(&case.config, precision.0)?);
        case.check("tokens_v2_1.0", precision, &encoder.encode(&photos)?)?;
        case.check("tokens_v2_0.7", precision, &encoder.encode_with(&photos, &scaled)?)?;
        case.check("unconditional", precision, &encoder.encode(&case.photos(true)?)?)?;
        let encoder = case.encoder(&first, precision.0)?;
        case.check("tokens_v1", precision, &encoder.encode(&photos)?)?;
        let error = encoder
            .encode_with(&photos, &scaled)
            .expect_err("version 1 has no shortcut");
        assert_eq!(error.kind(), omniid::ErrorKind::InvalidArgument);
    }
    Ok(())
}
