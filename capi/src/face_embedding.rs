//! Faces by a recognition network: embeddings, how like a picture is to a person, and what InstantID's ControlNet reads.

use crate::dlpack::omniid_managed_tensor;
use crate::embedding_form::{form_number, OMNIID_EMBEDDING_FORM_RAW};
use crate::engine::omniid_engine;
use crate::identity::omniid_identity;
use crate::photo::{omniid_photo, photos};
use crate::pointer;
use crate::status::omniid_status;
use crate::structs::{self, CStruct};
use crate::tensor;
use omniid::candle_core::Tensor;
use omniid::engine::Engine;
use omniid::face::keypoints;
use omniid::face::Landmarks;
use omniid::lora::LoraFormat;
use omniid::photo::Photo;
use omniid::{Error, Result};
use omniid_capi_export::export;
use std::ffi::c_char;
use std::sync::Arc;

/// The names of kohya's trainer and of ComfyUI: `lora_unet_NAME.lora_down.weight`.
pub const OMNIID_LORA_FORMAT_KOHYA: i32 = 0;
/// The names of diffusers and PEFT: `unet.NAME.lora_A.weight`.
pub const OMNIID_LORA_FORMAT_DIFFUSERS: i32 = 1;

/// DLPack's number of the default stream; host memory has none.
const DEFAULT_STREAM: i64 = 1;

/// A face embedding of an identity. Its memory lives as long as the identity.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct omniid_embedding {
    /// Set by OMNIID_EMBEDDING_INIT.
    pub struct_size: u32,
    /// OMNIID_EMBEDDING_FORM_...
    pub form: i32,
    /// `[size]` values; NULL if nothing is known of the photo's face.
    pub values: *const f32,
    /// Number of values.
    pub size: usize,
    /// The network that made them, as omniid_photo.embedding_network takes it; NULL without values.
    pub network: *const c_char,
}

// SAFETY: `repr(C)`, size first, no padding, integers and pointers.
unsafe impl CStruct for omniid_embedding {
    const NAME: &'static str = "omniid_embedding";
}

/// How like a face is to the photos of an identity: cosines of face embeddings, -1 to 1. Those of different networks are
/// not comparable.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct omniid_likeness {
    /// Set by OMNIID_LIKENESS_INIT.
    pub struct_size: u32,
    /// Photos of the identity that were compared.
    pub photos: u32,
    /// The mean over them.
    pub mean: f32,
    /// To the photo that the face is most like.
    pub best: f32,
}

// SAFETY: `repr(C)`, size first, no padding, numbers.
unsafe impl CStruct for omniid_likeness {
    const NAME: &'static str = "omniid_likeness";
}

/// Describes the face embedding of photo `photo` of an identity, counted from 0 over the photos that went into it.
/// Nothing is copied: the values live as long as the identity. `values` is NULL when nothing is known of that photo's
/// face, or features were not kept.
///
/// Fails with `OMNIID_STATUS_INVALID_ARGUMENT` when there is no such photo.
///
/// # Safety
/// `identity` is a live identity; `out` is initialised with OMNIID_EMBEDDING_INIT.
#[export]
pub unsafe extern "C" fn omniid_identity_embedding(
    identity: *const omniid_identity,
    photo: usize,
    out: *mut omniid_embedding,
) -> omniid_status {
    // SAFETY: the caller's promise.
    let handle = unsafe { pointer::handle(identity, "identity") }?;
    let count = handle.identity.provenance().photos;
    if photo >= count {
        return Err(Error::invalid(format!(
            "identity: there is no photo {photo}, there are {count}"
        )));
    }
    let embedding = handle.identity.embeddings().get(photo).and_then(Option::as_ref);
    let described = omniid_embedding {
        struct_size: size_of::<omniid_embedding>() as u32,
        form: embedding.map_or(OMNIID_EMBEDDING_FORM_RAW, |embedding| form_number(embedding.form())),
        values: embedding.map_or(std::ptr::null(), |embedding| embedding.values().as_ptr()),
        size: embedding.map_or(0, |embedding| embedding.dimension()),
        network: match embedding {
            Some(_) => handle.networks[photo].as_ptr(),
            None => std::ptr::null(),
        },
    };
    // SAFETY: the caller's promise.
    unsafe { structs::write(out, &described) }
}

/// The one photo of a call.
///
/// # Safety
/// As [`photos`].
unsafe fn one<'a>(photo: *const omniid_photo) -> Result<Photo<'a>> {
    // SAFETY: the caller's promise.
    let mut all = unsafe { photos(photo, 1) }?;
    all.pop().ok_or_else(|| pointer::null("photo"))
}

