//! Any bytes as a photo: decoded within tight limits, then prepared for the encoder.

use omniid::photo::ImageProcessor;
use omniid::{Limits, Photo};

pub fn run(bytes: &[u8]) {
    let limits = Limits::default()
        .with_max_pixels(1 << 18)
        .with_max_decoded_bytes(8 << 20);
    if let Ok(image) = Photo::from_bytes(bytes).decode(&limits) {
        assert!(image.width() > 0 && image.height() > 0);
        assert!(u64::from(image.width()) * u64::from(image.height()) <= limits.max_pixels);
        assert_eq!(ImageProcessor::clip(32).process(&image).len(), 3 * 32 * 32);
    }
}
