//! Engines: an identity model, opened once and used from any number of threads.

use crate::embedding_form::{form_number, OMNIID_EMBEDDING_FORM_RAW};
use crate::host::{host, host_layer, omniid_host_layer, HostTexts};
use crate::pointer::{self, flag, unused};
use crate::progress::{omniid_progress_fn, with_progress};
use crate::remedy;
use crate::status::{c_text, omniid_status};
use crate::structs::{self, CStruct};
use crate::tensor::{OMNIID_DEVICE_TYPE_CPU, OMNIID_DEVICE_TYPE_CUDA};
use crate::version::{OMNIID_ABI_MAJOR, OMNIID_ABI_VERSION};
use omniid::encoder::EncoderKind;
use omniid::engine::{DeviceChoice, Engine, EngineOptions, Source, Variant};
use omniid::{Error, ErrorKind, Limits, Precision, Result};
use omniid_capi_export::export;
use std::ffi::{c_char, c_void, CString};

/// 32-bit floating point; results equal those of the reference implementations within rounding.
pub const OMNIID_PRECISION_F32: i32 = 0;
/// IEEE half precision: half the memory.
pub const OMNIID_PRECISION_F16: i32 = 1;
/// bfloat16: half the memory, with the range of f32.
pub const OMNIID_PRECISION_BF16: i32 = 2;
/// Bytes: a quarter of the memory, for the weights of an engine on the processor only. The blocks of the image encoder
/// and of the Omni-ID encoder are computed from weights and rows rounded to bytes, with scales for each output and each
/// row; the rest of these encoders is f32, an adapter bf16. Tokens differ from those of f32.
pub const OMNIID_PRECISION_INT8: i32 = 3;

/// The native Omni-ID encoder: a fixed number of tokens, however many photos.
pub const OMNIID_ENCODER_OMNI_ID: i32 = 0;
/// IP-Adapter Plus and Plus-Face: a fixed number of tokens for each photo.
pub const OMNIID_ENCODER_RESAMPLER: i32 = 1;
/// IP-Adapter full-face: one token per image feature token and photo.
pub const OMNIID_ENCODER_FULL_FACE: i32 = 2;
/// Base IP-Adapter and XLabs FLUX: a fixed number of tokens for each photo.
pub const OMNIID_ENCODER_PROJECTION: i32 = 3;
/// IP-Adapter FaceID and FaceID Portrait: a fixed number of tokens for each face embedding.
pub const OMNIID_ENCODER_FACE_ID: i32 = 4;
/// IP-Adapter FaceID-Plus and PlusV2: a face embedding and the features of the aligned face.
pub const OMNIID_ENCODER_FACE_ID_PLUS: i32 = 5;
/// InstantID: a fixed number of tokens for each face embedding.
pub const OMNIID_ENCODER_INSTANT_ID: i32 = 6;
/// IP-Adapter FaceID Portrait (unnorm): the face embeddings of all photos at once.
pub const OMNIID_ENCODER_FACE_ID_PORTRAIT_UNNORM: i32 = 7;
/// PuLID for SDXL, version 1.
pub const OMNIID_ENCODER_PULID_V1: i32 = 8;
/// PuLID for SDXL, version 1.1, and for FLUX: all photos at once.
pub const OMNIID_ENCODER_ID_FORMER: i32 = 9;
/// InstantX SD3.5, whose tokens depend on the timestep.
pub const OMNIID_ENCODER_TIME_RESAMPLER: i32 = 10;
/// WithAnyone for FLUX: tokens of a raw face embedding, of SigLIP's last hidden state, and of the embedding again.
pub const OMNIID_ENCODER_WITH_ANYONE: i32 = 11;
/// InstantX FLUX: a fixed number of tokens for each photo.
pub const OMNIID_ENCODER_INSTANT_X_FLUX: i32 = 15;

/// An opened identity model. Immutable; may be used from any number of threads at once.
pub struct omniid_engine {
    pub(crate) engine: Engine,
    name: CString,
    fingerprint: CString,
    host: Option<HostTexts>,
    face_network: Option<CString>,
    face_recogniser: Option<CString>,
    face_recogniser_licence: Option<CString>,
}

