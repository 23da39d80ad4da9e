//! Trains and evaluates the face detector without the command line:
//! `detector scenes OUT.png [first] [side] [CONFIG]`, `detector train CONFIG FOLDER [resume]`,
//! `detector evaluate DETECTOR.safetensors OUT.json [CONFIG]`, `detector show DETECTOR.safetensors IN… OUT-FOLDER`,
//! `detector portraits DETECTOR.safetensors OUT.png THRESHOLD`, `detector pupils DETECTOR.safetensors FOLDER`.
//! `CONFIG` is a file or a preset, `detector` when it is left out. `pupils` compares the eyes that are found with those
//! that a person marked: `FOLDER` holds photos and `pupils.csv`, lines of a file and x, y of both pupils.

use omniid::face::FaceDetector;
use omniid::Limits;
use omniid_training::config::DetectorConfig;
use omniid_training::detector::heads::HeadPool;
use omniid_training::detector::scene::Scenes;
use omniid_training::detector::{
    compare_detectors, draw_faces, evaluation_options, held_out_scenes, portraits, test_images, train_detector,
    DetectorTest,
};
use omniid_training::evaluate::Progress;
use omniid_training::pictures::contact_sheet;
use omniid_training::render::Assets;
use omniid_training::run::RunOptions;
use omniid_training::trainer::{Observer, TrainingProgress};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

type Outcome = Result<(), Box<dyn std::error::Error>>;

struct Lines;

impl Observer for Lines {
    fn progress(&mut self, progress: &TrainingProgress) -> ControlFlow<()> {
        if progress.step.is_multiple_of(50) {
            println!(
                "step {} of {}: loss {:.3}, {:.1} pictures/s, {:.0} s left",
                progress.step, progress.steps, progress.loss, progress.pictures_per_second, progress.seconds_left
            );
        }
        ControlFlow::Continue(())
    }

    fn message(&mut self, text: &str) {
        println!("{text}");
    }
}

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let root = PathBuf::from(std::env::var("OMNIID_ASSETS").unwrap_or_else(|_| "../shared/assets".to_owned()));
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["scenes", out, rest @ ..] => scenes(&root, Path::new(out), rest),
        ["train", config, folder, rest @ ..] => {
            let options = RunOptions {
                resume: rest.contains(&"resume"),
                ..RunOptions::new(folder)
            };
            let config = DetectorConfig::open(Path::new(config))?;
            let report = train_detector(&config, &Assets::open(&root)?, &options, &mut Lines)?;
            println!("{report:?}");
            Ok(())
        }
        ["evaluate", detector, out] => evaluate(&root, Path::new(detector), Path::new(out), "detector"),
        ["evaluate", detector, out, config] => evaluate(&root, Path::new(detector), Path::new(out), config),
        ["pupils", detector, folder] => pupils(Path::new(detector), Path::new(folder)),
        ["portraits", detector, out, threshold] => {
            let detector = FaceDetector::open(detector, &Limits::default())?;
            let options = evaluation_options().with_score_threshold(threshold.parse()?);
            let mut shown = Vec::new();
            for picture in portraits(&root.join("eval/orl"))?.iter().step_by(17) {
                let faces = detector.detect(picture, &options)?;
                println!("{:?}", faces.iter().map(|face| face.score).collect::<Vec<_>>());
                shown.push(draw_faces(picture, &faces));
            }
            Ok(contact_sheet(&shown, 6).save(out)?)
        }
        ["show", detector, pictures @ .., folder] => {
            let detector = FaceDetector::open(detector, &Limits::default())?;
            for path in pictures {
                let image = image::open(path)?.into_rgb8();
                let faces = detector.detect(&image, &evaluation_options())?;
                println!("{path}: {faces:?}");
                let name = Path::new(path).file_stem().unwrap_or_default();
                let out = Path::new(folder).join(name).with_extension("png");
                draw_faces(&image, &faces).save(out)?;
            }
            Ok(())
        }
        _ => Err("see the head of the file for what can be done".into()),
    }
}

