//! Photos: where they come from, how they become upright 8-bit RGB, and how image encoders want them prepared.
//!
//! A [`Photo`] names its source and says which face is meant. [`Photo::decode`] gives the upright image within the
//! caller's [`Limits`]; [`ImageProcessor`] turns an image into the numbers that an image encoder reads.

mod decode;
mod decoded;
mod face_mask;
mod geometry;
mod inks;
mod jpeg;
mod mend;
mod note;
#[doc(hidden)]
pub mod parsers;
mod pixels;
mod processor;
mod profile;
mod recognise;
pub mod resample;
mod transparency;

pub use decoded::Decoded;
pub use face_mask::FaceMask;
pub use geometry::{Face, FaceBox, Landmarks};
pub use note::PhotoNote;
pub use pixels::{ChannelOrder, PixelBuffer, PixelData};
pub use processor::{ImageProcessor, PhotoFit};
pub use recognise::{recognise, recognise_file, PictureFormat};

use crate::error::{Error, Result};
use crate::face_embedding::FaceEmbedding;
use crate::limits::Limits;
use crate::remedy;
use image::RgbImage;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Longest side, in pixels, of a photo from any source: what JPEG can express.
///
/// Together with [`Limits::max_pixels`] it bounds the cost of resampling extreme shapes such as 1 × 100,000,000.
pub const MAX_SIDE: u32 = 65_535;

/// One photo of a person and which of its faces is meant.
///
/// Holds or borrows its source; nothing is read before [`Photo::decode`].
#[derive(Debug, Clone)]
pub struct Photo<'a> {
    /// Where the pixels come from.
    pub source: PhotoSource<'a>,
    /// Which face is meant.
    pub face: FaceHint,
    /// What to call it in messages and reports instead of its path, or of `photo in memory`.
    pub name: Option<Cow<'a, str>>,
    /// The embedding of the face that is meant, where the host has it: models that read face embeddings take this one
    /// and run no recognition network on the photo.
    pub embedding: Option<Cow<'a, FaceEmbedding>>,
    /// Which pixels are the face, where the host has found out: PuLID takes this instead of a face parsing network.
    /// Refused for other models, and for crops other than PuLID's own.
    pub face_mask: Option<FaceMask<'a>>,
}

/// Where a photo's pixels come from.
#[derive(Debug, Clone)]
pub enum PhotoSource<'a> {
    /// A JPEG, PNG, WebP, BMP or TIFF file. The content decides which, not the name.
    Path(Cow<'a, Path>),
    /// The bytes of such a file.
    Encoded(Cow<'a, [u8]>),
    /// Raw pixels.
    Pixels(PixelBuffer<'a>),
    /// No picture: only [`Photo::embedding`]. Enough for models that read nothing else (FaceID, FaceID Portrait,
    /// InstantID).
    Nothing,
}

/// Which face of a photo is meant.
///
/// Coordinates are pixels of the upright photo: for files, after the EXIF orientation has been applied.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum FaceHint {
    /// The largest face that the detector finds.
    #[default]
    Detect,
    /// The n-th largest face that the detector finds; 0 is the largest.
    Index(usize),
    /// The face inside this box. Needs no detector.
    Box(FaceBox),
    /// The face with these five points. Needs no detector.
    Landmarks(Landmarks),
}

impl<'a> Photo<'a> {
    /// A photo from any source; the largest face is meant.
    pub fn new(source: PhotoSource<'a>) -> Self {
        Self {
            source,
            face: FaceHint::Detect,
            name: None,
            embedding: None,
            face_mask: None,
        }
    }

    /// A photo of which only the face embedding is known.
    pub fn from_embedding(embedding: FaceEmbedding) -> Self {
        Self::new(PhotoSource::Nothing).with_embedding(embedding)
    }

    /// A photo from the bytes of a JPEG, PNG, WebP, BMP or TIFF file.
    pub fn from_bytes(bytes: &'a [u8]) -> Self {
        Self::new(PhotoSource::Encoded(Cow::Borrowed(bytes)))
    }

    /// A photo from raw pixels.
    pub fn from_pixels(pixels: PixelBuffer<'a>) -> Self {
        Self::new(PhotoSource::Pixels(pixels))
    }

    /// The same photo with another face meant.
    pub fn with_face(mut self, face: FaceHint) -> Self {
        self.face = face;
        self
    }

    /// The same photo with the embedding of the face that is meant, which the host has computed.
    pub fn with_embedding(mut self, embedding: FaceEmbedding) -> Self {
        self.embedding = Some(Cow::Owned(embedding));
        self
    }

    /// The same photo with the pixels of the face that is meant, which the host has found.
    pub fn with_face_mask(mut self, mask: FaceMask<'a>) -> Self {
        self.face_mask = Some(mask);
        self
    }

    /// The same photo under a name for messages and reports, such as `image 3 of the batch`.
    pub fn with_name(mut self, name: impl Into<Cow<'a, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// What to call this photo in messages: its own name, its path, or `photo in memory`.
    pub fn name(&self) -> String {
        match (&self.name, &self.source) {
            (Some(name), _) => name.to_string(),
            (None, PhotoSource::Path(path)) => path.display().to_string(),
            (None, PhotoSource::Encoded(_) | PhotoSource::Pixels(_)) => "photo in memory".to_owned(),
            (None, PhotoSource::Nothing) => "face embedding".to_owned(),
        }
    }

    /// Reads and decodes the photo into upright 8-bit RGB.
    ///
    /// EXIF orientation is applied. Grey becomes RGB with equal channels. Transparent pixels are laid on middle grey
    /// (128, 128, 128), so that the colour hidden under them has no effect. 16-bit and float samples are scaled to 8
    /// bits and rounded. Of an animation or a multi-page file the first picture is taken. Pictures with a colour profile
    /// other than sRGB are converted to sRGB. A JPEG beyond the limits is read at 1/2, 1/4 or 1/8 of its size.
    /// `docs/photos.md` has the rules.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) when the file cannot be read, [`Format`](crate::ErrorKind::Format) when it is
    /// damaged or truncated, [`Unsupported`](crate::ErrorKind::Unsupported) for another format or an exotic variant,
    /// [`LimitExceeded`](crate::ErrorKind::LimitExceeded) when it is larger than `limits` or [`MAX_SIDE`] admit,
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when a raw buffer holds a NaN, and for a photo of which
    /// only the embedding is known. The message begins with [`Photo::name`].
    pub fn decode(&self, limits: &Limits) -> Result<RgbImage> {
        Ok(self.decode_with_notes(limits)?.image)
    }

    /// [`Photo::decode`], with the photo's full size and what should be known about it.
    ///
    /// # Errors
    /// As [`Photo::decode`].
    pub fn decode_with_notes(&self, limits: &Limits) -> Result<Decoded> {
        let decoded = match &self.source {
            PhotoSource::Path(path) => {
                decode::read_file(path, limits).and_then(|bytes| decode::decode_bytes(&bytes, limits))
            }
            PhotoSource::Encoded(bytes) => decode::decode_bytes(bytes, limits),
            PhotoSource::Pixels(pixels) => pixels.to_rgb(limits).map(Decoded::whole),
            PhotoSource::Nothing => Err(Error::invalid(
                "a picture is needed, and there is only a face embedding",
            )),
        };
        decoded.map_err(|error| error.context(self.name()))
    }
}

impl<'a> From<&'a Path> for Photo<'a> {
    fn from(path: &'a Path) -> Self {
        Self::new(PhotoSource::Path(Cow::Borrowed(path)))
    }
}

impl<'a> From<&'a PathBuf> for Photo<'a> {
    fn from(path: &'a PathBuf) -> Self {
        path.as_path().into()
    }
}

