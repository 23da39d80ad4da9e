//! Photos: encoded files, in memory or by path, or raw pixels; and the detection of faces in them.

use crate::embedding_form::form;
use crate::engine::omniid_engine;
use crate::pointer::{self, flag, reserved, unused};
use crate::status::omniid_status;
use crate::structs::{self, CStruct};
use omniid::face::{DetectOptions, Face, FaceBox, Landmarks};
use omniid::photo::{ChannelOrder, FaceHint, FaceMask, Photo, PhotoSource, PixelBuffer, MAX_SIDE};
use omniid::recogniser::FaceEmbedding;
use omniid::{Error, Result};
use omniid_capi_export::export;
use std::borrow::Cow;
use std::ffi::{c_char, c_void};

/// 8 bits per channel, 0 to 255.
pub const OMNIID_PIXEL_TYPE_U8: i32 = 0;
/// 32-bit floating point per channel, 0 to 1, sRGB-encoded like 8-bit pixels.
pub const OMNIID_PIXEL_TYPE_F32: i32 = 1;

/// Red, green, blue.
pub const OMNIID_CHANNEL_ORDER_RGB: i32 = 0;
/// Red, green, blue, alpha; transparent pixels are laid on middle grey, unless alpha is the same everywhere.
pub const OMNIID_CHANNEL_ORDER_RGBA: i32 = 1;
/// Blue, green, red.
pub const OMNIID_CHANNEL_ORDER_BGR: i32 = 2;
/// Blue, green, red, alpha; transparent pixels are laid on middle grey, unless alpha is the same everywhere.
pub const OMNIID_CHANNEL_ORDER_BGRA: i32 = 3;

/// The largest face that the detector finds.
pub const OMNIID_FACE_HINT_DETECT: i32 = 0;
/// One of the faces that the detector finds, chosen by its rank in size: face_index. Refused where
/// omniid_encode_options asks for a crop that takes no notice of faces.
pub const OMNIID_FACE_HINT_INDEX: i32 = 1;
/// The face inside face_box. Needs no detector.
pub const OMNIID_FACE_HINT_BOX: i32 = 2;
/// The face with the five face_landmarks. Needs no detector.
pub const OMNIID_FACE_HINT_LANDMARKS: i32 = 3;

/// One photo of a person. At most one of path, data and pixels may be set, and none only with an embedding.
///
/// Face fields that do not belong to `face_hint` are refused. What describes pixels is not looked at without them.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct omniid_photo {
    /// Set by OMNIID_PHOTO_INIT.
    pub struct_size: u32,
    /// Which face is the person's, OMNIID_FACE_HINT_... Default: the largest that the detector finds.
    pub face_hint: i32,
    /// A JPEG, PNG, WebP, BMP or TIFF file.
    pub path: *const c_char,
    /// The bytes of such a file.
    pub data: *const c_void,
    /// Number of bytes of data.
    pub data_size: usize,
    /// Raw pixels: interleaved channels, rows from top to bottom. f32 pixels must be aligned to 4 bytes.
    pub pixels: *const c_void,
    /// Bytes from one row of pixels to the next. Default: rows without gaps.
    pub row_stride: usize,
    /// Width of pixels.
    pub width: u32,
    /// Height of pixels.
    pub height: u32,
    /// Type of a channel, OMNIID_PIXEL_TYPE_...
    pub pixel_type: i32,
    /// Order of the channels, OMNIID_CHANNEL_ORDER_...
    pub channel_order: i32,
    /// With OMNIID_FACE_HINT_BOX: left, top, right, bottom in pixels of the upright photo.
    pub face_box: [f32; 4],
    /// With OMNIID_FACE_HINT_LANDMARKS: x and y of the eye at the image's left, the eye at its right, the nose tip, the
    /// mouth corner at its left and the one at its right, in pixels of the upright photo.
    pub face_landmarks: [f32; 10],
    /// With OMNIID_FACE_HINT_INDEX: rank of the face in size; 0 is the largest.
    pub face_index: u32,
    /// Leave at 0.
    pub reserved: u32,
    /// What to call the photo in messages and reports. Default, and if it is empty: its path, or "photo in memory".
    pub name: *const c_char,
    /// The embedding of the person's face, if the host has it: embedding_size values. Models that read face embeddings
    /// take this one and run no recognition network on the photo; those that read nothing else need no picture. Refused
    /// for models and engines that compare no faces.
    pub embedding: *const f32,
    /// Number of values of the embedding.
    pub embedding_size: usize,
    /// The network that made the embedding: its file's name without ending ("w600k_r50", "glintr100"), the pack that it
    /// comes in ("buffalo_l", "antelopev2"), "sface", "ir_se50", or the text that this library gives. Needed with an
    /// embedding.
    pub embedding_network: *const c_char,
    /// The form of the embedding, OMNIID_EMBEDDING_FORM_... Default: raw, as the network gives it.
    pub embedding_form: i32,
    /// Leave at 0.
    pub reserved_embedding: u32,
    /// Which pixels of the upright photo are the person's face, hair included, if the host has found out:
    /// face_mask_height rows of face_mask_width values from 0 to 1; from 0.5 on it is the face. PuLID takes this instead
    /// of a face parser and sees the other pixels white. Refused for other models, and with a crop other than theirs.
    pub face_mask: *const f32,
    /// Number of rows of face_mask: the height of the upright photo.
    pub face_mask_height: u32,
    /// Number of columns of face_mask: the width of the upright photo.
    pub face_mask_width: u32,
}

