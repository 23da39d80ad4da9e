//! `omniid report`: one page to look at instead of tables.

mod attention;
mod chart;
mod compared;
mod evaluation;
mod html;
mod likeness;
mod page;
mod photos;
mod pictures;

use crate::args::{first_named, GeneratorArgs, PhotoArgs, SamplingArgs};
use crate::crops;
use crate::failure::{Failure, Outcome};
use crate::input;
use crate::output::{self, bytes_text, Target};
use crate::photos::{notes, PassedOver};
use crate::progress::{with_bar, Bar};
use crate::views;
use crate::wildcards::expand;
use html::escape;
use image::RgbImage;
use omniid::engine::{EncodeOptions, Encoded, Engine, Strangers};
use omniid::identity::Identity;
use omniid::photo::Photo;
use omniid::ErrorKind;
use omniid_minihost::Generator;
use photos::Shown;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Instant;

const EXAMPLES: &str = "\
The page is one file that needs no network: every photo with the face that was found and what became of it, similarities,
where the encoder looks, and pictures of the person, with sliders for the number of photos and the strength.

Examples:
  omniid report examples/photos/person-1/*.jpg -o report.html
  omniid report photos/anna --compare ben.omniid --views front,smile --strengths 0,1 -o anna.html
  omniid report photos/anna --evaluation evaluation -o anna.html
  omniid report -c ip-adapter-plus-face_sd15.safetensors --image-encoder clip-vit-h/model.safetensors photos/anna -o anna.html";

/// Photos of the identities that are drawn, where there are as many; all photos come after them.
const COUNTS: [usize; 3] = [1, 2, 4];

/// Side of a crop on the page, in pixels.
const CROP: u32 = 192;

#[derive(clap::Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{}", views::help()))]
pub struct Args {
    /// Photos of one person, and folders of them; - for standard input.
    #[arg(required = true, value_name = "PHOTO")]
    inputs: Vec<PathBuf>,
    /// The page to write, HTML; - for standard output.
    #[arg(short, long, visible_alias = "out", value_name = "FILE")]
    output: PathBuf,
    /// An identity (.omniid) or photo of somebody to compare with; may be given several times.
    #[arg(long, value_name = "FILE")]
    compare: Vec<PathBuf>,
    /// What `omniid evaluate` wrote: its curves become part of the page.
    #[arg(long, value_name = "FOLDER")]
    evaluation: Option<PathBuf>,
    /// Views to draw, separated by commas, or "all".
    #[arg(long = "views", alias = "view", value_name = "VIEW", value_delimiter = ',',
          default_values = ["front", "three-quarter left", "right", "smile"])]
    views: Vec<String>,
    /// Weights of the identity to draw with, separated by commas, at most 16.
    #[arg(long, value_name = "X", value_delimiter = ',', default_values_t = [0.0, 0.5, 1.0, 1.5],
          value_parser = crate::args::finite::<f32>)]
    strengths: Vec<f32>,
    /// Draw nothing.
    #[arg(long)]
    no_pictures: bool,
    /// Replace the page if it exists.
    #[arg(long)]
    force: bool,
    /// Print a JSON report.
    #[arg(long)]
    json: bool,
    /// No progress bar.
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    photo: PhotoArgs,
    #[command(flatten)]
    generator: GeneratorArgs,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Report {
    page: String,
    bytes: usize,
    model: String,
    sections: Vec<&'static str>,
    /// Photos in the identity.
    photos: usize,
    /// What should be known about photos that were used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    /// Photos that could not be used, and why.
    left_out: Vec<String>,
    not_used: PassedOver,
    /// Why a section is missing.
    missing: Vec<String>,
    seconds: f64,
}

/// The model, with its generator where there is one.
enum Model {
    Drawing(Box<Generator>),
    Encoding(Engine),
}

impl Model {
    fn engine(&self) -> &Engine {
        match self {
            Self::Drawing(generator) => generator.engine(),
            Self::Encoding(engine) => engine,
        }
    }
}

pub fn run(args: Args) -> Outcome {
    let start = Instant::now();
    args.check()?;
    let target = Target::new(&args.output, args.force, args.json)?;
    let named = views::parse(&args.views)?;
    let evaluation = args.evaluation.as_deref().map(evaluation::read).transpose()?;
    let limits = args.generator.model.limits.limits();
    let (photos, passed_over) = args.photo.collect(&expand(&args.inputs), &limits)?;
    let options = args.photo.encode_options()?;
    let model = args.open()?;
    let engine = model.engine();
    args.photo.check_detector(&photos, engine)?;
    let encoded = with_bar(args.quiet, |progress| {
        engine.encode_with_progress(&photos, &options, progress)
    })?;
    let used = used_photos(&photos, &encoded);
    let mut missing = Vec::new();
    let crops = crops::of(&photos, &encoded, CROP, &limits)?;
    let mut left: std::slice::Iter<'_, (String, RgbImage)> = crops.iter();
    let shown: Vec<Shown<'_>> = photos
        .iter()
        .zip(&encoded.photos)
        .map(|(photo, report)| Shown {
            photo,
            report,
            crop: left
                .by_ref()
                .take(usize::from(report.is_used()))
                .next()
                .map(|(_, crop)| crop),
        })
        .collect();
    let mut sections = vec![photos::section(&shown, &passed_over, &limits)?];
    // Who is compared is known; faces are not searched for again.
    let alone = options
        .clone()
        .with_strangers(Strangers::Ignore)
        .with_keep_features(false);
    match compared::by_identities(engine, &used, &alone, &args)? {
        Some(matrix) => {
            let histograms = compared::by_histograms(engine, &used, &args)?;
            sections.push(likeness::section(&matrix, histograms.as_ref()));
        }
        None => missing.push("Similarity: there is one photo, and nothing to compare it with (--compare FILE)".into()),
    }
    match with_bar(args.quiet, |progress| {
        engine.attention_maps_with_progress(used.iter().map(|(_, photo)| photo), &alone, progress)
    }) {
        Ok(maps) => sections.push(attention::section(&maps)?),
        Err(error) if error.kind() == ErrorKind::Unsupported => missing.push(format!("Attention: {}", error.message())),
        Err(error) => return Err(error.into()),
    }
    match &model {
        _ if args.no_pictures => {}
        Model::Encoding(_) => missing.push(
            "Generated views: no generator for this model; --minihost FILE names one that its adapter was trained with"
                .into(),
        ),
        Model::Drawing(generator) => {
            let identities = identities(engine, &used, encoded.identity.clone(), &alone, args.quiet)?;
            let options = args.sampling.options();
            let bar = Bar::with_time_left(args.quiet);
            let sets = pictures::draw(generator, &identities, &args.strengths, &named, &options, &bar)?;
            drop(bar);
            let size = generator.host().config().size;
            sections.push(pictures::section(&sets, &named, &options, size)?);
        }
    }
    if let Some(evaluation) = &evaluation {
        sections.push(evaluation::section(evaluation));
    }
    let page = page::page(&args.title(), &summary(engine, &encoded, &missing), &sections);
    target.write(page.as_bytes())?;
    let report = Report {
        page: target.name(),
        bytes: page.len(),
        model: engine.info().fingerprint.clone(),
        sections: sections.iter().map(|section| section.id).collect(),
        photos: used.len(),
        notes: notes(&encoded.photos),
        left_out: encoded
            .photos
            .iter()
            .filter_map(|photo| Some(photo.error.as_ref()?.message().to_string()))
            .collect(),
        not_used: passed_over,
        missing,
        seconds: start.elapsed().as_secs_f64(),
    };
    report.print(&args, &target)
}

impl Args {
    /// Finds contradictions before any work.
    fn check(&self) -> Outcome {
        if let Some(option) = first_named(&["--scale"]) {
            return Err(Failure::usage(format!(
                "{option} has no effect: the page draws with all weights of --strengths"
            )));
        }
        if self.strengths.is_empty() || self.strengths.len() > 16 {
            return Err(Failure::usage(format!(
                "{} strengths, 1 to 16 expected",
                self.strengths.len()
            )));
        }
        let drawing = [
            "--views",
            "--strengths",
            "--minihost",
            "--steps",
            "--guidance",
            "--seed",
        ];
        match (self.no_pictures, first_named(&drawing)) {
            (true, Some(option)) => Err(Failure::usage(format!("{option} has no effect: --no-pictures"))),
            _ => Ok(()),
        }
    }

    /// Opens the model, with a generator where one is known.
    fn open(&self) -> Outcome<Model> {
        let model = &self.generator.model;
        let drawn = self.generator.minihost.is_some() || model.checkpoint.is_none();
        match drawn && !self.no_pictures {
            true => Ok(Model::Drawing(Box::new(self.generator.open(self.quiet)?))),
            false => Ok(Model::Encoding(model.open(self.quiet)?)),
        }
    }

    fn title(&self) -> String {
        match self.inputs.as_slice() {
            [one] => format!("Report on {}", input::name(one)),
            _ => "Report on photos of one person".to_string(),
        }
    }
}

impl Report {
    fn print(&self, args: &Args, target: &Target) -> Outcome {
        if args.json {
            return output::print_json(self);
        }
        for line in &self.notes {
            tell!("{line}");
        }
        for line in &self.left_out {
            tell!("left out  {line}");
        }
        self.not_used.tell();
        for line in &self.missing {
            tell!("not in the page  {line}");
        }
        target.report(format!(
            "{}: {} of {} photos, {}, {:.1} s\n",
            self.page,
            self.photos,
            self.photos + self.left_out.len(),
            bytes_text(self.bytes as u64),
            self.seconds
        ))
    }
}

/// The photos that went into the identity, with the faces that were found in them.
fn used_photos(photos: &[Photo<'static>], encoded: &Encoded) -> Vec<(String, Photo<'static>)> {
    let pairs = photos
        .iter()
        .zip(&encoded.photos)
        .filter(|(_, report)| report.is_used());
    pairs
        .map(|(photo, report)| (report.name.clone(), photo.clone().with_face(crops::face_of(report))))
        .collect()
}

/// Identities of 1, 2 and 4 photos where there are more, and of all of them.
fn identities(
    engine: &Engine,
    used: &[(String, Photo<'static>)],
    all: Identity,
    options: &EncodeOptions,
    quiet: bool,
) -> Outcome<Vec<(usize, Identity)>> {
    let mut identities = Vec::new();
    for count in COUNTS.into_iter().filter(|count| *count < used.len()) {
        let photos: Vec<Photo<'static>> = used[..count].iter().map(|(_, photo)| photo.clone()).collect();
        let encoded = with_bar(quiet, |progress| {
            engine.encode_with_progress(&photos, options, progress)
        })?;
        identities.push((count, encoded.identity));
    }
    identities.push((used.len(), all));
    Ok(identities)
}

/// What the page begins with.
fn summary(engine: &Engine, encoded: &Encoded, missing: &[String]) -> String {
    let info = engine.info();
    let used = encoded.photos.iter().filter(|photo| photo.is_used()).count();
    let mut text = format!(
        "<p>{used} of {} photos became an identity of {} tokens of width {}.</p>\n\
         <p class=\"soft\">Model {} ({}), OmniID {}.</p>\n",
        encoded.photos.len(),
        encoded.identity.token_count(),
        encoded.identity.width(),
        escape(if info.name.is_empty() {
            "without a name"
        } else {
            &info.name
        }),
        escape(&info.fingerprint),
        env!("CARGO_PKG_VERSION")
    );
    if !missing.is_empty() {
        text.push_str("<p>Not in this report:</p>\n<ul>\n");
        for line in missing {
            text.push_str(&format!("<li>{}</li>\n", escape(line)));
        }
        text.push_str("</ul>\n");
    }
    text
}
