//! Encoding: one person's photos become an identity, and more photos are added to it.

use crate::dlpack::{omniid_managed_tensor, omniid_tensor};
use crate::engine::omniid_engine;
use crate::identity::omniid_identity;
use crate::photo::{omniid_face, omniid_photo, photos};
use crate::pointer::{self, flag, reserved, unused};
use crate::progress::{omniid_progress_fn, with_progress};
use crate::status::{c_text, code, omniid_status, OMNIID_STATUS_OK};
use crate::structs::{self, CStruct};
use crate::tensor;
use omniid::engine::{BadPhoto, Combine, EncodeOptions, Encoded, PhotoReport, Strangers};
use omniid::face::crop::TEMPLATE_CENTER;
use omniid::face::{CropMode, FaceBox};
use omniid::photo::Photo;
use omniid::{Error, ProgressFn, Result};
use omniid_capi_export::export;
use std::ffi::{c_char, c_void, CString};

/// The model's own crop.
pub const OMNIID_CROP_DEFAULT: i32 = 0;
/// The whole photo: the image encoder's own preprocessing scales its shorter side and crops the centre.
pub const OMNIID_CROP_NONE: i32 = 1;
/// The largest square at the centre of the photo.
pub const OMNIID_CROP_CENTER: i32 = 2;
/// A square around the face, with a margin.
pub const OMNIID_CROP_FACE: i32 = 3;
/// The face rotated, scaled and shifted so that its landmarks lie on the ArcFace template.
pub const OMNIID_CROP_ALIGNED: i32 = 4;

/// DLPack's number of the default stream; features are in host memory, where it means nothing.
const DEFAULT_STREAM: i64 = 1;

/// Leave out a photo that cannot be used, and note it in the report.
pub const OMNIID_BAD_PHOTO_SKIP: i32 = 0;
/// Fail the call.
pub const OMNIID_BAD_PHOTO_FAIL: i32 = 1;

/// Use photos that look like somebody else than the others, and note it in the report. In photos with several faces the
/// one is taken that looks like the other photos.
pub const OMNIID_STRANGERS_NOTE: i32 = 0;
/// Leave out photos that look like somebody else than the others, and say so in the report.
pub const OMNIID_STRANGERS_LEAVE_OUT: i32 = 1;
/// Do not compare the photos. Of several faces the largest is taken.
pub const OMNIID_STRANGERS_IGNORE: i32 = 2;

/// The tokens of each photo, one after the other.
pub const OMNIID_COMBINE_CONCATENATE: i32 = 0;
/// The mean of the photos' features and face embeddings.
pub const OMNIID_COMBINE_AVERAGE: i32 = 1;
/// The mean, each value divided by its norm over the photos.
pub const OMNIID_COMBINE_NORM_AVERAGE: i32 = 2;
/// The sum.
pub const OMNIID_COMBINE_ADD: i32 = 3;
/// The first photo less the mean of the others.
pub const OMNIID_COMBINE_SUBTRACT: i32 = 4;
/// The largest of each value.
pub const OMNIID_COMBINE_MAX: i32 = 5;
/// The smallest of each value.
pub const OMNIID_COMBINE_MIN: i32 = 6;

/// What became of each photo of a call. Immutable; may be used from any number of threads at once.
pub struct omniid_report {
    photos: Vec<ReportedPhoto>,
}

struct ReportedPhoto {
    name: CString,
    status: omniid_status,
    reason: CString,
    bounds: Option<FaceBox>,
    face: Option<omniid_face>,
    rotation: u32,
    similarity: Option<f32>,
}