/// Options of `omniid_engine_open`, with the defaults that OMNIID_ENGINE_OPTIONS_INIT sets.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct omniid_engine_options {
    /// Set by OMNIID_ENGINE_OPTIONS_INIT.
    pub struct_size: u32,
    /// The ABI version that the caller was built for; 0 is refused. OMNIID_ENGINE_OPTIONS_INIT sets OMNIID_ABI_VERSION.
    pub abi_version: u32,
    /// The identity model: a native Omni-ID checkpoint or a published adapter (IP-Adapter and its FaceID family,
    /// InstantID, PuLID, InstantX, XLabs, WithAnyone), safetensors or PyTorch, or a folder with one. Recognised by its
    /// content. Files are read, never mapped into memory: one that is cut, emptied or written to while it is read
    /// is the error OMNIID_STATUS_IO, no signal. The weights of its adapter are read at the first
    /// omniid_conditioning_create, which fails with OMNIID_STATUS_IO if the file was written to or cut since it was
    /// opened; one that was replaced by renaming, or deleted, goes on being used. Not noticed is a writer that puts
    /// back the file's time of change. Default, when checkpoint_data is
    /// NULL too: the small model inside the library, with its own face detector; the call fails with
    /// OMNIID_STATUS_UNSUPPORTED when the library was built without it.
    pub checkpoint_path: *const c_char,
    /// The bytes of that file, instead of its path; copied.
    pub checkpoint_data: *const c_void,
    /// Bytes of checkpoint_data.
    pub checkpoint_size: usize,
    /// The image encoder that a published adapter needs, a vision model of CLIP, SigLIP, DINOv2 or EVA02-CLIP; refused
    /// for a native checkpoint, which contains its own, and for adapters that read none. A file, an index of shards
    /// (….index.json), or a folder as Hugging Face lays it out.
    pub image_encoder_path: *const c_char,
    /// The bytes of that file, instead of its path; copied.
    pub image_encoder_data: *const c_void,
    /// Bytes of image_encoder_data.
    pub image_encoder_size: usize,
    /// The contents of the image encoder's config.json. Default: the file of that name beside image_encoder_path, or
    /// the configuration of a published model of the same shape.
    pub image_encoder_config: *const c_char,
    /// The face detector: YuNet's weights, safetensors or the upstream ONNX file, or a native checkpoint that holds a
    /// detector. Default: the one in a native checkpoint, else the one inside the library.
    pub detector_path: *const c_char,
    /// The bytes of that file, instead of its path; copied.
    pub detector_data: *const c_void,
    /// Bytes of detector_data.
    pub detector_size: usize,
    /// "sd15", "sdxl", "flux", "flux_all", "pulid_flux", "with_anyone" or "sd35_large"; with host_layers, any name for
    /// the host's own table. Default: the host that the checkpoint is for.
    pub host: *const c_char,
    /// The host's own layer table, in the order of the adapter in the checkpoint. Default: the host's built-in one.
    pub host_layers: *const omniid_host_layer,
    /// Number of host_layers.
    pub host_layer_count: usize,
    /// OMNIID_DEVICE_TYPE_CPU or OMNIID_DEVICE_TYPE_CUDA. Default: CPU.
    pub device_type: i32,
    /// Ordinal of the GPU; 0 on the CPU.
    pub device_id: i32,
    /// Number type of the weights, OMNIID_PRECISION_... Default: f32. Int8 is refused for a GPU.
    pub precision: i32,
    /// 1: load the image encoder when it is first needed instead of now: for programs that work with stored identities,
    /// or run the same image encoder themselves and call omniid_identity_from_features. Its file must not change while
    /// the engine lives. Default: 0.
    pub defer_image_encoder: i32,
    /// Maximum number of pixels of a photo. Default: 100 million.
    pub max_pixels: u64,
    /// Maximum number of bytes that decoding a photo may take. Default: 1 GiB.
    pub max_decoded_bytes: u64,
    /// Maximum number of bytes of an encoded photo. Default: 256 MiB.
    pub max_photo_bytes: u64,
    /// Maximum number of bytes of a checkpoint's header. Default: 100 MB.
    pub max_header_bytes: u64,
    /// Maximum number of photos of an identity. Default: 4096.
    pub max_photos: u64,
    /// Is told about progress and can cancel the call. Default: none.
    pub progress: omniid_progress_fn,
    /// Passed to progress; not looked at without one.
    pub progress_user_data: *mut c_void,
    /// The face recognition network: insightface's w600k_r50.onnx or glintr100.onnx, AuraFace, OpenCV's SFace, facexlib's
    /// IR-SE50, as ONNX, PyTorch file or safetensors. Models of the FaceID family, InstantID and PuLID make their tokens
    /// from its embeddings and refuse another network than the one they were trained with; for any other model it serves
    /// omniid_likeness_of. Default: the one in a native checkpoint; else photos must bring embeddings.
    pub face_recogniser_path: *const c_char,
    /// The bytes of that file, instead of its path; copied.
    pub face_recogniser_data: *const c_void,
    /// Bytes of face_recogniser_data.
    pub face_recogniser_size: usize,
    /// The face parsing network that makes the grey background of PuLID's crop: facexlib's parsing_bisenet. Refused for
    /// other models. Default: the plain crop.
    pub face_parser_path: *const c_char,
    /// The bytes of that file, instead of its path; copied.
    pub face_parser_data: *const c_void,
    /// Bytes of face_parser_data.
    pub face_parser_size: usize,
    /// Which published model the checkpoint is, where two have the same tensors: "faceid-plus" or "faceid-plus-v2",
    /// "instantid" or "faceid-portrait-unnorm". Another name than that of the tensors is refused. Default:
    /// "faceid-plus-v2"; "instantid", unless the face recogniser is an IResNet-50.
    pub variant: *const c_char,
}

