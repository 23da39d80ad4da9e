//! The part of the JPEG reader that is this library's own: segments, completeness, reduced sizes.

use omniid::photo::parsers;
use omniid::Limits;

pub fn run(bytes: &[u8]) {
    parsers::jpeg(bytes, &Limits::default().with_max_pixels(1 << 18));
}