impl<'a> From<&'a str> for Photo<'a> {
    fn from(path: &'a str) -> Self {
        Path::new(path).into()
    }
}

impl From<String> for Photo<'static> {
    fn from(path: String) -> Self {
        PathBuf::from(path).into()
    }
}

/// Borrows what the photo holds.
impl<'a> From<&'a Photo<'_>> for Photo<'a> {
    fn from(photo: &'a Photo<'_>) -> Self {
        let source = match &photo.source {
            PhotoSource::Path(path) => PhotoSource::Path(Cow::Borrowed(path)),
            PhotoSource::Encoded(bytes) => PhotoSource::Encoded(Cow::Borrowed(bytes)),
            PhotoSource::Pixels(pixels) => PhotoSource::Pixels(pixels.borrowed()),
            PhotoSource::Nothing => PhotoSource::Nothing,
        };
        Self {
            source,
            face: photo.face,
            name: photo.name.as_deref().map(Cow::Borrowed),
            embedding: photo.embedding.as_deref().map(Cow::Borrowed),
            face_mask: photo.face_mask.as_ref().map(FaceMask::borrowed),
        }
    }
}

impl From<PathBuf> for Photo<'static> {
    fn from(path: PathBuf) -> Self {
        Self::new(PhotoSource::Path(Cow::Owned(path)))
    }
}

/// Refuses empty photos and photos beyond the limits, before anything of their size is allocated.
fn check_size(width: u32, height: u32, limits: &Limits) -> Result<()> {
    if width == 0 || height == 0 {
        return Err(Error::format(format!(
            "a photo of {width}x{height} pixels has no content"
        )));
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > limits.max_pixels {
        return Err(Error::limit(format!(
            "{width}x{height} = {pixels} pixels, the limit is {} (max_pixels)",
            limits.max_pixels
        ))
        .with_remedy(remedy::LARGE_PHOTO));
    }
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(Error::limit(format!(
            "{width}x{height} pixels, no side may be longer than {MAX_SIDE}"
        ))
        .with_remedy(remedy::SMALLER_PHOTO));
    }
    Ok(())
}

/// Refuses to allocate more than [`Limits::max_decoded_bytes`] for one photo.
fn check_bytes(needed: u64, width: u32, height: u32, limits: &Limits) -> Result<()> {
    if needed > limits.max_decoded_bytes {
        return Err(Error::limit(format!(
            "decoding {width}x{height} pixels takes {needed} bytes, the limit is {} (max_decoded_bytes)",
            limits.max_decoded_bytes
        ))
        .with_remedy(remedy::LARGE_PHOTO));
    }
    Ok(())
}
