//! Pictures in files, in the format that the name says.

use crate::failure::{Failure, Outcome};
use crate::output::{self, Target};
use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, RgbImage};
use omniid::checkpoint::save_bytes_atomically;
use omniid::Error;
use std::io::Cursor;
use std::path::Path;

/// Endings of pictures and their formats.
const FORMATS: [(&str, ImageFormat); 7] = [
    ("png", ImageFormat::Png),
    ("jpg", ImageFormat::Jpeg),
    ("jpeg", ImageFormat::Jpeg),
    ("webp", ImageFormat::WebP),
    ("bmp", ImageFormat::Bmp),
    ("tif", ImageFormat::Tiff),
    ("tiff", ImageFormat::Tiff),
];

/// Quality of JPEG, 1 to 100: no block of 8 pixels shows.
const QUALITY: u8 = 95;

/// A picture to write: where, and in which format.
pub struct PictureTarget {
    target: Target,
    format: ImageFormat,
}

impl PictureTarget {
    /// Checks, before the long work, that a picture can be written there, as [`Target::new`]. The name's ending decides
    /// the format; to standard output and devices it is PNG.
    pub fn new(path: &Path, force: bool, json: bool) -> Outcome<Self> {
        let format = match output::is_device(path) {
            true => ImageFormat::Png,
            false => format_of(path)?,
        };
        Ok(Self {
            target: Target::new(path, force, json)?,
            format,
        })
    }

    /// Where it goes.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Writes the picture, in one step.
    pub fn write(&self, image: &RgbImage) -> Outcome {
        let bytes = encoded(image, self.format).map_err(|error| match error {
            Failure::Library(error) => error.context(self.target.name()).into(),
            other => other,
        })?;
        self.target.write(&bytes)
    }
}

fn format_of(path: &Path) -> Outcome<ImageFormat> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or("");
    let known = FORMATS.iter().find(|(name, _)| name.eq_ignore_ascii_case(ending));
    known.map(|(_, format)| *format).ok_or_else(|| {
        let names = FORMATS.map(|(name, _)| format!(".{name}"));
        Failure::usage(format!(
            "{}: a picture's name says its format, expected {}",
            path.display(),
            names.join(", ")
        ))
    })
}

fn encoded(image: &RgbImage, format: ImageFormat) -> Outcome<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let done = match format {
        ImageFormat::Jpeg => image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY)),
        format => image.write_to(&mut bytes, format),
    };
    // Formats have largest sides.
    done.map_err(|error| Error::unsupported(format!("{}×{} pixels: {error}", image.width(), image.height())))?;
    Ok(bytes.into_inner())
}

/// Writes a picture as PNG, in one step.
pub fn save_png(image: &RgbImage, path: &Path) -> Outcome {
    Ok(save_bytes_atomically(path, &encoded(image, ImageFormat::Png)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_the_format() {
        let folder = tempfile::tempdir().unwrap();
        let image = RgbImage::from_fn(20, 10, |x, y| image::Rgb([x as u8 * 12, y as u8 * 25, 40]));
        for (name, format) in [
            ("a.PNG", ImageFormat::Png),
            ("a.jpg", ImageFormat::Jpeg),
            ("b.jpeg", ImageFormat::Jpeg),
            ("a.webp", ImageFormat::WebP),
            ("a.bmp", ImageFormat::Bmp),
            ("a.tif", ImageFormat::Tiff),
            ("a.Tiff", ImageFormat::Tiff),
        ] {
            let path = folder.path().join(name);
            PictureTarget::new(&path, true, false).unwrap().write(&image).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!(image::guess_format(&bytes).unwrap(), format, "{name}");
            let read = image::load_from_memory(&bytes).unwrap().to_rgb8();
            let most = if format == ImageFormat::Jpeg { 12 } else { 0 };
            let difference = read.iter().zip(image.iter()).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(difference.unwrap() <= most, "{name}: {difference:?}");
        }
        for name in ["a", "a.gif", "a.omniid", "png"] {
            let Err(Failure::Usage(error)) = PictureTarget::new(Path::new(name), true, false) else {
                panic!("{name}")
            };
            assert!(error.message().contains(".webp"), "{error}");
        }
    }
}
