//! Face parsing against PyTorch and ONNX Runtime.
//!
//! The fixtures are written by `tests/parity/generate.py`; `OMNIID_PARITY_FIXTURES` names another folder of them.

use candle_core::{DType, Device};
use image::{Rgb, RgbImage};
use omniid::checkpoint::Checkpoint;
use omniid::face::parsing::FaceParser;
use omniid::Limits;
use std::path::{Path, PathBuf};

/// Largest absolute difference of scores, which have the size of 1.
const LIMIT: f32 = 1e-4;

fn folder() -> PathBuf {
    let root = match std::env::var_os("OMNIID_PARITY_FIXTURES") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity"),
    };
    root.join("parsing")
}

#[test]
fn scores_and_labels_equal_the_references() -> Result<(), Box<dyn std::error::Error>> {
    let face = RgbImage::from_fn(96, 64, |x, y| {
        Rgb(std::array::from_fn(|c| {
            ((x * 5 + y * 3 + c as u32 * 70 + x * y / 7) % 256) as u8
        }))
    });
    for (case, file) in [
        ("training", "model.pth"),
        ("onnx", "model.onnx"),
        ("onnx_one_output", "model.onnx"),
    ] {
        let case = folder().join(case);
        let parser = FaceParser::open(case.join(file), &Limits::default())?;
        let expected = Checkpoint::open(case.join("expected.safetensors"), &Limits::default())?;
        let scores = expected.tensor("scores", DType::F32, &Device::Cpu)?.to_vec3::<f32>()?;
        let labels = expected
            .tensor("labels", DType::F32, &Device::Cpu)?
            .flatten_all()?
            .to_vec1::<f32>()?;
        let computed = parser.scores(&face)?;
        let mut worst = 0f32;
        for (y, line) in scores.iter().enumerate() {
            for (x, pixel) in line.iter().enumerate() {
                let at = (4 * y * 96 + 4 * x) * 19;
                for (a, b) in computed[at..at + 19].iter().zip(pixel) {
                    assert!(a.is_finite());
                    worst = worst.max((a - b).abs());
                }
            }
        }
        println!("{}: scores {worst:.1e}", case.display());
        assert!(worst <= LIMIT, "{}: {worst:.1e}", case.display());
        // Where two labels are equally good to the last digits, either may win.
        let map = parser.parse(&face)?;
        let same = map
            .labels()
            .iter()
            .zip(&labels)
            .filter(|(&a, &b)| f32::from(a) == b)
            .count();
        assert!(
            same + 2 >= labels.len(),
            "{}: {same} of {}",
            case.display(),
            labels.len()
        );
        // The picture has several labels: what is compared depends on it.
        let first = map.labels()[0];
        assert!(map.labels().iter().any(|&label| label != first));
        assert!(parser.parse(&RgbImage::new(100, 64)).is_err());
    }
    Ok(())
}
