//! How much a file from outside may cost.

use crate::setters::setters;

/// Upper bounds on what a photo or a file may make the library allocate.
///
/// The defaults admit every camera and every published checkpoint, and refuse decompression bombs.
/// A value of `u64::MAX` switches a limit off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Most pixels (width × height) of one photo. Default 100 million. A JPEG with more is read at 1/2, 1/4 or 1/8 of
    /// its size, as long as two million pixels remain.
    pub max_pixels: u64,
    /// Most bytes that decoding one photo may allocate, and most bytes that the compressed entries of one PyTorch
    /// checkpoint may unpack to, all together. (Entries stored without compression, as `torch.save` writes them,
    /// are used where they lie and do not count.) Default 1 GiB.
    pub max_decoded_bytes: u64,
    /// Most bytes of one encoded photo, in a file or in memory. Default 256 MiB.
    pub max_photo_bytes: u64,
    /// Most bytes of the header of a safetensors file, of the pickle program of a `.bin` file, or of a `config.json`.
    /// Default 100 MB, the limit of the safetensors library.
    pub max_header_bytes: u64,
    /// Most photos in one call, and most photos of one identity. Default 4096.
    pub max_photos: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_pixels: 100_000_000,
            max_decoded_bytes: 1 << 30,
            max_photo_bytes: 256 << 20,
            max_header_bytes: 100_000_000,
            max_photos: 4096,
        }
    }
}

setters!(Limits {
    with_max_pixels: max_pixels = plain u64,
    with_max_decoded_bytes: max_decoded_bytes = plain u64,
    with_max_photo_bytes: max_photo_bytes = plain u64,
    with_max_header_bytes: max_header_bytes = plain u64,
    with_max_photos: max_photos = plain u64,
});
