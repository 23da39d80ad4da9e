//! Real photos, in folders per person: `root/<person>/<photo>`, as MFHQ and most face sets come.
//!
//! Every photo is decoded within limits, its face found and cut out on the template of the training pictures, its pose
//! estimated from the five points. What cannot be used is left out and reported; nothing about one photo stops the
//! rest.

mod cache;
mod pose;
mod prepare;
mod report;
mod walk;

pub use report::{DropReason, Dropped, PhotoReport};

use super::{CropTemplate, Dataset, PersonPictures};
use omniid::face::{DetectOptions, FaceDetector};
use omniid::Limits;
use omniid::{Error, ErrorKind, Result};
use prepare::{prepare, Prepared, Refusal};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Photos between two reports of progress.
const CHUNK: usize = 64;

/// The family of people from photos.
pub const FAMILY: &str = "photos";

/// How photos become a [`Dataset`].
#[derive(Debug, Clone)]
pub struct PhotoOptions {
    /// Side of the pictures. Default 64.
    pub size: u32,
    /// Where the face lies in them.
    pub template: CropTemplate,
    /// Smallest face that is of any use, by the longer side of its box in pixels of the photo. Default 24.
    pub min_face: f32,
    /// A photo is left out when its second face has at least this part of the first one's side. Default 0.5.
    pub second_face: f32,
    /// People with fewer usable photos are left out. Default 2.
    pub min_photos: usize,
    /// How faces are searched.
    pub detect: DetectOptions,
    /// Photos whose longer side is smaller, and in which no face is found, are enlarged to it and searched again.
    /// Default 256; 0 never enlarges.
    pub enlarge_to: u32,
    /// Bounds on what a photo may cost.
    pub limits: Limits,
    /// Names the detector's weights, so that a cache made with others does not count; [`file_hash`] of its file does.
    pub detector: String,
    /// Where prepared pictures are kept (a [`Dataset`] file, and its report beside it). `None` keeps nothing.
    pub cache: Option<PathBuf>,
}

impl Default for PhotoOptions {
    fn default() -> Self {
        Self {
            size: 64,
            template: CropTemplate::default(),
            min_face: 24.0,
            second_face: 0.5,
            min_photos: 2,
            detect: DetectOptions::default(),
            enlarge_to: 256,
            limits: Limits::default(),
            detector: String::new(),
            cache: None,
        }
    }
}

