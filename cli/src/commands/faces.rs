//! `omniid faces`

use super::encode::FaceLine;
use crate::args::LimitArgs;
use crate::claim::Claim;
use crate::failure::{Failure, Outcome};
use crate::input::{self, Input};
use crate::output;
use crate::photos::{Entry, Found};
use crate::picture::{save_png, Canvas, PictureTarget};
use crate::progress::Bar;
use crate::remedy;
use image::RgbImage;
use omniid::face::{keypoints, DetectOptions, Face, FaceDetector, Landmarks};
use omniid::{Error, ErrorKind, Limits};
use serde::Serialize;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  omniid faces group.jpg -o group-faces.png
  omniid faces photos/ --detector yunet.onnx --json
  omniid faces anna.jpg --keypoints control.png --keypoints-size 1024x1024
  omniid faces a.jpg b.jpg --detector omniid.safetensors --output-folder drawn";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Photos, and folders of them; - for standard input.
    #[arg(required = true, value_name = "PHOTO")]
    photos: Vec<PathBuf>,
    /// Face detector: YuNet as .safetensors or .onnx, or a native checkpoint that has one [default: the one inside the
    /// program].
    #[arg(long, value_name = "FILE", env = "OMNIID_DETECTOR", hide_env_values = true)]
    detector: Option<PathBuf>,
    /// The picture to draw into, for a single photo. Its name says the format: PNG, JPEG, WebP, BMP or TIFF; - is
    /// standard output.
    #[arg(short, long, value_name = "FILE", conflicts_with = "output_folder")]
    output: Option<PathBuf>,
    /// A folder for one PNG per photo; it is made if it is missing.
    #[arg(long, value_name = "FOLDER")]
    output_folder: Option<PathBuf>,
    /// A PNG with the five keypoints of the largest face on black, as InstantID's ControlNet reads it, for a single
    /// photo; - is standard output.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["output", "output_folder"])]
    keypoints: Option<PathBuf>,
    /// Size of that picture, such as 1024x1024: that of the picture to be generated [default: the photo's].
    #[arg(long, value_name = "WxH", requires = "keypoints", value_parser = parse_size)]
    keypoints_size: Option<(u32, u32)>,
    /// Lowest score of a face, 0 to 1 [default: the library's].
    #[arg(long, value_name = "SCORE", value_parser = parse_score)]
    threshold: Option<f32>,
    /// Search the folders below a folder too.
    #[arg(short, long)]
    recursive: bool,
    /// Replace outputs that exist.
    #[arg(long)]
    force: bool,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
    /// No progress bar.
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    limits: LimitArgs,
}

/// The faces of one photo.
#[derive(Serialize)]
struct Report {
    photo: String,
    width: u32,
    height: u32,
    /// The largest first.
    faces: Vec<FaceLine>,
    /// Degrees clockwise by which the photo has to be turned for the faces to be upright.
    rotation: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    picture: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Why something in a folder was passed over; it is no photo.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_used: Option<String>,
}

fn parse_score(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(score) if (0.0..=1.0).contains(&score) => Ok(score),
        _ => Err(format!("{text:?} is no score, 0 to 1")),
    }
}

fn parse_size(text: &str) -> Result<(u32, u32), String> {
    let sides = text
        .split_once(['x', 'X'])
        .map(|(width, height)| (width.parse(), height.parse()));
    match sides {
        Some((Ok(width), Ok(height))) if width > 0 && height > 0 => Ok((width, height)),
        _ => Err(format!("{text:?} is no size, such as 1024x1024")),
    }
}

