//! Engines, photos and what stands by itself.

use super::check;
use super::handle::World;
use super::memory::{choice, or_null, real, text, HostTensor, Struct};
use crate::draft::{number, pick};
use crate::model;
use arbitrary::Unstructured;
use omniid_capi::*;
use std::ffi::{c_char, c_void, CStr};
use std::ptr::{null, null_mut};

/// Goes on, or cancels: `user_data` says how.
extern "C" fn progress(user_data: *mut c_void, _stage: i32, done: u64, total: u64) -> i32 {
    assert!(done <= total || total == 0);
    i32::from(user_data.is_null())
}

extern "C" fn hear(_user_data: *mut c_void, level: i32, target: *const c_char, message: *const c_char) {
    assert!((OMNIID_LOG_LEVEL_ERROR..=OMNIID_LOG_LEVEL_TRACE).contains(&level));
    // SAFETY: the library hands NUL-terminated texts to the callback.
    assert!(unsafe { !CStr::from_ptr(target).is_empty() && CStr::from_ptr(message).to_str().is_ok() });
}

/// A callback or none, and what it is told.
pub fn callback(input: &mut Unstructured<'_>) -> (omniid_progress_fn, *mut c_void) {
    static GO_ON: u8 = 0;
    match number(input, 0..=7) {
        6 => (Some(progress), (&raw const GO_ON).cast_mut().cast()),
        7 => (Some(progress), null_mut()),
        _ => (None, null_mut()),
    }
}

pub fn open(input: &mut Unstructured<'_>, world: &mut World) {
    let mut options = Struct::<omniid_engine_options>::new(input);
    options.abi_version = match number(input, 0..=15) {
        15 => input.arbitrary().unwrap_or(0),
        _ => OMNIID_ABI_VERSION,
    };
    let bytes = *pick(
        input,
        &[model::checkpoint(), model::residual_checkpoint(), b"PK\x03\x04", &[]],
    );
    let length = if number(input, 0..=3) == 3 {
        number(input, 0..=bytes.len())
    } else {
        bytes.len()
    };
    (options.checkpoint_data, options.checkpoint_size) = (bytes.as_ptr().cast(), length);
    if number(input, 0..=15) == 15 {
        options.checkpoint_path = c"no/such/file".as_ptr();
    }
    if number(input, 0..=7) == 7 {
        options.host = text(input);
        options.variant = text(input);
        options.image_encoder_config = text(input);
    }
    if number(input, 0..=7) == 7 {
        (options.detector_data, options.detector_size) = (bytes.as_ptr().cast(), number(input, 0..=bytes.len()));
    }
    if number(input, 0..=7) == 7 {
        (options.face_recogniser_data, options.face_recogniser_size) = (bytes.as_ptr().cast(), bytes.len());
    }
    options.device_type = if number(input, 0..=15) == 15 {
        choice(input, 3)
    } else {
        0
    };
    options.precision = choice(input, 3);
    options.defer_image_encoder = choice(input, 2);
    if number(input, 0..=7) == 7 {
        options.max_header_bytes = number(input, 0..=4096) as u64;
    }
    (options.progress, options.progress_user_data) = callback(input);
    let mut out = null_mut();
    let place = or_null(input, &mut out);
    // SAFETY: every pointer in the struct is NULL or to static memory of the stated size.
    let made = check(unsafe { omniid_engine_open(options.place(input), place) });
    world.engines.keep(made, out, omniid_engine_free);
}

pub fn describe(input: &mut Unstructured<'_>, world: &World) {
    let engine = world.engines.any(input);
    let mut info = Struct::<omniid_engine_info>::new(input);
    let mut layer = Struct::<omniid_host_layer>::new(input);
    let index = *pick(input, &[0, 1, 2, usize::MAX]);
    // SAFETY: the handle is live or NULL; the structs have room for any size that the library takes.
    unsafe {
        check(omniid_engine_describe(engine, info.place(input)));
        check(omniid_engine_host_layer(engine, index, layer.place(input)));
    }
}

/// Pixels of a small photo.
fn photo(input: &mut Unstructured<'_>, pixels: &[u32]) -> Struct<omniid_photo> {
    let mut photo = Struct::<omniid_photo>::new(input);
    photo.pixels = pixels.as_ptr().cast();
    (photo.width, photo.height) = (number(input, 0..=16) as u32, number(input, 1..=16) as u32);
    photo.pixel_type = choice(input, 2);
    photo.channel_order = choice(input, 4);
    // 16 rows of at most 16 pixels with 16 bytes each.
    photo.row_stride = *pick(input, &[0, 0, 48, 64, 255, 256, 3]);
    photo.name = text(input);
    photo.face_hint = choice(input, 4);
    photo.face_box = [0.0, 0.0, real(input) * 4.0, real(input) * 8.0];
    for value in &mut photo.face_landmarks {
        *value = real(input) * 4.0;
    }
    photo
}

const PIXELS: usize = 16 * 16 * 4 + 64;

fn options(input: &mut Unstructured<'_>) -> Struct<omniid_encode_options> {
    let mut options = Struct::<omniid_encode_options>::new(input);
    options.crop = choice(input, 5);
    (options.crop_margin, options.crop_scale) = (real(input), real(input));
    options.batch_size = number(input, 0..=3) as u32;
    options.bad_photo = choice(input, 2);
    options.drop_features = choice(input, 2);
    options.strangers = choice(input, 3);
    options.combine = choice(input, 7);
    (options.label, options.consent) = (text(input), text(input));
    (options.progress, options.progress_user_data) = callback(input);
    options
}