/// Says how like the face in a picture is to a person: a measure for what a host has generated. Any model will do; the
/// engine needs a face recogniser, and the identity must have been made with it, or of embeddings of its network.
///
/// Without a face hint the face counts that is most like the identity, of the eight largest. A photo that brings its
/// embedding is not looked at. Fails with `OMNIID_STATUS_UNSUPPORTED` for an engine without a face recogniser and an
/// identity without face embeddings, with `OMNIID_STATUS_MISMATCH` when another network made those, and with
/// `OMNIID_STATUS_NO_FACE` for a picture without a face.
///
/// # Safety
/// `engine` and `identity` are live; `photo` is initialised with OMNIID_PHOTO_INIT and `out` with OMNIID_LIKENESS_INIT.
#[export]
pub unsafe extern "C" fn omniid_likeness_of(
    engine: *const omniid_engine,
    identity: *const omniid_identity,
    photo: *const omniid_photo,
    out: *mut omniid_likeness,
) -> omniid_status {
    pointer::out(out, "out")?;
    // SAFETY: the caller's promise.
    let (engine, identity, photo) = unsafe {
        (
            pointer::handle(engine, "engine")?,
            pointer::handle(identity, "identity")?,
            one(photo)?,
        )
    };
    let likeness = engine.engine.likeness(&identity.identity, photo)?;
    let described = omniid_likeness {
        struct_size: size_of::<omniid_likeness>() as u32,
        photos: likeness.photos as u32,
        mean: likeness.mean,
        best: likeness.best,
    };
    // SAFETY: the caller's promise.
    unsafe { structs::write(out, &described) }
}

/// Hands out the raw embedding of the face in a photo, f32 `[dimension]` on the CPU, read-only: of the largest, unless
/// the photo says which. Free it with `omniid_managed_tensor_free` or its deleter; it stays valid after the engine is freed.
///
/// Fails with `OMNIID_STATUS_UNSUPPORTED` for an engine without a face recogniser and with `OMNIID_STATUS_NO_FACE` for a
/// picture without a face.
///
/// # Safety
/// `engine` is a live engine; `photo` is initialised with OMNIID_PHOTO_INIT; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_face_embedding(
    engine: *const omniid_engine,
    photo: *const omniid_photo,
    out: *mut *mut omniid_managed_tensor,
) -> omniid_status {
    let find = |engine: &Engine, photo: Photo<'_>| Ok(engine.face_embedding(photo)?.values().to_vec());
    // SAFETY: the caller's promise.
    unsafe { hand_out(engine, photo, out, find) }
}

/// Hands out a vector of the face in a photo for the plain question whether two photos show one person: f32 `[length]`
/// on the CPU, read-only, of length 1, made of histograms of oriented gradients in the directions of the engine's
/// checkpoint. The dot product of two such vectors says how alike two faces are, -1 to 1, about 0 for strangers. Of several
/// faces the largest counts, unless the photo says which. Vectors of one checkpoint belong together. Free it with
/// `omniid_managed_tensor_free` or its deleter; it stays valid after the engine is freed.
///
/// Fails with `OMNIID_STATUS_UNSUPPORTED` for a checkpoint without such directions and with `OMNIID_STATUS_NO_FACE` for a
/// picture without a face.
///
/// # Safety
/// `engine` is a live engine; `photo` is initialised with OMNIID_PHOTO_INIT; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_histogram_vector(
    engine: *const omniid_engine,
    photo: *const omniid_photo,
    out: *mut *mut omniid_managed_tensor,
) -> omniid_status {
    // SAFETY: the caller's promise.
    unsafe { hand_out(engine, photo, out, |engine, photo| engine.histogram_vector(photo)) }
}

/// Hands out what an engine finds of the face in a photo, as a tensor of one dimension.
///
/// # Safety
/// That of [`omniid_face_embedding`].
unsafe fn hand_out(
    engine: *const omniid_engine,
    photo: *const omniid_photo,
    out: *mut *mut omniid_managed_tensor,
    find: impl FnOnce(&Engine, Photo<'_>) -> Result<Vec<f32>>,
) -> Result<()> {
    // SAFETY: the caller's promise.
    let (out, engine, photo) = unsafe {
        (
            pointer::out_handle(out, "out")?,
            pointer::handle(engine, "engine")?,
            one(photo)?,
        )
    };
    let values = Arc::new(find(&engine.engine, photo)?);
    let length = values.len();
    let values = tensor::managed_values(values, Vec::as_slice, &[length])?;
    // SAFETY: `out` was checked.
    unsafe { out.write(values) };
    Ok(())
}

/// Hands out the tokens of an identity for a host that reads them itself, as InstantID's ControlNet does in place of a
/// text: f32 `[2, tokens, token_width]`, read-only; first the unconditional side, then the identity. Free it with
/// `omniid_managed_tensor_free` or its deleter; it stays valid after engine and identity are freed.
///
/// The unconditional side is the model's own, as for OMNIID_UNCONDITIONAL_DEFAULT, repeated up to the length of the
/// identity's, which attention does not notice.
///
/// Fails with `OMNIID_STATUS_MISMATCH` when another model made the identity, and with `OMNIID_STATUS_UNSUPPORTED` for
/// models whose unconditional side is not of the identity's shape.
///
/// # Safety
/// `engine` and `identity` are live; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_identity_context_tokens(
    engine: *const omniid_engine,
    identity: *const omniid_identity,
    out: *mut *mut omniid_managed_tensor,
) -> omniid_status {
    // SAFETY: the caller's promise.
    let (out, engine, identity) = unsafe {
        (
            pointer::out_handle(out, "out")?,
            pointer::handle(engine, "engine")?,
            pointer::handle(identity, "identity")?,
        )
    };
    let (unconditional, own) = engine.engine.context_tokens(&identity.identity)?;
    if unconditional.dims() != own.dims() {
        return Err(Error::unsupported(format!(
            "context tokens: the unconditional side has shape {:?}, the identity {:?}",
            unconditional.dims(),
            own.dims()
        )));
    }
    let both = Tensor::stack(&[unconditional, own], 0).map_err(Error::from)?;
    let tokens = tensor::managed_tensor(&both, DEFAULT_STREAM)?;
    // SAFETY: `out` was checked.
    unsafe { out.write(tokens) };
    Ok(())
}