// SAFETY: `repr(C)`, size first, no padding, integers, pointers and an optional function.
unsafe impl CStruct for omniid_engine_options {
    const NAME: &'static str = "omniid_engine_options";
    // ABI 1.1.
    const EARLIER_SIZES: &'static [usize] = &[std::mem::offset_of!(omniid_engine_options, face_recogniser_path)];
}

/// Description of an engine. Its strings live as long as the engine.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct omniid_engine_info {
    /// Set by OMNIID_ENGINE_INFO_INIT.
    pub struct_size: u32,
    /// Kind of the identity encoder, OMNIID_ENCODER_...
    pub encoder: i32,
    /// Human-readable name of the model; may be empty.
    pub name: *const c_char,
    /// Fingerprint of the model, which its identities carry.
    pub fingerprint: *const c_char,
    /// Name of the host; NULL if the host is not known.
    pub host: *const c_char,
    /// Number of layers of the host; 0 if the host is not known.
    pub host_layer_count: u64,
    /// Number of identity tokens: per identity for Omni-ID, per photo otherwise.
    pub tokens: u64,
    /// Width of an identity token.
    pub token_width: u64,
    /// Side of the image encoder's square input in pixels.
    pub image_size: u32,
    /// 1 if faces can be detected: by the engine's own detector or by the one inside the library.
    pub has_detector: i32,
    /// 1 if the checkpoint holds an adapter, so that omniid_conditioning_create works.
    pub has_adapter: i32,
    /// Device of the engine, OMNIID_DEVICE_TYPE_...
    pub device_type: i32,
    /// Ordinal of the GPU; 0 on the CPU.
    pub device_id: i32,
    /// Number type of the weights, OMNIID_PRECISION_...
    pub precision: i32,
    /// 1 if the model reads an image encoder; 0 for models that read face embeddings only, whose image_size is 0.
    pub has_image_encoder: i32,
    /// 1 if the checkpoint holds a LoRA, which is part of the model: the host has to apply it at strength 1. See
    /// omniid_engine_save_lora.
    pub has_lora: i32,
    /// Number of values of the face embedding that the model reads; 0 if it reads none.
    pub face_dimension: u64,
    /// The form of that embedding, OMNIID_EMBEDDING_FORM_...; a raw one always serves.
    pub face_form: i32,
    /// 1 if the engine has a face recogniser.
    pub has_face_recogniser: i32,
    /// The face recognition network that the model was trained with; NULL if it reads no face embedding.
    pub face_network: *const c_char,
    /// The engine's face recogniser; NULL if there is none.
    pub face_recogniser: *const c_char,
    /// What the authors of the face recogniser state about its use, or "unknown"; NULL if there is none.
    pub face_recogniser_licence: *const c_char,
}

// SAFETY: `repr(C)`, size first, no padding, integers and pointers.
unsafe impl CStruct for omniid_engine_info {
    const NAME: &'static str = "omniid_engine_info";
    // ABI 1.1.
    const EARLIER_SIZES: &'static [usize] = &[std::mem::offset_of!(omniid_engine_info, has_image_encoder)];
}

