//! Files that are named on the command line, `-` for standard input and pipes among them.

use crate::failure::{Failure, Outcome};
use omniid::checkpoint::check_file_name;
use omniid::engine::Source;
use omniid::photo::{recognise, recognise_file, FaceHint, Photo, PhotoSource, PictureFormat};
use omniid::{Error, Limits};
use omniid_training::data::scan::is_named_like_photo;
use std::borrow::Cow;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What standard input is called on the command line.
const STANDARD_INPUT: &str = "-";

/// Most bytes of a model or an identity from a pipe, which are held in memory.
const MOST_BYTES: u64 = 4 << 30;

/// A file, or what a pipe held. A pipe can be read only once, a file is left to those who know how to read it.
pub enum Input {
    File(PathBuf),
    /// A photo and the rank of a face in it, `photo.jpg#1`.
    Face(PathBuf, usize),
    Pipe {
        name: String,
        bytes: Vec<u8>,
    },
}

/// Whether a path names standard input, or a pipe or device that can be read only once.
pub fn is_pipe(path: &Path) -> bool {
    path == Path::new(STANDARD_INPUT) || std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// The file and the face that `photo.jpg#1` names: the face of that rank in size, 0 is the largest. `None` for anything
/// else; a file whose name ends like that is meant itself.
pub fn named_face(path: &Path) -> Option<(PathBuf, usize)> {
    let (name, rank) = path.file_name()?.to_str()?.rsplit_once('#')?;
    let file = path.with_file_name(name);
    // `+1` is a number for `parse`.
    let is_number = rank.bytes().all(|digit| digit.is_ascii_digit());
    let rank = rank.parse().ok().filter(|_| is_number)?;
    (!path.exists() && file.is_file()).then_some((file, rank))
}

/// What a path is called in messages.
pub fn name(path: &Path) -> String {
    match path == Path::new(STANDARD_INPUT) {
        true => "standard input".to_string(),
        false => path.display().to_string(),
    }
}

impl Input {
    /// Looks what a path names; reads pipes, of which photos may have `limits` bytes.
    pub fn open(path: &Path, limits: &Limits) -> Outcome<Self> {
        check_file_name(path)?;
        match is_pipe(path) {
            true => Ok(Self::Pipe {
                name: name(path),
                bytes: read(path, limits)?,
            }),
            false => Ok(match named_face(path) {
                Some((file, rank)) => Self::Face(file, rank),
                None => Self::File(path.to_path_buf()),
            }),
        }
    }

    /// Whether the content is that of a picture, read or not. A web page is one where a picture was expected.
    pub fn is_picture(&self) -> bool {
        match self {
            Self::File(path) | Self::Face(path, _) => match recognise_file(path) {
                Ok(Some(PictureFormat::Html | PictureFormat::Svg | PictureFormat::Pdf)) => is_named_like_photo(path),
                Ok(found) => found.is_some(),
                Err(_) => false,
            },
            Self::Pipe { bytes, .. } => is_photo(recognise(bytes)),
        }
    }

    /// The format of a picture; `None` for what is no picture.
    pub fn format(&self) -> Outcome<Option<PictureFormat>> {
        match self {
            Self::File(path) | Self::Face(path, _) => Ok(recognise_file(path)?),
            Self::Pipe { bytes, .. } => Ok(recognise(bytes)),
        }
    }

    /// Size of the content in bytes; 0 for a file that cannot be read.
    pub fn byte_count(&self) -> u64 {
        match self {
            Self::File(path) | Self::Face(path, _) => std::fs::metadata(path).map_or(0, |file| file.len()),
            Self::Pipe { bytes, .. } => bytes.len() as u64,
        }
    }

    /// As a photo.
    pub fn into_photo(self) -> Photo<'static> {
        match self {
            Self::File(path) => Photo::from(path),
            Self::Face(path, rank) => Photo::from(path).with_face(FaceHint::Index(rank)),
            Self::Pipe { name, bytes } => photo_of(name, bytes),
        }
    }

    /// As an identity or a checkpoint.
    pub fn into_source(self) -> Source {
        match self {
            Self::File(path) | Self::Face(path, _) => Source::from(path),
            Self::Pipe { bytes, .. } => Source::from(bytes),
        }
    }
}

/// Whether a format makes a pipe's content a photo.
fn is_photo(format: Option<PictureFormat>) -> bool {
    format.is_some_and(|format| !matches!(format, PictureFormat::Html | PictureFormat::Svg | PictureFormat::Pdf))
}

/// Reads a pipe to its end.
fn read(path: &Path, limits: &Limits) -> Outcome<Vec<u8>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let mut start = Vec::new();
    let mut rest: Box<dyn Read> = if path == Path::new(STANDARD_INPUT) {
        if TAKEN.swap(true, Ordering::Relaxed) {
            return Err(Failure::usage(
                "standard input (-) is given twice, but can be read only once",
            ));
        }
        let input = std::io::stdin();
        if input.is_terminal() {
            return Err(Failure::usage(
                "standard input (-) is a terminal, expected a file or the output of another program",
            ));
        }
        Box::new(input)
    } else {
        Box::new(File::open(path).map_err(|error| Error::io(path, error))?)
    };
    let failed = |error| Failure::Library(Error::io(name(path), error));
    // Photos have a limit of their own.
    const START: u64 = 4096;
    rest.by_ref().take(START).read_to_end(&mut start).map_err(failed)?;
    let most = match is_photo(recognise(&start)) {
        true => limits.max_photo_bytes,
        false => MOST_BYTES,
    };
    rest.take(most.saturating_add(1).saturating_sub(start.len() as u64))
        .read_to_end(&mut start)
        .map_err(failed)?;
    match start.len() as u64 {
        0 => Err(Error::format(format!("{} is empty (0 bytes)", name(path))).into()),
        length if length > most => Err(Error::limit(format!("{} has more than {most} bytes", name(path))).into()),
        _ => Ok(start),
    }
}

/// The photo that a pipe held.
fn photo_of(name: String, bytes: Vec<u8>) -> Photo<'static> {
    Photo::new(PhotoSource::Encoded(Cow::Owned(bytes))).with_name(name)
}
