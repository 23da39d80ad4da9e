//! Pieces of HTML: text that is safe in it, and pictures inside it.

use crate::failure::Outcome;
use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use image::codecs::jpeg::JpegEncoder;
use image::RgbImage;
use omniid::Error;

/// Quality of the page's pictures, 1 to 100: no block of 8 pixels shows where they are enlarged.
const QUALITY: u8 = 92;

/// Text as HTML, in elements and in quoted attributes. File names may hold anything.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Not allowed in HTML, whatever stands for it.
            letter if letter.is_control() && !matches!(letter, '\n' | '\t') => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// A number of photos in words.
pub fn photos(count: usize) -> String {
    match count {
        1 => "1 photo".to_string(),
        count => format!("{count} photos"),
    }
}

/// Bytes as base64.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A picture as an element that needs no other file. `alternative` is what is read out instead of it.
pub fn picture(image: &RgbImage, alternative: &str, class: &str) -> Outcome<String> {
    Ok(format!(
        "<img class=\"{class}\" alt=\"{}\" width=\"{}\" height=\"{}\" src=\"{}\">",
        escape(alternative),
        image.width(),
        image.height(),
        address(image)?
    ))
}

/// A picture as an address that holds it.
pub fn address(image: &RgbImage) -> Outcome<String> {
    let mut bytes = Vec::new();
    image
        .write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY))
        .map_err(|error| Error::unsupported(format!("{}×{} pixels: {error}", image.width(), image.height())))?;
    Ok(format!("data:image/jpeg;base64,{}", base64(&bytes)))
}

/// A section of the page with a heading, which the contents name.
pub struct Section {
    /// Its name in addresses.
    pub id: &'static str,
    pub title: &'static str,
    pub body: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        let name = "<img src=x onerror='a(\"b\")'> & \u{1b}[1m";
        let escaped = escape(name);
        assert_eq!(
            escaped,
            "&lt;img src=x onerror=&#39;a(&quot;b&quot;)&#39;&gt; &amp; \u{fffd}[1m"
        );
    }

    #[test]
    fn pictures_are_inside() {
        let image = RgbImage::from_pixel(16, 8, image::Rgb([200, 30, 40]));
        let address = address(&image).unwrap();
        let bytes = STANDARD
            .decode(address.strip_prefix("data:image/jpeg;base64,").unwrap())
            .unwrap();
        let read = image::load_from_memory(&bytes).unwrap().to_rgb8();
        assert_eq!(read.dimensions(), (16, 8));
        assert!(read.iter().zip(image.iter()).all(|(a, b)| a.abs_diff(*b) < 8));
        assert!(picture(&image, "a \"b\"", "crop")
            .unwrap()
            .starts_with("<img class=\"crop\" alt=\"a &quot;b&quot;\" width=\"16\" height=\"8\""));
    }
}
