//! A detector beside another one: on renders, on test images, on real faces.

use super::scores::{evaluate_detector, landmark_distance, DetectionScores, LabelledFace, LabelledPicture};
use super::truth::TrueFace;
use crate::evaluate::Progress;
use image::{imageops, Rgb, RgbImage};
use omniid::face::{DetectOptions, Face, FaceDetector};
use omniid::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// Magnification of the small pictures of real faces, the same for every detector.
const ZOOM: u32 = 3;

/// Grey border around them, pixels: some of the faces fill their picture.
const BORDER: u32 = 48;

/// How a detector does on portraits of one person each, whose truth is not known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PortraitScores {
    /// Pictures.
    pub pictures: usize,
    /// Part in which exactly one face was found.
    pub exactly_one: f64,
    /// Part in which at least one face was found.
    pub at_least_one: f64,
    /// Faces found beyond the first of each picture, per picture.
    pub further: f64,
    /// Against the other detector, over the pictures in which both found a face (the largest counts).
    pub against: Option<Agreement>,
}

/// How two detectors agree on the same faces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Faces.
    pub faces: usize,
    /// Mean intersection over union of the boxes.
    pub overlap: f64,
    /// Mean distance of the five points in distances between the other detector's eyes.
    pub points: f64,
    /// Of each point: eye at the picture's left, eye at its right, nose tip, mouth corner left, right.
    pub each: [f64; 5],
    /// Part of the faces whose mean distance is below a tenth.
    pub within_tenth: f64,
}

/// One detector's numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DetectorScores {
    /// Which detector.
    pub name: String,
    /// Scenes of rendered people.
    pub renders: DetectionScores,
    /// The test images with known detections.
    pub test_images: Option<DetectionScores>,
    /// Portraits of real people.
    pub portraits: Option<PortraitScores>,
}

/// Several detectors on the same pictures. `Display` writes Markdown tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DetectorComparison {
    /// The detectors; the last is what the others are compared with.
    pub detectors: Vec<DetectorScores>,
}

/// What detectors are compared on.
pub struct DetectorTest {
    /// Scenes of rendered people who took part in no training: see
    /// [`held_out_scenes`](super::held_out_scenes).
    pub renders: Vec<LabelledPicture>,
    /// See [`test_images`].
    pub test_images: Vec<LabelledPicture>,
    /// See [`portraits`].
    pub portraits: Vec<RgbImage>,
}

/// The pictures with known detections in `folder`, which holds `expected.json`: a map from file names to `faces`, each
/// with `box_xyxy` and `landmarks`.
///
/// # Errors
/// [`ErrorKind::Io`](omniid::ErrorKind::Io) and [`ErrorKind::Format`](omniid::ErrorKind::Format) naming the file.
pub fn test_images(folder: &Path) -> Result<Vec<LabelledPicture>> {
    #[derive(Deserialize)]
    struct Expected {
        faces: Vec<ExpectedFace>,
    }
    #[derive(Deserialize)]
    struct ExpectedFace {
        box_xyxy: [f32; 4],
        landmarks: [[f32; 2]; 5],
    }
    let path = folder.join("expected.json");
    let text = std::fs::read_to_string(&path).map_err(|error| Error::io(&path, error))?;
    let expected: std::collections::BTreeMap<String, Expected> =
        serde_json::from_str(&text).map_err(|error| Error::format(format!("{}: {error}", path.display())))?;
    expected
        .into_iter()
        .map(|(name, expected)| {
            let faces = expected.faces.into_iter().map(|face| LabelledFace {
                face: TrueFace {
                    bounds: face.box_xyxy,
                    points: face.landmarks,
                    counts: true,
                },
                yaw: None,
            });
            Ok(LabelledPicture {
                image: open(&folder.join(name))?,
                faces: faces.collect(),
            })
        })
        .collect()
}

/// The portraits in the folders of `folder`, one folder per person (PNG, JPEG), in order of their names; magnified
/// three times, with a border of the mean grey of the picture's own border.
///
/// # Errors
/// [`ErrorKind::Io`](omniid::ErrorKind::Io) and [`ErrorKind::Format`](omniid::ErrorKind::Format) naming the file.
pub fn portraits(folder: &Path) -> Result<Vec<RgbImage>> {
    let mut files = Vec::new();
    for person in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        files.extend(entries(&person)?.into_iter().filter(|path| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            matches!(extension, Some("png" | "jpg" | "jpeg"))
        }));
    }
    files.iter().map(|path| Ok(enlarged(&open(path)?))).collect()
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io(folder, error))?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(|error| Error::io(folder, error))?;
    paths.sort();
    Ok(paths)
}