// SAFETY: `repr(C)`, size first, no padding, numbers and pointers.
unsafe impl CStruct for omniid_photo {
    const NAME: &'static str = "omniid_photo";
    // ABI 1.0, ABI 1.1.
    const EARLIER_SIZES: &'static [usize] = &[
        std::mem::offset_of!(omniid_photo, name),
        std::mem::offset_of!(omniid_photo, embedding),
    ];
}

/// Options of face detection, with the defaults that OMNIID_DETECT_OPTIONS_INIT sets.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct omniid_detect_options {
    /// Set by OMNIID_DETECT_OPTIONS_INIT.
    pub struct_size: u32,
    /// Minimum confidence of a face, above 0 up to 1. Default: the detector's own.
    pub score_threshold: f32,
    /// Boxes that overlap more than this (intersection over union, above 0 up to 1) are one face. Default: the
    /// detector's own.
    pub overlap_threshold: f32,
    /// Longer side in pixels to which larger photos are scaled down for the first search. Default: 640.
    pub side: u32,
    /// Longer side for the second search, which finds faces that are too small in the first. Default: 1920.
    pub fine_side: u32,
    /// 1: do the second search even if the first has found faces. Default: 0.
    pub exhaustive: i32,
    /// 1: take the photo as upright. Otherwise it is compared with itself turned by 90, 180 and 270 degrees, unless it
    /// is upright beyond doubt. Default: 0.
    pub upright_only: i32,
    /// Leave at 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, size first, 32 bytes without padding, numbers.
unsafe impl CStruct for omniid_detect_options {
    const NAME: &'static str = "omniid_detect_options";
}

/// A face in a photo, in pixels of the upright photo.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct omniid_face {
    /// Set by OMNIID_FACE_INIT.
    pub struct_size: u32,
    /// Confidence, 0 to 1; 1 for a face that the host has given.
    pub score: f32,
    /// Left, top, right, bottom.
    pub bounds: [f32; 4],
    /// x and y of the eye at the image's left, the eye at its right, the nose tip, the mouth corner at its left and
    /// the one at its right.
    pub landmarks: [f32; 10],
}

// SAFETY: `repr(C)`, size first, 64 bytes without padding, numbers.
unsafe impl CStruct for omniid_face {
    const NAME: &'static str = "omniid_face";
}

impl omniid_face {
    pub(crate) fn new(face: &Face) -> Self {
        let bounds = &face.bounds;
        let mut landmarks = [0.0; 10];
        for (target, value) in landmarks.iter_mut().zip(face.landmarks.0.as_flattened()) {
            *target = *value;
        }
        Self {
            struct_size: size_of::<Self>() as u32,
            score: face.score,
            bounds: [bounds.left, bounds.top, bounds.right, bounds.bottom],
            landmarks,
        }
    }
}

