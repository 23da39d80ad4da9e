//! `omniid encode`

use crate::args::{NoteArgs, Person, PersonArgs};
use crate::failure::{kind_name, Outcome};
use crate::output::{self, Target};
use crate::photos::PassedOver;
use crate::progress::with_bar;
use omniid::engine::{EncodeOptions, Encoded, Engine, PhotoReport};
use omniid::photo::Photo;
use omniid::{Error, ProgressFn};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Instant;

const EXAMPLES: &str = "\
Examples:
  omniid encode -c omniid.safetensors anna-1.jpg anna-2.jpg -o anna.omniid --label Anna
  omniid encode -c ip-adapter-plus-face_sd15.safetensors --image-encoder clip-vit-h/model.safetensors \\
      --crop face --detector yunet.onnx photos/anna -r -o anna.omniid --json";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The identity to write; - for standard output.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace the output if it exists.
    #[arg(long)]
    force: bool,
    // After the command's own options: those after its headings would stand below them in the help.
    #[command(flatten)]
    person: PersonArgs,
    #[command(flatten)]
    notes: NoteArgs,
}

pub fn run(args: Args) -> Outcome {
    let target = Target::new(&args.output, args.force, args.person.json)?;
    make(&args.person, &args.notes, &target, Engine::encode_with_progress)
}

/// Makes an identity of a person's photos, writes it to `target` and says what became of the photos.
pub fn make(
    person: &PersonArgs,
    notes: &NoteArgs,
    target: &Target,
    make: impl FnOnce(&Engine, Vec<Photo<'static>>, &EncodeOptions, ProgressFn<'_>) -> omniid::Result<Encoded>,
) -> Outcome {
    let Person {
        photos,
        passed_over,
        mut options,
        engine,
    } = person.open()?;
    notes.fill(&mut options);
    let start = Instant::now();
    let encoded = with_bar(person.quiet, |progress| make(&engine, photos, &options, progress))?;
    let seconds = start.elapsed().as_secs_f64();
    target.write(&encoded.identity.to_bytes(notes.store)?)?;
    report(target, &engine, &encoded, &passed_over, seconds, person.json)
}

/// What [`report`] prints as JSON.
#[derive(Serialize)]
struct Report<'a> {
    identity: String,
    label: &'a str,
    encoder: &'a str,
    model: &'a str,
    tokens: usize,
    width: usize,
    photos_in_identity: usize,
    photos: Vec<PhotoLine<'a>>,
    /// What lay beside the photos in folders.
    not_used: &'a PassedOver,
    seconds: f64,
}

/// What became of one photo.
#[derive(Serialize)]
struct PhotoLine<'a> {
    path: &'a str,
    used: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    face: Option<FaceLine>,
    /// Degrees clockwise by which the photo had to be turned.
    #[serde(skip_serializing_if = "is_zero")]
    rotation: u32,
    /// How alike the photo is to the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    similarity: Option<f32>,
    /// What to know about the photo although it was used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// A face in pixels of the upright photo.
#[derive(Serialize)]
pub struct FaceLine {
    /// Left, top, right, bottom.
    #[serde(rename = "box")]
    bounds: [f32; 4],
    /// Eye at image left, eye at image right, nose tip, mouth corner left, mouth corner right.
    landmarks: [[f32; 2]; 5],
    score: f32,
}

impl From<&omniid::face::Face> for FaceLine {
    fn from(face: &omniid::face::Face) -> Self {
        let bounds = &face.bounds;
        Self {
            bounds: [bounds.left, bounds.top, bounds.right, bounds.bottom],
            landmarks: face.landmarks.0,
            score: face.score,
        }
    }
}

impl<'a> From<&'a PhotoReport> for PhotoLine<'a> {
    fn from(report: &'a PhotoReport) -> Self {
        let error = report.error.as_ref();
        Self {
            path: &report.name,
            used: report.is_used(),
            face: report.face.as_ref().map(FaceLine::from),
            rotation: report.rotation,
            similarity: report.similarity,
            notes: report.notes.iter().map(ToString::to_string).collect(),
            kind: error.map(|error| kind_name(error.kind())),
            reason: error.map(Error::message),
        }
    }
}

/// Says which photos went into an identity that was just written.
fn report(
    target: &Target,
    engine: &Engine,
    encoded: &Encoded,
    passed_over: &PassedOver,
    seconds: f64,
    json: bool,
) -> Outcome {
    let identity = &encoded.identity;
    let report = Report {
        identity: target.name(),
        label: &identity.provenance().label,
        encoder: identity.kind().name(),
        model: &engine.info().fingerprint,
        tokens: identity.token_count(),
        width: identity.width(),
        photos_in_identity: identity.provenance().photos,
        photos: encoded.photos.iter().map(PhotoLine::from).collect(),
        not_used: passed_over,
        seconds,
    };
    if json {
        return output::print_json(&report);
    }
    let mut text = String::new();
    for photo in &report.photos {
        match (photo.kind, photo.reason) {
            (Some(kind), Some(reason)) => {
                // The library's message names the photo, too.
                let reason = reason.strip_prefix(&format!("{}: ", photo.path)).unwrap_or(reason);
                text.push_str(&format!("left out  {}: {kind}: {reason}\n", photo.path));
            }
            _ => {
                let note = match photo.notes.is_empty() {
                    true => String::new(),
                    false => format!("  ({})", photo.notes.join("; ")),
                };
                text.push_str(&format!(
                    "used      {}{}{note}\n",
                    photo.path,
                    face_text(photo.face.as_ref())
                ));
            }
        }
    }
    for line in passed_over.lines() {
        text.push_str(&format!("not used  {line}\n"));
    }
    let used = report.photos.iter().filter(|photo| photo.used).count();
    text.push_str(&format!(
        "{}: {} tokens of width {} from {} photos ({used} of {} given), model {}, {seconds:.2} s\n",
        report.identity,
        report.tokens,
        report.width,
        report.photos_in_identity,
        report.photos.len(),
        report.model
    ));
    target.report(text)
}

impl FaceLine {
    /// Size, place and score as text.
    pub fn text(&self) -> String {
        let [left, top, right, bottom] = self.bounds;
        format!(
            "face {:.0}×{:.0} at {left:.0},{top:.0}, score {:.2}",
            right - left,
            bottom - top,
            self.score
        )
    }
}

fn face_text(face: Option<&FaceLine>) -> String {
    face.map(|face| format!("  {}", face.text())).unwrap_or_default()
}