pub fn run(args: Args) -> Outcome {
    let limits = args.limits.limits();
    let Found { photos, passed_over } = crate::photos::collect_named(&args.photos, args.recursive)?;
    let pictures = Pictures::check(&photos, &args)?;
    let detector = crate::detector::named_or_built_in(args.detector.as_deref(), &limits)?;
    let mut options = DetectOptions::default();
    if let Some(threshold) = args.threshold {
        options.score_threshold = threshold;
    }
    let mut reports = Vec::with_capacity(photos.len());
    let mut errors = Vec::new();
    let bar = Bar::new(args.quiet);
    for (index, path) in photos.iter().enumerate() {
        bar.step("looking for faces", index, photos.len())?;
        let report = match look(path, index, &pictures, &detector, &options, &limits) {
            Ok(report) => report,
            // One bad photo does not lose the others.
            Err(failure) if photos.len() > 1 => {
                let error = failure.of_input()?;
                errors.push(error.kind());
                Report::failed(path, &error)
            }
            Err(failure) => return Err(failure),
        };
        if !args.json {
            bar.pause(|| pictures.report(report.text()))?;
        }
        reports.push(report);
    }
    drop(bar);
    passed_over.tell();
    let none = reports.iter().all(|report| report.faces.is_empty());
    if args.json {
        reports.extend(passed_over.entries.into_iter().map(Report::not_used));
        output::print_json(&reports)?;
    }
    if let Some(failure) = Failure::partial(&errors, photos.len(), "photos") {
        return Err(failure);
    }
    if none {
        return Err(Error::new(ErrorKind::NoFace, format!("no face in {} photo(s)", photos.len())).into());
    }
    Ok(())
}

/// Where each photo's picture goes, checked before the work.
enum Pictures {
    None,
    One(PictureTarget),
    /// The keypoints of one photo's largest face, at this size or the photo's.
    Keypoints(PictureTarget, Option<(u32, u32)>),
    /// A file for each photo, into a folder that nobody else writes into.
    Folder {
        files: Vec<PathBuf>,
        _claim: Claim,
    },
}

impl Pictures {
    fn check(photos: &[PathBuf], args: &Args) -> Outcome<Self> {
        if let Some(file) = &args.keypoints {
            if photos.len() != 1 {
                return Err(Failure::usage(format!(
                    "--keypoints is one picture, but there are {} photos",
                    photos.len()
                )));
            }
            let target = PictureTarget::new(file, args.force, args.json)?;
            return Ok(Self::Keypoints(target, args.keypoints_size));
        }
        match (&args.output, &args.output_folder) {
            (Some(file), _) if photos.len() == 1 => Ok(Self::One(PictureTarget::new(file, args.force, args.json)?)),
            (Some(_), _) => Err(Failure::usage(format!(
                "--output is one picture, but there are {} photos",
                photos.len()
            ))
            .with_remedy(remedy::OUTPUT_FOLDER)),
            (None, Some(folder)) => Self::in_folder(folder, photos, args.force),
            (None, None) => Ok(Self::None),
        }
    }

    fn in_folder(folder: &Path, photos: &[PathBuf], force: bool) -> Outcome<Self> {
        let _claim = output::make_folder(folder)?;
        let name = |photo: &PathBuf| {
            let mut name = photo.file_stem().unwrap_or_default().to_os_string();
            name.push("-faces.png");
            folder.join(name)
        };
        let files: Vec<PathBuf> = photos.iter().map(name).collect();
        let mut seen = HashSet::new();
        for path in &files {
            if !seen.insert(path) {
                return Err(Failure::usage(format!(
                    "two photos would both be drawn into {}",
                    path.display()
                )));
            }
            output::check_target(path, force)?;
        }
        Ok(Self::Folder { files, _claim })
    }

    /// Draws the faces of the photo with this number, and says where.
    fn draw(&self, index: usize, image: RgbImage, faces: &[Face]) -> Outcome<Option<String>> {
        match self {
            Self::None => Ok(None),
            Self::Keypoints(target, size) => {
                let Some(face) = faces.first() else {
                    return Ok(None);
                };
                let (width, height) = size.unwrap_or(image.dimensions());
                let scale = [
                    width as f32 / image.width() as f32,
                    height as f32 / image.height() as f32,
                ];
                let landmarks = face.landmarks.0.map(|[x, y]| [x * scale[0], y * scale[1]]);
                target.write(&keypoints::draw(width, height, &Landmarks(landmarks))?)?;
                Ok(Some(target.target().name()))
            }
            Self::One(target) => {
                target.write(&drawn(image, faces))?;
                Ok(Some(target.target().name()))
            }
            Self::Folder { files, .. } => {
                let path = &files[index];
                save_png(&drawn(image, faces), path)?;
                Ok(Some(path.display().to_string()))
            }
        }
    }