/// The embedding that a photo brings.
///
/// # Safety
/// Pointers inside the struct are NULL or valid.
unsafe fn embedding(raw: &omniid_photo) -> Result<Option<FaceEmbedding>> {
    reserved(raw.reserved_embedding, omniid_photo::NAME)?;
    if raw.embedding.is_null() {
        unused(
            raw.embedding_size != 0,
            raw.embedding_size,
            "embedding_size",
            "embedding",
        )?;
        unused(
            !raw.embedding_network.is_null(),
            "set",
            "embedding_network",
            "embedding",
        )?;
        unused(
            raw.embedding_form != 0,
            raw.embedding_form,
            "embedding_form",
            "embedding",
        )?;
        return Ok(None);
    }
    let form = form(raw.embedding_form)?;
    // SAFETY: the caller's promise.
    let (values, network) = unsafe {
        (
            pointer::slice_of_at_most(
                raw.embedding,
                raw.embedding_size,
                FaceEmbedding::MOST_VALUES,
                "embedding",
            )?,
            pointer::text(raw.embedding_network, "embedding_network")?,
        )
    };
    FaceEmbedding::new(network, form, values.to_vec()).map(Some)
}

/// The face mask that a photo brings.
///
/// # Safety
/// Pointers inside the struct are NULL or valid for `'a`.
unsafe fn face_mask<'a>(raw: &omniid_photo) -> Result<Option<FaceMask<'a>>> {
    let (height, width) = (raw.face_mask_height, raw.face_mask_width);
    if raw.face_mask.is_null() {
        unused(height != 0, height, "face_mask_height", "face_mask")?;
        unused(width != 0, width, "face_mask_width", "face_mask")?;
        return Ok(None);
    }
    let count = (height as usize)
        .checked_mul(width as usize)
        .filter(|_| height <= MAX_SIDE && width <= MAX_SIDE)
        .ok_or_else(|| {
            Error::invalid(format!(
                "face_mask: {height} rows of {width} values, no photo has more than {MAX_SIDE}"
            ))
        })?;
    // SAFETY: the caller's promise.
    let values = unsafe { pointer::slice(raw.face_mask, count, "face_mask")? };
    FaceMask::new(width, height, values).map(Some)
}

fn face_hint(raw: &omniid_photo) -> Result<FaceHint> {
    let is_set = |numbers: &[f32]| numbers.iter().any(|number| *number != 0.0);
    for (hint, is_set, name, with) in [
        (
            OMNIID_FACE_HINT_INDEX,
            raw.face_index != 0,
            "face_index",
            "OMNIID_FACE_HINT_INDEX",
        ),
        (
            OMNIID_FACE_HINT_BOX,
            is_set(&raw.face_box),
            "face_box",
            "OMNIID_FACE_HINT_BOX",
        ),
        (
            OMNIID_FACE_HINT_LANDMARKS,
            is_set(&raw.face_landmarks),
            "face_landmarks",
            "OMNIID_FACE_HINT_LANDMARKS",
        ),
    ] {
        unused(is_set && raw.face_hint != hint, "set", name, with)?;
    }
    Ok(match raw.face_hint {
        OMNIID_FACE_HINT_DETECT => FaceHint::Detect,
        OMNIID_FACE_HINT_INDEX => FaceHint::Index(raw.face_index as usize),
        OMNIID_FACE_HINT_BOX => {
            let [left, top, right, bottom] = raw.face_box;
            FaceHint::Box(FaceBox {
                left,
                top,
                right,
                bottom,
            })
        }
        OMNIID_FACE_HINT_LANDMARKS => {
            let points = &raw.face_landmarks;
            FaceHint::Landmarks(Landmarks(std::array::from_fn(|i| [points[2 * i], points[2 * i + 1]])))
        }
        other => {
            return Err(Error::invalid(format!(
                "face_hint: {other}, expected 0 (detect), 1 (index), 2 (box) or 3 (landmarks)"
            )))
        }
    })
}

