//! Face recognition networks against ONNX Runtime and PyTorch, on the same crops.
//!
//! The fixtures are written by `tests/parity/generate.py`; `OMNIID_PARITY_FIXTURES` names another folder of them.

use candle_core::{DType, Device};
use image::{Rgb, RgbImage};
use omniid::checkpoint::Checkpoint;
use omniid::face::Landmarks;
use omniid::recogniser::{EmbeddingForm, FaceArchitecture, FaceRecogniser};
use omniid::Limits;
use std::path::{Path, PathBuf};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Least cosine, and largest relative difference of the lengths.
const COSINE: f64 = 0.9999;
const LENGTH: f64 = 1e-4;

fn folder() -> PathBuf {
    let root = match std::env::var_os("OMNIID_PARITY_FIXTURES") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity"),
    };
    root.join("recogniser")
}

/// The pictures that the generator makes by the same formula.
fn crops() -> Vec<RgbImage> {
    let picture = |n: u32| {
        RgbImage::from_fn(112, 112, |x, y| {
            Rgb(std::array::from_fn(|c| {
                ((x * (7 + n) + y * 13 + c as u32 * 50 + x * y / 5 + n * 31) % 256) as u8
            }))
        })
    };
    vec![picture(0), picture(1)]
}

fn expected(case: &Path) -> Result<Vec<Vec<f32>>, Box<dyn std::error::Error>> {
    let file = Checkpoint::open(case.join("expected.safetensors"), &Limits::default())?;
    Ok(file.tensor("embeddings", DType::F32, &Device::Cpu)?.to_vec2()?)
}

/// Opens the model of a case and compares what it makes of the crops.
fn check(case: &str, file: &str, architecture: FaceArchitecture) -> Outcome {
    let case = folder().join(case);
    let recogniser = FaceRecogniser::open(case.join(file), &Limits::default())?;
    let network = recogniser.network();
    assert_eq!(
        (network.architecture, network.licence.as_str()),
        (architecture, "unknown")
    );
    let expected = expected(&case)?;
    assert_eq!(network.dimension, expected[0].len());
    let together = recogniser.embed(&crops())?;
    assert_eq!(together.len(), expected.len());
    for ((embedding, expected), crop) in together.iter().zip(&expected).zip(crops()) {
        assert_eq!(embedding.form(), EmbeddingForm::Raw);
        let pairs = || {
            let values = embedding.values().iter().zip(expected);
            values.map(|(&a, &b)| (f64::from(a), f64::from(b)))
        };
        let dot: f64 = pairs().map(|(a, b)| a * b).sum();
        let [a, b] = [
            pairs().map(|(a, _)| a * a).sum::<f64>(),
            pairs().map(|(_, b)| b * b).sum::<f64>(),
        ]
        .map(f64::sqrt);
        let (cosine, length) = (dot / (a * b), (a / b - 1.0).abs());
        println!(
            "{}: 1 - cosine {:.1e}, length {length:.1e} of {b:.3}",
            case.display(),
            1.0 - cosine
        );
        assert!(
            cosine >= COSINE && length <= LENGTH,
            "{}: {cosine} {length}",
            case.display()
        );
        // A crop alone gives the same as among others.
        let alone = recogniser.embed(&[crop])?;
        assert!(alone[0].similarity(embedding)? > 0.999_999);
    }
    // The two pictures are not the same person: what is compared depends on them.
    assert!(together[0].similarity(&together[1])? < 0.999);
    Ok(())
}

#[test]
fn iresnet_equals_onnx_runtime_in_every_form_of_the_file() -> Outcome {
    for case in ["folded", "plain", "half", "scaled", "exported"] {
        check(case, "model.onnx", FaceArchitecture::IResNet { layers: 18 })?;
    }
    Ok(())
}

#[test]
fn iresnet_under_the_names_of_its_training_code() -> Outcome {
    check("training", "model.pth", FaceArchitecture::IResNet { layers: 18 })
}

#[test]
fn ir_se50_equals_pytorch() -> Outcome {
    check("ir_se50", "model.pth", FaceArchitecture::IrSe50)
}

#[test]
fn sface_equals_onnx_runtime() -> Outcome {
    check("sface", "model.onnx", FaceArchitecture::SFace)
}

/// The crops of the reference, by OpenCV, of the same photo and landmarks.
#[test]
fn crops_equal_opencvs() -> Outcome {
    let photo = RgbImage::from_fn(300, 200, |x, y| {
        Rgb(std::array::from_fn(|c| {
            let c = c as u32;
            (x * (4 + c) / 6 + y * (5 - c) / 8 + x * y / 97 % 16).min(255) as u8
        }))
    });
    let faces = [
        [
            [120.5, 60.25],
            [170.0, 75.5],
            [140.0, 100.0],
            [105.75, 120.0],
            [150.0, 135.0],
        ],
        [
            [60.0, 40.0],
            [220.0, 50.0],
            [140.0, 110.0],
            [80.0, 160.0],
            [210.0, 165.0],
        ],
        [
            [262.0, 20.0],
            [290.0, 22.0],
            [276.0, 38.0],
            [265.0, 52.0],
            [287.0, 53.0],
        ],
    ];
    let recogniser = FaceRecogniser::open(folder().join("folded/model.onnx"), &Limits::default())?;
    for (i, landmarks) in faces.into_iter().enumerate() {
        let expected = image::open(folder().join(format!("crops/{i}.png")))?.to_rgb8();
        let crop = recogniser.crop(&photo, &Landmarks(landmarks))?;
        assert_eq!(crop.dimensions(), expected.dimensions());
        let differences = crop.as_raw().iter().zip(expected.as_raw()).map(|(a, b)| a.abs_diff(*b));
        let (mut worst, mut others) = (0, 0);
        for difference in differences {
            worst = worst.max(difference);
            others += usize::from(difference > 0);
        }
        println!(
            "crop {i}: {others} of {} values differ, by at most {worst}",
            crop.as_raw().len()
        );
        assert!(
            worst <= 8 && others * 1000 < crop.as_raw().len(),
            "{i}: {worst}, {others}"
        );
    }
    Ok(())
}
