//! What kind of file this is, judged by its content: formats that are read, and those that have to be converted first.

mod boxes;
mod text;
mod tiff;

pub(super) use text::refusal as text_refusal;
pub(super) use tiff::{
    extra_sample, layout as tiff_layout, photo_in, profile as tiff_profile, ExtraSample, PhotoInTiff,
};

use crate::error::{Error, Result};
use crate::remedy;
use crate::tensor_file::check_file_name;
use omniid_kernels::Remedy;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes from the beginning that tell every format but TIFF's relatives.
const HEAD: usize = 4096;

/// A kind of file that holds a picture or is taken for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PictureFormat {
    /// JPEG. Read.
    Jpeg,
    /// PNG. Read.
    Png,
    /// WebP. Read.
    WebP,
    /// Windows bitmap. Read.
    Bmp,
    /// TIFF with a picture that can be used as it is. Read.
    Tiff,
    /// HEIC or HEIF: what iPhones and many other phones write.
    Heic,
    /// AVIF.
    Avif,
    /// JPEG XL.
    JpegXl,
    /// JPEG 2000.
    Jpeg2000,
    /// JPEG XR.
    JpegXr,
    /// GIF.
    Gif,
    /// Photoshop document.
    Photoshop,
    /// A camera's raw file, with the usual name of its format: `DNG`, `NEF`, `CR2`, `CR3`, `ARW`, `RAF`, `ORF`, `RW2`,
    /// `PEF` and others; `TIFF` where the maker is not known.
    CameraRaw(&'static str),
    /// A video, such as the moving part of a live photo.
    Video,
    /// PDF.
    Pdf,
    /// SVG.
    Svg,
    /// A web page, as servers send it instead of the picture that was asked for.
    Html,
    /// Another format, by its usual name.
    Other(&'static str),
}

impl PictureFormat {
    /// The usual name, such as `JPEG`, `HEIC (iPhone)` or `camera raw (DNG)`. [`Display`](fmt::Display) gives it, too.
    pub fn name(self) -> String {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
            Self::Heic => "HEIC (iPhone)",
            Self::Avif => "AVIF (image/avif)",
            Self::JpegXl => "JPEG XL",
            Self::Jpeg2000 => "JPEG 2000",
            Self::JpegXr => "JPEG XR",
            Self::Gif => "GIF (image/gif)",
            Self::Photoshop => "Photoshop document (PSD)",
            Self::CameraRaw(name) => return format!("camera raw ({name})"),
            Self::Video => "video",
            Self::Pdf => "PDF",
            Self::Svg => "SVG",
            Self::Html => "web page (HTML)",
            Self::Other(name) => name,
        }
        .to_owned()
    }

    /// Whether photos of this format are read.
    pub fn is_read(self) -> bool {
        matches!(self, Self::Jpeg | Self::Png | Self::WebP | Self::Bmp | Self::Tiff)
    }

    /// What to do with a file whose format is not read; `None` for one that is.
    pub fn remedy(self) -> Option<Remedy> {
        Some(match self {
            Self::Jpeg | Self::Png | Self::WebP | Self::Bmp | Self::Tiff => return None,
            Self::Heic => remedy::HEIC,
            Self::CameraRaw(_) => remedy::CAMERA_RAW,
            Self::Video => remedy::VIDEO,
            Self::Html => remedy::FAILED_DOWNLOAD,
            _ => remedy::OTHER_FORMAT,
        })
    }

    /// The error that says that a file of this format is not read, and what to do.
    pub(super) fn refusal(self) -> Error {
        let error = Error::unsupported(format!("{self} is not read (JPEG, PNG, WebP, BMP and TIFF are)"));
        match self.remedy() {
            Some(remedy) => error.with_remedy(remedy),
            None => error,
        }
    }
}

impl fmt::Display for PictureFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// The format of a picture file from its bytes, whatever the file is called. `None` for what is no picture.
///
/// Recognises much more than is read, so that a message can name the format: [`PictureFormat::is_read`] tells them
/// apart. `bytes` is the whole file: in TIFF and its relatives what decides may lie anywhere.
///
/// ```
/// use omniid::photo::{recognise, PictureFormat};
///
/// let heic = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic";
/// let format = recognise(heic).unwrap();
/// assert_eq!(format, PictureFormat::Heic);
/// assert!(!format.is_read() && format.remedy().unwrap().text().contains("JPEG"));
/// assert_eq!(recognise(b"dear diary"), None);
/// ```
pub fn recognise(bytes: &[u8]) -> Option<PictureFormat> {
    // Reading memory does not fail.
    recognise_reader(&mut Cursor::new(bytes)).ok().flatten()
}