/// Options of encoding, with the defaults that OMNIID_ENCODE_OPTIONS_INIT sets.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct omniid_encode_options {
    /// Set by OMNIID_ENCODE_OPTIONS_INIT.
    pub struct_size: u32,
    /// How photos are cropped, OMNIID_CROP_... Default: the model's own crop.
    pub crop: i32,
    /// With OMNIID_CROP_FACE: margin on each side as a fraction of the face's longer side, 0 to 4; 0 is no margin, a
    /// negative number the library's default, 0.5. With another crop, a margin above 0 is refused.
    /// OMNIID_ENCODE_OPTIONS_INIT sets -1.0f.
    pub crop_margin: f32,
    /// With OMNIID_CROP_ALIGNED: scale of the template; 0.5 shows twice as much around the face. With another crop,
    /// only the default is accepted. Default: 1, the template as published.
    pub crop_scale: f32,
    /// Number of photos that pass through the image encoder together. Default: 4.
    pub batch_size: u32,
    /// What to do with a photo that cannot be used, OMNIID_BAD_PHOTO_... Default: leave it out.
    pub bad_photo: i32,
    /// 1: do not keep the photos' features. The identity is smaller, but an Omni-ID identity cannot be extended then.
    /// Default: 0.
    pub drop_features: i32,
    /// What to do with photos that look like somebody else than the others, OMNIID_STRANGERS_... Default: note it.
    pub strangers: i32,
    /// Human-readable label, stored with the identity. NULL and an empty text are the default: none; when extending,
    /// the identity's own (omniid_identity_with_notes takes a label away).
    pub label: *const c_char,
    /// Note on what the person has consented to, stored with the identity. Default: as for label.
    pub consent: *const c_char,
    /// Receives a report on each photo, to be freed with omniid_report_free. A failed call sets it to NULL; its message
    /// says what was wrong with the photos. Default: no report.
    pub report: *mut *mut omniid_report,
    /// Is told about progress and can cancel the call. Default: none.
    pub progress: omniid_progress_fn,
    /// Passed to progress; not looked at without one.
    pub progress_user_data: *mut c_void,
    /// How several photos are combined before the identity encoder, OMNIID_COMBINE_... When extending, the default is
    /// what the identity was made with, and something else is refused. Default: the tokens of each photo one after the other.
    pub combine: i32,
    /// 1: shortcut_scale counts. Default: 0, the model's own scale of 1.
    pub has_shortcut_scale: i32,
    /// Weight of the image features of FaceID-PlusV2 beside the face embedding (s_scale, weight_faceidv2). Another value
    /// than 1 is refused for models without a shortcut.
    pub shortcut_scale: f32,
    /// Leave at 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, size first, no padding, numbers, pointers and an optional function.
unsafe impl CStruct for omniid_encode_options {
    const NAME: &'static str = "omniid_encode_options";
    // ABI 1.1.
    const EARLIER_SIZES: &'static [usize] = &[std::mem::offset_of!(omniid_encode_options, combine)];
}

/// What became of one photo. Its strings live as long as the report.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct omniid_photo_report {
    /// Set by OMNIID_PHOTO_REPORT_INIT.
    pub struct_size: u32,
    /// OMNIID_STATUS_OK if the photo went into the identity; otherwise why it was left out.
    pub status: omniid_status,
    /// The photo's path, or a description of a photo in memory.
    pub name: *const c_char,
    /// Why the photo was left out, or remarks on one that was used, joined by semicolons, such as that it was cropped
    /// in another way than asked for. May be empty.
    pub reason: *const c_char,
    /// 1 if the photo was cropped around face_bounds.
    pub has_bounds: i32,
    /// 1 if face_score and face_landmarks are set: the detector has found the face, or its landmarks were given.
    pub has_landmarks: i32,
    /// Left, top, right, bottom in pixels of the upright photo.
    pub face_bounds: [f32; 4],
    /// Landmarks of the face, as in omniid_face.
    pub face_landmarks: [f32; 10],
    /// Confidence of the face.
    pub face_score: f32,
    /// 0.
    pub reserved: u32,
    /// Degrees clockwise by which the photo had to be turned for the face to be upright: 0, 90, 180 or 270.
    pub rotation: i32,
    /// How alike the photo is to the others that were given, or of the identity that is extended, -1 to 1. NaN: there was
    /// nothing to compare it with.
    pub similarity: f32,
}