/// Draws the control picture of InstantID, five keypoints of a face on black, into `pixels`: red, green, blue, `width` ×
/// `height`, rows from top to bottom, `row_stride` bytes apart; 0 for rows without gaps. Equal to what InstantID draws
/// with OpenCV.
///
/// `landmarks` are the ten numbers of omniid_face, in pixels of the picture that is drawn: scale those of a photo to the
/// size that is generated.
///
/// Fails with `OMNIID_STATUS_INVALID_ARGUMENT` for a side of 0 or a picture of more than 2^28 pixels, a `row_stride` that
/// is less than a row or larger than memory, and landmarks that are not finite or far outside; the pixels are then untouched.
///
/// # Safety
/// `landmarks` points to 10 numbers; `pixels` has room for `height` rows.
#[export]
pub unsafe extern "C" fn omniid_draw_keypoints(
    landmarks: *const f32,
    width: u32,
    height: u32,
    row_stride: usize,
    pixels: *mut u8,
) -> omniid_status {
    let pixels = pointer::out(pixels, "pixels")?;
    // SAFETY: the caller's promise.
    let numbers = unsafe { pointer::slice(landmarks, 10, "landmarks") }?;
    let mut points = [[0.0; 2]; 5];
    for (point, numbers) in points.as_flattened_mut().iter_mut().zip(numbers) {
        *point = *numbers;
    }
    let row = 3 * width as usize;
    let stride = if row_stride == 0 { row } else { row_stride };
    if stride < row {
        return Err(Error::invalid(format!(
            "row_stride: {stride} bytes, a row of {width} pixels has {row}"
        )));
    }
    let picture = keypoints::draw(width, height, &Landmarks(points))?;
    // Beyond it, the address of a row would wrap around.
    let span = stride.checked_mul(height.saturating_sub(1) as usize);
    if span
        .and_then(|span| span.checked_add(row))
        .is_none_or(|span| span > isize::MAX as usize)
    {
        return Err(Error::invalid(format!(
            "row_stride: {height} rows, {stride} bytes apart, are more than memory can hold"
        )));
    }
    for (y, line) in picture.as_raw().chunks_exact(row).enumerate() {
        // SAFETY: the caller promised `height` rows, and the library's own memory does not overlap them.
        unsafe { std::ptr::copy_nonoverlapping(line.as_ptr(), pixels.add(y * stride), row) };
    }
    Ok(())
}

/// Writes the LoRA that the engine's checkpoint holds as a safetensors file for the host, in OMNIID_LORA_FORMAT_... An
/// existing file is replaced when the new one is complete.
///
/// IP-Adapter FaceID, Plus and PlusV2 were trained with a LoRA: without it, applied at strength 1, they are not the
/// trained models. Fails with `OMNIID_STATUS_UNSUPPORTED` when the checkpoint holds none, and with `OMNIID_STATUS_IO` when it
/// cannot be written.
///
/// # Safety
/// `engine` is a live engine; `path` is NUL-terminated.
#[export]
pub unsafe extern "C" fn omniid_engine_save_lora(
    engine: *const omniid_engine,
    path: *const c_char,
    format: i32,
) -> omniid_status {
    // SAFETY: the caller's promise.
    let (handle, path) = unsafe { (pointer::handle(engine, "engine")?, pointer::path(path, "path")?) };
    let format = match format {
        OMNIID_LORA_FORMAT_KOHYA => LoraFormat::Kohya,
        OMNIID_LORA_FORMAT_DIFFUSERS => LoraFormat::Diffusers,
        other => {
            return Err(Error::invalid(format!(
                "format: {other}, expected 0 (kohya) or 1 (diffusers)"
            )))
        }
    };
    let lora = handle
        .engine
        .lora()
        .ok_or_else(|| Error::unsupported("saving the LoRA: the checkpoint holds none"))?;
    lora.save(path, format, None)
}