/// [`recognise`] for a file, of which little more than the beginning is read.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) with the file's name, also for a folder.
pub fn recognise_file(path: impl AsRef<Path>) -> Result<Option<PictureFormat>> {
    let path = path.as_ref();
    check_file_name(path)?;
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    recognise_reader(&mut BufReader::new(file)).map_err(|error| Error::io(path, error))
}

fn recognise_reader<R: Read + Seek>(reader: &mut R) -> std::io::Result<Option<PictureFormat>> {
    let mut head = Vec::with_capacity(HEAD);
    reader.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    reader.seek(SeekFrom::Start(0))?;
    let format = by_signature(&head).or_else(|| text::recognise(&head));
    if format == Some(PictureFormat::Tiff) {
        return Ok(Some(tiff::recognise(reader)));
    }
    Ok(format)
}

/// Signatures that stand at a fixed place, with the name of formats that need no variant of their own.
const SIGNATURES: &[(usize, &[u8], PictureFormat)] = {
    use PictureFormat::*;
    &[
        (0, b"\xFF\xD8\xFF", Jpeg),
        (0, b"\x89PNG\r\n\x1A\n", Png),
        (0, b"GIF87a", Gif),
        (0, b"GIF89a", Gif),
        (0, b"8BPS", Photoshop),
        (0, b"\x00\x00\x00\x0CJXL \r\n\x87\n", JpegXl),
        (0, b"\xFF\x0A", JpegXl),
        (0, b"\x00\x00\x00\x0CjP  \r\n\x87\n", Jpeg2000),
        (0, b"\xFF\x4F\xFF\x51", Jpeg2000),
        (0, b"II\xBC", JpegXr),
        // Relatives of TIFF with a magic number of their own.
        (0, b"IIU\x00", CameraRaw("RW2")),
        (0, b"IIRO", CameraRaw("ORF")),
        (0, b"IIRS", CameraRaw("ORF")),
        (0, b"MMOR", CameraRaw("ORF")),
        (0, b"FUJIFILMCCD-RAW", CameraRaw("RAF")),
        (6, b"HEAPCCDR", CameraRaw("CRW")),
        (0, b"\x00MRM", CameraRaw("MRW")),
        (0, b"FOVb", CameraRaw("X3F")),
        (0, b"II\x2A\x00", Tiff),
        (0, b"MM\x00\x2A", Tiff),
        (0, b"II\x2B\x00", Tiff),
        (0, b"MM\x00\x2B", Tiff),
        (0, b"\x1A\x45\xDF\xA3", Video),
        (0, b"\x00\x00\x01\xBA", Video),
        (0, b"FLV\x01", Video),
        (0, b"%!PS", Other("PostScript")),
        (0, b"\x00\x00\x01\x00", Other("icon (ICO)")),
        (0, b"icns", Other("icon (ICNS)")),
        (0, b"\x76\x2F\x31\x01", Other("OpenEXR")),
        (0, b"#?RADIANCE", Other("Radiance HDR")),
        (0, b"gimp xcf", Other("GIMP document (XCF)")),
        (0, b"qoif", Other("QOI")),
        (0, b"DDS ", Other("DDS")),
        (0, b"BPG\xFB", Other("BPG")),
        (0, b"AT&TFORM", Other("DjVu")),
        (0, b"farbfeld", Other("farbfeld")),
        (
            0,
            b"\x00\x05\x16\x07",
            Other("macOS companion file (AppleDouble, no picture)"),
        ),
    ]
};

fn by_signature(head: &[u8]) -> Option<PictureFormat> {
    let at = |place: usize, signature: &[u8]| head.get(place..).is_some_and(|rest| rest.starts_with(signature));
    if let Some((_, _, format)) = SIGNATURES.iter().find(|(place, bytes, _)| at(*place, bytes)) {
        return Some(*format);
    }
    if at(0, b"RIFF") && at(8, b"WEBP") {
        return Some(PictureFormat::WebP);
    }
    if at(0, b"RIFF") && at(8, b"AVI ") {
        return Some(PictureFormat::Video);
    }
    // Two letters alone could begin a text: the size of the header that follows has few values.
    if at(0, b"BM") {
        let size = head
            .get(14..18)
            .map(|size| u32::from_le_bytes([size[0], size[1], size[2], size[3]]));
        return matches!(size, None | Some(12 | 16 | 40 | 52 | 56 | 64 | 108 | 124)).then_some(PictureFormat::Bmp);
    }
    // Portable anymap: P1 to P7 and white space.
    if let [b'P', b'1'..=b'7', b' ' | b'\t' | b'\r' | b'\n', ..] = head {
        return Some(PictureFormat::Other("portable anymap (PNM)"));
    }
    boxes::recognise(head)
}

#[cfg(test)]
mod tests;
