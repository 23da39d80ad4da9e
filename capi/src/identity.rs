//! Identities: what the encoder makes of one person's photos. They outlive the engine that made them, and are saved in
//! files without executable content.

use crate::dlpack::{omniid_managed_tensor, omniid_tensor};
use crate::engine::{encoder_number, omniid_engine, OMNIID_PRECISION_F16, OMNIID_PRECISION_F32};
use crate::pointer;
use crate::status::{c_text, omniid_status};
use crate::structs::{self, CStruct};
use crate::tensor;
use omniid::identity::Identity;
use omniid::Limits;
use omniid::Precision;
use omniid::{Error, Result};
use omniid_capi_export::export;
use std::ffi::{c_char, c_void, CString};
use std::sync::Arc;

/// The identity tokens of one person. Immutable; may be used from any number of threads at once.
pub struct omniid_identity {
    pub(crate) identity: Arc<Identity>,
    model: CString,
    label: CString,
    created: CString,
    consent: CString,
    /// The network of each photo's face embedding; empty where there is none.
    pub(crate) networks: Vec<CString>,
}

impl omniid_identity {
    /// A new handle for the caller.
    pub(crate) fn into_raw(identity: Identity) -> *mut Self {
        let provenance = identity.provenance();
        Box::into_raw(Box::new(Self {
            model: c_text(&provenance.model),
            label: c_text(&provenance.label),
            created: c_text(&provenance.created),
            consent: c_text(&provenance.consent),
            networks: networks(&identity),
            identity: Arc::new(identity),
        }))
    }
}

/// The networks of an identity's face embeddings.
fn networks(identity: &Identity) -> Vec<CString> {
    let each = identity.embeddings().iter();
    each.map(|embedding| c_text(embedding.as_ref().map_or("", |embedding| embedding.network())))
        .collect()
}

/// Description of an identity. Its strings live as long as the identity.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct omniid_identity_info {
    /// Set by OMNIID_IDENTITY_INFO_INIT.
    pub struct_size: u32,
    /// Kind of the encoder that made it, OMNIID_ENCODER_...
    pub encoder: i32,
    /// Number of tokens.
    pub tokens: u64,
    /// Width of a token.
    pub token_width: u64,
    /// Number of photos that it was made from.
    pub photos: u64,
    /// Number of photos whose features are kept, so that an Omni-ID identity can be extended: all or none.
    pub features: u64,
    /// Fingerprint of the model that made it.
    pub model: *const c_char,
    /// Human-readable label; may be empty.
    pub label: *const c_char,
    /// Time of creation: UTC, RFC 3339.
    pub created: *const c_char,
    /// Note on what the person has consented to; may be empty.
    pub consent: *const c_char,
    /// Number of photos whose face embeddings are kept, for omniid_likeness_of and for extending; see
    /// omniid_identity_embedding.
    pub embeddings: u64,
    /// How the photos were combined, OMNIID_COMBINE_...
    pub combine: i32,
    /// The shortcut scale of FaceID-PlusV2 that it was made with; 1 for other models.
    pub shortcut_scale: f32,
}

// SAFETY: `repr(C)`, size first, no padding, integers and pointers.
unsafe impl CStruct for omniid_identity_info {
    const NAME: &'static str = "omniid_identity_info";
    // ABI 1.1.
    const EARLIER_SIZES: &'static [usize] = &[std::mem::offset_of!(omniid_identity_info, embeddings)];
}

/// Number type of the numbers in a file.
fn file_precision(number: i32) -> Result<Precision> {
    match number {
        OMNIID_PRECISION_F32 => Ok(Precision::F32),
        OMNIID_PRECISION_F16 => Ok(Precision::F16),
        other => Err(Error::invalid(format!(
            "precision: {other}, expected 0 (f32) or 1 (f16)"
        ))),
    }
}

/// Hands an identity to the caller.
///
/// # Safety
/// `out` is writable or NULL.
unsafe fn hand_out(out: *mut *mut omniid_identity, make: impl FnOnce() -> Result<Identity>) -> Result<()> {
    // SAFETY: the caller's promise.
    let out = unsafe { pointer::out_handle(out, "out") }?;
    let identity = make()?;
    // SAFETY: `out` was checked.
    unsafe { out.write(omniid_identity::into_raw(identity)) };
    Ok(())
}

/// Reads an identity from an `.omniid` file.
///
/// # Safety
/// `path` is NUL-terminated; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_identity_load(path: *const c_char, out: *mut *mut omniid_identity) -> omniid_status {
    // SAFETY: the caller's promise, here and in the closure.
    unsafe {
        hand_out(out, || {
            Identity::load(pointer::path(path, "path")?.as_ref(), &Limits::default())
        })
    }
}

