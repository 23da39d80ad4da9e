//! The calls of a C program, with results that tests can look at.

use omniid_capi::*;
use std::ffi::{c_char, CStr, CString};
use std::path::Path;
use std::ptr::{null, null_mut};

/// A status and the message that goes with it.
#[derive(Debug)]
pub struct Refusal {
    pub status: omniid_status,
    pub message: String,
}

fn text(pointer: *const c_char) -> String {
    // SAFETY: the library's own NUL-terminated text.
    unsafe { CStr::from_ptr(pointer) }.to_str().unwrap().to_string()
}

fn result(status: omniid_status) -> Result<(), Refusal> {
    let message = text(omniid_last_error());
    match status {
        OMNIID_STATUS_OK => Ok(()),
        status => Err(Refusal { status, message }),
    }
}

/// A text that lives as long as the process.
pub fn c_text(text: &str) -> *const c_char {
    Box::leak(CString::new(text).unwrap().into_boxed_c_str()).as_ptr()
}

pub fn c_path(path: &Path) -> *const c_char {
    c_text(path.to_str().unwrap())
}

pub struct Engine(*mut omniid_engine);
pub struct Identity(*mut omniid_identity);

impl Drop for Engine {
    fn drop(&mut self) {
        // SAFETY: made by `open`, freed once.
        unsafe { omniid_engine_free(self.0) }
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        // SAFETY: made by `encode`, freed once.
        unsafe { omniid_identity_free(self.0) }
    }
}

/// What became of one photo.
#[derive(Debug)]
pub struct Report {
    pub status: omniid_status,
    pub reason: String,
    pub rotation: i32,
    pub similarity: f32,
    pub bounds: [f32; 4],
}

pub struct Encoded {
    pub identity: Identity,
    pub photos: Vec<Report>,
}

impl Engine {
    /// The built-in model, changed by `set`.
    pub fn open(set: impl FnOnce(&mut omniid_engine_options)) -> Result<Self, Refusal> {
        // SAFETY: zeros are valid in the struct, and what OMNIID_ENGINE_OPTIONS_INIT sets is set.
        let mut options: omniid_engine_options = unsafe { std::mem::zeroed() };
        options.struct_size = size_of::<omniid_engine_options>() as u32;
        options.abi_version = OMNIID_ABI_VERSION;
        set(&mut options);
        let mut out = null_mut();
        // SAFETY: an initialised struct.
        result(unsafe { omniid_engine_open(&options, &mut out) })?;
        Ok(Self(out))
    }

    pub fn encode(
        &self,
        photos: &[omniid_photo],
        set: impl FnOnce(&mut omniid_encode_options),
    ) -> Result<Encoded, Refusal> {
        let (mut report, mut out) = (null_mut(), null_mut());
        // SAFETY: as in `open`.
        let mut options: omniid_encode_options = unsafe { std::mem::zeroed() };
        options.struct_size = size_of::<omniid_encode_options>() as u32;
        options.crop_margin = -1.0;
        options.report = &mut report;
        set(&mut options);
        // SAFETY: initialised structs.
        result(unsafe { omniid_encode(self.0, photos.as_ptr(), photos.len(), &options, &mut out) })?;
        let identity = Identity(out);
        let photos = (0..photos.len()).map(|index| {
            // SAFETY: as in `open`; the report is live.
            unsafe {
                let mut photo: omniid_photo_report = std::mem::zeroed();
                photo.struct_size = size_of::<omniid_photo_report>() as u32;
                result(omniid_report_photo(report, index, &mut photo)).unwrap();
                Report {
                    status: photo.status,
                    reason: text(photo.reason),
                    rotation: photo.rotation,
                    similarity: photo.similarity,
                    bounds: photo.face_bounds,
                }
            }
        });
        let photos = photos.collect();
        // SAFETY: made by the call above, freed once.
        unsafe { omniid_report_free(report) };
        Ok(Encoded { identity, photos })
    }

    pub fn similarity(&self, first: &Identity, second: &Identity) -> f32 {
        let mut out = 0.0;
        // SAFETY: live handles.
        result(unsafe { omniid_identity_similarity(self.0, first.0, second.0, &mut out) }).unwrap();
        out
    }

    /// The keys of the first layer of a new conditioning.
    pub fn keys(&self, identity: &Identity) -> Result<Vec<f32>, Refusal> {
        let (mut out, mut keys) = (null_mut(), null_mut());
        // SAFETY: as in `open`; the handles are live, and the tensor is f32 on the CPU without gaps.
        unsafe {
            let mut input: omniid_conditioning_input = std::mem::zeroed();
            input.struct_size = size_of::<omniid_conditioning_input>() as u32;
            (input.scale, input.identity) = (1.0, identity.0);
            result(omniid_conditioning_create(self.0, &input, 1, null(), &mut out))?;
            let got = result(omniid_conditioning_keys(
                out,
                0,
                0,
                OMNIID_ROLE_CONDITIONAL,
                1,
                &mut keys,
            ));
            omniid_conditioning_free(out);
            got?;
            let tensor = &(*keys).dl_tensor;
            let shape = std::slice::from_raw_parts(tensor.shape, tensor.ndim as usize);
            let count = shape.iter().product::<i64>() as usize;
            let values = std::slice::from_raw_parts(tensor.data.cast::<f32>(), count).to_vec();
            omniid_managed_tensor_free(keys);
            Ok(values)
        }
    }
}

impl Identity {
    /// The tokens' bytes.
    pub fn tokens(&self) -> Vec<f32> {
        let mut out = null_mut();
        // SAFETY: a live handle; the tensor is f32 on the CPU without gaps.
        unsafe {
            result(omniid_identity_tokens(self.0, &mut out)).unwrap();
            let tensor = &(*out).dl_tensor;
            let shape = std::slice::from_raw_parts(tensor.shape, tensor.ndim as usize);
            let count = shape.iter().product::<i64>() as usize;
            let values = std::slice::from_raw_parts(tensor.data.cast::<f32>(), count).to_vec();
            omniid_managed_tensor_free(out);
            values
        }
    }
}

fn photo() -> omniid_photo {
    // SAFETY: zeros are valid in the struct, and the rest of OMNIID_PHOTO_INIT is set.
    let mut photo: omniid_photo = unsafe { std::mem::zeroed() };
    photo.struct_size = size_of::<omniid_photo>() as u32;
    photo
}

/// A photo as the bytes of a file, which must live as long as it is used.
pub fn in_memory(bytes: &[u8]) -> omniid_photo {
    omniid_photo {
        data: bytes.as_ptr().cast(),
        data_size: bytes.len(),
        ..photo()
    }
}

/// A photo as pixels, which must live as long as it is used.
pub fn pixels(image: &image::RgbImage) -> omniid_photo {
    omniid_photo {
        pixels: image.as_raw().as_ptr().cast(),
        width: image.width(),
        height: image.height(),
        ..photo()
    }
}

pub fn at_path(path: &Path) -> omniid_photo {
    omniid_photo {
        path: c_path(path),
        ..photo()
    }
}
