//! What is read of a photo before it is decoded: what kind of file it is, EXIF, the directories of a TIFF.

use omniid::photo::{parsers, recognise};

pub fn run(bytes: &[u8]) {
    if let Some(format) = recognise(bytes) {
        assert!(!format.name().is_empty());
        assert_eq!(format.is_read(), format.remedy().is_none());
    }
    assert!(parsers::exif(bytes).is_none_or(|orientation| (1..=8).contains(&orientation)));
    parsers::tiff(bytes);
}