// SAFETY: `repr(C)`, size first, no padding, numbers and pointers.
unsafe impl CStruct for omniid_photo_report {
    const NAME: &'static str = "omniid_photo_report";
    // ABI 1.0.
    const EARLIER_SIZES: &'static [usize] = &[std::mem::offset_of!(omniid_photo_report, rotation)];
}

impl ReportedPhoto {
    fn new(photo: &PhotoReport) -> Self {
        Self {
            name: c_text(&photo.name),
            status: photo
                .error
                .as_ref()
                .map_or(OMNIID_STATUS_OK, |error| code(error.kind())),
            reason: c_text(&photo.reason()),
            bounds: photo.bounds,
            face: photo.face.as_ref().map(omniid_face::new),
            rotation: photo.rotation,
            similarity: photo.similarity,
        }
    }
}

fn crop(raw: &omniid_encode_options) -> Result<Option<CropMode>> {
    // NaN is not below 0, so that it is passed on and refused with the other margins that make no sense.
    let default_margin = raw.crop_margin < 0.0;
    // 0 is what a struct of zeros holds.
    let margin = raw.crop_margin > 0.0 || raw.crop_margin.is_nan();
    unused(
        margin && raw.crop != OMNIID_CROP_FACE,
        raw.crop_margin,
        "crop_margin",
        "OMNIID_CROP_FACE",
    )?;
    let scale = raw.crop_scale != 0.0 && raw.crop_scale != 1.0;
    unused(
        scale && raw.crop != OMNIID_CROP_ALIGNED,
        raw.crop_scale,
        "crop_scale",
        "OMNIID_CROP_ALIGNED",
    )?;
    Ok(match raw.crop {
        OMNIID_CROP_DEFAULT => None,
        OMNIID_CROP_NONE => Some(CropMode::None),
        OMNIID_CROP_CENTER => Some(CropMode::Center),
        OMNIID_CROP_FACE if default_margin => Some(CropMode::face()),
        OMNIID_CROP_FACE => Some(CropMode::Face {
            margin: raw.crop_margin,
        }),
        OMNIID_CROP_ALIGNED if raw.crop_scale == 0.0 => Some(CropMode::aligned()),
        OMNIID_CROP_ALIGNED => Some(CropMode::Aligned {
            scale: raw.crop_scale,
            center: TEMPLATE_CENTER,
        }),
        other => {
            return Err(Error::invalid(format!(
                "crop: {other}, expected 0 (the model's), 1 (none), 2 (center), 3 (face) or 4 (aligned)"
            )))
        }
    })
}

/// The caller's options, and what of them the encoder does not see.
struct Options {
    encode: EncodeOptions,
    report: *mut *mut omniid_report,
    progress: omniid_progress_fn,
    progress_user_data: *mut c_void,
}

impl Options {
    /// Writes a report to where the caller wants it.
    ///
    /// # Safety
    /// The options came from [`read_options`], whose promise still holds.
    unsafe fn hand_out_report(&self, photos: &[PhotoReport]) {
        if !self.report.is_null() {
            let photos = photos.iter().map(ReportedPhoto::new).collect();
            // SAFETY: the place was checked.
            unsafe { self.report.write(Box::into_raw(Box::new(omniid_report { photos }))) };
        }
    }
}