/// Reads an array of photos. The result borrows the caller's memory.
///
/// # Safety
/// As [`structs::read_array`]; pointers inside the structs are NULL or valid for `'a`.
pub(crate) unsafe fn photos<'a>(photos: *const omniid_photo, count: usize) -> Result<Vec<Photo<'a>>> {
    // SAFETY: the caller's promise.
    let raw = unsafe { structs::read_array(photos, count) }?;
    let each = raw.iter().enumerate().map(|(index, raw)| {
        // SAFETY: the caller's promise.
        unsafe { photo(raw) }.map_err(|error| error.context(format!("photo {index}")))
    });
    each.collect()
}

/// # Safety
/// Pointers inside the struct are NULL or valid for `'a`.
unsafe fn photo<'a>(raw: &omniid_photo) -> Result<Photo<'a>> {
    reserved(raw.reserved, omniid_photo::NAME)?;
    unused(
        raw.data.is_null() && raw.data_size != 0,
        raw.data_size,
        "data_size",
        "data",
    )?;
    // SAFETY: the caller's promise.
    let source = unsafe {
        match (raw.path.is_null(), raw.data.is_null(), raw.pixels.is_null()) {
            (false, true, true) => PhotoSource::Path(pointer::path(raw.path, "path")?),
            (true, false, true) => {
                let bytes = pointer::slice(raw.data.cast::<u8>(), raw.data_size, "data")?;
                PhotoSource::Encoded(Cow::Borrowed(bytes))
            }
            (true, true, false) => PhotoSource::Pixels(pixels(raw)?),
            (true, true, true) if !raw.embedding.is_null() => PhotoSource::Nothing,
            (true, true, true) => {
                return Err(Error::invalid(
                    "path, data, pixels and embedding are all NULL, expected one of them",
                ))
            }
            _ => {
                return Err(Error::invalid(
                    "more than one of path, data and pixels is given, expected one",
                ))
            }
        }
    };
    let mut photo = Photo::new(source).with_face(face_hint(raw)?);
    // SAFETY: the caller's promise.
    if let Some(embedding) = unsafe { embedding(raw) }? {
        photo = photo.with_embedding(embedding);
    }
    // SAFETY: the caller's promise.
    if let Some(mask) = unsafe { face_mask(raw) }? {
        photo = photo.with_face_mask(mask);
    }
    // SAFETY: the caller's promise.
    let name = unsafe { pointer::text(raw.name, "name") }?;
    Ok(if name.is_empty() { photo } else { photo.with_name(name) })
}

/// # Safety
/// `raw.pixels` points to rows as the struct says, valid for `'a`.
unsafe fn pixels<'a>(raw: &omniid_photo) -> Result<PixelBuffer<'a>> {
    let order = match raw.channel_order {
        OMNIID_CHANNEL_ORDER_RGB => ChannelOrder::Rgb,
        OMNIID_CHANNEL_ORDER_RGBA => ChannelOrder::Rgba,
        OMNIID_CHANNEL_ORDER_BGR => ChannelOrder::Bgr,
        OMNIID_CHANNEL_ORDER_BGRA => ChannelOrder::Bgra,
        other => {
            return Err(Error::invalid(format!(
                "channel_order: {other}, expected 0 (RGB), 1 (RGBA), 2 (BGR) or 3 (BGRA)"
            )))
        }
    };
    let element = match raw.pixel_type {
        OMNIID_PIXEL_TYPE_U8 => 1,
        OMNIID_PIXEL_TYPE_F32 => 4,
        other => {
            return Err(Error::invalid(format!(
                "pixel_type: {other}, expected 0 (u8) or 1 (f32)"
            )))
        }
    };
    if raw.width == 0 || raw.height == 0 {
        return Err(Error::invalid(format!(
            "pixels of {} x {}: both must be at least 1",
            raw.width, raw.height
        )));
    }
    // The last row ends with its last pixel: a stride behind it may not be readable.
    let row = (raw.width as usize).checked_mul(order.channels() * element);
    let stride = if raw.row_stride == 0 { row } else { Some(raw.row_stride) };
    let bytes = stride
        .zip(row)
        .and_then(|(stride, row)| (raw.height as usize - 1).checked_mul(stride)?.checked_add(row))
        .ok_or_else(|| {
            Error::invalid(format!(
                "pixels of {} x {} do not fit into memory",
                raw.width, raw.height
            ))
        })?;
    // SAFETY: the caller promised rows of this size; the slice ends with the last pixel. An f32 row stride that is
    // no multiple of 4 is refused by `PixelBuffer`, whose slice then is shorter than the memory.
    unsafe {
        if element == 1 {
            let data = pointer::slice(raw.pixels.cast::<u8>(), bytes, "pixels")?;
            PixelBuffer::new(data, raw.width, raw.height, raw.row_stride, order)
        } else {
            let data = pointer::slice(raw.pixels.cast::<f32>(), bytes / 4, "pixels")?;
            PixelBuffer::new(data, raw.width, raw.height, raw.row_stride, order)
        }
    }
}