/// A precision of the caller.
pub(crate) fn precision(number: i32, name: &str) -> Result<Precision> {
    match number {
        OMNIID_PRECISION_F32 => Ok(Precision::F32),
        OMNIID_PRECISION_F16 => Ok(Precision::F16),
        OMNIID_PRECISION_BF16 => Ok(Precision::Bf16),
        OMNIID_PRECISION_INT8 => Ok(Precision::Int8),
        other => Err(Error::invalid(format!(
            "{name}: {other}, expected 0 (f32), 1 (f16), 2 (bf16) or 3 (int8)"
        ))),
    }
}

// The numbers of the header are those of the kinds.
const _: () = {
    assert!(EncoderKind::OmniId as i32 == OMNIID_ENCODER_OMNI_ID);
    assert!(EncoderKind::Resampler as i32 == OMNIID_ENCODER_RESAMPLER);
    assert!(EncoderKind::FullFace as i32 == OMNIID_ENCODER_FULL_FACE);
    assert!(EncoderKind::Projection as i32 == OMNIID_ENCODER_PROJECTION);
    assert!(EncoderKind::FaceId as i32 == OMNIID_ENCODER_FACE_ID);
    assert!(EncoderKind::FaceIdPlus as i32 == OMNIID_ENCODER_FACE_ID_PLUS);
    assert!(EncoderKind::InstantId as i32 == OMNIID_ENCODER_INSTANT_ID);
    assert!(EncoderKind::FaceIdPortraitUnnorm as i32 == OMNIID_ENCODER_FACE_ID_PORTRAIT_UNNORM);
    assert!(EncoderKind::PulidV1 as i32 == OMNIID_ENCODER_PULID_V1);
    assert!(EncoderKind::IdFormer as i32 == OMNIID_ENCODER_ID_FORMER);
    assert!(EncoderKind::TimeResampler as i32 == OMNIID_ENCODER_TIME_RESAMPLER);
    assert!(EncoderKind::WithAnyone as i32 == OMNIID_ENCODER_WITH_ANYONE);
    assert!(EncoderKind::InstantXFlux as i32 == OMNIID_ENCODER_INSTANT_X_FLUX);
};

/// The number of an encoder kind: OMNIID_ENCODER_...
pub(crate) fn encoder_number(kind: EncoderKind) -> i32 {
    kind as i32
}

/// Path or bytes of a file; `None` when neither is given.
///
/// # Safety
/// The pointers are NULL or as the options struct says.
unsafe fn source(path: *const c_char, data: *const c_void, size: usize, name: &str) -> Result<Option<Source>> {
    unused(
        data.is_null() && size != 0,
        size,
        &format!("{name}_size"),
        &format!("{name}_data"),
    )?;
    match (path.is_null(), data.is_null()) {
        (true, true) => Ok(None),
        (false, false) => Err(Error::invalid(format!(
            "{name}: both a path and data are given, expected one"
        ))),
        // SAFETY: the caller's promise.
        (false, true) => Ok(Some(unsafe { pointer::path(path, name) }?.as_ref().into())),
        // SAFETY: the caller's promise.
        (true, false) => {
            let bytes = unsafe { pointer::slice(data.cast::<u8>(), size, name) }?;
            Ok(Some(bytes.to_vec().into()))
        }
    }
}

fn device(device_type: i32, device_id: i32) -> Result<DeviceChoice> {
    match device_type {
        0 | OMNIID_DEVICE_TYPE_CPU => {
            unused(device_id != 0, device_id, "device_id", "OMNIID_DEVICE_TYPE_CUDA")?;
            Ok(DeviceChoice::Cpu)
        }
        OMNIID_DEVICE_TYPE_CUDA => usize::try_from(device_id)
            .map(DeviceChoice::Cuda)
            .map_err(|_| Error::invalid(format!("device_id: {device_id}, expected 0 or more"))),
        other => Err(Error::unsupported(format!(
            "device_type: {other}, supported are 1 (CPU) and 2 (CUDA)"
        ))),
    }
}

