//! Who is drawn: identities, from files or from photos, with what is shown beside the result.

use super::{Args, NamedView};
use crate::args::PhotoArgs;
use crate::crops;
use crate::failure::{Failure, Outcome};
use crate::input::Input;
use crate::photos::{self, PassedOver};
use crate::progress::with_bar;
use image::RgbImage;
use omniid::engine::{EncodeOptions, Strangers};
use omniid::face::CropMode;
use omniid::identity::Identity;
use omniid::photo::Photo;
use omniid::Limits;
use omniid_minihost::Generator;
use omniid_training::render::{read_truth, TruthLine};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// One person of a sheet.
pub struct Person {
    pub name: String,
    pub identity: Identity,
    /// File name and crop of every photo that went in; none for an identity from a file.
    pub photos: Vec<(String, RgbImage)>,
    /// Photos that could not be used, and why.
    pub left_out: Vec<String>,
    /// What should be known about photos that were used.
    pub notes: Vec<String>,
    /// What lay beside the photos in their folder.
    pub not_used: PassedOver,
    pub views: Vec<NamedView>,
    /// The true pictures of the views, where they are known.
    pub truth: Vec<RgbImage>,
}

/// Where a person comes from.
enum Source {
    Identity(PathBuf, Input),
    Photos {
        name: String,
        files: Vec<Input>,
        passed_over: PassedOver,
    },
}

/// Everybody, before the model is opened.
pub struct Sources {
    people: Vec<Source>,
    /// By the full path of a picture.
    truth: HashMap<PathBuf, TruthLine>,
}

impl Sources {
    /// Finds the files of every person.
    pub fn find(inputs: &[PathBuf], recursive: bool, truth: Option<&Path>, limits: &Limits) -> Outcome<Self> {
        let truth = truth.map(known_pictures).transpose()?.unwrap_or_default();
        let mut people = Vec::new();
        let mut singles: Option<usize> = None;
        for path in inputs {
            if path.is_dir() {
                let found = photos::collect(std::slice::from_ref(path), recursive)?;
                people.push(Source::Photos {
                    name: file_name(path),
                    files: found.photos.into_iter().map(Input::File).collect(),
                    passed_over: found.passed_over,
                });
                continue;
            }
            let input = Input::open(path, limits)?;
            if is_identity(path, &input) {
                people.push(Source::Identity(path.clone(), input));
            } else {
                if let Input::File(path) = &input {
                    std::fs::metadata(path).map_err(|error| omniid::Error::io(path, error))?;
                }
                // Photos that are named one by one are one person, where the first of them stands.
                match singles.and_then(|place| people.get_mut(place)) {
                    Some(Source::Photos { files: known, .. }) => known.push(input),
                    _ => {
                        singles = Some(people.len());
                        let folder = path.parent().map(file_name).filter(|name| !name.is_empty());
                        people.push(Source::Photos {
                            name: folder.unwrap_or_else(|| "photos".to_string()),
                            files: vec![input],
                            passed_over: PassedOver::default(),
                        });
                    }
                }
            }
        }
        let is_identity = |source: &Source| matches!(source, Source::Identity(..));
        match PhotoArgs::first_named() {
            Some(option) if people.iter().all(is_identity) => Err(Failure::usage(format!(
                "{option} is about photos, and all inputs are identities"
            ))),
            _ => Ok(Self { people, truth }),
        }
    }

    /// Reads or makes everybody's identity.
    pub fn identities(self, generator: &Generator, views: &[NamedView], args: &Args) -> Outcome<Vec<Person>> {
        let make = |source: Source| match source {
            Source::Identity(path, input) => {
                let identity = Identity::load(input.into_source(), generator.engine().limits())?;
                let label = identity.provenance().label.clone();
                Ok(Person {
                    name: if label.is_empty() { file_name(&path) } else { label },
                    identity,
                    photos: Vec::new(),
                    left_out: Vec::new(),
                    notes: Vec::new(),
                    not_used: PassedOver::default(),
                    views: views.to_vec(),
                    truth: Vec::new(),
                })
            }
            Source::Photos {
                name,
                files,
                passed_over,
            } if self.truth.is_empty() => {
                let options = args.photo.encode_options()?;
                let photos = files.into_iter().map(|input| args.photo.chosen(input.into_photo()));
                let person = from_photos(&name, photos.collect(), options, generator, views.to_vec(), args)?;
                Ok(Person {
                    not_used: passed_over,
                    ..person
                })
            }
            Source::Photos { name, files, .. } => rendered(&self.truth, &name, files, generator, args),
        };
        self.people.into_iter().map(make).collect()
    }
}