/// Finds the faces in a photo, the largest first.
///
/// Writes at most `capacity` of them to `faces`, of which only the first element must be initialised (with
/// OMNIID_FACE_INIT), and their number to `count`, which may be larger. `faces` may be NULL when `capacity` is 0;
/// `options` may be NULL. A photo without faces is no error: `count` is 0. The photo's `face_hint` is ignored.
///
/// # Safety
/// `engine` is a live engine; `photo` and `options` are initialised structs; `faces` has room for `capacity` structs;
/// `count` is writable.
#[export]
pub unsafe extern "C" fn omniid_engine_detect_faces(
    engine: *const omniid_engine,
    photo: *const omniid_photo,
    options: *const omniid_detect_options,
    faces: *mut omniid_face,
    capacity: usize,
    count: *mut usize,
) -> omniid_status {
    // SAFETY: the caller's promise.
    let engine = &unsafe { pointer::handle(engine, "engine") }?.engine;
    let count = pointer::out(count, "count")?;
    if capacity > 0 && faces.is_null() {
        return Err(pointer::null("faces"));
    }
    // SAFETY: the caller's promise.
    let photo = unsafe { self::photo(&structs::read(photo)?) }?;
    // SAFETY: the caller's promise.
    let options = unsafe { detect_options(options) }?;
    let decoded = photo.decode_with_notes(engine.limits())?;
    let found = engine.detect_faces(&decoded.image, &options)?;
    for (index, face) in found.iter().take(capacity).enumerate() {
        let face = omniid_face::new(&decoded.full_face(face));
        // SAFETY: `index` is below `capacity`, and the first struct states the size of each.
        unsafe { structs::write_element(faces, index, &face) }?;
    }
    // SAFETY: `count` was checked.
    unsafe { count.write(found.len()) };
    Ok(())
}

/// # Safety
/// `options` is NULL or an initialised struct.
unsafe fn detect_options(options: *const omniid_detect_options) -> Result<DetectOptions> {
    let mut result = DetectOptions::default();
    if options.is_null() {
        return Ok(result);
    }
    // SAFETY: the caller's promise.
    let raw = unsafe { structs::read(options) }?;
    for (name, given, target) in [
        ("score_threshold", raw.score_threshold, &mut result.score_threshold),
        (
            "overlap_threshold",
            raw.overlap_threshold,
            &mut result.overlap_threshold,
        ),
    ] {
        if !(0.0..=1.0).contains(&given) {
            return Err(Error::invalid(format!("{name}: {given}, expected 0 (default) to 1")));
        }
        if given > 0.0 {
            *target = given;
        }
    }
    for (given, target) in [(raw.side, &mut result.side), (raw.fine_side, &mut result.fine_side)] {
        if given > 0 {
            *target = given;
        }
    }
    result.exhaustive = flag(raw.exhaustive, "exhaustive")?;
    result.turn = !flag(raw.upright_only, "upright_only")?;
    reserved(raw.reserved, omniid_detect_options::NAME)?;
    Ok(result)
}