/// Reads an identity from the bytes of an `.omniid` file.
///
/// # Safety
/// `data` points to `size` readable bytes; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_identity_from_bytes(
    data: *const c_void,
    size: usize,
    out: *mut *mut omniid_identity,
) -> omniid_status {
    if data.is_null() {
        return Err(pointer::null("data"));
    }
    // SAFETY: the caller's promise, here and in the closure.
    unsafe {
        hand_out(out, || {
            let bytes = pointer::slice(data.cast::<u8>(), size, "data")?;
            Identity::load(bytes.to_vec(), &Limits::default())
        })
    }
}

/// Writes an identity to a file, as `OMNIID_PRECISION_F32` or, at half the size, `OMNIID_PRECISION_F16`. An existing
/// file is replaced when the new one is complete.
///
/// # Safety
/// `identity` is a live identity; `path` is NUL-terminated.
#[export]
pub unsafe extern "C" fn omniid_identity_save(
    identity: *const omniid_identity,
    path: *const c_char,
    precision: i32,
) -> omniid_status {
    // SAFETY: the caller's promise.
    let (handle, path) = unsafe { (pointer::handle(identity, "identity")?, pointer::path(path, "path")?) };
    handle.identity.save_as(path, file_precision(precision)?)
}

/// Writes an identity to memory: the bytes that `omniid_identity_save` writes to the file.
///
/// `size` receives the number of bytes, also when `buffer` is NULL and nothing is written. When `capacity` is smaller,
/// the call fails with `OMNIID_STATUS_INVALID_ARGUMENT`, and `size` still says how many are needed.
///
/// # Safety
/// `identity` is a live identity; `buffer` is NULL or has room for `capacity` bytes; `size` is writable.
#[export]
pub unsafe extern "C" fn omniid_identity_to_bytes(
    identity: *const omniid_identity,
    precision: i32,
    buffer: *mut c_void,
    capacity: usize,
    size: *mut usize,
) -> omniid_status {
    // SAFETY: the caller's promise.
    let handle = unsafe { pointer::handle(identity, "identity") }?;
    let size = pointer::out(size, "size")?;
    let bytes = handle.identity.to_bytes(file_precision(precision)?)?;
    // SAFETY: `size` was checked.
    unsafe { size.write(bytes.len()) };
    if buffer.is_null() {
        return Ok(());
    }
    if capacity < bytes.len() {
        return Err(Error::invalid(format!(
            "buffer: capacity {capacity}, the identity has {} bytes",
            bytes.len()
        )));
    }
    // SAFETY: the buffer has room, and cannot overlap memory that the library has just allocated.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.cast::<u8>(), bytes.len()) };
    Ok(())
}

/// Describes an identity.
///
/// # Safety
/// `identity` is a live identity; `out` is initialised with OMNIID_IDENTITY_INFO_INIT.
#[export]
pub unsafe extern "C" fn omniid_identity_describe(
    identity: *const omniid_identity,
    out: *mut omniid_identity_info,
) -> omniid_status {
    // SAFETY: the caller's promise.
    let handle = unsafe { pointer::handle(identity, "identity") }?;
    let identity = &handle.identity;
    let making = identity.making();
    let described = omniid_identity_info {
        struct_size: size_of::<omniid_identity_info>() as u32,
        encoder: encoder_number(identity.kind()),
        tokens: identity.token_count() as u64,
        token_width: identity.width() as u64,
        photos: identity.provenance().photos as u64,
        features: identity.features().len() as u64,
        model: handle.model.as_ptr(),
        label: handle.label.as_ptr(),
        created: handle.created.as_ptr(),
        consent: handle.consent.as_ptr(),
        embeddings: identity.embeddings().iter().flatten().count() as u64,
        combine: making.combine as i32,
        shortcut_scale: making.shortcut_scale,
    };
    // SAFETY: the caller's promise.
    unsafe { structs::write(out, &described) }
}

/// Hands out the tokens, f32 `[tokens, token_width]`, read-only and without a copy. They stay valid after the identity
/// is freed. Free them with `omniid_managed_tensor_free` or their deleter.
///
/// # Safety
/// `identity` is a live identity; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_identity_tokens(
    identity: *const omniid_identity,
    out: *mut *mut omniid_managed_tensor,
) -> omniid_status {
    // SAFETY: the caller's promise.
    let (out, handle) = unsafe { (pointer::out_handle(out, "out")?, pointer::handle(identity, "identity")?) };
    let shape = [handle.identity.token_count(), handle.identity.width()];
    let tokens = tensor::managed_values(handle.identity.clone(), Identity::values, &shape)?;
    // SAFETY: `out` was checked.
    unsafe { out.write(tokens) };
    Ok(())
}

