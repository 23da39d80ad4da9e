//! Files that are no face recogniser or parser, and damaged ones: messages that say so, and no panic.

use image::RgbImage;
use omniid::face::parsing::FaceParser;
use omniid::recogniser::FaceRecogniser;
use omniid::{Error, ErrorKind, Limits};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::path::Path;

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity");
    std::fs::read(folder.join(name)).unwrap()
}

fn recogniser(bytes: Vec<u8>) -> Result<FaceRecogniser, Error> {
    FaceRecogniser::open(bytes, &Limits::default())
}

fn parser(bytes: Vec<u8>) -> Result<FaceParser, Error> {
    FaceParser::open(bytes, &Limits::default())
}

#[test]
fn what_a_file_is_instead_is_said() {
    let long = |text: &str| text.repeat(30).into_bytes();
    let mut onnx = fixture("recogniser/folded/model.onnx");
    onnx.truncate(onnx.len() - 100);
    let cases: [(Vec<u8>, ErrorKind, &str); 8] = [
        (Vec::new(), ErrorKind::Format, "empty"),
        (long("<html>not found"), ErrorKind::Format, "HTML"),
        (vec![0; 500], ErrorKind::Format, "zeros"),
        (
            b"\x89PNG\r\n\x1a\n and more of a picture".to_vec(),
            ErrorKind::Format,
            "PNG",
        ),
        (onnx, ErrorKind::Format, "damaged"),
        // Networks of the other kind: the first part that differs is named.
        (
            fixture("parsing/onnx/model.onnx"),
            ErrorKind::Format,
            "expected a 3 x 3 kernel of 3 channels",
        ),
        (
            fixture("parsing/training/model.pth"),
            ErrorKind::Format,
            "layer1.0.conv1.weight",
        ),
        (
            fixture("vision/gelu/model.safetensors"),
            ErrorKind::Format,
            "layer1.0.conv1.weight",
        ),
    ];
    for (bytes, kind, part) in cases {
        let error = recogniser(bytes).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    // Another activation makes another network.
    let mut other = fixture("recogniser/folded/model.onnx");
    let text = other.windows(5).rposition(|window| window == b"PRelu").unwrap();
    other[text..text + 5].copy_from_slice(b"Selus");
    let error = recogniser(other).unwrap_err();
    assert!(error.message().contains("expected PRelu, found node"), "{error}");
    for (name, part) in [
        ("recogniser/folded/model.onnx", "expected a 7 x 7 kernel"),
        ("recogniser/training/model.pth", "cp.resnet.conv1.weight"),
    ] {
        let error = parser(fixture(name)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format);
        assert!(error.to_string().contains(part), "{error}");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity/recogniser");
    let error = FaceRecogniser::open(path.as_path(), &Limits::default()).unwrap_err();
    assert!(error.message().contains(&*path.to_string_lossy()), "{error}");
    assert!(FaceRecogniser::open("no such file.onnx", &Limits::default()).is_err_and(|e| e.kind() == ErrorKind::Io));
}

#[test]
fn crops_of_another_size_are_refused() {
    let recogniser = recogniser(fixture("recogniser/folded/model.onnx")).unwrap();
    assert!(recogniser.embed(&[]).unwrap().is_empty());
    let error = recogniser.embed(&[RgbImage::new(112, 111)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("112 x 111"), "{error}");
}

#[test]
fn many_threads_share_a_recogniser() {
    let recogniser = recogniser(fixture("recogniser/folded/model.onnx")).unwrap();
    let crop = |n: u8| RgbImage::from_fn(112, 112, |x, y| image::Rgb([x as u8, y as u8, n]));
    let alone: Vec<_> = (0..4).map(|n| recogniser.embed(&[crop(n)]).unwrap()).collect();
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (recogniser, alone) = (&recogniser, &alone);
            scope.spawn(move || {
                for _ in 0..3 {
                    assert_eq!(recogniser.embed(&[crop(n)]).unwrap(), alone[usize::from(n)]);
                }
            });
        }
    });
}

/// Changes, inserts, removes or repeats bytes at a few random places, most of them where the graph is described.
fn mutate(bytes: &mut Vec<u8>, graph: usize, random: &mut StdRng) {
    for _ in 0..random.random_range(1..5) {
        let reach = if random.random_bool(0.8) {
            graph.min(bytes.len())
        } else {
            bytes.len()
        };
        let at = random.random_range(0..reach.max(1)).min(bytes.len() - 1);
        match random.random_range(0..5) {
            0 => bytes[at] = random.random(),
            1 => bytes[at] ^= 1 << random.random_range(0..8),
            2 => bytes.insert(at, [0, 0x7f, 0x80, 0xff][random.random_range(0..4)]),
            3 => drop(bytes.remove(at)),
            _ => {
                let end = (at + random.random_range(1..60)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
}

/// The same cases each time. What is accepted must run.
#[test]
fn damaged_graphs_are_refused_or_run() {
    let crop = [RgbImage::from_fn(112, 112, |x, y| image::Rgb([x as u8, y as u8, 5]))];
    let face = RgbImage::from_fn(32, 32, |x, y| image::Rgb([x as u8, y as u8, 5]));
    let mut accepted = 0;
    for (name, seed) in [("recogniser/plain", 1), ("recogniser/sface", 2), ("parsing/onnx", 3)] {
        let original = fixture(&format!("{name}/model.onnx"));
        // The nodes come first in these files.
        let graph = original.len() / 5;
        let mut random = StdRng::seed_from_u64(seed);
        for _ in 0..60 {
            let mut bytes = original.clone();
            mutate(&mut bytes, graph, &mut random);
            if name.starts_with("parsing") {
                if let Ok(parser) = parser(bytes) {
                    let _ = parser.parse(&face);
                    accepted += 1;
                }
            } else if let Ok(recogniser) = recogniser(bytes) {
                let _ = recogniser.embed(&crop);
                accepted += 1;
            }
        }
    }
    assert!((5..175).contains(&accepted), "{accepted}");
}