fn limits(options: &omniid_engine_options) -> Limits {
    let default = Limits::default();
    let or = |given: u64, default: u64| if given == 0 { default } else { given };
    default
        .with_max_pixels(or(options.max_pixels, default.max_pixels))
        .with_max_decoded_bytes(or(options.max_decoded_bytes, default.max_decoded_bytes))
        .with_max_photo_bytes(or(options.max_photo_bytes, default.max_photo_bytes))
        .with_max_header_bytes(or(options.max_header_bytes, default.max_header_bytes))
        .with_max_photos(or(options.max_photos, default.max_photos))
}

fn check_abi(version: u32) -> Result<()> {
    if version == 0 {
        return Err(Error::new(
            ErrorKind::AbiMismatch,
            "omniid_engine_options: abi_version is 0 (OMNIID_ENGINE_OPTIONS_INIT fills it)",
        )
        .with_remedy(remedy::INIT_MACRO));
    }
    if version >> 16 != OMNIID_ABI_MAJOR {
        return Err(Error::new(
            ErrorKind::AbiMismatch,
            format!(
                "omniid_engine_options: the program was built for ABI {}.{}, this library has ABI {}.{}",
                version >> 16,
                version & 0xFFFF,
                OMNIID_ABI_VERSION >> 16,
                OMNIID_ABI_VERSION & 0xFFFF
            ),
        )
        .with_remedy(remedy::OTHER_ABI));
    }
    Ok(())
}

/// Reads the options of a caller.
///
/// # Safety
/// `options` is NULL or as `omniid_engine_open` says.
unsafe fn engine_options(options: *const omniid_engine_options) -> Result<(omniid_engine_options, EngineOptions)> {
    // SAFETY: the caller's promise, here and below.
    unsafe {
        let raw = structs::read(options)?;
        check_abi(raw.abi_version)?;
        let checkpoint = source(
            raw.checkpoint_path,
            raw.checkpoint_data,
            raw.checkpoint_size,
            "checkpoint",
        )?;
        let mut options = match checkpoint {
            Some(checkpoint) => EngineOptions::new(checkpoint),
            None => EngineOptions::built_in().map_err(|error| {
                error.context("omniid_engine_options: checkpoint_path and checkpoint_data are NULL")
            })?,
        };
        options.image_encoder = source(
            raw.image_encoder_path,
            raw.image_encoder_data,
            raw.image_encoder_size,
            "image_encoder",
        )?;
        let config = pointer::text(raw.image_encoder_config, "image_encoder_config")?;
        options.image_encoder_config = (!config.is_empty()).then(|| config.to_string());
        options.detector = source(raw.detector_path, raw.detector_data, raw.detector_size, "detector")?;
        options.face_recogniser = source(
            raw.face_recogniser_path,
            raw.face_recogniser_data,
            raw.face_recogniser_size,
            "face_recogniser",
        )?;
        options.face_parser = source(
            raw.face_parser_path,
            raw.face_parser_data,
            raw.face_parser_size,
            "face_parser",
        )?;
        let variant = pointer::text(raw.variant, "variant")?;
        if !variant.is_empty() {
            options.variant = Some(Variant::from_name(variant)?);
        }
        options.host = host(raw.host, raw.host_layers, raw.host_layer_count)?;
        options.device = device(raw.device_type, raw.device_id)?;
        options.precision = precision(raw.precision, "precision")?;
        options.limits = limits(&raw);
        options.defer_image_encoder = flag(raw.defer_image_encoder, "defer_image_encoder")?;
        Ok((raw, options))
    }
}

/// Opens an identity model.
///
/// Fails with `OMNIID_STATUS_ABI_MISMATCH` when the program was built for another major version of the ABI, with
/// `OMNIID_STATUS_IO` or `OMNIID_STATUS_FORMAT` for files that cannot be read, with `OMNIID_STATUS_UNSUPPORTED` for
/// checkpoint families and devices that this build cannot run, with `OMNIID_STATUS_MISMATCH` when image encoder, face
/// recogniser, checkpoint and host do not belong together (a face recogniser of another network than the model's is
/// named, with the one that fits), and with `OMNIID_STATUS_INVALID_ARGUMENT` for options that the checkpoint has no use
/// for. A missing face recogniser is no error: photos can bring embeddings.
///
/// # Safety
/// `options` is initialised with OMNIID_ENGINE_OPTIONS_INIT and its pointers are NULL or valid; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_engine_open(
    options: *const omniid_engine_options,
    out: *mut *mut omniid_engine,
) -> omniid_status {
    // SAFETY: the caller's promise.
    let (out, (raw, options)) = unsafe { (pointer::out_handle(out, "out")?, engine_options(options)?) };
    // SAFETY: the caller's promise.
    let engine = unsafe {
        with_progress(raw.progress, raw.progress_user_data, |progress| {
            Engine::open_with_progress(options, progress)
        })
    }?;
    let recogniser = engine.info().recogniser.as_ref();
    let handle = omniid_engine {
        name: c_text(&engine.info().name),
        fingerprint: c_text(&engine.info().fingerprint),
        host: engine.host().map(HostTexts::new),
        face_network: engine.face_network().map(|network| c_text(&network)),
        face_recogniser: recogniser.map(|network| c_text(&network.to_string())),
        face_recogniser_licence: recogniser.map(|network| c_text(&network.licence)),
        engine,
    };
    // SAFETY: `out` was checked.
    unsafe { out.write(Box::into_raw(Box::new(handle))) };
    Ok(())
}