    /// Prints a text where no picture goes.
    fn report(&self, text: String) -> Outcome {
        match self {
            Self::One(target) | Self::Keypoints(target, _) => target.target().report(text),
            _ => output::print(text),
        }
    }
}

fn look(
    path: &Path,
    index: usize,
    pictures: &Pictures,
    detector: &FaceDetector,
    options: &DetectOptions,
    limits: &Limits,
) -> Outcome<Report> {
    let decoded = Input::open(path, limits)?.into_photo().decode_with_notes(limits)?;
    let detection = detector.detect_oriented(&decoded.image, options)?;
    let notes = crate::detector::notes(&decoded, Some(&detection));
    let (width, height) = decoded.full_size;
    let faces: Vec<Face> = detection.faces.iter().map(|face| decoded.full_face(face)).collect();
    Ok(Report {
        photo: input::name(path),
        width,
        height,
        faces: faces.iter().map(FaceLine::from).collect(),
        rotation: detection.rotation,
        notes,
        picture: pictures.draw(index, decoded.image, &detection.faces)?,
        error: None,
        not_used: None,
    })
}

/// The photo with a box around each face and a dot on each landmark. The largest face is green, the others yellow.
fn drawn(image: RgbImage, faces: &[Face]) -> RgbImage {
    const COLOURS: [[u8; 3]; 5] = [[255, 0, 0], [0, 0, 255], [0, 255, 0], [255, 0, 255], [0, 255, 255]];
    let thick = i64::from(image.width().max(image.height()) / 300).max(1);
    let mut canvas = Canvas::from(image);
    for (index, face) in faces.iter().enumerate() {
        let colour = if index == 0 { [40, 220, 60] } else { [240, 200, 40] };
        let bounds = &face.bounds;
        let corners = [bounds.left, bounds.top, bounds.right, bounds.bottom].map(|edge| edge.round() as i64);
        canvas.frame(corners, thick, colour);
        let [left, top, ..] = corners;
        canvas.text(
            &format!("{index} {:.2}", face.score),
            left,
            top - 7 * thick,
            thick,
            colour,
        );
        for (point, colour) in face.landmarks.0.iter().zip(COLOURS) {
            canvas.dot(point[0].round() as i64, point[1].round() as i64, thick + 1, colour);
        }
    }
    canvas.into_image()
}

impl Report {
    fn without_faces(photo: String) -> Self {
        Self {
            photo,
            width: 0,
            height: 0,
            faces: Vec::new(),
            rotation: 0,
            notes: Vec::new(),
            picture: None,
            error: None,
            not_used: None,
        }
    }

    fn failed(path: &Path, error: &Error) -> Self {
        let photo = input::name(path);
        let message = error.message();
        Self {
            error: Some(
                message
                    .strip_prefix(&format!("{photo}: "))
                    .unwrap_or(message)
                    .to_string(),
            ),
            ..Self::without_faces(photo)
        }
    }

    fn not_used(entry: Entry) -> Self {
        Self {
            not_used: Some(entry.reason),
            ..Self::without_faces(entry.path)
        }
    }

    fn text(&self) -> String {
        if let Some(error) = &self.error {
            return format!("{}: {error}\n", self.photo);
        }
        let mut text = format!("{}: {} face(s)\n", self.photo, self.faces.len());
        for (index, face) in self.faces.iter().enumerate() {
            text.push_str(&format!("  {index}  {}\n", face.text()));
        }
        for note in &self.notes {
            text.push_str(&format!("  {note}\n"));
        }
        if let Some(picture) = &self.picture {
            text.push_str(&format!("  drawn into {picture}\n"));
        }
        text
    }
}