/// Loads the photos below `root`. People and photos are in the order of their paths, whatever the number of threads.
///
/// Light, gaze, expression and glasses of a photo's view are the default's, the mask is an ellipse around the head:
/// they cannot be known from five points. `progress` is told the finished and all files, on the calling thread, and
/// cancels by [`ControlFlow::Break`]. Runs on rayon's threads.
///
/// # Errors
/// [`ErrorKind::Io`] when `root` cannot be read or the cache not be written, [`ErrorKind::InvalidArgument`] for a size
/// of 0 or above 1024 and for an unusable folder with nobody in it, [`ErrorKind::Cancelled`].
pub fn load_photos(
    root: &Path,
    detector: &FaceDetector,
    options: &PhotoOptions,
    progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<(Dataset, PhotoReport)> {
    if !(8..=1024).contains(&options.size) {
        return Err(Error::invalid(format!(
            "pictures of {} pixels a side, expected 8 to 1024",
            options.size
        )));
    }
    let walk = walk::walk(root)?;
    if walk.people.is_empty() {
        return Err(Error::invalid(format!(
            "{}: no folder in it; photos are expected as {0}/<person>/<photo>",
            root.display()
        )));
    }
    let key = options.cache.as_ref().map(|_| cache::key(&walk, options));
    if let (Some(path), Some(key)) = (&options.cache, &key) {
        if let Some(cached) = cache::read(path, key) {
            return Ok(cached);
        }
    }
    let files: Vec<&PathBuf> = walk.people.iter().flat_map(|person| &person.files).collect();
    let mut outcomes = Vec::with_capacity(files.len());
    for chunk in files.chunks(CHUNK) {
        if progress(outcomes.len(), files.len()).is_break() {
            return Err(Error::new(
                ErrorKind::Cancelled,
                format!("cancelled after {} of {} photos", outcomes.len(), files.len()),
            ));
        }
        let prepared = chunk.par_iter().map(|path| prepare(path, detector, options));
        outcomes.extend(prepared.collect::<Vec<_>>());
    }
    let _ = progress(outcomes.len(), files.len());
    let (dataset, report) = assemble(root, &walk, outcomes, options);
    if let (Some(path), Some(key)) = (&options.cache, &key) {
        cache::write(path, key, &dataset, &report)?;
    }
    Ok((dataset, report))
}

/// SHA-256 of a file in hexadecimal digits.
///
/// # Errors
/// [`ErrorKind::Io`] naming the path.
pub fn file_hash(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
    Ok(cache::hex(&Sha256::digest(bytes)))
}

/// Puts the people together and finds duplicates, in the order of the paths.
fn assemble(
    root: &Path,
    walk: &walk::Walk,
    outcomes: Vec<Result<Prepared, Refusal>>,
    options: &PhotoOptions,
) -> (Dataset, PhotoReport) {
    let relative = |path: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();
    let mut report = PhotoReport {
        people_found: walk.people.len(),
        files_found: outcomes.len() + walk.strays.len(),
        ..PhotoReport::default()
    };
    let mut drop = |path: &Path, reason, detail: String| {
        report.dropped.push(Dropped {
            path: relative(path),
            reason,
            detail,
        });
    };
    for path in &walk.strays {
        drop(path, DropReason::NoPerson, String::new());
    }
    let owners = owners(walk, &outcomes);
    let mut dataset = Dataset::new(options.size);
    let mut outcomes = outcomes.into_iter();
    for (index, person) in walk.people.iter().enumerate() {
        for (path, error) in &person.unreadable {
            drop(path, DropReason::Unreadable, error.clone());
        }
        let mut pictures = Vec::new();
        let mut seen: HashMap<[u8; 32], &Path> = HashMap::new();
        for (path, outcome) in person.files.iter().zip(&mut outcomes) {
            match outcome {
                Err((reason, detail)) => drop(path, reason, detail),
                Ok(prepared) => {
                    let other = owners[&prepared.hash].iter().find(|owner| **owner != index);
                    if let Some(other) = other {
                        let name = &walk.people[*other].name;
                        drop(path, DropReason::TwoPeople, format!("also in the folder {name:?}"));
                    } else if let Some(first) = seen.get(&prepared.hash) {
                        drop(path, DropReason::Duplicate, format!("same as {}", relative(first)));
                    } else {
                        seen.insert(prepared.hash, path);
                        pictures.push(prepared.picture);
                    }
                }
            }
        }
        let folder = root.join(&person.name);
        if person.files.is_empty() {
            drop(&folder, DropReason::EmptyFolder, String::new());
        } else if pictures.len() < options.min_photos.max(1) {
            let detail = format!(
                "{} usable, at least {} are needed",
                pictures.len(),
                options.min_photos.max(1)
            );
            drop(&folder, DropReason::TooFewPhotos, detail);
        } else {
            dataset.people.push(PersonPictures {
                family: FAMILY.to_string(),
                name: person.name.clone(),
                pictures,
            });
        }
    }
    report.people_kept = dataset.people.len();
    report.photos_kept = dataset.picture_count();
    (dataset, report)
}

/// The people in whose folders each file lies.
fn owners(walk: &walk::Walk, outcomes: &[Result<Prepared, Refusal>]) -> HashMap<[u8; 32], Vec<usize>> {
    let mut owners: HashMap<[u8; 32], Vec<usize>> = HashMap::new();
    let files = walk
        .people
        .iter()
        .enumerate()
        .flat_map(|(person, folder)| folder.files.iter().map(move |_| person));
    for (person, outcome) in files.zip(outcomes) {
        if let Ok(prepared) = outcome {
            let people = owners.entry(prepared.hash).or_default();
            if people.last() != Some(&person) {
                people.push(person);
            }
        }
    }
    owners
}

#[cfg(test)]
mod tests;