fn scenes(root: &Path, out: &Path, rest: &[&str]) -> Outcome {
    let first: u64 = rest.first().unwrap_or(&"0").parse()?;
    let side: usize = rest.get(1).unwrap_or(&"192").parse()?;
    let config = DetectorConfig::open(Path::new(rest.get(2).unwrap_or(&"detector")))?;
    let assets = Assets::open(root)?;
    let began = Instant::now();
    let pool = HeadPool::render(&assets, 120, 3, config.scenes.head_size, 1, config.scenes.lifelike)?;
    println!("120 heads: {:.2} s", began.elapsed().as_secs_f64());
    let scenes = Scenes::new(&config.scenes, &pool, 7);
    let began = Instant::now();
    let drawn: Vec<_> = (0..24).map(|index| scenes.scene(first, index, side)).collect();
    println!("24 scenes: {:.3} s", began.elapsed().as_secs_f64());
    let pictures: Vec<_> = drawn
        .into_iter()
        .map(|scene| {
            let faces: Vec<_> = scene.faces.iter().map(|face| face.face.found()).collect();
            draw_faces(&scene.image, &faces)
        })
        .collect();
    contact_sheet(&pictures, 6).save(out)?;
    Ok(())
}

fn evaluate(root: &Path, detector: &Path, out: &Path, config: &str) -> Outcome {
    let config = DetectorConfig::open(Path::new(config))?;
    let test = DetectorTest {
        renders: held_out_scenes(&config, &Assets::open(root)?)?,
        test_images: test_images(&root.join("detector/test"))?,
        portraits: portraits(&root.join("eval/orl"))?,
    };
    let limits = Limits::default();
    let ours = FaceDetector::open(detector, &limits)?;
    let theirs = FaceDetector::open(root.join("detector/yunet_n.safetensors"), &limits)?;
    let comparison = compare_detectors(
        &[("ours", &ours), ("YuNet", &theirs)],
        &test,
        &evaluation_options(),
        &mut Progress::silent(),
    )?;
    std::fs::write(out, serde_json::to_string_pretty(&comparison)?)?;
    println!("{comparison}");
    Ok(())
}

/// Distances between found and marked pupils, in distances between the marked ones.
fn pupils(detector: &Path, folder: &Path) -> Outcome {
    let detector = FaceDetector::open(detector, &Limits::default())?;
    let (mut photos, mut distances, mut across, mut down) = (0, Vec::new(), 0.0, 0.0);
    for line in std::fs::read_to_string(folder.join("pupils.csv"))?.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let [name, numbers @ ..] = fields.as_slice() else {
            continue;
        };
        let numbers = numbers
            .iter()
            .map(|n| n.trim().parse())
            .collect::<Result<Vec<f32>, _>>()?;
        let &[x0, y0, x1, y1] = numbers.as_slice() else {
            return Err(format!("{line:?}: expected a name and four numbers").into());
        };
        photos += 1;
        let image = image::open(folder.join(name))?.into_rgb8();
        if let Some(face) = detector.detect(&image, &evaluation_options())?.first() {
            let eyes = (x1 - x0).hypot(y1 - y0);
            for ([x, y], [tx, ty]) in face.landmarks.0.iter().zip([[x0, y0], [x1, y1]]) {
                distances.push((x - tx).hypot(y - ty) / eyes);
                across += (x - tx) / eyes;
                down += (y - ty) / eyes;
            }
        }
    }
    let count = distances.len().max(1) as f32;
    println!(
        "{} of {photos} faces found; eyes are {:.3} eye distances away from the pupils ({:+.3} to the right, {:+.3} down)",
        distances.len() / 2,
        distances.iter().sum::<f32>() / count,
        across / count,
        down / count
    );
    Ok(())
}