pub fn encode(input: &mut Unstructured<'_>, world: &mut World) {
    let engine = world.engines.any(input);
    let pixels: Vec<u32> = (0..PIXELS as u32)
        .map(|i| i.wrapping_mul(2_654_435_761) & 0x3f7f_7f7f)
        .collect();
    let mut photo = photo(input, &pixels);
    let mut options = options(input);
    let mut report = null_mut();
    options.report = &mut report;
    let (mut out, mut tensor) = (null_mut(), null_mut());
    let count = usize::from(number(input, 0..=7) != 7);
    let kind = number(input, 0..=3);
    // SAFETY: handles are live or NULL; the photo's pixels lie in `pixels`, whatever its sizes.
    unsafe {
        let (photo, options) = (photo.place(input), options.place(input));
        if kind == 0 {
            let made = check(omniid_photo_features(engine, photo, count, options, &mut tensor));
            world.tensors.keep(made, tensor, omniid_managed_tensor_free);
        } else {
            let identity = world.identities.any(input);
            let made = check(match kind {
                1 => omniid_identity_extend(engine, identity, photo, count, options, &mut out),
                _ => omniid_encode(engine, photo, count, options, &mut out),
            });
            world.identities.keep(made, out, omniid_identity_free);
        }
        world.reports.keep(!report.is_null(), report, omniid_report_free);
        let (report, mut count) = (world.reports.any(input), 0);
        if check(omniid_report_photo_count(report, &mut count)) {
            let mut entry = Struct::<omniid_photo_report>::new(input);
            let fits = check(omniid_report_photo(report, number(input, 0..=2), entry.place(input)));
            assert!(!fits || count > 0);
        }
    }
}

pub fn features(input: &mut Unstructured<'_>, world: &mut World) {
    let engine = world.engines.any(input);
    let mut shape = vec![number(input, 1..=2), 17, 32];
    if number(input, 0..=7) == 7 {
        shape[number(input, 0..=2)] = number(input, 0..=4);
    }
    let tensor = HostTensor::new(input, &shape);
    let mut options = options(input);
    options.report = null_mut();
    let mut out = null_mut();
    // SAFETY: the tensor's elements lie in its memory, or it is impossible; the handle is live or NULL.
    let made = check(unsafe { omniid_identity_from_features(engine, &tensor.tensor, options.place(input), &mut out) });
    world.identities.keep(made, out, omniid_identity_free);
}

/// Faces, embeddings and likeness.
pub fn faces(input: &mut Unstructured<'_>, world: &World) {
    let (engine, identity) = (world.engines.any(input), world.identities.any(input));
    let pixels: Vec<u32> = (0..PIXELS as u32)
        .map(|i| i.wrapping_mul(2_654_435_761) & 0x3f7f_7f7f)
        .collect();
    let mut photo = photo(input, &pixels);
    let numbers = [0.6f32, 0.8, f32::NAN, 0.0];
    if number(input, 0..=1) == 1 {
        (photo.embedding, photo.embedding_size) = (numbers.as_ptr(), number(input, 0..=4));
        photo.embedding_network = text(input);
        photo.embedding_form = choice(input, 2);
    }
    let mut likeness = Struct::<omniid_likeness>::new(input);
    let mut embedding = Struct::<omniid_embedding>::new(input);
    let mut face = Struct::<omniid_face>::new(input);
    let (mut tensor, mut count) = (null_mut(), 0);
    // SAFETY: as in `encode`; one face fits into its struct.
    unsafe {
        check(omniid_likeness_of(
            engine,
            identity,
            photo.place(input),
            likeness.place(input),
        ));
        check(omniid_identity_embedding(
            identity,
            number(input, 0..=2),
            embedding.place(input),
        ));
        if check(omniid_face_embedding(engine, photo.place(input), &mut tensor)) {
            omniid_managed_tensor_free(tensor);
        }
        tensor = null_mut();
        if check(omniid_histogram_vector(engine, photo.place(input), &mut tensor)) {
            omniid_managed_tensor_free(tensor);
        }
        if number(input, 0..=3) == 3 {
            let mut options = Struct::<omniid_detect_options>::new(input);
            (options.score_threshold, options.overlap_threshold) = (real(input), real(input));
            (options.side, options.fine_side) = (number(input, 0..=64) as u32, number(input, 0..=64) as u32);
            (options.exhaustive, options.upright_only) = (choice(input, 2), choice(input, 2));
            let capacity = number(input, 0..=1);
            check(omniid_engine_detect_faces(
                engine,
                photo.place(input),
                options.place(input),
                if capacity == 0 { null_mut() } else { face.place(input) },
                capacity,
                or_null(input, &mut count),
            ));
        }
    }
}

pub fn draw(input: &mut Unstructured<'_>) {
    let mut landmarks = [0f32; 10];
    for value in &mut landmarks {
        *value = real(input) * 8.0;
    }
    let (width, height) = (number(input, 0..=24), number(input, 0..=24));
    let stride = *pick(input, &[0, 0, 3 * width, 3 * width + 5, 1, usize::MAX, usize::MAX / 2]);
    let mut pixels = vec![0u8; 3 * width * height + 5 * height];
    let landmarks = if number(input, 0..=31) == 31 {
        null()
    } else {
        landmarks.as_ptr()
    };
    // SAFETY: there is room for all rows at every stride that is not impossible.
    check(unsafe { omniid_draw_keypoints(landmarks, width as u32, height as u32, stride, pixels.as_mut_ptr()) });
}

pub fn log(input: &mut Unstructured<'_>) {
    let callback: omniid_log_fn = if number(input, 0..=1) == 1 { Some(hear) } else { None };
    // SAFETY: the callback is static and takes no data.
    check(unsafe { omniid_log_set(callback, null_mut(), choice(input, 6)) });
}