fn open(path: &Path) -> Result<RgbImage> {
    let image = image::open(path).map_err(|error| Error::format(format!("{}: {error}", path.display())))?;
    Ok(image.into_rgb8())
}

fn enlarged(image: &RgbImage) -> RgbImage {
    let (width, height) = image.dimensions();
    let edge = image
        .enumerate_pixels()
        .filter(|(x, y, _)| *x == 0 || *y == 0 || *x + 1 == width || *y + 1 == height);
    let (mut sum, mut count) = ([0u64; 3], 0u64);
    for (_, _, pixel) in edge {
        count += 1;
        sum.iter_mut()
            .zip(pixel.0)
            .for_each(|(sum, value)| *sum += u64::from(value));
    }
    let mean = sum.map(|sum| (sum / count.max(1)) as u8);
    let large = imageops::resize(image, width * ZOOM, height * ZOOM, imageops::FilterType::CatmullRom);
    let mut out = RgbImage::from_pixel(width * ZOOM + 2 * BORDER, height * ZOOM + 2 * BORDER, Rgb(mean));
    imageops::replace(&mut out, &large, i64::from(BORDER), i64::from(BORDER));
    out
}

/// Compares detectors, each with a name, on the same pictures. The last one is the reference of the portraits, which
/// have no truth.
///
/// # Errors
/// As [`evaluate_detector`]; [`ErrorKind::InvalidArgument`](omniid::ErrorKind::InvalidArgument) without detectors.
pub fn compare_detectors(
    detectors: &[(&str, &FaceDetector)],
    test: &DetectorTest,
    options: &DetectOptions,
    progress: &mut Progress<'_>,
) -> Result<DetectorComparison> {
    let Some((_, reference)) = detectors.last() else {
        return Err(Error::invalid("a comparison of detectors needs at least one"));
    };
    let expected = find_all(reference, &test.portraits, options, progress)?;
    let mut out = Vec::new();
    for (place, (name, detector)) in detectors.iter().enumerate() {
        let last = place + 1 == detectors.len();
        let portraits = if test.portraits.is_empty() {
            None
        } else if last {
            Some(portrait_scores(&expected, None))
        } else {
            let found = find_all(detector, &test.portraits, options, progress)?;
            Some(portrait_scores(&found, Some(&expected)))
        };
        let test_images = if test.test_images.is_empty() {
            None
        } else {
            Some(evaluate_detector(detector, &test.test_images, options, progress)?)
        };
        out.push(DetectorScores {
            name: (*name).to_owned(),
            renders: evaluate_detector(detector, &test.renders, options, progress)?,
            test_images,
            portraits,
        });
    }
    Ok(DetectorComparison { detectors: out })
}

fn find_all(
    detector: &FaceDetector,
    pictures: &[RgbImage],
    options: &DetectOptions,
    progress: &mut Progress<'_>,
) -> Result<Vec<Vec<Face>>> {
    pictures
        .iter()
        .enumerate()
        .map(|(number, picture)| {
            progress.report("portraits searched", number, pictures.len())?;
            detector.detect(picture, options)
        })
        .collect()
}

/// Numbers of what was found in each portrait, faces largest first.
fn portrait_scores(found: &[Vec<Face>], expected: Option<&[Vec<Face>]>) -> PortraitScores {
    let part = |fits: &dyn Fn(usize) -> bool| {
        found.iter().filter(|faces| fits(faces.len())).count() as f64 / found.len().max(1) as f64
    };
    let further: usize = found.iter().map(|faces| faces.len().saturating_sub(1)).sum();
    PortraitScores {
        pictures: found.len(),
        exactly_one: part(&|count| count == 1),
        at_least_one: part(&|count| count > 0),
        further: further as f64 / found.len().max(1) as f64,
        against: expected.and_then(|expected| agreement(found, expected)),
    }
}