/// A rendered person: input pictures make the identity, studio pictures are the views.
fn rendered(
    known: &HashMap<PathBuf, TruthLine>,
    name: &str,
    files: Vec<Input>,
    generator: &Generator,
    args: &Args,
) -> Outcome<Person> {
    let mut inputs = Vec::new();
    let (mut views, mut truth) = (Vec::new(), Vec::new());
    for input in files {
        let Input::File(file) = input else {
            return Err(Failure::usage(format!(
                "{name}: a pipe, expected files, which the truth is about"
            )));
        };
        let full = std::fs::canonicalize(&file).map_err(|error| omniid::Error::io(&file, error))?;
        let line = known
            .get(&full)
            .ok_or_else(|| Failure::usage(format!("{}: the truth file says nothing about it", file.display())))?;
        if line.is_target() {
            views.push(NamedView {
                name: format!(
                    "yaw {:.0} pitch {:.0}",
                    line.view.yaw.to_degrees(),
                    line.view.pitch.to_degrees()
                ),
                view: line.view,
            });
            truth.push(Photo::from(file.as_path()).decode(generator.engine().limits())?);
        } else {
            inputs.push(Photo::from(file));
        }
    }
    if inputs.is_empty() || views.is_empty() {
        return Err(Failure::usage(format!(
            "{name}: {} input and {} studio pictures; at least one of each is needed",
            inputs.len(),
            views.len()
        )));
    }
    // Rendered pictures are crops already.
    let options = args
        .photo
        .encode_options()?
        .with_crop(CropMode::None)
        .with_strangers(Strangers::Ignore);
    let person = from_photos(name, inputs, options, generator, views, args)?;
    Ok(Person { truth, ..person })
}

fn from_photos(
    name: &str,
    photos: Vec<Photo<'static>>,
    options: EncodeOptions,
    generator: &Generator,
    views: Vec<NamedView>,
    args: &Args,
) -> Outcome<Person> {
    let engine = generator.engine();
    let options = options.with_keep_features(false).with_label(name.to_string());
    let encoded = with_bar(args.quiet, |progress| {
        engine.encode_with_progress(&photos, &options, progress)
    })?;
    let crops = crops::of(&photos, &encoded, args.cell, engine.limits())?;
    let errors = encoded.photos.iter().filter_map(|report| report.error.as_ref());
    let left_out = errors.map(|error| error.message().to_string());
    Ok(Person {
        name: name.to_string(),
        left_out: left_out.collect(),
        notes: photos::notes(&encoded.photos),
        not_used: PassedOver::default(),
        identity: encoded.identity,
        photos: crops,
        views,
        truth: Vec::new(),
    })
}

/// The lines of a truth file by the full path of their pictures.
fn known_pictures(path: &Path) -> Outcome<HashMap<PathBuf, TruthLine>> {
    let lines = read_truth(path)?;
    let full = std::fs::canonicalize(path).map_err(|error| omniid::Error::io(path, error))?;
    let root = full.parent().unwrap_or(Path::new("/")).to_path_buf();
    if lines.is_empty() {
        return Err(Failure::usage(format!("{}: no pictures in it", path.display())));
    }
    // The paths have slashes; the full one of Windows has none.
    let place = |line: &TruthLine| root.join(Path::new(&line.path).components().collect::<PathBuf>());
    Ok(lines.into_iter().map(|line| (place(&line), line)).collect())
}

/// Whether an input is an identity: anything that is no picture, and is called like one if it has a name.
fn is_identity(path: &Path, input: &Input) -> bool {
    let called_so = match input {
        Input::File(_) | Input::Face(..) => path.extension().is_some_and(|ending| ending == "omniid"),
        Input::Pipe { .. } => true,
    };
    called_so && !input.is_picture()
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
