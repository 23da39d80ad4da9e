//! Photos of one person, and how they become an identity.

use super::numbers::{finite, whole};
use super::{first_named, identity_precisions, ModelArgs};
use crate::failure::{Failure, Outcome};
use crate::input::Input;
use crate::photos::PassedOver;
use crate::remedy;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::ValueEnum;
use omniid::engine::{BadPhoto, Combine, EncodeOptions, Engine, Strangers};
use omniid::face::CropMode;
use omniid::photo::{FaceHint, Photo};
use omniid::{Limits, Precision};
use std::path::{Path, PathBuf};

/// Photos of one person, and the model that reads them.
#[derive(clap::Args, Clone)]
pub struct PersonArgs {
    /// Photos of one person, and folders of them; - for standard input. `photo.jpg#1` is the second largest face in
    /// photo.jpg.
    #[arg(required_unless_present = "embedding", value_name = "PHOTO")]
    photos: Vec<PathBuf>,
    /// Print a JSON report instead of text.
    #[arg(long)]
    pub json: bool,
    /// No progress bar.
    #[arg(short, long)]
    pub quiet: bool,
    /// Face embeddings instead of photos, for models that read nothing else: a numpy array (.npy) as insightface gives
    /// them, of shape 512 or photos x 512; rows of length 1 count as normalised. May be given several times.
    #[arg(long, value_name = "FILE", requires = "embedding_network", help_heading = "Photos")]
    embedding: Vec<PathBuf>,
    /// The network that made the embeddings: buffalo_l, antelopev2, w600k_r50, glintr100, …
    #[arg(long, value_name = "NAME", requires = "embedding", help_heading = "Photos")]
    embedding_network: Option<String>,
    #[command(flatten)]
    photo: PhotoArgs,
    #[command(flatten)]
    pub model: ModelArgs,
}

impl PersonArgs {
    /// Finds the photos and opens the model.
    pub fn open(&self) -> Outcome<Person> {
        let (mut photos, passed_over) = self.photo.collect(&self.photos, &self.model.limits.limits())?;
        for path in &self.embedding {
            let network = self.embedding_network.as_deref().unwrap_or_default();
            photos.extend(crate::embeddings::photos(path, network)?);
        }
        let options = self.photo.encode_options()?;
        let engine = self.model.open(self.quiet)?;
        self.photo.check_detector(&photos, &engine)?;
        Ok(Person {
            photos,
            passed_over,
            options,
            engine,
        })
    }
}

/// A person's photos, and what is needed to make an identity of them.
pub struct Person {
    pub photos: Vec<Photo<'static>>,
    /// What lay beside the photos.
    pub passed_over: PassedOver,
    pub options: EncodeOptions,
    pub engine: Engine,
}

/// How photos become an identity.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Photos")]
pub struct PhotoArgs {
    /// Search the folders below a folder too.
    #[arg(short, long)]
    pub recursive: bool,
    /// How photos are cropped [default: the model's way].
    #[arg(long)]
    crop: Option<CropArg>,
    /// Room around the face with --crop face, as a part of its size.
    #[arg(long, value_name = "PART", requires = "crop", value_parser = finite::<f32>)]
    margin: Option<f32>,
    /// Which face to take where there are several: 0 is the largest. With a model that takes whole photos, the photo is
    /// cropped to that face. `photo.jpg#1` says it for one photo. Without either, the face that looks like the other
    /// photos is taken, or else the largest.
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    face: Option<usize>,
    /// Photos that pass the image encoder together.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch_size: u32,
    /// What to do with photos that look like somebody else than the others.
    #[arg(long, value_name = "WHAT", default_value = "note")]
    strangers: StrangersArg,
    /// How several photos are combined before the identity encoder; extending goes on as the identity was made.
    #[arg(long, value_name = "HOW", default_value = "concatenate", value_parser = combines())]
    combine: Combine,
    /// Weight of the image features of FaceID-PlusV2 beside the face embedding (weight_faceidv2) [default: 1].
    #[arg(long, value_name = "SCALE", value_parser = finite::<f32>)]
    shortcut_scale: Option<f32>,
    /// Stop at the first photo that cannot be used, instead of leaving it out.
    #[arg(long)]
    strict: bool,
}