fn agreement(found: &[Vec<Face>], expected: &[Vec<Face>]) -> Option<Agreement> {
    let pairs: Vec<_> = found
        .iter()
        .zip(expected)
        .filter_map(|(found, expected)| Some((found.first()?, expected.first()?)))
        .collect();
    if pairs.is_empty() {
        return None;
    }
    let count = pairs.len() as f64;
    let (mut overlap, mut points, mut within, mut each) = (0.0, 0.0, 0.0, [0.0; 5]);
    for (found, expected) in &pairs {
        let (at, truth) = (found.landmarks.0, expected.landmarks.0);
        let distance = landmark_distance(&truth, &at, expected.bounds.side());
        overlap += f64::from(found.bounds.overlap(&expected.bounds));
        points += distance;
        within += f64::from(distance < 0.1);
        for (k, sum) in each.iter_mut().enumerate() {
            // Five times the same point: its own distance.
            let mut alone = truth;
            alone[k] = at[k];
            *sum += 5.0 * landmark_distance(&truth, &alone, expected.bounds.side());
        }
    }
    Some(Agreement {
        faces: pairs.len(),
        overlap: overlap / count,
        points: points / count,
        each: each.map(|sum| sum / count),
        within_tenth: within / count,
    })
}

impl fmt::Display for DetectorComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |value: f64| format!("{:.1} %", 100.0 * value);
        let error = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.3}"));
        let table =
            |f: &mut fmt::Formatter<'_>, title: &str, of: &dyn Fn(&DetectorScores) -> Option<DetectionScores>| {
                writeln!(f, "### {title}\n")?;
                writeln!(
                    f,
                    "| detector | pictures | faces | recall | precision | AP 0.5 | box overlap | landmark error |"
                )?;
                writeln!(f, "|---|---|---|---|---|---|---|---|")?;
                for detector in &self.detectors {
                    if let Some(scores) = of(detector) {
                        writeln!(
                            f,
                            "| {} | {} | {} | {} | {} | {:.3} | {:.3} | {} |",
                            detector.name,
                            scores.pictures,
                            scores.all.faces,
                            percent(scores.all.recall),
                            percent(scores.precision),
                            scores.average_precision,
                            scores.mean_overlap,
                            error(scores.all.landmark_error),
                        )?;
                    }
                }
                writeln!(f)
            };
        table(f, "Rendered scenes of held-out people", &|d| Some(d.renders.clone()))?;
        for (title, by_yaw) in [("By face size", false), ("By yaw", true)] {
            writeln!(f, "### {title} (recall, landmark error)\n")?;
            let groups = |d: &DetectorScores| {
                if by_yaw {
                    d.renders.by_yaw.clone()
                } else {
                    d.renders.by_size.clone()
                }
            };
            let Some(first) = self.detectors.first() else {
                continue;
            };
            write!(f, "| detector |")?;
            for group in groups(first) {
                write!(f, " {} ({}) |", group.name, group.faces)?;
            }
            writeln!(f, "\n|---|{}", "---|".repeat(groups(first).len()))?;
            for detector in &self.detectors {
                write!(f, "| {} |", detector.name)?;
                for group in groups(detector) {
                    write!(f, " {}, {} |", percent(group.recall), error(group.landmark_error))?;
                }
                writeln!(f)?;
            }
            writeln!(f)?;
        }
        if self.detectors.iter().any(|d| d.test_images.is_some()) {
            table(f, "Test images (truth: upstream's detections)", &|d| {
                d.test_images.clone()
            })?;
        }
        if self.detectors.iter().any(|d| d.portraits.is_some()) {
            writeln!(f, "### Real portraits, one person each\n")?;
            writeln!(
                f,
                "| detector | pictures | exactly one | at least one | further faces per picture | points to reference | \
                 within 0.1 | left eye, right eye, nose, mouth left, right | box overlap with reference |"
            )?;
            writeln!(f, "|---|---|---|---|---|---|---|---|---|")?;
            for detector in &self.detectors {
                let Some(scores) = &detector.portraits else {
                    continue;
                };
                write!(
                    f,
                    "| {} | {} | {} | {} | {:.3} |",
                    detector.name,
                    scores.pictures,
                    percent(scores.exactly_one),
                    percent(scores.at_least_one),
                    scores.further
                )?;
                match &scores.against {
                    Some(against) => writeln!(
                        f,
                        " {:.3} | {} | {} | {:.3} |",
                        against.points,
                        percent(against.within_tenth),
                        against.each.map(|value| format!("{value:.3}")).join(", "),
                        against.overlap
                    )?,
                    None => writeln!(f, " – | – | – | – |")?,
                }
            }
        }
        Ok(())
    }
}