/// Copies the tokens into a tensor of the host: `[tokens, token_width]` on the CPU; f32, f16 or bf16; any strides.
///
/// # Safety
/// `identity` is a live identity; `out` describes writable memory.
#[export]
pub unsafe extern "C" fn omniid_identity_copy_tokens(
    identity: *const omniid_identity,
    out: *const omniid_tensor,
) -> omniid_status {
    // SAFETY: the caller's promise.
    let identity = &unsafe { pointer::handle(identity, "identity") }?.identity;
    // SAFETY: the caller's promise.
    unsafe {
        tensor::fill(
            out,
            "out",
            [identity.token_count(), identity.width()],
            identity.values(),
        )
    }
}

/// Makes a copy of an identity with another label and consent note; NULL keeps the present one.
///
/// # Safety
/// `identity` is a live identity; the texts are NULL or NUL-terminated; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_identity_with_notes(
    identity: *const omniid_identity,
    label: *const c_char,
    consent: *const c_char,
    out: *mut *mut omniid_identity,
) -> omniid_status {
    // SAFETY: the caller's promise, here and in the closure.
    unsafe {
        hand_out(out, || {
            let identity = &pointer::handle(identity, "identity")?.identity;
            let kept = identity.provenance();
            let label = if label.is_null() {
                &kept.label
            } else {
                pointer::text(label, "label")?
            };
            let consent = if consent.is_null() {
                &kept.consent
            } else {
                pointer::text(consent, "consent")?
            };
            Ok(identity.as_ref().clone().with_notes(label, consent))
        })
    }
}

/// Makes a copy of an identity without the photos' features and face embeddings: smaller, but an identity of a model that
/// reads all photos at once can no longer be extended, and none compared by a face recogniser.
///
/// # Safety
/// `identity` is a live identity; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_identity_without_features(
    identity: *const omniid_identity,
    out: *mut *mut omniid_identity,
) -> omniid_status {
    // SAFETY: the caller's promise, here and in the closure.
    unsafe {
        hand_out(out, || {
            Ok(pointer::handle(identity, "identity")?
                .identity
                .as_ref()
                .clone()
                .without_features())
        })
    }
}

/// Compares two identities of the engine's model: cosine similarity, -1 to 1, after subtracting the model's mean
/// identity and projecting onto the directions that distinguish people, where the checkpoint has them.
///
/// Fails with `OMNIID_STATUS_MISMATCH` when another model made either identity.
///
/// # Safety
/// `engine`, `first` and `second` are live; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_identity_similarity(
    engine: *const omniid_engine,
    first: *const omniid_identity,
    second: *const omniid_identity,
    out: *mut f32,
) -> omniid_status {
    // SAFETY: the caller's promise.
    let (engine, first, second) = unsafe {
        (
            pointer::handle(engine, "engine")?,
            pointer::handle(first, "first")?,
            pointer::handle(second, "second")?,
        )
    };
    let out = pointer::out(out, "out")?;
    let similarity = engine.engine.similarity(&first.identity, &second.identity)?;
    // SAFETY: `out` was checked.
    unsafe { out.write(similarity) };
    Ok(())
}

/// Hands out an identity's vector for comparisons, f32 `[length]`, read-only: what an index of many people stores.
///
/// It has length 1, or is all zeros for an identity without a direction. The dot product of two such vectors is the
/// `omniid_identity_similarity` of their identities. `length` is the same for all identities of an engine. Vectors of
/// one checkpoint belong together: another checkpoint may compare in other directions although its tokens are the same.
/// The vector stays valid after identity and engine are freed; free it with `omniid_managed_tensor_free` or its
/// deleter.
///
/// Fails with `OMNIID_STATUS_MISMATCH` when another model made the identity.
///
/// # Safety
/// `engine` and `identity` are live; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_identity_comparison_vector(
    engine: *const omniid_engine,
    identity: *const omniid_identity,
    out: *mut *mut omniid_managed_tensor,
) -> omniid_status {
    // SAFETY: the caller's promise.
    let (out, engine, handle) = unsafe {
        (
            pointer::out_handle(out, "out")?,
            pointer::handle(engine, "engine")?,
            pointer::handle(identity, "identity")?,
        )
    };
    let vector = Arc::new(engine.engine.comparison_vector(&handle.identity)?);
    let length = vector.len();
    let vector = tensor::managed_values(vector, Vec::as_slice, &[length])?;
    // SAFETY: `out` was checked.
    unsafe { out.write(vector) };
    Ok(())
}

/// Frees an identity; NULL is ignored.
///
/// # Safety
/// `identity` is NULL or came from this library, and no call uses it any more.
#[export]
pub unsafe extern "C" fn omniid_identity_free(identity: *mut omniid_identity) {
    // SAFETY: the caller's promise.
    unsafe { pointer::free(identity) }
}