/// How an identity is written.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Identity")]
pub struct NoteArgs {
    /// A display name, stored in the identity.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub label: String,
    /// What the person agreed to, stored in the identity.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub consent: String,
    /// Do not keep the photos' features: a smaller file, which cannot be extended later.
    #[arg(long)]
    pub no_features: bool,
    /// Number type in the file; f32 is exact.
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = identity_precisions())]
    pub store: Precision,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StrangersArg {
    /// Use them, and say so; in group photos take the face that looks like the other photos.
    Note,
    /// Leave them out.
    LeaveOut,
    /// Do not compare the photos.
    Ignore,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CropArg {
    /// The whole photo.
    None,
    /// The centre square.
    Center,
    /// A square around the face.
    Face,
    /// Turned and scaled so that eyes and mouth are where the model expects them.
    Aligned,
}

impl PhotoArgs {
    /// The first option on the command line that only photos give a meaning.
    pub fn first_named() -> Option<&'static str> {
        first_named(&[
            "--crop",
            "--margin",
            "--face",
            "--strangers",
            "--strict",
            "--batch-size",
            "--combine",
            "--shortcut-scale",
            "--detector",
        ])
    }

    /// Fails for a detector that was asked for, when no photo is searched for faces.
    pub fn check_detector(&self, photos: &[Photo<'_>], engine: &Engine) -> Outcome {
        let whole = self.crop.is_none() && !engine.info().crop.needs_face();
        let unnamed = |photo: &Photo<'_>| photo.face == FaceHint::Detect;
        match whole && photos.iter().all(unnamed) && first_named(&["--detector"]).is_some() {
            true => Err(unused_detector()),
            false => Ok(()),
        }
    }

    /// The photos behind `paths`, with the face that was asked for, and what lay beside them.
    pub fn collect(&self, paths: &[PathBuf], limits: &Limits) -> Outcome<(Vec<Photo<'static>>, PassedOver)> {
        let found = crate::photos::collect(paths, self.recursive)?;
        let photos = found.photos.into_iter().map(|path| self.photo(&path, limits));
        Ok((photos.collect::<Outcome<Vec<_>>>()?, found.passed_over))
    }

    /// One photo with the face that was asked for.
    pub fn photo(&self, path: &Path, limits: &Limits) -> Outcome<Photo<'static>> {
        Ok(self.chosen(Input::open(path, limits)?.into_photo()))
    }

    /// A photo with the face that was asked for.
    pub fn chosen(&self, photo: Photo<'static>) -> Photo<'static> {
        match self.face {
            Some(index) if photo.face == FaceHint::Detect => photo.with_face(FaceHint::Index(index)),
            _ => photo,
        }
    }

    /// Options for [`Engine::encode`] without notes.
    pub fn encode_options(&self) -> Outcome<EncodeOptions> {
        Ok(EncodeOptions::default()
            .with_crop(self.crop()?)
            .with_batch_size(self.batch_size as usize)
            .with_combine(self.combine)
            .with_shortcut_scale(self.shortcut_scale.unwrap_or(1.0))
            .with_strangers(match self.strangers {
                StrangersArg::Note => Strangers::Note,
                StrangersArg::LeaveOut => Strangers::LeaveOut,
                StrangersArg::Ignore => Strangers::Ignore,
            })
            .with_bad_photo(if self.strict { BadPhoto::Fail } else { BadPhoto::Skip }))
    }

    fn crop(&self) -> Outcome<Option<CropMode>> {
        let whole = matches!(self.crop, Some(CropArg::None | CropArg::Center));
        if whole && first_named(&["--detector"]).is_some() {
            return Err(unused_detector());
        }
        if let (true, Some(face)) = (whole, self.face) {
            let what = format!("--face {face} chooses what is cropped, and this --crop takes no notice of faces");
            return Err(Failure::usage(what).with_remedy(remedy::FACE_CROP));
        }
        let crop = match (self.crop, self.margin) {
            (Some(CropArg::Face), margin) => CropMode::Face {
                margin: margin.unwrap_or(DEFAULT_MARGIN),
            },
            (_, Some(_)) => return Err(Failure::usage("--margin belongs to --crop face")),
            (None, None) => return Ok(None),
            (Some(CropArg::None), None) => CropMode::None,
            (Some(CropArg::Center), None) => CropMode::Center,
            (Some(CropArg::Aligned), None) => CropMode::aligned(),
        };
        Ok(Some(crop))
    }
}

/// Reads a way to combine photos by its name.
fn combines() -> impl TypedValueParser<Value = Combine> {
    let known = PossibleValuesParser::new(Combine::ALL.map(Combine::name));
    known.try_map(|name| Combine::from_name(&name).ok_or("no way to combine photos"))
}

fn unused_detector() -> Failure {
    Failure::usage("--detector finds faces, and the photos are taken whole").with_remedy(remedy::FACE_CROP)
}

/// Room around the face that shows the whole head.
const DEFAULT_MARGIN: f32 = 0.5;

impl NoteArgs {
    /// Adds the notes to the options of a call.
    pub fn fill(&self, options: &mut EncodeOptions) {
        options.label.clone_from(&self.label);
        options.consent.clone_from(&self.consent);
        options.keep_features = !self.no_features;
    }
}
