//! What the decoder of JPEG does not do: tell whether all of the picture is there, and read it at reduced size.
//!
//! Decoders fill what is missing with grey and call it a success. Here the data itself is looked through: every block
//! must be there, and the data must end with the last one. The end-of-image marker decides nothing.

mod bits;
mod colour;
mod frame;
mod reduced;
mod scan;
mod walk;

use super::PhotoNote;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::remedy;
use frame::{Frame, Header, Next};
use image::metadata::Orientation;

/// Share of a picture that may be missing at its end: the last rows, where faces seldom are.
const MAX_MISSING: f64 = 0.02;

/// Pixels that must remain of a photo that is read at reduced size. Limits below are meant to refuse.
const MIN_REDUCED_PIXELS: usize = 2_000_000;

/// A JPEG whose segments before the first scan have been read.
pub(super) struct Jpeg<'a> {
    bytes: &'a [u8],
    header: Header,
    frame: Frame,
    first: Next,
}

/// What the data of a JPEG that can be used says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Completeness {
    /// The file has no end-of-image marker, which the decoder wants.
    pub lacks_end: bool,
    /// What should be known.
    pub note: Option<PhotoNote>,
}

/// A picture as it is stored: not turned.
pub(super) struct Samples {
    pub width: usize,
    pub height: usize,
    /// 1 grey, 3 red, green and blue, 4 the light that cyan, magenta, yellow and black ink leave (255 is no ink).
    pub channels: usize,
    pub samples: Vec<u8>,
}

impl<'a> Jpeg<'a> {
    /// Reads the segments before the first scan. `None` for a coding that is not known here, and for damage.
    pub fn open(bytes: &'a [u8]) -> Option<Self> {
        let mut header = Header::default();
        let first = header.read(bytes, 2);
        if !matches!(first, Next::Scan(..)) {
            return None;
        }
        let frame = header.frame.clone()?;
        Some(Self {
            bytes,
            header,
            frame,
            first,
        })
    }

    pub fn size(&self) -> (u32, u32) {
        // The frame holds them in 16 bits.
        (self.frame.width as u32, self.frame.height as u32)
    }

    pub fn channels(&self) -> usize {
        self.frame.components.len()
    }

    pub fn orientation(&self) -> Orientation {
        let exif = self.header.exif.clone().map(|place| &self.bytes[place]);
        exif.and_then(Orientation::from_exif_chunk)
            .unwrap_or(Orientation::NoTransforms)
    }

    /// The embedded colour profile, put together of its parts. `None` without one, and when a part is missing.
    pub fn profile(&self) -> Option<Vec<u8>> {
        let parts = &self.header.profile;
        let total = usize::from(parts.first()?.1);
        let mut out = Vec::new();
        for number in 1..=total {
            let (.., place) = parts.iter().find(|(other, ..)| usize::from(*other) == number)?;
            out.extend_from_slice(&self.bytes[place.clone()]);
        }
        Some(out)
    }

    /// Turns inks as they are stored, four samples a pixel, into the light that they leave.
    pub fn light(&self, samples: &mut [u8]) {
        colour::convert(samples, 4, self.header.adobe);
    }

    /// Looks through the data.
    ///
    /// # Errors
    /// [`Format`](crate::ErrorKind::Format) when the data ends early or breaks, with how much is missing.
    pub fn completeness(&self) -> Result<Completeness> {
        match walk::walk(self, &mut scan::Nothing) {
            Some((walk, _)) => judge(&walk),
            // The decoder may know better.
            None => Ok(Completeness::default()),
        }
    }

    /// The smallest reduction of 2, 4 and 8 at which the photo keeps the limits; `None` when there is none.
    pub fn reduction(&self, limits: &Limits) -> Option<u32> {
        let turned = match self.orientation() {
            Orientation::NoTransforms => 1,
            _ => 2,
        };
        [2u32, 4, 8].into_iter().find(|&factor| {
            let [width, height] = reduced::reduced_size(&self.frame, factor as usize);
            let pixels = width * height;
            let peak = reduced::peak_bytes(&self.frame, factor as usize).max((3 * pixels * turned) as u64);
            pixels >= MIN_REDUCED_PIXELS && pixels as u64 <= limits.max_pixels && peak <= limits.max_decoded_bytes
        })
    }

    /// Reads the picture at 1/`factor` of its size.
    ///
    /// # Errors
    /// As [`completeness`](Self::completeness); [`Unsupported`](crate::ErrorKind::Unsupported) for a coding that is not
    /// known here.
    pub fn read_reduced(&self, factor: u32) -> Result<(Samples, Completeness)> {
        let factor = factor as usize;
        let blocks: usize = self.frame.components.iter().map(|part| part.wide * part.high).sum();
        // A block takes a bit at least: nothing large is allocated for a header alone.
        if self.bytes.len() * 8 < blocks {
            return Err(Error::format(format!(
                "JPEG is damaged: {} bytes cannot hold {}x{} pixels",
                self.bytes.len(),
                self.frame.width,
                self.frame.height
            ))
            .with_remedy(remedy::DAMAGED_PHOTO));
        }
        let mut low = reduced::LowFrequencies::new(&self.frame, factor);
        let (walk, header) = walk::walk(self, &mut low)
            .ok_or_else(|| Error::unsupported("JPEG: its coding cannot be read at reduced size"))?;
        let complete = judge(&walk)?;
        let mut samples = reduced::samples(&header, &self.frame, &low);
        colour::convert(&mut samples, self.channels(), header.adobe);
        let [width, height] = reduced::reduced_size(&self.frame, factor);
        let picture = Samples {
            width,
            height,
            channels: self.channels(),
            samples,
        };
        Ok((picture, complete))
    }
}

fn judge(walk: &walk::Walk) -> Result<Completeness> {
    let missing = walk.missing as f32;
    let note = if walk.breaks || (walk.missing > MAX_MISSING && !walk.covered) {
        return Err(damaged(walk));
    } else if walk.missing > 0.0 && !walk.covered {
        Some(PhotoNote::Incomplete { missing })
    } else if walk.missing > 0.0 && (walk.short || !walk.ended) {
        Some(PhotoNote::LessDetail { missing })
    } else if walk.left_over > 0 {
        Some(PhotoNote::LeftOver { bytes: walk.left_over })
    } else {
        None
    };
    Ok(Completeness {
        lacks_end: !walk.ended,
        note,
    })
}

fn damaged(walk: &walk::Walk) -> Error {
    let percent = (100.0 * walk.missing).round();
    let what = match (walk.breaks, percent >= 1.0) {
        (false, _) => format!("about {percent} % of the picture is missing"),
        (true, true) => format!("its data breaks, and about {percent} % of the picture is missing or wrong"),
        (true, false) => "its data breaks, and part of the picture is wrong".to_owned(),
    };
    Error::format(format!("JPEG is damaged: {what}")).with_remedy(remedy::DAMAGED_PHOTO)
}