/// # Safety
/// `options` is NULL or as `omniid_encode` says.
unsafe fn read_options(options: *const omniid_encode_options) -> Result<Options> {
    let mut encode = EncodeOptions::default();
    if options.is_null() {
        let (report, progress_user_data) = (std::ptr::null_mut(), std::ptr::null_mut());
        return Ok(Options {
            encode,
            report,
            progress: None,
            progress_user_data,
        });
    }
    // SAFETY: the caller's promise, here and below.
    let raw = unsafe { structs::read(options) }?;
    let report = raw.report;
    if !report.is_null() {
        // SAFETY: as above.
        unsafe { pointer::out_handle(report, "report") }?;
    }
    encode.crop = crop(&raw)?;
    encode.strangers = match raw.strangers {
        OMNIID_STRANGERS_NOTE => Strangers::Note,
        OMNIID_STRANGERS_LEAVE_OUT => Strangers::LeaveOut,
        OMNIID_STRANGERS_IGNORE => Strangers::Ignore,
        other => {
            return Err(Error::invalid(format!(
                "strangers: {other}, expected 0 (noted), 1 (left out) or 2 (ignored)"
            )))
        }
    };
    if raw.batch_size > 0 {
        encode.batch_size = raw.batch_size as usize;
    }
    encode.bad_photo = match raw.bad_photo {
        OMNIID_BAD_PHOTO_SKIP => BadPhoto::Skip,
        OMNIID_BAD_PHOTO_FAIL => BadPhoto::Fail,
        other => {
            return Err(Error::invalid(format!(
                "bad_photo: {other}, expected 0 (skip) or 1 (fail)"
            )))
        }
    };
    let combine = usize::try_from(raw.combine)
        .ok()
        .and_then(|place| Combine::ALL.get(place));
    encode.combine = *combine.ok_or_else(|| {
        Error::invalid(format!(
            "combine: {}, expected 0 (concatenate) to {} (min)",
            raw.combine,
            Combine::ALL.len() - 1
        ))
    })?;
    reserved(raw.reserved, omniid_encode_options::NAME)?;
    if flag(raw.has_shortcut_scale, "has_shortcut_scale")? {
        encode.shortcut_scale = raw.shortcut_scale;
    } else {
        unused(
            raw.shortcut_scale != 0.0,
            raw.shortcut_scale,
            "shortcut_scale",
            "has_shortcut_scale",
        )?;
    }
    encode.keep_features = !flag(raw.drop_features, "drop_features")?;
    // SAFETY: as above.
    unsafe {
        encode.label = pointer::text(raw.label, "label")?.to_string();
        encode.consent = pointer::text(raw.consent, "consent")?.to_string();
    }
    Ok(Options {
        encode,
        report,
        progress: raw.progress,
        progress_user_data: raw.progress_user_data,
    })
}

/// What encoding and extending share.
///
/// # Safety
/// As [`omniid_encode`].
unsafe fn run(
    photos_in: *const omniid_photo,
    photo_count: usize,
    options: *const omniid_encode_options,
    out: *mut *mut omniid_identity,
    encode: impl FnOnce(&[Photo<'_>], &EncodeOptions, ProgressFn<'_>) -> Result<Encoded>,
) -> Result<()> {
    // SAFETY: the caller's promise, here and below.
    let (out, options) = unsafe { (pointer::out_handle(out, "out")?, read_options(options)?) };
    // SAFETY: as above.
    let photos = unsafe { photos(photos_in, photo_count) }?;
    // SAFETY: as above.
    let encoded = unsafe {
        with_progress(options.progress, options.progress_user_data, |progress| {
            encode(&photos, &options.encode, progress)
        })
    }?;
    // SAFETY: both places were checked.
    unsafe {
        options.hand_out_report(&encoded.photos);
        out.write(omniid_identity::into_raw(encoded.identity));
    }
    Ok(())
}

/// Makes an identity from one or more photos of the same person. `options` may be NULL.
///
/// A photo that cannot be used is left out and reported, unless the options say otherwise. Fails with
/// `OMNIID_STATUS_NO_FACE` when no photo shows a face, and with the first photo's own error when none can be used for
/// other reasons. A photo that brings its embedding is such a reason too: `OMNIID_STATUS_MISMATCH` for one of another
/// network or another length than the model's, and for a normalised one where the model needs the raw one.
///
/// # Safety
/// `engine` is a live engine; `photos` points to `photo_count` structs initialised with OMNIID_PHOTO_INIT; `options` is
/// NULL or initialised with OMNIID_ENCODE_OPTIONS_INIT; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_encode(
    engine: *const omniid_engine,
    photos: *const omniid_photo,
    photo_count: usize,
    options: *const omniid_encode_options,
    out: *mut *mut omniid_identity,
) -> omniid_status {
    // SAFETY: the caller's promise, here and below.
    unsafe {
        run(photos, photo_count, options, out, |photos, options, progress| {
            pointer::handle(engine, "engine")?
                .engine
                .encode_with_progress(photos, options, progress)
        })
    }
}