/// Frees an engine; NULL is ignored. What was made with it stays valid.
///
/// # Safety
/// `engine` is NULL or came from `omniid_engine_open`, and no call uses it any more.
#[export]
pub unsafe extern "C" fn omniid_engine_free(engine: *mut omniid_engine) {
    // SAFETY: the caller's promise.
    unsafe { pointer::free(engine) }
}

/// Describes an engine.
///
/// # Safety
/// `engine` is a live engine; `out` is initialised with OMNIID_ENGINE_INFO_INIT.
#[export]
pub unsafe extern "C" fn omniid_engine_describe(
    engine: *const omniid_engine,
    out: *mut omniid_engine_info,
) -> omniid_status {
    // SAFETY: the caller's promise.
    let handle = unsafe { pointer::handle(engine, "engine") }?;
    let info = handle.engine.info();
    let (device_type, device_id) = match info.device {
        DeviceChoice::Cpu => (OMNIID_DEVICE_TYPE_CPU, 0),
        DeviceChoice::Cuda(ordinal) => (OMNIID_DEVICE_TYPE_CUDA, ordinal as i32),
    };
    let text = |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
    let described = omniid_engine_info {
        struct_size: size_of::<omniid_engine_info>() as u32,
        encoder: encoder_number(info.kind),
        name: handle.name.as_ptr(),
        fingerprint: handle.fingerprint.as_ptr(),
        host: handle.host.as_ref().map_or(std::ptr::null(), |host| host.name.as_ptr()),
        host_layer_count: handle.host.as_ref().map_or(0, |host| host.layers.len() as u64),
        tokens: info.tokens as u64,
        token_width: info.token_width as u64,
        image_size: info.backbone.as_ref().map_or(0, |backbone| backbone.image_size as u32),
        has_detector: i32::from(info.has_detector),
        has_adapter: i32::from(info.has_adapter),
        device_type,
        device_id,
        precision: info.precision as i32,
        has_image_encoder: i32::from(info.backbone.is_some()),
        has_lora: i32::from(info.has_lora),
        face_dimension: handle.engine.face_dimension() as u64,
        face_form: info
            .face
            .map_or(OMNIID_EMBEDDING_FORM_RAW, |face| form_number(face.form)),
        has_face_recogniser: i32::from(info.recogniser.is_some()),
        face_network: text(&handle.face_network),
        face_recogniser: text(&handle.face_recogniser),
        face_recogniser_licence: text(&handle.face_recogniser_licence),
    };
    // SAFETY: the caller's promise.
    unsafe { structs::write(out, &described) }
}

/// Describes layer `layer` of the engine's host, in the order of the adapter. Its name lives as long as the engine.
///
/// # Safety
/// `engine` is a live engine; `out` is initialised with OMNIID_HOST_LAYER_INIT.
#[export]
pub unsafe extern "C" fn omniid_engine_host_layer(
    engine: *const omniid_engine,
    layer: usize,
    out: *mut omniid_host_layer,
) -> omniid_status {
    // SAFETY: the caller's promise.
    let handle = unsafe { pointer::handle(engine, "engine") }?;
    let (host, texts) = handle
        .engine
        .host()
        .zip(handle.host.as_ref())
        .ok_or_else(|| Error::invalid("engine: its host is not known").with_remedy(omniid::remedy::HOST_TABLE))?;
    // SAFETY: the caller's promise.
    unsafe { structs::write(out, &host_layer(host, texts, layer)?) }
}