/// Makes a new identity from an identity and more photos: equal to encoding all photos at once, at the cost of the new
/// ones. `options` may be NULL.
///
/// Fails with `OMNIID_STATUS_MISMATCH` when another model made the identity, and with `OMNIID_STATUS_UNSUPPORTED` when
/// an Omni-ID identity does not hold its photos' features.
///
/// # Safety
/// As `omniid_encode`; `identity` is a live identity.
#[export]
pub unsafe extern "C" fn omniid_identity_extend(
    engine: *const omniid_engine,
    identity: *const omniid_identity,
    photos: *const omniid_photo,
    photo_count: usize,
    options: *const omniid_encode_options,
    out: *mut *mut omniid_identity,
) -> omniid_status {
    // SAFETY: the caller's promise, here and below.
    unsafe {
        run(photos, photo_count, options, out, |photos, options, progress| {
            let identity = &pointer::handle(identity, "identity")?.identity;
            pointer::handle(engine, "engine")?
                .engine
                .extend_with_progress(identity, photos, options, progress)
        })
    }
}

/// Runs the image encoder on photos, without the identity encoder, and hands out their features, f32 `[photos, feature
/// tokens, feature width]`, read-only, of the photos that could be used. `options` may be NULL.
///
/// Features are the hidden states before the last layer, the class token first; for models that take an image embedding,
/// that as one token. `omniid_identity_from_features` makes an identity of them: the two together are `omniid_encode`,
/// whose failures this call has. Free the tensor with `omniid_managed_tensor_free` or its deleter; it stays valid after
/// the engine is freed. Fails with `OMNIID_STATUS_UNSUPPORTED` for models that read no image encoder.
///
/// # Safety
/// As `omniid_encode`.
#[export]
pub unsafe extern "C" fn omniid_photo_features(
    engine: *const omniid_engine,
    photos: *const omniid_photo,
    photo_count: usize,
    options: *const omniid_encode_options,
    out: *mut *mut omniid_managed_tensor,
) -> omniid_status {
    // SAFETY: the caller's promise, here and below.
    let (out, options) = unsafe { (pointer::out_handle(out, "out")?, read_options(options)?) };
    // SAFETY: as above.
    let photos = unsafe { self::photos(photos, photo_count) }?;
    // SAFETY: as above.
    let found = unsafe {
        let engine = &pointer::handle(engine, "engine")?.engine;
        with_progress(options.progress, options.progress_user_data, |progress| {
            engine.photo_features_with_progress(&photos, &options.encode, progress)
        })
    }?;
    let features = tensor::managed_tensor(&found.features, DEFAULT_STREAM)?;
    // SAFETY: both places were checked.
    unsafe {
        options.hand_out_report(&found.photos);
        out.write(features);
    }
    Ok(())
}

/// Makes an identity of the features of one or more photos of the same person: `[photos, feature tokens, feature width]`
/// on the CPU, as `omniid_photo_features` gives them; f32, f16 or bf16; any strides. Copied.
///
/// The host may have run the same image encoder itself, or combined features: their mean is one photo that lies between
/// them. Of `options`, which may be NULL, `label`, `consent` and `drop_features` count; the others are refused, and the
/// report is empty.
///
/// Fails with `OMNIID_STATUS_MISMATCH` for another shape than the model's, with `OMNIID_STATUS_INVALID_ARGUMENT` for
/// zero photos and values that are not finite, and with `OMNIID_STATUS_UNSUPPORTED` for models that read face embeddings.
///
/// # Safety
/// `engine` is a live engine; `features` describes readable memory; `options` is NULL or initialised with
/// OMNIID_ENCODE_OPTIONS_INIT; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_identity_from_features(
    engine: *const omniid_engine,
    features: *const omniid_tensor,
    options: *const omniid_encode_options,
    out: *mut *mut omniid_identity,
) -> omniid_status {
    // SAFETY: the caller's promise, here and below.
    let (out, options) = unsafe { (pointer::out_handle(out, "out")?, read_options(options)?) };
    // SAFETY: as above.
    let (engine, features) = unsafe {
        (
            &pointer::handle(engine, "engine")?.engine,
            tensor::copied(features, "features")?,
        )
    };
    let encode = &options.encode;
    let photo_options = (encode.bad_photo, encode.strangers) != Default::default();
    if encode.crop.is_some() || photo_options {
        return Err(Error::invalid(
            "omniid_encode_options: crop, bad_photo or strangers is set, but features are no photos any more",
        ));
    }
    let identity = engine.identity_from_features(&features, &options.encode)?;
    // SAFETY: both places were checked.
    unsafe {
        options.hand_out_report(&[]);
        out.write(omniid_identity::into_raw(identity));
    }
    Ok(())
}

/// Number of entries in a report: one for each photo of the call, in the same order.
///
/// # Safety
/// `report` is a live report; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_report_photo_count(report: *const omniid_report, out: *mut usize) -> omniid_status {
    // SAFETY: the caller's promise.
    let report = unsafe { pointer::handle(report, "report") }?;
    let out = pointer::out(out, "out")?;
    // SAFETY: `out` was checked.
    unsafe { out.write(report.photos.len()) };
    Ok(())
}

/// Describes what became of photo `index`.
///
/// # Safety
/// `report` is a live report; `out` is initialised with OMNIID_PHOTO_REPORT_INIT.
#[export]
pub unsafe extern "C" fn omniid_report_photo(
    report: *const omniid_report,
    index: usize,
    out: *mut omniid_photo_report,
) -> omniid_status {
    // SAFETY: the caller's promise.
    let report = unsafe { pointer::handle(report, "report") }?;
    let photo = report.photos.get(index).ok_or_else(|| {
        Error::invalid(format!(
            "report: there is no photo {index}, there are {}",
            report.photos.len()
        ))
    })?;
    let face = photo.face;
    let described = omniid_photo_report {
        struct_size: size_of::<omniid_photo_report>() as u32,
        status: photo.status,
        name: photo.name.as_ptr(),
        reason: photo.reason.as_ptr(),
        has_bounds: i32::from(photo.bounds.is_some()),
        has_landmarks: i32::from(face.is_some()),
        face_bounds: photo.bounds.map_or([0.0; 4], |bounds| {
            [bounds.left, bounds.top, bounds.right, bounds.bottom]
        }),
        face_landmarks: face.map_or([0.0; 10], |face| face.landmarks),
        face_score: face.map_or(0.0, |face| face.score),
        reserved: 0,
        rotation: photo.rotation as i32,
        similarity: photo.similarity.unwrap_or(f32::NAN),
    };
    // SAFETY: the caller's promise.
    unsafe { structs::write(out, &described) }
}

/// Frees a report; NULL is ignored.
///
/// # Safety
/// `report` is NULL or came from this library, and no call uses it any more.
#[export]
pub unsafe extern "C" fn omniid_report_free(report: *mut omniid_report) {
    // SAFETY: the caller's promise.
    unsafe { pointer::free(report) }
}
